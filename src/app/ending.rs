//! What ends the daemon, and how it ends: nobody owns its commands afterwards, so none is left.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::daemon::Daemon;
use super::error::ServeError;
use super::serve::{Core, Deciding};
use super::upkeep::Upkeep;
use crate::engine::Engine;
use crate::engine::ports::go_on;
use crate::jobs::LocalPerformer;

/// Beyond the grace: what is left behind after KILL, and the end of each log.
const ENDING_MAX: Duration = Duration::from_secs(10);

/// The signals that stop the daemon.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Waits for one of them, and names it.
    pub(super) async fn told(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Hears them from now on.
    ///
    /// # Errors
    /// [`ServeError::Machine`] when the system refuses.
    pub(super) fn listen() -> Result<Self, ServeError> {
        Ok(Self {
            terminate: hear(SignalKind::terminate())?,
            interrupt: hear(SignalKind::interrupt())?,
        })
    }
}

/// Hears a signal, which no longer ends the process by itself.
///
/// # Errors
/// [`ServeError::Machine`] when the system refuses.
pub(super) fn hear(kind: SignalKind) -> Result<Signal, ServeError> {
    signal(kind).map_err(|err| ServeError::machine("the signals", &err))
}

/// Waits for a signal, or for the first failure of those who decide and record.
///
/// # Errors
/// [`ServeError`]: the failure.
pub(super) async fn until_told(
    signals: &mut Signals,
    deciding: &mut Deciding,
    mut lines: watch::Receiver<Option<String>>,
) -> Result<String, ServeError> {
    tokio::select! {
        signal = signals.told() => Ok(signal.to_owned()),
        why = first(&mut deciding.failed) => Err(ServeError::Store(why)),
        why = first(&mut lines) => Err(ServeError::Store(format!("the line store failed: {why}"))),
        _ = &mut deciding.engine => Err(ServeError::Machine("the engine has ended".to_owned())),
    }
}

/// The first failure that `failed` tells of, or that it can tell of none any more.
async fn first(failed: &mut watch::Receiver<Option<String>>) -> String {
    match failed.wait_for(Option::is_some).await {
        Ok(why) => why.clone().unwrap_or_default(),
        Err(_gone) => "nobody follows it any more".to_owned(),
    }
}

impl Daemon {
    /// Starts nothing more, lets what runs end within the grace, interrupts the rest, records the stop and writes a
    /// checkpoint.
    pub(super) async fn stop_in_order(
        &self,
        core: &Core,
        upkeep: &Upkeep,
        performer: &LocalPerformer,
        reason: &str,
    ) {
        tracing::info!(%reason, "stopping");
        go_on(&core.news, Engine::drain);
        // What was decided before has reached the performer then.
        upkeep.settle().await;
        performer.drain();
        if tokio::time::timeout(self.settings.grace.value, performer.idle()).await.is_err() {
            tracing::warn!(running = performer.under_way(), "executions are interrupted");
        }
        self.interrupt(performer).await;
        let reason = reason.to_owned();
        go_on(&core.news, move |engine| engine.record_stop(&reason));
        upkeep.settle().await;
        upkeep.checkpoint(0).await;
    }

    /// Ends what is still worked on: TERM, the grace, KILL, for whole process trees. Nothing begins afterwards.
    pub(super) async fn interrupt(&self, performer: &LocalPerformer) {
        performer.interrupt();
        let longest = self.settings.grace.value.saturating_add(ENDING_MAX);
        if tokio::time::timeout(longest, performer.idle()).await.is_err() {
            tracing::error!(
                running = performer.under_way(),
                "executions do not end; the next start closes them"
            );
        }
        performer.processes().tidied().await;
    }
}
