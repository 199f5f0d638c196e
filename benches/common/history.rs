//! A made-up history: what a hundred schedules leave in the log that run once a minute, computed from the positions.
//!
//! Each execution is five events: the slot's decision, opening, attempt started, attempt ended, closing; every tenth is a
//! KO.

use std::collections::BTreeMap;

use daybook::domain::cause::Cause;
use daybook::domain::class::Class;
use daybook::domain::event::{
    Actor, AttemptEnded, AttemptStarted, Closed, Envelope, ErrorCounts, Event, FirstError, Opened,
    Outcome, SlotStarted, Trigger,
};
use daybook::ids::{EventId, ExecutionId, Position, ScheduleRef, StreamId};
use daybook::instant::Instant;

const SCHEDULES: u64 = 100;
pub(crate) const PER_EXECUTION: u64 = 5;
/// The first slot, in seconds since 1970.
const FIRST_SLOT: u64 = 1_790_000_000;
/// From one slot of a schedule to its next, in seconds.
const ROUND: u64 = 60;

/// The history, without an end.
pub(crate) struct History {
    schedules: Vec<ScheduleRef>,
}

impl History {
    /// That of `interface-0/schedule-0` to `interface-9/schedule-9`.
    pub(crate) fn made_up() -> Self {
        let name = |number: u64| {
            format!("interface-{}/schedule-{}", number / 10, number % 10).parse().expect("a name")
        };
        Self { schedules: (0..SCHEDULES).map(name).collect() }
    }

    /// The event at `position`, which counts from 1.
    pub(crate) fn event(&self, position: u64) -> Envelope {
        let (execution, step) = ((position - 1) / PER_EXECUTION, (position - 1) % PER_EXECUTION);
        let schedule = &self.schedules[(execution % SCHEDULES) as usize];
        let round = execution / SCHEDULES;
        let slot = Instant::from_secs((FIRST_SLOT + ROUND * round) as i64);
        let id = ExecutionId::for_slot(schedule, slot);
        let at = Instant::from_millis(slot.millis() + (execution % SCHEDULES * 50 + step) as i64);
        let ko = execution % 10 == 3;
        let (stream, version) = match step {
            0 => (StreamId::Schedule(schedule.clone()), round + 1),
            _ => (StreamId::Execution(id), step),
        };
        Envelope {
            position: Position(position),
            id: EventId::derive(&StreamId::Daemon, position, at),
            stream,
            version,
            at,
            actor: Actor::Daybook,
            correlation: None,
            causation: None,
            hash: *blake3::hash(&position.to_be_bytes()).as_bytes(),
            event: payload(schedule, slot, id, (step, ko)),
        }
    }
}

fn payload(
    schedule: &ScheduleRef,
    slot: Instant,
    id: ExecutionId,
    (step, ko): (u64, bool),
) -> Event {
    let outcome = if ko { Outcome::Ko } else { Outcome::Ok };
    match step {
        0 => SlotStarted { slot, execution: id, definition_version: 1, late_ms: 3 }.into(),
        1 => Opened {
            schedule: schedule.clone(),
            slot: Some(slot),
            trigger: Trigger::Cron,
            definition_version: 1,
            params: BTreeMap::from([("day".to_owned(), "2026-11-22".to_owned())]),
            rerun_of: None,
            root: id,
            idempotency_key: id.to_string(),
            previous_slot: Some(Instant::from_secs(slot.secs() - 60)),
            last_ok_slot: Some(Instant::from_secs(slot.secs() - 60)),
            priority: 0,
            forced: false,
        }
        .into(),
        2 => AttemptStarted { attempt: 1 }.into(),
        3 => AttemptEnded {
            attempt: 1,
            exit_code: Some(i32::from(ko)),
            signal: None,
            usage: None,
            outcome,
            cause: ko.then_some(Cause::MapField),
        }
        .into(),
        _ => Closed {
            outcome,
            class: ko.then_some(Class::Mapping),
            cause: ko.then_some(Cause::MapField),
            exit_code: Some(i32::from(ko)),
            attempts: 1,
            lines: 25,
            errors: ErrorCounts { mapping: u64::from(ko), ..ErrorCounts::default() },
            first_error: ko.then(|| FirstError {
                line: 12,
                class: Class::Mapping,
                cause: Cause::MapField,
                text: format!("Mapping: no product for code FNAC-{}", slot.secs() % 1000),
            }),
            log_hash: [7; 32],
            duration_ms: 480,
        }
        .into(),
    }
}
