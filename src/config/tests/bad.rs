//! Files with something wrong in them, and what is said about it.

use super::*;
use crate::config::keys::{FILE_TABLES, SCHEDULE};

#[test]
fn all_problems_of_a_file_are_told_at_once_with_line_column_and_nearest_key() {
    let text = r#"name = "FNAC"
timezon = "Europe/Paris"
runbook = "wiki.example"

[limits]
concurrent = 0
rate = "60 a minute"

[schedules.integrate-sales]
cron = "0 */2 * *"
comand = ["./x"]
timeout = "45"

[schedules.Upper]
manual = true

[schedules.empty]
"#;
    let expected = r#"
2:1: `timezon` is not a key of an interface (did you mean `timezone`?)
3:11: `runbook`: does not begin with `https://` or `http://` (an address looks like "https://host.example/path")
6:14: `concurrent`: `0` is out of range; it expects a whole number from 1 to 100000
7:8: `rate`: `60 a minute` is not a rate (write how many, a slash, and a period (s, min, h, d or a duration): "60/min", "100/15m")
9:12: schedule `integrate-sales` does not say what it runs (give one of `command`, `shell` or `http`)
10:8: `cron`: `0 */2 * *` has 4 fields instead of 5 to 7
11:1: `comand` is not a key of a schedule (did you mean `command`?)
12:11: `timeout`: `45` has no unit (write "45s" for seconds, "45m" for minutes, "45h" for hours)
14:12: `Upper` is not a name: 1 to 63 of a-z, 0-9 and `-`, beginning with a letter or digit (rename it)
17:12: schedule `empty` does not say when it runs (give one of `cron`, `every`, `at`, `manual`, `reboot` or `after`)
17:12: schedule `empty` does not say what it runs (give one of `command`, `shell` or `http`)
"#;
    assert_eq!(said(text).replace("schedules/fnac.toml:", ""), expected.trim_start());
}

#[test]
fn the_caret_stands_under_the_part_of_a_pattern_that_is_wrong() {
    let text = "[schedules.a]\nshell = \"a\"\ncron = \"0 99 * * *\"\n";
    let problems = read(text).1;
    let shown = render_all(&problems, Paint::Plain);
    assert!(shown.contains("--> schedules/fnac.toml:3:11"), "{shown}");
    assert!(shown.contains("\n3 | cron = \"0 99 * * *\"\n  |           ^\n"), "{shown}");
    assert!(shown.ends_with("1 error"), "{shown}");
}

#[test]
fn a_text_that_is_not_toml_is_told_with_its_place() {
    let (interface, problems) = read("name = \"FNAC\ntimezone = \"UTC\"\n");
    assert!(interface.is_none());
    let first = problems.first().expect("one");
    assert_eq!(first.line, Some(1), "{first}");
    assert!(first.message.starts_with("not TOML: "), "{first}");
}

