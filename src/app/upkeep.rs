//! The daemon's own upkeep, on tokio-cron-scheduler in UTC. Schedules of users never run on it (decision 5): every pass
//! here is idempotent, and losing one is harmless.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use crate::domain::space::Room;
use crate::engine::ports::{News, settled};
use crate::engine::state::STATE_VERSION;
use crate::ids::{Position, hex};
use crate::projection::Projections;
use crate::store::EventLog;
use crate::store::checkpoint::{Checkpoint, Checkpoints};
use crate::store::codec;
use crate::store::journal::JournalLog;
use crate::store::space::Space;

/// Every ten seconds, away from the seconds that people choose: a checkpoint, when enough has happened since the last one.
const CHECKPOINT: &str = "3-59/10 * * * * *";

/// Every five seconds: the log lets go of finished executions that the index holds.
const FORGET: &str = "4-59/5 * * * * *";

/// Once a day: the head of the log goes into the daemon's own log, which the store's files cannot change afterwards.
const HEAD: &str = "41 7 0 * * *";

/// Events between two checkpoints at least; a start folds about so many.
const EVENTS_BETWEEN: u64 = 20_000;

/// What the passes work with.
#[derive(Clone)]
pub(super) struct Upkeep {
    /// The room on the disk.
    pub(super) space: Arc<Space>,
    pub(super) log: Arc<JournalLog>,
    pub(super) projections: Projections,
    pub(super) checkpoints: Arc<Mutex<(Checkpoints, Position)>>,
    pub(super) news: mpsc::UnboundedSender<News>,
}

impl Upkeep {
    /// Starts the passes.
    ///
    /// # Errors
    /// The scheduler does not start.
    pub(super) async fn start(&self) -> Result<JobScheduler, JobSchedulerError> {
        let scheduler = JobScheduler::new().await?;
        let upkeep = self.clone();
        let checkpoint = Job::new_async(CHECKPOINT, move |_, _| {
            let upkeep = upkeep.clone();
            Box::pin(async move { upkeep.checkpoint(EVENTS_BETWEEN).await })
        })?;
        scheduler.add(checkpoint).await?;
        let upkeep = self.clone();
        let forget = Job::new_async(FORGET, move |_, _| {
            let upkeep = upkeep.clone();
            Box::pin(async move { upkeep.forget() })
        })?;
        scheduler.add(forget).await?;
        let upkeep = self.clone();
        let head = Job::new_async(HEAD, move |_, _| {
            let upkeep = upkeep.clone();
            Box::pin(async move { upkeep.tell_head() })
        })?;
        scheduler.add(head).await?;
        scheduler.start().await?;
        Ok(scheduler)
    }

    /// Says in the daemon's own log where the chain of the events stands: `daybook store verify --head HEX --at POSITION`
    /// tells later whether anything before was changed.
    pub(super) fn tell_head(&self) {
        let (head, position) = self.log.head();
        let head = hex(&head);
        tracing::info!(position = position.0, %head, "head of the log");
    }

    fn forget(&self) {
        let status = self.projections.status();
        if status.rebuilding.is_none() {
            self.log.forget(status.position);
        }
    }

    /// Writes a checkpoint if at least `events` were recorded since the last one.
    pub(super) async fn checkpoint(&self, events: u64) {
        let mut checkpoints = self.checkpoints.lock().await;
        let newest = *self.log.durable().borrow();
        // On a full disk it would take what the log needs.
        if newest.0 < checkpoints.1.0 + events || self.space.seen().room() == Room::Full {
            return;
        }
        match self.write(&mut checkpoints.0).await {
            Ok(position) => checkpoints.1 = position,
            Err(why) => {
                tracing::warn!(%why, "no checkpoint was written; the next start reads more of the log")
            }
        }
    }

    async fn write(&self, checkpoints: &mut Checkpoints) -> Result<Position, String> {
        let (reply, answer) = oneshot::channel();
        let asked = crate::engine::ports::go_on(&self.news, move |engine| {
            let state = engine.state().clone();
            engine.when_settled(move |position| drop(reply.send((state, position))));
        });
        if !asked {
            return Err("the engine has ended".to_owned());
        }
        let (state, position) =
            answer.await.map_err(|_closed| "the engine has ended".to_owned())?;
        // Away from the engine: with many definitions this takes longer than a slot may wait.
        let packed = tokio::task::spawn_blocking(move || {
            let mut packed = Vec::new();
            codec::pack(&state, &mut packed).map(|()| packed)
        });
        let state = packed.await.map_err(|err| err.to_string())??;
        let log = self.log.state().await.map_err(|err| err.to_string())?;
        let checkpoint = Checkpoint { position, state_version: STATE_VERSION, state, log };
        // Two syncs, which no task of the runtime may wait for.
        let written = tokio::task::block_in_place(|| checkpoints.write(&checkpoint));
        written.map_err(|err| err.to_string())?;
        Ok(position)
    }

    /// The same at the end, for as long as there is room: a log that waits for it does not keep the daemon from ending.
    pub(super) async fn settle_for_good(&self) {
        let mut seen = self.space.watch();
        tokio::select! {
            () = self.settle() => (),
            _waits = seen.wait_for(|seen| seen.log_waits) => {
                tracing::error!("the disk is full; what is not on disk yet was never acknowledged, and the next start tells of it");
            }
        }
    }

    /// Whether the engine has put everything on disk that it decided.
    pub(super) async fn settle(&self) {
        let (reply, answer) = oneshot::channel();
        if settled(&self.news, move |_| reply.send(()).unwrap_or_default()) && answer.await.is_err()
        {
            tracing::debug!("the engine ended before it settled");
        }
    }
}
