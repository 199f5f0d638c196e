use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::ports::Unfinished;
use crate::ids::ExecutionId;
use crate::instant::Instant;
use crate::jobs::Redactor;
use crate::jobs::cgroup::Cgroups;
use crate::jobs::procfs::Process;
use crate::jobs::runner::{Placer, Starting};
use crate::jobs::testing::{Bench, Trees, alone};

/// Longer than anything takes.
const LONG: Duration = Duration::from_secs(60);

/// Waits until it is so, however long that takes on this machine, but not for ever.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.expect(what);
}

/// The cgroups in use; none where this machine or user cannot use any.
fn cgroups() -> Option<Arc<Cgroups>> {
    if !Trees::Cgroups.usable() {
        eprintln!("not tested: no cgroup can be made here");
        return None;
    }
    Trees::Cgroups.processes().cgroups().cloned()
}

fn other_execution() -> ExecutionId {
    ExecutionId::random(Instant::from_secs(0), [7; 10])
}

/// A process that does nothing and bears no marker, in the cgroup of an attempt.
fn sleeper(cgroups: &Cgroups, execution: ExecutionId, seconds: &str) -> std::process::Child {
    let mut command = Command::new("sleep");
    command.arg(seconds).env_clear().env("PATH", "/usr/bin:/bin");
    let child = command.stdout(Stdio::null()).spawn().expect("it starts");
    let group = cgroups.of_attempt(execution, 1);
    assert!(group.take_in(pid(&child), execution).expect("it may be moved"));
    child
}

fn pid(child: &std::process::Child) -> i32 {
    i32::try_from(child.id()).expect("a pid")
}

fn folder(cgroups: &Cgroups, bench: &Bench) -> PathBuf {
    PathBuf::from(cgroups.of_attempt(bench.execution, 1).shown())
}

#[tokio::test]
async fn a_cgroup_is_removed_with_those_that_the_command_made_in_it() {
    let Some(cgroups) = cgroups() else { return };
    let mut bench = Trees::Cgroups.shell("");
    let own = folder(&cgroups, &bench);
    let text = format!(
        "mkdir {own}/inner {own}/inner/deep; setsid sleep 31411 >/dev/null 2>&1 & \
         echo $! >{own}/inner/deep/cgroup.procs; cat /proc/$!/cgroup; \
         while ! pgrep -x -f 'sleep 31411' >/dev/null; do :; done",
        own = own.display()
    );
    bench.schedule.job = Trees::Cgroups.shell(&text).schedule.job;
    let done = bench.run().await;
    assert!(done.lines.iter().any(|line| line.text.ends_with("/inner/deep")), "{:?}", done.lines);
    assert!(done.warnings()[0].contains("`sleep 31411`"), "{:?}", done.warnings());
    Trees::Cgroups.processes().tidied();
    assert!(!own.exists());
}

/// Parents, groups and markers tell nothing of it: with two executions at once only its cgroup does.
#[tokio::test]
async fn an_orphan_without_a_marker_is_the_one_executions_whose_cgroup_it_is_in() {
    if cgroups().is_none() {
        return;
    }
    let mut other = Command::new("sleep");
    other.arg("31422").stdout(Stdio::null());
    let (mut child, beside) =
        Trees::Cgroups.processes().start((other_execution(), 1), &mut other).expect("it starts");
    beside.place();
    Trees::Cgroups.processes().tidied();
    let done = Trees::Cgroups
        .shell(
            "(setsid env -i sleep 31421 </dev/null >/dev/null 2>&1 &) ; \
             while ! pgrep -x -f 'sleep 31421' >/dev/null; do :; done",
        )
        .run()
        .await;
    assert!(done.warnings()[0].contains("`sleep 31421`"), "{:?}", done.warnings());
    assert!(!done.warnings()[0].contains("31422"), "{:?}", done.warnings());
    assert_eq!(child.try_wait().expect("ours"), None, "the other one's goes on");
    child.kill().expect("ours");
    child.wait().expect("ours");
    drop(beside);
    Trees::Cgroups.processes().tidied();
}

#[tokio::test]
async fn what_a_command_started_before_it_was_moved_is_pulled_in_behind_it() {
    let Some(cgroups) = cgroups() else { return };
    let execution = ExecutionId::random(Instant::from_secs(2), [9; 10]);
    let script = "env -i sleep 31461 & sh -c 'sleep 31462 & (setsid sleep 31463 &); exec sleep 31464' & \
         while [ $(pgrep -x -f 'sleep 3146[1-4]' | wc -l) -lt 4 ]; do :; done; echo ready; read line";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).env("DAYBOOK_EXECUTION", execution.to_string());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut said = [0; 6];
    let stdout = child.stdout.as_mut().expect("piped");
    std::io::Read::read_exact(stdout, &mut said).expect("it says so");
    let group = cgroups.of_attempt(execution, 1);
    assert!(group.take_in(pid(&child), execution).expect("it may be moved"));
    let shown = |process: &Process| process.describe(&Redactor::none());
    let inside: Vec<String> = group.processes().iter().map(shown).collect();
    for line in ["/bin/sh -c", "sleep 31461`", "sleep 31462`", "sleep 31463`", "sleep 31464`"] {
        let begin = format!("`{line}");
        assert!(inside.iter().any(|process| process.starts_with(&begin)), "{line}: {inside:?}");
    }
    assert!(group.kill());
    until("all are gone", || {
        // Those that this process adopted are there until it has collected them.
        Trees::Cgroups.processes().collect();
        child.try_wait().expect("ours").is_some() && group.remove().is_ok()
    })
    .await;
}

