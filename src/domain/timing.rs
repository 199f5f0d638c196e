//! When a schedule's slots are: a definition's timing, compiled for its zone.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use super::cron::{self, DatePool, Pattern, PatternError, is_reboot};
use super::daylight::{self, Readings, Rule};
use super::definition::{After, Awaited, Dst, Fold, Gap, Timing};
use crate::civil::{Local, LocalError, Resolved, Shift, Zone};
use crate::instant::Instant;

/// Why a timing has no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The cron pattern is wrong.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The time of `at` is wrong.
    #[error(transparent)]
    At(#[from] LocalError),
    /// The time of `at` does not exist in the zone, and nothing makes up for it.
    #[error(
        "`{reading}` does not exist in {zone}: the clocks jump over it; choose another time or `dst.gap = \"shift\"`"
    )]
    LeftOut {
        /// The time, as the wall clock would show it.
        reading: Local,
        /// The zone's name.
        zone: String,
    },
    /// `every` without length.
    #[error("a period of 0 ms goes nowhere: `every` needs a duration such as `90s`")]
    NoPeriod,
}

impl PlanError {
    /// Where in the timing's text the fault lies, in bytes; none when it is the whole.
    pub fn span(&self) -> Option<Range<usize>> {
        match self {
            Self::Pattern(err) => err.span(),
            Self::At(_) | Self::LeftOut { .. } | Self::NoPeriod => None,
        }
    }
}

/// A timing compiled for its zone. Cloning is cheap; plans of one [`PlanCache`] share what is equal.
#[derive(Clone, Debug)]
pub struct Plan(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Civil(Arc<Civil>),
    Every { period_ms: i64, anchor: Instant },
    Manual,
    Reboot,
    After(Arc<After>),
}

/// Readings of a wall clock in a zone.
#[derive(Debug)]
struct Civil {
    readings: Readings,
    zone: Zone,
    rule: Rule,
    /// As written.
    expression: Arc<str>,
}

/// A shift of the clocks that touches a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DstNote {
    /// When the clocks are moved.
    pub at: Instant,
    /// The local date, `2026-03-29`.
    pub date: String,
    /// What happens to which reading, in words.
    pub text: String,
}

impl Plan {
    /// Compiles a timing.
    ///
    /// # Errors
    /// [`PlanError::Pattern`] for a wrong cron pattern, [`PlanError::At`] for a wrong time, [`PlanError::LeftOut`] for a time
    /// that never comes, [`PlanError::NoPeriod`] for a period of zero.
    pub fn new(timing: &Timing, zone: &Zone, dst: Dst) -> Result<Self, PlanError> {
        PlanCache::default().plan(timing, zone, dst)
    }

    /// The first slot later than `after`. None when there is none: manual, at reboot, or past the last one.
    pub fn next_after(&self, after: Instant) -> Option<Instant> {
        match &self.0 {
            Kind::Civil(civil) => {
                daylight::next_after(&civil.readings, &civil.zone, civil.rule, after.secs())
                    .map(Instant::from_secs)
            }
            Kind::Every { period_ms, anchor } => {
                let done = after.millis().saturating_sub(anchor.millis());
                let number = if done < 0 { 0 } else { (done / period_ms).checked_add(1)? };
                let since = number.checked_mul(*period_ms)?;
                anchor.millis().checked_add(since).map(Instant::from_millis)
            }
            Kind::Manual | Kind::Reboot | Kind::After(_) => None,
        }
    }

    /// The last slot earlier than `before`. None when there is none.
    pub fn previous_before(&self, before: Instant) -> Option<Instant> {
        match &self.0 {
            Kind::Civil(civil) => {
                // Slots are whole seconds: with milliseconds over, the second itself is earlier.
                let before = before.millis().checked_add(999)?.div_euclid(1000);
                daylight::previous_before(&civil.readings, &civil.zone, civil.rule, before)
                    .map(Instant::from_secs)
            }
            Kind::Every { period_ms, anchor } => {
                let done = before.millis().saturating_sub(anchor.millis());
                (done > 0).then(|| {
                    Instant::from_millis(anchor.millis() + (done - 1) / period_ms * period_ms)
                })
            }
            Kind::Manual | Kind::Reboot | Kind::After(_) => None,
        }
    }

