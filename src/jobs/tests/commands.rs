use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::cause::Cause;
use crate::domain::class::{Class, Source};
use crate::domain::definition::{EnvValue, Param};
use crate::domain::event::Outcome;
use crate::domain::verdict::End;
use crate::jobs::testing::{Bench, command, shell};

#[tokio::test]
async fn a_command_gets_exactly_the_declared_environment() {
    let mut bench = command(&["/usr/bin/env"]);
    bench.environment = BTreeMap::from([
        ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
        ("SECRET_OF_THE_DAEMON".to_owned(), "x".to_owned()),
    ]);
    let day = Param { default: Some("{{ slot.date }}".to_owned()) };
    bench.schedule.params.insert("the-day".to_owned(), day);
    let url = EnvValue::Text("https://x/{{ execution.trigger }}".to_owned());
    bench.interface.env.insert("FNAC_URL".to_owned(), url);
    let id = bench.execution.to_string();
    let done = bench.run().await;
    let mut lines = done.texts(Source::Stdout);
    lines.sort_unstable();
    let execution = format!("DAYBOOK_EXECUTION={id}");
    assert_eq!(
        lines,
        [
            "DAYBOOK_ATTEMPT=1",
            execution.as_str(),
            "DAYBOOK_IDEMPOTENCY_KEY=key-1",
            "DAYBOOK_INTERFACE=fnac",
            "DAYBOOK_LAST_OK_SLOT=",
            "DAYBOOK_PARAM_THE_DAY=2026-10-25",
            "DAYBOOK_PREVIOUS_SLOT=",
            "DAYBOOK_SCHEDULE=sales",
            "DAYBOOK_SLOT=2026-10-25T00:30:00.000Z",
            "DAYBOOK_TRIGGER=cron",
            "FNAC_URL=https://x/cron",
            "HOME=/",
            "LANG=C.UTF-8",
            "PATH=/usr/bin:/bin",
            "TZ=Europe/Paris",
        ]
    );
}

#[tokio::test]
async fn a_clean_end_is_ok_and_the_last_line_says_so() {
    let done = shell("test ! -t 0 && read x || echo nothing to read; pwd").run().await;
    assert_eq!(done.report.outcome, Outcome::Ok);
    assert_eq!(done.report.exit_code, Some(0));
    assert!(done.closing().text.starts_with("ok: exit status 0 after "), "{}", done.closing().text);
    assert_eq!(done.texts(Source::Stdout)[0], "nothing to read");
}

/// Until the program starts, the kernel counts the memory of the daemon that it was forked from.
#[tokio::test]
async fn the_memory_of_a_command_is_told_only_when_it_is_not_the_daemons_own() {
    let small = shell("true").run().await;
    assert_eq!(small.report.usage.expect("measured").max_rss_bytes, 0);
    let large = shell("dd if=/dev/zero of=/dev/null bs=512M count=1").run().await;
    assert!(large.report.usage.expect("measured").max_rss_bytes > 500_000_000);
}

/// S3-10.
#[tokio::test]
async fn another_exit_status_is_technical_unless_a_line_says_more() {
    let done = shell("exit 3").run().await;
    assert_eq!(done.report.end, End::Exited { status: 3 });
    assert_eq!(done.report.cause, Some(Cause::TecExit));
    let first = done.report.first_error.expect("the closing line");
    assert_eq!((first.line, first.class), (1, Class::Technical));

    let done = shell("echo 'ERROR Mapping: no product for FNAC-77' >&2; exit 3").run().await;
    assert_eq!(done.report.class, Some(Class::Mapping));
    assert_eq!(done.report.first_error.as_ref().map(|first| first.line), Some(1));
    assert_eq!(done.closing().class, Some(Class::Cascade));
    assert_eq!(done.closing().cascade_of, Some(1));
    assert_eq!((done.summary.errors.mapping, done.summary.errors.cascade), (1, 1));
}