/// Each process starts the next one and ends: most are gone before they can be looked at.
#[tokio::test]
async fn a_chain_of_processes_that_follow_one_another_is_ended_and_named() {
    let Some(cgroups) = cgroups() else { return };
    // It would come to an end by itself, but not within the 5 s that what is left over has.
    let chain = "perl -e '$SIG{TERM} = \"IGNORE\"; for (1 .. 200_000) { exit if fork }'";
    let bench = Trees::Cgroups.shell(&format!("{chain} >/dev/null 2>&1"));
    let own = folder(&cgroups, &bench);
    let done = bench.run().await;
    assert_eq!(done.warnings().len(), 1, "{:?}", done.warnings());
    assert!(done.warnings()[0].ends_with("left over, ended by Daybook"), "{:?}", done.warnings());
    Trees::Cgroups.processes().tidied();
    assert!(!own.exists());
}

#[tokio::test]
async fn a_killed_daemons_command_is_found_by_its_cgroup_without_any_marker() {
    let Some(cgroups) = cgroups() else { return };
    let bench = Trees::Cgroups.shell("true");
    let own = folder(&cgroups, &bench);
    let mut left = sleeper(&cgroups, bench.execution, "31431");
    // A process that nobody collects is no longer there for others either.
    let collected = std::thread::spawn(move || left.wait());
    let (conclusion, lines) = bench.concluded(Unfinished::Interrupted).await;
    assert!(lines[0].text.contains("`sleep 31431`"), "{lines:?}");
    assert_eq!(conclusion.lines, 2);
    collected.join().expect("no panic").expect("it has ended");
    assert!(!own.exists(), "its cgroup is removed");
}

#[tokio::test]
async fn a_start_removes_the_empty_cgroups_that_a_killed_daemon_left_and_no_others() {
    if cgroups().is_none() {
        return;
    }
    let (data, another) = (Path::new("/nowhere/one"), Path::new("/nowhere/two"));
    let find = |data| Arc::new(Cgroups::find(data).expect("they can be used"));
    let (ours, theirs) = (find(data), find(another));
    let made = [(&ours, 1), (&ours, 2), (&theirs, 1)].map(|(cgroups, attempt)| {
        let folder = cgroups.of_attempt(other_execution(), attempt).shown();
        std::fs::create_dir(&folder).expect("a cgroup");
        folder
    });
    let mut lives = sleeper(&ours, other_execution(), "31441");
    let placer = Placer::start(ours, Arc::new(Starting::default()));
    placer.known().expect("they can be used");
    placer.flush(LONG);
    let exist = || made.each_ref().map(|folder| Path::new(folder).exists());
    assert_eq!(exist(), [true, false, true]);
    assert!(
        Process::read(pid(&lives)).is_some_and(|process| !process.zombie),
        "it is not ours to end"
    );

    lives.kill().expect("ours");
    lives.wait().expect("ours");
    placer.tidy();
    placer.flush(LONG);
    assert_eq!(exist(), [false, false, true]);
    std::fs::remove_dir(&made[2]).expect("it is empty");
}

#[tokio::test]
async fn a_command_that_has_ended_by_itself_gets_no_cgroup() {
    let Some(cgroups) = cgroups() else { return };
    let processes = Trees::Cgroups.processes();
    for (number, ends) in [(11, true), (12, false)] {
        let execution = ExecutionId::random(Instant::from_secs(1), [number; 10]);
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped());
        let (mut child, managed) =
            processes.start((execution, 1), &mut command).expect("it starts");
        managed.place();
        if ends {
            drop(child.stdin.take());
            managed.ends();
            child.wait().expect("ours");
        }
        processes.tidied();
        let own = PathBuf::from(cgroups.of_attempt(execution, 1).shown());
        assert_eq!(own.exists(), !ends);
        drop(child.stdin.take());
        child.wait().expect("ours");
        drop(managed);
        processes.tidied();
        assert!(!own.exists());
    }
}

/// Its performer panicked, or was dropped.
#[tokio::test]
async fn what_lives_in_the_cgroup_of_an_execution_that_is_over_is_asked_to_end_and_then_killed() {
    let Some(cgroups) = cgroups() else { return };
    let processes = Trees::Cgroups.processes();
    let mut command = Command::new("/bin/sh");
    let stubborn = "trap '' TERM; echo ready; while :; do sleep 31451; done";
    command.args(["-c", stubborn]).stdout(Stdio::piped());
    let execution = ExecutionId::random(Instant::from_secs(1), [8; 10]);
    let (mut child, managed) = processes.start((execution, 1), &mut command).expect("it starts");
    let mut said = [0; 6];
    let stdout = child.stdout.as_mut().expect("piped");
    std::io::Read::read_exact(stdout, &mut said).expect("it says so");
    managed.place();
    processes.tidied();
    let own = PathBuf::from(cgroups.of_attempt(execution, 1).shown());
    assert!(own.exists());
    drop(managed);
    let _alone = alone().await;
    processes.collect();
    processes.tidied();
    assert_eq!(child.try_wait().expect("ours"), None, "it ignores that it is asked");
    processes.collect();
    let mut ended = None;
    until("it is killed", || {
        ended = child.try_wait().expect("ours");
        ended.is_some()
    })
    .await;
    assert_eq!(
        ended.and_then(|status| std::os::unix::process::ExitStatusExt::signal(&status)),
        Some(9)
    );
    until("its cgroup is removed", || {
        processes.collect();
        !own.exists()
    })
    .await;
}
