//! A small history, written as the daemon writes it, and what is done with it as a whole.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::domain::class::{Level, Source as From};
use crate::domain::event::{Actor, Closed, ErrorCounts, Event, Opened, Outcome, Trigger};
use crate::engine::state::{STATE_VERSION, State};
use crate::ids::{ExecutionId, Position, ScheduleRef, StreamId, hex};
use crate::instant::Instant;
use crate::projection::Projections;
use crate::store::checkpoint::{Checkpoint, Checkpoints};
use crate::store::codec;
use crate::store::journal::{JournalLog, JournalOptions};
use crate::store::lines::{LineStore, LinesOptions, NewLine};
use crate::store::{Append, EventLog, Expected, Links, StreamAppend};

mod alone;
mod damage;
mod moving;
mod tampering;

fn at(minute: i64) -> Instant {
    Instant::from_secs(1_795_428_000 + minute * 60)
}

fn schedule() -> ScheduleRef {
    "fnac/sales".parse().unwrap()
}

/// A data folder with a history of executions that said something.
struct Lab {
    dir: tempfile::TempDir,
    /// Small ones, so that a short history has several.
    segment_bytes: u64,
    lines: LinesOptions,
}

impl Lab {
    /// A folder without a store.
    fn empty() -> Self {
        let lines = LinesOptions { segment_bytes: 1_500, ..LinesOptions::default() };
        Self { dir: tempfile::tempdir().unwrap(), segment_bytes: 1_500, lines }
    }

    /// A history of `count` executions, with index and checkpoint.
    async fn with(count: i64) -> Self {
        let lab = Self::empty();
        lab.live(0..count).await;
        lab
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn open(&self) -> (JournalLog, LineStore) {
        let options = JournalOptions {
            segment_bytes: self.segment_bytes,
            ..JournalOptions::new(self.data().join(JOURNAL))
        };
        let (log, _) = JournalLog::open(options).unwrap();
        let (lines, _) = LineStore::open(&self.data().join(LINES), self.lines).unwrap();
        (log, lines)
    }

    /// Lets the executions of these minutes run, then writes index and checkpoint as a stop does.
    async fn live(&self, minutes: std::ops::Range<i64>) {
        fs::create_dir_all(self.data()).unwrap();
        let (log, lines) = self.open();
        for minute in minutes {
            run(&log, &lines, minute).await;
        }
        self.stop(log, lines).await;
    }

    async fn stop(&self, log: JournalLog, lines: LineStore) {
        let log = std::sync::Arc::new(log);
        let shared: std::sync::Arc<dyn EventLog> = log.clone();
        let index = Projections::open(&self.data().join(INDEX), shared).unwrap();
        let stop = tokio_util::sync::CancellationToken::new();
        let following = tokio::spawn({
            let (index, stop) = (index.clone(), stop.clone());
            async move { index.follow(stop).await }
        });
        let (_, end) = log.head();
        index.applied().wait_for(|applied| *applied >= end).await.unwrap();
        stop.cancel();
        following.await.unwrap();
        write_checkpoint(&self.data(), &log).await;
        drop(index);
        log.close();
        drop(lines);
    }

    fn check(&self) -> Checked {
        check(&self.data())
    }

    fn back_up(&self) -> Made {
        self.try_back_up(None).unwrap()
    }

    fn try_back_up(&self, keep: Option<usize>) -> Result<Made, BackupError> {
        let source = Source::of_folder(&self.data(), None).unwrap();
        let created = at(source.journal.position.0.try_into().unwrap());
        self.back_up_at(created, keep)
    }

    /// Makes a backup while the clock shows `created`.
    fn back_up_at(&self, created: Instant, keep: Option<usize>) -> Result<Made, BackupError> {
        let source = Source::of_folder(&self.data(), None).unwrap();
        let dir = self.dir.path().join("backups");
        let order = BackupOrder { dir: &dir, version: "0.1.0", created, keep, spare: 0 };
        source.back_up(order, &mut |_| {})
    }

    fn journal_files(&self) -> Vec<PathBuf> {
        files(&self.data().join(JOURNAL), "seg")
    }
}

/// The files of a folder that end so, in order.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == extension))
        .collect();
    found.sort();
    found
}

fn check(data: &Path) -> Checked {
    check_folder(data, Asked::default(), &mut |_| {}).unwrap()
}

async fn append(log: &JournalLog, stream: StreamId, minute: i64, events: Vec<Event>) {
    let part = StreamAppend { stream, expected: Expected::Any, events, links: Links::default() };
    let append = Append { streams: vec![part], at: at(minute), actor: Actor::Daybook };
    log.append(append).await.unwrap();
}

fn execution(minute: i64) -> ExecutionId {
    ExecutionId::for_slot(&schedule(), at(minute))
}

