//! What ends the daemon, and how: it starts nothing more, waits for what runs up to a deadline, and ends in good order.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant as Stopwatch;

use super::daemon::Daemon;
use super::error::ServeError;
use super::serve::{Core, Deciding};
use super::service;
use super::upkeep::Upkeep;
use crate::crash;
use crate::domain::event::{DrainAsked, Event, Trigger};
use crate::engine::ports::{Observer, Recorded, go_on};
use crate::ids::ScheduleRef;
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

/// Hears of the wish that the daemon ends.
pub(super) struct DrainHeard(pub(super) watch::Sender<Option<DrainAsked>>);

impl Observer for DrainHeard {
    fn recorded(&self, recorded: Recorded<'_>) {
        if let Event::DrainAsked(asked) = recorded.event {
            self.0.send_replace(Some(asked.clone()));
        }
    }

    fn applied(&self, _schedules: &[(&ScheduleRef, Trigger)]) {}
}

/// The way to the end, once somebody has asked for it.
#[derive(Default)]
struct Way {
    /// Who asked last.
    by: Option<String>,
    /// The newest deadline.
    until: Option<Stopwatch>,
    signalled: bool,
}

/// The first failure that `failed` tells of, or that it can tell of none any more.
async fn first(failed: &mut watch::Receiver<Option<String>>) -> String {
    match failed.wait_for(Option::is_some).await {
        Ok(why) => why.clone().unwrap_or_default(),
        Err(_gone) => "nobody follows it any more".to_owned(),
    }
}

impl Daemon {
    /// Runs until it is time to end: somebody asked for that, and nothing runs any more, or the deadline has passed, or a
    /// second signal has come. Gives who asked.
    ///
    /// # Errors
    /// [`ServeError`]: the first failure of those who decide and record.
    pub(super) async fn until_over(
        &self,
        core: &Core,
        upkeep: &Upkeep,
        signals: &mut Signals,
        deciding: &mut Deciding,
    ) -> Result<String, ServeError> {
        let mut way = Way::default();
        let performer = deciding.performer.clone();
        loop {
            let draining = way.by.is_some();
            tokio::select! {
                biased;
                why = first(&mut deciding.failed) => return Err(ServeError::Store(why)),
                why = first(&mut deciding.lines_failed) => {
                    return Err(ServeError::Store(format!("the line store failed: {why}")));
                }
                _ = &mut deciding.engine => {
                    return Err(ServeError::Machine("the engine has ended".to_owned()));
                }
                signal = signals.told() => {
                    if std::mem::replace(&mut way.signalled, true) {
                        tracing::info!(%signal, "a second signal: nothing is waited for any more");
                        return Ok(way.by.unwrap_or_else(|| signal.to_owned()));
                    }
                    service::stopping();
                    let deadline = core.clock.now() + self.settings.drain_deadline.value;
                    go_on(&core.news, move |engine| engine.stop(signal, deadline));
                }
                Ok(()) = deciding.drains.changed() => {
                    let asked = deciding.drains.borrow_and_update().clone();
                    let Some(DrainAsked { by, deadline }) = asked else { continue };
                    tracing::info!(%by, deadline = deadline.map(display), "draining");
                    let left = deadline.map(|at| at.since(core.clock.now()));
                    way.until = left.map(|left| Stopwatch::now() + left);
                    way.by = Some(by);
                    // What was decided before has reached the performer then.
                    upkeep.settle_for_good().await;
                    performer.drain();
                }
                () = performer.idle(), if draining => return Ok(way.by.unwrap_or_default()),
                () = passed(way.until), if draining => {
                    tracing::warn!(running = performer.under_way(), "the deadline has passed");
                    return Ok(way.by.unwrap_or_default());
                }
            }
        }
    }

    /// Lets go of what still runs, records the stop and writes a checkpoint.
    pub(super) async fn stop_in_order(
        &self,
        core: &Core,
        upkeep: &Upkeep,
        performer: &LocalPerformer,
        reason: String,
    ) {
        tracing::info!(%reason, "stopping");
        crash::point(crash::Point::StopAsked);
        self.interrupt(performer).await;
        go_on(&core.news, move |engine| engine.record_stop(&reason));
        upkeep.settle_for_good().await;
        crash::point(crash::Point::StopRecorded);
        upkeep.checkpoint(0).await;
    }

    /// Lets go of what is still worked on: calls end, commands are left to their runner. Nothing begins afterwards.
    pub(super) async fn interrupt(&self, performer: &LocalPerformer) {
        performer.interrupt();
        let longest = self.settings.grace.value.saturating_add(ENDING_MAX);
        if tokio::time::timeout(longest, performer.idle()).await.is_err() {
            tracing::error!(
                running = performer.under_way(),
                "executions do not end; the next start closes them"
            );
        }
    }
}

/// Waits for an instant; for ever when there is none.
async fn passed(until: Option<Stopwatch>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}
