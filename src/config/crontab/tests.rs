use super::*;
use crate::config::load_text;
use crate::config::tests::checks;
use crate::domain::definition::{CatchUpMode, EnvValue, Job, Overlap, Schedule, Timing};

fn host() -> Host {
    Host { user: "root".to_owned(), home: "/root".to_owned(), zone: "Europe/Paris".to_owned() }
}

fn imported(text: &str, format: Format) -> Import {
    let import = import(Path::new("/etc/cron.d/site_jobs"), text, format, &host(), checks());
    if let Some(toml) = &import.toml {
        let (interface, problems) = load_text(&import.id, "site-jobs.toml", toml, checks());
        assert!(interface.is_some(), "our own parser refuses it:\n{toml}\n{problems:?}");
    }
    import
}

fn read_back(text: &str) -> crate::domain::definition::Interface {
    let import = imported(text, Format::User);
    assert_eq!(import.left, [], "{text}");
    load_text(&import.id, "x.toml", &import.toml.expect("imported"), checks()).0.expect("accepted")
}

fn only(text: &str) -> Schedule {
    let interface = read_back(text);
    assert_eq!(interface.schedules.len(), 1);
    interface.schedules.into_values().next().expect("one")
}

/// Why the only line that was not imported was not.
fn reason(text: &str, format: Format) -> String {
    let import = imported(text, format);
    assert_eq!(import.left.len(), 1, "{:?}", import.left);
    import.left.into_iter().next().expect("one").reason
}

#[test]
fn a_users_crontab_becomes_an_interfaces_file() {
    let text = "\
# m h dom mon dow command
SHELL=/bin/sh
PATH=/usr/local/bin:/usr/bin:/bin
MAILTO=\"ops@example.org\"

*/5 * * * *   /opt/fnac/bin/integrate-sales.sh --since yesterday
0 4 1,15 * 1-5 test -x /usr/sbin/report && /usr/sbin/report +\\%F
@reboot\t/opt/warm-up
@daily cd /srv && ./clean.py
";
    let expected = r#"# Imported from /etc/cron.d/site_jobs.
# commands run with umask 077 and without standard input; cron's umask is usually 022.
# an exit status other than 0 makes an execution KO; cron ignores it.
# cron mailed the output to ops@example.org; Daybook keeps it in the log (`notify` tells a person of a KO).

name = "/etc/cron.d/site_jobs"
timezone = "Europe/Paris"

[env]
HOME = "/root"
LOGNAME = "root"
PATH = "/usr/local/bin:/usr/bin:/bin"
SHELL = "/bin/sh"
USER = "root"

# Line 6.
[schedules.integrate-sales]
cron = "*/5 * * * *"
shell = "/opt/fnac/bin/integrate-sales.sh --since yesterday"
cwd = "/root"
overlap = "allow"
catch_up = { mode = "none" }

# Line 7.
[schedules.report]
cron = "0 4 1,15 * 1-5"
shell = "test -x /usr/sbin/report && /usr/sbin/report +%F"
cwd = "/root"
overlap = "allow"
catch_up = { mode = "none" }

# Line 8.
[schedules.warm-up]
cron = "@reboot"
shell = "/opt/warm-up"
cwd = "/root"
overlap = "allow"
catch_up = { mode = "none" }

# Line 9.
[schedules.clean]
cron = "@daily"
shell = "cd /srv && ./clean.py"
cwd = "/root"
overlap = "allow"
catch_up = { mode = "none" }
"#;
    assert_eq!(imported(text, Format::User).toml.expect("imported"), expected);
}

#[test]
fn lines_keep_crons_own_treatment() {
    let schedule = only("0 2 * * * /opt/a");
    assert_eq!(schedule.overlap, Overlap::Allow);
    assert_eq!(schedule.catch_up.mode, CatchUpMode::None);
    assert_eq!(schedule.cwd, "/root");
    assert_eq!(schedule.timezone, "Europe/Paris");
    assert_eq!(schedule.timing, Timing::Cron("0 2 * * *".to_owned()));
}

