//! Every key with a value that is accepted, and what it becomes.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::civil::Local;
use crate::config::keys::{FILE_TABLES, INTERFACE};
use crate::config::{document, json_schema};
use crate::domain::blackout::{Blackout, TimeOfDay};
use crate::domain::calendar::Weekday;
use crate::domain::cause::Cause;
use crate::domain::class::Class;
use crate::domain::definition::*;
use crate::ids::CalendarId;
use crate::instant::Instant;

/// The example of the contract, without the keys of later versions.
const FNAC: &str = r#"
name = "FNAC sales"
type = "external-sales"
timezone = "Europe/Paris"
owner = "ticketing-ops"
runbook = "https://wiki.example/fnac"
labels = { customer = "fnac" }
retention = { ok = "90d", ko = "400d", lines = "90d", count = 1000, bytes = "10GiB" }
notify = "https://chat.example/hook"
blackout = [
    "inventory",
    { days = ["Sunday", "sat"], from = "22:00", to = "06:00" },
    { days = ["mon"] },
    { from = 2026-12-24T18:00:00, to = "2026-12-27 06:00" },
]

[env]
FNAC_URL = "https://api.fnac.example"
FNAC_TOKEN = { credential = "fnac-token" }
FNAC_KEY = { file = "/run/secrets/key" }
FNAC_USER = { from_env = "FNAC_USER" }

[limits]
concurrent = 2
rate = "60/min"

[[rules]]
contains = "no product for code"
class = "mapping"
cause = "MAP-FIELD"

[[rules]]
equals = "quota"
class = "external"

[[rules]]
matches = "code \\d+"
class = "technical"

[schedules.integrate-sales]
cron = "0 */2 * * *"
command = ["./integrate-sales", "--since", "{{ slot.last_ok }}", "{{ param.day }}"]
cwd = "jobs"
params.day = { default = "{{ slot.date }}" }
params.shop = {}
ok_exit = [3, 0]
timeout = "45m"
anomaly_after = "2h"
retry = { attempts = 3, delay = "10s", factor = 1.5, max_delay = "5m", on = ["external"] }
overlap = "allow"
catch_up = { mode = "none", window = "2h" }
dst = { gap = "skip", fold = "both" }
role = "errors"
on_interrupt = "rerun"
max_log = "64MiB"
ping = "https://hc-ping.com/uuid"
priority = 5
exclude = ["fr-holidays", "inventory"]
only = ["trading-days"]

[schedules.probe]
every = "90s"
anchor = "2026-01-01T00:00:00Z"
timezone = "Asia/Tokyo"
enabled = false

[schedules.probe.http]
url = "https://api.fnac.example/health?day={{ slot.date }}"
method = "POST"
headers = { Authorization = { credential = "auth" }, accept = "text/plain" }
body = "{{ execution.id }}"
expect = [404, 200]
max_body = "8MiB"
"#;

fn named(name: &str) -> CalendarId {
    name.parse().expect("a name")
}

#[test]
fn each_kind_of_blackout_reaches_the_definition() {
    let time = |text: &str| text.parse().expect("a time");
    let local = |text: &str| Local::parse(text).expect("a local time");
    let (from, to) = (time("22:00"), time("06:00"));
    assert_eq!(
        accepted(FNAC).blackout,
        [
            Blackout::Calendar(named("inventory")),
            Blackout::Weekly { days: [Weekday::Sat, Weekday::Sun].into(), from, to },
            Blackout::Weekly {
                days: [Weekday::Mon].into(),
                from: TimeOfDay::START,
                to: TimeOfDay::END
            },
            Blackout::Once { from: local("2026-12-24T18:00"), to: local("2026-12-27T06:00") },
        ]
    );
}

