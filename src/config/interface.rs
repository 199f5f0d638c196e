//! Reads one interface's file.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeTable;

use super::checks::Checker;
use super::days;
use super::keys::INTERFACE;
use super::problem::Problem;
use super::reader::{Fields, Item};
use super::report::{Report, error};
use super::schedule;
use crate::domain::cause::Cause;
use crate::domain::class::Class;
use crate::domain::classify::{Classifier, unnamed};
use crate::domain::definition::{
    EnvValue, Interface, Job, Limits, Match, Retention, Rule, Schedule,
};
use crate::domain::masking::{has_login, sounds_secret};
use crate::error_text::in_full;
use crate::ids::{InterfaceId, ScheduleId};

/// What reading one file gave.
pub(super) struct Read {
    /// The definition, unless there was an error.
    pub(super) interface: Option<Interface>,
    /// The schedules' names, also when something else is wrong.
    pub(super) schedules: BTreeSet<ScheduleId>,
    /// Errors and warnings, in the order of the text.
    pub(super) problems: Vec<Problem>,
    /// Where it names schedules that may be of other files: the name as message, by their key.
    pub(super) places: Vec<Problem>,
}

/// Reads the text of `<id>.toml`; `file` is its path as shown.
pub(super) fn read(id: &InterfaceId, file: &str, text: &str, checker: &Checker) -> Read {
    checker.begin_file();
    let report = Report::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        hide_likely_secrets(&report, text);
        for err in errors {
            let span = err.span().unwrap_or(0..0);
            report.add(error(span, "", format!("not TOML: {}", err.message())));
        }
        let problems = report.finish(file);
        let (schedules, places) = (BTreeSet::new(), Vec::new());
        return Read { interface: None, schedules, problems, places };
    }
    let fields = Fields::top(document.get_ref(), &INTERFACE, &report);
    let interface = interface(id, &fields, checker);
    let accepted = !report.has_errors();
    let schedules = interface.schedules.keys().cloned().collect();
    let (problems, places) = report.finish_with_places(file);
    Read { interface: accepted.then_some(interface), schedules, problems, places }
}

/// Where the structure is not known, what stands behind a telling name is masked, and an address with a login in it.
pub(super) fn hide_likely_secrets(report: &Report, text: &str) {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let mut pairs = line.match_indices('=').map(|(at, _)| line.split_at(at));
        if let Some((before, _)) = pairs.find(|(before, value)| likely_secret(before, value)) {
            report.hide(start + before.len() + 1..start + line.len());
        }
        start += line.len();
    }
}

/// Whether the last word before a `=` promises a secret, or what follows holds one.
fn likely_secret(before: &str, value: &str) -> bool {
    let between = |c: char| c.is_whitespace() || "{,.\"'".contains(c);
    let name = before.trim_end_matches(between).rsplit(between).next().unwrap_or_default();
    sounds_secret(name) || ["ping", "notify"].contains(&name) || has_login(value)
}

fn interface(id: &InterfaceId, fields: &Fields<'_>, checker: &Checker) -> Interface {
    let timezone = zone(fields, checker).unwrap_or_else(|| "UTC".to_owned());
    let variables = fields.map("env");
    let mut schedules = BTreeMap::new();
    for (name, item) in fields.map("schedules") {
        let Ok(schedule_id) = ScheduleId::new(&name) else { continue };
        let Some(table) = item.table() else { continue };
        schedules.insert(schedule_id, schedule::schedule(&table, &timezone, checker));
    }
    check_env_templates(&variables, &schedules, checker);
    // Made at once, the nodes of the map are full.
    let schedules = schedules.into_iter().collect();
    let rules = rules(fields);
    let mut interface = Interface {
        id: id.clone(),
        name: fields.text("name").unwrap_or_else(|| id.to_string()),
        kind: fields.get("type").and_then(|item| slug(&item)),
        timezone,
        owner: fields.text("owner"),
        runbook: fields.url("runbook"),
        labels: fields
            .map("labels")
            .into_iter()
            .filter_map(|(name, item)| Some((name, item.text()?)))
            .collect(),
        retention: fields.table("retention").map(|table| retention(&table)).unwrap_or_default(),
        notify: fields.url("notify"),
        env: variables.into_iter().filter_map(|(name, item)| secretable(&name, &item)).collect(),
        limits: fields.table("limits").map(|table| limits(&table)).unwrap_or_default(),
        rules,
        blackout: days::blackouts(fields, checker),
        calendars: BTreeMap::new(),
        schedules,
    };
    interface.calendars = checker.named_by(&interface);
    interface
}

/// The checked zone under `timezone`.
pub(super) fn zone(fields: &Fields<'_>, checker: &Checker) -> Option<String> {
    let item = fields.get("timezone")?;
    let name = item.text()?;
    checker.zone(&name).map_err(|why| item.refuse(&why, None)).ok().map(|()| name)
}

fn slug(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    match InterfaceId::new(&text) {
        Ok(slug) => Some(slug.to_string()),
        Err(err) => {
            item.refuse(&err.to_string(), None);
            None
        }
    }
}

