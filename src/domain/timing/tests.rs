use super::*;

fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

fn paris() -> Zone {
    Zone::load("Europe/Paris").unwrap()
}

fn cron(pattern: &str, zone: &Zone) -> Plan {
    Plan::new(&Timing::Cron(pattern.to_owned()), zone, Dst::default()).unwrap()
}

fn every(period_ms: u64, anchor: Option<&str>) -> Plan {
    let timing = Timing::Every { period_ms, anchor: anchor.map(at) };
    Plan::new(&timing, &paris(), Dst::default()).unwrap()
}

fn once(text: &str, dst: Dst) -> Result<Plan, PlanError> {
    Plan::new(&Timing::At(text.to_owned()), &paris(), dst)
}

/// S3-13.
#[test]
fn a_pattern_every_two_hours_has_twelve_slots_in_a_day() {
    let plan = cron("0 */2 * * *", &Zone::utc());
    let end = at("2026-11-23T00:00:00Z");
    let slots: Vec<Instant> =
        plan.slots_after(at("2026-11-21T23:59:59Z")).take_while(|slot| *slot < end).collect();
    assert_eq!(slots.len(), 12);
    assert_eq!(slots.last(), Some(&at("2026-11-22T22:00:00Z")));
}

#[test]
fn a_slot_is_later_than_after_and_earlier_than_before_to_the_millisecond() {
    let plan = cron("0 * * * *", &Zone::utc());
    let slot = at("2026-11-22T10:00:00Z");
    assert_eq!(plan.next_after(at("2026-11-22T09:59:59.999Z")), Some(slot));
    assert_eq!(plan.next_after(slot), Some(at("2026-11-22T11:00:00Z")));
    assert_eq!(plan.previous_before(at("2026-11-22T10:00:00.001Z")), Some(slot));
    assert_eq!(plan.previous_before(slot), Some(at("2026-11-22T09:00:00Z")));
}

#[test]
fn every_counts_from_1970_and_ignores_daylight_saving() {
    let plan = every(5_400_000, None);
    let slots: Vec<Instant> = plan.slots_after(at("2026-03-29T00:00:00Z")).take(2).collect();
    assert_eq!(slots, [at("2026-03-29T01:30:00Z"), at("2026-03-29T03:00:00Z")]);
    assert_eq!(plan.previous_before(slots[0]), Some(at("2026-03-29T00:00:00Z")));
}

#[test]
fn every_starts_at_its_anchor() {
    let plan = every(90_000, Some("2026-01-01T00:00:10Z"));
    assert_eq!(plan.next_after(at("2025-01-01T00:00:00Z")), Some(at("2026-01-01T00:00:10Z")));
    assert_eq!(plan.next_after(at("2026-01-01T00:00:10Z")), Some(at("2026-01-01T00:01:40Z")));
    assert_eq!(plan.previous_before(at("2026-01-01T00:00:10Z")), None);
    assert_eq!(plan.previous_before(at("2026-01-01T00:01:40Z")), Some(at("2026-01-01T00:00:10Z")));
}

#[test]
fn every_without_length_is_refused() {
    let timing = Timing::Every { period_ms: 0, anchor: None };
    assert_eq!(Plan::new(&timing, &paris(), Dst::default()).unwrap_err(), PlanError::NoPeriod);
}

#[test]
fn at_is_a_local_time_and_comes_once() {
    let plan = once("2026-12-24T18:00", Dst::default()).unwrap();
    let slot = at("2026-12-24T17:00:00Z");
    assert_eq!(plan.next_after(at("2026-01-01T00:00:00Z")), Some(slot));
    assert_eq!(plan.next_after(slot), None);
    assert_eq!(plan.previous_before(at("2027-01-01T00:00:00Z")), Some(slot));
    assert_eq!(plan.previous_before(slot), None);
}

#[test]
fn at_obeys_daylight_saving() {
    let plan = once("2026-03-29T02:30", Dst::default()).unwrap();
    assert_eq!(plan.next_after(at("2026-01-01T00:00:00Z")), Some(at("2026-03-29T01:00:00Z")));
    let both = Dst { gap: None, fold: Some(Fold::Both) };
    let twice: Vec<Instant> =
        once("2026-10-25T02:30", both).unwrap().slots_after(at("2026-01-01T00:00:00Z")).collect();
    assert_eq!(twice, [at("2026-10-25T00:30:00Z"), at("2026-10-25T01:30:00Z")]);
}

