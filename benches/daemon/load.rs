//! What the daemon costs under load that nobody planned for: many queued executions, commands that print as fast as they
//! can, many followers of one log, callers that take nothing of their answers. What is wanted is bounded memory, and a
//! daemon that answers meanwhile.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream as Socket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::Instant as Stopwatch;

use crate::binary::{Daemon, Home};
use crate::{Outcome, Place, figure, files};

const QUEUED: usize = 10_000;
const NOISY: usize = 100;
const NOISE: Duration = Duration::from_secs(20);
const FOLLOWERS: usize = 1_000;
/// What a follower has to see: lines that come one after another, ten a second.
const FOLLOWED_LINES: usize = 100;
const STALLED: usize = 500;
/// Between two requests of whoever looks how long an answer takes.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// 10,000 executions that wait for their turn.
pub(crate) fn queued(place: &Place) -> Outcome<()> {
    let home = Home::new(&place.own)?;
    files::define_at_rest(&home, files::HUNDRED)?;
    home.define(
        "shop",
        "[schedules.wait]\nmanual = true\noverlap = \"allow\"\ncommand = [\"sleep\", \"3600\"]\n",
    )?;
    let daemon = home.start(&["--max-concurrent", "1"])?;
    let empty = daemon.memory_mb("VmRSS")?;
    let mut client = daemon.client()?;
    let began = Stopwatch::now();
    for _ in 0..=QUEUED {
        client.post("/api/schedules/shop/wait/run")?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let status = client.get("/api/status")?;
    if status["queued"] != QUEUED {
        return Err(format!("{} executions are queued", status["queued"]).into());
    }
    figure::value("10,000 queued: MB resident", daemon.memory_mb("VmRSS")?, "");
    figure::value("  before them", empty, "");
    figure::value("  opened by one caller, /s", QUEUED as f64 / seconds, "");
    let answers: Vec<f64> = (0..100).map(|_| answered(&daemon)).collect::<Outcome<_>>()?;
    figure::value("  status answers, p99 ms", figure::percentile(&answers, 99), "");
    // It would wait for the one that runs, and the next start for all of them.
    drop(daemon);
    Ok(())
}

/// 100 commands that print as fast as the pipe takes it.
pub(crate) fn noisy(place: &Place) -> Outcome<()> {
    let home = Home::new(&place.own)?;
    files::define_at_rest(&home, files::HUNDRED)?;
    let noise = format!(
        "manual = true\nmax_log = \"64MiB\"\ncommand = [\"timeout\", \"{}\", \"yes\", \"2026-11-29 sold 1 ticket for 12.50 EUR to customer 4711\"]\nok_exit = [124]\n",
        NOISE.as_secs()
    );
    let tables = (0..NOISY).map(|n| format!("[schedules.print-{n}]\n{noise}\n"));
    home.define("shop", &tables.collect::<String>())?;
    let daemon = home.start(&[])?;
    let quiet = daemon.memory_mb("VmRSS")?;
    let mut client = daemon.client()?;
    let began = Stopwatch::now();
    let mut answers = Vec::new();
    for n in 0..NOISY {
        let asked = Stopwatch::now();
        client.post(&format!("/api/schedules/shop/print-{n}/run"))?;
        answers.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    let runs = figure::percentile(&answers, 99);
    answers.clear();
    while client.get("/api/status")?["running"] != 0 {
        answers.push(answered(&daemon)?);
        thread::sleep(LOOK_EVERY);
    }
    let seconds = began.elapsed().as_secs_f64();
    daemon.until_indexed()?;
    let ended = client.get("/api/executions?limit=1000&interface=shop")?;
    let ended = ended["items"].as_array().ok_or("no list")?;
    let ok = ended.iter().filter(|execution| execution["status"] == "ok").count();
    let lines: u64 = ended.iter().filter_map(|execution| execution["lines"].as_u64()).sum();
    if ok != NOISY {
        return Err(format!("{ok} of {NOISY} ended ok").into());
    }
    figure::value("100 noisy commands: peak MB", daemon.memory_mb("VmHWM")?, "");
    figure::value("  before them, MB", quiet, "");
    figure::value("  lines kept, millions", lines as f64 / 1e6, "");
    figure::value("  until all were over, s", seconds, "");
    figure::value("  runs opened meanwhile, p99 ms", runs, "");
    figure::value("  status answers meanwhile, p99 ms", figure::percentile(&answers, 99), "");
    daemon.stop()
}

/// 1,000 callers who follow one log.
pub(crate) fn followers(place: &Place) -> Outcome<()> {
    let home = Home::new(&place.own)?;
    files::define_at_rest(&home, files::HUNDRED)?;
    let shell = format!(
        "sleep 3; i=0; while [ $i -lt {FOLLOWED_LINES} ]; do echo line $i; i=$((i+1)); sleep 0.1; done"
    );
    home.define("shop", &format!("[schedules.print]\nmanual = true\nshell = {shell:?}\n"))?;
    let daemon = home.start(&[])?;
    let before = daemon.memory_mb("VmRSS")?;
    let opened = daemon.client()?.post("/api/schedules/shop/print/run")?;
    let id = opened["id"].as_str().ok_or("an execution without an id")?.to_owned();
    let used = daemon.processor()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let over = AtomicBool::new(false);
    let (seen, answers, peak) = thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&daemon, &over));
        let seen = runtime.block_on(async {
            let follow = |_| follow(daemon.socket().to_owned(), id.clone());
            futures_util::future::join_all((0..FOLLOWERS).map(follow)).await
        });
        over.store(true, Ordering::Relaxed);
        let (answers, peak) = watcher.join().map_err(|_panic| "the watcher failed")??;
        Outcome::Ok((seen, answers, peak))
    })?;
    let seen: Vec<usize> = seen.into_iter().collect::<Outcome<_>>()?;
    if let Some(few) = seen.iter().find(|seen| **seen != FOLLOWED_LINES) {
        return Err(format!("a follower saw {few} lines of {FOLLOWED_LINES}").into());
    }
    let used = daemon.processor()?.saturating_sub(used).as_secs_f64();
    figure::value("1,000 followers: peak MB", peak, "");
    figure::value("  before them, MB", before, "");
    figure::value("  processor time for 100 lines to each, s", used, "");
    figure::value("  status answers meanwhile, p99 ms", figure::percentile(&answers, 99), "");
    daemon.stop()
}