/// A value of `[env]` or of a header.
pub(super) fn secretable(name: &str, item: &Item<'_>) -> Option<(String, EnvValue)> {
    if item.value().as_str().is_some() {
        let secret = sounds_secret(name);
        if secret {
            item.hide();
        }
        let text = item.text()?;
        if secret && !text.is_empty() && !text.contains("{{") {
            item.warn(
                "looks like a secret in plain text",
                Some(format!(
                    "keep it out of the file: {name} = {{ credential = \"{}\" }}",
                    name.to_lowercase().replace('_', "-")
                )),
            );
        } else if has_login(&text) {
            item.hide();
            item.warn(
                "an address with a user name or password in it",
                Some("read the whole address from a credential: { credential = \"…\" }".to_owned()),
            );
        }
        return Some((name.to_owned(), EnvValue::Text(text)));
    }
    let table = item.table()?;
    type Make = fn(String) -> EnvValue;
    let kinds: [(&str, Make); 3] = [
        ("credential", EnvValue::Credential),
        ("file", EnvValue::File),
        ("from_env", EnvValue::FromEnv),
    ];
    let mut value = None;
    for (kind, make) in kinds {
        if let Some(source) = table.get(kind)
            && let Some(text) = source.text()
        {
            if kind == "credential" && (text.contains('/') || text.starts_with('.')) {
                source.refuse(
                    &format!("`{text}` is not a credential's name"),
                    Some("use { file = \"…\" } for a path".to_owned()),
                );
                continue;
            }
            value = value.or_else(|| Some(make(text)));
        }
    }
    value.map(|value| (name.to_owned(), value))
}

/// Templates in `[env]` stand for every command, so each schedule must declare the parameters that they name.
fn check_env_templates(
    variables: &BTreeMap<String, Item<'_>>,
    schedules: &BTreeMap<ScheduleId, Schedule>,
    checker: &Checker,
) {
    for item in variables.values() {
        let Some(text) = item.value().as_str().filter(|text| text.contains("{{")) else { continue };
        for (id, schedule) in schedules {
            let params = schedule.params.keys().map(String::as_str).collect();
            if matches!(schedule.job, Job::Http(_)) {
                continue;
            }
            if let Err(why) = checker.template(text, &params) {
                item.refuse_fault(&why, &format!("for schedule `{id}`: "), None);
                break;
            }
        }
        if schedules.is_empty()
            && let Err(why) = checker.template(text, &BTreeSet::new())
        {
            item.refuse_fault(&why, "", None);
        }
    }
}

fn retention(fields: &Fields<'_>) -> Retention {
    Retention {
        ok_ms: fields.period("ok"),
        ko_ms: fields.period("ko"),
        lines_ms: fields.period("lines"),
        count: fields.integer("count"),
        bytes: fields.size("bytes"),
    }
}

fn limits(fields: &Fields<'_>) -> Limits {
    Limits { concurrent: fields.integer("concurrent"), rate: fields.rate("rate") }
}

fn rules(fields: &Fields<'_>) -> Vec<Rule> {
    let Some(item) = fields.get("rules") else { return Vec::new() };
    let rules: Vec<Rule> =
        item.list().unwrap_or_default().iter().filter_map(|item| rule(&item.table()?)).collect();
    // Each pattern was compiled by itself; jobs need all of them together.
    if let Err(err) = Classifier::new(&rules) {
        let hint = "give fewer rules, or shorter patterns".to_owned();
        item.refuse(&format!("together they cannot be used: {}", in_full(&err)), Some(hint));
    }
    rules
}

fn rule(fields: &Fields<'_>) -> Option<Rule> {
    let matches = fields.get("matches").and_then(|item| {
        let text = item.text()?;
        if let Err(err) = regex::Regex::new(&text) {
            let why = err.to_string();
            let why =
                why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            item.refuse(&format!("is not a regular expression: {why}"), None);
            return None;
        }
        Some(Match::Matches(text))
    });
    let contains = fields.text("contains").map(Match::Contains);
    let equals = fields.text("equals").map(Match::Equals);
    let class = fields.choice("class", |word| word.parse::<Class>().ok());
    let cause = fields.get("cause").and_then(|item| cause(&item, class));
    let class = class?;
    Some(Rule {
        when: contains.or(equals).or(matches)?,
        class,
        cause: cause.unwrap_or_else(|| unnamed(class)),
    })
}

fn cause(item: &Item<'_>, class: Option<Class>) -> Option<Cause> {
    let text = item.text()?;
    let known = Cause::ALL.iter().filter(|cause| class.is_none_or(|class| cause.class() == class));
    let codes: Vec<&str> = known.map(|cause| cause.code()).collect();
    match text.parse::<Cause>() {
        Ok(cause) if class.is_none_or(|class| class == cause.class()) => Some(cause),
        Ok(cause) => {
            item.refuse(
                &format!("`{cause}` belongs to class {}", cause.class()),
                Some(format!("causes of this class: {}", codes.join(", "))),
            );
            None
        }
        Err(err) => {
            let hint = super::values::nearest(&text, codes.iter().copied()).map_or_else(
                || format!("known causes: {}", codes.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            item.refuse(&err.to_string(), Some(hint));
            None
        }
    }
}
