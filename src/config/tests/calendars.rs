//! Calendars in their folder, and the files that name them.

use std::fs;

use super::*;
use crate::config::keys::CALENDAR_TABLES;
use crate::config::{Environment, Loaded, calendar_schema, diff, load_folder, render_changes};
use crate::domain::calendar::{Calendar, Weekday};

/// Reads a folder with these files; those named `*.ics` and `calendars/…` lie with the calendars.
fn folder(files: &[(&str, &str)]) -> Loaded {
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("calendars")).expect("a folder");
    for (name, text) in files {
        fs::write(dir.path().join(name), text).expect("written");
    }
    load_folder(dir.path(), &Environment::default(), checks())
}

/// What is said about a calendar with this text.
fn said_of(text: &str) -> String {
    shown(&folder(&[("calendars/fr.toml", text)]))
}

fn shown(loaded: &Loaded) -> String {
    let line = |problem: &Problem| {
        let place = problem.to_string();
        let place = place.split_once("/calendars/").map_or(place.as_str(), |(_, rest)| rest);
        format!("{}\n", place.rsplit_once("/shop.toml").map_or(place, |(_, rest)| rest))
    };
    loaded.problems.iter().map(line).collect()
}

const SHOP: &str = "[schedules.sales]\ncron = \"0 * * * *\"\ncommand = [\"true\"]\n";

const FRENCH: &str = r#"
dates = [2026-07-13, "2026-12-24"]
ranges = [{ from = 2026-08-03, to = "2026-08-21" }]
weekly = ["sun", "Saturday"]
yearly = ["12-25", "easter+1", "Third Monday of January"]
"#;

fn calendar(loaded: &Loaded, name: &str) -> Calendar {
    let shop = loaded.accepted.values().next().unwrap_or_else(|| panic!("{}", shown(loaded)));
    shop.interface.calendars[&name.parse().expect("a name")].clone()
}

#[test]
fn a_calendar_that_is_named_stands_in_the_definition() {
    let text = format!("blackout = [\"inventory\"]\n{SHOP}exclude = [\"fr\"]\n");
    let files = [
        ("shop.toml", text.as_str()),
        ("calendars/fr.toml", FRENCH),
        ("calendars/inventory.toml", "dates = [2026-01-02]\n"),
        ("calendars/unused.toml", "weekly = [\"mon\"]\n"),
    ];
    let loaded = folder(&files);
    assert_eq!(shown(&loaded), "");
    let shop = &loaded.accepted.values().next().expect("one").interface;
    let names: Vec<&str> = shop.calendars.keys().map(crate::ids::CalendarId::as_str).collect();
    assert_eq!(names, ["fr", "inventory"]);
    let french = calendar(&loaded, "fr");
    assert_eq!(french.dates.len(), 2);
    assert_eq!(french.ranges.len(), 1);
    assert_eq!(french.weekly, [Weekday::Sat, Weekday::Sun].into());
    let yearly: Vec<String> = french.yearly.iter().map(ToString::to_string).collect();
    assert_eq!(yearly, ["12-25", "easter+1", "third monday of january"]);
}

#[test]
fn a_folder_without_calendars_is_a_folder() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("shop.toml"), SHOP).expect("written");
    let loaded = load_folder(dir.path(), &Environment::default(), checks());
    assert_eq!((shown(&loaded), loaded.accepted.len()), (String::new(), 1));
}

