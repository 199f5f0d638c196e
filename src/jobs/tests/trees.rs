use std::time::Duration;

use tokio::time::Instant;

use crate::domain::cause::Cause;
use crate::domain::class::Level;
use crate::domain::definition::Retry;
use crate::domain::event::Outcome;
use crate::domain::execution::Command;
use crate::domain::verdict::End;
use crate::engine::ports::Unfinished;
use crate::jobs::Redactor;
use crate::jobs::procfs::{self, Process};
use crate::jobs::testing::{Outlived, Trees, alone, in_each_way, shell};

/// Living processes whose command line is `line`.
fn alive(line: &str) -> Vec<Process> {
    let shown = format!("`{line}`");
    let named = |process: &Process| process.describe(&Redactor::none()).starts_with(&shown);
    procfs::all().into_iter().filter(|process| !process.zombie && named(process)).collect()
}

in_each_way! {
    descendants_that_left_session_group_and_pipes_are_ended_and_named
    a_descendant_without_the_marker_is_found_as_well
    a_timeout_ends_the_whole_tree_even_if_it_ignores_term
    a_pipe_that_is_held_open_delays_nothing
    descendants_in_sessions_of_their_own_are_asked_to_end_as_well
    what_a_killed_runner_left_running_is_ended_and_named_before_its_execution_is_closed
    a_stop_of_the_daemon_leaves_the_tree_to_its_runner_and_the_next_one_ends_it
    adopted_processes_that_have_ended_are_collected
}

/// Contract, section 3: the process tree is every descendant, also after `setsid` and a double fork.
async fn descendants_that_left_session_group_and_pipes_are_ended_and_named(trees: Trees) {
    let began = Instant::now();
    let done = trees
        .shell(
            "(setsid sh -c 'sleep 31111 & exec sleep 31112' </dev/null >/dev/null 2>&1 &) ; \
             (setsid setsid sleep 31113 & ) ; while ! pgrep -x -f 'sleep 31113' >/dev/null; do :; done; \
             while ! pgrep -x -f 'sleep 31111' >/dev/null; do :; done; echo done",
        )
        .run()
        .await;
    for line in ["sleep 31111", "sleep 31112", "sleep 31113"].map(|line| trees.own(line)) {
        assert_eq!(alive(&line), [], "{line}");
        assert!(done.warnings()[0].contains(&line), "{:?}", done.warnings());
    }
    assert!(done.warnings()[0].ends_with("left over, ended by Daybook"));
    assert_eq!(done.report.outcome, Outcome::Ok);
    assert!(began.elapsed() < Duration::from_secs(5));
}

async fn a_descendant_without_the_marker_is_found_as_well(trees: Trees) {
    let done = trees
        .shell(
            "(setsid env -i sleep 31121 </dev/null >/dev/null 2>&1 &) ; \
             while ! pgrep -x -f 'sleep 31121' >/dev/null; do :; done",
        )
        .run()
        .await;
    let line = trees.own("sleep 31121");
    assert_eq!(alive(&line), []);
    assert!(done.warnings()[0].contains(&line), "{:?}", done.warnings());
}

async fn a_timeout_ends_the_whole_tree_even_if_it_ignores_term(trees: Trees) {
    let mut bench = trees.shell(
        "trap '' TERM; (setsid sh -c \"trap '' TERM; while :; do sleep 31131; done\" &) ; \
         sleep 31132 & while :; do sleep 31133; done",
    );
    bench.schedule.timeout_ms = Some(500);
    let done = bench.run().await;
    assert!(matches!(done.report.end, End::TimedOut { .. }), "{:?}", done.report);
    assert_eq!(done.report.signal, Some(9));
    for line in ["sleep 31131", "sleep 31132", "sleep 31133"].map(|line| trees.own(line)) {
        assert_eq!(alive(&line), [], "{line}");
    }
}

