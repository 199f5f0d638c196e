use super::*;
use crate::config::problem::{Paint, render_all};

fn env() -> Environment {
    Environment::from_iter([("HOME", "/home/a")])
}

fn load(flags: &Flags, env: &Environment, text: &str) -> Result<Settings, Vec<Problem>> {
    Settings::from_parts(flags, env, ("/etc/daybook/daybook.toml", text), false)
}

fn shown(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

#[test]
fn a_flag_wins_over_a_variable_over_the_file_over_the_default() {
    let text = "max_concurrent = 3\ngrace = \"3s\"\nlog_level = \"debug\"\n";
    let env = Environment::from_iter([
        ("HOME", "/home/a"),
        ("DAYBOOK_MAX_CONCURRENT", "2"),
        ("DAYBOOK_GRACE", "2s"),
    ]);
    let flags = Flags::from([("max_concurrent", "1".to_owned())]);
    let settings = load(&flags, &env, text).expect("valid");
    assert_eq!(
        (settings.max_concurrent.value, settings.max_concurrent.origin.to_string().as_str()),
        (1, "--max-concurrent")
    );
    assert_eq!(settings.grace.value, Duration::from_secs(2));
    assert_eq!(settings.grace.origin.to_string(), "$DAYBOOK_GRACE");
    assert_eq!(settings.log_level.origin.to_string(), "/etc/daybook/daybook.toml:3");
    assert_eq!(settings.listen.origin.to_string(), "default");
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let settings = load(&Flags::new(), &env(), "").expect("valid");
    assert_eq!(settings.data.value, Path::new("/home/a/.local/state/daybook"));
    assert_eq!(settings.socket.value, Path::new("/home/a/.local/state/daybook/daybook.sock"));
    assert_eq!(settings.schedules.value, Path::new("/etc/daybook/schedules"));
    assert_eq!(settings.listen.value.to_string(), "127.0.0.1:7474");
    assert_eq!(settings.max_concurrent.value, 128);
    let here = Settings::from_parts(&Flags::new(), &env(), ("", ""), true).expect("valid");
    assert_eq!(here.schedules.value, Path::new("schedules"));
}

#[test]
fn the_service_keeps_its_data_and_socket_where_systemd_says() {
    let env = Environment::from_iter([
        ("STATE_DIRECTORY", "/var/lib/daybook:/var/lib/other"),
        ("RUNTIME_DIRECTORY", "/run/daybook"),
        ("XDG_STATE_HOME", "/x"),
    ]);
    let settings = load(&Flags::new(), &env, "").expect("valid");
    assert_eq!(settings.data.value, Path::new("/var/lib/daybook"));
    assert_eq!(settings.socket.value, Path::new("/run/daybook/daybook.sock"));
}

#[test]
fn without_any_home_the_data_folder_must_be_named() {
    let refused = load(&Flags::new(), &Environment::default(), "").expect_err("no home");
    assert!(
        shown(&refused).starts_with("--data: --data DIR or DAYBOOK_DATA"),
        "{}",
        shown(&refused)
    );
}

#[test]
fn all_problems_of_all_layers_are_told_at_once_with_their_place() {
    let text = "max_concurent = 3\nlisten = \"nowhere\"\ngrace = 10\nmetrics = \"opne\"\nping = \"hc/SECRET\"\n";
    let env = Environment::from_iter([("HOME", "/h"), ("DAYBOOK_MAX_CONCURRENT", "0")]);
    let flags = Flags::from([("ping_every", "1s".to_owned())]);
    let refused = load(&flags, &env, text).expect_err("bad");
    let expected = r#"
/etc/daybook/daybook.toml:1:1: `max_concurent` is not a key of daybook.toml (did you mean `max_concurrent`?)
/etc/daybook/daybook.toml:2:10: `listen`: `nowhere` is not an address with a port (write "127.0.0.1:7474", "[::1]:7474" or "0.0.0.0:7474")
/etc/daybook/daybook.toml:3:9: `grace`: `10` has no unit (write "10s" for seconds, "10m" for minutes, "10h" for hours)
/etc/daybook/daybook.toml:4:11: `metrics`: `opne` is not `auto`, `open` or `token` (did you mean `open`?)
/etc/daybook/daybook.toml:5:8: `ping`: does not begin with `https://` or `http://` (an address looks like "https://host.example/path")
$DAYBOOK_MAX_CONCURRENT: `0` is not a whole number from 1 to 100000
--ping-every: is less than 12s: monitors refuse more than 5 pings a minute
"#;
    assert_eq!(shown(&refused), expected.trim_start());
    assert!(!render_all(&refused, Paint::Plain).contains("SECRET"));
}

#[test]
fn a_misspelt_log_level_is_refused_and_not_taken_for_a_module() {
    let refused = load(&Flags::new(), &env(), "log_level = \"inf\"\n").expect_err("no level");
    assert_eq!(
        shown(&refused),
        "/etc/daybook/daybook.toml:1:13: `log_level`: `inf` is not `off`, `error`, `warn`, `info`, `debug` or `trace` (did you mean `info`?)\n"
    );
    let directives = "log_level = \"warn,daybook::engine=debug\"\n";
    assert!(load(&Flags::new(), &env(), directives).is_ok());
}

#[test]
fn a_ping_address_in_a_broken_file_is_not_shown() {
    let text = "ping = \"https://hc.example/SECRET\nlisten = 1\n";
    let refused = load(&Flags::new(), &env(), text).expect_err("broken");
    assert!(!render_all(&refused, Paint::Plain).contains("SECRET"));
}

#[test]
fn a_listener_beyond_loopback_needs_tls_or_consent() {
    let open = "listen = \"0.0.0.0:7474\"\n";
    assert!(load(&Flags::new(), &env(), open).is_err());
    for more in ["insecure_listen = true\n", "tls_cert = \"c\"\ntls_key = \"k\"\n"] {
        assert!(load(&Flags::new(), &env(), &format!("{open}{more}")).is_ok(), "{more}");
    }
    let half = load(&Flags::new(), &env(), "tls_cert = \"c\"\n").expect_err("half");
    assert_eq!(
        shown(&half),
        "/etc/daybook/daybook.toml:1:12: `tls_cert`: needs `tls_key` beside it\n"
    );
}

#[test]
fn the_sample_says_every_key_and_nothing_but_the_defaults() {
    let sample = load(&Flags::new(), &env(), DEFAULT_TOML).expect("valid");
    let default = load(&Flags::new(), &env(), "").expect("valid");
    let values = |settings: &Settings| -> Vec<_> {
        settings.rows().into_iter().map(|row| (row.key, row.value)).collect()
    };
    assert_eq!(values(&sample), values(&default));
    for key in SETTINGS.keys {
        let line = format!("{} = ", key.name);
        let said = DEFAULT_TOML.lines().any(|l| l.trim_start_matches("# ").starts_with(&line));
        assert!(said, "{} is missing in default.toml", key.name);
    }
    // The examples in comments must hold too, one by one.
    for line in DEFAULT_TOML.lines().filter_map(|line| line.strip_prefix("# ")) {
        if SETTINGS.keys.iter().any(|key| line.starts_with(&format!("{} = ", key.name))) {
            let text = if line.starts_with("tls_cert") {
                format!("{line}\ntls_key = \"k\"")
            } else {
                line.to_owned()
            };
            let text = if line.starts_with("tls_key") {
                format!("{line}\ntls_cert = \"c\"")
            } else {
                text
            };
            assert!(load(&Flags::new(), &env(), &text).is_ok(), "{line}");
        }
    }
}

#[test]
fn every_setting_is_shown_with_its_origin_and_secrets_are_not() {
    let settings =
        load(&Flags::new(), &env(), "ping = \"https://hc.example/uuid\"\n").expect("valid");
    let rows = settings.rows();
    assert_eq!(rows.len(), SETTINGS.keys.len());
    let ping = rows.iter().find(|row| row.key == "ping").expect("there");
    assert_eq!(ping.value.as_deref(), Some("***"));
}

#[test]
fn a_path_in_the_file_counts_from_the_files_folder() {
    let settings = load(&Flags::new(), &env(), "schedules = \"schedules\"\n").expect("valid");
    assert_eq!(settings.schedules.value, Path::new("/etc/daybook/schedules"));
}