/// One execution with a log of a few hundred bytes.
async fn run(log: &JournalLog, lines: &LineStore, minute: i64) {
    let id = execution(minute);
    let opened = Opened {
        schedule: schedule(),
        slot: Some(at(minute)),
        trigger: Trigger::Cron,
        definition_version: 1,
        params: std::collections::BTreeMap::new(),
        rerun_of: None,
        root: id,
        idempotency_key: format!("fnac/sales@{minute}"),
        previous_slot: None,
        last_ok_slot: None,
        priority: 0,
        forced: false,
    };
    append(log, StreamId::Execution(id), minute, vec![opened.into()]).await;
    let mut writer = lines.writer(id);
    for line in 0..20 {
        let text = format!("line {line} of the execution of minute {minute}: {}", minute * 7_919);
        writer.push(NewLine {
            at: at(minute),
            attempt: 1,
            source: From::Stdout,
            level: Level::Info,
            class: None,
            cause: None,
            text: &text,
            cascade_of: None,
            fields: None,
        });
        if line % 5 == 4 {
            writer.cut();
        }
    }
    let summary = writer.finish().await.unwrap();
    let closed = Closed {
        outcome: Outcome::Ok,
        class: None,
        cause: None,
        exit_code: Some(0),
        attempts: 1,
        lines: summary.lines,
        errors: ErrorCounts::default(),
        first_error: None,
        log_hash: summary.hash,
        duration_ms: 10,
    };
    append(log, StreamId::Execution(id), minute, vec![closed.into()]).await;
}

/// The state that the log adds up to.
fn fold(log: &JournalLog) -> State {
    let mut state = State::default();
    let mut scan = log.scan(Position(1));
    while let Some(envelope) = scan.next_envelope().unwrap() {
        state.replay(&envelope);
        state.fresh.clear();
    }
    state
}

async fn write_checkpoint(data: &Path, log: &JournalLog) {
    keep_state(data, log, &fold(log)).await;
}

/// Writes a checkpoint that claims `state`.
async fn keep_state(data: &Path, log: &JournalLog, state: &State) {
    let (_, position) = log.head();
    let mut packed = Vec::new();
    codec::pack(state, &mut packed).unwrap();
    let checkpoint = Checkpoint {
        position,
        state_version: STATE_VERSION,
        state: packed,
        log: log.state().await.unwrap(),
    };
    let (mut checkpoints, _) = Checkpoints::open(data).unwrap();
    checkpoints.write(&checkpoint).unwrap();
}

/// All files below a folder with their bytes, but locks and what sled wrote.
fn contents(folder: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    for part in [JOURNAL, LINES] {
        for path in files(&folder.join(part), "seg") {
            let name = path.file_name().unwrap().to_str().unwrap();
            found.insert(format!("{part}/{name}"), fs::read(&path).unwrap());
        }
    }
    found
}

#[tokio::test]
async fn a_sound_store_is_compared_in_all_its_parts() {
    let lab = Lab::with(30).await;
    let checked = lab.check();
    assert_eq!(checked.findings, vec![]);
    assert_eq!((checked.log.events, checked.logs, checked.logs_pruned), (60, 30, 0));
    assert_eq!(checked.lines.lines, 600);
    assert_eq!(checked.checkpoint, Some(Position(60)));
    assert_eq!(checked.index, Some(Position(60)));
    assert!(checked.log.segments > 2 && checked.lines.segments > 2, "{checked:?}");
    // Nothing of the comparison stays.
    for name in ["recount", "compared"] {
        assert!(!lab.data().join(INDEX).join(name).exists(), "{name}");
    }
}

#[tokio::test]
async fn a_store_in_use_is_compared_while_others_write() {
    let lab = Lab::with(5).await;
    let (log, lines) = lab.open();
    let log = std::sync::Arc::new(log);
    let shared: std::sync::Arc<dyn EventLog> = log.clone();
    let index = Projections::open(&lab.data().join(INDEX), shared).unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let following = tokio::spawn({
        let (index, stop) = (index.clone(), stop.clone());
        async move { index.follow(stop).await }
    });
    let checking = tokio::task::spawn_blocking({
        let (data, log, lines) = (lab.data(), log.clone(), lines.clone());
        move || {
            check_running((&data, &log, &lines), Some(&index), Asked::default(), &mut |_| {})
                .unwrap()
        }
    });
    let mut minute = 5;
    while !checking.is_finished() {
        run(&log, &lines, minute).await;
        minute += 1;
    }
    let checked = checking.await.unwrap();
    assert_eq!((checked.findings, checked.notes), (vec![], vec![]));
    assert!(checked.index >= Some(Position(10)), "{:?}", checked.index);
    assert_eq!(checked.checkpoint, Some(Position(10)));
    stop.cancel();
    following.await.unwrap();
}
