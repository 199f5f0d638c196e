use chrono::Datelike;

use super::*;

/// A file with these lines in one event.
fn with_event(lines: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\n{}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
        lines.replace('\n', "\r\n")
    )
}

fn accepted(text: &str) -> Calendar {
    let mut calendar = Calendar::default();
    let problems = read(text, "school.ics", &mut calendar);
    assert!(problems.is_empty(), "{problems:?}\n{text}");
    calendar
}

/// The days from 2026 to 2029, such as `26-12-25`.
fn days(text: &str) -> Vec<String> {
    let calendar = accepted(text);
    let first = NaiveDate::from_ymd_opt(2026, 1, 1).expect("a date");
    let days = first.iter_days().take_while(|day| day.year() < 2030);
    days.filter(|day| calendar.contains(*day))
        .map(|day| day.format("%y-%m-%d").to_string())
        .collect()
}

#[test]
fn events_of_whole_days_become_days() {
    for (lines, expected) in [
        ("DTSTART;VALUE=DATE:20261225", &["26-12-25"][..]),
        ("DTSTART;VALUE=DATE:20261225\nDTEND;VALUE=DATE:20261226", &["26-12-25"]),
        ("DTSTART;VALUE=DATE:20261231\nDTEND;VALUE=DATE:20270102", &["26-12-31", "27-01-01"]),
        ("DTSTART;VALUE=DATE:20261231\nDURATION:P2D", &["26-12-31", "27-01-01"]),
        (
            "dtstart;value=date:20261225\nSUMMARY:Christmas: DTSTART;VALUE=DATE:20200101",
            &["26-12-25"],
        ),
        ("DTSTART;X-NOTE=\"a:b\";VALUE=DATE:20261225", &["26-12-25"]),
        ("DTSTART;VALUE=DATE:20261225\nSTATUS:CANCELLED", &[]),
        (
            "DTSTART;VALUE=DATE:20261225\nRDATE;VALUE=DATE:20270105\nEXDATE;VALUE=DATE:20261225",
            &["27-01-05"],
        ),
        (
            "DTSTART;VALUE=DATE:20261225\nRDATE;VALUE=DATE:20270105,20270106",
            &["26-12-25", "27-01-05", "27-01-06"],
        ),
        (
            "DTSTART;VALUE=DATE:20261225\nBEGIN:VALARM\nTRIGGER:-PT1H\nRRULE:FREQ=DAILY\nEND:VALARM",
            &["26-12-25"],
        ),
    ] {
        assert_eq!(days(&with_event(lines)), expected, "{lines}");
    }
}

#[test]
fn repetitions_become_days() {
    for (lines, expected) in [
        (
            "DTSTART;VALUE=DATE:20251225\nRRULE:FREQ=YEARLY",
            &["26-12-25", "27-12-25", "28-12-25", "29-12-25"][..],
        ),
        ("DTSTART;VALUE=DATE:20251225\nRRULE:FREQ=YEARLY;COUNT=3", &["26-12-25", "27-12-25"]),
        (
            "DTSTART;VALUE=DATE:20251225\nRRULE:FREQ=YEARLY;UNTIL=20271225",
            &["26-12-25", "27-12-25"],
        ),
        ("DTSTART;VALUE=DATE:20251225\nRRULE:FREQ=YEARLY;INTERVAL=2", &["27-12-25", "29-12-25"]),
        (
            "DTSTART;VALUE=DATE:20251225\nRRULE:FREQ=YEARLY\nEXDATE;VALUE=DATE:20261225,20281225",
            &["27-12-25", "29-12-25"],
        ),
        (
            "DTSTART;VALUE=DATE:20260119\nRRULE:FREQ=YEARLY;BYMONTH=1;BYDAY=3MO",
            &["26-01-19", "27-01-18", "28-01-17", "29-01-15"],
        ),
        (
            "DTSTART;VALUE=DATE:20260525\nRRULE:FREQ=YEARLY;BYMONTH=5;BYDAY=-1MO;COUNT=2",
            &["26-05-25", "27-05-31"],
        ),
        (
            "DTSTART;VALUE=DATE:20260401\nRRULE:FREQ=YEARLY;BYMONTH=4,10;BYMONTHDAY=1;UNTIL=20270401",
            &["26-04-01", "26-10-01", "27-04-01"],
        ),
        ("DTSTART;VALUE=DATE:20240229\nRRULE:FREQ=YEARLY", &["28-02-29"]),
        (
            "DTSTART;VALUE=DATE:20291203\nRRULE:FREQ=WEEKLY;BYDAY=MO,WE;COUNT=4",
            &["29-12-03", "29-12-05", "29-12-10", "29-12-12"],
        ),
        (
            "DTSTART;VALUE=DATE:20291206\nDURATION:P2D\nRRULE:FREQ=WEEKLY;INTERVAL=2;WKST=MO;COUNT=2",
            &["29-12-06", "29-12-07", "29-12-20", "29-12-21"],
        ),
    ] {
        assert_eq!(days(&with_event(lines)), expected, "{lines}");
    }
}

