//! Reads the events of whole days of an iCalendar file (RFC 5545) as days of a calendar.
//!
//! What says which days are meant is understood or refused with its line, never passed over: dates and lengths, repetition,
//! exceptions, cancelled events. What only describes an event (its name, place, people, alarms) is not looked at.

mod line;
mod rule;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::Range as Bytes;

use chrono::{Days, NaiveDate};

use self::line::{Line, unfold};
use self::rule::{Last, Rule};
use super::problem::Problem;
use super::report::{Report, error, warning};
use crate::domain::calendar::{Calendar, Range, Repeat};

/// The longest event that comes again, in days: each question about a date looks so far back.
const REPEATED_DAYS_MAX: i64 = 366;

/// How far ahead the last of so many repetitions is looked for, in days.
const COUNTED_DAYS_MAX: usize = 400 * 366;

/// Adds the days of a file's events to `calendar`; gives what is wrong with the file.
pub(super) fn read(text: &str, file: &str, calendar: &mut Calendar) -> Vec<Problem> {
    let report = Report::new(text);
    let mut reader = Reader { report: &report, calendar, open: Vec::new(), event: None, seen: 0 };
    for line in unfold(text, &report) {
        if !reader.take(&line) {
            break;
        }
    }
    reader.finish();
    report.finish(file)
}

struct Reader<'a> {
    report: &'a Report,
    calendar: &'a mut Calendar,
    /// The components that the line stands in, outermost first.
    open: Vec<Component>,
    event: Option<Event>,
    seen: usize,
}

struct Component {
    name: String,
    at: Bytes<usize>,
    /// Nothing in it says which days are meant.
    skipped: bool,
}

/// What an event says so far.
struct Event {
    at: Bytes<usize>,
    start: Option<NaiveDate>,
    /// What says how long it is, with its length once the start is known.
    length: Option<(Bytes<usize>, Length)>,
    rule: Option<(Bytes<usize>, Rule)>,
    more: BTreeSet<NaiveDate>,
    except: BTreeSet<NaiveDate>,
    cancelled: bool,
    /// Something in it was refused.
    broken: bool,
}

enum Length {
    Until(NaiveDate),
    Days(i64),
}

