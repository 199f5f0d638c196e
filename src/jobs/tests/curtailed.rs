//! A daemon that is killed while the disk has little room leaves a log that the next one goes on with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::class::Source;
use crate::domain::event::ErrorCounts;
use crate::domain::line::Line;
use crate::domain::space::{Measured, Watermarks};
use crate::instant::Instant;
use crate::jobs::Scribe;
use crate::jobs::runner::Before;
use crate::jobs::testing::{Bench, shell};
use crate::store::lines::LineQuery;
use crate::store::space::Space;

/// So many MiB are free on a disk of 200 MiB.
const ENOUGH: u64 = 100;
const LOW: u64 = 8;
const FULL: u64 = 1;

/// What a command says, block by block, and how much is free when it is read.
const OUTPUT: [(u64, Source, &str); 8] = [
    (ENOUGH, Source::Stdout, "1\n2\n"),
    (LOW, Source::Stdout, "3\nERROR Mapping: 4\n5\nbegun, "),
    (LOW, Source::Stderr, "6\nERROR Mapping: 7\n{\"level\":\"error\",\"msg\":\"8\"}\n"),
    (LOW, Source::Stdout, "ended\n9\n"),
    (ENOUGH, Source::Stdout, "10\n11\n"),
    (LOW, Source::Stdout, "12\nERROR Mapping: 13\n"),
    (ENOUGH, Source::Stderr, "14\n"),
    (ENOUGH, Source::Stdout, "15\n"),
];

/// A job, and a disk whose free MiB the test sets.
struct Disk {
    bench: Bench,
    space: Arc<Space>,
    free: Arc<AtomicU64>,
    _folder: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let free = Arc::new(AtomicU64::new(ENOUGH));
        let shown = Arc::clone(&free);
        let measure = move |_: &std::path::Path| {
            Ok(Measured { free: shown.load(Ordering::Relaxed) << 20, total: 200 << 20 })
        };
        let marks = Watermarks::default();
        let space = Arc::new(Space::open_measured(folder.path(), marks, Box::new(measure)));
        let mut bench = shell("true");
        bench.space = Some(Arc::clone(&space));
        Self { bench, space, free, _folder: folder }
    }

    fn set(&self, mib: u64) {
        self.free.store(mib, Ordering::Relaxed);
        self.space.look();
    }

    /// Hands a block over; without `room` the disk is as it was when it came first.
    fn take(&self, scribe: &mut Scribe, number: usize, room: Option<u64>) {
        let (free, source, block) = OUTPUT[number];
        self.set(room.unwrap_or(free));
        let at = Instant::from_secs(1_795_428_000 + i64::try_from(number).expect("small"));
        scribe.take_clean(source, at, block.as_bytes());
    }

    /// The log when the first daemon is killed after so many blocks, with all of their lines on disk, and the next one finds
    /// `room` when it reads them again.
    async fn log(&self, killed_after: usize, room: u64) -> Vec<Line> {
        let store = self.bench.lines();
        let execution = self.bench.execution;
        let (mut first, _seen) = self.bench.scribe(store.writer(execution));
        for number in 0..killed_after {
            self.take(&mut first, number, None);
        }
        first.leave().await.expect("written");
        let writer = store.reopen_writer(execution).expect("readable");
        let (mut second, _seen) = self.bench.scribe(writer);
        second.begin_again(Before { lines: 0, bytes: 0 }, ErrorCounts::default());
        second.recall(&store, execution);
        for number in 0..killed_after {
            self.take(&mut second, number, Some(room));
        }
        for number in killed_after..OUTPUT.len() {
            self.take(&mut second, number, None);
        }
        let summary = second.finish().await.expect("written");
        let lines = store.read(execution, &LineQuery::default()).expect("readable");
        assert_eq!(summary.lines, lines.len() as u64);
        assert_eq!(summary.errors.mapping, 3);
        lines
    }
}

fn texts(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

#[tokio::test]
async fn the_log_is_the_same_wherever_the_daemon_was_killed_if_the_room_is_too() {
    let whole = Disk::new().log(0, ENOUGH).await;
    let kept: Vec<_> = whole.iter().filter(|line| line.source != Source::Daybook).collect();
    assert_eq!(kept.len(), 10, "{:?}", texts(&whole));
    for killed_after in 1..=OUTPUT.len() {
        let room = OUTPUT[killed_after - 1].0;
        let log = Disk::new().log(killed_after, room).await;
        assert_eq!(texts(&log), texts(&whole), "killed after {killed_after}");
    }
}

#[tokio::test]
async fn no_line_is_lost_that_must_be_kept_and_none_comes_twice_whatever_room_the_next_daemon_finds()
 {
    for room in [ENOUGH, LOW, FULL] {
        for killed_after in 0..=OUTPUT.len() {
            let log = Disk::new().log(killed_after, room).await;
            let said = log.iter().filter(|line| line.source != Source::Daybook);
            let said: Vec<_> = said.map(|line| line.text.as_str()).collect();
            let mut once = said.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), said.len(), "{room} MiB, killed after {killed_after}: {said:?}");
            for error in ["Mapping: 4", "Mapping: 7", "8", "Mapping: 13"] {
                assert!(said.contains(&error), "{room} MiB, killed after {killed_after}: {said:?}");
            }
        }
    }
}
