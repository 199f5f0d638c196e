//! Durable appends against a raw file: the same batches of bytes, written and synced in the same run.
//!
//! `cargo bench --bench journal [-- <folder>]`; prints both rates with their ratio, and the acknowledgement's delays.
//! 64 producers append events of about 200 stored bytes, each waiting for its acknowledgement. What went to disk in one
//! group is then written again in the same sizes to a plain file with `fdatasync`, as fast as the disk takes it.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use daybook::domain::event::{Actor, Noted};
use daybook::ids::{ExecutionId, Position, StreamId};
use daybook::instant::Instant;
use daybook::store::journal::{Commit, JournalLog, JournalOptions, OnCommit};
use daybook::store::{Append, EventLog, Expected, Links, StreamAppend};
use tokio::time::Instant as Moment;

const PRODUCERS: u64 = 64;
const EVENTS_EACH: u64 = 1_500;
const ROUNDS: usize = 7;

/// What one round of one side measured.
struct Round {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("daybook-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let (mut journal, mut raw) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let dir = folder.join(format!("journal-{round}"));
        let (measured, batches) = runtime.block_on(appended(&dir))?;
        journal.push(measured);
        raw.push(written(&folder.join("raw"), &batches)?);
        if round + 1 == ROUNDS {
            println!("batch            {:>10.1} appends", mean_appends(&batches));
            println!("stored           {:>10.1} bytes per event", bytes_per_event(&batches));
            reading(&dir)?;
        }
    }
    std::fs::remove_dir_all(&folder)?;
    let (ours, limit) = (median(&journal, |r| r.per_second), median(&raw, |r| r.per_second));
    println!("journal          {ours:>10.0} events/s, {PRODUCERS} producers");
    println!("raw file         {limit:>10.0} events/s, the same batches");
    println!("ratio            {:>10.2} (wanted: 0.70 or more)", ours / limit);
    let delays = |rounds: &[Round]| {
        (median(rounds, |r| r.p50.as_secs_f64()), median(rounds, |r| r.p99.as_secs_f64()))
    };
    let (ours, limit) = (delays(&journal), delays(&raw));
    println!("journal ack      {:>10.2} ms p50, {:.2} ms p99", ours.0 * 1e3, ours.1 * 1e3);
    println!("raw write + sync {:>10.2} ms p50, {:.2} ms p99", limit.0 * 1e3, limit.1 * 1e3);
    println!("ratio of p99     {:>10.2} (wanted: 2.00 or less)", ours.1 / limit.1);
    Ok(())
}

/// All producers append until each has had its share.
async fn appended(dir: &Path) -> Result<(Round, Vec<Commit>), Box<dyn std::error::Error>> {
    let commits = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&commits);
    let mut options = JournalOptions::new(dir);
    let on_commit: OnCommit = Arc::new(move |commit: Commit| {
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(commit);
    });
    options.on_commit = Some(on_commit);
    let log = Arc::new(JournalLog::open(options)?.0);
    let began = Moment::now();
    let producers: Vec<_> =
        (0..PRODUCERS).map(|number| tokio::spawn(produce(Arc::clone(&log), number))).collect();
    let mut delays = Vec::new();
    for producer in producers {
        delays.extend(producer.await??);
    }
    let took = began.elapsed();
    log.close();
    let commits = std::mem::take(&mut *commits.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((round(PRODUCERS * EVENTS_EACH, took, delays), commits))
}

async fn produce(
    log: Arc<JournalLog>,
    number: u64,
) -> Result<Vec<Duration>, daybook::store::AppendError> {
    let mut entropy = [0; 10];
    entropy[2..].copy_from_slice(&number.to_be_bytes());
    let at = Instant::from_secs(1_795_428_000);
    let stream = StreamId::Execution(ExecutionId::random(at, entropy));
    let mut delays = Vec::new();
    for version in 0..EVENTS_EACH {
        let text = Some("x".repeat(76));
        let event = Noted { text, reference: None, acknowledged: false }.into();
        let part = StreamAppend {
            stream: stream.clone(),
            expected: Expected::Exact(version),
            events: vec![event],
            links: Links::default(),
        };
        let append = Append { streams: vec![part], at, actor: Actor::Daybook };
        let began = Moment::now();
        log.append(append).await?;
        delays.push(began.elapsed());
    }
    Ok(delays)
}

/// Writes the same batches to a plain file.
fn written(path: &Path, batches: &[Commit]) -> std::io::Result<Round> {
    let mut file = File::create(path)?;
    let largest = batches.iter().map(|batch| batch.bytes).max().unwrap_or(0);
    let bytes = vec![7; usize::try_from(largest).unwrap_or(usize::MAX)];
    let (mut delays, mut events) = (Vec::new(), 0);
    let began = Moment::now();
    for batch in batches {
        let before = Moment::now();
        file.write_all(&bytes[..usize::try_from(batch.bytes).unwrap_or(usize::MAX)])?;
        file.sync_data()?;
        // Each of its events waited this long.
        let took = before.elapsed();
        delays.extend((0..batch.events).map(|_| took));
        events += batch.events;
    }
    Ok(round(events, began.elapsed(), delays))
}

/// How fast the log is read back, from the page cache.
fn reading(dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let began = Moment::now();
    let (log, recovery) = JournalLog::open(JournalOptions::new(dir))?;
    println!("open and recover {:>10.0} events/s", rate(recovery.scanned, began.elapsed()));
    let began = Moment::now();
    let mut scan = log.scan(Position(1));
    let mut count = 0;
    while scan.next_raw()?.is_some() {
        count += 1;
    }
    println!("raw scan         {:>10.0} events/s", rate(count, began.elapsed()));
    let began = Moment::now();
    let mut scan = log.scan(Position(1));
    while scan.next_envelope()?.is_some() {}
    println!("decoded scan     {:>10.0} events/s", rate(count, began.elapsed()));
    let began = Moment::now();
    let report = log.verify_now()?;
    println!("verify           {:>10.0} events/s", rate(report.events, began.elapsed()));
    Ok(())
}

fn round(events: u64, took: Duration, mut delays: Vec<Duration>) -> Round {
    delays.sort_unstable();
    let at = |part: f64| {
        let index = (delays.len() as f64 * part) as usize;
        delays.get(index.min(delays.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    Round { per_second: rate(events, took), p50: at(0.5), p99: at(0.99) }
}

fn rate(events: u64, took: Duration) -> f64 {
    events as f64 / took.as_secs_f64()
}

fn median(rounds: &[Round], of: impl Fn(&Round) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn mean_appends(batches: &[Commit]) -> f64 {
    batches.iter().map(|batch| batch.appends).sum::<u64>() as f64 / batches.len().max(1) as f64
}

fn bytes_per_event(batches: &[Commit]) -> f64 {
    let events: u64 = batches.iter().map(|batch| batch.events).sum();
    batches.iter().map(|batch| batch.bytes).sum::<u64>() as f64 / events.max(1) as f64
}