/// Contract, section 3: nor for longer than 5 s where nobody may end who holds it.
async fn a_pipe_that_is_held_open_delays_nothing(trees: Trees) {
    let began = Instant::now();
    let mut bench = trees.shell(
        "(setsid sh -c \"trap '' TERM; while :; do sleep 31161; done\" &) ; \
         while ! pgrep -x -f 'sleep 31161' >/dev/null; do :; done; echo done",
    );
    bench.grace = Duration::from_secs(60);
    let done = bench.run().await;
    assert_eq!(done.report.outcome, Outcome::Ok);
    assert_eq!(alive(&trees.own("sleep 31161")), []);
    assert!(done.warnings()[0].contains(&trees.own("sleep 31161")), "{:?}", done.warnings());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_cancelled_command_may_clean_up_within_its_grace() {
    let mut bench = shell(
        "trap 'echo cleaning up; exit 0' TERM; echo 'ERROR External: begun'; \
         while :; do sleep 0.05; done",
    );
    bench.cancel_at_error = true;
    bench.grace = Duration::from_secs(30);
    let done = bench.run().await;
    assert_eq!(done.report.end, End::Cancelled);
    assert_eq!((done.report.outcome, done.report.class), (Outcome::Cancelled, None));
    assert!(done.lines.iter().any(|line| line.text == "cleaning up"));
    assert!(done.closing().text.starts_with("cancelled: "), "{}", done.closing().text);
}

/// The shell ends at once; what it started still has its grace.
#[tokio::test]
async fn descendants_may_clean_up_within_the_grace_when_their_parent_does_not() {
    let mut bench = shell(
        "sh -c \"trap 'sleep 0.3; echo cleaning up; exit 0' TERM; echo 'ERROR External: begun'; \
         while :; do sleep 0.05; done\"; true",
    );
    bench.cancel_at_error = true;
    bench.grace = Duration::from_secs(30);
    let done = bench.run().await;
    assert_eq!(done.report.end, End::Cancelled);
    assert!(done.lines.iter().any(|line| line.text == "cleaning up"), "{:?}", done.lines);
}

/// The main process ends at TERM at once, so that what it started has another parent while it is being looked for.
async fn descendants_in_sessions_of_their_own_are_asked_to_end_as_well(trees: Trees) {
    let mut bench = trees.shell(
        "{ for n in 1 2 3 4 5 6 7 8; do \
         setsid sh -c \"trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done\" & done; wait; } | \
         { for n in 1 2 3 4 5 6 7 8; do read word; done; echo 'ERROR External: all are ready'; exec cat; }",
    );
    bench.cancel_at_error = true;
    bench.grace = Duration::from_secs(30);
    let began = Instant::now();
    let done = bench.run().await;
    assert_eq!(done.report.end, End::Cancelled);
    assert!(began.elapsed() < Duration::from_secs(15), "nobody had to be killed");
}

#[tokio::test]
async fn a_stopped_command_goes_on_to_hear_that_it_is_to_end() {
    let mut bench = shell(
        "trap 'echo cleaning up; exit 0' TERM; echo 'ERROR External: begun'; kill -STOP $$; \
         while :; do sleep 0.05; done",
    );
    bench.cancel_at_error = true;
    bench.grace = Duration::from_secs(30);
    let done = bench.run().await;
    assert_eq!((done.report.end, done.report.signal), (End::Cancelled, None));
    assert!(done.lines.iter().any(|line| line.text == "cleaning up"), "{:?}", done.lines);
}

async fn what_a_killed_runner_left_running_is_ended_and_named_before_its_execution_is_closed(
    trees: Trees,
) {
    let bench = trees.shell("true");
    let left = trees.own("(trap '' TERM; sleep 31151 & exec sleep 31152) & exit 0");
    let mut former = std::process::Command::new("/bin/sh");
    former.args(["-c", &left]).env("DAYBOOK_EXECUTION", bench.execution.to_string());
    former.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    former.status().expect("a shell");
    let (conclusion, lines) = bench.concluded(Unfinished::Interrupted).await;
    for line in ["sleep 31151", "sleep 31152"].map(|line| trees.own(line)) {
        assert_eq!(alive(&line), [], "{line}");
        assert!(lines[0].text.contains(&line), "{lines:?}");
    }
    assert!(lines[0].text.ends_with("ran on after the runner had ended, ended by Daybook"));
    assert_eq!(lines[0].level, Level::Warning);
    assert!(lines[1].text.starts_with("ko: interrupted"), "{lines:?}");
    assert_eq!((conclusion.lines, conclusion.cause), (2, Some(Cause::TecInterrupted)));
}

#[tokio::test]
async fn an_interrupted_execution_of_which_nothing_is_left_has_no_line_about_it() {
    let (conclusion, lines) = shell("true").concluded(Unfinished::Interrupted).await;
    assert_eq!((conclusion.lines, lines.len()), (1, 1));
}

async fn a_stop_of_the_daemon_leaves_the_tree_to_its_runner_and_the_next_one_ends_it(trees: Trees) {
    let mut bench = trees.shell(
        "(setsid sleep 31141 </dev/null >/dev/null 2>&1 &) ; sleep 31142 & \
         while ! pgrep -x -f 'sleep 31141' >/dev/null || ! pgrep -x -f 'sleep 31142' >/dev/null; \
         do :; done; echo 'ERROR External: begun'; printf half; wait; true",
    );
    bench.grace = Duration::from_secs(30);
    let sleepers = ["sleep 31141", "sleep 31142"].map(|line| trees.own(line));
    let Outlived { told, lives, told_by_next, lines } = bench.outlived(&sleepers).await;
    assert!(matches!(told[..], [Command::SeeError(_)]), "{told:?}");
    assert!(lives, "the stop ends nothing");
    let [Command::SeeError(_), Command::EndAttempt(ended), Command::Close(closed)] =
        &told_by_next[..]
    else {
        panic!("{told_by_next:?}")
    };
    assert_eq!((ended.attempt, ended.signal), (1, Some(15)));
    assert_eq!((closed.outcome, closed.lines), (Outcome::Cancelled, 3));
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts[..2], ["External: begun", "half"]);
    for line in sleepers {
        assert_eq!(alive(&line), [], "{line}");
    }
}

