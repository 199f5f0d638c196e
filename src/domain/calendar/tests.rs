use super::*;

fn date(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

fn yearly(text: &str) -> Yearly {
    text.parse().unwrap_or_else(|err| panic!("{err}"))
}

/// The dates of a year on which it falls.
fn in_year(year: i32, falls: impl Fn(NaiveDate) -> bool) -> Vec<String> {
    let first = NaiveDate::from_ymd_opt(year, 1, 1).expect("a date");
    let days = first.iter_days().take_while(|day| day.year() == year);
    days.filter(|day| falls(*day)).map(|day| day.to_string()).collect()
}

/// Source: the tables of the Astronomical Society of South Australia and of Meeus, the earliest and latest dates among them.
#[test]
fn easter_is_where_the_tables_of_the_churches_have_it() {
    for (year, expected) in [
        (1818, "1818-03-22"),
        (1943, "1943-04-25"),
        (1954, "1954-04-18"),
        (1961, "1961-04-02"),
        (1981, "1981-04-19"),
        (2000, "2000-04-23"),
        (2008, "2008-03-23"),
        (2019, "2019-04-21"),
        (2024, "2024-03-31"),
        (2025, "2025-04-20"),
        (2026, "2026-04-05"),
        (2027, "2027-03-28"),
        (2038, "2038-04-25"),
        (2049, "2049-04-18"),
        (2076, "2076-04-19"),
        (2285, "2285-03-22"),
    ] {
        assert_eq!(easter(year), Some(date(expected)), "{year}");
    }
}

#[test]
fn a_day_of_the_year_falls_where_it_says() {
    for (text, year, expected) in [
        ("12-25", 2026, "2026-12-25"),
        ("02-29", 2028, "2028-02-29"),
        ("third monday of january", 2026, "2026-01-19"),
        ("3rd mon of Jan", 2027, "2027-01-18"),
        ("first sunday of march", 2026, "2026-03-01"),
        ("last monday of may", 2026, "2026-05-25"),
        ("last friday of february", 2028, "2028-02-25"),
        ("last thursday of december", 2026, "2026-12-31"),
        ("fifth friday of january", 2027, "2027-01-29"),
        ("easter", 2026, "2026-04-05"),
        ("easter+1", 2026, "2026-04-06"),
        ("easter+39", 2026, "2026-05-14"),
        ("easter - 2", 2027, "2027-03-26"),
    ] {
        assert_eq!(in_year(year, |day| yearly(text).falls_on(day)), [expected], "{text}");
    }
    let none: [String; 0] = [];
    assert_eq!(in_year(2026, |day| yearly("02-29").falls_on(day)), none);
    assert_eq!(in_year(2026, |day| yearly("fifth monday of january").falls_on(day)), none);
    // Of the next year's Easter, 2028-04-16.
    assert_eq!(in_year(2027, |day| yearly("easter-110").falls_on(day)), ["2027-12-28"]);
}

#[test]
fn a_day_of_the_year_is_written_as_it_is_read() {
    for (text, written) in [
        ("12-25", "12-25"),
        ("3RD Mon of JAN", "third monday of january"),
        ("last sunday of december", "last sunday of december"),
        ("Easter", "easter"),
        ("easter + 50", "easter+50"),
        ("easter-2", "easter-2"),
    ] {
        assert_eq!(yearly(text).to_string(), written);
        assert_eq!(yearly(written), yearly(text));
    }
}

#[test]
fn a_text_that_names_no_day_of_the_year_is_refused() {
    for (text, why) in [
        ("25-12", "`25-12` is in no year"),
        ("02-30", "`02-30` is in no year"),
        ("00-10", "`00-10` is in no year"),
        ("4-1", "`4-1` is not a day of the year"),
        ("christmas", "`christmas` is not a day of the year"),
        ("easter+", "`easter+` is not a day of the year"),
        ("easter1", "`easter1` is not a day of the year"),
        ("easter+201", "`easter+201` lies more than 200 days from Easter"),
        (
            "sixth monday of may",
            "`sixth` in `sixth monday of may` is not `first` to `fifth` or `last`",
        ),
        ("first moonday of may", "`moonday` in `first moonday of may` is not a day of the week"),
        ("first monday of mai", "`mai` in `first monday of mai` is not a month"),
    ] {
        let refused = text.parse::<Yearly>().map(|day| day.to_string());
        assert_eq!(refused.map_err(|err| err.to_string()), Err(why.to_owned()));
    }
}

#[test]
fn a_calendar_is_all_that_its_file_names() {
    let calendar = Calendar {
        dates: [date("2026-07-14")].into(),
        ranges: vec![Range { from: date("2026-08-01"), to: date("2026-08-02") }],
        weekly: [Weekday::Sun].into(),
        yearly: vec![yearly("12-25")],
        repeats: Vec::new(),
    };
    for (day, closed) in [
        ("2026-07-14", true),
        ("2027-07-14", false),
        ("2026-07-31", false),
        ("2026-08-01", true),
        ("2026-08-02", true),
        ("2026-08-03", false),
        ("2026-07-19", true),
        ("2026-07-20", false),
        ("2031-12-25", true),
    ] {
        assert_eq!(calendar.contains(date(day)), closed, "{day}");
    }
    assert!(!calendar.is_empty() && Calendar::default().is_empty());
}

#[test]
fn a_calendar_in_the_log_is_read_as_it_was_written() {
    let calendar = Calendar {
        dates: [date("2026-07-14")].into(),
        ranges: vec![Range { from: date("2026-08-01"), to: date("2026-08-02") }],
        weekly: [Weekday::Sat, Weekday::Sun].into(),
        yearly: vec![yearly("12-25"), yearly("easter+1")],
        repeats: vec![every_other_week()],
    };
    let text = serde_json::to_string(&calendar).expect("JSON");
    assert_eq!(serde_json::from_str::<Calendar>(&text).expect("read"), calendar, "{text}");
    let short = r#"{"weekly":["sun"],"yearly":["easter+1"]}"#;
    let read: Calendar = serde_json::from_str(short).expect("keys have defaults");
    assert_eq!(serde_json::to_string(&read).expect("JSON"), short);
}

fn every_other_week() -> Repeat {
    Repeat {
        from: date("2026-01-01"),
        until: Some(date("2026-02-28")),
        every: 2,
        on: Again::Weekly([Weekday::Mon, Weekday::Thu].into()),
        days: 1,
        except: [date("2026-01-12")].into(),
    }
}

#[test]
fn an_event_that_comes_again_counts_its_weeks_from_monday() {
    let repeat = every_other_week();
    let expected =
        ["2026-01-01", "2026-01-15", "2026-01-26", "2026-01-29", "2026-02-09", "2026-02-12"];
    let found = in_year(2026, |day| repeat.contains(day));
    assert_eq!(found[..6], expected);
    assert_eq!(found[6..], ["2026-02-23", "2026-02-26"], "and none later than `until`");
}

#[test]
fn an_event_that_comes_again_each_year_may_take_several_days() {
    let repeat = Repeat {
        from: date("2024-12-31"),
        until: None,
        every: 2,
        on: Again::Yearly(vec![yearly("12-31")]),
        days: 2,
        except: BTreeSet::new(),
    };
    assert_eq!(in_year(2026, |day| repeat.contains(day)), ["2026-12-31"]);
    assert_eq!(in_year(2027, |day| repeat.contains(day)), ["2027-01-01"]);
    assert!(!repeat.contains(date("2023-12-31")));
}