    /// The slots later than `after`, in order.
    pub fn slots_after(&self, after: Instant) -> impl Iterator<Item = Instant> + '_ {
        std::iter::successors(self.next_after(after), |slot| self.next_after(*slot))
    }

    /// The timing in words.
    pub fn describe(&self) -> String {
        match &self.0 {
            Kind::Civil(civil) => match &civil.readings {
                Readings::Cron(_) => cron::describe(&civil.expression).unwrap_or_default(),
                Readings::Once(reading) => {
                    format!("Once, at {}", reading.naive().format("%H:%M:%S on %Y-%m-%d"))
                }
            },
            Kind::Every { period_ms, anchor } => {
                let from = if anchor.millis() == 0 {
                    String::new()
                } else {
                    format!(", counted from {anchor}")
                };
                format!("Every {}{from}", period(*period_ms))
            }
            Kind::Manual => "Only when started by hand".to_owned(),
            Kind::Reboot => "Once after each start of the machine".to_owned(),
            Kind::After(after) => {
                let ends = match after.outcome {
                    Awaited::Ok => "is ok",
                    Awaited::Ko => "is ko",
                    Awaited::Any => "has ended",
                };
                let within = i64::try_from(after.deadline_ms).map_or_else(
                    |_beyond_all_time| String::new(),
                    |ms| format!(", if that is within {} of its opening", period(ms)),
                );
                format!("For each slot of {}, when its execution {ends}{within}", after.schedule)
            }
        }
    }

    /// The timing as written: the cron pattern, the period, the time. None for manual.
    pub fn expression(&self) -> Option<String> {
        match &self.0 {
            Kind::Civil(civil) => Some(civil.expression.trim().to_owned()),
            Kind::Every { period_ms, .. } => Some(short(*period_ms)),
            Kind::Manual => None,
            Kind::Reboot => Some("@reboot".to_owned()),
            Kind::After(after) => Some(format!("after {}", after.schedule)),
        }
    }

    /// What about the timing may mislead its reader.
    pub fn warnings(&self) -> Vec<String> {
        match &self.0 {
            Kind::Civil(civil) => match &civil.readings {
                Readings::Cron(_) => cron::warnings(&civil.expression).unwrap_or_default(),
                Readings::Once(_) => Vec::new(),
            },
            Kind::Every { period_ms, .. } => {
                let often = *period_ms < 10_000;
                often
                    .then(|| format!("slots come as often as every {}", period(*period_ms)))
                    .into_iter()
                    .collect()
            }
            Kind::Manual | Kind::Reboot | Kind::After(_) => Vec::new(),
        }
    }

    /// The shifts of the clocks later than `after` and not later than `until` that touch the schedule, in order.
    ///
    /// A pattern that runs in every hour and follows elapsed time is not touched.
    pub fn dst_notes(&self, after: Instant, until: Instant) -> Vec<DstNote> {
        let Kind::Civil(civil) = &self.0 else { return Vec::new() };
        civil.zone.shifts(after, until).filter_map(|shift| civil.note(&shift)).collect()
    }
}

impl Civil {
    fn note(&self, shift: &Shift) -> Option<DstNote> {
        let follows_elapsed_time = match &self.readings {
            Readings::Cron(pattern) => pattern.is_wild() && pattern.runs_every_hour(),
            Readings::Once(_) => false,
        };
        if follows_elapsed_time && self.rule == (Rule { gap: Gap::Skip, fold: Fold::Both }) {
            return None;
        }
        let (reading, text) = match (shift.gap(), shift.fold()) {
            (Some((from, to)), _) => {
                let reading = self.readings.first_in(&(from..to))?;
                (reading, format!("does not exist: {}", self.at_gap(shift)))
            }
            (None, Some((from, to))) => {
                let reading = self.readings.first_in(&(from..to))?;
                (reading, format!("comes twice: {}", self.at_fold()))
            }
            (None, None) => return None,
        };
        let (date, time) = (reading.naive().date().to_string(), reading.naive().time());
        let text = format!("{time} on {date} {text}");
        Some(DstNote { at: Instant::from_secs(shift.at), date, text })
    }

    fn at_gap(&self, shift: &Shift) -> String {
        if self.rule.made_up(shift).is_some() {
            format!("it runs at {}", self.zone.show(Instant::from_secs(shift.at)))
        } else {
            "it does not run".to_owned()
        }
    }

    fn at_fold(&self) -> &'static str {
        match self.rule.fold {
            Fold::First => "it runs the first time only",
            Fold::Last => "it runs the second time only",
            Fold::Both => "it runs both times",
        }
    }
}

/// Compiles timings and shares what is equal, so that a hundred thousand schedules on a few patterns cost little.
#[derive(Debug, Default)]
pub struct PlanCache {
    dates: DatePool,
    /// By zone, then by kind and rule.
    civil: HashMap<String, BTreeMap<u8, Shared>>,
}

/// What was compiled, by the timing as written.
type Shared = HashMap<Arc<str>, Arc<Civil>>;