#[tokio::test]
async fn a_marked_error_turns_a_clean_exit_red_and_an_unmarked_one_does_not() {
    let done = shell("echo 'ERROR External: no answer'").run().await;
    assert_eq!((done.report.outcome, done.report.class), (Outcome::Ko, Some(Class::External)));

    let done = shell("echo 'connection refused' >&2").run().await;
    assert_eq!((done.report.outcome, done.report.class), (Outcome::Ok, None));
    assert_eq!(done.summary.errors.external, 1);
}

#[tokio::test]
async fn a_signal_of_somebody_elses_is_technical() {
    let done = shell("kill -SEGV $$").run().await;
    assert_eq!(done.report.end, End::Signalled { signal: 11 });
    assert_eq!((done.report.signal, done.report.cause), (Some(11), Some(Cause::TecSignal)));
}

#[tokio::test]
async fn a_timeout_ends_the_command_and_says_so() {
    let mut bench = shell("sleep 1000");
    bench.schedule.timeout_ms = Some(100);
    let done = bench.run().await;
    assert_eq!(done.report.end, End::TimedOut { limit: Duration::from_millis(100) });
    assert_eq!(done.report.cause, Some(Cause::TecTimeout));
    assert_eq!(done.closing().text, "ko: timed out after 100 ms, ended by Daybook");
}

#[tokio::test]
async fn what_is_missing_is_named_and_nothing_starts() {
    let cases: [(Bench, &str); 6] = [
        (command(&["no-such-program"]), "program `no-such-program` is in none of the folders"),
        (command(&["./gone"]), "gone` does not exist"),
        (command(&["/etc/passwd"]), "is not executable; run `chmod +x`"),
        (command(&["/bin/true", "{{ param.day }}"]), "`param.day` has no value"),
        (
            {
                let mut bench = shell("true");
                bench.schedule.cwd = "nowhere".to_owned();
                bench
            },
            "`cwd`: ",
        ),
        (
            {
                let mut bench = shell("true");
                let value = EnvValue::Credential("fnac-token".to_owned());
                bench.interface.env.insert("TOKEN".to_owned(), value);
                bench
            },
            "`env.TOKEN`: credential `fnac-token` is missing",
        ),
    ];
    for (bench, words) in cases {
        let done = bench.run().await;
        assert_eq!(done.report.cause, Some(Cause::CfgLocal), "{words}");
        assert!(!done.report.retryable, "{words}");
        assert_eq!(done.lines.len(), 1, "{words}");
        let text = &done.closing().text;
        assert!(text.starts_with("ko: not started: ") && text.contains(words), "{text}");
    }
}

#[tokio::test]
async fn a_file_without_an_interpreter_is_explained() {
    let bench = command(&["./script"]);
    let path = bench.root.path().join("script");
    std::fs::write(&path, "echo hello\n").expect("file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode).expect("mode");
    let done = bench.run().await;
    assert!(done.closing().text.contains("begin it with `#!`"), "{}", done.closing().text);
    assert_eq!(done.report.cause, Some(Cause::CfgLocal));
}

/// Contract, rule 8.
#[tokio::test]
async fn a_secret_reaches_the_command_but_no_line() {
    let mut bench = shell(
        "printf 'token=%s.' \"$TOKEN\" | sed 's/hunter/H&/'; printf 'hun'; sleep 0.05; echo 'ter2-secret'; echo \"$TOKEN\" >&2; exit 1",
    );
    bench.credential("fnac-token", "hunter2-secret\n");
    let value = EnvValue::Credential("fnac-token".to_owned());
    bench.interface.env.insert("TOKEN".to_owned(), value);
    let done = bench.run().await;
    assert_eq!(done.texts(Source::Stdout), ["token=H***.***"]);
    assert_eq!(done.texts(Source::Stderr), ["***"]);
}

#[tokio::test]
async fn programs_are_found_relative_to_the_working_folder() {
    let mut bench = command(&["./run", "{{ slot.date }}"]);
    let folder = bench.root.path().join("jobs");
    std::fs::create_dir(&folder).expect("folder");
    std::fs::write(folder.join("run"), "#!/bin/sh\necho \"$1\"\n").expect("file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.join("run"), mode).expect("mode");
    bench.schedule.cwd = "jobs".to_owned();
    let done = bench.run().await;
    assert_eq!(done.texts(Source::Stdout), ["2026-10-25"]);
}