#[test]
fn a_reboot_line_is_a_reboot_schedule() {
    assert_eq!(only("@reboot /opt/a").timing, Timing::Reboot);
    assert_eq!(only("@Daily /opt/a").timing, Timing::Cron("@daily".to_owned()));
}

#[test]
fn a_line_of_another_user_is_left_with_the_reason() {
    let import = imported("0 1 * * * www-data /opt/a\n0 1 * * * root /opt/b\n", Format::System);
    assert_eq!(import.imported, 1);
    assert_eq!(
        import.left,
        [Left {
            file: "/etc/cron.d/site_jobs".to_owned(),
            line: 1,
            text: "0 1 * * * www-data /opt/a".to_owned(),
            reason: "it runs as `www-data`, and Daybook would run it as `root`".to_owned(),
        }]
    );
}

#[test]
fn what_daybook_lacks_is_left_with_the_reason() {
    for (text, why) in [
        ("0 1 * * * mail -s hi me%hello", "the text after `%` would go to standard input"),
        ("0 1 * * * /opt/daemon &", "`&` leaves a process in the background"),
        ("-0 1 * * * /opt/a", "a leading `-`"),
        ("0~30 1 * * * /opt/a", "a random time"),
        ("99 1 * * * /opt/a", "`99 1 * * *` has a number out of range"),
        ("0 1 * * *", "there are fewer than five fields and a command"),
        ("@every_minute /opt/a", "`@every_minute` has 1 fields"),
        ("just some words that are here", "has a number out of range"),
        ("0 1 * * * echo {{ slot.at }}", "reads as a template"),
        ("CRON_TZ=Mars/Base\n0 1 * * * /opt/a", "CRON_TZ: `Mars/Base` is not a time zone"),
    ] {
        let why_not = reason(text, Format::User);
        assert!(why_not.contains(why), "{text}: {why_not}");
    }
}

#[test]
fn an_ampersand_that_leaves_nothing_behind_is_no_obstacle() {
    for text in [
        "a && b",
        "a > /dev/null 2>&1",
        "a &> log",
        "echo 'you & me'",
        "echo \"a & b\"",
        "echo a \\& b",
    ] {
        only(&format!("0 1 * * * {text}"));
    }
}

#[test]
fn an_escaped_percent_sign_is_a_percent_sign() {
    assert_eq!(only("0 1 * * * date +\\%F").job, Job::Shell("date +%F".to_owned()));
}

#[test]
fn cron_tz_becomes_the_zone_of_the_lines_below_it_and_leaves_their_tz_alone() {
    let interface = read_back("0 1 * * * /opt/a\nCRON_TZ=Asia/Tokyo\n0 1 * * * /opt/b\n");
    let zones: Vec<&str> = interface.schedules.values().map(|s| s.timezone.as_str()).collect();
    assert_eq!(zones, ["Europe/Paris", "Asia/Tokyo"]);
    let second = interface.schedules.values().nth(1).expect("two");
    assert_eq!(second.job, Job::Shell("TZ='Europe/Paris'; export TZ; /opt/b".to_owned()));
}

#[test]
fn a_variable_holds_for_the_lines_below_it_only() {
    let interface = read_back("A=1\nB='it is'\n0 1 * * * /opt/a\nA=2\n0 1 * * * /opt/b\n");
    assert_eq!(interface.env.get("B"), Some(&EnvValue::Text("it is".to_owned())));
    assert_eq!(interface.env.get("A"), None);
    let jobs: Vec<&Job> = interface.schedules.values().map(|s| &s.job).collect();
    assert_eq!(
        jobs,
        [
            &Job::Shell("A='1'; export A; /opt/a".to_owned()),
            &Job::Shell("A='2'; export A; /opt/b".to_owned())
        ]
    );
}

#[test]
fn another_shell_is_started_with_the_same_text() {
    let schedule = only("SHELL=/bin/bash\n0 1 * * * echo \"it's\" [[ a ]]\n");
    assert_eq!(
        schedule.job,
        Job::Shell("exec '/bin/bash' -c 'echo \"it'\\''s\" [[ a ]]'".to_owned())
    );
}