#[test]
fn all_problems_of_a_calendar_are_told_at_once_with_line_column_and_nearest_word() {
    let text = r#"date = [2026-01-01]
dates = ["2026-02-30", "02-28", 2026-01-01T10:00:00]
ranges = [{ from = 2026-08-21, to = 2026-08-03 }, { from = 2026-08-21 }]
weekly = ["sunnday"]
yearly = ["31-12", "first mondy of may", "christmas", "easter+400"]
exclude = []
"#;
    let forms = "write month and day (\"12-25\"), one of a month's weekdays (\"third monday of january\", \
                 \"last friday of may\"), or the distance from Easter (\"easter+1\")";
    let expected = format!(
        r#"
fr.toml:1:1: `date` is not a key of a calendar (did you mean `dates`?)
fr.toml:2:10: `dates[0]`: `2026-02-30` is not a date (write a date that exists, such as 2026-12-25)
fr.toml:2:24: `dates[1]`: `02-28` is not a date (write a date that exists, such as 2026-12-25)
fr.toml:2:33: `dates[2]`: `2026-01-01T10:00:00` is not a date (write a date that exists, such as 2026-12-25)
fr.toml:3:37: `to`: `2026-08-03` is before `from`
fr.toml:3:51: a range needs `to`
fr.toml:4:11: `weekly[0]`: `sunnday` is not a day of the week (did you mean `sunday`?)
fr.toml:5:11: `yearly[0]`: `31-12` is in no year ({forms})
fr.toml:5:20: `yearly[1]`: `mondy` in `first mondy of may` is not a day of the week (did you mean `monday`?)
fr.toml:5:42: `yearly[2]`: `christmas` is not a day of the year ({forms})
fr.toml:5:55: `yearly[3]`: `easter+400` lies more than 200 days from Easter ({forms})
fr.toml:6:1: `exclude` is not a key of a calendar (`exclude` belongs to a schedule: [schedules.<id>])
"#
    );
    assert_eq!(said_of(text), expected.trim_start());
}

#[test]
fn a_calendar_without_a_day_is_a_warning() {
    let said = said_of("");
    assert_eq!(
        said,
        "fr.toml:1:1: the calendar has no day (give `dates`, `ranges`, `weekly`, `yearly` or `ical`)\n"
    );
    assert!(!folder(&[("calendars/fr.toml", "")]).has_errors());
    assert!(said_of("weekly = []\n").contains("`weekly`: is empty"));
}

#[test]
fn a_calendar_that_cannot_be_read_is_told_like_any_other_file() {
    assert!(
        said_of("dates = [\n").starts_with("fr.toml:1:10: not TOML: "),
        "{}",
        said_of("dates = [\n")
    );
    let loaded = folder(&[("calendars/Été.toml", "")]);
    assert!(shown(&loaded).contains("`Été` is not a name"), "{}", shown(&loaded));
    assert!(loaded.has_errors());
}

#[test]
fn a_calendar_that_no_file_is_is_refused_with_the_nearest_one() {
    let text = format!(
        "blackout = [\"inventry\"]\n{SHOP}exclude = [\"fr-holydays\"]\nonly = [\"trading\"]\n"
    );
    let files = [
        ("shop.toml", text.as_str()),
        ("calendars/fr-holidays.toml", FRENCH),
        ("calendars/inventory.toml", FRENCH),
    ];
    let loaded = folder(&files);
    assert_eq!(
        shown(&loaded),
        ":1:13: `blackout[0]`: no file is a calendar `inventry` (did you mean `inventory`?)\n\
         :5:12: `exclude[0]`: no file is a calendar `fr-holydays` (did you mean `fr-holidays`?)\n\
         :6:9: `only[0]`: no file is a calendar `trading` (a calendar is a file: calendars/trading.toml)\n"
    );
    assert!(loaded.refused.contains("shop"));
}

