//! Reads the calendars: `calendars/<name>.toml` inside the schedules folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use toml::de::DeTable;

use super::days::{date, range, weekdays, yearly};
use super::folder::{stems, text_of};
use super::ical;
use super::keys::CALENDAR;
use super::problem::{Problem, Severity};
use super::reader::{Fields, Item};
use super::report::{Report, error, warning};
use super::values::nearest;
use crate::domain::calendar::Calendar;
use crate::ids::CalendarId;

/// The folder of the calendars, inside the schedules folder.
pub(super) const FOLDER: &str = "calendars";

/// How an iCalendar file's name ends.
pub(super) const ICAL: &str = ".ics";

/// What the folder of the calendars holds.
#[derive(Debug, Default)]
pub(super) struct Calendars {
    /// By the file's stem; none where it is not accepted.
    pub(super) known: BTreeMap<String, Option<Calendar>>,
    /// Errors and warnings of all of them.
    pub(super) problems: Vec<Problem>,
}

/// Reads all calendars of a schedules folder. There need not be any.
pub(super) fn load(schedules: &Path) -> Calendars {
    let folder = schedules.join(FOLDER);
    let mut calendars = Calendars::default();
    let stems = match stems(&folder) {
        Ok(stems) => stems,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return calendars,
        Err(err) => {
            let (file, why) =
                (folder.display().to_string(), format!("the calendars cannot be read: {err}"));
            calendars.problems.push(
                Problem::without_place(Severity::Error, file, why)
                    .with_hint("the daemon's user must be able to read the folder"),
            );
            return calendars;
        }
    };
    for stem in stems {
        let (calendar, problems) = one(&folder, &stem);
        for problem in problems {
            // Two calendars may read one iCalendar file.
            if !calendars.problems.contains(&problem) {
                calendars.problems.push(problem);
            }
        }
        calendars.known.insert(stem, calendar);
    }
    calendars
}

fn one(folder: &Path, stem: &str) -> (Option<Calendar>, Vec<Problem>) {
    let path = folder.join(format!("{stem}.toml"));
    let file = path.display().to_string();
    if let Err(err) = CalendarId::new(stem) {
        let problem = Problem::without_place(Severity::Error, file, err.to_string());
        let hint = "the file's name is the calendar's name: rename the file";
        return (None, vec![problem.with_hint(hint)]);
    }
    match text_of(&path, &file) {
        Ok(text) => read(&text, &file, folder),
        Err(problems) => (None, problems),
    }
}

/// Reads the text of a calendar's file, and the iCalendar file that it names from `folder`.
fn read(text: &str, file: &str, folder: &Path) -> (Option<Calendar>, Vec<Problem>) {
    let report = Report::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for err in errors {
            let span = err.span().unwrap_or(0..0);
            report.add(error(span, "", format!("not TOML: {}", err.message())));
        }
        return (None, report.finish(file));
    }
    let fields = Fields::top(document.get_ref(), &CALENDAR, &report);
    let list = |name| fields.list(name).unwrap_or_default();
    let mut calendar = Calendar {
        dates: list("dates").iter().filter_map(date).collect(),
        ranges: list("ranges").iter().filter_map(|item| range(&item.table()?)).collect(),
        weekly: weekdays(&fields, "weekly"),
        yearly: list("yearly").iter().filter_map(yearly).collect(),
        repeats: Vec::new(),
    };
    let imported = fields.get("ical").map(|item| import(&item, folder, &mut calendar));
    if calendar.is_empty() && imported.is_none() && !report.has_errors() {
        let why = "the calendar has no day";
        report.add(
            warning(0..0, "", why).hint("give `dates`, `ranges`, `weekly`, `yearly` or `ical`"),
        );
    }
    let accepted = !report.has_errors();
    let mut problems = report.finish(file);
    problems.extend(imported.unwrap_or_default());
    let accepted = accepted && !problems.iter().any(Problem::is_error);
    (accepted.then_some(calendar), problems)
}

/// Adds the days of an iCalendar file; gives what is wrong with it.
fn import(item: &Item<'_>, folder: &Path, calendar: &mut Calendar) -> Vec<Problem> {
    let Some(name) = item.text() else { return Vec::new() };
    if name.contains('/') || name.starts_with('.') || !name.ends_with(ICAL) {
        let hint =
            "put it beside this file, and name it without a folder: \"school.ics\"".to_owned();
        item.refuse(&format!("`{name}` is not the name of a file that ends in {ICAL}"), Some(hint));
        return Vec::new();
    }
    let path = folder.join(&name);
    if !path.exists() {
        let others = beside(folder);
        let near = nearest(&name, others.iter().map(String::as_str));
        let near = near.map(|near| format!("did you mean `{near}`?"));
        item.refuse(&format!("there is no file `{name}` beside this one"), near);
        return Vec::new();
    }
    let file = path.display().to_string();
    match text_of(&path, &file) {
        Ok(text) => ical::read(&text, &file, calendar),
        Err(problems) => problems,
    }
}

/// The iCalendar files of the folder.
fn beside(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(ICAL)).collect()
}
