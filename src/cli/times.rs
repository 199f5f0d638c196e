//! Times on the command line: RFC 3339, `2h`, `yesterday`, dates and wall-clock readings of this machine's zone.

use std::path::Path;

use super::failure::Failure;
use crate::civil::{Local, Resolved, Zone};
use crate::config::{Environment, parse_duration};
use crate::instant::Instant;

/// Which way a bare duration points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Towards {
    /// `2h` is two hours ago.
    Past,
    /// `2h` is in two hours.
    Future,
}

/// What times are read by: now, and the zone of the person at the terminal.
#[derive(Clone, Debug)]
pub struct Times {
    /// Now.
    pub now: Instant,
    /// The machine's zone.
    pub zone: Zone,
}

impl Times {
    /// The instant that `text`, given for `flag`, means.
    ///
    /// # Errors
    /// It is no time; the failure says which forms are.
    pub fn read(&self, flag: &str, text: &str, towards: Towards) -> Result<Instant, Failure> {
        self.parse(text.trim(), towards).ok_or_else(|| {
            Failure::usage(format!("{flag}: `{text}` is not a time")).hint(
                "write `2026-11-22T10:00:00Z`, `2026-11-22 10:00`, `2026-11-22`, `2h`, `now`, `today`, `yesterday` or `tomorrow`",
            )
        })
    }

    /// The same for a flag that may be absent, as text for the daemon.
    ///
    /// # Errors
    /// It is no time.
    pub fn text(&self, flag: &str, given: Option<&str>) -> Result<Option<String>, Failure> {
        given.map(|text| Ok(self.read(flag, text, Towards::Past)?.to_string())).transpose()
    }

    fn parse(&self, text: &str, towards: Towards) -> Option<Instant> {
        if let Ok(at) = Instant::parse(text) {
            return Some(at);
        }
        match text {
            "now" => return Some(self.now),
            "today" => return self.day(0),
            "yesterday" => return self.day(-1),
            "tomorrow" => return self.day(1),
            _ => {}
        }
        if let Ok(local) = Local::parse(text) {
            return Some(self.at(local));
        }
        if let Ok(local) = Local::parse(&format!("{text}T00:00")) {
            return self.zone.first_instant_of_day(local.naive().date());
        }
        let (text, towards) = match (text.strip_suffix(" ago"), text.strip_prefix("in ")) {
            (Some(text), _) => (text, Towards::Past),
            (None, Some(text)) => (text, Towards::Future),
            (None, None) => (text, towards),
        };
        let (text, towards) = match (text.strip_prefix('-'), text.strip_prefix('+')) {
            (Some(text), _) => (text, Towards::Past),
            (None, Some(text)) => (text, Towards::Future),
            (None, None) => (text, towards),
        };
        let distance = std::time::Duration::from_millis(parse_duration(text).ok()?);
        Some(match towards {
            Towards::Past => self.now - distance,
            Towards::Future => self.now + distance,
        })
    }

    fn day(&self, days: i64) -> Option<Instant> {
        let date = self.zone.date(self.now).checked_add_signed(chrono::TimeDelta::days(days))?;
        self.zone.first_instant_of_day(date)
    }

    /// A reading that occurs twice means the first; one that is left out, the instant after the gap.
    fn at(&self, local: Local) -> Instant {
        match self.zone.resolve(local) {
            Resolved::Once(at) | Resolved::Twice(at, _) => at,
            Resolved::Never(shift) => Instant::from_secs(shift.at),
        }
    }
}

/// The machine's zone: `TZ`, else what `/etc/localtime` points to, else what `/etc/timezone` says, else UTC.
pub fn host_zone(environment: &Environment) -> Zone {
    let named = environment.filled("TZ").map(|name| name.trim_start_matches(':').to_owned());
    let linked = || {
        let target = std::fs::canonicalize("/etc/localtime").ok()?;
        zone_of_path(&target)
    };
    let written = || {
        let text = std::fs::read_to_string("/etc/timezone").ok()?;
        Some(text.trim().to_owned())
    };
    let load = |name: String| Zone::load(&name).ok();
    named
        .and_then(load)
        .or_else(|| linked().and_then(load))
        .or_else(|| written().and_then(load))
        .unwrap_or_else(Zone::utc)
}

/// `/usr/share/zoneinfo/Europe/Paris` is `Europe/Paris`.
fn zone_of_path(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    let (_, name) = text.split_once("/zoneinfo/")?;
    Some(name.trim_start_matches("posix/").trim_start_matches("right/").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times() -> Times {
        Times {
            now: Instant::parse("2026-11-22T10:30:00Z").expect("valid"),
            zone: Zone::load("Europe/Paris").expect("known"),
        }
    }

    fn read(text: &str) -> String {
        times().read("--from", text, Towards::Past).expect("a time").to_string()
    }

    #[test]
    fn the_forms_of_the_contract_are_understood() {
        assert_eq!(read("2026-11-22T11:00:00+01:00"), "2026-11-22T10:00:00.000Z");
        assert_eq!(read("2h"), "2026-11-22T08:30:00.000Z");
        assert_eq!(read("yesterday"), "2026-11-20T23:00:00.000Z");
        assert_eq!(read("today"), "2026-11-21T23:00:00.000Z");
        assert_eq!(read("now"), "2026-11-22T10:30:00.000Z");
    }

    #[test]
    fn dates_and_readings_are_those_of_this_machines_zone() {
        assert_eq!(read("2026-07-01"), "2026-06-30T22:00:00.000Z");
        assert_eq!(read("2026-07-01 08:00"), "2026-07-01T06:00:00.000Z");
        assert_eq!(read("2026-03-29 02:30"), "2026-03-29T01:00:00.000Z");
    }

    #[test]
    fn a_duration_points_where_the_flag_does_unless_it_says_otherwise() {
        let until = |text: &str| {
            times().read("--until", text, Towards::Future).expect("a time").to_string()
        };
        assert_eq!(until("90m"), "2026-11-22T12:00:00.000Z");
        assert_eq!(until("-30m"), "2026-11-22T10:00:00.000Z");
        assert_eq!(until("30m ago"), "2026-11-22T10:00:00.000Z");
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_forms_that_are() {
        let failure = times().read("--from", "soon", Towards::Past).expect_err("no time");
        assert_eq!(failure.message(), "--from: `soon` is not a time");
        assert_eq!(failure.exit().code(), 2);
    }

    #[test]
    fn the_zone_is_what_localtime_points_to() {
        let name = |path: &str| zone_of_path(Path::new(path));
        assert_eq!(name("/usr/share/zoneinfo/Europe/Paris").as_deref(), Some("Europe/Paris"));
        assert_eq!(name("/etc/localtime"), None);
    }
}