#[test]
fn the_example_of_the_contract_becomes_this_definition() {
    let interface = accepted(FNAC);
    assert_eq!(interface.name, "FNAC sales");
    assert_eq!(interface.kind.as_deref(), Some("external-sales"));
    assert_eq!(interface.timezone, "Europe/Paris");
    assert_eq!(interface.owner.as_deref(), Some("ticketing-ops"));
    assert_eq!(interface.runbook.as_deref(), Some("https://wiki.example/fnac"));
    assert_eq!(interface.labels, BTreeMap::from([("customer".to_owned(), "fnac".to_owned())]));
    assert_eq!(interface.notify.as_deref(), Some("https://chat.example/hook"));
    assert_eq!(
        interface.limits,
        Limits { concurrent: Some(2), rate: Some(Rate { count: 60, per_ms: 60_000 }) }
    );
    let day = 86_400_000;
    assert_eq!(
        interface.retention,
        Retention {
            ok_ms: Some(90 * day),
            ko_ms: Some(400 * day),
            lines_ms: Some(90 * day),
            count: Some(1000),
            bytes: Some(10 << 30)
        }
    );
    let text = |text: &str| text.to_owned();
    assert_eq!(
        interface.env.into_values().collect::<Vec<_>>(),
        [
            EnvValue::File(text("/run/secrets/key")),
            EnvValue::Credential(text("fnac-token")),
            EnvValue::Text(text("https://api.fnac.example")),
            EnvValue::FromEnv(text("FNAC_USER")),
        ]
    );
    assert_eq!(
        interface.rules,
        [
            Rule {
                when: Match::Contains(text("no product for code")),
                class: Class::Mapping,
                cause: Cause::MapField
            },
            Rule {
                when: Match::Equals(text("quota")),
                class: Class::External,
                cause: Cause::ExtOther
            },
            Rule {
                when: Match::Matches(text("code \\d+")),
                class: Class::Technical,
                cause: Cause::TecUnclassified
            },
        ]
    );
}

#[test]
fn each_key_of_a_schedule_reaches_the_definition() {
    let mut schedules = accepted(FNAC).schedules.into_values();
    let sales = schedules.next().expect("first");
    let text = |text: &str| text.to_owned();
    assert_eq!(
        sales,
        Schedule {
            enabled: true,
            timing: Timing::Cron(text("0 */2 * * *")),
            timezone: text("Europe/Paris"),
            job: Job::Command(vec![
                text("./integrate-sales"),
                text("--since"),
                text("{{ slot.last_ok }}"),
                text("{{ param.day }}")
            ]),
            cwd: text("jobs"),
            params: BTreeMap::from([
                (text("day"), Param { default: Some(text("{{ slot.date }}")) }),
                (text("shop"), Param { default: None }),
            ]),
            ok_exit: vec![0, 3],
            timeout_ms: Some(2_700_000),
            anomaly_after_ms: 7_200_000,
            retry: Retry {
                attempts: 3,
                delay_ms: 10_000,
                factor: 1.5,
                max_delay_ms: 300_000,
                on: vec![Class::External]
            },
            overlap: Overlap::Allow,
            catch_up: CatchUp {
                mode: CatchUpMode::None,
                window_ms: 7_200_000,
                max: 24,
                rate: None
            },
            dst: Dst { gap: Some(Gap::Skip), fold: Some(Fold::Both) },
            role: Role::Errors,
            on_interrupt: OnInterrupt::Rerun,
            max_log_bytes: 64 << 20,
            ping: Some(text("https://hc-ping.com/uuid")),
            priority: 5,
            lock: None,
            splay_ms: 0,
            calendars: Some(Box::new(ScheduleCalendars {
                exclude: vec![named("fr-holidays"), named("inventory")],
                only: vec![named("trading-days")],
            })),
        }
    );
    let probe = schedules.next().expect("second");
    assert!(!probe.enabled);
    assert_eq!(probe.timezone, "Asia/Tokyo");
    let anchor = Instant::parse("2026-01-01T00:00:00Z").expect("valid");
    assert_eq!(probe.timing, Timing::Every { period_ms: 90_000, anchor: Some(anchor) });
    assert_eq!(
        probe.job,
        Job::Http(Box::new(Http {
            method: text("POST"),
            url: text("https://api.fnac.example/health?day={{ slot.date }}"),
            headers: BTreeMap::from([
                (text("accept"), EnvValue::Text(text("text/plain"))),
                (text("authorization"), EnvValue::Credential(text("auth"))),
            ]),
            body: Some(text("{{ execution.id }}")),
            expect: vec![200, 404],
            max_body_bytes: 8 << 20,
        }))
    );
}

