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

/// Commands for which the two ways to tell process trees differ: one that is gone before it is in its cgroup, one that is
/// moved there, and one that leaves a process behind.
const TREES: [(&str, &str, u64); 3] = [
    ("/bin/true", "command = [\"/bin/true\"]", EACH),
    ("sleep 0.05", "command = [\"sleep\", \"0.05\"]", 500),
    ("a leftover", "shell = \"setsid sleep 60 >/dev/null 2>&1 &\"", 200),
];

pub(crate) fn measure(place: &Place) -> Outcome<()> {
    let home = Home::new(&place.own)?;
    define(&home, "command = [\"/bin/true\"]")?;
    let daemon = home.start(&["--max-concurrent", &AT_ONCE.to_string()])?;
    let runtime = tokio::runtime::Runtime::new()?;
    // The daemon watches the folder above.
    let records = place.own.join("limit/records");
    std::fs::create_dir_all(place.own.join("limit"))?;
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(requested(&daemon, EACH)?);
        limit.push(runtime.block_on(spawned(&records))?);
    }
    check(&daemon)?;
    daemon.stop()?;
    let (ours, limit) = (figure::median(&ours), figure::median(&limit));
    figure::ratio("executions of /bin/true, /s", ours, limit, "(wanted: 0.60 or more)");
    Ok(())
}

/// The same executions with a cgroup for each command, beside those without.
pub(crate) fn trees(place: &Place) -> Outcome<()> {
    for (number, (name, job, each)) in TREES.into_iter().enumerate() {
        let mut daemons = Vec::new();
        for cgroups in ["true", "false"] {
            let home = Home::new(&place.own.join(format!("{number}-{cgroups}")))?;
            define(&home, job)?;
            let flags = ["--max-concurrent", &AT_ONCE.to_string(), "--cgroups", cgroups];
            daemons.push((home.start(&flags)?, Vec::new()));
        }
        for _ in 0..ROUNDS {
            for (daemon, rates) in &mut daemons {
                rates.push(requested(daemon, each)?);
            }
        }
        let mut rates = Vec::new();
        for (daemon, measured) in daemons {
            daemon.stop()?;
            rates.push(figure::median(&measured));
        }
        figure::ratio(&format!("{name} with cgroups, without, /s"), rates[0], rates[1], "");
    }
    Ok(())
}

fn define(home: &Home, job: &str) -> Outcome<()> {
    let schedule = format!("manual = true\noverlap = \"allow\"\n{job}\n");
    files::define(home, files::HUNDRED, |_| schedule.clone())
}

/// Ours: asked for by several connections at once, until the last outcome is durable.
fn requested(daemon: &Daemon, each: u64) -> Outcome<f64> {
    let asked = AtomicU64::new(0);
    let began = Stopwatch::now();
    thread::scope(|scope| {
        let all: Vec<_> =
            (0..CONNECTIONS).map(|_| scope.spawn(|| request(daemon, &asked, each))).collect();
        let mut answers = all.into_iter().map(thread::ScopedJoinHandle::join);
        answers.try_for_each(|answer| answer.unwrap_or_else(|_panic| Err("a panic".into())))
    })?;
    daemon.until_idle()?;
    Ok(each as f64 / began.elapsed().as_secs_f64())
}

fn request(daemon: &Daemon, asked: &AtomicU64, each: u64) -> Outcome<()> {
    let mut client = daemon.client()?;
    loop {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        if number >= each {
            return Ok(());
        }
        let (interface, schedule) = (number % 10, number / 10 % 10);
        client.order(&format!("/api/schedules/interface-{interface}/schedule-{schedule}/run"))?;
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
