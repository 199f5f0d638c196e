//! One append as the ledger reads it.

use std::collections::BTreeMap;

use super::Checked;
use super::turns::Ended;
use crate::domain::event::{Anchor, Envelope, Event, Opened, SlotsPassed};
use crate::ids::{ExecutionId, ScheduleRef, StreamId};
use crate::instant::Instant;

/// An event of a schedule's own stream.
pub(super) enum Own<'a> {
    Started(Instant, &'a Opened),
    Passed(&'a SlotsPassed),
    Anchored(Anchor, Instant),
    Awaited(i64, ExecutionId, i64),
    Removed,
    Paused(Option<Instant>),
    Resumed,
}

/// One append.
pub(super) struct Append<'a> {
    pub(super) at: Instant,
    pub(super) events: &'a [Envelope],
    /// The executions that it closes.
    pub(super) ended: Vec<Ended>,
}

impl Append<'_> {
    fn opened(&self, id: ExecutionId) -> Option<&Opened> {
        self.events.iter().find_map(|envelope| match &envelope.event {
            Event::Opened(opened) if envelope.stream == StreamId::Execution(id) => Some(opened),
            _ => None,
        })
    }

    pub(super) fn openings(&self) -> impl Iterator<Item = (ExecutionId, &Opened)> {
        self.events.iter().filter_map(|envelope| match (&envelope.stream, &envelope.event) {
            (StreamId::Execution(id), Event::Opened(opened)) => Some((*id, opened)),
            _ => None,
        })
    }

    /// The events of each schedule's stream, in order.
    pub(super) fn own(&self) -> Checked<BTreeMap<ScheduleRef, Vec<Own<'_>>>> {
        let mut all: BTreeMap<ScheduleRef, Vec<Own<'_>>> = BTreeMap::new();
        for envelope in self.events {
            let StreamId::Schedule(id) = &envelope.stream else { continue };
            let own = match &envelope.event {
                Event::SlotStarted(started) => {
                    let (slot, execution) = (started.slot, started.execution);
                    let right = execution == ExecutionId::for_slot(id, slot)
                        && started.late_ms
                            == u64::try_from(self.at.since(slot).as_millis()).unwrap_or(0);
                    let opened = self.opened(execution).filter(|opened| {
                        right && opened.slot == Some(slot) && opened.rerun_of.is_none()
                    });
                    let opened =
                        opened.ok_or_else(|| format!("{id} {slot} is started and not opened"))?;
                    Own::Started(slot, opened)
                }
                Event::SlotsPassed(passed) => Own::Passed(passed),
                Event::ScheduleAnchored(anchored) => Own::Anchored(anchored.why, anchored.cursor),
                Event::SlotAwaited(awaited) => Own::Awaited(
                    awaited.slot.millis(),
                    awaited.execution,
                    awaited.deadline.millis(),
                ),
                Event::ScheduleRemoved(_) => Own::Removed,
                Event::SchedulePaused(paused) => Own::Paused(paused.until),
                Event::ScheduleResumed(_) => Own::Resumed,
                other => return Err(format!("{} in the stream of {id}", other.name())),
            };
            all.entry(id.clone()).or_default().push(own);
        }
        Ok(all)
    }
}

pub(super) fn outcome_of(passed: &SlotsPassed) -> String {
    format!("{}({})", passed.verdict.as_str(), passed.reason.as_str())
}