#[tokio::test]
async fn a_command_whose_log_nobody_can_go_on_with_is_ended_before_its_execution_is() {
    let bench = shell("echo 'ERROR External: begun'; exec sleep 31161");
    let told = bench.outlived_without_its_log().await;
    let [Command::EndAttempt(ended), Command::Close(closed)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((ended.attempt, closed.cause), (1, Some(Cause::TecDisk)));
    assert_eq!(alive("sleep 31161"), []);
}

#[tokio::test]
async fn a_wait_for_a_retry_is_left_to_the_next_daemon() {
    let mut bench = shell("exit 3");
    bench.schedule.retry =
        Retry { attempts: 2, delay_ms: 60_000, factor: 1.0, max_delay_ms: 60_000, on: Vec::new() };
    let told = bench.interrupted().await;
    let [.., Command::EndAttempt(_), Command::PlanRetry(_)] = &told[..] else { panic!("{told:?}") };
}

#[tokio::test]
async fn an_attempt_that_a_former_daemon_planned_goes_on_with_its_log() {
    let bench = shell("echo \"ERROR Mapping: attempt $DAYBOOK_ATTEMPT\"");
    let former = ["ERROR Mapping: attempt 1", "attempt 2 follows in 1 min 0 s"];
    let (told, lines) = bench.resumed(former).await;
    let [
        Command::StartAttempt,
        Command::SeeError(error),
        Command::EndAttempt(ended),
        Command::Close(closed),
    ] = &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!((error.line, ended.attempt), (3, 2));
    assert_eq!(closed.first_error.as_ref().map(|error| error.line), Some(3));
    assert_eq!((closed.lines, closed.errors.mapping), (4, 2), "both attempts count");
    let attempts: Vec<u32> = lines.iter().map(|line| line.attempt).collect();
    assert_eq!(attempts, [1, 1, 2, 2]);
}

#[tokio::test]
async fn an_attempt_whose_start_cannot_be_recorded_does_not_outlive_the_interrupt() {
    let told = shell("echo begun").resumed_without_a_journal().await;
    assert_eq!(told, [Command::StartAttempt]);
}

#[tokio::test]
async fn nothing_begins_while_the_daemon_stops() {
    let bench = shell("echo begun");
    bench.interrupt.cancel();
    let done = bench.run().await;
    assert_eq!(done.report.end, End::Interrupted);
    assert_eq!(done.report.cause, Some(Cause::TecInterrupted));
    assert!(!done.report.retryable);
    assert_eq!(done.lines.len(), 1);
}

async fn adopted_processes_that_have_ended_are_collected(trees: Trees) {
    trees.shell("(sh -c 'true' &) ; (setsid true &) ; true").run().await;
    let _alone = alone().await;
    trees.processes().collect();
    let own = i32::try_from(std::process::id()).expect("a pid");
    let left: Vec<Process> = procfs::first_threads_children(own)
        .into_iter()
        .filter_map(Process::read)
        .filter(|process| process.zombie)
        .collect();
    assert_eq!(left, []);
}
