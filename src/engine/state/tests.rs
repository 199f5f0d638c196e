use std::path::PathBuf;

use super::*;
use crate::domain::event::ClockStepped;
use crate::domain::execution::Phase;
use crate::domain::slot::Reason;
use crate::store::{codec, samples};

/// The fold of one event of each kind, each in its stream, and behind that of lives that go on: much of what a state holds
/// is gone when it is over. Definitions are left out: they stand in it as JSON text, to which a key may be added.
fn sample() -> State {
    let mut state = State::default();
    for event in samples::all() {
        state.apply(&samples::stream_of(event.code()), samples::at(), &event);
    }
    add_upkeep(&mut state);
    add_schedules(&mut state);
    add_executions(&mut state);
    add_deliveries(&mut state);
    state.fresh.clear();
    state
}

/// The sample of an event, by its code.
fn event(code: u16) -> Event {
    samples::all().into_iter().find(|event| event.code() == code).expect("a sample")
}

fn at(minute: i64) -> Instant {
    Instant::from_secs(samples::at().secs() + minute * 60)
}

/// One whose executions go on. Those of one interface stand in no order.
fn schedule() -> ScheduleRef {
    "auchan/goes-on".parse().expect("a name")
}

/// A token that is valid, a clock that was set forward, and a second pass of retention behind one that came to its end.
fn add_upkeep(state: &mut State) {
    let stepped = ClockStepped { from: at(0), to: at(60) };
    let (mut forgotten, mut freed) = (event(14), event(14));
    let step = PruneStep::Freed { events: 1, journal_bytes: 2, lines_bytes: 3 };
    if let (Event::HistoryPruned(forgotten), Event::HistoryPruned(freed)) =
        (&mut forgotten, &mut freed)
    {
        (forgotten.pass, freed.step) = (4, step);
    }
    for event in [event(4), stepped.into(), freed, forgotten] {
        state.apply(&StreamId::Daemon, at(1), &event);
    }
}

/// A schedule that was asked for all that can be asked of one, and an interface that is paused.
fn add_schedules(state: &mut State) {
    let stream = StreamId::Schedule(schedule());
    for code in [40, 46, 47, 49, 43] {
        state.apply(&stream, at(2), &event(code));
    }
    state.paused_by(&stream, &Actor::Token("deploy".to_owned()));
    let stream = StreamId::Interface("auchan".parse().expect("a name"));
    state.apply(&stream, at(2), &event(22));
    state.paused_by(&stream, &Actor::Local(1_000));
}

/// Two that ended, one ok and one acknowledged; one that waits for its turn, one that runs and to which all happened that can,
/// and one that waits for its next attempt.
fn add_executions(state: &mut State) {
    let (ended, open) = (samples::stream_of(40), StreamId::Schedule(schedule()));
    let lives: [(&StreamId, &[u16]); 5] = [
        (&ended, &[61, 62, 68]),
        (&ended, &[61, 62, 68, 69]),
        (&open, &[]),
        (&open, &[61, 64, 65, 66, 67, 71]),
        (&open, &[61, 62, 63]),
    ];
    for (minute, (of, codes)) in (10..).zip(lives) {
        let (StreamId::Schedule(schedule), Event::Opened(mut opened)) = (of, event(60)) else {
            panic!("a schedule, and an opening")
        };
        let id = ExecutionId::for_slot(schedule, at(minute));
        opened.schedule = schedule.clone();
        let (stream, mut at) = (StreamId::Execution(id), at(minute));
        state.apply(&stream, at, &opened.into());
        for code in codes {
            at = Instant::from_millis(at.millis() + 1_000);
            let mut event = event(*code);
            if let (Event::Closed(closed), 10) = (&mut event, minute) {
                closed.outcome = Outcome::Ok;
            }
            state.apply(&stream, at, &event);
        }
    }
}

/// Deliveries of all kinds.
fn add_deliveries(state: &mut State) {
    let execution = state.executions.keys().next().copied();
    for kind in EffectKind::ALL {
        let (cause, schedule) = (EventId::derive(&StreamId::Daemon, 1, at(3)), schedule());
        let (slot, reason) = (Some(at(0)), Some(Reason::Down));
        let effect = Effect { cause, at: at(3), schedule, execution, slot, reason, kind };
        state.outbox.insert((cause, kind), effect);
    }
}

fn golden() -> PathBuf {
    let name = format!("state-v{STATE_VERSION}.bin");
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn packed() -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::pack(&sample(), &mut bytes).expect("it can be packed");
    bytes
}

#[test]
fn a_checkpoint_of_this_version_has_these_bytes() {
    let path = golden();
    let kept = std::fs::read(&path).expect("a golden file for this version");
    assert!(
        kept == packed(),
        "the state has another form: raise STATE_VERSION, then cargo test -- --ignored write_the_golden_state"
    );
    assert_eq!(codec::unpack::<State>(&kept), Ok(sample()));
}

/// A form that the sample does not hold can change without a word.
#[test]
fn the_sample_holds_all_that_a_state_can() {
    let state = sample();
    let daemon = &state.daemon;
    assert!(daemon.boot_id.is_some() && daemon.zone_data.is_some() && !daemon.zones.is_empty());
    assert!(!daemon.tokens.is_empty() && !daemon.answers.is_empty());
    assert!(daemon.retention.ended_at.is_some() && daemon.retention.unfreed);
    assert!(!daemon.stepped.is_empty());
    let paused = |pause: &Option<Box<crate::domain::schedule::Pause>>| {
        pause.as_ref().is_some_and(|pause| pause.actor.is_some() && pause.until.is_some())
    };
    assert!(state.interfaces.values().any(|interface| paused(&interface.paused)));
    let goes_on = state.schedules.get(&schedule()).expect("it was anchored");
    assert!(paused(&goes_on.paused) && goes_on.skip_next.is_some() && goes_on.backfill.is_some());
    assert!((goes_on.awaiting.len(), goes_on.open.len()) == (1, 3) && goes_on.cursor.is_some());
    let StreamId::Schedule(ended) = samples::stream_of(40) else { panic!("a schedule") };
    let ended = state.schedules.get(&ended).expect("it was anchored");
    assert!(ended.forgotten.is_some() && ended.decided_up_to.is_some());
    assert!(ended.last_ok_slot.is_some() && ended.last_ok_at.is_some());
    assert!(ended.newest.as_ref().is_some_and(|newest| newest.ended.is_some()));
    assert!(ended.finished.as_ref().is_some_and(|finished| finished.acknowledged));
    let phases: Vec<Phase> = state.executions.values().map(|execution| execution.phase).collect();
    for phase in [Phase::Queued, Phase::Running, Phase::Waiting] {
        assert!(phases.contains(&phase), "{phases:?}");
    }
    let all_happened = |execution: &Execution| {
        execution.anomaly
            && execution.cancelling
            && execution.limited
            && execution.first_error.is_some()
            && execution.curtailed.is_some()
    };
    assert!(state.executions.values().any(all_happened));
    assert_eq!(state.outbox.len(), EffectKind::ALL.len());
}

#[test]
#[ignore = "writes tests/golden/state-v<STATE_VERSION>.bin"]
fn write_the_golden_state() {
    std::fs::write(golden(), packed()).expect("it can be written");
}
