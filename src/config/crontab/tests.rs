use super::*;
use crate::config::load_text;
use crate::config::tests::checks;
use crate::domain::definition::{CatchUpMode, EnvValue, Job, Overlap, Schedule, Timing};

fn host() -> Host {
    Host { user: "root".to_owned(), home: "/root".to_owned(), zone: "Europe/Paris".to_owned() }
}

fn imported(text: &str, format: Format) -> Import {
    imported_bytes(text.as_bytes(), format)
}

fn imported_bytes(bytes: &[u8], format: Format) -> Import {
    let path = Path::new("/etc/cron.d/site_jobs");
    let import = import(&Source { path, bytes, format, owner: None }, &host(), checks());
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
    let expected = r#"# Imported from /etc/cron.d/site_jobs for a daemon that runs as root.
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
        ("A={{ slot.at }}\n0 1 * * * echo $A", "the value of `A` reads as a template"),
        ("0 1 L * * /opt/a", "`L` is not a field of cron's patterns"),
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
        "a # b & c",
        "a |& b",
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
    let of = |path: &str| Format::by_place(Path::new(path));
    assert_eq!(of("/etc/crontab"), Some(Format::System));
    assert_eq!(of("/etc/cron.d/e2scrub_all"), Some(Format::System));
    assert_eq!(of("/mnt/etc/cron.d/e2scrub_all"), Some(Format::System));
    assert_eq!(of("/var/spool/cron/crontabs/root"), Some(Format::User));
    assert_eq!(of("/srv/copy"), None);
    let text =
        "30 3 * * 0 root test -e /run/systemd/system || SERVICE_MODE=1 /usr/lib/e2scrub_all_cron\n";
    let path = Path::new("/etc/cron.d/e2scrub_all");
    let source = Source { path, bytes: text.as_bytes(), format: Format::System, owner: None };
    let import = import(&source, &host(), checks());
    assert_eq!(import.id.as_str(), "e2scrub-all");
    assert_eq!((import.imported, import.left.len()), (1, 0));
}

/// A copy of a system's crontab must not become commands that begin with a user's name.
#[test]
fn a_copy_is_of_the_systems_format_when_a_user_stands_before_each_command() {
    let of = |text: &str| Format::by_text(text, |word| word == "root");
    assert_eq!(of("A=1\n# x\n0 1 * * * root /opt/a\n@daily root /opt/b\n"), Ok(Format::System));
    assert_eq!(of("0 1 * * * /opt/a\n"), Ok(Format::User));
    assert_eq!(of("A=1\n"), Ok(Format::User));
}

#[test]
fn a_copy_with_one_user_of_another_machine_is_not_guessed_at() {
    let text = "# x\n0 1 * * * root /opt/a\n0 2 * * * fnac /opt/b\n@daily root /opt/c\n";
    let mixed = Format::by_text(text, |word| word == "root").expect_err("both ways are wrong");
    assert_eq!(
        mixed.to_string(),
        "a user of this machine stands before the command on lines 2, 4, but not on line 3"
    );
}

#[test]
fn a_users_own_crontab_is_of_that_user() {
    let path = Path::new("/var/spool/cron/crontabs/alice");
    assert_eq!(owner(path), Some("alice"));
    assert_eq!(owner(Path::new("/home/alice/crontab")), None);
    let source =
        Source { path, bytes: b"0 1 * * * /opt/a\n", format: Format::User, owner: owner(path) };
    let import = import(&source, &host(), checks());
    assert_eq!(import.left[0].reason, "it runs as `alice`, and Daybook would run it as `root`");
}

#[test]
fn the_documented_import_of_a_users_crontab_says_whose_it_is() {
    let guide = include_str!("../../../docs/operations.md");
    let examples = guide.lines().filter(|line| line.contains("import crontab"));
    let paths: Vec<&str> = examples
        .filter(|line| !line.contains("/etc/crontab"))
        .map(|line| line.split_whitespace().nth(3).expect("a path"))
        .collect();
    let owners: Vec<Option<&str>> = paths.iter().map(|path| owner(Path::new(path))).collect();
    assert_eq!(owners, [Some("fnac")], "{paths:?}");
}

