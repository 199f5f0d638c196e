//! Keys of a calendar's file, and of the windows in which nothing runs.

use super::{Key, Kind, Table};

/// The top level of `calendars/<name>.toml`.
pub static CALENDAR: Table = Table {
    name: "a calendar",
    place: "top of calendars/<name>.toml",
    keys: &[
        Key::new("dates", Kind::List(&Kind::Date), "Single dates.")
            .example("[2026-07-13, 2026-12-24]")
            .also(&["date", "days", "holidays"]),
        Key::new(
            "ranges",
            Kind::List(&Kind::Table(&RANGE)),
            "Stretches of dates; the last one belongs to it.",
        )
        .example("[{ from = 2026-08-03, to = 2026-08-21 }]")
        .also(&["range", "periods"]),
        Key::new("weekly", Kind::List(&Kind::Weekday), "Days of each week.")
            .example("[\"sat\", \"sun\"]")
            .also(&["weekdays", "week"]),
        Key::new(
            "yearly",
            Kind::List(&Kind::Yearly),
            "Days of each year: month and day, one of a month's weekdays (`first` to `fifth` or `last`), or so many days after or before Easter Sunday. `02-29` comes in leap years only.",
        )
        .example("[\"12-25\", \"third monday of january\", \"easter+1\"]")
        .also(&["annual", "year", "easter"]),
        Key::new(
            "ical",
            Kind::FileName,
            "An iCalendar file beside this one, whose events of whole days are days of the calendar.",
        )
        .example("\"school.ics\"")
        .also(&["ics", "icalendar", "import"]),
    ],
    one_of: &[],
    required: &[],
};

/// `ranges = [{ … }]`.
pub static RANGE: Table = Table {
    name: "a range",
    place: "ranges = [{ … }]",
    keys: &[
        Key::new("from", Kind::Date, "The first date.")
            .example("2026-08-03")
            .also(&["start", "begin"]),
        Key::new("to", Kind::Date, "The last date.").example("2026-08-21").also(&["end", "until"]),
    ],
    one_of: &[],
    required: &["from", "to"],
};

/// `blackout = [{ … }]`.
pub static BLACKOUT: Table = Table {
    name: "a blackout",
    place: "blackout = [{ … }]",
    keys: &[
        Key::new(
            "days",
            Kind::List(&Kind::Weekday),
            "The days of the week on which the window begins; only beside times of day.",
        )
        .default("each day")
        .example("[\"sat\", \"sun\"]")
        .also(&["weekly", "on", "weekdays"]),
        Key::new(
            "from",
            Kind::Edge,
            "When it begins: a time of day, or a local date and time for a window that comes once.",
        )
        .default("\"00:00\"")
        .example("\"22:00\"")
        .also(&["start", "begin"]),
        Key::new(
            "to",
            Kind::Edge,
            "When it ends; a time of day that is not later than `from` is one of the next day.",
        )
        .default("\"24:00\"")
        .example("\"06:00\"")
        .also(&["end", "until"]),
    ],
    one_of: &[],
    required: &[],
};