#[test]
fn an_interface_whose_calendar_is_not_accepted_is_refused_and_told_so_once() {
    let text = format!(
        "{SHOP}exclude = [\"fr\"]\n{}exclude = [\"fr\"]\n",
        SHOP.replace("sales", "totals")
    );
    let also = format!("blackout = [\"fr\"]\n{SHOP}");
    let loaded = folder(&[
        ("shop.toml", &text),
        ("also.toml", &also),
        ("bank.toml", SHOP),
        ("calendars/fr.toml", "weekly = [\"sunnday\"]\n"),
    ]);
    let shown = shown(&loaded);
    for said in [
        "fr.toml:1:11: `weekly[0]`: `sunnday` is not a day of the week (did you mean `sunday`?)\n",
        "also.toml:1:13: `blackout[0]`: calendar `fr` is not accepted (mend calendars/fr.toml)\n",
        "\n:4:12: `exclude[0]`: calendar `fr` is not accepted (mend calendars/fr.toml)\n",
    ] {
        assert_eq!(shown.matches(said).count(), 1, "{said}{shown}");
    }
    assert_eq!(shown.lines().count(), 3, "{shown}");
    let accepted: Vec<&str> = loaded.accepted.keys().map(InterfaceId::as_str).collect();
    assert_eq!(accepted, ["bank"]);
}

#[test]
fn calendars_of_a_schedule_without_slots_are_a_warning() {
    let text = "[schedules.a]\nmanual = true\nshell = \"a\"\nexclude = [\"fr\", \"fr\"]\n";
    let loaded = folder(&[("shop.toml", text), ("calendars/fr.toml", FRENCH)]);
    assert_eq!(
        shown(&loaded),
        ":4:11: `exclude` has no effect: a manual schedule has no slots\n\
         :4:18: `exclude[1]`: `fr` stands here already\n"
    );
    assert!(!loaded.has_errors());
}

#[test]
fn a_blackout_that_means_nothing_is_refused() {
    for (entry, why) in [
        (
            "1",
            "`blackout[0]`: expects a calendar's name or a table: blackout = [{ … }], not a whole number",
        ),
        ("\"Été\"", "`blackout[0]`: `Été` is not a name"),
        ("{}", "a blackout of each whole day leaves nothing"),
        ("{ day = [\"sat\"] }", "`day` is not a key of a blackout (did you mean `days`?)"),
        ("{ days = [] }", "`days`: is empty (name a day"),
        (
            "{ days = [\"caturday\"] }",
            "`days[0]`: `caturday` is not a day of the week (did you mean `saturday`?)",
        ),
        (
            "{ from = \"22h\" }",
            "`from`: `22h` is neither a time of day nor a local time (write a time of day such as",
        ),
        ("{ from = \"24:30\" }", "`from`: `24:30` is neither"),
        ("{ from = 22:00:30 }", "`from`: `22:00:30` is neither"),
        ("{ from = \"2026-12-24T18:00Z\" }", "leave the offset out"),
        (
            "{ from = \"08:00\", to = \"08:00\" }",
            "a blackout that ends when it begins has no length",
        ),
        ("{ from = \"2026-12-24T18:00\" }", "a blackout that comes once needs `from` and `to`"),
        ("{ to = \"2026-12-24T18:00\" }", "a blackout that comes once needs `from` and `to`"),
        ("{ from = \"2026-12-24T18:00\", to = \"06:00\" }", "`to`: has another form than `from`"),
        ("{ from = \"18:00\", to = \"2026-12-24T18:00\" }", "`to`: has another form than `from`"),
        (
            "{ from = \"2026-12-24T18:00\", to = \"2026-12-24T18:00\" }",
            "`to`: is not later than `from`",
        ),
        (
            "{ days = [\"sat\"], from = \"2026-12-24T18:00\", to = \"2026-12-25T18:00\" }",
            "`days`: counts only beside times of day",
        ),
    ] {
        let text = format!("blackout = [{entry}]\n");
        assert!(read(&text).0.is_none(), "accepted: {entry}");
        assert!(said(&text).contains(why), "{entry}: {}", said(&text));
    }
    assert!(read("blackout = [{ from = 22:00:00 }]\n").0.is_some(), "a TOML time");
}

