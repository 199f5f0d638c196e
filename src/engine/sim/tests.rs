//! Seeds, a year in each zone, and the simulation's own honesty.

use std::collections::BTreeMap;
use std::ops::Range;

use super::ledger::Ledger;
use super::nominal::Walk;
use super::shrink::shrink;
use super::story::{File, Spec, Step, Story, When};
use super::world::{Told, tell};
use super::{Checked, generate};
use crate::civil::Zone;
use crate::domain::event::{Envelope, Event};
use crate::ids::ScheduleRef;
use crate::instant::Instant;

const DAY: u64 = 86_400;

/// Tells a story; a panic anywhere in it is what is wrong with it.
fn told(story: &Story) -> Checked<Told> {
    let told = std::panic::catch_unwind(|| tell(story));
    told.unwrap_or_else(|panic| Err(format!("panicked: {}", crate::task::words(&*panic))))
}

/// Tells the stories of `seeds`. The first that fails is shrunk and shown.
fn tell_all(seeds: Range<u64>) -> String {
    let mut all = Told::default();
    for seed in seeds.clone() {
        let story = generate::story(seed);
        match told(&story) {
            Ok(told) => {
                all.events += told.events;
                all.decided += told.decided;
                all.starts += told.starts;
                all.taken_over += told.taken_over;
                all.let_go += told.let_go;
                all.interrupted += told.interrupted;
            }
            Err(why) => {
                let small = shrink(story, |story| told(story).is_err());
                let why = told(&small).err().unwrap_or(why);
                panic!(
                    "seed {seed}: {why}\n\n{small}\nagain: SIM_FROM={seed} SIM_SEEDS=1 just sim"
                );
            }
        }
    }
    let count = seeds.end - seeds.start;
    let Told { events, decided, starts, taken_over, let_go, interrupted, .. } = all;
    let lives = [taken_over, let_go, interrupted];
    assert!(count < 100 || lives.iter().all(|count| *count > 0), "nothing outlives: {lives:?}");
    format!(
        "{count} seeds: {decided} slots decided, {events} events, {starts} starts of the daemon, {taken_over} attempts taken over, {let_go} let go of, {interrupted} interrupted"
    )
}

/// A fixed set unless the variables say otherwise; `just sim` asks for more.
#[test]
#[expect(clippy::disallowed_methods, reason = "whoever asks for more says so by a variable")]
fn stories_from_seeds_end_as_the_contract_says() {
    let number = |name: &str, otherwise: u64| {
        std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
    };
    let (from, count) = (number("SIM_FROM", 0), number("SIM_SEEDS", 300));
    println!("from {from}, {}", tell_all(from..from + count));
}

#[test]
fn a_seed_always_writes_the_same_log() {
    for seed in 0..30 {
        let story = generate::story(seed);
        let (once, again) = (tell(&story).unwrap(), tell(&story).unwrap());
        assert_eq!(once.hash, again.hash, "seed {seed}");
    }
}

fn schedule(when: When, zone: &'static str) -> Spec {
    Spec {
        when,
        zone,
        gap: None,
        fold: None,
        enabled: true,
        overlap: "skip",
        mode: "last",
        window_s: DAY,
        max: 24,
        rate_per_hour: None,
        lock: None,
        splay_s: 0,
        on_interrupt: "ko",
        priority: 0,
    }
}

fn cron(pattern: &str, zone: &'static str) -> Spec {
    schedule(When::Cron(pattern.to_owned()), zone)
}

/// A story of these schedules of one interface, whose jobs all end well at once.
fn quiet_story(start: &str, specs: Vec<Spec>, steps: Vec<Step>) -> Story {
    let mut file = File::default();
    for (number, spec) in specs.into_iter().enumerate() {
        let id: ScheduleRef = format!("shop/s{number}").parse().expect("a name");
        file.schedules.insert(id, spec);
    }
    let files = BTreeMap::from([("shop".parse().expect("a name"), file)]);
    let start = Instant::parse(start).expect("an instant");
    Story { seed: 0, start, files, steps, real_jobs: false }
}

/// A year of schedules of all sorts, slot by slot. Gives how many slots there were.
fn a_year_in(zone: &'static str, year: i32) -> u64 {
    let mut specs: Vec<Spec> = [
        "30 2 * * *",
        "0 * * * *",
        "*/30 0-5 * * *",
        "0 0 * * *",
        "0 1 * * 0",
        "15 0 L * *",
        "15,45 0-3 * * *",
        "*/20 2 * * *",
        "0,30 30 1 * * *",
        "10 12 1,15 * 5",
    ]
    .iter()
    .map(|pattern| cron(pattern, zone))
    .collect();
    for (gap, fold) in [("skip", "last"), ("shift", "both")] {
        let dst = |spec: Spec| Spec { gap: Some(gap), fold: Some(fold), ..spec };
        specs.extend([dst(cron("30 2 * * *", zone)), dst(cron("*/30 1-2 * * *", zone))]);
    }
    specs.push(schedule(When::Every { period_s: 5_400, anchor: None }, zone));
    let start = format!("{year}-01-01T00:00:00Z");
    let steps = (0..73).map(|_| Step::Pass { secs: 5 * DAY }).collect();
    tell(&quiet_story(&start, specs, steps)).expect("as the contract says").decided
}

