//! The queue of one check: deliveries in order, retried, dropped when they are overtaken or too old.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::courier::Shared;
use super::ping::Answer;
use crate::clock::Woke;
use crate::crash;
use crate::domain::effect::Effect;
use crate::domain::event::{Delivery, DeliveryEnded};
use crate::engine::ports::News;
use crate::ids::StreamId;

/// A delivery older than this is dropped (contract, section 9).
const TOO_OLD: Duration = Duration::from_secs(24 * 3600);

/// The first wait between two tries; each further one is twice as long.
const WAIT: Duration = Duration::from_secs(1);

/// The longest wait between two tries.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// Works off the deliveries of one check for as long as the daemon runs.
pub(super) async fn work(shared: Arc<Shared>, mut effects: mpsc::UnboundedReceiver<Effect>) {
    let mut waiting = VecDeque::new();
    loop {
        if waiting.is_empty() {
            let Some(effect) = effects.recv().await else { return };
            waiting.push_back(effect);
        }
        while let Ok(effect) = effects.try_recv() {
            waiting.push_back(effect);
        }
        let Some(effect) = waiting.pop_front() else { continue };
        let (tries, result) = deliver(&shared, &effect, &mut waiting, &mut effects).await;
        report(&shared, &effect, tries, result);
    }
}

/// Tries until it is taken, refused, overtaken or too old.
async fn deliver(
    shared: &Shared,
    effect: &Effect,
    waiting: &mut VecDeque<Effect>,
    effects: &mut mpsc::UnboundedReceiver<Effect>,
) -> (u32, Result<(), (Delivery, String)>) {
    let mut wait = WAIT;
    let mut tries = 0;
    loop {
        if overtaken(effect, waiting) {
            return (
                tries,
                Err((
                    Delivery::Dropped,
                    "overtaken by a later execution of the same check".to_owned(),
                )),
            );
        }
        if shared.clock.now().since(effect.at) > TOO_OLD {
            return (tries, Err((Delivery::Dropped, "older than 24 hours".to_owned())));
        }
        tries += 1;
        let at_least = match shared.send(effect).await {
            Answer::Taken => return (tries, Ok(())),
            Answer::Refused(why) => return (tries, Err((Delivery::Failed, why))),
            Answer::Later(why, at_least) => {
                tracing::warn!(schedule = %effect.schedule, kind = effect.kind.as_str(), tries, %why, "a delivery waits");
                at_least.unwrap_or_default()
            }
        };
        let again = shared.clock.now() + wait.max(at_least.min(WAIT_MAX));
        wait = (wait * 2).min(WAIT_MAX);
        // A step of the clock only makes the next try earlier or later.
        let sleep = async {
            while shared.clock.sleep_until(again).await == Woke::Stepped
                && shared.clock.now() < again
            {}
        };
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                () = &mut sleep => break,
                Some(later) = effects.recv() => {
                    waiting.push_back(later);
                    if overtaken(effect, waiting) { break }
                }
            }
        }
    }
}

/// Whether a ping of a later execution of the same check waits behind this one.
fn overtaken(effect: &Effect, waiting: &VecDeque<Effect>) -> bool {
    effect.kind.is_ping()
        && waiting.iter().any(|later| later.execution != effect.execution && later.at >= effect.at)
}

fn report(shared: &Shared, effect: &Effect, tries: u32, result: Result<(), (Delivery, String)>) {
    if result.is_ok() {
        crash::point(crash::Point::Delivered);
    }
    let (result, reason) = match result {
        Ok(()) => (Delivery::Sent, None),
        Err((result, reason)) => (result, Some(reason)),
    };
    if let Some(reason) = &reason {
        tracing::warn!(schedule = %effect.schedule, kind = effect.kind.as_str(), %reason, "a delivery was given up");
    }
    let kind = effect.kind.as_str().to_owned();
    let ended = DeliveryEnded { cause: effect.cause, kind, result, tries, reason };
    let stream = effect
        .execution
        .map_or_else(|| StreamId::Schedule(effect.schedule.clone()), StreamId::Execution);
    // When the engine is gone the process is about to end; the outbox still holds the delivery.
    drop(shared.news.send(News::Delivered { stream, ended }));
}
