//! The journal's own promises: recovery, anchors, reading, checking. The rest is in `conformance`.

mod anchors;
mod checking;
mod golden;
mod pruning;
mod reading;
mod recovery;
mod room;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::format::{COMPLETE, FrameHeader, SegmentHeader, chain, put_record};
use super::*;
use crate::domain::event::{Actor, Envelope};
use crate::ids::{Position, StreamId};
use crate::store::testing::{execution_stream, noted};
use crate::store::{EventLog, Expected, codec, samples, testing};

/// A journal in a folder of its own.
struct Lab {
    dir: tempfile::TempDir,
    segment_bytes: u64,
}

impl Lab {
    fn new() -> Self {
        Self::with_segments(64 << 20)
    }

    fn with_segments(segment_bytes: u64) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), segment_bytes }
    }

    fn options(&self) -> JournalOptions {
        JournalOptions { segment_bytes: self.segment_bytes, ..JournalOptions::new(self.dir.path()) }
    }

    fn open(&self) -> (JournalLog, Recovery) {
        JournalLog::open(self.options()).unwrap()
    }

    fn open_from(&self, from: LogState) -> Result<(JournalLog, Recovery), OpenError> {
        JournalLog::open(JournalOptions { from: Some(from), ..self.options() })
    }

    fn segments(&self) -> Vec<PathBuf> {
        segment::list(self.dir.path()).unwrap().into_iter().map(|(_, path)| path).collect()
    }

    fn last_segment(&self) -> PathBuf {
        self.segments().pop().unwrap()
    }

    /// Appends `count` events one after the other, each in a group of its own; answers where each frame ends.
    async fn fill(&self, count: u64) -> Vec<u64> {
        let (log, _) = self.open();
        let mut ends = Vec::new();
        for number in 0..count {
            add(&log, number).await;
            ends.push(log.size_bytes());
        }
        ends
    }
}

fn flip(path: &Path, offset: u64, bit: u8) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    byte[0] ^= 1 << bit;
    file.write_all_at(&byte, offset).unwrap();
}

async fn add(log: &JournalLog, number: u64) {
    let text = format!("event {number}");
    log.append(noted(execution_stream(number % 5), Expected::Any, &text)).await.unwrap();
}

fn all(log: &JournalLog) -> Vec<Envelope> {
    log.read(Position(0), usize::MAX).unwrap()
}

/// A generator of numbers that is the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// One append: the newest position on disk when it is written, and its events with stream, version and text.
type Written = (u64, Vec<(StreamId, u64, &'static str)>);

/// The bytes of a first segment with these appends, and where each frame begins.
fn segment_of(appends: &[Written]) -> (Vec<u8>, Vec<usize>) {
    let header =
        SegmentHeader { format: COMPLETE, first: 1, previous: [0; 32], created: samples::at() };
    let mut bytes = header.to_bytes().to_vec();
    let (mut previous, mut first) = ([0; 32], 1);
    let mut starts = Vec::new();
    for (synced, events) in appends {
        let (mut records, mut hashes) = (Vec::new(), Vec::new());
        for (stream, version, text) in events {
            let event = testing::note(text);
            let stored = codec::Stored {
                stream,
                version: *version,
                at: samples::at(),
                actor: &Actor::Daybook,
                correlation: None,
                causation: None,
                event: &event,
            };
            hashes.push(put_record(&mut records, |into| codec::encode(&stored, into)).unwrap());
        }
        previous = chain(&previous, &hashes);
        starts.push(bytes.len());
        let count = hashes.len() as u64;
        let header =
            FrameHeader { count, first, synced: *synced, chain: previous, run_after: None };
        header.write(&records, &mut bytes);
        first += count;
    }
    (bytes, starts)
}

/// Writes a segment whose appends have one event each: stream, version, newest position on disk.
fn write_segment(lab: &Lab, frames: &[(StreamId, u64, u64)]) -> (PathBuf, Vec<usize>) {
    let appends: Vec<Written> = frames
        .iter()
        .map(|(stream, version, synced)| (*synced, vec![(stream.clone(), *version, "x")]))
        .collect();
    let (bytes, starts) = segment_of(&appends);
    let path = lab.dir.path().join(segment::file_name(1));
    fs::write(&path, bytes).unwrap();
    (path, starts)
}