#[test]
fn a_year_in_europe_paris() {
    assert!(a_year_in("Europe/Paris", 2026) > 25_000);
}

#[test]
fn a_year_in_america_new_york() {
    assert!(a_year_in("America/New_York", 2026) > 25_000);
}

#[test]
fn a_year_in_australia_lord_howe() {
    assert!(a_year_in("Australia/Lord_Howe", 2026) > 25_000);
}

#[test]
fn a_year_in_africa_cairo() {
    assert!(a_year_in("Africa/Cairo", 2025) > 25_000);
}

#[test]
fn the_year_without_a_day_in_pacific_apia() {
    assert!(a_year_in("Pacific/Apia", 2011) > 25_000);
}

/// What the second reading of the contract says, where everybody knows the answer.
#[test]
fn the_walk_knows_the_days_on_which_clocks_change() {
    let shown = |spec: &Spec, from: &str, hours: i64| -> Vec<String> {
        let from = Instant::parse(from).expect("an instant");
        let until = Instant::from_millis(from.millis() + hours * 3_600_000);
        let zone = Zone::load(spec.zone).expect("a zone");
        let due = Walk::new(spec, from).due(until);
        due.into_iter().map(|slot| zone.show(Instant::from_millis(slot))).collect()
    };
    let paris = |pattern: &str| cron(pattern, "Europe/Paris");
    let (spring, autumn) = ("2026-03-28T23:30:00Z", "2026-10-24T22:30:00Z");
    assert_eq!(shown(&paris("30 2 * * *"), spring, 6), ["2026-03-29T03:00:00+02:00"]);
    assert_eq!(shown(&paris("15,45 2 * * *"), spring, 6), ["2026-03-29T03:00:00+02:00"]);
    assert_eq!(shown(&paris("*/30 2 * * *"), spring, 6), Vec::<String>::new());
    assert_eq!(shown(&paris("30 2 * * *"), autumn, 6), ["2026-10-25T02:30:00+02:00"]);
    let last = Spec { fold: Some("last"), ..paris("30 2 * * *") };
    assert_eq!(shown(&last, autumn, 6), ["2026-10-25T02:30:00+01:00"]);
    assert_eq!(shown(&paris("*/30 2 * * *"), autumn, 6).len(), 4);
    let apia = cron("0 12 * * *", "Pacific/Apia");
    assert_eq!(
        shown(&apia, "2011-12-29T12:00:00Z", 48),
        ["2011-12-29T12:00:00-10:00", "2011-12-31T12:00:00+14:00"]
    );
    let day = Instant::parse("2026-01-01T00:10:00Z").ok();
    let every = schedule(When::Every { period_s: 5_400, anchor: day }, "UTC");
    let expected = ["2026-01-01T00:10:00+00:00", "2026-01-01T01:40:00+00:00"];
    assert_eq!(shown(&every, "2025-12-31T20:00:00Z", 7)[..2], expected);
}

/// Reads a log anew after `change`, up to the end of the story.
fn read_again(story: &Story, change: impl FnOnce(&mut Vec<Vec<Envelope>>)) -> Checked {
    let mut log = tell(story)?.log;
    change(&mut log);
    let mut ledger = Ledger::default();
    ledger.disturbed = story.start;
    ledger.files.clone_from(&story.files);
    log.iter().try_for_each(|append| ledger.read(append))?;
    let end = log.last().and_then(|append| append.last()).map(|envelope| envelope.at);
    ledger.check_quiet(end.unwrap_or_default())
}

/// The simulation is worth as much as what it notices.
#[test]
fn the_second_ledger_notices_what_is_wrong() {
    let specs = vec![cron("0 * * * *", "UTC"), cron("*/20 * * * *", "UTC")];
    let story = quiet_story("2026-01-01T00:30:00Z", specs, vec![Step::Pass { secs: 7_200 }]);
    assert_eq!(read_again(&story, |_| ()), Ok(()));
    let slot = |append: &Vec<Envelope>| append[0].event.name() == "slot-started";
    let wrong = |what: &str, change: &dyn Fn(&mut Vec<Vec<Envelope>>)| {
        let found = read_again(&story, change);
        assert!(found.is_err(), "{what} goes unnoticed");
    };
    wrong("a slot that is not decided", &|log| {
        let at = log.iter().position(slot).expect("one starts");
        log.remove(at);
    });
    wrong("a slot that runs twice", &|log| {
        let at = log.iter().position(slot).expect("one starts");
        log.push(log[at].clone());
    });
    wrong("a slot that is decided late", &|log| {
        let at = log.iter().position(slot).expect("one starts");
        log[at]
            .iter_mut()
            .for_each(|envelope| envelope.at = Instant::from_millis(envelope.at.millis() + 1));
    });
    wrong("a slot that nobody wanted", &|log| {
        let at = log.iter().position(slot).expect("one starts");
        for envelope in &mut log[at] {
            if let Event::SlotStarted(started) = &mut envelope.event {
                started.slot = Instant::from_millis(started.slot.millis() - 60_000);
            }
        }
    });
    wrong("an execution that starts before its turn", &|log| {
        let at = log.iter().rposition(slot).expect("one starts");
        let ends = log.iter().skip(at).position(|append| append[0].event.name() == "attempt-ended");
        log.remove(at + ends.expect("it ends"));
        let opened = log[at].clone();
        log.push(opened);
    });
}
