//! The engine of the API's tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{append, row_of};
use crate::clock::Clock;
use crate::domain::event::{
    Actor, CancelRequested, Event, InterfacePaused, InterfaceResumed, Opened, TokenRevoked, Trigger,
};
use crate::engine::backfill::{Backfill, Backfilled, Candidate};
use crate::engine::board::{AnswerRow, Board, Draining, OpenRow};
use crate::engine::handle::{Asked, Done, Refusal, ReloadReport, Request, Rerun, Target};
use crate::ids::{ExecutionId, Position, ScheduleRef, StreamId};
use crate::instant::Instant;
use crate::projection::{actor_text, view};
use crate::store::EventLog;

/// Answers requests until nobody is left to ask.
pub(super) async fn answer_all(
    mut inbox: tokio::sync::mpsc::Receiver<Asked>,
    board: Arc<Board>,
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
) {
    let mut engine = Engine { board, log, clock, count: 0 };
    while let Some(asked) = inbox.recv().await {
        engine.answer(asked).await;
    }
}

/// An engine that opens, notes and pauses, and decides nothing.
struct Engine {
    board: Arc<Board>,
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    count: u8,
}

fn reply<T>(to: tokio::sync::oneshot::Sender<T>, answer: T) {
    // A caller who hung up does not wait.
    to.send(answer).ok();
}

impl Engine {
    async fn record(&self, actor: Actor, stream: StreamId, event: Event) -> Done<()> {
        let position = append(&*self.log, stream, event, (actor, self.clock.now())).await;
        Done { value: (), position }
    }

    async fn open(
        &mut self,
        actor: Actor,
        schedule: ScheduleRef,
        of: Option<ExecutionId>,
    ) -> Done<ExecutionId> {
        self.count += 1;
        let id = ExecutionId::random(self.clock.now(), [self.count; 10]);
        let opened = Opened {
            schedule: schedule.clone(),
            slot: None,
            trigger: if of.is_some() { Trigger::Rerun } else { Trigger::Manual },
            definition_version: 3,
            params: BTreeMap::new(),
            rerun_of: of,
            root: of.unwrap_or(id),
            idempotency_key: id.to_string(),
            previous_slot: None,
            last_ok_slot: None,
            priority: 5,
            forced: false,
        };
        let done = self.record(actor, StreamId::Execution(id), opened.into()).await;
        let row = OpenRow { schedule, status: view::Status::Queued, since: self.clock.now() };
        self.board.write(|state| state.open.insert(id, row));
        Done { value: id, position: done.position }
    }

    async fn rerun(&mut self, actor: &Actor, of: ExecutionId) -> (Rerun, Position) {
        let stream = StreamId::Execution(of);
        let events = self.log.read_stream(&stream, 0, 1).expect("readable");
        let open = self.board.read(|state| state.open.contains_key(&of));
        let answer = match events.first().map(|e| &e.event) {
            Some(Event::Opened(opened)) if !open => {
                let schedule = opened.schedule.clone();
                let done = self.open(actor.clone(), schedule, Some(of)).await;
                return (Rerun { of, answer: Ok(done.value) }, done.position);
            }
            Some(_) => Refusal::Conflict { why: "it is not over".to_owned(), execution: Some(of) },
            None => Refusal::NotFound { what: format!("execution `{of}`") },
        };
        (Rerun { of, answer: Err(answer) }, Position(0))
    }

    fn set(&self, target: &Target, paused: Option<view::Paused>) -> bool {
        let to = if paused.is_some() { view::State::Paused } else { view::State::Active };
        self.board
            .write(|state| match target {
                Target::Interface(id) => {
                    state.interfaces.get_mut(id).map(|row| (row.state, row.paused) = (to, paused))
                }
                Target::Schedule(name) => state
                    .schedules
                    .get_mut(name)
                    .map(|row| (row.state, row.paused) = (to, paused.map(Box::new))),
            })
            .is_some()
    }

    /// Marks the next slot as one to be skipped, or not.
    fn mark(&self, schedule: &ScheduleRef, skip: bool) -> Result<Done<Instant>, Refusal> {
        self.board.write(|state| {
            let row = state.schedules.get_mut(schedule);
            let row =
                row.ok_or_else(|| Refusal::NotFound { what: format!("schedule `{schedule}`") })?;
            let why = format!("`{schedule}` has no slots");
            let slot = row.next.ok_or(Refusal::Conflict { why, execution: None })?;
            row.skip_next = skip.then(|| Box::new(slot));
            Ok(Done { value: slot, position: Position(0) })
        })
    }

