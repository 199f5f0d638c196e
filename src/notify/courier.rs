//! Hands each effect of the outbox to the queue of its check.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::check;
use super::notice;
use super::ping::{Answer, Pinger, address};
use crate::clock::Clock;
use crate::domain::definition;
use crate::domain::effect::Effect;
use crate::engine::board::Board;
use crate::engine::ports::{Courier, News};
use crate::ids::{ExecutionId, ScheduleRef};
use crate::projection::Projections;
use crate::projection::view;
use crate::store::lines::{LineQuery, LineStore};

/// Lines of a log's end that are looked at.
const TAIL_LINES: u64 = 200;

/// What the courier works with.
pub struct CourierParts {
    /// From [`super::client`].
    pub client: reqwest::Client,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The definitions in force, for the addresses.
    pub board: Arc<Board>,
    /// For the log's tail.
    pub lines: LineStore,
    /// For the execution's shape.
    pub projections: Arc<Projections>,
    /// The engine's ear.
    pub news: mpsc::UnboundedSender<News>,
}

pub(super) struct Shared {
    pinger: Pinger,
    pub(super) clock: Arc<dyn Clock>,
    board: Arc<Board>,
    lines: LineStore,
    projections: Arc<Projections>,
    pub(super) news: mpsc::UnboundedSender<News>,
}

/// One queue for each check: a schedule's monitor, or an interface's receiver of notices.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Check {
    Ping(ScheduleRef),
    Notify(crate::ids::InterfaceId),
}

/// See the module's doc.
pub struct OutboxCourier {
    shared: Arc<Shared>,
    queues: Mutex<HashMap<Check, mpsc::UnboundedSender<Effect>>>,
}

impl OutboxCourier {
    /// A courier with empty queues.
    pub fn new(parts: CourierParts) -> Self {
        let shared = Shared {
            pinger: Pinger::new(parts.client),
            clock: parts.clock,
            board: parts.board,
            lines: parts.lines,
            projections: parts.projections,
            news: parts.news,
        };
        Self { shared: Arc::new(shared), queues: Mutex::new(HashMap::new()) }
    }
}

impl Courier for OutboxCourier {
    fn deliver(&self, effect: Effect) {
        let check = if effect.kind.is_ping() {
            Check::Ping(effect.schedule.clone())
        } else {
            Check::Notify(effect.schedule.interface.clone())
        };
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry(check).or_insert_with(|| {
            let (queue, effects) = mpsc::unbounded_channel();
            crate::task::spawn("a courier", check::work(Arc::clone(&self.shared), effects));
            queue
        });
        if queue.send(effect).is_err() {
            tracing::error!("a delivery queue is gone; its deliveries wait for the next start");
        }
    }
}

impl Shared {
    /// Tries one delivery once.
    pub(super) async fn send(&self, effect: &Effect) -> Answer {
        let Some((definition, base)) = self.address_of(effect) else {
            return Answer::Refused("the address is no longer in the file".to_owned());
        };
        match effect.execution {
            Some(execution) if effect.kind.is_ping() => {
                let Some(url) = address(&base, effect.kind, execution) else {
                    return Answer::Refused("the address cannot be read".to_owned());
                };
                let body = tail(&self.lines, execution, self.pinger.body_bytes(&url));
                self.pinger.ping(url, body).await
            }
            _ => self.notice(effect, &definition, &base).await,
        }
    }

    async fn notice(
        &self,
        effect: &Effect,
        definition: &definition::Interface,
        base: &str,
    ) -> Answer {
        let Ok(url) = reqwest::Url::parse(base) else {
            return Answer::Refused("the address cannot be read".to_owned());
        };
        let execution = match effect.execution {
            Some(id) => match self.execution(id).await {
                Some(execution) => Some(execution),
                None => {
                    return Answer::Later("the execution is not in the index yet".to_owned(), None);
                }
            },
            None => None,
        };
        let key = format!("{}-{}", effect.cause, effect.kind.as_str());
        self.pinger.notice(url, &key, &notice::body(effect, definition, execution.as_ref())).await
    }

    fn address_of(&self, effect: &Effect) -> Option<(Arc<definition::Interface>, String)> {
        let definition = self.board.read(|state| {
            state.interfaces.get(&effect.schedule.interface).map(|row| Arc::clone(&row.definition))
        })?;
        let address = if effect.kind.is_ping() {
            definition.schedules.get(&effect.schedule.schedule)?.ping.clone()
        } else {
            definition.notify.clone()
        };
        address.map(|address| (definition, address))
    }

    async fn execution(&self, id: ExecutionId) -> Option<view::Execution> {
        let position = self.board.read(|state| state.position);
        self.projections.caught_up(position).await.ok()?;
        self.projections.execution(id).ok().flatten()
    }
}

/// The last lines of the log, secrets replaced, cut to the `keep` bytes that the monitor keeps.
fn tail(lines: &LineStore, execution: ExecutionId, keep: usize) -> String {
    let summary = lines.summary(execution).ok().flatten();
    let count = summary.map_or(0, |summary| summary.lines);
    let query = LineQuery { after: count.saturating_sub(TAIL_LINES), ..LineQuery::default() };
    let mut text = String::new();
    let read = lines.for_each(execution, &query, &mut |line| {
        text.push_str(line.text);
        text.push('\n');
        // Lines may be long: no more of them is held than twice what is sent.
        if text.len() > keep * 2 {
            keep_end(&mut text, keep);
        }
        ControlFlow::Continue(())
    });
    if let Err(err) = read {
        tracing::warn!(%execution, error = %err, "the log of a ping cannot be read to its end");
    }
    keep_end(&mut text, keep);
    text
}

fn keep_end(text: &mut String, bytes: usize) {
    let cut = text.len().saturating_sub(bytes);
    let cut = (cut..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.drain(..cut);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_end_is_kept_and_no_character_is_torn() {
        let mut text = "one é two".to_owned();
        keep_end(&mut text, 20);
        assert_eq!(text, "one é two");
        keep_end(&mut text, 5);
        assert_eq!(text, " two");
    }
}
