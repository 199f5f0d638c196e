//! The engine's state as rows of the [board](super::board): what a decision touched, shown when it is on disk.

use std::sync::Arc;

use super::board::{AnswerRow, BoardState, InterfaceRow, OpenRow, ScheduleRow, TokenRow};
use super::core::Engine;
use crate::domain::event::RequestAnswered;
use crate::domain::execution::Phase;
use crate::domain::schedule::Schedule;
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleRef, StreamId};
use crate::projection::view::{Last, State, Status};

/// The rows that a decision touched; none removes a row.
#[derive(Default)]
pub(super) struct Patch {
    interfaces: Vec<(InterfaceId, InterfaceRow)>,
    schedules: Vec<(ScheduleRef, ScheduleRow)>,
    open: Vec<(ExecutionId, Option<OpenRow>)>,
    daemon: Option<Daemon>,
}

struct Daemon {
    tokens: Vec<TokenRow>,
    answers: Vec<(String, AnswerRow)>,
}

impl Patch {
    /// Writes the rows; everything up to `position` is on disk.
    pub(super) fn apply(self, board: &mut BoardState, position: Position) {
        board.position = board.position.max(position);
        board.interfaces.extend(self.interfaces);
        board.schedules.extend(self.schedules);
        for (id, row) in self.open {
            match row {
                Some(row) => board.open.insert(id, row),
                None => board.open.remove(&id),
            };
        }
        if let Some(daemon) = self.daemon {
            board.tokens = daemon.tokens;
            board.answers = daemon.answers.into_iter().collect();
        }
    }
}

impl Engine {
    /// The rows of what `touched` stands for.
    pub(super) fn patch(&self, touched: &[StreamId]) -> Patch {
        let mut patch = Patch::default();
        let mut schedules = Vec::new();
        for stream in touched {
            match stream {
                StreamId::Daemon => patch.daemon = Some(self.daemon_rows()),
                StreamId::Interface(id) => schedules.extend(self.schedules_of(id)),
                StreamId::Schedule(id) => schedules.push(id.clone()),
                StreamId::Execution(id) => patch.open.push((*id, self.open_row(*id))),
            }
            match stream {
                StreamId::Execution(id) => schedules.extend(self.schedule_of(*id)),
                StreamId::Interface(id) => {
                    patch.interfaces.extend(self.interface_row(id).map(|row| (id.clone(), row)));
                }
                StreamId::Daemon | StreamId::Schedule(_) => (),
            }
        }
        schedules.sort_unstable();
        schedules.dedup();
        for id in schedules {
            if patch.interfaces.iter().all(|(interface, _)| *interface != id.interface) {
                patch.interfaces.extend(
                    self.interface_row(&id.interface).map(|row| (id.interface.clone(), row)),
                );
            }
            patch.schedules.extend(self.schedule_row(&id).map(|row| (id, row)));
        }
        patch
    }

    /// All rows, after a restart.
    pub(super) fn patch_all(&self) -> Patch {
        let mut touched = vec![StreamId::Daemon];
        touched.extend(self.state.interfaces.keys().cloned().map(StreamId::Interface));
        touched.extend(self.state.executions.keys().copied().map(StreamId::Execution));
        self.patch(&touched)
    }

    /// The schedule of an execution: open ones know theirs, one that was just closed is a schedule's newest.
    fn schedule_of(&self, id: ExecutionId) -> Option<ScheduleRef> {
        self.state
            .executions
            .get(&id)
            .map(|execution| execution.opened.schedule.clone())
            .or_else(|| self.closed_now.get(&id).cloned())
    }

    fn open_row(&self, id: ExecutionId) -> Option<OpenRow> {
        let execution = self.state.executions.get(&id)?;
        let (status, since) = match (execution.phase, execution.started_at) {
            (Phase::Queued | Phase::Closed(_), _) | (_, None) => {
                (Status::Queued, execution.created_at)
            }
            (Phase::Running | Phase::Waiting, Some(at)) => (Status::Running, at),
        };
        Some(OpenRow { schedule: execution.opened.schedule.clone(), status, since })
    }

    fn interface_row(&self, id: &InterfaceId) -> Option<InterfaceRow> {
        let interface = self.state.interfaces.get(id)?;
        let definition = interface.definition()?;
        let state = match (interface.removed, interface.paused.is_some()) {
            (true, _) => State::Removed,
            (false, true) => State::Paused,
            (false, false) => State::Active,
        };
        let tally = self.tallies.get(id);
        Some(InterfaceRow {
            definition: Arc::clone(definition),
            definition_version: interface.definition_version,
            state,
            red: tally.is_some_and(|tally| !tally.red.is_empty()),
            last_ok_at: tally.and_then(|tally| tally.last_ok_at),
        })
    }

    fn schedule_row(&self, id: &ScheduleRef) -> Option<ScheduleRow> {
        let interface = self.state.interfaces.get(&id.interface)?;
        let folded = self.state.schedules.get(id)?;
        let next = folded.cursor.and_then(|cursor| self.plans.get(id)?.next_after(cursor));
        Some(ScheduleRow {
            definition: Arc::clone(interface.definition()?),
            state: self.schedule_state(id, folded),
            next,
            last: self.last(folded),
            last_ok_at: folded.last_ok_at,
        })
    }

    fn schedule_state(&self, id: &ScheduleRef, folded: &Schedule) -> State {
        let paused = self
            .state
            .interfaces
            .get(&id.interface)
            .is_some_and(|interface| interface.paused.is_some());
        match self.definition(id) {
            None => State::Removed,
            Some((_, _, schedule)) if !schedule.enabled => State::Disabled,
            Some(_) if folded.paused.is_some() || paused => State::Paused,
            Some(_) => State::Active,
        }
    }

    fn last(&self, folded: &Schedule) -> Option<Last> {
        let newest = folded.newest.as_ref()?;
        if let Some(open) = self.state.executions.get(&newest.execution) {
            let status = if open.phase == Phase::Queued { Status::Queued } else { Status::Running };
            return Some(Last { execution: newest.execution, status, at: newest.at });
        }
        let finished = folded.finished.as_ref()?;
        Some(Last {
            execution: finished.execution,
            status: finished.outcome.into(),
            at: finished.at,
        })
    }

    fn daemon_rows(&self) -> Daemon {
        let daemon = &self.state.daemon;
        let token = |token: &super::state::Token| TokenRow {
            id: token.id.clone(),
            name: token.name.clone(),
            role: token.role.clone(),
            hash: token.hash.clone(),
            created_at: token.created_at,
        };
        let mut tokens: Vec<_> = daemon.tokens.values().map(token).collect();
        tokens.sort_by_key(|token| token.created_at);
        let answer = |(key, answer): (&String, &super::state::Answer)| {
            let shown = RequestAnswered {
                key: key.clone(),
                fingerprint: answer.fingerprint.clone(),
                status: answer.status,
                location: answer.location.clone(),
                body: answer.body.clone(),
            };
            (key.clone(), AnswerRow { at: answer.at, answer: shown })
        };
        Daemon { tokens, answers: daemon.answers.iter().map(answer).collect() }
    }
}
