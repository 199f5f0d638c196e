//! The one who writes rows: folds what is on disk, for a while at a time.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use tokio_util::sync::CancellationToken;

use super::disk::{self, DiskRows};
use super::fold::{self, Checkpoint};
use super::follow::{Phase, Shared};
use super::rows::{Changes, Overlay, RowError};
use crate::crash;
use crate::domain::event::Envelope;
use crate::ids::Position;
use crate::store::ReadError;

/// Events in one batch: above 64, sled's batches pin its memory (measured: 4.7 GB with 1,000).
const BATCH_EVENTS: usize = 64;
/// Changed rows from which on a batch takes no further event: one of retention changes hundreds.
const BATCH_ROWS: usize = 512;
/// Events read at once: a read begins with a whole frame, which may hold as many.
const SCAN_EVENTS: usize = 4_096;
/// Changed rows that are kept before they are written, while folding anew.
const LOOSE_ROWS: usize = 16_384;
/// Batches between two looks at whether to stop.
const BATCHES_PER_STRIDE: usize = 16;

/// Up to 99: whoever asks is told that something is missing.
pub(super) fn share(done: Position, all: Position) -> u8 {
    let percent = done.0.saturating_mul(100) / all.0.max(1);
    u8::try_from(percent.min(99)).unwrap_or(99)
}

/// How a stride ended.
pub(super) enum Stride {
    /// There is more to do.
    On(Worker),
    /// All that is on disk is folded.
    Done(Worker),
    /// The rows are gone, or could not be made.
    Failed,
}

/// Why the worker stopped.
#[derive(Debug, thiserror::Error)]
enum WorkError {
    #[error(transparent)]
    Rows(#[from] RowError),
    #[error(transparent)]
    Log(#[from] ReadError),
}

/// The one who writes rows.
pub(super) struct Worker {
    overlay: Overlay<Arc<DiskRows>>,
    checkpoint: Checkpoint,
    /// Events that were read and not yet folded.
    ahead: VecDeque<Envelope>,
    /// The rows are folded from zero, and count only when they are complete.
    from_zero: bool,
}

impl Worker {
    /// Takes up the work where the index stands.
    fn begin(shared: &Shared) -> Result<Self, RowError> {
        let (rows, checkpoint, from_zero) = match shared.phase() {
            Phase::Ready { rows, checkpoint } => (rows, checkpoint, false),
            Phase::Rebuilding { .. } => {
                (Arc::new(disk::create(&shared.dir)?), Checkpoint::default(), true)
            }
        };
        Ok(Self { overlay: Overlay::new(rows), checkpoint, ahead: VecDeque::new(), from_zero })
    }

    /// Whether the rows at hand are still those that count.
    fn is_current(&self, shared: &Shared) -> bool {
        match shared.phase() {
            Phase::Ready { rows, .. } => Arc::ptr_eq(&rows, self.overlay.base()),
            Phase::Rebuilding { .. } => self.from_zero,
        }
    }

    pub(super) fn stride(
        shared: &Shared,
        worker: Option<Self>,
        stop: &CancellationToken,
    ) -> Stride {
        let at_hand = worker.filter(|worker| worker.is_current(shared));
        let mut worker = match at_hand.map_or_else(|| Self::begin(shared), Ok) {
            Ok(worker) => worker,
            Err(err) => {
                tracing::error!(%err, "the index cannot be begun; lists do not answer");
                return Stride::Failed;
            }
        };
        match worker.work(shared, stop) {
            Ok(true) => Stride::Done(worker),
            Ok(false) => Stride::On(worker),
            Err(WorkError::Rows(err)) => {
                worker.give_up(shared, &err);
                Stride::Failed
            }
            Err(WorkError::Log(err)) => {
                tracing::error!(%err, "the index cannot follow the log");
                Stride::Failed
            }
        }
    }

    fn give_up(&self, shared: &Shared, err: &RowError) {
        if self.from_zero {
            tracing::error!(%err, "folding the index anew failed");
        } else {
            shared.discard(self.overlay.base(), &err.to_string());
        }
    }

    /// Folds what there is, for a while; true when there is no more.
    fn work(&mut self, shared: &Shared, stop: &CancellationToken) -> Result<bool, WorkError> {
        for _ in 0..BATCHES_PER_STRIDE {
            if stop.is_cancelled() {
                return Ok(true);
            }
            let durable = *shared.log.durable().borrow();
            let at_end = if self.from_zero {
                self.fold_loosely(shared, durable)?
            } else {
                self.fold_batch(shared)?
            };
            if at_end {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn fold_batch(&mut self, shared: &Shared) -> Result<bool, WorkError> {
        if self.ahead.is_empty() {
            self.ahead = shared.log.read(self.checkpoint.position, SCAN_EVENTS)?.into();
        }
        if self.ahead.is_empty() {
            return Ok(true);
        }
        let mut batch = 0;
        while batch < BATCH_EVENTS && self.overlay.changed() < BATCH_ROWS {
            let Some(event) = self.ahead.pop_front() else { break };
            fold::apply(&mut self.overlay, &mut self.checkpoint, &event)?;
            batch += 1;
        }
        let changes = self.overlay.take_changes();
        self.overlay.base().write(changes, &self.checkpoint)?;
        crash::point(crash::Point::IndexWritten);
        self.publish(shared);
        Ok(batch < BATCH_EVENTS && self.ahead.is_empty())
    }

    /// Says how far the rows reach, unless they were thrown away meanwhile.
    fn publish(&self, shared: &Shared) {
        let mut phase = shared.phase.write().unwrap_or_else(PoisonError::into_inner);
        if let Phase::Ready { rows, checkpoint } = &mut *phase
            && Arc::ptr_eq(rows, self.overlay.base())
        {
            *checkpoint = self.checkpoint;
            drop(phase);
            shared.applied.send_replace(self.checkpoint.position);
        }
    }

    fn fold_loosely(&mut self, shared: &Shared, durable: Position) -> Result<bool, WorkError> {
        let events = shared.log.read(self.checkpoint.position, SCAN_EVENTS)?;
        for event in &events {
            fold::apply(&mut self.overlay, &mut self.checkpoint, event)?;
        }
        let at_end = events.is_empty() || self.checkpoint.position >= durable;
        if at_end || self.overlay.changed() >= LOOSE_ROWS {
            let changes = self.overlay.take_changes();
            self.overlay.base().write_loosely(changes)?;
        }
        if !at_end {
            let percent = share(self.checkpoint.position, durable);
            let mut phase = shared.phase.write().unwrap_or_else(PoisonError::into_inner);
            if let Phase::Rebuilding { percent: shown, .. } = &mut *phase {
                *shown = percent;
            }
            return Ok(false);
        }
        let rows = Arc::clone(self.overlay.base());
        rows.write(Changes::new(), &self.checkpoint)?;
        rows.keep();
        tracing::info!(position = self.checkpoint.position.0, "the index is complete");
        self.from_zero = false;
        shared.set_phase(Phase::Ready { rows, checkpoint: self.checkpoint });
        Ok(false)
    }
}