#[test]
fn all_but_when_and_what_has_a_default() {
    let interface = accepted("[schedules.a]\nmanual = true\nshell = \"true\"\n");
    assert_eq!((interface.name.as_str(), interface.timezone.as_str()), ("fnac", "UTC"));
    assert_eq!((interface.kind, interface.owner), (None, None));
    let schedule = interface.schedules.into_values().next().expect("one");
    assert_eq!(
        schedule,
        Schedule {
            enabled: true,
            timing: Timing::Manual,
            timezone: "UTC".to_owned(),
            job: Job::Shell("true".to_owned()),
            cwd: ".".to_owned(),
            params: BTreeMap::new(),
            ok_exit: vec![0],
            timeout_ms: None,
            anomaly_after_ms: 3_600_000,
            retry: Retry {
                attempts: 1,
                delay_ms: 30_000,
                factor: 2.0,
                max_delay_ms: 600_000,
                on: vec![]
            },
            overlap: Overlap::Skip,
            catch_up: CatchUp {
                mode: CatchUpMode::Last,
                window_ms: 86_400_000,
                max: 24,
                rate: None
            },
            dst: Dst { gap: None, fold: None },
            role: Role::Regular,
            on_interrupt: OnInterrupt::Ko,
            max_log_bytes: 1 << 30,
            ping: None,
            priority: 0,
            lock: None,
            splay_ms: 0,
            calendars: None,
        }
    );
}

#[test]
fn each_way_to_say_when_becomes_a_kind() {
    for (line, timing) in [
        ("cron = \"@daily\"", Timing::Cron("@daily".to_owned())),
        ("cron = \" 0 1 * * * \"", Timing::Cron("0 1 * * *".to_owned())),
        ("cron = \"@reboot\"", Timing::Reboot),
        ("reboot = true", Timing::Reboot),
        ("manual = true", Timing::Manual),
        ("every = \"1h30m\"", Timing::Every { period_ms: 5_400_000, anchor: None }),
        ("at = \"2026-12-24T18:00\"", Timing::At("2026-12-24T18:00".to_owned())),
        ("at = \"2026-12-24 18:00:30\"", Timing::At("2026-12-24T18:00:30".to_owned())),
        ("at = 2026-12-24T18:00:00", Timing::At("2026-12-24T18:00".to_owned())),
    ] {
        assert_eq!(schedule(&format!("{line}\n")).timing, timing, "{line}");
    }
    let anchored = schedule("every = \"1m\"\nanchor = 2026-01-01T01:00:00+01:00\n");
    let anchor = Instant::parse("2026-01-01T00:00:00Z").expect("valid");
    assert_eq!(anchored.timing, Timing::Every { period_ms: 60_000, anchor: Some(anchor) });
}

#[test]
fn a_shell_text_may_hold_braces_of_other_tools() {
    let job = schedule("shell = \"docker ps --format '{{.Names}}'\"\n").job;
    assert_eq!(job, Job::Shell("docker ps --format '{{.Names}}'".to_owned()));
}