impl Reader<'_> {
    fn refuse(&self, at: &Bytes<usize>, key: &str, why: impl Into<String>, hint: &str) {
        let found = error(at.clone(), key, why);
        self.report.add(if hint.is_empty() { found } else { found.hint(hint) });
    }

    /// Takes the next line. False when the text is no iCalendar file, so that nothing more can be said of it.
    fn take(&mut self, line: &Line) -> bool {
        match line.name.as_str() {
            "BEGIN" => self.begin(line),
            "END" => {
                self.end(line);
                true
            }
            _ if self.open.is_empty() => self.outside(line),
            _ => {
                let inner = self.open.last().is_some_and(|inner| inner.name == "VEVENT");
                if inner && let Some(mut event) = self.event.take() {
                    if self.property(&mut event, line).is_none() {
                        event.broken = true;
                    }
                    self.event = Some(event);
                }
                true
            }
        }
    }

    fn outside(&self, line: &Line) -> bool {
        let why = format!("`{}` stands outside of a calendar", line.shown());
        self.refuse(&line.at, &line.name, why, "an iCalendar file begins with BEGIN:VCALENDAR");
        false
    }

    fn begin(&mut self, line: &Line) -> bool {
        let name = line.value.to_ascii_uppercase();
        let parent = self.open.last();
        let skipped = match (parent.map(|parent| parent.name.as_str()), name.as_str()) {
            _ if parent.is_some_and(|parent| parent.skipped) => true,
            (None, "VCALENDAR") => false,
            (None, _) => return self.outside(line),
            (Some("VCALENDAR"), "VEVENT") => {
                self.event = Some(Event::at(line.at.clone()));
                self.seen += 1;
                false
            }
            // A date is the same in each zone, and an alarm rings for people.
            (Some("VCALENDAR"), "VTIMEZONE") | (Some("VEVENT"), "VALARM") => true,
            (Some(_), _) => {
                let why = format!("`BEGIN:{name}` is not understood");
                self.refuse(&line.at, "BEGIN", why, "only events (BEGIN:VEVENT) name days");
                true
            }
        };
        self.open.push(Component { name, at: line.at.clone(), skipped });
        true
    }

    fn end(&mut self, line: &Line) {
        let name = line.value.to_ascii_uppercase();
        match self.open.pop() {
            Some(component) if component.name == name => {
                if !component.skipped
                    && name == "VEVENT"
                    && let Some(event) = self.event.take()
                {
                    self.close(event);
                }
            }
            other => {
                self.open.extend(other);
                let why = format!("`END:{name}` does not end what was begun last");
                self.refuse(&line.at, "END", why, "");
            }
        }
    }

    /// Reads a property of an event. None when it was refused.
    fn property(&self, event: &mut Event, line: &Line) -> Option<()> {
        let twice = |given: bool| {
            if given {
                self.refuse(
                    &line.at,
                    &line.name,
                    format!("`{}` stands twice in one event", line.name),
                    "",
                );
            }
            (!given).then_some(())
        };
        match line.name.as_str() {
            "DTSTART" => {
                twice(event.start.is_some())?;
                event.start = Some(self.day(line, &line.value)?);
            }
            "DTEND" => {
                twice(event.length.is_some())?;
                event.length = Some((line.at.clone(), Length::Until(self.day(line, &line.value)?)));
            }
            "DURATION" => {
                twice(event.length.is_some())?;
                event.length = Some((line.at.clone(), Length::Days(self.duration(line)?)));
            }
            "RRULE" => {
                twice(event.rule.is_some())?;
                let rule = Rule::read(&line.value);
                let rule = rule.map_err(|refused| {
                    let why = format!("`{}`: {}", line.shown(), refused.why);
                    self.refuse(&line.at, &line.name, why, &refused.hint);
                });
                event.rule = Some((line.at.clone(), rule.ok()?));
            }
            "RDATE" => event.more.extend(self.days(line)?),
            "EXDATE" => event.except.extend(self.days(line)?),
            "STATUS" => event.cancelled = line.value.eq_ignore_ascii_case("CANCELLED"),
            "EXRULE" | "RECURRENCE-ID" => {
                let why = format!("`{}` is not understood", line.shown());
                let hint = "write the changed day as an event of its own, and leave it out of the repetition with EXDATE";
                self.refuse(&line.at, &line.name, why, hint);
                return None;
            }
            _ => (),
        }
        Some(())
    }

    fn days(&self, line: &Line) -> Option<Vec<NaiveDate>> {
        line.value.split(',').map(|text| self.day(line, text)).collect()
    }

    fn day(&self, line: &Line, text: &str) -> Option<NaiveDate> {
        let plain = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
        let day = plain.then(|| NaiveDate::parse_from_str(text, "%Y%m%d").ok()).flatten();
        if day.is_none() {
            let why = if text.contains('T') {
                format!("`{}` is a time, not a day", line.shown())
            } else {
                format!("`{}` is not a date", line.shown())
            };
            let hint = "only events of whole days close a calendar's days: VALUE=DATE:20261225";
            self.refuse(&line.at, &line.name, why, hint);
        }
        day
    }

    /// `P3D` or `P1W`.
    fn duration(&self, line: &Line) -> Option<i64> {
        let text = line.value.strip_prefix('+').unwrap_or(&line.value);
        let number = |unit| text.strip_prefix('P')?.strip_suffix(unit)?.parse::<u16>().ok();
        let days =
            number('D').map(i64::from).or_else(|| number('W').map(|weeks| i64::from(weeks) * 7));
        if days.is_none() {
            let why = format!("`{}` is not a number of days", line.shown());
            self.refuse(&line.at, &line.name, why, "such as DURATION:P3D");
        }
        days
    }

    /// Adds the days of an event.
    fn close(&mut self, event: Event) {
        if event.broken {
            return;
        }
        let Some(start) = event.start else {
            return self.refuse(&event.at, "DTSTART", "an event without DTSTART has no day", "");
        };
        let (at, days) = match event.length {
            None => (event.at.clone(), 1),
            Some((at, Length::Days(days))) => (at, days),
            Some((at, Length::Until(end))) => (at, (end - start).num_days()),
        };
        if days < 1 {
            let hint = "DTEND is the first day after the event";
            return self.refuse(&at, "DTEND", "the event ends before it begins", hint);
        }
        if event.cancelled {
            return;
        }
        let mut single = event.more;
        match event.rule {
            None => {
                single.insert(start);
            }
            Some((at, rule)) => {
                let repeat = self.repeat(&at, &rule, start, days);
                let Some(mut repeat) = repeat else { return };
                repeat.except.clone_from(&event.except);
                self.calendar.repeats.push(repeat);
            }
        }
        for from in single.difference(&event.except) {
            self.add(*from, days);
        }
    }

    fn add(&mut self, from: NaiveDate, days: i64) {
        let more = Days::new(u64::try_from(days - 1).unwrap_or(0));
        match from.checked_add_days(more) {
            Some(to) if to > from => self.calendar.ranges.push(Range { from, to }),
            Some(_) | None => {
                self.calendar.dates.insert(from);
            }
        }
    }

    fn repeat(&self, at: &Bytes<usize>, rule: &Rule, from: NaiveDate, days: i64) -> Option<Repeat> {
        let refuse = |why: &str, hint: &str| {
            self.refuse(at, "RRULE", why, hint);
            None
        };
        if days > REPEATED_DAYS_MAX {
            return refuse("an event that comes again takes at most 366 days", "");
        }
        let days = u32::try_from(days).ok()?;
        let (every, on) = match rule.on(from) {
            Ok(on) => (rule.every, on),
            Err(refused) => return refuse(&refused.why, &refused.hint),
        };
        let mut repeat = Repeat { from, until: None, every, on, days, except: BTreeSet::new() };
        if !repeat.begins_on(from) {
            let hint = "DTSTART is the first repetition";
            return refuse("DTSTART is not one of the days of its RRULE", hint);
        }
        repeat.until = match rule.last {
            Last::Never => None,
            Last::On(until) => Some(until),
            Last::Number(count) => {
                let begins = from.iter_days().take(COUNTED_DAYS_MAX);
                let last = begins.filter(|day| repeat.begins_on(*day)).nth(count - 1);
                if last.is_none() {
                    return refuse("COUNT reaches farther than 400 years", "");
                }
                last
            }
        };
        Some(repeat)
    }

    fn finish(&self) {
        for component in &self.open {
            let why = format!("`BEGIN:{}` has no END", component.name);
            self.refuse(&component.at, "BEGIN", why, "");
        }
        if self.seen == 0 && !self.report.has_errors() {
            self.report.add(warning(0..0, "", "the file has no event"));
        }
    }
}

impl Event {
    fn at(at: Bytes<usize>) -> Self {
        Self {
            at,
            start: None,
            length: None,
            rule: None,
            more: BTreeSet::new(),
            except: BTreeSet::new(),
            cancelled: false,
            broken: false,
        }
    }
}
