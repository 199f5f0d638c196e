//! The command of the schedules that are due at once: it writes down when it started.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use daybook::config::Environment;
use rustix::time::{ClockId, clock_gettime};

use crate::Outcome;

/// As the first argument, it makes this program the command.
pub(crate) const MODE: &str = "stamp";
/// The variables that say whose command it is.
pub(crate) const NAMES: [&str; 2] = ["DAYBOOK_INTERFACE", "DAYBOOK_SCHEDULE"];

/// One command's start.
pub(crate) struct Stamp {
    /// Since 1970-01-01T00:00Z.
    pub(crate) at: Duration,
    /// The schedule's full name.
    pub(crate) schedule: String,
}

/// Appends this process's start and its schedule's name to `file`, in one write.
pub(crate) fn stamp(file: &Path) -> Outcome<()> {
    let at = wall_clock();
    let environment = Environment::from_process();
    let [interface, schedule] = NAMES.map(|name| environment.get(name).unwrap_or_default());
    let row = format!("{} {interface}/{schedule}\n", at.as_nanos());
    OpenOptions::new().append(true).open(file)?.write_all(row.as_bytes())?;
    Ok(())
}

/// The starts that `text`, a file's content, tells of.
pub(crate) fn read(text: &str) -> Outcome<Vec<Stamp>> {
    let mut stamps = Vec::new();
    for row in text.lines() {
        let (at, schedule) = row.split_once(' ').ok_or("a stamp without a name")?;
        stamps.push(Stamp { at: Duration::from_nanos(at.parse()?), schedule: schedule.to_owned() });
    }
    Ok(stamps)
}

/// Since 1970-01-01T00:00Z, finer than the daemon's own milliseconds.
pub(crate) fn wall_clock() -> Duration {
    let now = clock_gettime(ClockId::Realtime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}
