//! What a day of a million executions takes on the disk and in memory, how long a start, a check and a backup of it take, and
//! retention of its older half while 700 schedules go on.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::time::Instant as Stopwatch;

use crate::binary::{Daemon, Home, until};
use crate::day::{self, DAY};
use crate::stamp::wall_clock;
use crate::{Outcome, Place, figure};

/// Between two looks at whether the index holds all.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const HALF_A_DAY: Duration = Duration::from_secs(12 * 3_600);

pub(crate) fn measure(place: &Place) -> Outcome<()> {
    let home = Home::new(&place.own)?;
    let began = Stopwatch::now();
    let first = day::live(&home, DAY)?;
    let lived = began.elapsed().as_secs_f64();
    figure::value("executions of 24 h of virtual time", day::executions(DAY) as f64, "");
    figure::value("  lived in, s", lived, "");
    // Between the older and the younger half.
    let age = wall_clock() - Duration::from_secs(first) - HALF_A_DAY;
    let age = format!("{}s", age.as_secs());
    let limits = ["--retention-ok", &age, "--retention-ko", &age];
    let began = Stopwatch::now();
    let daemon = home.start(&limits)?;
    figure::value("start to ready, no checkpoint, s", daemon.ready_after.as_secs_f64(), "");
    daemon.until_indexed()?;
    figure::value("  until the index is made, s", began.elapsed().as_secs_f64(), "");
    daemon.stop()?;
    sizes("before", &home.data())?;
    offline(&home, "verify", &[])?;
    offline(&home, "backup", &[&place.own.join("backups").to_string_lossy()])?;
    let daemon = start(&home, &limits, "after a clean stop")?;
    pass(&daemon, &home)?;
    daemon.stop()?;
    start(&home, &limits, "afterwards")?.stop()?;
    offline(&home, "compact", &[])?;
    sizes("after it", &home.data())?;
    offline(&home, "verify", &[])
}

fn start(home: &Home, limits: &[&str], when: &str) -> Outcome<Daemon> {
    let daemon = home.start(limits)?;
    figure::value(&format!("start to ready {when}, s"), daemon.ready_after.as_secs_f64(), "");
    figure::value("  MB resident", daemon.memory_mb("VmRSS")?, "");
    Ok(daemon)
}

/// Applies retention in the daemon, and looks at the seconds meanwhile.
fn pass(daemon: &Daemon, home: &Home) -> Outcome<()> {
    let mut client = daemon.client()?;
    let before = client.get("/api/store")?["position"].as_u64().ok_or("no position")?;
    let began = Stopwatch::now();
    let pruned = client.post("/api/store/compact")?;
    let seconds = began.elapsed().as_secs_f64();
    let executions: u64 = pruned["interfaces"]
        .as_array()
        .ok_or("no list of interfaces")?
        .iter()
        .filter_map(|interface| interface["executions"].as_u64())
        .sum();
    if executions < day::executions(DAY) / 3 {
        return Err(
            format!("{executions} executions were pruned: what is measured is no pass").into()
        );
    }
    figure::value("executions pruned", executions as f64, "");
    figure::value("  a pass, s", seconds, "(wanted: slots not held up)");
    let mut late = Vec::new();
    let mut after = before;
    loop {
        let path = format!("/api/events?type=slot-started&after={after}&limit=1000");
        let slots = client.get(&path)?;
        let items = slots["items"].as_array().ok_or("no list of events")?;
        late.extend(items.iter().filter_map(|slot| slot["data"]["late_ms"].as_f64()));
        match items.iter().filter_map(|slot| slot["position"].as_u64()).max() {
            Some(newest) if items.len() == 1_000 => after = newest,
            Some(_) | None => break,
        }
    }
    let slots = format!("  p99 lateness of {} slots meanwhile, ms", late.len());
    figure::value(&slots, figure::percentile(&late, 99), "");
    figure::value("  the largest, ms", figure::worst(&late), "");
    figure::value("  MB resident at most", daemon.memory_mb("VmHWM")?, "");
    until(LOOK_EVERY, || {
        let store = client.get("/api/store")?;
        Ok((store["indexed"] == store["position"]).then_some(()))
    })?;
    sizes("after a pass", &home.data())
}

/// A verb of the store with the daemon stopped.
fn offline(home: &Home, verb: &str, flags: &[&str]) -> Outcome<()> {
    let began = Stopwatch::now();
    let done = Command::new(env!("CARGO_BIN_EXE_daybook"))
        .args(["store", verb, "--data"])
        .arg(home.data())
        .args(flags)
        .output()?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into_owned().into());
    }
    figure::value(&format!("store {verb}, daemon stopped, s"), began.elapsed().as_secs_f64(), "");
    Ok(())
}

fn sizes(when: &str, data: &Path) -> Outcome<()> {
    for part in ["journal", "lines", "index"] {
        figure::value(&format!("  {part} {when}, MB on disk"), on_disk(&data.join(part))?, "");
    }
    Ok(())
}

/// What a folder takes on the disk, in MB of 1,000,000 bytes.
fn on_disk(folder: &Path) -> Outcome<f64> {
    let mut bytes = 0.0;
    for entry in fs::read_dir(folder)? {
        let metadata = entry?;
        let (path, metadata) = (metadata.path(), metadata.metadata()?);
        bytes += if metadata.is_dir() {
            on_disk(&path)?
        } else {
            metadata.blocks() as f64 * 512.0 / 1e6
        };
    }
    Ok(bytes)
}