#[test]
fn a_variable_that_promises_a_secret_becomes_a_credential() {
    let text = "0 1 * * * /opt/a\nSHOP_TOKEN='s3cr3t-1'\n0 2 * * * /opt/b\nA=1\n0 3 * * * /opt/c\n";
    let import = imported(text, Format::User);
    let toml = import.toml.as_deref().expect("imported");
    assert_eq!((import.imported, import.left.len()), (3, 0));
    assert!(!toml.contains("s3cr3t-1"), "{toml}");
    assert!(toml.contains("SHOP_TOKEN = { credential = \"site-jobs-shop-token\" }\n"), "{toml}");
    let note = "SHOP_TOKEN (line 2) may be a secret, so its value was left out: write it, without quotes, to \
                <data>/credentials/site-jobs-shop-token (mode 0600, owner root); it is set for all lines, in cron only \
                for those below it";
    assert!(import.notes.iter().any(|said| said == note), "{:?}", import.notes);
}

#[test]
fn lines_with_another_value_of_a_secret_are_left_with_the_reason() {
    let text = "PGPASSWORD=first-1\n0 1 * * * /opt/a\nPGPASSWORD=second-2\n0 2 * * * /opt/b\n";
    let import = imported(text, Format::User);
    let lines: Vec<usize> = import.left.iter().map(|left| left.line).collect();
    assert_eq!((import.imported, lines), (1, vec![4]));
    assert!(import.left[0].reason.starts_with("its `PGPASSWORD` differs from that of line 1"));
    let toml = import.toml.expect("imported");
    assert!(!toml.contains("first-1") && !toml.contains("second-2"), "{toml}");
}

#[test]
fn a_secret_of_lines_that_are_left_needs_no_credential() {
    let text =
        "TOKEN=first-1\n0 1 * * * /opt/a\nTOKEN=second-2\nPASSWORD=third-3\n0 2 * * * /opt/b\n";
    assert!(!imported(text, Format::User).toml.expect("imported").contains("PASSWORD"));
}

#[test]
fn an_address_with_a_password_is_a_secret_whatever_its_name() {
    let import = imported("DB=postgres://me:pw-12345@db/x\n0 1 * * * /opt/a\n", Format::User);
    assert!(import.toml.expect("imported").contains("DB = { credential = \"site-jobs-db\" }"));
    let import = imported("REPO=ssh://git@host/x\n0 1 * * * /opt/a\n", Format::User);
    assert!(import.toml.expect("imported").contains("REPO = \"ssh://git@host/x\""));
}

