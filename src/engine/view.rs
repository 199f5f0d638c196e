//! The engine's state as rows of the [board](super::board): what a decision touched, shown when it is on disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::board::{AnswerRow, BoardState, Files, InterfaceRow, OpenRow, ScheduleRow, TokenRow};
use super::core::{Engine, Touched};
use super::state::{ANSWER_KEPT_MS, Token};
use crate::domain::event::RequestAnswered;
use crate::domain::execution::Phase;
use crate::domain::schedule::{Pause, Schedule};
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleRef, StreamId};
use crate::projection::actor_text;
use crate::projection::view::{Last, Paused, State, Status};

/// The rows that a decision touched; none removes a row.
#[derive(Default)]
pub(super) struct Patch {
    interfaces: BTreeMap<InterfaceId, InterfaceRow>,
    schedules: Vec<(ScheduleRef, ScheduleRow)>,
    open: Vec<(ExecutionId, Option<OpenRow>)>,
    tokens: Option<Vec<TokenRow>>,
    answers: Vec<(String, AnswerRow)>,
    files: Option<Files>,
}

impl Patch {
    /// What was read of the files; it changes also when nothing is decided.
    pub(super) fn of_files(files: Files) -> Self {
        Self { files: Some(files), ..Self::default() }
    }

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
        if let Some(tokens) = self.tokens {
            board.tokens = tokens;
        }
        if let Some((_, newest)) = self.answers.last() {
            let kept_from = newest.at.millis() - ANSWER_KEPT_MS;
            board.answers.retain(|_, row| row.at.millis() > kept_from);
        }
        board.answers.extend(self.answers);
        if let Some(files) = self.files {
            board.files = files;
        }
    }
}

fn shown(pause: &Pause) -> Paused {
    Paused {
        at: pause.at,
        actor: pause.actor.as_ref().map(actor_text),
        note: pause.note.clone(),
        until: pause.until,
    }
}

impl Engine {
    /// The rows of what an append touched.
    pub(super) fn patch(&self, touched: &Touched) -> Patch {
        let mut patch = self.rows(touched.streams.iter());
        patch.answers.extend(touched.answers.iter().filter_map(|key| self.answer_row(key)));
        patch
    }

    /// All rows, after a restart.
    pub(super) fn patch_all(&self) -> Patch {
        let mut all = vec![StreamId::Daemon];
        all.extend(self.state.interfaces.keys().cloned().map(StreamId::Interface));
        all.extend(self.state.executions.keys().copied().map(StreamId::Execution));
        let mut patch = self.rows(all.iter());
        patch.answers =
            self.state.daemon.answers.keys().filter_map(|key| self.answer_row(key)).collect();
        patch.answers.sort_by_key(|(_, row)| row.at);
        patch
    }

    fn rows<'a>(&self, touched: impl Iterator<Item = &'a StreamId>) -> Patch {
        let mut patch = Patch::default();
        let mut schedules = Vec::new();
        for stream in touched {
            match stream {
                StreamId::Daemon => patch.tokens = Some(self.token_rows()),
                StreamId::Interface(id) => {
                    patch.interfaces.extend(self.interface_row(id).map(|row| (id.clone(), row)));
                    schedules.extend(self.schedules_of(id));
                }
                StreamId::Schedule(id) => schedules.push(id.clone()),
                StreamId::Execution(id) => {
                    patch.open.push((*id, self.open_row(*id)));
                    schedules.extend(self.schedule_of(*id));
                }
            }
        }
        schedules.sort_unstable();
        schedules.dedup();
        for id in schedules {
            if !patch.interfaces.contains_key(&id.interface) {
                let row = self.interface_row(&id.interface);
                patch.interfaces.extend(row.map(|row| (id.interface.clone(), row)));
            }
            patch.schedules.extend(self.schedule_row(&id).map(|row| (id, row)));
        }
        patch
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
            paused: interface.paused.as_deref().map(shown).filter(|_| state == State::Paused),
            red: tally.is_some_and(|tally| !tally.red.is_empty()),
            last_ok_at: tally.and_then(|tally| tally.last_ok_at),
        })
    }

    fn schedule_row(&self, id: &ScheduleRef) -> Option<ScheduleRow> {
        let interface = self.state.interfaces.get(&id.interface)?;
        let folded = self.state.schedules.get(id)?;
        let next = folded.cursor.and_then(|cursor| self.plans.get(id)?.next_after(cursor));
        let state = self.schedule_state(id, folded);
        let in_file = state != State::Removed;
        let pauses = folded.paused.iter().chain(&interface.paused).filter(|_| in_file);
        Some(ScheduleRow {
            definition: Arc::clone(interface.definition()?),
            state,
            paused: pauses
                .max_by_key(|pause| (pause.until.is_none(), pause.until))
                .map(|pause| Box::new(shown(pause))),
            next: next.filter(|_| in_file),
            skip_next: folded.skip_next.clone(),
            awaiting: (!folded.awaiting.is_empty()).then(|| Box::new(folded.awaiting.clone())),
            last: self.last(folded),
            red: folded
                .finished
                .as_ref()
                .filter(|_| in_file && folded.red())
                .map(|ko| ko.execution),
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
        let (outcome, at) = newest.ended?;
        Some(Last { execution: newest.execution, status: outcome.into(), at })
    }

    fn token_rows(&self) -> Vec<TokenRow> {
        let row = |token: &Token| TokenRow {
            id: token.id.clone(),
            name: token.name.clone(),
            role: token.role.clone(),
            hash: token.hash.clone(),
            created_at: token.created_at,
        };
        let mut tokens: Vec<_> = self.state.daemon.tokens.values().map(row).collect();
        tokens.sort_by_key(|token| token.created_at);
        tokens
    }

    fn answer_row(&self, key: &str) -> Option<(String, AnswerRow)> {
        let answer = self.state.daemon.answers.get(key)?;
        let shown = RequestAnswered {
            key: key.to_owned(),
            fingerprint: answer.fingerprint.clone(),
            status: answer.status,
            location: answer.location.clone(),
            body: answer.body.clone(),
        };
        Some((key.to_owned(), AnswerRow { at: answer.at, answer: shown }))
    }
}
