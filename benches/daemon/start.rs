//! From the start of the process until it says that it is ready.

use crate::binary::Home;
use crate::{Outcome, Place, ROUNDS, figure, files, past};

pub(crate) fn measure(place: &Place) -> Outcome<()> {
    let empty = Home::new(&place.own.join("empty"))?;
    files::define_at_rest(&empty, files::HUNDRED)?;
    started(&empty, "100 schedules", ("(wanted: 0.15 or less)", "the first time"))?;
    let old = Home::new(&place.own.join("old"))?;
    files::define_at_rest(&old, files::HUNDRED)?;
    past::give(&old, place, past::MILLION)?;
    started(&old, "1,000,000 events", ("(wanted: 0.50 or less)", "without a checkpoint"))?;
    let large = Home::new(&place.own.join("large"))?;
    files::define_at_rest(&large, (100, 1_000))?;
    started(&large, "100,000 schedules", ("(wanted: 5.00 or less)", "the first time"))
}

/// Starts after a clean stop; `first` says what the very first one is.
fn started(home: &Home, name: &str, (wanted, first): (&str, &str)) -> Outcome<()> {
    let very_first = home.start_and_stop()?;
    let mut ready = Vec::new();
    for _ in 0..ROUNDS {
        ready.push(home.start_and_stop()?.as_secs_f64());
    }
    figure::value(&format!("start to ready, {name}, s"), figure::median(&ready), wanted);
    figure::value("  the slowest of five, s", figure::worst(&ready), "");
    figure::value(&format!("  {first}, s"), very_first.as_secs_f64(), "");
    Ok(())
}
