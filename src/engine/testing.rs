//! An engine with a log in memory, a virtual clock, and parts around it that do what a test wants.

mod performers;
mod runner;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub(super) use performers::{Broken, Lingers, Plans, Stuck};
pub(super) use runner::Runner;

use performers::Takes;

use super::board::Board;
use super::commit::Committer;
use super::handle::{Handle, Order, Refusal};
use super::ports::{Courier, Definitions, Files, News, Performer, settled};
use super::state::State;
use super::{Engine, Identity, Parts};
use crate::app::checks;
use crate::clock::{Clock, VirtualClock};
use crate::config::{self, load_text};
use crate::domain::definition::Interface;
use crate::domain::effect::{Effect, EffectKind};
use crate::domain::event::{Actor, Change, Envelope, Event, Opened};
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleRef, StreamId};
use crate::instant::Instant;
use crate::store::EventLog;
use crate::store::memory::MemoryLog;

struct Nobody;

impl Courier for Nobody {
    fn deliver(&self, _effect: Effect) {}
}

/// Keeps what it is to deliver, and whether the address could be looked up.
pub(super) struct Kept(pub(super) Arc<Board>, pub(super) Mutex<Vec<(EffectKind, bool)>>);

impl Courier for Kept {
    fn deliver(&self, effect: Effect) {
        let known = self.0.read(|state| state.interfaces.contains_key(&effect.schedule.interface));
        self.1.lock().expect("no panic").push((effect.kind, known));
    }
}

/// One file, `shop.toml`.
pub(super) struct Text(pub(super) String);

impl Definitions for Text {
    fn load(&self) -> Files {
        let id: InterfaceId = "shop".parse().expect("a name");
        let (interface, problems) = load_text(&id, "shop.toml", &self.0, checks());
        let interface = interface.unwrap_or_else(|| panic!("{problems:?}"));
        Files { accepted: [(id, interface)].into(), ..Files::default() }
    }

    fn changes(&self, old: Option<&Interface>, new: Option<&Interface>) -> Vec<Change> {
        config::diff(old, new)
    }
}

/// What the files say, one reading after the other.
pub(super) struct Readings(Mutex<VecDeque<Files>>);

impl Readings {
    pub(super) fn new(files: impl IntoIterator<Item = Files>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(files.into_iter().collect())))
    }
}

impl Definitions for Readings {
    fn load(&self) -> Files {
        self.0.lock().expect("no panic").pop_front().expect("another reading")
    }

    fn changes(&self, old: Option<&Interface>, new: Option<&Interface>) -> Vec<Change> {
        config::diff(old, new)
    }
}

/// What an engine is given.
pub(super) struct Given {
    pub(super) clock: Arc<VirtualClock>,
    pub(super) log: MemoryLog,
    pub(super) board: Arc<Board>,
    pub(super) performer: Arc<dyn Performer>,
    pub(super) courier: Arc<dyn Courier>,
    pub(super) definitions: Arc<dyn Definitions>,
}

impl Given {
    /// An empty log, `text` as the only file, and every execution takes `takes`.
    pub(super) fn new(text: &str, from: &str, takes: Duration) -> Self {
        let clock = Arc::new(VirtualClock::new(Instant::parse(from).expect("an instant")));
        Self {
            performer: Arc::new(Takes(takes, Arc::clone(&clock))),
            clock,
            log: MemoryLog::new(),
            board: Arc::default(),
            courier: Arc::new(Nobody),
            definitions: Arc::new(Text(text.to_owned())),
        }
    }

    pub(super) async fn start(self) -> Working {
        let log = Arc::new(self.log);
        let past = log.read(Position(0), 100_000).expect("readable");
        let mut state = State::default();
        past.iter().for_each(|envelope| state.replay(envelope));
        state.fresh.clear();
        let (news, mut heard) = mpsc::unbounded_channel();
        let (commits, committed) = mpsc::unbounded_channel();
        let (failing, failed) = watch::channel(None);
        let committer = Committer {
            performer: Arc::clone(&self.performer),
            courier: Arc::clone(&self.courier),
            board: Arc::clone(&self.board),
            failed: failing,
        };
        tokio::spawn(committer.run(committed, *log.durable().borrow()));
        let files = self.definitions.load();
        let counter = Mutex::new(u8::try_from(past.len() % 100).expect("small"));
        let parts = Parts {
            log: Arc::clone(&log) as _,
            clock: Arc::clone(&self.clock) as _,
            performer: self.performer,
            courier: self.courier,
            definitions: self.definitions,
            board: Arc::clone(&self.board),
            observers: Vec::new(),
            entropy: Box::new(move || {
                let mut counter = counter.lock().expect("no panic");
                *counter += 1;
                [*counter; 10]
            }),
            max_concurrent: 16,
            identity: Identity {
                version: "test".to_owned(),
                boot_id: "one".to_owned(),
                zone_data: "test".to_owned(),
            },
        };
        let (handle, requests) = Handle::new(self.board, 16);
        let mut engine = Engine::new(parts, state, commits, news.clone());
        engine.start(files, &mut heard).await;
        let engine = tokio::spawn(engine.run(requests, heard));
        Working { clock: self.clock, log, handle, news, failed, engine }
    }
}

/// An engine at work.
pub(super) struct Working {
    pub(super) clock: Arc<VirtualClock>,
    pub(super) log: Arc<MemoryLog>,
    pub(super) handle: Handle,
    pub(super) news: mpsc::UnboundedSender<News>,
    pub(super) failed: watch::Receiver<Option<String>>,
    engine: JoinHandle<()>,
}

impl Working {
    pub(super) async fn pass(&self, time: Duration) {
        let end = self.clock.now() + time;
        while self.clock.now() < end {
            self.clock.sleep_until(end).await;
        }
    }

    /// Waits until all that the engine was told is on disk.
    pub(super) async fn settle(&self) {
        let (reply, answer) = oneshot::channel();
        assert!(
            settled(&self.news, move |_| {
                assert_eq!(reply.send(()), Ok(()), "nobody waits");
            }),
            "the engine has ended"
        );
        answer.await.expect("it settles");
    }

    /// Starts `shop/sales`.
    pub(super) async fn run(&self) -> Result<ExecutionId, Refusal> {
        let order = Order { schedule: sales(), params: BTreeMap::new(), force: false };
        self.handle.run(Actor::Daybook, order).await.map(|done| done.value)
    }

    pub(super) fn all(&self) -> Vec<Envelope> {
        self.log.read(Position(0), 100_000).expect("readable")
    }

    pub(super) fn events(&self) -> Vec<(Instant, Event)> {
        self.all().into_iter().map(|envelope| (envelope.at, envelope.event)).collect()
    }

    pub(super) fn opened(&self) -> Vec<(StreamId, Opened)> {
        let opened = |envelope: Envelope| match envelope.event {
            Event::Opened(opened) => Some((envelope.stream, opened)),
            _ => None,
        };
        self.all().into_iter().filter_map(opened).collect()
    }

    /// The names of an execution's events.
    pub(super) fn story(&self, id: ExecutionId) -> Vec<&'static str> {
        let events = self.log.read_stream(&StreamId::Execution(id), 0, 100).expect("readable");
        events.iter().map(|envelope| envelope.event.name()).collect()
    }

    /// What the next process finds after this one was killed.
    pub(super) fn killed(self) -> MemoryLog {
        self.engine.abort();
        self.log.restarted()
    }
}

pub(super) fn sales() -> ScheduleRef {
    "shop/sales".parse().expect("a name")
}
