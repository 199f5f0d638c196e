//! Reads what a schedule runs: command, shell or HTTP call, and its parameters.

use std::collections::{BTreeMap, BTreeSet};

use super::checks::Checker;
use super::interface::secretable;
use super::reader::{Fields, Item};
use super::values::check_url;
use crate::domain::definition::{EnvValue, Http, Job, Param};
use crate::domain::masking::{has_login, holds_secret};

/// Names of our templates, and what a shell text uses in their place.
const SHELL_NAMES: [(&str, &str); 3] = [
    ("slot.", "$DAYBOOK_SLOT"),
    ("param.", "$DAYBOOK_PARAM_<NAME>"),
    ("execution.", "$DAYBOOK_EXECUTION"),
];

/// How much of an HTTP answer is read unless the file says otherwise.
const MAX_BODY_BYTES: u64 = 1 << 20;

/// Reads `params`.
pub(super) fn params(fields: &Fields<'_>, checker: &Checker) -> BTreeMap<String, Param> {
    let mut params = BTreeMap::new();
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    for (name, item) in fields.map("params") {
        let variable = name.to_uppercase().replace('-', "_");
        if let Some(other) = variables.insert(variable.clone(), name.clone()) {
            item.refuse(
                &format!("and `{other}` would both be DAYBOOK_PARAM_{variable}"),
                Some("rename one of them".to_owned()),
            );
        }
        let Some(table) = item.table() else { continue };
        let default = table.get("default").and_then(|item| {
            // A parameter may not refer to another one: which is filled in first would be a guess.
            template(&item, &BTreeSet::new(), checker)
        });
        params.insert(name, Param { default });
    }
    params
}

/// Reads `command`, `shell` or `http`.
pub(super) fn job(fields: &Fields<'_>, params: &BTreeMap<String, Param>, checker: &Checker) -> Job {
    let names: BTreeSet<&str> = params.keys().map(String::as_str).collect();
    let command = fields.get("command").and_then(|item| command(&item, &names, checker));
    let shell = fields.get("shell").and_then(|item| shell(&item));
    let http = fields.table("http").and_then(|table| http(&table, &names, checker));
    command.or(shell).or(http).unwrap_or_else(|| Job::Command(Vec::new()))
}

fn template(item: &Item<'_>, params: &BTreeSet<&str>, checker: &Checker) -> Option<String> {
    let text = item.text()?;
    check_template(item, &text, params, checker);
    Some(text)
}

fn check_template(item: &Item<'_>, text: &str, params: &BTreeSet<&str>, checker: &Checker) {
    if let Err(why) = checker.template(text, params) {
        item.refuse_fault(&why, "", None);
    }
}

fn command(item: &Item<'_>, params: &BTreeSet<&str>, checker: &Checker) -> Option<Job> {
    if let Some(text) = item.value().as_str() {
        let words: Vec<String> = text.split_whitespace().map(|word| format!("{word:?}")).collect();
        item.refuse(
            "expects a list: the program and its arguments, not text",
            Some(format!(
                "write command = [{}], or shell = \"…\" for a shell's text",
                words.join(", ")
            )),
        );
        return None;
    }
    let items = item.list()?;
    let Some(program) = items.first() else {
        item.refuse("is empty: it names no program", None);
        return None;
    };
    if program.value().as_str().is_some_and(|text| text.trim().is_empty()) {
        program.refuse("is empty: it names no program", None);
    }
    items.iter().for_each(|item| warn_of_secret(item, IN_COMMAND));
    Some(Job::Command(items.iter().filter_map(|item| template(item, params, checker)).collect()))
}

const IN_CALL: &str = "send it as a header: headers.authorization = { credential = \"…\" }";
const IN_COMMAND: &str = "let the job read it from a variable: [env] NAME = { credential = \"…\" }; a command line is seen by all users";

/// Warns of a secret that stands in a text itself: a definition is recorded as it stands.
fn warn_of_secret(item: &Item<'_>, hint: &str) {
    if item.value().as_str().is_some_and(holds_secret) {
        item.hide();
        item.warn("looks as if it holds a secret in plain text", Some(hint.to_owned()));
    }
}

fn shell(item: &Item<'_>) -> Option<Job> {
    warn_of_secret(item, IN_COMMAND);
    let text = item.text()?;
    for after in text.split("{{").skip(1) {
        let name = after.trim_start();
        if let Some((prefix, variable)) =
            SHELL_NAMES.iter().find(|(prefix, _)| name.starts_with(prefix))
        {
            item.refuse(
                &format!("templates such as `{{{{ {prefix}… }}}}` are not filled in here"),
                Some(format!("use the variable: \"{variable}\"")),
            );
            break;
        }
    }
    Some(Job::Shell(text))
}

fn http(fields: &Fields<'_>, params: &BTreeSet<&str>, checker: &Checker) -> Option<Job> {
    let url = fields.get("url").and_then(|item| {
        let text = item.text()?;
        if has_login(&text) {
            item.hide();
            item.refuse(
                "holds a user name or password",
                Some(
                    "send it as a header: headers.authorization = { credential = \"…\" }"
                        .to_owned(),
                ),
            );
            return None;
        }
        if let Err(err) = check_url(&text) {
            item.refuse(&err.why, err.hint);
            return None;
        }
        warn_of_secret(&item, IN_CALL);
        check_template(&item, &text, params, checker);
        Some(text)
    });
    let mut headers = BTreeMap::new();
    for (name, item) in fields.map("headers") {
        if let Some((name, value)) = secretable(&name, &item) {
            if let EnvValue::Text(text) = &value {
                check_template(&item, text, params, checker);
                if text.chars().any(|c| c.is_control() && c != '\t') {
                    item.refuse("holds a line end or a control character", None);
                }
            }
            if headers.insert(name.to_lowercase(), value).is_some() {
                item.refuse("stands twice: letters' case does not count in headers", None);
            }
        }
    }
    let method =
        fields.choice("method", |word| Some(word.to_owned())).unwrap_or_else(|| "GET".to_owned());
    let body = fields.get("body").and_then(|item| {
        warn_of_secret(&item, IN_CALL);
        template(&item, params, checker)
    });
    let mut expect: Vec<u16> =
        fields.list("expect").unwrap_or_default().iter().filter_map(Item::integer).collect();
    expect.sort_unstable();
    expect.dedup();
    let max_body_bytes = fields.size("max_body").unwrap_or(MAX_BODY_BYTES);
    let call = Http { method, url: url?, headers, body, expect, max_body_bytes };
    Some(Job::Http(Box::new(call)))
}