impl PlanCache {
    /// Compiles a timing, or hands out what was compiled for an equal one.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn plan(&mut self, timing: &Timing, zone: &Zone, dst: Dst) -> Result<Plan, PlanError> {
        let kind = match timing {
            Timing::Cron(pattern) if is_reboot(pattern) => Kind::Reboot,
            Timing::Cron(pattern) => {
                let shelf = choice(dst);
                Kind::Civil(match self.known(pattern, zone, shelf) {
                    Some(civil) => civil,
                    None => {
                        let read = Pattern::parse_among(pattern, &mut self.dates)?;
                        self.keep(pattern, Readings::Cron(read), zone, (dst, shelf))
                    }
                })
            }
            Timing::At(text) => {
                let shelf = choice(dst) + AT;
                Kind::Civil(match self.known(text, zone, shelf) {
                    Some(civil) => civil,
                    None => self.keep(text, once(text, zone, dst)?, zone, (dst, shelf)),
                })
            }
            Timing::Every { period_ms, anchor } => {
                let period_ms = i64::try_from(*period_ms).unwrap_or(i64::MAX);
                if period_ms == 0 {
                    return Err(PlanError::NoPeriod);
                }
                Kind::Every { period_ms, anchor: anchor.unwrap_or(Instant::from_millis(0)) }
            }
            Timing::Manual => Kind::Manual,
            Timing::Reboot => Kind::Reboot,
            Timing::After(after) => Kind::After(Arc::new(after.clone())),
        };
        Ok(Plan(kind))
    }

    /// Drops what no plan uses any more; for after a reload.
    pub fn forget_unused(&mut self) {
        for shared in self.civil.values_mut().flat_map(BTreeMap::values_mut) {
            shared.retain(|_, civil| Arc::strong_count(civil) > 1);
        }
        self.dates.forget_unused();
    }

    fn known(&self, text: &str, zone: &Zone, shelf: u8) -> Option<Arc<Civil>> {
        self.civil.get(zone.name())?.get(&shelf)?.get(text).map(Arc::clone)
    }

    fn keep(
        &mut self,
        text: &str,
        readings: Readings,
        zone: &Zone,
        (dst, shelf): (Dst, u8),
    ) -> Arc<Civil> {
        let rule = Rule::new(&readings, dst);
        let expression: Arc<str> = Arc::from(text);
        let shelves = self.civil.entry(zone.name().to_owned()).or_default();
        let shared = shelves.entry(shelf).or_default();
        let civil = Civil { readings, zone: zone.clone(), rule, expression: expression.clone() };
        Arc::clone(shared.entry(expression).or_insert_with(|| Arc::new(civil)))
    }
}

/// Added to a [`choice`] for the times of `at`.
const AT: u8 = 16;

/// A number for each choice of rule, the open one included.
fn choice(dst: Dst) -> u8 {
    let gap = match dst.gap {
        None => 0,
        Some(Gap::Shift) => 1,
        Some(Gap::Skip) => 2,
    };
    let fold = match dst.fold {
        None => 0,
        Some(Fold::First) => 1,
        Some(Fold::Last) => 2,
        Some(Fold::Both) => 3,
    };
    gap * 4 + fold
}

fn once(text: &str, zone: &Zone, dst: Dst) -> Result<Readings, PlanError> {
    let reading = Local::parse(text)?;
    let readings = Readings::Once(reading);
    if let Resolved::Never(shift) = zone.resolve(reading)
        && Rule::new(&readings, dst).made_up(&shift).is_none()
    {
        return Err(PlanError::LeftOut { reading, zone: zone.name().to_owned() });
    }
    Ok(readings)
}

const UNITS: [(i64, &str, &str); 5] = [
    (86_400_000, "d", "day"),
    (3_600_000, "h", "hour"),
    (60_000, "m", "minute"),
    (1000, "s", "second"),
    (1, "ms", "millisecond"),
];

/// `90 seconds`, `hour`, `2 days 6 hours`: at most what is needed to be exact.
fn period(ms: i64) -> String {
    let parts = parts(ms);
    if let [(1, _, unit)] = parts.as_slice() {
        return (*unit).to_owned();
    }
    let words = parts.iter().map(|(count, _, unit)| {
        let plural = if *count == 1 { "" } else { "s" };
        format!("{count} {unit}{plural}")
    });
    words.collect::<Vec<_>>().join(" ")
}

/// `1m30s`.
fn short(ms: i64) -> String {
    parts(ms).iter().map(|(count, unit, _)| format!("{count}{unit}")).collect()
}

fn parts(ms: i64) -> Vec<(i64, &'static str, &'static str)> {
    let mut left = ms;
    let mut found = Vec::new();
    for (size, symbol, unit) in UNITS {
        let count = left / size;
        left %= size;
        if count > 0 {
            found.push((count, symbol, unit));
        }
    }
    found
}

#[cfg(test)]
mod tests;
