use super::*;

fn read(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|err| panic!("`{text}` should be read: {err}"))
}

fn refusal(text: &str) -> String {
    match Pattern::parse(text) {
        Ok(_) => panic!("`{text}` should be refused"),
        Err(err) => err.to_string(),
    }
}

fn next(text: &str, from: &str) -> String {
    let from = Local::parse(from).unwrap();
    read(text).at_or_after(from).map_or_else(|| "never".to_owned(), |found| found.to_string())
}

#[track_caller]
fn warns(text: &str, part: &str) {
    let warnings = warnings(text).expect("a pattern");
    assert!(
        warnings.iter().any(|warning| warning.contains(part)),
        "`{text}` should warn of `{part}`: {:?}",
        warnings
    );
}

#[test]
fn five_six_and_seven_fields_are_read() {
    assert_eq!(next("30 4 * * *", "2026-01-01T00:00"), "2026-01-01T04:30:00");
    assert_eq!(next("15 30 4 * * *", "2026-01-01T00:00"), "2026-01-01T04:30:15");
    assert_eq!(next("0 30 4 1 1 * 2030", "2026-01-01T00:00"), "2030-01-01T04:30:00");
    assert_eq!(next("  30   4 * *\t* ", "2026-01-01T00:00"), "2026-01-01T04:30:00");
}

#[test]
fn nicknames_are_patterns() {
    assert_eq!(next("@midnight", "2026-01-01T00:01"), "2026-01-02T00:00:00");
    assert_eq!(next("@Hourly", "2026-01-01T00:01"), "2026-01-01T01:00:00");
    assert_eq!(next("@weekly", "2026-01-01T00:01"), "2026-01-04T00:00:00");
    assert_eq!(next("@annually", "2026-01-01T00:01"), "2027-01-01T00:00:00");
}

#[test]
fn day_of_month_or_weekday_is_enough_unless_plus_asks_for_both() {
    // 2026-11-23 is a Monday, 2027-02-01 the next Monday that is a first.
    assert_eq!(next("0 0 1 * MON", "2026-11-22T00:00"), "2026-11-23T00:00:00");
    assert_eq!(next("0 0 1 * +MON", "2026-11-22T00:00"), "2027-02-01T00:00:00");
}

#[test]
fn last_days_and_workdays_are_found() {
    assert_eq!(next("0 0 L * *", "2026-02-01T00:00"), "2026-02-28T00:00:00");
    // 2026-05-31 is a Sunday.
    assert_eq!(next("0 0 LW * *", "2026-05-01T00:00"), "2026-05-29T00:00:00");
    // 2026-08-15 is a Saturday.
    assert_eq!(next("0 0 15W * *", "2026-08-01T00:00"), "2026-08-14T00:00:00");
    assert_eq!(next("0 0 * * 5#3", "2026-11-01T00:00"), "2026-11-20T00:00:00");
    assert_eq!(next("0 0 * * FRIL", "2026-11-01T00:00"), "2026-11-27T00:00:00");
}

#[test]
fn sunday_is_0_and_7_and_may_end_a_range() {
    for text in ["0 0 * * 0", "0 0 * * 7", "0 0 * * sun"] {
        assert_eq!(next(text, "2026-11-23T00:00"), "2026-11-29T00:00:00", "{text}");
    }
    assert_eq!(next("0 0 * * SAT-SUN", "2026-11-29T00:00"), "2026-11-29T00:00:00");
}

#[test]
fn a_leap_day_is_found_years_ahead_and_back() {
    let leap = read("0 0 29 2 *");
    assert_eq!(next("0 0 29 2 *", "2096-03-01T00:00"), "2104-02-29T00:00:00");
    let before = leap.at_or_before(Local::parse("2026-01-01T00:00").unwrap());
    assert_eq!(before, Some(Local::parse("2024-02-29T00:00").unwrap()));
}

#[test]
fn a_pattern_that_no_date_fits_is_refused() {
    for text in [
        "0 0 31 2 *",
        "0 0 30 feb *",
        "0 0 31 4,6,9,11 *",
        "0 0 29 2 +MON#1",
        "0 0 8 * +MON#1",
        "0 0 0 29 2 * 2027",
        "0 0 30W 2 *",
    ] {
        assert!(refusal(text).contains("never matches"), "{text}: {}", refusal(text));
    }
    assert_eq!(
        refusal("0 0 31 2 *"),
        "the cron pattern `0 0 31 2 *` never matches: no month selected by `2` has day `31`"
    );
}

