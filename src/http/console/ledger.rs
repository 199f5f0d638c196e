//! What became of a schedule's slots: months of days, and the slots of one day.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use chrono::{Datelike, Days, Months, NaiveDate, Weekday};

use super::form::address;
use super::words;
use crate::civil::Zone;
use crate::domain::slot::Reason;
use crate::http::api::schedules::awaiting;
use crate::http::input::LIMIT_MAX;
use crate::http::parts::App;
use crate::http::problem::Problem;
use crate::http::reads::{End, Reads, Span};
use crate::ids::ScheduleRef;
use crate::instant::Instant;
use crate::projection::view::{Slot, SlotOutcome, Status};

/// Months that are shown at once.
const MONTHS: u32 = 3;
/// Slots that are counted for them at most: a month of minutes is 44,640.
const COUNTED_MAX: usize = 20_000;
/// Slots of a day that are listed at once.
const LISTED: usize = 100;

/// What became of a slot, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Became {
    Ko,
    Missed,
    Cancelled,
    Running,
    Skipped,
    /// It failed, and a re-run of it ended well.
    Solved,
    Ok,
    /// It ran, and retention took its execution.
    Pruned,
    Pending,
}

impl Became {
    pub(super) const ALL: [Self; 9] = [
        Self::Ok,
        Self::Solved,
        Self::Ko,
        Self::Missed,
        Self::Skipped,
        Self::Cancelled,
        Self::Running,
        Self::Pruned,
        Self::Pending,
    ];

    fn of(slot: &Slot, end: Option<End>) -> Self {
        match (end, slot.outcome, slot.execution) {
            (Some(end), _, _) => match end.status {
                Status::Ok => Self::Ok,
                Status::Ko if end.solved => Self::Solved,
                Status::Ko => Self::Ko,
                Status::Cancelled => Self::Cancelled,
                Status::Queued | Status::Running => Self::Running,
            },
            (None, SlotOutcome::Missed, None) => Self::Missed,
            (None, SlotOutcome::Skipped, None) => Self::Skipped,
            (None, SlotOutcome::Pending, None) => Self::Pending,
            (None, SlotOutcome::Started, _) | (None, _, Some(_)) => Self::Pruned,
        }
    }

    /// Class, sign and word.
    const fn said(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Ko => ("ko", "✖", "KO"),
            Self::Missed => ("missed", "✕", "missed"),
            Self::Cancelled => ("cancelled", "⊘", "cancelled"),
            Self::Running => ("running", "●", "running"),
            Self::Skipped => ("skipped", "◇", "skipped"),
            Self::Solved => ("solved", "✓", "solved"),
            Self::Ok => ("ok", "✔", "OK"),
            Self::Pruned => ("pruned", "–", "ran, pruned"),
            Self::Pending => ("pending", "◌", "waits"),
        }
    }
}

impl askama::filters::HtmlSafe for Became {}

impl fmt::Display for Became {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, sign, word) = self.said();
        write!(
            f,
            "<span class=\"badge {class}\"><span aria-hidden=\"true\">{sign}</span> {word}</span>"
        )
    }
}

/// Why a slot started nothing, in words.
pub(super) const fn because(reason: &Reason) -> &'static str {
    match reason {
        Reason::Down => "the daemon was not running",
        Reason::Paused => "paused",
        Reason::Disabled => "switched off in its file",
        Reason::Overlap => "an execution was still open",
        Reason::Calendar => "a calendar closes it",
        Reason::Blackout => "in a blackout window",
        Reason::SkipNext => "somebody asked to skip it",
        Reason::Coalesced => "a newer slot ran in its place",
        Reason::TooLate => "too late to catch up",
        Reason::Max => "more were due than may be caught up",
        Reason::Dependency => "what it follows did not deliver",
        Reason::Clock => "a clock correction passed over it",
    }
}

/// A day of a month.
pub(super) struct Day {
    pub(super) date: NaiveDate,
    counts: BTreeMap<(Became, Option<Reason>), usize>,
    /// Not all of its slots were counted.
    open: bool,
}

impl Day {
    fn by_kind(&self) -> BTreeMap<Became, usize> {
        let mut kinds = BTreeMap::new();
        for ((became, _), count) in &self.counts {
            *kinds.entry(*became).or_insert(0) += count;
        }
        kinds
    }

    pub(super) fn number(&self) -> u32 {
        self.date.day()
    }