/// cron combines the day fields by AND when either begins with a star; our `*/2` counts as restricted.
#[test]
fn a_stepped_star_in_a_day_field_keeps_crons_and() {
    for (given, ours) in [
        ("0 0 */2 * 1", "0 0 */2 * +1"),
        ("0 0 1-15 * */2", "0 0 1-15 * +0,2,4,6"),
        ("0 0 1-15 * */3", "0 0 1-15 * +0,3,6"),
        ("0 0 13 * 5", "0 0 13 * 5"),
        ("0 0 */2 * *", "0 0 */2 * *"),
        ("0 0 * * */2", "0 0 * * */2"),
    ] {
        assert_eq!(
            only(&format!("{given} /opt/a")).timing,
            Timing::Cron(ours.to_owned()),
            "{given}"
        );
    }
}

#[test]
fn schedules_are_named_by_what_they_run_and_never_twice() {
    for (command, name) in [
        ("/opt/fnac/bin/integrate_sales.sh -v", "integrate-sales"),
        ("test -e /run/systemd/system || SERVICE_MODE=1 /sbin/e2scrub_all -A -r", "e2scrub-all"),
        ("cd / && run-parts --report /etc/cron.hourly", "run-parts"),
        ("test -x /usr/sbin/anacron || { cd / && run-parts /etc/cron.daily; }", "run-parts"),
        (
            "[ -x /usr/lib/php/sessionclean ] && if [ ! -d /run/systemd/system ]; then /usr/lib/php/sessionclean; fi",
            "sessionclean",
        ),
        ("/usr/bin/env python3 /opt/x/clean.py", "clean"),
        ("nice -n 19 ionice -c3 /usr/bin/updatedb", "updatedb"),
        ("true", "true"),
        (": ", "job"),
    ] {
        assert_eq!(name::schedule(command), name, "{command}");
    }
    let interface = read_back("0 1 * * * /opt/a x\n0 2 * * * /opt/a y\n");
    let names: Vec<&str> = interface.schedules.keys().map(|id| id.as_str()).collect();
    assert_eq!(names, ["a", "a-2"]);
}

#[test]
fn the_systems_own_files_have_a_user_before_the_command() {
    let of = |path: &str, text: &str| Format::of(Path::new(path), text, |word| word == "root");
    assert_eq!(of("/etc/crontab", ""), Format::System);
    assert_eq!(of("/etc/cron.d/e2scrub_all", ""), Format::System);
    assert_eq!(of("/mnt/etc/cron.d/e2scrub_all", ""), Format::System);
    assert_eq!(of("/var/spool/cron/crontabs/root", "0 1 * * * /opt/a"), Format::User);
    let text =
        "30 3 * * 0 root test -e /run/systemd/system || SERVICE_MODE=1 /usr/lib/e2scrub_all_cron\n";
    let import =
        import(Path::new("/etc/cron.d/e2scrub_all"), text, Format::System, &host(), checks());
    assert_eq!(import.id.as_str(), "e2scrub-all");
    assert_eq!((import.imported, import.left.len()), (1, 0));
}

/// A copy of a system's crontab must not become commands that begin with a user's name.
#[test]
fn a_copy_is_of_the_systems_format_when_a_user_stands_before_each_command() {
    let of = |text: &str| Format::of(Path::new("copy"), text, |word| word == "root");
    assert_eq!(of("A=1\n# x\n0 1 * * * root /opt/a\n@daily root /opt/b\n"), Format::System);
    assert_eq!(of("0 1 * * * root /opt/a\n0 2 * * * /opt/b\n"), Format::User);
    assert_eq!(of("A=1\n"), Format::User);
}

#[test]
fn what_differs_for_every_line_is_said() {
    let import = imported("MAILTO=\"\"\n0 1 * * * /opt/a\n", Format::User);
    assert!(import.notes.iter().any(|note| note.contains("umask 077")), "{:?}", import.notes);
    assert!(
        import.notes.iter().any(|note| note.starts_with("MAILTO is empty")),
        "{:?}",
        import.notes
    );
    assert!(import.toml.expect("imported").contains("# MAILTO is empty"));
}
