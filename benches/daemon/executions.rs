//! Executions of a command that does nothing: from the request until the outcome is durable.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tokio::time::Instant as Stopwatch;

use crate::binary::{Daemon, Home};
use crate::group::Group;
use crate::{Failure, Outcome, Place, ROUNDS, figure, files, spawning};

/// Executions in one round.
const EACH: u64 = 2_000;
/// Who ask for them at once.
const CONNECTIONS: usize = 32;
/// Executions at once, on either side.
const AT_ONCE: usize = 16;
/// What the limit records of one execution, in bytes, one after the other: that it starts, and how it ended.
const RECORDS: [usize; 2] = [200, 200];

pub(crate) fn measure(place: &Place) -> Outcome<()> {
    let home = Home::new(&place.own)?;
    files::define(&home, files::HUNDRED, |_| {
        "manual = true\noverlap = \"allow\"\ncommand = [\"/bin/true\"]\n".to_owned()
    })?;
    let daemon = home.start(&["--max-concurrent", &AT_ONCE.to_string()])?;
    let runtime = tokio::runtime::Runtime::new()?;
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(requested(&daemon)?);
        limit.push(runtime.block_on(spawned(&place.own.join("records")))?);
    }
    check(&daemon)?;
    daemon.stop()?;
    let (ours, limit) = (figure::median(&ours), figure::median(&limit));
    figure::ratio("executions of /bin/true, /s", ours, limit, "(wanted: 0.60 or more)");
    Ok(())
}

/// Ours: asked for by several connections at once, until the last outcome is durable.
fn requested(daemon: &Daemon) -> Outcome<f64> {
    let asked = AtomicU64::new(0);
    let began = Stopwatch::now();
    thread::scope(|scope| {
        let all: Vec<_> =
            (0..CONNECTIONS).map(|_| scope.spawn(|| request(daemon, &asked))).collect();
        let mut answers = all.into_iter().map(thread::ScopedJoinHandle::join);
        answers.try_for_each(|answer| answer.unwrap_or_else(|_panic| Err("a panic".into())))
    })?;
    daemon.until_idle()?;
    Ok(EACH as f64 / began.elapsed().as_secs_f64())
}

fn request(daemon: &Daemon, asked: &AtomicU64) -> Outcome<()> {
    let mut client = daemon.client()?;
    loop {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        if number >= EACH {
            return Ok(());
        }
        let (interface, schedule) = (number % 10, number / 10 % 10);
        client.post(&format!("/api/schedules/interface-{interface}/schedule-{schedule}/run"))?;
    }
}

/// The limit: the same command started and captured, and two records of it made durable.
async fn spawned(path: &Path) -> Outcome<f64> {
    let (group, writer) = Group::create(path)?;
    let rate = spawning::rate(EACH, AT_ONCE, move || {
        let group = group.clone();
        async move {
            spawning::run(&mut Command::new("/bin/true")).await?;
            for bytes in RECORDS {
                group.append(vec![7; bytes]).await?;
            }
            Ok::<(), Failure>(())
        }
    });
    let rate = rate.await?;
    writer.join().map_err(|_panic| "the writer panicked")??;
    Ok(rate)
}

/// All of them ended well.
fn check(daemon: &Daemon) -> Outcome<()> {
    let metrics = daemon.client()?.text("/metrics")?;
    let ok: f64 = metrics
        .lines()
        .filter(|row| row.starts_with("daybook_executions_total{") && row.contains("result=\"ok\""))
        .filter_map(|row| row.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum();
    let wanted = (EACH * ROUNDS as u64) as f64;
    if ok < wanted { Err(format!("of {wanted} executions {ok} ended ok").into()) } else { Ok(()) }
}
