//! A thousand schedules that are due in the same second, each of them starting a command.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use chrono::{Datelike, Timelike};
use daybook::instant::Instant;
use tokio::runtime::Runtime;

use crate::binary::{Daemon, Home, until};
use crate::stamp::{self, Stamp, wall_clock};
use crate::{Outcome, Place, ROUNDS, figure, files, spawning};

/// Interfaces, and schedules in each.
const SIZE: files::Size = (10, 100);
/// All of them.
const DUE: u64 = SIZE.0 * SIZE.1;
/// Commands at once on the limit's side.
const AT_ONCE: usize = 16;
/// From the first sight of the files until the slot.
const LEAD: Duration = Duration::from_secs(6);
/// A daemon that is ready so long before the slot is at rest then.
const REST: Duration = Duration::from_secs(2);
/// How often a start that took too long is tried again, with twice the lead.
const TRIES: u32 = 5;
/// Between two looks at how many have started.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(crate) fn measure(place: &Place) -> Outcome<()> {
    let runtime = Runtime::new()?;
    let (mut middle, mut most, mut last, mut limit) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let late = ours(&place.own.join(round.to_string()))?;
        middle.push(figure::percentile(&late, 50));
        most.push(figure::percentile(&late, 99));
        last.push(figure::worst(&late));
        let rate = runtime.block_on(spawned(&place.own.join(format!("limit-{round}"))))?;
        limit.push(DUE as f64 / rate);
    }
    let limit = figure::median(&limit);
    let ratio = |name: &str, values: &[f64], wanted: &str| {
        figure::ratio(name, figure::median(values), limit, wanted);
    };
    ratio("1,000 due at once, p99 of starts, s late", &most, "(wanted: 1.50 or less)");
    ratio("  p50, s", &middle, "each started exactly once");
    ratio("  the last one, s", &last, "");
    figure::value("  spawn rate, 16 at once, /s", DUE as f64 / limit, "");
    Ok(())
}

/// Ours: how late each command started, in seconds, on a fresh daemon.
fn ours(folder: &Path) -> Outcome<Vec<f64>> {
    for again in 0..TRIES {
        let home = Home::new(&folder.join(again.to_string()))?;
        let stamps = folder.join(again.to_string()).join("stamps");
        fs::write(&stamps, "")?;
        let slot = Duration::from_secs((wall_clock() + LEAD * 2_u32.pow(again)).as_secs());
        define(&home, &stamps, slot)?;
        let daemon = home.start(&["--max-concurrent", &DUE.to_string()])?;
        if wall_clock() + REST < slot {
            let late = started(&daemon, &stamps, slot)?;
            daemon.stop()?;
            return Ok(late);
        }
        daemon.stop()?;
    }
    Err("the daemon's start takes longer than any lead".into())
}

/// Every schedule is due at `slot` and starts this program.
fn define(home: &Home, stamps: &Path, slot: Duration) -> Outcome<()> {
    let at = Instant::from_secs(i64::try_from(slot.as_secs())?).utc();
    let time = format!("{} {} {}", at.second(), at.minute(), at.hour());
    let cron = format!("{time} {} {} *", at.day(), at.month());
    let program = std::env::current_exe()?.display().to_string();
    let (mode, stamps) = (stamp::MODE, stamps.display().to_string());
    files::define(home, SIZE, |_| {
        format!("cron = {cron:?}\ncommand = [{program:?}, {mode:?}, {stamps:?}]\n")
    })
}

fn started(daemon: &Daemon, stamps: &Path, slot: Duration) -> Outcome<Vec<f64>> {
    thread::sleep(slot.saturating_sub(wall_clock()));
    until(LOOK_EVERY, || {
        let rows = fs::read_to_string(stamps)?.lines().count();
        Ok((rows as u64 >= DUE).then_some(()))
    })?;
    daemon.until_idle()?;
    let started = stamp::read(&fs::read_to_string(stamps)?)?;
    let names: HashSet<&str> = started.iter().map(|start| start.schedule.as_str()).collect();
    if started.len() as u64 != DUE || names.len() != started.len() {
        let (starts, names) = (started.len(), names.len());
        return Err(format!("{starts} commands of {names} schedules started").into());
    }
    let late = |start: &Stamp| start.at.as_secs_f64() - slot.as_secs_f64();
    Ok(started.iter().map(late).collect())
}

/// The limit: how many of the same commands can be started in a second.
async fn spawned(stamps: &Path) -> Outcome<f64> {
    fs::write(stamps, "")?;
    let program = std::env::current_exe()?;
    let stamps = stamps.to_owned();
    spawning::rate(DUE, AT_ONCE, move || {
        let mut command = Command::new(&program);
        command.arg(stamp::MODE).arg(&stamps).env_clear();
        command.envs(stamp::NAMES.map(|name| (name, "limit")));
        async move { spawning::run(&mut command).await }
    })
    .await
}