#[test]
fn lines_may_be_folded_and_components_without_days_stand_between() {
    let text = "\u{feff}BEGIN:VCALENDAR\nBEGIN:VTIMEZONE\nBEGIN:STANDARD\nDTSTART:19701025T030000\n\
                RRULE:FREQ=MONTHLY\nEND:STANDARD\nEND:VTIMEZONE\nBEGIN:VEVENT\nDTSTART;VALUE=DA\n TE:2026\n\t1225\n\
                END:VEVENT\nEND:VCALENDAR\n\n";
    assert_eq!(days(text), ["26-12-25"]);
}

#[track_caller]
fn refused(text: &str, expected: &[&str]) {
    let problems = read(text, "school.ics", &mut Calendar::default());
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.starts_with(expected), "{said}\ninstead of\n{expected}");
    }
}

/// Lines of an event, and what is said about them.
const NOT_UNDERSTOOD: &[(&str, &str)] = &[
    (
        "DTSTART:20261225T090000Z",
        "school.ics:4:1: `DTSTART:20261225T090000Z` is a time, not a day (only events",
    ),
    ("DTSTART;VALUE=DATE:20260231", "school.ics:4:1: `DTSTART;VALUE=DATE:20260231` is not a date"),
    ("SUMMARY:x", "school.ics:3:1: an event without DTSTART has no day"),
    ("DTSTART:20261225\nDTSTART:20261226", "school.ics:5:1: `DTSTART` stands twice in one event"),
    (
        "DTSTART:20261225\nDTEND:20261225",
        "school.ics:5:1: the event ends before it begins (DTEND is the first",
    ),
    ("DTSTART:20261225\nDURATION:PT8H", "school.ics:5:1: `DURATION:PT8H` is not a number of days"),
    (
        "DTSTART:20261225\nRRULE:FREQ=MONTHLY",
        "school.ics:5:1: `RRULE:FREQ=MONTHLY`: `FREQ=MONTHLY` is not understood (understood are FREQ=YEARLY",
    ),
    (
        "DTSTART:20261225\nRRULE:FREQ=DAILY;COUNT=3",
        "school.ics:5:1: `RRULE:FREQ=DAILY;COUNT=3`: `FREQ=DAILY` is not understood",
    ),
    ("DTSTART:20261225\nRRULE:COUNT=3", "school.ics:5:1: `RRULE:COUNT=3`: it has no `FREQ`"),
    (
        "DTSTART:20261225\nRRULE:FREQ=YEARLY;BYSETPOS=1",
        "school.ics:5:1: `RRULE:FREQ=YEARLY;BYSETPOS=1`: `BYSETPOS` is not understood",
    ),
    (
        "DTSTART:20261225\nRRULE:FREQ=YEARLY;BYMONTHDAY=-1",
        "school.ics:5:1: `RRULE:FREQ=YEARLY;BYMONTHDAY=-1`: `BYMONTHDAY=-1` is not understood",
    ),
    (
        "DTSTART:20261225\nRRULE:FREQ=YEARLY;BYMONTHDAY=25",
        "school.ics:5:1: days of each month are not understood: `BYMONTH` is missing",
    ),
    (
        "DTSTART:20261225\nRRULE:FREQ=YEARLY;BYMONTH=12;BYDAY=FR",
        "school.ics:5:1: `BYDAY` of a year needs the number",
    ),
    (
        "DTSTART:20261225\nRRULE:FREQ=YEARLY;BYMONTH=13;BYMONTHDAY=25",
        "school.ics:5:1: day 25 of month 13 is in no year",
    ),
    (
        "DTSTART:20261225\nRRULE:FREQ=WEEKLY;BYDAY=2FR",
        "school.ics:5:1: a number before a day of each week",
    ),
    (
        "DTSTART:20261225\nRRULE:FREQ=WEEKLY;INTERVAL=2;WKST=SU",
        "school.ics:5:1: `RRULE:FREQ=WEEKLY;INTERVAL=2;WKST=SU`: weeks that do not begin on Monday",
    ),
    (
        "DTSTART:20261225\nRRULE:FREQ=WEEKLY;INTERVAL=0",
        "school.ics:5:1: `RRULE:FREQ=WEEKLY;INTERVAL=0`: `INTERVAL=0` is not understood",
    ),
    (
        "DTSTART:20261225\nRRULE:FREQ=YEARLY;UNTIL=20301231T000000Z",
        "school.ics:5:1: `RRULE:FREQ=YEARLY;UNTIL=20301231T000000Z`: `UNTIL=20301231T000000Z` is not a day",
    ),
    (
        "DTSTART:20261225\nRRULE:FREQ=YEARLY;UNTIL=20301231;COUNT=2",
        "school.ics:5:1: `RRULE:FREQ=YEARLY;UNTIL=20301231;COUNT=2`: `UNTIL` beside `COUNT`",
    ),
    (
        "DTSTART:20261225\nRRULE:FREQ=WEEKLY;BYDAY=MO",
        "school.ics:5:1: DTSTART is not one of the days of its RRULE",
    ),
    (
        "DTSTART:20261225\nRECURRENCE-ID;VALUE=DATE:20261224",
        "school.ics:5:1: `RECURRENCE-ID;VALUE=DATE:20261224` is not understood",
    ),
    (
        "DTSTART:20261225\nEXDATE:20261225T000000",
        "school.ics:5:1: `EXDATE:20261225T000000` is a time, not a day",
    ),
    ("DTSTART:20261225\nnonsense", "school.ics:5:1: not a line of an iCalendar file"),
];

