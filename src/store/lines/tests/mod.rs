mod crash;
mod extent;
mod flow;
mod format;
mod golden;
mod pruning;
mod reading;
mod round_trip;

use std::path::Path;

use super::*;
use crate::domain::class::{Level, Source};
use crate::domain::line::Line;
use crate::ids::ExecutionId;
use crate::instant::Instant;

/// The execution that tests call `n`.
fn execution(n: u64) -> ExecutionId {
    let mut entropy = [0; 10];
    entropy[2..].copy_from_slice(&n.to_be_bytes());
    ExecutionId::random(Instant::from_millis(1_000 * (n as i64 % 7)), entropy)
}

fn open(dir: &Path) -> LineStore {
    LineStore::open(dir, LinesOptions::default()).expect("opens").0
}

/// Segments so small that a few chunks fill one.
fn open_small(dir: &Path) -> (LineStore, LinesRecovery) {
    let options =
        LinesOptions { segment_bytes: 16 << 10, segment_chunks: 20, queue_bytes: 1 << 20 };
    LineStore::open(dir, options).expect("opens")
}

fn info(text: &str) -> NewLine<'_> {
    NewLine {
        at: Instant::from_millis(1_000),
        attempt: 1,
        source: Source::Stdout,
        level: Level::Info,
        class: None,
        cause: None,
        text,
        cascade_of: None,
        fields: None,
    }
}

fn all(store: &LineStore, execution: ExecutionId) -> Vec<Line> {
    store.read(execution, &LineQuery::default()).expect("reads")
}

fn texts(store: &LineStore, execution: ExecutionId) -> Vec<String> {
    all(store, execution).into_iter().map(|line| line.text).collect()
}

/// Copies what is on disk, as a machine that loses power now would find it.
fn copy_of(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(dir).expect("lists") {
        let path = entry.expect("lists").path();
        std::fs::copy(&path, copy.path().join(path.file_name().expect("named"))).expect("copies");
    }
    copy
}

/// Small numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}