    /// The class of the worst that happened.
    pub(super) fn class(&self) -> &'static str {
        let worst = self.by_kind().keys().next().copied();
        worst.map_or(if self.open { "open" } else { "none" }, |became| became.said().0)
    }

    /// What a small cell has room for: the two worst, as signs with counts.
    pub(super) fn signs(&self) -> String {
        if self.open {
            return "…".to_owned();
        }
        let sign = |(became, count): (Became, usize)| format!("{}{count}", became.said().1);
        self.by_kind().into_iter().take(2).map(sign).collect::<Vec<_>>().join(" ")
    }

    /// All of it in words.
    pub(super) fn label(&self) -> String {
        let said = |((became, reason), count): (&(Became, Option<Reason>), &usize)| {
            let word = became.said().2;
            match reason {
                Some(reason) => format!("{count} {word}: {}", because(reason)),
                None => format!("{count} {word}"),
            }
        };
        let all: Vec<String> = self.counts.iter().map(said).collect();
        let all = if all.is_empty() { "no slot".to_owned() } else { all.join("; ") };
        let more = if self.open { "; not all were counted" } else { "" };
        format!("{}: {all}{more}", self.date)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty() && !self.open
    }
}

/// A month, Monday first; days of other months are none.
pub(super) struct Month {
    pub(super) name: String,
    pub(super) weeks: Vec<Vec<Option<Day>>>,
}

/// Some months of a ledger.
pub(super) struct Calendar {
    /// The newest first.
    pub(super) months: Vec<Month>,
    /// How often each thing happened in them.
    pub(super) totals: Vec<(Became, u64)>,
    /// The months before, as `2026-08`.
    pub(super) before: String,
    /// The months after; none beside the newest.
    pub(super) after: Option<String>,
    /// Slots before this date were not counted.
    pub(super) counted_from: Option<NaiveDate>,
}

/// The name of a month in an address.
fn key(first: NaiveDate) -> String {
    first.format("%Y-%m").to_string()
}

/// A month by its name in an address: its first day.
pub(super) fn month(text: &str) -> Result<NaiveDate, String> {
    NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d")
        .ok()
        .filter(|date| (1970..=9998).contains(&date.year()))
        .ok_or_else(|| format!("`{text}` is no month such as `2026-11`"))
}

/// A day by its name in an address.
pub(super) fn day(text: &str) -> Result<NaiveDate, String> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .ok()
        .filter(|date| (1970..=9998).contains(&date.year()))
        .ok_or_else(|| format!("`{text}` is no day such as `2026-11-22`"))
}

pub(super) fn first_of_month(date: NaiveDate) -> NaiveDate {
    date.with_day(1).unwrap_or(date)
}

/// Where a date begins: of one that the zone leaves out, the next one.
fn begin(zone: &Zone, date: NaiveDate) -> Instant {
    let days = std::iter::successors(Some(date), NaiveDate::succ_opt).take(3);
    let mut days = days.filter_map(|date| zone.first_instant_of_day(date));
    days.next().unwrap_or(Instant::from_millis(i64::MAX))
}

/// A ledger that is looked at.
pub(super) struct Ledger<'a> {
    pub(super) app: &'a App,
    pub(super) reads: &'a Reads,
    pub(super) name: &'a ScheduleRef,
    pub(super) zone: &'a Zone,
}

impl Ledger<'_> {
    /// What became of each of `slots`.
    async fn became(&self, slots: &[Slot]) -> Result<Vec<Became>, Problem> {
        let ids = slots.iter().filter_map(|slot| slot.execution).collect();
        let ends: HashMap<_, _> = self.reads.ends(ids).await?;
        let of = |slot: &Slot| {
            Became::of(slot, slot.execution.and_then(|execution| ends.get(&execution).copied()))
        };
        Ok(slots.iter().map(of).collect())
    }

    /// The month that begins at `newest` and those before it.
    pub(super) async fn calendar(&self, newest: NaiveDate) -> Result<Calendar, Problem> {
        let end = newest + Months::new(1);
        let oldest = newest - Months::new(MONTHS - 1);
        let (from, to) = (begin(self.zone, oldest), begin(self.zone, end));
        let span = Span { from: Some(from), to: Some(to), limit: LIMIT_MAX, cursor: None };
        let mut slots = awaiting(self.app, self.name, &span);
        let mut cursor = None;
        let mut counted_from = None;
        loop {
            let span = Span { cursor, ..span.clone() };
            let page = self.reads.slots(self.name.clone(), span).await?;
            slots.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
            if slots.len() >= COUNTED_MAX {
                counted_from = slots.last().map(|slot| self.zone.date(slot.at));
                break;
            }
        }
        let became = self.became(&slots).await?;
        let mut days: BTreeMap<NaiveDate, BTreeMap<_, usize>> = BTreeMap::new();
        let mut totals: BTreeMap<Became, u64> = BTreeMap::new();
        for (slot, became) in slots.iter().zip(became) {
            let day = days.entry(self.zone.date(slot.at)).or_default();
            *day.entry((became, slot.reason)).or_default() += 1;
            *totals.entry(became).or_default() += 1;
        }
        let firsts = (0..MONTHS).map(|back| newest - Months::new(back));
        let now = first_of_month(self.zone.date(self.app.clock.now()));
        Ok(Calendar {
            months: firsts.map(|first| month_of(first, &mut days, counted_from)).collect(),
            totals: Became::ALL
                .into_iter()
                .filter_map(|became| Some((became, *totals.get(&became)?)))
                .collect(),
            before: key(newest - Months::new(MONTHS)),
            after: (newest < now).then(|| key((newest + Months::new(MONTHS)).min(now))),
            counted_from,
        })
    }

    /// The slots of a day, newest first, and the cursor of those after them.
    pub(super) async fn day(
        &self,
        date: NaiveDate,
        cursor: Option<String>,
    ) -> Result<Listed, Problem> {
        let (from, to) = (begin(self.zone, date), begin(self.zone, date + Days::new(1)));
        let span = Span { from: Some(from), to: Some(to), limit: LISTED, cursor };
        let waiting = span.cursor.is_none().then(|| awaiting(self.app, self.name, &span));
        let page = self.reads.slots(self.name.clone(), span).await?;
        let slots: Vec<Slot> = waiting.into_iter().flatten().chain(page.items).collect();
        let became = self.became(&slots).await?;
        let row = |(slot, became): (Slot, Became)| {
            let local = words::local(self.zone, slot.at);
            let path = format!("/schedules/{}/why", self.name);
            Listing { why: address(&path, &[("at", &slot.at.to_string())]), slot, became, local }
        };
        Ok(Listed { date, rows: slots.into_iter().zip(became).map(row).collect(), next: page.next })
    }
}