#[test]
fn at_a_time_that_never_comes_is_refused() {
    let skip = Dst { gap: Some(Gap::Skip), fold: None };
    assert!(matches!(once("2026-03-29T02:30", skip), Err(PlanError::LeftOut { .. })));
    assert!(matches!(once("2026-12-24T18:00Z", skip), Err(PlanError::At(_))));
}

#[test]
fn manual_and_reboot_have_no_slots() {
    let reboot = Timing::Cron("@Reboot".to_owned());
    for timing in [Timing::Manual, Timing::Reboot, reboot] {
        let plan = Plan::new(&timing, &paris(), Dst::default()).unwrap();
        assert_eq!(plan.next_after(at("2026-01-01T00:00:00Z")), None);
        assert_eq!(plan.previous_before(at("2026-01-01T00:00:00Z")), None);
    }
}

#[test]
fn plans_are_put_in_words() {
    assert_eq!(every(90_000, None).describe(), "Every 1 minute 30 seconds");
    assert_eq!(every(3_600_000, None).describe(), "Every hour");
    assert_eq!(
        every(7_200_000, Some("2026-01-01T00:00:00Z")).describe(),
        "Every 2 hours, counted from 2026-01-01T00:00:00.000Z"
    );
    assert_eq!(every(90_000, None).expression().as_deref(), Some("1m30s"));
    let plan = once("2026-12-24T18:00", Dst::default()).unwrap();
    assert_eq!(plan.describe(), "Once, at 18:00:00 on 2026-12-24");
    assert_eq!(cron(" 0 2 * * * ", &paris()).expression().as_deref(), Some("0 2 * * *"));
}

fn notes(pattern: &str) -> Vec<String> {
    cron(pattern, &paris())
        .dst_notes(at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"))
        .into_iter()
        .map(|note| note.text)
        .collect()
}

#[test]
fn the_dates_that_daylight_saving_touches_are_told() {
    assert_eq!(
        notes("30 2 * * *"),
        [
            "02:30:00 on 2026-03-29 does not exist: it runs at 2026-03-29T03:00:00+02:00",
            "02:30:00 on 2026-10-25 comes twice: it runs the first time only"
        ]
    );
    assert_eq!(
        notes("*/20 2 * * *"),
        [
            "02:00:00 on 2026-03-29 does not exist: it does not run",
            "02:00:00 on 2026-10-25 comes twice: it runs both times"
        ]
    );
}

#[test]
fn patterns_that_daylight_saving_does_not_touch_have_no_notes() {
    for pattern in ["30 4 * * *", "*/5 * * * *", "30 2 * * MON"] {
        assert_eq!(notes(pattern), Vec::<String>::new(), "{pattern}");
    }
}

#[test]
fn equal_timings_share_one_plan_until_nobody_uses_it() {
    let kept = |cache: &PlanCache| -> usize {
        cache.civil.values().flat_map(BTreeMap::values).map(HashMap::len).sum()
    };
    let mut cache = PlanCache::default();
    let timing = Timing::Cron("0 2 * * *".to_owned());
    let own = Dst::default();
    let skip = Dst { gap: Some(Gap::Skip), fold: None };
    let plans = [
        cache.plan(&timing, &paris(), own).unwrap(),
        cache.plan(&timing, &paris(), own).unwrap(),
        cache.plan(&timing, &paris(), skip).unwrap(),
        cache.plan(&timing, &Zone::utc(), own).unwrap(),
    ];
    assert_eq!(kept(&cache), 3);
    let slot = |plan: &Plan| plan.next_after(at("2026-03-28T12:00:00Z"));
    assert_eq!(slot(&plans[0]), Some(at("2026-03-29T01:00:00Z")));
    assert_eq!(slot(&plans[2]), Some(at("2026-03-30T00:00:00Z")));
    drop(plans);
    cache.forget_unused();
    assert_eq!(kept(&cache), 0);
}