/// Each example of the tables of keys, which the schema and the reference show, is accepted in its place.
#[test]
fn each_documented_example_is_accepted() {
    for table in FILE_TABLES {
        for key in table.accepted() {
            assert!(!key.example.is_empty(), "{}: {} has no example", table.name, key.name);
            let line = format!("{} = {}", key.name, key.example);
            let when_and_what = |line: &str| {
                let when = if ["cron", "every", "at", "manual", "reboot", "after"]
                    .iter()
                    .any(|k| line.starts_with(&format!("{k} =")))
                {
                    ""
                } else {
                    "every = \"5m\"\n"
                };
                let what = if ["command", "shell", "http"]
                    .iter()
                    .any(|k| line.starts_with(&format!("{k} =")))
                {
                    ""
                } else {
                    "command = [\"true\"]\n"
                };
                format!("[schedules.a]\n{when}{what}{line}\n")
            };
            let text = match table.place {
                "top of the file" => format!("{line}\n"),
                "[limits]" | "[retention]" => format!("{}\n{line}\n", table.place),
                "[[rules]]" if key.name == "class" => {
                    format!("[[rules]]\n{line}\ncontains = \"x\"\n")
                }
                "[[rules]]" if key.name == "cause" => {
                    format!("[[rules]]\n{line}\nclass = \"mapping\"\ncontains = \"x\"\n")
                }
                "[[rules]]" => format!("[[rules]]\n{line}\nclass = \"mapping\"\n"),
                "[schedules.<id>]" => when_and_what(&line),
                "http = { … }" if key.name == "url" => {
                    when_and_what(&format!("http = {{ {line} }}"))
                }
                "http = { … }" => {
                    when_and_what(&format!("http = {{ url = \"https://a.example\", {line} }}"))
                }
                "params.<name>" => when_and_what(&format!("params.day = {{ {line} }}")),
                "retry = { … }" if key.name == "attempts" => {
                    when_and_what(&format!("retry = {{ {line} }}"))
                }
                "retry = { … }" => when_and_what(&format!("retry = {{ attempts = 2, {line} }}")),
                "catch_up = { … }" if ["max", "rate"].contains(&key.name) => {
                    when_and_what(&format!("catch_up = {{ mode = \"all\", {line} }}"))
                }
                "catch_up = { … }" => when_and_what(&format!("catch_up = {{ {line} }}")),
                "after = { … }" if key.name == "schedule" => {
                    format!("[schedules.a]\nshell = \"a\"\nafter = {{ {line} }}\n")
                }
                "after = { … }" => format!(
                    "[schedules.a]\nshell = \"a\"\nafter = {{ schedule = \"shop/sales\", {line} }}\n"
                ),
                "dst = { … }" => when_and_what(&format!("dst = {{ {line} }}")),
                "blackout = [{ … }]" => format!("blackout = [{{ {line} }}]\n"),
                _ => format!("[env]\nX = {{ {line} }}\n"),
            };
            accepted(&text);
        }
    }
}

#[test]
fn a_definition_written_back_as_a_file_is_the_same_definition() {
    for text in
        [FNAC, "[schedules.a]\nat = \"2026-12-24T18:00\"\nhttp = { url = \"https://a.example\" }\n"]
    {
        let interface = accepted(text);
        let written = toml::to_string(&document(&interface)).expect("TOML");
        assert_eq!(accepted(&written), interface, "{written}");
    }
}

/// The schema is made of the same tables; this compares it with what the parser says about each name.
#[test]
fn the_schema_accepts_exactly_the_keys_that_the_parser_accepts() {
    let schema = json_schema();
    let properties = |pointer: &str| -> Vec<String> {
        let found = schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is missing"));
        assert_eq!(found["additionalProperties"], json!(false), "{pointer}");
        found["properties"].as_object().expect("an object").keys().cloned().collect()
    };
    let schedule = "/properties/schedules/additionalProperties";
    for (pointer, template) in [
        (String::new(), "KEY = 1\n"),
        ("/properties/limits".to_owned(), "[limits]\nKEY = {}\n"),
        ("/properties/retention".to_owned(), "[retention]\nKEY = {}\n"),
        ("/properties/blackout/items/oneOf/1".to_owned(), "blackout = [{ KEY = -5000 }]\n"),
        ("/properties/rules/items".to_owned(), "[[rules]]\nKEY = {}\n"),
        (schedule.to_owned(), "[schedules.a]\nKEY = -5000\n"),
        (format!("{schedule}/properties/http"), "[schedules.a.http]\nKEY = -5000\n"),
        (format!("{schedule}/properties/retry"), "[schedules.a.retry]\nKEY = {}\n"),
        (format!("{schedule}/properties/catch_up"), "[schedules.a.catch_up]\nKEY = {}\n"),
        (format!("{schedule}/properties/dst"), "[schedules.a.dst]\nKEY = {}\n"),
    ] {
        for key in properties(&pointer) {
            let said = said(&template.replace("KEY", &key));
            // A wrong value of a known key proves that the parser looks at it.
            assert!(
                said.contains(&format!("`{key}`: ")),
                "the parser does not read {pointer}/{key}:\n{said}"
            );
            assert!(!said.contains(&format!("`{key}` is not a key")), "{said}");
        }
        let said = said(&template.replace("KEY", "zzzzzz"));
        assert!(said.contains("`zzzzzz` is not a key"), "{pointer}: {said}");
    }
    assert_eq!(properties("").len(), INTERFACE.accepted().count());
}
