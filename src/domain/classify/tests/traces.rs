//! A trace of many lines is one error, named by its innermost cause.

use super::*;

/// The numbers and causes of the error lines.
fn errors(lines: &[&str]) -> Vec<(usize, Cause)> {
    let judged = judge_all(lines);
    let error = |(at, line): (usize, &Judgement)| {
        line.cause.filter(|_| line.level == Level::Error).map(|cause| (at + 1, cause))
    };
    judged.iter().enumerate().filter_map(error).collect()
}

#[test]
fn python_tells_the_error_at_the_end() {
    let lines = [
        "Traceback (most recent call last):",
        "  File \"/srv/sales.py\", line 12, in run",
        "    raise ConnectionError(\"cannot connect, access denied\")",
        "requests.exceptions.ConnectTimeout: HTTPSConnectionPool(host='x', port=443): Read timed out.",
    ];
    assert_eq!(errors(&lines), [(4, Cause::ExtNetTimeout)]);
}

#[test]
fn a_logged_line_before_a_python_trace_is_the_same_error() {
    let lines = [
        "2031-01-05 10:00:00 ERROR cannot save: No space left on device",
        "Traceback (most recent call last):",
        "  File \"/srv/sales.py\", line 12, in run",
        "OSError: [Errno 28] No space left on device",
    ];
    assert_eq!(errors(&lines), [(1, Cause::TecDisk)]);
}

#[test]
fn the_end_of_a_trace_explains_a_first_line_that_gave_no_reason() {
    let lines = [
        "2031-01-05 10:00:00 ERROR run 7 went wrong",
        "Traceback (most recent call last):",
        "  File \"/srv/sales.py\", line 12, in run",
        "PermissionError: [Errno 13] Permission denied: '/srv/out.csv'",
    ];
    let judged = judge_all(&lines);
    assert_eq!(judged[3].cause, Some(Cause::CfgPerm));
    assert_eq!(judged[3].explains, Some(1));
    assert_eq!(analyse(&builtin(), &lines), Some((3, Class::Configuration)));
}

#[test]
fn java_names_the_innermost_cause_last() {
    let lines = [
        "Exception in thread \"main\" org.example.JobException: the job went wrong",
        "\tat org.example.Job.run(Job.java:12)",
        "Caused by: java.net.ConnectException: Connection refused (Connection refused)",
        "\tat java.net.Socket.connect(Socket.java:1)",
        "\t... 12 more",
    ];
    assert_eq!(analyse(&builtin(), &lines), Some((2, Class::External)));
    assert!(judge_all(&lines)[1].class.is_none());
}

#[test]
fn go_and_rust_panics_are_one_error() {
    let go = [
        "panic: runtime error: invalid memory address or nil pointer dereference",
        "",
        "goroutine 1 [running]:",
        "main.main()",
        "\t/srv/x.go:12 +0x1d",
        "exit status 2",
    ];
    let found = errors(&go);
    assert_eq!(found[0], (1, Cause::TecProgram));
    assert!(found[1..].iter().all(|(_, cause)| cause.class() == Class::Cascade), "{found:?}");
    let rust = [
        "thread 'main' panicked at src/main.rs:2:5:",
        "called `Result::unwrap()` on an `Err` value: Os { code: 111, kind: ConnectionRefused, message: \"Connection refused\" }",
        "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
    ];
    assert_eq!(errors(&rust), [(2, Cause::ExtNetRefused)]);
}

#[test]
fn node_php_ruby_and_dotnet_frames_are_detail() {
    for (lines, cause) in [
        (
            [
                "TypeError: total is not a function",
                "    at run (/srv/x.js:3:1)",
                "    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)",
            ],
            Cause::TecProgram,
        ),
        (
            [
                "PHP Fatal error:  Uncaught PDOException: SQLSTATE[HY000] [2002] Connection refused in /srv/x.php:3",
                "Stack trace:",
                "#0 /srv/x.php(3): PDO->__construct()",
            ],
            Cause::ExtNetRefused,
        ),
        (
            [
                "/srv/x.rb:3:in `run': undefined method `sum' for nil:NilClass (NoMethodError)",
                "\tfrom /srv/x.rb:9:in `<main>'",
                "\tfrom /srv/y.rb:1:in `require'",
            ],
            Cause::TecProgram,
        ),
        (
            [
                "Unhandled exception. System.IO.FileNotFoundException: Could not find file '/srv/x.csv'.",
                "   at System.IO.File.Open(String path)",
                "   at Sales.Run() in /srv/Sales.cs:line 3",
            ],
            Cause::CfgLocal,
        ),
    ] {
        assert_eq!(errors(&lines), [(1, cause)], "{lines:?}");
    }
}