#[test]
fn a_secret_is_never_shown_with_the_line_that_it_stands_in() {
    let secret = "s3cr3t-value";
    for text in [
        format!("[env]\nFNAC_TOKEN = \"{secret}\"\n"),
        format!("[schedules.a]\nmanual = true\nshell = \"true\"\nping = \"hc/{secret}\"\n"),
        format!("notify = \"chat/{secret}\"\n"),
        format!("[env]\nDAYBOOK_PASSWORD = \"{secret}\"\n"),
        format!("[env]\nFNAC_TOKEN = \"{secret}\nX = 1\n"),
        format!("http = {{ url = \"https://a.example\", headers = {{ \"x-api-key\" = \"{secret}\n"),
        format!("schedules.a.ping = \"https://hc.example/{secret}\n"),
        format!("env.URL = \"https://me:{secret}@a.example\n"),
        format!("[env]\nURL = \"https://me:{secret}@a.example\"\n"),
        format!(
            "[schedules.a]\nmanual = true\nhttp = {{ url = \"https://me:{secret}@a.example\" }}\n"
        ),
        format!(
            "[schedules.a]\nmanual = true\nhttp = {{ url = \"https://a.example\", headers = {{ authorization = \"{secret}\" }} }}\n"
        ),
    ] {
        let problems = read(&text).1;
        assert!(!problems.is_empty(), "{text}");
        let shown = format!("{}{problems:?}", render_all(&problems, Paint::Plain));
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn text_that_looks_like_a_secret_is_a_warning_and_names_the_remedy() {
    let (interface, _) = read("[env]\nFNAC_TOKEN = \"abcdef\"\n");
    assert!(interface.is_some());
    assert_eq!(
        said("[env]\nFNAC_TOKEN = \"abcdef\"\n"),
        "schedules/fnac.toml:2:14: `FNAC_TOKEN`: looks like a secret in plain text \
         (keep it out of the file: FNAC_TOKEN = { credential = \"fnac-token\" })\n"
    );
}

#[test]
fn a_secret_inside_a_command_an_address_or_a_body_is_a_warning_that_does_not_show_it() {
    let schedule = |job: &str| format!("[schedules.a]\ncron = \"@daily\"\n{job}\n");
    for job in [
        r#"command = ["./sync", "--password=abcdef"]"#,
        r#"shell = "curl -H 'X-Api-Key: abcdef' https://a.example""#,
        r#"shell = '''curl -d '{"password": "abcdef"}' https://a.example'''"#,
        r#"http = { url = "https://a.example/?token=abcdef" }"#,
        r#"http = { url = "https://a.example", method = "POST", body = '{"api_key":"abcdef"}' }"#,
    ] {
        let (interface, problems) = read(&schedule(job));
        let shown = format!("{}{problems:?}", render_all(&problems, Paint::Plain));
        assert!(interface.is_some(), "{shown}");
        assert!(shown.contains("holds a secret in plain text"), "{job}: {shown}");
        assert!(!shown.contains("abcdef"), "{shown}");
    }
    for job in [
        "command = [\"./sync\", \"--password={{ param.pw }}\"]\nparams.pw = {}",
        r#"shell = 'curl -H "Authorization: Bearer $TOKEN" https://a.example'"#,
        r#"shell = "login --password=$PW --user=a""#,
        r#"command = ["./sync", "--token-file=/etc/token"]"#,
    ] {
        assert_eq!(said(&schedule(job)), "", "{job}");
    }
}

/// Lines under `[schedules.a]` that is otherwise in order, and what is said about them, without place and hint.
const BAD_KEYS: &[(&str, &str)] = &[
    ("enabled = \"yes\"", "`enabled`: expects true or false, not text"),
    ("timezone = \"Mars/Base\"", "`timezone`: `Mars/Base` is not a time zone"),
    ("timezone = \"\"", "`timezone`: is empty; it expects a zone name such as \"Europe/Paris\""),
    ("anchor = \"2026-01-01T00:00:00Z\"", "`anchor`: counts only beside `every`"),
    ("cwd = 3", "`cwd`: expects text, not a whole number"),
    ("params.day = \"x\"", "`day`: expects a table: params.<name>, not text"),
    ("params.Day = {}", "`Day` is not a parameter's name"),
    ("params.day = { defalt = \"x\" }", "`defalt` is not a key of a parameter"),
    (
        "params.day = { default = \"{{ slot.dat }}\" }",
        "`default`: `{{ slot.dat }}` is not a known template",
    ),
    ("params = { a-b = {}, a_b = {} }", "would both be DAYBOOK_PARAM_A_B"),
    ("ok_exit = []", "`ok_exit`: is empty: no exit status could ever be a success"),
    (
        "ok_exit = [0, 256]",
        "`ok_exit[1]`: `256` is out of range; it expects a whole number from 0 to 255",
    ),
    (
        "ok_exit = 0",
        "`ok_exit`: expects a list, each item a whole number from 0 to 255, not a whole number",
    ),
    ("timeout = \"0s\"", "`timeout`: must be longer than 0s"),
    ("timeout = 45", "`timeout`: `45` has no unit"),
    ("timeout = \"soon\"", "`timeout`: `soon` is not a duration"),
    (
        "anomaly_after = true",
        "`anomaly_after`: expects a duration such as \"45m\", not true or false",
    ),
    ("retry = 3", "`retry`: expects a table: retry = { … }, not a whole number"),
    (
        "retry = { attempts = 0 }",
        "`attempts`: `0` is out of range; it expects a whole number from 1 to 100",
    ),
    (
        "retry = { attempts = 2, factor = 0.5 }",
        "`factor`: `0.5` is out of range; it expects a number from 1",
    ),
    (
        "retry = { attempts = 2, factor = nan }",
        "`factor`: `nan` is out of range; it expects a number from 1",
    ),
    ("retry = { attempts = 2, delay = \"1h\" }", "`retry`: `delay` is longer than `max_delay`"),
    (
        "retry = { attempts = 2, on = [\"extern\"] }",
        "`on[0]`: `extern` is not `external`, `configuration`, `mapping`, `technical` or `cascade`",
    ),
    (
        "overlap = \"skipp\"",
        "`overlap`: `skipp` is not `skip`, `queue`, `queue-all`, `allow` or `cancel-running`",
    ),
    ("catch_up = { mode = \"newest\" }", "`mode`: `newest` is not `none`, `last` or `all`"),
    ("catch_up = { max = 0 }", "`max`: `0` is out of range"),
    ("catch_up = { mode = \"all\", rate = \"fast\" }", "`rate`: `fast` is not a rate"),
    ("catch_up = \"none\"", "`catch_up`: expects a table: catch_up = { … }, not text"),
    ("dst = { gap = \"jump\" }", "`gap`: `jump` is not `shift` or `skip`"),
    ("dst = { fold = 1 }", "`fold`: expects `first`, `last` or `both`, not a whole number"),
    ("role = \"error\"", "`role`: `error` is not `regular`, `errors` or `maintenance`"),
    ("on_interrupt = \"retry\"", "`on_interrupt`: `retry` is not `ko` or `rerun`"),
    ("max_log = \"1 gib\"", "`max_log`: `1 gib` is not a size"),
    ("ping = \"hc-ping.com/x\"", "`ping`: does not begin with `https://` or `http://`"),
    (
        "priority = 1.5",
        "`priority`: expects a whole number from -1000 to 1000, not a number with a point",
    ),
    ("lock = 1", "`lock`: expects text, not a whole number"),
    ("splay = \"3\"", "`splay`: `3` has no unit"),
    ("exclude = \"fr\"", "`exclude`: expects a list, each item a name in small letters"),
    ("exclude = [\"Fr\"]", "`exclude[0]`: `Fr` is not a name"),
    (
        "only = [1]",
        "`only[0]`: expects a name in small letters, digits and dashes, not a whole number",
    ),
    ("only = []", "`only`: is empty: there would be no date to run on"),
    ("name = \"x\"", "`name` is not a key of a schedule"),
];

#[test]
fn each_key_of_a_schedule_refuses_what_it_cannot_mean() {
    for (line, why) in BAD_KEYS {
        let text = format!("[schedules.a]\nmanual = true\ncommand = [\"true\"]\n{line}\n");
        let (interface, _) = read(&text);
        assert!(interface.is_none(), "accepted: {line}");
        assert!(said(&text).contains(why), "{line}: {}", said(&text));
    }
}

/// What says when and what a schedule runs, and what is said about it.
const BAD_WHEN_AND_WHAT: &[(&str, &str)] = &[
    (
        "command = [\"a\"]",
        "schedule `a` does not say when it runs (give one of `cron`, `every`, `at`, `manual`, `reboot` or `after`)",
    ),
    (
        "manual = true",
        "schedule `a` does not say what it runs (give one of `command`, `shell` or `http`)",
    ),
    (
        "manual = true\ncron = \"@daily\"\nshell = \"a\"",
        "`cron` beside `manual`: schedule `a` must say when it runs exactly once",
    ),
    (
        "manual = true\nshell = \"a\"\ncommand = [\"a\"]",
        "`command` beside `shell`: schedule `a` must say what it runs exactly once",
    ),
    ("manual = false\nshell = \"a\"", "`manual`: can only be true"),
    ("reboot = 1\nshell = \"a\"", "`reboot`: expects true, not a whole number"),
    (
        "after = { schedule = \"sales\" }\nshell = \"a\"",
        "`sales` is not a schedule's full name: write `<interface>/<schedule>`",
    ),
    ("realtime = true\nshell = \"a\"", "`realtime` is not supported by this version yet"),
    ("manual = true\nsync = {}", "`sync` is not supported by this version yet"),
    ("manual = true\naction = {}", "`action` is not supported by this version yet"),
    ("cron = \"0 0 * *\"\nshell = \"a\"", "`cron`: `0 0 * *` has 4 fields instead of 5 to 7"),
    (
        "cron = 5\nshell = \"a\"",
        "`cron`: expects a cron pattern such as \"0 */2 * * *\", not a whole number",
    ),
    ("every = \"500ms\"\nshell = \"a\"", "`every`: must be whole seconds, at least 1s"),
    ("every = \"0s\"\nshell = \"a\"", "`every`: must be whole seconds, at least 1s"),
    ("every = \"1m\"\nanchor = \"noon\"\nshell = \"a\"", "`anchor`: `noon` is not an instant"),
    ("at = \"2026-12-24T18:00Z\"\nshell = \"a\"", "`at`: `2026-12-24T18:00Z` is not a local time"),
    ("at = \"2026-02-30T18:00\"\nshell = \"a\"", "`at`: `2026-02-30T18:00` is not a local time"),
    ("at = 2026-12-24T18:00:00Z\nshell = \"a\"", "leave the offset out"),
    (
        "manual = true\ncommand = \"./a --b\"",
        "`command`: expects a list: the program and its arguments, not text (write command = [\"./a\", \"--b\"]",
    ),
    ("manual = true\ncommand = []", "`command`: is empty: it names no program"),
    ("manual = true\ncommand = [\"\"]", "`command[0]`: is empty: it names no program"),
    ("manual = true\ncommand = [\"a\", 1]", "`command[1]`: expects text, not a whole number"),
    (
        "manual = true\ncommand = [\"a\", \"{{ param.day }}\"]",
        "`command[1]`: `{{ param.day }}` is not a known template",
    ),
    ("manual = true\nshell = \"\"", "`shell`: is empty; it expects text"),
    (
        "manual = true\nshell = \"a {{ slot.at }}\"",
        "`shell`: templates such as `{{ slot.… }}` are not filled in here (use the variable: \"$DAYBOOK_SLOT\")",
    ),
    (
        "manual = true\nhttp = \"https://a.example\"",
        "`http`: expects a table: http = { … }, not text",
    ),
    ("manual = true\nhttp = {}", "an HTTP call needs `url`"),
    (
        "manual = true\nhttp = { url = \"a.example\" }",
        "`url`: does not begin with `https://` or `http://`",
    ),
    (
        "manual = true\nhttp = { url = \"https://a.example/{{ x }}\" }",
        "`url`: `{{ x }}` is not a known template",
    ),
    (
        "manual = true\nhttp = { url = \"https://a.example\", method = \"get\" }",
        "`method`: `get` is not `GET`",
    ),
    (
        "manual = true\nhttp = { url = \"https://a.example\", expect = [99] }",
        "`expect[0]`: `99` is out of range",
    ),
    (
        "manual = true\nhttp = { url = \"https://a.example\", headers = { \"a b\" = \"c\" } }",
        "`a b` is not a header's name",
    ),
    (
        "manual = true\nhttp = { url = \"https://a.example\", headers = { A = \"1\", a = \"2\" } }",
        "stands twice",
    ),
    (
        "manual = true\nhttp = { url = \"https://a.example\", headers = { a = \"1\\n2\" } }",
        "holds a line end",
    ),
    (
        "manual = true\nhttp = { url = \"https://a.example\", body = 1 }",
        "`body`: expects text, not a whole number",
    ),
    (
        "manual = true\nhttp = { url = \"https://a.example\", max_body = 1 }",
        "`max_body`: expects a size such as \"1GiB\", not a whole number",
    ),
];

#[test]
fn each_way_to_say_when_and_what_refuses_what_it_cannot_mean() {
    for (lines, why) in BAD_WHEN_AND_WHAT {
        let text = format!("[schedules.a]\n{lines}\n");
        assert!(read(&text).0.is_none(), "accepted: {lines}");
        assert!(said(&text).contains(why), "{lines}: {}", said(&text));
    }
}

#[test]
fn each_key_of_an_interface_refuses_what_it_cannot_mean() {
    for (text, why) in [
        ("name = \"\"", "`name`: is empty; it expects text"),
        ("type = \"External Sales\"", "`type`: `External Sales` is not a name"),
        ("timezone = \"+02:00\"", "`timezone`: `+02:00` is not a time zone"),
        ("owner = []", "`owner`: expects text, not a list"),
        ("runbook = \"wiki\"", "`runbook`: does not begin with"),
        ("labels = { a = 1 }", "`a`: expects text, not a whole number"),
        ("notify = 1", "`notify`: expects an address"),
        ("retention = \"90d\"", "`retention`: expects a table: [retention], not text"),
        ("retention = { ok = \"0d\" }", "`ok`: must be longer than 0s"),
        ("retention = { ko = 90 }", "`ko`: `90` has no unit"),
        ("retention = { lines = \"x\" }", "`lines`: `x` is not a duration"),
        (
            "retention = { count = 0 }",
            "`count`: `0` is out of range; it expects a whole number from 1",
        ),
        ("retention = { bytes = \"1\" }", "`bytes`: `1` is not a size"),
        ("limits = { concurrent = -1 }", "`concurrent`: `-1` is out of range"),
        ("limits = { rate = \"60/mn\" }", "`rate`: `60/mn` names no period"),
        ("limits = { rate = 60 }", "`rate`: expects a rate such as \"60/min\", not a whole number"),
        ("env = []", "`env`: expects a table of names with values, not a list"),
        ("env = { \"1A\" = \"x\" }", "`1A` is not a variable's name"),
        ("env = { DAYBOOK_X = \"x\" }", "names that begin with DAYBOOK_ are Daybook's own"),
        ("env = { A = 1 }", "`A`: expects text, { credential = \"…\" }"),
        (
            "env = { A = {} }",
            "a secret does not say where the value is read (give one of `credential`, `file` or `from_env`)",
        ),
        ("env = { A = { credential = \"a\", file = \"b\" } }", "`file` beside `credential`"),
        (
            "env = { A = { credential = \"../a\" } }",
            "`credential`: `../a` is not a credential's name",
        ),
        ("env = { A = { secret = \"a\" } }", "`secret` is not a key of a secret"),
        ("env = { A = \"{{ slot.dat }}\" }", "`A`: `{{ slot.dat }}` is not a known template"),
        ("[[rules]]\nclass = \"mapping\"", "a rule does not say how a line is compared"),
        ("[[rules]]\ncontains = \"x\"", "a rule needs `class`"),
        (
            "[[rules]]\ncontains = \"x\"\nequals = \"x\"\nclass = \"mapping\"",
            "`equals` beside `contains`",
        ),
        (
            "[[rules]]\ncontains = \"x\"\nclass = \"mappings\"",
            "`class`: `mappings` is not `external`",
        ),
        (
            "[[rules]]\ncontains = \"x\"\nclass = \"mapping\"\ncause = \"EXT-DNS\"",
            "`cause`: `EXT-DNS` belongs to class external",
        ),
        (
            "[[rules]]\ncontains = \"x\"\nclass = \"mapping\"\ncause = \"MAP-FILD\"",
            "`MAP-FILD` is not a cause (did you mean `MAP-FIELD`?)",
        ),
        (
            "[[rules]]\nmatches = \"(\"\nclass = \"mapping\"",
            "`matches`: is not a regular expression: unclosed group",
        ),
        ("schedules = 1", "`schedules`: expects a table of names with values, not a whole number"),
        ("schedules.a_b = {}", "`a_b` is not a name: 1 to 63 of a-z, 0-9 and `-`"),
        ("timezone = \"UTC\"\ntimezone = \"UTC\"", "not TOML: "),
    ] {
        let text = format!("{text}\n");
        assert!(read(&text).0.is_none(), "accepted: {text}");
        assert!(said(&text).contains(why), "{text}{}", said(&text));
    }
}

#[test]
fn an_unknown_key_is_answered_with_the_one_that_was_meant() {
    for (text, hint) in [
        ("tz = \"UTC\"\n", "did you mean `timezone`?"),
        ("enviroment = {}\n", "did you mean `env`?"),
        ("cron = \"@daily\"\n", "`cron` belongs to a schedule: [schedules.<id>]"),
        ("banana = 1\n", "known keys: name, type, timezone"),
    ] {
        let said = said(text);
        assert!(said.contains(hint), "{said}");
    }
}

#[test]
fn every_key_that_belongs_to_a_later_version_is_refused_and_never_ignored() {
    for table in FILE_TABLES {
        for key in table.keys.iter().filter(|key| key.later) {
            let text = match table.place {
                "top of the file" => format!("{} = 1\n", key.name),
                "catch_up = { … }" => format!("[schedules.a.catch_up]\n{} = 1\n", key.name),
                _ => format!("[schedules.a]\n{} = 1\n", key.name),
            };
            let wanted = format!("`{}` is not supported by this version yet", key.name);
            assert!(said(&text).contains(&wanted), "{text}{}", said(&text));
        }
    }
    assert!(SCHEDULE.key("realtime").is_some_and(|key| key.later));
}

#[test]
fn a_template_in_env_must_hold_for_every_schedule() {
    let text = "[env]\nDAY = \"{{ param.day }}\"\n[schedules.a]\nmanual = true\nshell = \"a\"\nparams.day = {}\n[schedules.b]\nmanual = true\nshell = \"b\"\n";
    assert_eq!(
        said(text),
        "schedules/fnac.toml:2:7: `DAY`: for schedule `b`: `{{ param.day }}` is not a known template\n"
    );
}

#[test]
fn what_is_misleading_is_a_warning() {
    for (lines, why) in [
        ("cron = \"*/7 * * * *\"", "`cron`: `*/7` starts anew at each full hour"),
        (
            "every = \"10s\"\nping = \"https://hc.example/x\"",
            "`ping`: up to 12 pings a minute; monitors refuse more than 5",
        ),
        (
            "cron = \"* * * * * *\"\nping = \"https://hc.example/x\"",
            "`ping`: up to 120 pings a minute",
        ),
        ("manual = true\nretry = {}", "`retry` does nothing while `attempts` is 1"),
    ] {
        let text = format!("[schedules.a]\nshell = \"a\"\n{lines}\n");
        let (interface, problems) = read(&text);
        assert!(interface.is_some(), "{}", said(&text));
        assert_eq!(problems.len(), 1, "{}", said(&text));
        assert!(said(&text).contains(why), "{}", said(&text));
    }
    schedule("every = \"30s\"\nping = \"https://hc.example/x\"\n");
}
