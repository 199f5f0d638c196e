//! Folding the index anew from a long history, and asking it.
//!
//! `cargo bench --bench projection [-- EVENTS]` (default 1,000,000). The log makes its events up as they are read, so that
//! memory is the index's own.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench measures real time and prints what it measured"
)]

#[path = "common/history.rs"]
mod history;

use std::sync::Arc;
use std::time::Instant as Stopwatch;

use daybook::domain::event::Envelope;
use daybook::ids::{Position, StreamId};
use daybook::projection::view::Status;
use daybook::projection::{ExecutionFilter, Projections};
use daybook::store::{Append, AppendError, AppendTicket, EventLog, ReadError};
use history::History;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A log that computes its events from their positions.
struct MadeUp {
    history: History,
    durable: watch::Sender<Position>,
}

impl MadeUp {
    fn of(events: u64) -> Self {
        Self { history: History::made_up(), durable: watch::Sender::new(Position(events)) }
    }
}

impl EventLog for MadeUp {
    fn append(&self, _append: Append) -> AppendTicket {
        Box::pin(async { Err(AppendError::Closed { why: "made up".to_owned() }) })
    }

    fn read(&self, after: Position, limit: usize) -> Result<Vec<Envelope>, ReadError> {
        let last = self.durable.borrow().0.min(after.0 + limit as u64);
        Ok((after.0 + 1..=last).map(|position| self.history.event(position)).collect())
    }

    fn read_stream(
        &self,
        _stream: &StreamId,
        _after_version: u64,
        _limit: usize,
    ) -> Result<Vec<Envelope>, ReadError> {
        Ok(Vec::new())
    }

    fn durable(&self) -> watch::Receiver<Position> {
        self.durable.subscribe()
    }
}

/// Resident and largest resident memory of this process, in MiB.
fn memory_mib() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    (field("VmRSS:").unwrap_or(0) / 1024, field("VmHWM:").unwrap_or(0) / 1024)
}

async fn until(index: &Projections, position: Position) {
    let stop = CancellationToken::new();
    let following = tokio::spawn({
        let (index, stop) = (index.clone(), stop.clone());
        async move { index.follow(stop).await }
    });
    let mut applied = index.applied();
    applied.wait_for(|applied| *applied >= position).await.expect("the index is there");
    stop.cancel();
    following.await.expect("the follower ends well");
}

fn median_ms(times: usize, mut run: impl FnMut()) -> (f64, f64) {
    let mut taken: Vec<f64> = (0..times)
        .map(|_| {
            let began = Stopwatch::now();
            run();
            began.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    taken.sort_by(f64::total_cmp);
    (taken[taken.len() / 2], taken[taken.len() - 1])
}

async fn rebuild(folder: &std::path::Path, log: &Arc<MadeUp>, events: u64) {
    let began = Stopwatch::now();
    let mut scanned = 0u64;
    while scanned < events {
        scanned += log.read(Position(scanned), 4_096).expect("made up").len() as u64;
    }
    let scan = began.elapsed().as_secs_f64();
    let before = memory_mib().0;
    let index = Projections::open(folder, Arc::clone(log) as _).expect("the folder can be used");
    let began = Stopwatch::now();
    until(&index, Position(events)).await;
    let took = began.elapsed().as_secs_f64();
    let (now, peak) = memory_mib();
    println!(
        "rebuild of {events} events: {took:.2} s ({:.0}/s), making them up: {scan:.2} s, ratio {:.1}",
        events as f64 / took,
        took / scan
    );
    println!(
        "memory: {before} MiB before, {now} MiB after, {peak} MiB at most; on disk {} MiB",
        index.status().size_bytes / (1024 * 1024)
    );
    drop(index);
    let began = Stopwatch::now();
    let index = Projections::open(folder, Arc::clone(log) as _).expect("the folder can be used");
    let took = began.elapsed().as_secs_f64() * 1000.0;
    println!("opening it again: {took:.0} ms, ready: {}", index.status().rebuilding.is_none());
    questions(&index);
    let more = Position(events + 100_000);
    log.durable.send_replace(more);
    let began = Stopwatch::now();
    until(&index, more).await;
    println!("following, in batches of 64: {:.0}/s", 100_000.0 / began.elapsed().as_secs_f64());
    println!("memory: {} MiB after, {} MiB at most", memory_mib().0, memory_mib().1);
}

fn questions(index: &Projections) {
    let ask = |name: &str, filter: ExecutionFilter| {
        let mut rows = 0;
        let (median, worst) = median_ms(21, || {
            rows = index.executions(&filter, 100, None).expect("it answers").items.len();
        });
        println!("{name}: {rows} rows, median {median:.2} ms, worst {worst:.2} ms");
    };
    let ko = || ExecutionFilter { status: vec![Status::Ko], ..ExecutionFilter::default() };
    ask("last 100", ExecutionFilter::default());
    ask("last 100 KO", ko());
    ask(
        "last 100 KO of one interface",
        ExecutionFilter { interface: Some("interface-3".parse().expect("a name")), ..ko() },
    );
    ask("a text that nothing has", ExecutionFilter { text: Some("zzz".to_owned()), ..ko() });
    let (median, worst) = median_ms(21, || {
        index.red_schedules(None).expect("it answers");
    });
    println!("red schedules: median {median:.2} ms, worst {worst:.2} ms");
}

#[tokio::main]
async fn main() {
    let events = std::env::args().find_map(|text| text.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir().expect("a folder");
    rebuild(folder.path(), &Arc::new(MadeUp::of(events)), events).await;
}