#[test]
fn what_is_not_understood_is_told_with_its_line() {
    for (lines, why) in NOT_UNDERSTOOD {
        refused(&with_event(lines), &[why]);
    }
}

#[test]
fn a_file_that_is_no_calendar_or_holds_other_things_is_refused() {
    refused("dates = []\n", &["school.ics:1:1: not a line of an iCalendar file"]);
    refused(
        "BEGIN:VCARD\nEND:VCARD\n",
        &["school.ics:1:1: `BEGIN:VCARD` stands outside of a calendar"],
    );
    refused("BEGIN:VCALENDAR\n", &["school.ics:1:1: `BEGIN:VCALENDAR` has no END"]);
    refused(
        "BEGIN:VCALENDAR\nEND:VEVENT\nEND:VCALENDAR\n",
        &["school.ics:2:1: `END:VEVENT` does not end"],
    );
    refused("BEGIN:VCALENDAR\nEND:VCALENDAR\n", &["school.ics:1:1: the file has no event"]);
    refused(
        "BEGIN:VCALENDAR\nBEGIN:VTODO\nDTSTART:20261225T090000\nEND:VTODO\nEND:VCALENDAR\n",
        &["school.ics:2:1: `BEGIN:VTODO` is not understood (only events"],
    );
}

#[test]
fn all_problems_of_a_file_are_told_at_once() {
    let lines =
        "DTSTART:20261225\nRRULE:FREQ=MONTHLY\nEND:VEVENT\nBEGIN:VEVENT\nDTSTART:20261225T090000";
    refused(
        &with_event(lines),
        &[
            "school.ics:5:1: `RRULE:FREQ=MONTHLY`",
            "school.ics:8:1: `DTSTART:20261225T090000` is a time",
        ],
    );
}
