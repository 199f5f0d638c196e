//! Half an hour at full load: does the daemon's memory stay where it is?
//!
//! A hundred schedules come each second and say twenty lines, every tenth of them fails, one command prints without end,
//! callers look at lists. The daemon has run for long: it begins with 200,000 executions, and every ten minutes retention
//! forgets as many old executions as there are new ones, so that the history has one length. Before it is measured, the
//! daemon is under the same load for twenty minutes: caches fill, and the allocator comes to know the needs of two passes.

use std::thread;
use std::time::Duration;

use tokio::time::Instant as Stopwatch;

use crate::binary::{Daemon, Home};
use crate::{Outcome, Place, day, figure, files};

const WARM_UP: Duration = Duration::from_secs(20 * 60);
const WHOLE: Duration = Duration::from_secs(30 * 60);
const EVERY: Duration = Duration::from_secs(2);
/// What was lived before, in virtual seconds: 200,000 executions with their lines.
const BEFORE: u64 = 17_143;
/// Executions of an interface that stay: as many as it has at the beginning. An old KO goes by its age.
const KEPT: &str = "retention = { count = 20000, ko = \"60h\" }\n\n";
const LIMITS: [&str; 2] = ["--retention-every", "10m"];

pub(crate) fn measure(place: &Place) -> Outcome<()> {
    let home = Home::new(&place.own)?;
    day::live(&home, BEFORE)?;
    files::define_below(&home, KEPT, files::HUNDRED, |number| {
        let status = u8::from(number % 10 == 3);
        format!(
            "every = \"1s\"\noverlap = \"allow\"\ncatch_up = {{ mode = \"none\" }}\n\
             shell = \"i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo line $i of the sales of today; done; exit {status}\"\n"
        )
    })?;
    home.define(
        "noise",
        "[schedules.print]\nevery = \"10s\"\nmax_log = \"16MiB\"\nok_exit = [124]\n\
         command = [\"timeout\", \"9\", \"yes\", \"sold 1 ticket for 12.50 EUR to customer 4711\"]\n",
    )?;
    let daemon = home.start(&LIMITS)?;
    daemon.until_indexed()?;
    let warm = under_load(&daemon, WARM_UP)?;
    let samples = under_load(&daemon, WHOLE)?;
    told(&daemon, &warm, &samples)?;
    daemon.stop()
}

/// Megabytes resident by time, for this long.
fn under_load(daemon: &Daemon, long: Duration) -> Outcome<Vec<(Duration, f64)>> {
    let began = Stopwatch::now();
    let mut samples = Vec::new();
    while began.elapsed() < long {
        look(daemon)?;
        samples.push((began.elapsed(), daemon.memory_mb("VmRSS")?));
        thread::sleep(EVERY);
    }
    Ok(samples)
}

/// What callers do meanwhile.
fn look(daemon: &Daemon) -> Outcome<()> {
    let mut client = daemon.client()?;
    for path in ["/api/status", "/api/executions?status=ko&limit=100", "/api/executions?limit=200"]
    {
        client.get(path)?;
    }
    Ok(())
}

fn told(daemon: &Daemon, warm: &[(Duration, f64)], samples: &[(Duration, f64)]) -> Outcome<()> {
    let third = |n: u32| -> Vec<f64> {
        let within = |at: &Duration| *at >= WHOLE / 3 * n && *at < WHOLE / 3 * (n + 1);
        samples.iter().filter(|(at, _)| within(at)).map(|(_, mb)| *mb).collect()
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let minutes = |long: Duration| long.as_secs_f64() / 60.0;
    figure::value("minutes of full load before", minutes(WARM_UP), "");
    for quarter in warm.chunks(warm.len().div_ceil(4)) {
        let values: Vec<f64> = quarter.iter().map(|(_, mb)| *mb).collect();
        figure::value("  MB resident, a quarter of them, mean", mean(&values), "");
    }
    figure::value("minutes of full load", minutes(WHOLE), "");
    for (name, n) in [("first", 0), ("second", 1), ("last", 2)] {
        let values = third(n);
        figure::value(&format!("  MB resident, {name} third, mean"), mean(&values), "");
        figure::value(&format!("  MB resident, {name} third, at most"), figure::worst(&values), "");
    }
    let grown = mean(&third(2)) / mean(&third(0));
    figure::value("  last third of the first", grown, "(wanted: flat, 1.05 or less)");
    let mut client = daemon.client()?;
    let store = client.get("/api/store")?;
    let pruned = client.get("/api/events?type=history-pruned&limit=1000")?;
    figure::value(
        "  events of retention",
        pruned["items"].as_array().map_or(0, Vec::len) as f64,
        "",
    );
    figure::value("  events recorded", store["position"].as_f64().unwrap_or(f64::NAN), "");
    let slots = client.get("/api/events?type=slot-started&limit=1000")?;
    let late: Vec<f64> = slots["items"]
        .as_array()
        .ok_or("no list of events")?
        .iter()
        .filter_map(|slot| slot["data"]["late_ms"].as_f64())
        .collect();
    figure::value("  p99 lateness of the last 1,000 slots, ms", figure::percentile(&late, 99), "");
    figure::value("  processor of the daemon, s", daemon.processor()?.as_secs_f64(), "");
    Ok(())
}
