//! A command that writes a million lines: from the request until its log is closed and can be read.

use std::borrow::Cow;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant as Stopwatch;

use crate::binary::{Daemon, Home, until};
use crate::output::{LINE_BYTES, LINES, output};
use crate::{Outcome, Place, ROUNDS, figure, files};

/// Between two looks at whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What one read of a pipe gives.
const BLOCK_BYTES: usize = 64 * 1024;
const BYTES: f64 = (LINES * LINE_BYTES) as f64;

pub(crate) fn measure(place: &Place) -> Outcome<()> {
    let home = Home::new(&place.own)?;
    let written = place.own.join("output");
    let hash = {
        let output = output();
        fs::write(&written, &output)?;
        blake3::hash(&output)
    };
    files::define_at_rest(&home, files::HUNDRED)?;
    let path = written.display().to_string();
    home.define(
        "shop",
        &format!(
            "[schedules.write]\nmanual = true\nmax_log = \"1GiB\"\ncommand = [\"cat\", {path:?}]\n"
        ),
    )?;
    let daemon = home.start(&[])?;
    let (mut ours, mut limit, mut logs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (seconds, log) = captured(&daemon)?;
        ours.push(BYTES / 1e6 / seconds);
        logs.push(log);
        limit.push(BYTES / 1e6 / counted(&written)?);
    }
    let peak = daemon.memory_mb("VmHWM")?;
    let mut read = Vec::new();
    for log in &logs {
        let began = Stopwatch::now();
        if fetched(&daemon, log)? != hash {
            return Err("what comes back is not what was written".into());
        }
        read.push(BYTES / 1e6 / began.elapsed().as_secs_f64());
    }
    let peak_after = daemon.memory_mb("VmHWM")?;
    daemon.stop()?;
    let (ours, limit) = (figure::median(&ours), figure::median(&limit));
    figure::ratio("log capture, byte-identical, MB/s", ours, limit, "(wanted: 0.35 or more)");
    figure::value("  the daemon's peak memory, MB", peak, "(wanted: 80 or less)");
    figure::value("  the same after it was read back, MB", peak_after, "");
    figure::value("  read back over HTTP as JSON Lines, MB/s", figure::median(&read), "");
    Ok(())
}

/// Ours: seconds from the request until the execution is over and its last lines come back; with the log's path.
fn captured(daemon: &Daemon) -> Outcome<(f64, String)> {
    let mut client = daemon.client()?;
    let began = Stopwatch::now();
    let opened = client.post("/api/schedules/shop/write/run")?;
    let id = opened["id"].as_str().ok_or("an execution without an id")?;
    let path = format!("/api/executions/{id}");
    let lines = until(LOOK_EVERY, || {
        let execution = client.get(&path)?;
        match execution["status"].as_str() {
            Some("queued" | "running") => Ok(None),
            Some("ok") => Ok(execution["lines"].as_u64()),
            _ => Err(format!("it did not end ok: {execution}").into()),
        }
    })?;
    let log = format!("{path}/log");
    let last = client.text(&format!("{log}?after={}", lines.saturating_sub(2)))?;
    let seconds = began.elapsed().as_secs_f64();
    if last.lines().count() == 2 {
        Ok((seconds, log))
    } else {
        Err("the log ends before its last line".into())
    }
}

/// The limit: seconds until the same command's lines, read from a pipe, are counted.
fn counted(written: &Path) -> Outcome<f64> {
    let began = Stopwatch::now();
    let child = Command::new("cat").arg(written).stdout(Stdio::piped()).spawn()?;
    let lines = count(child)?;
    let seconds = began.elapsed().as_secs_f64();
    if lines == LINES { Ok(seconds) } else { Err(format!("the pipe gave {lines} lines").into()) }
}

fn count(mut child: Child) -> Outcome<usize> {
    let mut pipe = child.stdout.take().ok_or("the command has no pipe")?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut lines = 0;
    loop {
        let bytes = pipe.read(&mut block)?;
        if bytes == 0 {
            break;
        }
        lines += memchr::memchr_iter(b'\n', &block[..bytes]).count();
    }
    child.wait()?;
    Ok(lines)
}

/// What is looked at of a line of the log.
#[derive(Deserialize)]
struct Row<'a> {
    stream: &'a str,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

/// The hash of what the command wrote, as the log has it.
fn fetched(daemon: &Daemon, log: &str) -> Outcome<blake3::Hash> {
    let mut hash = blake3::Hasher::new();
    let mut rest: Vec<u8> = Vec::new();
    let mut wrong = None;
    daemon.client()?.read(log, |bytes| {
        rest.extend_from_slice(bytes);
        let Some(end) = memchr::memrchr(b'\n', &rest) else { return };
        for row in rest[..end].split(|byte| *byte == b'\n') {
            match serde_json::from_slice::<Row<'_>>(row) {
                Ok(row) if row.stream == "stdout" => {
                    hash.update(row.text.as_bytes());
                    hash.update(b"\n");
                }
                Ok(_) => (),
                Err(err) => wrong = Some(err),
            }
        }
        rest.drain(..=end);
    })?;
    match wrong {
        Some(err) => Err(err.into()),
        None if rest.is_empty() => Ok(hash.finalize()),
        None => Err("the log's last row has no end".into()),
    }
}
