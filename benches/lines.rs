//! How fast lines reach the disk and come back, beside a plain write of the same bytes in the same run.
//!
//! `cargo bench --bench lines` prints one row for each figure; sides alternate, medians of five rounds.

#[path = "common/output.rs"]
mod output;

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use daybook::domain::class::{Level, Source};
use daybook::ids::ExecutionId;
use daybook::instant::Instant;
use daybook::store::lines::{LineQuery, LineStore, LinesOptions, NewLine};
use output::{LINE_BYTES, LINES};
use tokio::time::Instant as Stopwatch;

const ROUNDS: usize = 5;
/// What one read of a pipe gives.
const BLOCK_BYTES: usize = 64 * 1024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let output = output::output();
    let mut out = std::io::stdout().lock();
    let mut figures: Vec<(&str, Vec<f64>)> = Vec::new();
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir_in(".")?;
        let raw = raw_write(folder.path(), &output)?;
        let blocks = runtime.block_on(write_blocks(&folder.path().join("blocks"), &output))?;
        let (single, push_ns) =
            runtime.block_on(write_lines(&folder.path().join("single"), &output))?;
        let (read, first_error) = read_back(&folder.path().join("single"))?;
        for (name, value) in [
            ("plain write and fdatasync, MB/s", raw),
            ("push_plain_block to finish, MB/s", blocks),
            ("push line by line to finish, MB/s", single),
            ("one push, ns", push_ns),
            ("read back, MB/s", read),
            ("first error of a million lines, µs", first_error),
        ] {
            match figures.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => figures.push((name, vec![value])),
            }
        }
    }
    let plain = figures.first_mut().map_or(f64::NAN, |(_, values)| median(values));
    for (name, values) in &mut figures {
        let value = median(values);
        let ratio = if name.ends_with("MB/s") {
            format!("{:6.2} of plain", value / plain)
        } else {
            String::new()
        };
        writeln!(out, "{name:40} {value:10.1} {ratio}")?;
    }
    writeln!(out, "{:40} {:10.1}", "peak memory with the output itself, MB", peak_memory_mb())?;
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn rate(bytes: usize, since: Stopwatch) -> f64 {
    bytes as f64 / 1e6 / since.elapsed().as_secs_f64()
}

fn raw_write(folder: &Path, output: &[u8]) -> std::io::Result<f64> {
    let since = Stopwatch::now();
    let mut file = File::create(folder.join("raw"))?;
    for block in output.chunks(BLOCK_BYTES) {
        file.write_all(block)?;
    }
    file.sync_data()?;
    Ok(rate(output.len(), since))
}

fn execution() -> ExecutionId {
    ExecutionId::random(Instant::from_secs(1), [7; 10])
}

async fn write_blocks(folder: &Path, output: &[u8]) -> Result<f64, Box<dyn std::error::Error>> {
    let (store, _) = LineStore::open(folder, LinesOptions::default())?;
    let since = Stopwatch::now();
    let mut writer = store.writer(execution());
    for (n, block) in (0..).zip(output.chunks(BLOCK_BYTES / LINE_BYTES * LINE_BYTES)) {
        writer.ready().await?;
        writer.push_plain_block(Instant::from_millis(n), 1, Source::Stdout, block);
    }
    let summary = writer.finish().await?;
    assert_eq!(summary.lines, LINES as u64);
    Ok(rate(output.len(), since))
}

async fn write_lines(
    folder: &Path,
    output: &[u8],
) -> Result<(f64, f64), Box<dyn std::error::Error>> {
    let (store, _) = LineStore::open(folder, LinesOptions::default())?;
    let text = std::str::from_utf8(output)?;
    let since = Stopwatch::now();
    let mut writer = store.writer(execution());
    for (n, text) in (0u32..).zip(text.lines()) {
        if n % 650 == 0 {
            writer.ready().await?;
        }
        let failed = n > 900_000 && n % 1_000 == 0;
        writer.push(NewLine {
            at: Instant::from_millis(i64::from(n / 650)),
            attempt: 1,
            source: Source::Stdout,
            level: if failed { Level::Error } else { Level::Info },
            class: None,
            cause: None,
            text,
            cascade_of: None,
            fields: None,
        });
    }
    writer.finish().await?;
    let throughput = rate(output.len(), since);
    let sample: Vec<&str> = text.lines().take(600).collect();
    let mut writer = store.writer(ExecutionId::random(Instant::from_secs(1), [8; 10]));
    let since = Stopwatch::now();
    for text in &sample {
        writer.push(NewLine {
            at: Instant::from_millis(1),
            attempt: 1,
            source: Source::Stdout,
            level: Level::Info,
            class: None,
            cause: None,
            text,
            cascade_of: None,
            fields: None,
        });
    }
    let each = since.elapsed().as_nanos() as f64 / sample.len() as f64;
    writer.finish().await?;
    Ok((throughput, each))
}

fn read_back(folder: &Path) -> Result<(f64, f64), Box<dyn std::error::Error>> {
    let (store, _) = LineStore::open(folder, LinesOptions::default())?;
    let since = Stopwatch::now();
    let mut bytes = 0;
    store.for_each(execution(), &LineQuery::default(), &mut |line| {
        bytes += black_box(line.text).len() + 1;
        ControlFlow::Continue(())
    })?;
    let read = rate(bytes, since);
    assert_eq!(bytes, LINES * LINE_BYTES);
    let since = Stopwatch::now();
    let found = store.read(execution(), &LineQuery::first_error())?;
    let first_error = since.elapsed().as_secs_f64() * 1e6;
    assert_eq!(found.len(), 1);
    Ok((read, first_error))
}

fn peak_memory_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}
