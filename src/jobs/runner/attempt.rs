//! An attempt as its runner has it, from the order to start it until it is forgotten.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::spool::{Place, SpoolWriter};
use super::waiting::poke;
use super::wire::{AttemptKey, Before, Ended, Kept, Start, Why};

/// One attempt: what its own thread and the one who hears the daemon share.
pub(super) struct Attempt {
    pub(super) of: AttemptKey,
    pub(super) before: Before,
    secrets: Vec<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Somebody wants it to end.
    asked: Option<Why>,
    /// Wakes its thread.
    wake: Option<Arc<OwnedFd>>,
    written: Place,
    read: Place,
    /// The daemon knows that there is something to read, or has not asked yet.
    told: bool,
    keep_from: u32,
    /// Its thread waits until more of the output is read.
    blocked: bool,
    finished: Option<(Ended, SpoolWriter)>,
}

impl State {
    /// Wakes its thread, if it has one.
    fn rouse(&self) {
        if let Some(wake) = &self.wake {
            poke(wake);
        }
    }
}

impl Attempt {
    pub(super) fn new(start: &Start) -> Self {
        Self {
            of: start.of,
            before: start.before,
            secrets: start.secrets.clone(),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its thread can be woken from now on.
    pub(super) fn begin(&self, wake: &Arc<OwnedFd>) {
        self.state().wake = Some(Arc::clone(wake));
    }

    /// Somebody wants it to end; the first reason counts.
    pub(super) fn ask(&self, why: Why) {
        let mut state = self.state();
        state.asked.get_or_insert(why);
        state.rouse();
    }

    pub(super) fn asked(&self) -> Option<Why> {
        self.state().asked
    }

    /// The output reaches up to `to`. True when the daemon is to be told.
    pub(super) fn grew(&self, to: Place) -> bool {
        let mut state = self.state();
        state.written = to;
        !std::mem::replace(&mut state.told, true)
    }

    /// The daemon has read up to `read`. The place to tell it of, if there is more already.
    pub(super) fn took(&self, read: Place, keep_from: u32) -> Option<Place> {
        let mut state = self.state();
        (state.read, state.keep_from) = (read, state.keep_from.max(keep_from));
        state.told = state.written > read;
        if state.blocked {
            state.rouse();
        }
        if let Some((_, spool)) = &mut state.finished {
            spool.keep_from(keep_from);
        }
        state.told.then_some(state.written)
    }

    /// The first piece that is still needed. `blocked`: its thread waits for more to be read.
    pub(super) fn keep_from(&self, blocked: bool) -> u32 {
        let mut state = self.state();
        state.blocked = blocked;
        state.keep_from
    }

    /// Another daemon listens, or none: nothing is told before it asks.
    pub(super) fn is_read_by_another(&self) {
        let mut state = self.state();
        state.told = true;
        state.rouse();
    }

    pub(super) fn finish(&self, ended: Ended, spool: SpoolWriter) {
        let mut state = self.state();
        state.wake = None;
        state.finished = Some((ended, spool));
    }

    pub(super) fn is_running(&self) -> bool {
        self.state().finished.is_none()
    }

    /// Its output is on disk when this returns, if it is over.
    pub(super) fn sync(&self) -> std::io::Result<()> {
        self.state().finished.as_ref().map_or(Ok(()), |(_, spool)| spool.sync())
    }

    /// Removes what is left of its output.
    pub(super) fn remove_output(&self) {
        if let Some((_, spool)) = &mut self.state().finished {
            spool.remove();
        }
    }

    pub(super) fn kept(&self) -> Kept {
        let ended = self.state().finished.as_ref().map(|(ended, _)| ended.clone());
        Kept { of: self.of, before: self.before, secrets: self.secrets.clone(), ended }
    }
}
