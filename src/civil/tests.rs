use super::*;

fn zone(name: &str) -> Zone {
    Zone::load(name).unwrap()
}

fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

fn local(text: &str) -> Local {
    Local::parse(text).unwrap()
}

#[test]
fn an_instant_is_shown_with_the_offset_of_its_season() {
    let paris = zone("Europe/Paris");
    assert_eq!(paris.show(at("2026-10-25T00:30:00Z")), "2026-10-25T02:30:00+02:00");
    assert_eq!(paris.show(at("2026-10-25T01:30:00Z")), "2026-10-25T02:30:00+01:00");
    assert_eq!(Zone::utc().show(at("2026-10-25T01:30:00.250Z")), "2026-10-25T01:30:00.250+00:00");
}

#[test]
fn a_reading_in_the_spring_gap_never_comes_and_names_the_shift() {
    let Resolved::Never(shift) = zone("Europe/Paris").resolve(local("2026-03-29T02:30")) else {
        panic!("the reading should not exist");
    };
    assert_eq!(Instant::from_secs(shift.at), at("2026-03-29T01:00:00Z"));
    assert_eq!(shift.gap(), Some((local("2026-03-29T02:00"), local("2026-03-29T03:00"))));
    assert_eq!(shift.size(), Duration::from_secs(3600));
}

#[test]
fn the_ends_of_a_gap_are_before_and_after_it() {
    let paris = zone("Europe/Paris");
    assert_eq!(
        paris.resolve(local("2026-03-29T01:59:59")),
        Resolved::Once(at("2026-03-29T00:59:59Z"))
    );
    assert_eq!(
        paris.resolve(local("2026-03-29T03:00")),
        Resolved::Once(at("2026-03-29T01:00:00Z"))
    );
}

#[test]
fn a_reading_in_the_autumn_fold_comes_twice() {
    assert_eq!(
        zone("Australia/Lord_Howe").resolve(local("2026-04-05T01:45")),
        Resolved::Twice(at("2026-04-04T14:45:00Z"), at("2026-04-04T15:15:00Z"))
    );
}

#[test]
fn a_day_without_midnight_begins_after_the_gap() {
    let havana = zone("America/Havana");
    let date = NaiveDate::from_ymd_opt(2026, 3, 8).unwrap();
    assert_eq!(havana.first_instant_of_day(date), Some(at("2026-03-08T05:00:00Z")));
}

#[test]
fn a_midnight_that_comes_twice_begins_the_day_once() {
    let havana = zone("America/Havana");
    let date = NaiveDate::from_ymd_opt(2026, 11, 1).unwrap();
    assert_eq!(havana.first_instant_of_day(date), Some(at("2026-11-01T04:00:00Z")));
    assert_eq!(havana.next_midnight(at("2026-11-01T04:30:00Z")), at("2026-11-02T05:00:00Z"));
}

#[test]
fn a_date_that_a_zone_left_out_has_no_first_instant() {
    let apia = zone("Pacific/Apia");
    let date = NaiveDate::from_ymd_opt(2011, 12, 30).unwrap();
    assert_eq!(apia.first_instant_of_day(date), None);
    assert_eq!(apia.next_midnight(at("2011-12-29T12:00:00Z")), at("2011-12-30T10:00:00Z"));
    assert_eq!(apia.local_date(at("2011-12-30T10:00:00Z")), "2011-12-31");
}

#[test]
fn a_mistyped_zone_gets_the_nearest_names() {
    let refused = Zone::load("Europe/Pariss").unwrap_err();
    assert_eq!(refused.nearest.first().map(String::as_str), Some("Europe/Paris"));
    let refused = Zone::load("paris").unwrap_err();
    assert_eq!(refused.to_string(), "`paris` is not a time zone: did you mean `Europe/Paris`?");
}

#[test]
fn an_offset_or_the_machines_own_zone_is_no_zone() {
    for name in ["+02:00", "localtime", "", "Etc/Unknown", "../passwd"] {
        assert!(Zone::load(name).is_err(), "{name} should be refused");
    }
}

#[test]
fn a_zone_has_its_official_spelling_and_utc_has_no_shifts() {
    assert_eq!(zone("europe/paris").name(), "Europe/Paris");
    assert_eq!(zone("UTC"), Zone::utc());
    assert_eq!(zone("UTC").span(0), Span { offset: 0, begins: None, ends: None });
}

#[test]
fn the_zone_data_in_use_has_a_version() {
    let in_use = zone_data();
    assert!(in_use.version.starts_with("20"), "{in_use:?}");
}

#[test]
fn a_local_time_is_read_without_a_zone() {
    assert_eq!(local("2026-12-24T18:00").to_string(), "2026-12-24T18:00:00");
    assert_eq!(local("2026-12-24 18:00:05").secs(), 1_798_135_205);
}

#[test]
fn a_local_time_with_an_offset_is_refused() {
    for text in ["2026-12-24T18:00Z", "2026-12-24T18:00:00+01:00"] {
        assert!(matches!(Local::parse(text), Err(LocalError::Offset { .. })), "{text}");
    }
    assert!(matches!(Local::parse("24.12.2026"), Err(LocalError::Malformed { .. })));
}