#[test]
fn a_pattern_that_fits_rarely_is_accepted() {
    for text in ["0 0 29 2 *", "0 0 29 2 +MON", "0 0 31 2 MON", "0 0 L 2 *", "0 0 0 29 2 * 2028"] {
        read(text);
    }
}

#[test]
fn a_refusal_names_the_field_the_value_and_what_was_expected() {
    assert_eq!(refusal("61 * * * *"), "the minute field has `61`: expected 0 to 59");
    assert_eq!(
        refusal("0 22-2 * * *"),
        "the hour field has `22-2`: the range goes backwards (hint: write `22-23,0-2`)"
    );
    assert_eq!(
        refusal("0/15 * * * *"),
        "the minute field has `0/15`: a step needs `*` or a range in front (hint: write `0-59/15`)"
    );
    assert_eq!(
        refusal("*/0 * * * *"),
        "the minute field has `*/0`: a step of 0 goes nowhere: expected 1 or more"
    );
    assert!(refusal("0 0 * * MONDAY").ends_with("(hint: write `MON`; names have three letters)"));
    assert!(
        refusal("0 0 * * 5#6")
            .contains("day-of-week field has `5#6`: expected a number from 1 to 5")
    );
    assert!(refusal("0 0 L-3 * *").contains("day-of-month field has `L-3`"));
    assert!(refusal("0 0 * * L").contains("`6L` is the month's last Saturday"));
    assert!(refusal("0 0 , * *").contains("day-of-month field has `,`"));
}

#[test]
fn malformed_patterns_are_refused() {
    for text in [
        "",
        "   ",
        "* * * *",
        "* * * * * * * *",
        "@fortnightly",
        "@reboot",
        "H * * * *",
        "0~30 * * * *",
        "a b c d e",
        "1- * * * *",
        "-1 * * * *",
        "1--3 * * * *",
        "*/x * * * *",
        "1/2/3 * * * *",
        "? * * * *",
        "0 0 1-15W * *",
        "0 0 W * *",
        "0 0 * 13 *",
        "0 0 * * 8",
        "0 0 0 * *",
        "0 24 * * *",
        "0 0 * * +",
        "+0 0 * * *",
        "0 0 * * * * 1969",
        "* * * * é",
        "0 0 * * 1-5L",
        "99999999 * * * *",
    ] {
        assert!(Pattern::parse(text).is_err(), "`{text}` should be refused");
    }
}

#[test]
fn a_refusal_says_where_in_the_pattern_it_is() {
    let text = "0 9,25 * * *";
    let span = Pattern::parse(text).unwrap_err().span().unwrap();
    assert_eq!(text.get(span), Some("25"));
}

#[test]
fn a_mistyped_nickname_and_a_missing_field_say_what_exists() {
    assert!(refusal("@dayly").ends_with("(hint: did you mean `@daily`?)"), "{}", refusal("@dayly"));
    assert!(refusal("* * *").contains("has 3 fields: expected 5"));
}

#[test]
fn misleading_patterns_warn() {
    warns(
        "*/7 * * * *",
        "`*/7` in the minute field is not every 7 minutes: 7 does not divide 60, so each hour it starts again 4 minutes after 56",
    );
    warns("*/90 * * * *", "longer than its range, so it selects only 0");
    warns("10-20/15 * * * *", "longer than its range, so it selects only 10");
    warns("0 */5 * * *", "not every 5 hours");
    warns("1,2, * * * *", "empty entry");
    warns("30 4 1,15 * 5", "write `+5` to need both");
    warns("0 0 */2 * MON", "`*/2` restricts the day, other crons differ");
    warns("0 0 */2 * *", "starts again at 1 after 31");
    warns("* 2 * * *", "runs 60 times");
    warns("*/5 * * * * *", "every 5 seconds; with six fields the first is seconds");
    warns("0 0 31 * *", "day 31 does not come in February, April, June, September and November");
    warns("0 0 29 2 *", "leap years only");
    warns("0 0 0 1 1 * */2", "counts from year 1");
    warns("0 0 1 * +*", "`+` has no effect");
}

