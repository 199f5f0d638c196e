//! A log of two million lines as a workbook, as CSV and as JSON Lines: how fast it comes, and what it costs the daemon meanwhile.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::time::Instant as Stopwatch;

use crate::binary::{Daemon, Home};
use crate::output::{LINES, output};
use crate::{Outcome, Place, figure, files, load};

/// How often the command writes the million lines.
const TIMES: usize = 2;

pub(crate) fn measure(place: &Place) -> Outcome<()> {
    let home = Home::new(&place.own)?;
    let written = place.own.join("output");
    fs::write(&written, output())?;
    files::define_at_rest(&home, files::HUNDRED)?;
    let command = [vec!["cat".to_owned()], vec![written.display().to_string(); TIMES]].concat();
    home.define("shop", &format!("[schedules.write]\nmanual = true\ncommand = {command:?}\n"))?;
    let daemon = home.start(&[])?;
    let mut client = daemon.client()?;
    let opened = client.post("/api/schedules/shop/write/run")?;
    let path =
        format!("/api/executions/{}", opened["id"].as_str().ok_or("an execution without an id")?);
    daemon.until_idle()?;
    let lines = client.get(&path)?["lines"].as_u64().ok_or("an execution without lines")?;
    if lines < (TIMES * LINES) as u64 {
        return Err(format!("the log has {lines} lines").into());
    }
    figure::value("2,000,000 lines exported: MB before", daemon.memory_mb("VmRSS")?, "");
    for form in ["xlsx", "csv", "jsonl"] {
        exported(&daemon, &format!("{path}/export.{form}"), (form, lines))?;
    }
    daemon.stop()
}

/// Takes one export, and looks at the daemon meanwhile.
fn exported(daemon: &Daemon, path: &str, (form, lines): (&str, u64)) -> Outcome<()> {
    let (over, mut bytes) = (AtomicBool::new(false), 0);
    let (seconds, answers, peak) = thread::scope(|scope| {
        let watcher = scope.spawn(|| load::watch(daemon, &over));
        let began = Stopwatch::now();
        let read =
            daemon.client().and_then(|mut client| client.read(path, |part| bytes += part.len()));
        let seconds = began.elapsed().as_secs_f64();
        over.store(true, Ordering::Relaxed);
        let (answers, peak) = watcher.join().map_err(|_panic| "the watcher failed")??;
        read?;
        Outcome::Ok((seconds, answers, peak))
    })?;
    figure::value(&format!("  as .{form}: thousand lines/s"), lines as f64 / 1e3 / seconds, "");
    figure::value("    MB written", bytes as f64 / 1e6, "");
    figure::value("    the daemon's peak MB meanwhile", peak, "");
    let slowest = figure::percentile(&answers, 99);
    figure::value("    status answers meanwhile, p99 ms", slowest, "");
    Ok(())
}
