//! Schedules for the daemon, as their files say them.

use chrono::Datelike;
use daybook::instant::Instant;

use crate::Outcome;
use crate::binary::Home;
use crate::stamp::wall_clock;

/// How many interfaces, and how many schedules in each of them.
pub(crate) type Size = (u64, u64);

/// What a daemon has unless a figure says otherwise (contract, section 11).
pub(crate) const HUNDRED: Size = (10, 10);

/// Writes the files of `interface-0/schedule-0` and so on; `keys` says what stands in the table of each.
pub(crate) fn define(
    home: &Home,
    (interfaces, each): Size,
    keys: impl Fn(u64) -> String,
) -> Outcome<()> {
    define_below(home, "", (interfaces, each), keys)
}

/// The same below `head`, which stands first in the file of each interface.
pub(crate) fn define_below(
    home: &Home,
    head: &str,
    (interfaces, each): Size,
    keys: impl Fn(u64) -> String,
) -> Outcome<()> {
    for interface in 0..interfaces {
        let table = |schedule: u64| {
            format!("[schedules.schedule-{schedule}]\n{}\n", keys(interface * each + schedule))
        };
        let tables: String = (0..each).map(table).collect();
        home.define(&format!("interface-{interface}"), &format!("{head}{tables}"))?;
    }
    Ok(())
}

/// The same, with schedules that are due once a year, half a year from now, at times that differ.
pub(crate) fn define_at_rest(home: &Home, size: Size) -> Outcome<()> {
    let now = Instant::from_secs(i64::try_from(wall_clock().as_secs())?);
    let month = (now.utc().month0() + 6) % 12 + 1;
    define(home, size, |number| {
        let (minute, hour, day) = (number % 60, number / 60 % 24, number / 1_440 % 28 + 1);
        format!("cron = \"{minute} {hour} {day} {month} *\"\ncommand = [\"/bin/true\"]\n")
    })
}