#[test]
fn plain_patterns_do_not_warn() {
    for text in [
        "*/5 * * * *",
        "0 */2 * * *",
        "0 9 * * 1-5",
        "@daily",
        "0 0 1 * *",
        "*/10 * * * * *",
        "0 0 L * *",
        "* 9-17 * * *",
        "0 0 30 4 *",
        "* * * * *",
        "0 0 1 * +MON",
    ] {
        assert_eq!(warnings(text), Ok(Vec::<String>::new()), "{text}");
    }
}

#[test]
fn patterns_are_put_in_words() {
    for (text, words) in [
        ("30 2 * * *", "At 02:30"),
        ("15,45 2 * * *", "At 02:15 and 02:45"),
        ("5 30 2 * * *", "At 02:30:05"),
        ("* * * * *", "Every minute"),
        ("*/15 * * * *", "Every 15 minutes"),
        ("* * * * * *", "Every second"),
        ("*/10 * * * * *", "Every 10 seconds"),
        ("0 * * * *", "Every hour"),
        ("0 */2 * * *", "Every 2 hours"),
        ("5 */2 * * *", "Every 2 hours at minute 5"),
        ("10 * * * *", "Every hour at minute 10"),
        ("5-15/5 * * * *", "At minutes 5, 10 and 15, of every hour"),
        ("*/20 2 * * *", "At 02:00, 02:20 and 02:40"),
        ("*/5 9-17 * * MON-FRI", "Every 5 minutes, in hours 9 to 17, on Monday to Friday"),
        ("0 0 LW * *", "At 00:00, on the last weekday (Monday to Friday) of the month"),
        ("0 0 L 1,7 *", "At 00:00, on the last day of the month, in January and July"),
        ("0 9 * * 5#3", "At 09:00, on the third Friday of the month"),
        ("0 9 * * 5-7", "At 09:00, on Friday to Sunday"),
        ("30 4 1,15 * 5", "At 04:30, on days 1 and 15 of the month or on Friday"),
        ("0 0 1 * +MON", "At 00:00, on day 1 of the month if that is also Monday"),
        ("0 0 12 1 1 * 2030", "At 12:00, on day 1 of the month, in January, in 2030"),
    ] {
        assert_eq!(describe(text).as_deref(), Ok(words), "{text}");
    }
}

#[test]
fn a_star_in_front_of_second_minute_or_hour_makes_a_wildcard() {
    for (text, wild) in [
        ("30 2 * * *", false),
        ("0-59 2 * * *", false),
        ("*/20 2 * * *", true),
        ("0 * * * *", true),
        ("* 0 2 * * *", true),
        ("@hourly", true),
        ("@daily", false),
    ] {
        assert_eq!(read(text).is_wild(), wild, "{text}");
    }
}

/// The whole pattern as croner searches it: what the bits and the shared dates must agree with.
fn by_croner(text: &str) -> croner::Cron {
    use croner::parser::{CronParser, Seconds, Year};
    let fields = Fields::read(text).expect("a pattern");
    let time = [&fields.second, &fields.minute, &fields.hour].map(Field::canonical).join(" ");
    let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Required).build();
    parser.parse(&format!("{time} {}", fields.canonical_dates())).expect("croner reads it")
}

#[test]
fn the_search_agrees_with_croners_in_both_directions() {
    for text in [
        "* * * * * *",
        "*/7 3-50/9 2,5,23 * * *",
        "0 0 0 * * *",
        "59 59 23 L * *",
        "30 0 */6 1,15 * MON",
        "0,59 0,59 0,23 * 2 +FRI",
        "15 30 4 29 2 *",
        "5 4 3 LW * * 2027",
    ] {
        let (ours, whole) = (read(text), by_croner(text));
        let mut from = Local::parse("2026-02-27T22:58:30").expect("a reading").secs();
        for round in 0..400_i64 {
            let reading = Local::from_secs(from);
            let after = whole.find_next_occurrence(&reading.naive(), true).ok().map(Local::from);
            let before = whole.find_previous_occurrence(&reading.naive(), true).ok();
            assert_eq!(ours.at_or_after(reading), after, "`{text}` from {reading}");
            assert_eq!(
                ours.at_or_before(reading),
                before.map(Local::from),
                "`{text}` to {reading}"
            );
            // Steps of many lengths, some of them right behind a match.
            let next = after.filter(|_| round % 2 == 0).map_or(from, Local::secs);
            from = next + 1 + round * round * 97 % 90_001;
        }
    }
}