#[test]
fn an_icalendar_file_beside_it_adds_its_days() {
    let ics =
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20261225\nEND:VEVENT\nEND:VCALENDAR\n";
    let text = format!("{SHOP}exclude = [\"fr\"]\n");
    let fr = "ical = \"school.ics\"\nweekly = [\"sun\"]\n";
    let read = |ics: &str, fr: &str| {
        folder(&[
            ("shop.toml", &text),
            ("calendars/fr.toml", fr),
            ("calendars/again.toml", "ical = \"school.ics\"\n"),
            ("calendars/school.ics", ics),
        ])
    };
    let loaded = read(ics, fr);
    let calendar = calendar(&loaded, "fr");
    assert_eq!((calendar.dates.len(), calendar.weekly.len()), (1, 1));

    let loaded = read(&ics.replace("VALUE=DATE:20261225", "VALUE=DATE:today"), fr);
    let expected = "school.ics:3:1: `DTSTART;VALUE=DATE:today` is not a date (only events of whole days close a \
                    calendar's days: VALUE=DATE:20261225)\n";
    assert!(shown(&loaded).starts_with(expected), "{}", shown(&loaded));
    assert_eq!(
        shown(&loaded).matches("today").count(),
        1,
        "two calendars read it: {}",
        shown(&loaded)
    );
    assert!(loaded.refused.contains("shop"));

    for (name, why) in [
        (
            "shcool.ics",
            "there is no file `shcool.ics` beside this one (did you mean `school.ics`?)",
        ),
        ("../school.ics", "`../school.ics` is not the name of a file that ends in .ics"),
        ("school.txt", "`school.txt` is not the name of a file that ends in .ics"),
    ] {
        let said = shown(&read(ics, &format!("ical = \"{name}\"\n")));
        assert!(said.contains(&format!("fr.toml:1:8: `ical`: {why}")), "{said}");
    }
}

#[test]
fn a_changed_calendar_is_a_change_of_the_interfaces_that_name_it() {
    let text = format!("{SHOP}exclude = [\"fr\"]\n");
    let with = |fr: &str| {
        let loaded = folder(&[("shop.toml", &text), ("calendars/fr.toml", fr)]);
        loaded.accepted.into_values().next().expect("accepted").interface
    };
    let none = folder(&[("shop.toml", SHOP)]).accepted.into_values().next().expect("one").interface;
    let (old, new) =
        (with("dates = [2026-01-01]\n"), with("dates = [2026-01-01]\nyearly = [\"12-25\"]\n"));
    assert_eq!(
        render_changes(&diff(Some(&old), Some(&new))),
        "+ calendars.fr.yearly = [\"12-25\"]\n"
    );
    assert_eq!(
        render_changes(&diff(Some(&none), Some(&old))),
        "+ calendars.fr = {\"dates\":[\"2026-01-01\"]}\n+ schedules.sales.exclude = [\"fr\"]\n"
    );
}

/// Each example of the tables of keys, which the schema and the reference show, is accepted in its place.
#[test]
fn each_documented_example_of_a_calendar_is_accepted() {
    let ics =
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20261225\nEND:VEVENT\nEND:VCALENDAR\n";
    let schema = calendar_schema();
    for table in CALENDAR_TABLES {
        for key in table.accepted() {
            let line = format!("{} = {}", key.name, key.example);
            let text = match (table.name, key.name) {
                ("a calendar", _) => line,
                (_, "from") => format!("ranges = [{{ {line}, to = 2030-01-01 }}]"),
                _ => format!("ranges = [{{ {line}, from = 2020-01-01 }}]"),
            };
            let loaded = folder(&[("calendars/fr.toml", &text), ("calendars/school.ics", ics)]);
            assert_eq!(shown(&loaded), "", "{text}");
        }
    }
    let keys: Vec<&String> = schema["properties"].as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["dates", "ical", "ranges", "weekly", "yearly"]);
    assert_eq!(
        schema["properties"]["ranges"]["items"]["required"],
        serde_json::json!(["from", "to"])
    );
}