/// Takes the days of a month out of `days`.
fn month_of(
    first: NaiveDate,
    days: &mut BTreeMap<NaiveDate, BTreeMap<(Became, Option<Reason>), usize>>,
    counted_from: Option<NaiveDate>,
) -> Month {
    let mut weeks: Vec<Vec<Option<Day>>> = Vec::new();
    for date in first.iter_days().take_while(|date| date.month() == first.month()) {
        if weeks.is_empty() || date.weekday() == Weekday::Mon {
            weeks.push((0..7).map(|_| None).collect());
        }
        let counts = days.remove(&date).unwrap_or_default();
        let open = counted_from.is_some_and(|from| date <= from);
        let at = date.weekday().num_days_from_monday() as usize;
        if let Some(cell) = weeks.last_mut().and_then(|week| week.get_mut(at)) {
            *cell = Some(Day { date, counts, open });
        }
    }
    Month { name: first.format("%B %Y").to_string(), weeks }
}

/// Slots of a day.
pub(super) struct Listed {
    pub(super) date: NaiveDate,
    pub(super) rows: Vec<Listing>,
    pub(super) next: Option<String>,
}

/// A slot of a day.
pub(super) struct Listing {
    pub(super) slot: Slot,
    pub(super) became: Became,
    /// Its instant as the clocks of the schedule's zone show it.
    pub(super) local: String,
    /// The page that says why.
    pub(super) why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        day(text).expect("a day")
    }

    #[test]
    fn a_month_has_its_days_below_their_weekdays() {
        let month = month_of(date("2026-11-01"), &mut BTreeMap::new(), None);
        assert_eq!(month.name, "November 2026");
        let numbers = |week: &Vec<Option<Day>>| -> Vec<u32> {
            week.iter().map(|day| day.as_ref().map_or(0, Day::number)).collect()
        };
        let weeks: Vec<Vec<u32>> = month.weeks.iter().map(numbers).collect();
        assert_eq!(weeks.first().expect("a week"), &[0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(weeks.last().expect("a week"), &[30, 0, 0, 0, 0, 0, 0]);
        assert_eq!(weeks.len(), 6);
    }

    #[test]
    fn a_day_shows_the_worst_and_says_all() {
        let counts = BTreeMap::from([
            ((Became::Ok, None), 20),
            ((Became::Missed, Some(Reason::Down)), 3),
            ((Became::Skipped, Some(Reason::Paused)), 1),
        ]);
        let day = Day { date: date("2026-11-22"), counts, open: false };
        assert_eq!((day.class(), day.signs().as_str()), ("missed", "✕3 ◇1"));
        assert_eq!(
            day.label(),
            "2026-11-22: 3 missed: the daemon was not running; 1 skipped: paused; 20 OK"
        );
    }

    #[test]
    fn days_whose_slots_were_not_all_counted_say_so() {
        let month = month_of(date("2026-11-01"), &mut BTreeMap::new(), Some(date("2026-11-02")));
        let days: Vec<&Day> = month.weeks.iter().flatten().flatten().collect();
        let said = |at: usize| days.get(at).expect("a day").signs();
        assert_eq!([said(0), said(1), said(2)], ["…", "…", ""]);
    }

    #[test]
    fn months_and_days_that_are_none_are_refused() {
        assert!(month("2026-13").is_err() && month("2026").is_err() && month("0001-01").is_err());
        assert!(day("2026-02-30").is_err() && day("today").is_err());
    }
}
