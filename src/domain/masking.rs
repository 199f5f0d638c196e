//! What of a definition must not be shown: nobody needs a secret to understand a change (contract, rule 8).

use serde_json::Value;

/// Whether a variable's or header's name says that its value is a secret.
pub(crate) fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase().replace('-', "_");
    let parts = [
        "TOKEN",
        "SECRET",
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "API_KEY",
        "APIKEY",
        "PRIVATE_KEY",
        "ACCESS_KEY",
        "AUTHORIZATION",
        "CREDENTIAL",
        "COOKIE",
    ];
    // `TOKEN_FILE`, `TOKEN_URL` and the like say where a secret is, not what it is.
    let elsewhere = ["_FILE", "_PATH", "_URL", "_DIR", "_NAME", "_ID"];
    (parts.iter().any(|part| name.contains(part))
        || name.split('_').any(|word| word == "PWD" && name != "PWD"))
        && !elsewhere.iter().any(|tail| name.ends_with(tail))
}

/// Whether an address carries a user name or password before its host.
pub(crate) fn has_login(url: &str) -> bool {
    let after = url.split_once("://").map_or("", |(_, rest)| rest);
    after.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

/// `{ credential = … }` and its like read as one value.
pub(crate) fn is_reference(value: Option<&Value>) -> bool {
    value.and_then(Value::as_object).is_some_and(|map| {
        map.len() == 1
            && ["credential", "file", "from_env"].iter().any(|key| map.contains_key(*key))
    })
}

/// What may be shown of the value under `name` of a definition: secrets as `***`, addresses that are secrets as their host.
pub(crate) fn masked(name: &str, value: &Value) -> Value {
    match value {
        Value::String(text) if ["ping", "notify"].contains(&name) => Value::String(host_only(text)),
        Value::String(text) if sounds_secret(name) && !text.is_empty() => {
            Value::String("***".to_owned())
        }
        Value::String(text) if has_login(text) => Value::String("***".to_owned()),
        Value::String(text) => Value::String(without_secrets(text)),
        Value::Array(list) => Value::Array(list.iter().map(|item| masked(name, item)).collect()),
        // A variable as definitions are recorded.
        Value::Object(map) if sounds_secret(name) && map.contains_key("text") => {
            Value::String("***".to_owned())
        }
        Value::Object(map) if !is_reference(Some(value)) => Value::Object(
            map.iter().map(|(name, value)| (name.clone(), masked(name, value))).collect(),
        ),
        other => other.clone(),
    }
}

/// A text without the values that stand behind a secret's name: `token=…`, `"password": "…"`, `X-Api-Key: …`.
fn without_secrets(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['=', ':']) {
        let (before, after) = rest.split_at(at + 1);
        shown.push_str(before);
        rest = after;
        let spoken = before.trim_end_matches(['=', ':']).trim_end_matches(['"', '\'', '\\', ' ']);
        let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let name = spoken.rsplit(|c| !in_name(c)).next().unwrap_or_default();
        if !sounds_secret(name) {
            continue;
        }
        let value = rest.trim_start_matches([' ', '"', '\'', '\\']);
        let (quotes, _) = rest.split_at(rest.len() - value.len());
        // A header's value may hold blanks, one in an address or a command does not.
        let is_header = before.ends_with(':');
        let ends = |c: char| "\"'&,;}\\".contains(c) || (!is_header && c.is_whitespace());
        let end = value.find(ends).unwrap_or(value.len());
        if end > 0 {
            shown.push_str(quotes);
            shown.push_str("***");
            rest = value.split_at(end).1;
        }
    }
    shown.push_str(rest);
    shown
}

/// Whether a text holds a value behind a secret's name. One that a template or a variable fills in is none.
pub(crate) fn holds_secret(text: &str) -> bool {
    let shown = without_secrets(text);
    if shown == text {
        return false;
    }
    // Where something is filled in later, only a word without it can hold the value itself.
    let filled = ["{{", "$"].iter().any(|mark| text.contains(mark));
    !filled
        || text.split_whitespace().any(|word| {
            !["{{", "$"].iter().any(|mark| word.contains(mark)) && without_secrets(word) != word
        })
}

/// An address whose path is its secret, down to its host.
fn host_only(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", ""));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}/***")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_and_the_addresses_of_monitors_are_not_shown() {
        let definition = json!({
            "notify": "https://chat.example/hook/abc",
            "env": {
                "FNAC_TOKEN": { "text": "abcdef" },
                "FNAC_KEY": { "credential": "fnac-key" },
                "FNAC_URL": { "text": "https://api.example" },
            },
            "schedules": { "sales": {
                "ping": "https://me@hc.example/uuid-one",
                "job": { "http": { "url": "https://me:pw@api.example/x" } },
            } },
        });
        let shown = json!({
            "notify": "https://chat.example/***",
            "env": {
                "FNAC_TOKEN": "***",
                "FNAC_KEY": { "credential": "fnac-key" },
                "FNAC_URL": { "text": "https://api.example" },
            },
            "schedules": { "sales": {
                "ping": "https://hc.example/***",
                "job": { "http": { "url": "***" } },
            } },
        });
        assert_eq!(masked("", &definition), shown);
    }

    #[test]
    fn what_stands_behind_a_secrets_name_is_not_shown_wherever_it_stands() {
        for (text, shown) in [
            (
                "https://a.example/x?access_token=abc&day=1",
                "https://a.example/x?access_token=***&day=1",
            ),
            ("X-Api-Key: abc def", "X-Api-Key: ***"),
            (r#"{"user":"me","password":"abc"}"#, r#"{"user":"me","password":"***"}"#),
            ("DB_PASSWORD=abc ./import --day=1", "DB_PASSWORD=*** ./import --day=1"),
            (
                "https://a.example:8080/x?day=2026-11-22T10:00",
                "https://a.example:8080/x?day=2026-11-22T10:00",
            ),
            ("token=", "token="),
        ] {
            assert_eq!(masked("", &json!([text])), json!([shown]), "{text}");
        }
    }

    #[test]
    fn names_that_promise_a_secret_are_told_from_names_that_say_where_it_is() {
        for name in ["FNAC_TOKEN", "db_password", "API_KEY", "X-Api-Key", "Authorization", "DB_PWD"]
        {
            assert!(sounds_secret(name), "{name}");
        }
        for name in ["FNAC_URL", "TOKEN_FILE", "PWD", "KEYBOARD", "SECRET_NAME"] {
            assert!(!sounds_secret(name), "{name}");
        }
    }

    #[test]
    fn an_address_with_a_user_before_its_host_has_a_login() {
        assert!(has_login("https://me:pw@a.example/x"));
        assert!(!has_login("https://a.example/x@y"));
    }
}