    async fn answer(&mut self, Asked { actor, request }: Asked) {
        let missing = |what: String| Err(Refusal::NotFound { what });
        match request {
            Request::Run { order, reply: to } => {
                let known = self.board.read(|state| state.schedules.contains_key(&order.schedule));
                let answer = if known {
                    Ok(self.open(actor, order.schedule, None).await)
                } else {
                    missing(format!("schedule `{}`", order.schedule))
                };
                reply(to, answer);
            }
            Request::Rerun { executions, reply: to, .. } => {
                let (mut value, mut position) = (Vec::new(), Position(0));
                for of in executions {
                    let (row, at) = self.rerun(&actor, of).await;
                    value.push(row);
                    position = position.max(at);
                }
                reply(to, Ok(Done { value, position }));
            }
            Request::Backfill { backfill, reply: to } => {
                let Backfill { schedule, slots, dry_run, .. } = backfill;
                let of = |it: &Candidate| Backfilled {
                    slot: it.slot,
                    rerun_of: it.failed,
                    execution: (!dry_run).then(|| ExecutionId::for_slot(&schedule, it.slot)),
                    left: None,
                };
                let value = slots.iter().map(of).collect();
                reply(to, Ok(Done { value, position: Position(0) }));
            }
            Request::Drain { deadline, reply: to } => {
                let draining = Draining { since: self.clock.now(), deadline };
                self.board.write(|state| state.health.draining = Some(draining));
                reply(to, Ok(Done { value: draining, position: Position(0) }));
            }
            Request::Reload { reply: to } => {
                let value = ReloadReport::default();
                reply(to, Ok(Done { value, position: Position(0) }));
            }
            Request::CreateToken { token, reply: to } => {
                let taken = self.board.read(|s| s.tokens.iter().any(|row| row.name == token.name));
                let answer = if taken {
                    let why = format!("a token named `{}` exists", token.name);
                    Err(Refusal::Conflict { why, execution: None })
                } else {
                    let row = row_of(token.clone(), self.clock.now());
                    self.board.write(|state| state.tokens.push(row));
                    Ok(self.record(actor, StreamId::Daemon, token.into()).await)
                };
                reply(to, answer);
            }
            other => self.tell(actor, other).await,
        }
    }

    async fn tell(&mut self, actor: Actor, request: Request) {
        let (to, stream, event): (_, StreamId, Event) = match request {
            Request::Cancel { execution, note, reply: to } => {
                if self.board.read(|state| !state.open.contains_key(&execution)) {
                    let why = format!("execution {execution} is over");
                    return reply(to, Err(Refusal::Conflict { why, execution: Some(execution) }));
                }
                (to, StreamId::Execution(execution), CancelRequested { note }.into())
            }
            Request::Note { execution, noted, reply: to } => {
                (to, StreamId::Execution(execution), noted.into())
            }
            Request::Pause { pause, reply: to } => {
                let (at, actor) = (self.clock.now(), Some(actor_text(&actor)));
                let (note, until) = (pause.note.clone(), pause.until);
                if !self.set(&pause.target, Some(view::Paused { at, actor, note, until })) {
                    return reply(to, Err(Refusal::NotFound { what: "it".to_owned() }));
                }
                (to, StreamId::Daemon, InterfacePaused { note: pause.note, until: None }.into())
            }
            Request::Resume { target, reply: to } => {
                if !self.set(&target, None) {
                    return reply(to, Err(Refusal::NotFound { what: "it".to_owned() }));
                }
                (to, StreamId::Daemon, InterfaceResumed {}.into())
            }
            Request::SkipNext { schedule, reply: to } => {
                return reply(to, self.mark(&schedule, true));
            }
            Request::UndoSkipNext { schedule, reply: to } => {
                return reply(to, self.mark(&schedule, false));
            }
            Request::RevokeToken { id, reply: to } => {
                let before = self.board.read(|state| state.tokens.len());
                self.board.write(|state| state.tokens.retain(|row| row.id != id));
                if self.board.read(|state| state.tokens.len()) == before {
                    return reply(to, Err(Refusal::NotFound { what: format!("token `{id}`") }));
                }
                (to, StreamId::Daemon, TokenRevoked { id }.into())
            }
            Request::RecordLogin { login, reply: to } => (to, StreamId::Daemon, login.into()),
            Request::RecordBackup { backup, reply: to } => (to, StreamId::Daemon, backup.into()),
            Request::RememberAnswer { answer, reply: to } => {
                let row = AnswerRow { at: self.clock.now(), answer: answer.clone() };
                self.board.write(|state| state.answers.insert(answer.key.clone(), row));
                (to, StreamId::Daemon, answer.into())
            }
            Request::Run { .. }
            | Request::Rerun { .. }
            | Request::Backfill { .. }
            | Request::Drain { .. }
            | Request::Reload { .. }
            | Request::CreateToken { .. } => return,
        };
        let done = self.record(actor, stream, event).await;
        reply(to, Ok(done));
    }
}