/// 500 callers who ask for a large log and take nothing of it.
pub(crate) fn stalled(place: &Place) -> Outcome<()> {
    let home = Home::new(&place.own)?;
    files::define_at_rest(&home, files::HUNDRED)?;
    home.define("shop", "[schedules.print]\nmanual = true\nshell = \"yes a line of ordinary output | head -c 50000000\"\n")?;
    let daemon = home.start(&[])?;
    let opened = daemon.client()?.post("/api/schedules/shop/print/run")?;
    let id = opened["id"].as_str().ok_or("an execution without an id")?;
    daemon.until_idle()?;
    let before = daemon.memory_mb("VmRSS")?;
    let request = format!("GET /api/executions/{id}/log HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut callers = Vec::new();
    for _ in 0..STALLED {
        let mut socket = Socket::connect(daemon.socket())?;
        socket.write_all(request.as_bytes())?;
        callers.push(socket);
    }
    for caller in &mut callers {
        // The head is there: from here on it takes no more.
        caller.read_exact(&mut [0; 12])?;
    }
    let answers: Vec<f64> = (0..100).map(|_| answered(&daemon)).collect::<Outcome<_>>()?;
    figure::value("500 stalled readers of 50 MB: MB resident", daemon.memory_mb("VmRSS")?, "");
    figure::value("  before them, MB", before, "");
    figure::value("  status answers meanwhile, p99 ms", figure::percentile(&answers, 99), "");
    drop(callers);
    daemon.stop()
}

/// Milliseconds until a new caller has the status.
fn answered(daemon: &Daemon) -> Outcome<f64> {
    let began = Stopwatch::now();
    let status: Value = daemon.client()?.get("/api/status")?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    if status.is_object() { Ok(took) } else { Err("the status is no object".into()) }
}

/// Asks for the status until it is `over`: how long each answer took, and the largest memory that was seen.
pub(crate) fn watch(daemon: &Daemon, over: &AtomicBool) -> Outcome<(Vec<f64>, f64)> {
    let (mut answers, mut peak) = (Vec::new(), 0.0_f64);
    while !over.load(Ordering::Relaxed) {
        answers.push(answered(daemon)?);
        peak = peak.max(daemon.memory_mb("VmRSS")?);
        thread::sleep(LOOK_EVERY);
    }
    Ok((answers, peak))
}

/// Follows the log to its end; how many of the command's lines came.
async fn follow(socket: std::path::PathBuf, id: String) -> Outcome<usize> {
    let mut stream = UnixStream::connect(socket).await?;
    let request = format!(
        "GET /api/executions/{id}/log HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut rows = BufReader::with_capacity(1_024, stream).lines();
    let mut seen = 0;
    while let Some(row) = rows.next_line().await? {
        if row.starts_with("data:") && row.contains("\"stream\":\"stdout\"") {
            seen += 1;
        } else if row == "event: end" {
            return Ok(seen);
        }
    }
    Err("a follower was cut off".into())
}
