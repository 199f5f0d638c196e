//! What a daemon costs while nothing is due.

use std::thread;
use std::time::Duration;

use crate::binary::Home;
use crate::{Outcome, Place, figure, files, past};

/// After a start, before anything is measured.
const SETTLE: Duration = Duration::from_secs(5);
/// How long its processor time is looked at.
const WINDOW: Duration = Duration::from_secs(20);

pub(crate) fn measure(place: &Place) -> Outcome<()> {
    let small = Home::new(&place.own.join("small"))?;
    files::define_at_rest(&small, (10, 100))?;
    at_rest(&small, "1,000 schedules", "(wanted: 40 or less)")?;
    let large = Home::new(&place.own.join("large"))?;
    files::define_at_rest(&large, (100, 1_000))?;
    at_rest(&large, "100,000 schedules", "(wanted: 150 or less)")?;
    let old = Home::new(&place.own.join("old"))?;
    files::define_at_rest(&old, files::HUNDRED)?;
    past::give(&old, place, past::MILLION)?;
    at_rest(&old, "1,000,000 events", "")
}

/// Looks at the second start after a clean stop, so that recording the files is not counted.
fn at_rest(home: &Home, name: &str, wanted: &str) -> Outcome<()> {
    home.start_and_stop()?;
    let daemon = home.start(&[])?;
    daemon.until_indexed()?;
    thread::sleep(SETTLE);
    let before = daemon.processor()?;
    thread::sleep(WINDOW);
    let used = daemon.processor()?.saturating_sub(before);
    let memory = daemon.memory_mb("VmRSS")?;
    daemon.stop()?;
    let percent = used.as_secs_f64() / WINDOW.as_secs_f64() * 100.0;
    figure::value(&format!("idle, {name}, MB resident"), memory, wanted);
    figure::value("  % of a core over 20 s", percent, "(wanted: 0.10 or less)");
    Ok(())
}