#[test]
fn a_secret_inside_a_command_keeps_the_line_out_and_is_not_shown() {
    for (command, shown) in [
        ("PGPASSWORD=hunter-22 pg_dump x", "PGPASSWORD=*** pg_dump x"),
        ("export API_KEY=\"hunter-22\"; /opt/a", "export API_KEY=\"***\"; /opt/a"),
        ("/opt/a --password=hunter-22 -v", "/opt/a --password=*** -v"),
        ("curl -s https://me:hunter-22@shop.example/x", "curl -s https://***@shop.example/x"),
        ("/opt/a --api-token hunter-22 -v", "/opt/a --api-token *** -v"),
        ("/opt/a --password 'hunter-22' -v", "/opt/a --password '***' -v"),
        ("curl -su me:hunter-22 https://shop.example", "curl -su *** https://shop.example"),
        ("curl -ume:hunter-22 https://shop.example", "curl -u*** https://shop.example"),
        (
            "curl --user 'me:hunter-22' https://shop.example",
            "curl --user '***' https://shop.example",
        ),
        ("curl --user=me:hunter-22 https://shop.example", "curl --user=*** https://shop.example"),
        ("curl -H 'Authorization: Bearer hunter-22' x", "curl -H 'Authorization: Bearer ***' x"),
        ("curl -H \"authorization: hunter-22\" x", "curl -H \"authorization: ***\" x"),
        ("curl --header=X-Api-Key:hunter-22 x", "curl --header=X-Api-Key:*** x"),
        ("wget --header='X-Api-Key: hunter-22' x", "wget --header='X-Api-Key: ***' x"),
        ("/usr/bin/mysqldump -uroot -phunter-22 shop", "/usr/bin/mysqldump -uroot -p*** shop"),
        ("mysql -p'hunter-22' shop < /opt/a.sql", "mysql -p'***' shop < /opt/a.sql"),
        ("cd /opt && mysqladmin -phunter-22 ping", "cd /opt && mysqladmin -p*** ping"),
    ] {
        let import = imported(&format!("0 1 * * * {command}\n"), Format::User);
        let left = import.left.first().expect(command);
        assert!(left.reason.contains("looks like a secret"), "{}", left.reason);
        assert!(!left.reason.contains("hunter-22"), "{}", left.reason);
        assert_eq!(left.text, format!("0 1 * * * {shown}"));
    }
    for command in [
        "TOKEN=$(cat /etc/t) /opt/a",
        "/opt/a --token=\"$TOKEN\"",
        "/opt/a --password-file=/etc/p",
        "git clone ssh://git@host/x",
        "curl https://$USER:$PW@host/",
        "/opt/a --token \"$TOKEN\" --password-stdin < /etc/p",
        "psql --no-password shop",
        "curl -u \"$ME:$PW\" -H \"Authorization: Bearer $(cat /etc/t)\" https://host/",
        "docker run -u 33:33 image",
        "/opt/a $(date -u +\\%H:\\%M)",
        "rsync -au host:/srv/a /srv/b",
        "mysqldump -p\"$PW\" shop | ssh -p2222 host",
        "mysql -p shop",
    ] {
        only(&format!("0 1 * * * {command}"));
    }
}

#[test]
fn a_random_delay_keeps_its_lines_out() {
    let import = imported(
        "0 1 * * * /opt/a\nRANDOM_DELAY=45\n0 2 * * * /opt/b\nRANDOM_DELAY=0\n0 3 * * * /opt/c\n",
        Format::User,
    );
    let lines: Vec<usize> = import.left.iter().map(|left| left.line).collect();
    assert_eq!((import.imported, lines), (2, vec![3]));
    assert!(import.left[0].reason.starts_with("RANDOM_DELAY=45: a random delay"));
    assert!(!import.toml.expect("imported").contains("RANDOM_DELAY"));
}

#[test]
fn bytes_that_are_no_text_keep_their_line_out() {
    let import = imported_bytes(
        b"# caf\xe9\n0 1 * * * /opt/caf\xe9\n0 2 * * * /opt/b\nA=\xe9\n0 3 * * * /opt/c\nA=e\n0 4 * * * /opt/d\n",
        Format::User,
    );
    let reasons: Vec<(usize, &str)> =
        import.left.iter().map(|left| (left.line, left.reason.as_str())).collect();
    assert_eq!(
        reasons,
        [
            (2, "it holds bytes that are not text (UTF-8), and a file of schedules is text"),
            (4, "its value is not text (UTF-8)"),
            (5, "the value of `A` on line 4 is not text (UTF-8)"),
        ]
    );
    assert_eq!(import.imported, 2);
}

#[test]
fn line_ends_of_another_system_are_said() {
    let import = imported("0 1 * * * /opt/a\r\n", Format::User);
    assert!(import.notes.iter().any(|note| note.starts_with("lines end in CR LF")));
    assert!(import.toml.expect("imported").contains("shell = \"/opt/a\"\n"));
    let import = imported("0 1 * * * /opt/a\n", Format::User);
    assert!(!import.notes.iter().any(|note| note.contains("CR LF")));
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

#[test]
fn control_characters_in_an_address_do_not_break_the_file() {
    let import = imported("MAILTO=ops@example.org\u{c}\u{1b}[31m\n0 2 * * * ./run\n", Format::User);
    let toml = import.toml.expect("a line was imported");
    assert!(toml.contains("ops@example.org\u{fffd}\u{fffd}[31m"), "{toml}");
}
