//! The way to the daemon's end: nothing starts any more, and what runs comes to its end, or goes on without the daemon.

use std::sync::Arc;

use super::board::Draining;
use super::commit::After;
use super::core::{Draft, Engine};
use super::handle::{Done, Handle, Refusal, Request};
use crate::domain::event::{Actor, DaemonStopped, DrainAsked};
use crate::domain::execution::Phase;
use crate::ids::StreamId;
use crate::instant::Instant;

/// What [`DrainAsked`] says of one that somebody asked for.
const BY_REQUEST: &str = "drain";

impl Engine {
    /// Starts nothing any more, and lets slots wait in the queue. Asked again, only a deadline that is named changes anything.
    pub(super) fn drain(
        &mut self,
        draft: &mut Draft,
        deadline: Option<Instant>,
    ) -> Result<Draining, Refusal> {
        Ok(self.drain_for(draft, BY_REQUEST, deadline))
    }

    /// The same for a signal, with a deadline that lies near. Slots are left to whoever starts next: by how late it is then,
    /// `catch_up` says what becomes of them.
    pub fn stop(&mut self, by: &str, deadline: Instant) {
        let mut draft = Draft::new(self.now(), Actor::Daybook);
        let sooner = self.draining.and_then(|draining| draining.deadline);
        let deadline = sooner.map_or(deadline, |sooner| sooner.min(deadline));
        self.stopping = true;
        self.drain_for(&mut draft, by, Some(deadline));
        self.submit(draft);
    }

    fn drain_for(&mut self, draft: &mut Draft, by: &str, deadline: Option<Instant>) -> Draining {
        let before = self.draining;
        let since = before.map_or(draft.at, |before| before.since);
        let deadline = deadline.or_else(|| before?.deadline);
        let draining = Draining { since, deadline };
        self.draining = Some(draining);
        if before != self.draining {
            let asked = DrainAsked { by: by.to_owned(), deadline };
            self.record(draft, &StreamId::Daemon, asked.into());
            let board = Arc::clone(&self.parts.board);
            draft.then(After::Answer(Box::new(move |_| {
                board.write(|state| state.health.draining = Some(draining));
            })));
        }
        draining
    }

    /// Why nothing new may be started.
    pub(super) fn refuse_draining(&self) -> Result<(), Refusal> {
        let Some(Draining { deadline, .. }) = self.draining else { return self.refuse_full() };
        let until = deadline.map_or_else(String::new, |at| format!(", at {at} at the latest"));
        let why = format!(
            "the daemon is draining: it starts nothing, and ends when nothing runs{until}; ask again when it is back"
        );
        Err(Refusal::Unavailable { why })
    }

    /// Records that the daemon stops in good order, and how many executions run on without it.
    pub fn record_stop(&mut self, reason: &str) {
        let mut draft = Draft::new(self.now(), Actor::Daybook);
        let running = self.state.executions.values();
        let running = running.filter(|execution| execution.phase == Phase::Running).count() as u64;
        let stopped = DaemonStopped { reason: reason.to_owned(), running };
        self.record(&mut draft, &StreamId::Daemon, stopped.into());
        self.submit(draft);
    }
}

impl Handle {
    /// Starts nothing any more, and lets the daemon end when nothing runs, or at `deadline`. Asked again without one, it
    /// changes nothing.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] when the daemon ends already.
    pub async fn drain(
        &self,
        actor: Actor,
        deadline: Option<Instant>,
    ) -> Result<Done<Draining>, Refusal> {
        self.ask(actor, |reply| Request::Drain { deadline, reply }).await
    }
}
