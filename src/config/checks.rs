//! What the files' reader asks of other parts, so that it depends on none of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::rc::Rc;

use super::calendar::Calendars;
use super::values::nearest;
use crate::domain::calendar::Calendar;
use crate::domain::definition::{self, Dst, Timing};
use crate::ids::CalendarId;
use crate::instant::Instant;

/// Why a value was refused, in the words of the part that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub why: String,
    /// Where in the value, in bytes; none when it is the whole.
    pub at: Option<Range<usize>>,
}

impl From<String> for Fault {
    fn from(why: String) -> Self {
        Self { why, at: None }
    }
}

/// Judges of values whose meaning belongs elsewhere. `app` wires the real ones.
#[derive(Clone, Copy, Debug)]
pub struct Checks {
    /// Whether a zone of this name can be loaded; the error is a sentence that names it.
    pub zone: fn(&str) -> Result<(), String>,
    /// Whether slots can be computed; gives what is misleading about them.
    pub timing: fn(&Timing, &str, Dst) -> Result<Vec<String>, Fault>,
    /// Whether a text's templates are known, given the declared parameters.
    pub template: fn(&str, &BTreeSet<&str>) -> Result<(), Fault>,
    /// How often it runs in its busiest minute; only asked for cron patterns.
    pub per_minute: fn(&Timing, &str, Dst) -> f64,
}

/// The largest number of slots inside any 60 s, for [`Checks::per_minute`]; `slots` are in order.
pub fn busiest_minute(slots: impl IntoIterator<Item = Instant>) -> f64 {
    let mut window: std::collections::VecDeque<Instant> = std::collections::VecDeque::new();
    let mut most = 0;
    for slot in slots {
        while window.front().is_some_and(|first| slot.millis() - first.millis() >= 60_000) {
            window.pop_front();
        }
        window.push_back(slot);
        most = most.max(window.len());
    }
    f64::from(u32::try_from(most).unwrap_or(u32::MAX))
}

type TimingAnswer = Rc<Result<Vec<String>, Fault>>;

/// What is known of a calendar's name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Its file was accepted, or there is no folder to ask.
    Accepted,
    /// Its file was not accepted.
    Refused,
    /// The same, and this interface's file has been told so.
    Told,
    /// There is no such file; the nearest name.
    Unknown(Option<String>),
}

/// Asks each question once: a folder of 100,000 schedules has few zones and patterns.
#[derive(Debug)]
pub(super) struct Checker {
    checks: Checks,
    zones: RefCell<HashMap<String, Result<(), String>>>,
    timings: RefCell<HashMap<String, TimingAnswer>>,
    rates: RefCell<HashMap<String, f64>>,
    /// None where files are read without their folder.
    calendars: Option<BTreeMap<String, Option<Calendar>>>,
    /// Calendars whose refusal the file that is read has been told.
    told: RefCell<BTreeSet<String>>,
}

impl Checker {
    pub(super) fn new(checks: Checks) -> Self {
        Self {
            checks,
            zones: RefCell::default(),
            timings: RefCell::default(),
            rates: RefCell::default(),
            calendars: None,
            told: RefCell::default(),
        }
    }

    /// With the calendars that the files may name.
    pub(super) fn with(mut self, calendars: Calendars) -> Self {
        self.calendars = Some(calendars.known);
        self
    }

    /// Another file is read from now on.
    pub(super) fn begin_file(&self) {
        self.told.borrow_mut().clear();
    }

    pub(super) fn calendar(&self, name: &str) -> Known {
        let Some(calendars) = &self.calendars else { return Known::Accepted };
        match calendars.get(name) {
            Some(Some(_)) => Known::Accepted,
            Some(None) if self.told.borrow_mut().insert(name.to_owned()) => Known::Refused,
            Some(None) => Known::Told,
            None => {
                let near = nearest(name, calendars.keys().map(String::as_str));
                Known::Unknown(near.map(str::to_owned))
            }
        }
    }

    /// The calendars that an interface and its schedules name.
    pub(super) fn named_by(
        &self,
        interface: &definition::Interface,
    ) -> BTreeMap<CalendarId, Calendar> {
        let Some(calendars) = &self.calendars else { return BTreeMap::new() };
        let named = interface.named_calendars().into_iter();
        named.filter_map(|id| Some((id.clone(), calendars.get(id.as_str())?.clone()?))).collect()
    }

    pub(super) fn zone(&self, name: &str) -> Result<(), String> {
        if let Some(known) = self.zones.borrow().get(name) {
            return known.clone();
        }
        let answer = (self.checks.zone)(name);
        self.zones.borrow_mut().insert(name.to_owned(), answer.clone());
        answer
    }

    pub(super) fn timing(&self, timing: &Timing, zone: &str, dst: Dst) -> TimingAnswer {
        let question = format!("{timing:?}|{zone}|{dst:?}");
        if let Some(known) = self.timings.borrow().get(&question) {
            return Rc::clone(known);
        }
        let answer = Rc::new((self.checks.timing)(timing, zone, dst));
        self.timings.borrow_mut().insert(question, Rc::clone(&answer));
        answer
    }

    pub(super) fn template(&self, text: &str, params: &BTreeSet<&str>) -> Result<(), Fault> {
        if text.contains("{{") { (self.checks.template)(text, params) } else { Ok(()) }
    }

    /// Executions a minute at most, by the timing alone.
    pub(super) fn per_minute(&self, timing: &Timing, zone: &str, dst: Dst) -> f64 {
        match timing {
            Timing::Every { period_ms, .. } => {
                60_000.0 / f64::from(u32::try_from(*period_ms).unwrap_or(u32::MAX)).max(1.0)
            }
            Timing::At(_) | Timing::Manual | Timing::Reboot | Timing::After(_) => 0.0,
            Timing::Cron(_) => {
                let question = format!("{timing:?}|{zone}|{dst:?}");
                if let Some(known) = self.rates.borrow().get(&question) {
                    return *known;
                }
                let answer = (self.checks.per_minute)(timing, zone, dst);
                self.rates.borrow_mut().insert(question, answer);
                answer
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_minute_counts_slots_closer_together_than_60_seconds() {
        let at = |seconds: &[i64]| busiest_minute(seconds.iter().copied().map(Instant::from_secs));
        assert_eq!(at(&[]), 0.0);
        assert_eq!(at(&[0, 60, 120]), 1.0);
        assert_eq!(at(&[0, 300, 310, 320, 359, 360, 600]), 4.0);
    }
}
