use std::collections::BTreeMap;

use super::*;
use crate::clock::Clock;
use crate::ids::ExecutionId;
use crate::instant::Instant;
use crate::jobs::runner::ends::on_record;
use crate::jobs::runner::spool::{Kind, PIECE_BYTES};
use crate::jobs::runner::wire::Before;
use crate::jobs::testing::started;

/// A runner that nobody runs, and the daemon's end of its socket.
fn runner() -> (tempfile::TempDir, Runner, UnixStream) {
    let runs = tempfile::tempdir().expect("a folder");
    let folder = Folder::make(runs.path(), Instant::default()).expect("made");
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let processes = Processes::adopt(None).expect("Linux has subreapers");
    let runner = Runner::new(folder, theirs, processes).expect("it starts");
    (runs, runner, ours)
}

/// An attempt that the runner has, as if its command ran.
fn attempt(runner: &Runner) -> Arc<Attempt> {
    let execution = ExecutionId::random(Instant::from_secs(5), [5; 10]);
    let attempt = Arc::new(Attempt::new(&Start {
        of: AttemptKey { execution, attempt: 1 },
        program: "/bin/true".into(),
        arguments: Vec::new(),
        environment: BTreeMap::new(),
        folder: "/".into(),
        secrets: Vec::new(),
        timeout_ms: None,
        grace_ms: 0,
        max_log_bytes: 0,
        accepts_killed: false,
        before: Before::default(),
    }));
    runner.shared.attempts().insert(attempt.of, Arc::clone(&attempt));
    attempt
}

fn lost(of: AttemptKey, spool: &SpoolWriter) -> Ended {
    Ended { of, how: How::Lost, spooled: spool.place(), lost_bytes: 0, took_ms: 0 }
}

#[test]
fn an_attempt_runs_until_its_end_is_on_record() {
    let (_runs, runner, _daemon) = runner();
    let attempt = attempt(&runner);
    let spool = SpoolWriter::new(runner.shared.folder.path(), attempt.of);
    let ended = lost(attempt.of, &spool);
    let recorder = runner.shared.recorder();
    let (shared, of) = (Arc::clone(&runner.shared), Arc::clone(&attempt));
    let ending = started(move || shared.ended(&of, ended, spool));
    assert!(attempt.is_running(), "it waits until it can be recorded");
    drop(recorder);
    ending.join().expect("no panic");
    assert!(!attempt.is_running());
    assert!(on_record(&runner.shared.folder)[&attempt.of].ended.is_some());
}

#[test]
fn a_runner_that_goes_brings_to_the_disk_what_it_leaves() {
    let (_runs, mut runner, daemon) = runner();
    let attempt = attempt(&runner);
    let folder = runner.shared.folder.clone();
    let mut spool = SpoolWriter::new(folder.path(), attempt.of);
    let now = runner.shared.clock.now();
    for _ in 0..=PIECE_BYTES >> 20 {
        spool.write(Kind::Stdout, now, &[b'x'; 1 << 20]).expect("written");
    }
    // That it is brought there is seen by what cannot be.
    assert!(crate::jobs::runner::remove(folder.path(), attempt.of, 0));
    runner.shared.note(Note::Ended(lost(attempt.of, &spool)));
    attempt.finish(lost(attempt.of, &spool), spool);
    runner.daemon = None;
    drop(daemon);
    runner.leave();
    let said = folder.take_said();
    assert!(said.contains("may not be on disk"), "{said}");
}

/// Its next daemon reads them, and must not take for held what was forgotten.
#[test]
fn words_that_a_runner_leaves_keep_no_forgotten_end() {
    let (_runs, runner, _daemon) = runner();
    let attempt = attempt(&runner);
    let spool = SpoolWriter::new(runner.shared.folder.path(), attempt.of);
    let ended = lost(attempt.of, &spool);
    runner.shared.ended(&attempt, ended, spool);
    runner.shared.attempts().clear();
    runner.shared.voice.mention("something was odd");
    runner.leave();
    assert_eq!(runner.shared.folder.take_said(), "something was odd\n");
    assert!(on_record(&runner.shared.folder).is_empty());
}
