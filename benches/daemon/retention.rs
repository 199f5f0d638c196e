//! A million executions of the past, and retention that takes half of them while a schedule is due each second.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::time::Instant as Stopwatch;

use crate::binary::{Daemon, Home, until};
use crate::history::{FIRST_SLOT, PER_EXECUTION, ROUND};
use crate::stamp::wall_clock;
use crate::{Outcome, Place, figure, files, past};

/// Executions of the past.
const EXECUTIONS: u64 = 1_000_000;
/// Schedules that they are of.
const SCHEDULES: u64 = files::HUNDRED.0 * files::HUNDRED.1;
/// Between two looks at whether the next second has come.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) fn measure(place: &Place) -> Outcome<()> {
    let home = Home::new(&place.own)?;
    files::define_at_rest(&home, files::HUNDRED)?;
    home.define(
        "pulse",
        "[schedules.second]\ncron = \"* * * * * *\"\noverlap = \"allow\"\ncommand = [\"/bin/true\"]\n",
    )?;
    past::give(&home, place, EXECUTIONS * PER_EXECUTION)?;
    // Between the older and the younger half.
    let middle = Duration::from_secs(FIRST_SLOT + ROUND * EXECUTIONS / SCHEDULES / 2);
    let age = format!("{}s", (wall_clock() - middle).as_secs());
    let limits = ["--retention-ok", &age, "--retention-ko", &age];
    let began = Stopwatch::now();
    let daemon = home.start(&limits)?;
    figure::value("start to ready, no checkpoint, s", daemon.ready_after.as_secs_f64(), "");
    daemon.until_indexed()?;
    figure::value("  until the index is made, s", began.elapsed().as_secs_f64(), "");
    daemon.stop()?;
    let daemon = home.start(&limits)?;
    figure::value("start to ready after a clean stop, s", daemon.ready_after.as_secs_f64(), "");
    figure::value("  MB resident", daemon.memory_mb("VmRSS")?, "");
    sizes("before", &home.data())?;
    pass(&daemon, &home)?;
    daemon.stop()?;
    let daemon = home.start(&limits)?;
    figure::value("start to ready afterwards, s", daemon.ready_after.as_secs_f64(), "");
    figure::value("  MB resident", daemon.memory_mb("VmRSS")?, "");
    daemon.stop()?;
    offline(&home)
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
    figure::value("executions pruned", executions as f64, "");
    figure::value("  a pass, s", seconds, "(wanted: slots not held up)");
    let mut late = Vec::new();
    let mut after = before;
    loop {
        let path = format!(
            "/api/events?type=slot-started&stream=schedule/pulse/second&after={after}&limit=1000"
        );
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

/// Compacts with the daemon stopped.
fn offline(home: &Home) -> Outcome<()> {
    let began = Stopwatch::now();
    let done = Command::new(env!("CARGO_BIN_EXE_daybook"))
        .args(["store", "compact", "--data"])
        .arg(home.data())
        .output()?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into_owned().into());
    }
    figure::value("store compact, daemon stopped, s", began.elapsed().as_secs_f64(), "");
    sizes("after it", &home.data())
}

fn sizes(when: &str, data: &Path) -> Outcome<()> {
    for part in ["journal", "index"] {
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
