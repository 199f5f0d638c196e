//! An engine with a log in memory, a virtual clock, and parts around it that do what a test wants.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::commit::Committer;
use super::handle::{Handle, Order, Refusal};
use super::ports::{
    BoxFuture, Courier, Definitions, Files, Held, HeldAttempt, News, Performer, Reporter,
    Unfinished, Work, settled,
};
use super::state::State;
use super::{Engine, Identity, Parts};
use crate::app::checks;
use crate::clock::{Clock, VirtualClock};
use crate::config::{self, load_text};
use crate::domain::cause::Cause;
use crate::domain::definition::Interface;
use crate::domain::effect::{Effect, EffectKind};
use crate::domain::event::{
    Actor, AttemptEnded, Change, Envelope, ErrorCounts, Event, Opened, Outcome, RetryPlanned,
};
use crate::domain::execution::{Command, Conclusion};
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleRef, StreamId};
use crate::instant::Instant;
use crate::store::EventLog;
use crate::store::memory::MemoryLog;

/// Ends every execution well, so long after its start.
struct Takes(Duration, Arc<VirtualClock>);

fn conclusion(outcome: Outcome) -> Conclusion {
    Conclusion {
        outcome,
        class: None,
        cause: None,
        exit_code: Some(0),
        lines: 0,
        errors: ErrorCounts::default(),
        first_error: None,
        log_hash: [0; 32],
        interrupted: false,
    }
}

fn concluded(why: Unfinished) -> BoxFuture<Conclusion> {
    let outcome = match why {
        Unfinished::Interrupted | Unfinished::Crashed => Outcome::Ko,
        Unfinished::CancelledInQueue | Unfinished::CancelledInTheMiddle => Outcome::Cancelled,
    };
    Box::pin(async move { conclusion(outcome) })
}

/// Nothing is held, or left to do.
fn nothing<T: Default + Send + 'static>() -> BoxFuture<T> {
    Box::pin(std::future::ready(T::default()))
}

impl Performer for Takes {
    fn perform(&self, _work: Work, reporter: Reporter) -> BoxFuture<()> {
        let (clock, end) = (Arc::clone(&self.1), self.1.now() + self.0);
        Box::pin(async move {
            clock.sleep_until(end).await;
            let ended = AttemptEnded {
                attempt: 1,
                exit_code: Some(0),
                signal: None,
                usage: None,
                outcome: Outcome::Ok,
                cause: None,
            };
            reporter
                .tell(vec![Command::EndAttempt(ended), Command::Close(conclusion(Outcome::Ok))]);
        })
    }

    fn resume(&self, work: Work, at: Instant, reporter: Reporter) -> BoxFuture<()> {
        let (clock, takes) = (Arc::clone(&self.1), Self(self.0, Arc::clone(&self.1)));
        Box::pin(async move {
            clock.sleep_until(at).await;
            reporter.record(vec![Command::StartAttempt]).await;
            takes.perform(work, reporter).await;
        })
    }

    fn held(&self) -> BoxFuture<Held> {
        nothing()
    }

    fn take_over(&self, work: Work, reporter: Reporter) -> BoxFuture<()> {
        self.perform(work, reporter)
    }

    fn let_go(&self, _unwanted: Held) -> BoxFuture<()> {
        nothing()
    }

    fn conclude(&self, _work: Work, why: Unfinished) -> BoxFuture<Conclusion> {
        concluded(why)
    }
}

/// Fails once, and plans another attempt for an instant that never comes.
pub(super) struct Plans(pub(super) Instant);

impl Performer for Plans {
    fn perform(&self, _work: Work, reporter: Reporter) -> BoxFuture<()> {
        let planned = RetryPlanned { attempt: 2, at: self.0, delay_ms: 0, asked: false };
        Box::pin(async move {
            let ended = AttemptEnded {
                attempt: 1,
                exit_code: Some(1),
                signal: None,
                usage: None,
                outcome: Outcome::Ko,
                cause: None,
            };
            reporter.tell(vec![Command::EndAttempt(ended), Command::PlanRetry(planned)]);
            std::future::pending().await
        })
    }

    fn resume(&self, _work: Work, _at: Instant, _reporter: Reporter) -> BoxFuture<()> {
        Box::pin(std::future::pending())
    }

    fn held(&self) -> BoxFuture<Held> {
        nothing()
    }

    fn take_over(&self, work: Work, reporter: Reporter) -> BoxFuture<()> {
        self.perform(work, reporter)
    }

    fn let_go(&self, _unwanted: Held) -> BoxFuture<()> {
        nothing()
    }

    fn conclude(&self, _work: Work, why: Unfinished) -> BoxFuture<Conclusion> {
        concluded(why)
    }
}

/// Breaks down at once.
pub(super) struct Broken;

impl Performer for Broken {
    fn perform(&self, _work: Work, _reporter: Reporter) -> BoxFuture<()> {
        Box::pin(async { panic!("a mistake of ours") })
    }

    fn resume(&self, work: Work, _at: Instant, reporter: Reporter) -> BoxFuture<()> {
        self.perform(work, reporter)
    }

    fn held(&self) -> BoxFuture<Held> {
        nothing()
    }

    fn take_over(&self, work: Work, reporter: Reporter) -> BoxFuture<()> {
        self.perform(work, reporter)
    }

    fn let_go(&self, _unwanted: Held) -> BoxFuture<()> {
        nothing()
    }

    fn conclude(&self, _work: Work, why: Unfinished) -> BoxFuture<Conclusion> {
        concluded(why)
    }
}

/// Never comes to an end, until the process does.
pub(super) struct Stuck;

impl Performer for Stuck {
    fn perform(&self, _work: Work, _reporter: Reporter) -> BoxFuture<()> {
        Box::pin(std::future::pending())
    }

    fn resume(&self, work: Work, _at: Instant, reporter: Reporter) -> BoxFuture<()> {
        self.perform(work, reporter)
    }

    fn held(&self) -> BoxFuture<Held> {
        nothing()
    }

    fn take_over(&self, work: Work, reporter: Reporter) -> BoxFuture<()> {
        self.perform(work, reporter)
    }

    fn let_go(&self, _unwanted: Held) -> BoxFuture<()> {
        nothing()
    }

    fn conclude(&self, _work: Work, _why: Unfinished) -> BoxFuture<Conclusion> {
        Box::pin(std::future::pending())
    }
}

/// Performs as `others` do, and concludes an execution only when it is told that its processes are gone.
pub(super) struct Lingers {
    pub(super) others: Arc<dyn Performer>,
    pub(super) gone: Arc<Notify>,
}

impl Performer for Lingers {
    fn perform(&self, work: Work, reporter: Reporter) -> BoxFuture<()> {
        self.others.perform(work, reporter)
    }

    fn resume(&self, work: Work, at: Instant, reporter: Reporter) -> BoxFuture<()> {
        self.others.resume(work, at, reporter)
    }

    fn held(&self) -> BoxFuture<Held> {
        nothing()
    }

    fn take_over(&self, work: Work, reporter: Reporter) -> BoxFuture<()> {
        self.perform(work, reporter)
    }

    fn let_go(&self, _unwanted: Held) -> BoxFuture<()> {
        nothing()
    }

    fn conclude(&self, work: Work, why: Unfinished) -> BoxFuture<Conclusion> {
        let (gone, concluded) = (Arc::clone(&self.gone), self.others.conclude(work, why));
        Box::pin(async move {
            gone.notified().await;
            concluded.await
        })
    }
}

/// Performs as a runner does: its attempts outlive the daemon, and end in its stead.
#[derive(Clone)]
pub(super) struct Runner(Arc<Runs>);

struct Runs {
    takes: Duration,
    clock: Arc<VirtualClock>,
    /// The attempts that run or have ended, with their end.
    held: Mutex<BTreeMap<ExecutionId, (u32, Instant)>>,
    /// What it was told to let go of, and whether it has.
    let_go: watch::Sender<(Vec<(ExecutionId, u32)>, bool)>,
    /// It is gone, and all that it ran.
    lost: CancellationToken,
}

impl Runner {
    /// A runner whose attempts take so long each.
    pub(super) fn new(takes: Duration, clock: &Arc<VirtualClock>) -> Self {
        Self(Arc::new(Runs {
            takes,
            clock: Arc::clone(clock),
            held: Mutex::default(),
            let_go: watch::Sender::new((Vec::new(), true)),
            lost: CancellationToken::new(),
        }))
    }

    /// Holds this attempt too.
    pub(super) fn hold(&self, id: ExecutionId, attempt: u32) {
        let end = self.0.clock.now() + self.0.takes;
        self.0.held.lock().expect("no panic").insert(id, (attempt, end));
    }

    /// It ends, and all that it runs.
    pub(super) fn dies(&self) {
        self.0.held.lock().expect("no panic").clear();
        self.0.lost.cancel();
    }

    /// Lets what it is to let go of linger until it is told otherwise.
    pub(super) fn linger(&self, lingers: bool) {
        self.0.let_go.send_modify(|(_, gone)| *gone = !lingers);
    }

    /// What it was told to let go of.
    pub(super) fn let_go_of(&self) -> Vec<(ExecutionId, u32)> {
        self.0.let_go.borrow().0.clone()
    }

    async fn go_on(self, attempt: u32, work: Work, reporter: Reporter) {
        let end = self.0.held.lock().expect("no panic").get(&work.execution).map(|held| held.1);
        let (outcome, cause, interrupted) = tokio::select! {
            biased;
            () = self.0.lost.cancelled() => (Outcome::Ko, Some(Cause::TecInterrupted), true),
            () = work.cancel.cancelled() => (Outcome::Cancelled, None, false),
            _ = self.0.clock.sleep_until(end.unwrap_or_default()) => (Outcome::Ok, None, false),
        };
        let ended =
            AttemptEnded { attempt, exit_code: None, signal: None, usage: None, outcome, cause };
        let close = Conclusion { interrupted, ..conclusion(outcome) };
        reporter.record(vec![Command::EndAttempt(ended), Command::Close(close)]).await;
        self.0.held.lock().expect("no panic").remove(&work.execution);
    }
}

impl Performer for Runner {
    fn perform(&self, work: Work, reporter: Reporter) -> BoxFuture<()> {
        self.hold(work.execution, 1);
        Box::pin(self.clone().go_on(1, work, reporter))
    }

    fn resume(&self, work: Work, at: Instant, reporter: Reporter) -> BoxFuture<()> {
        let (runner, attempt) = (self.clone(), work.attempts + 1);
        Box::pin(async move {
            runner.0.clock.sleep_until(at).await;
            reporter.record(vec![Command::StartAttempt]).await;
            runner.hold(work.execution, attempt);
            runner.go_on(attempt, work, reporter).await;
        })
    }

    fn held(&self) -> BoxFuture<Held> {
        let held = self.0.held.lock().expect("no panic");
        let now = self.0.clock.now();
        let attempt = |(id, (number, end)): (&ExecutionId, &(u32, Instant))| {
            (*id, HeldAttempt { number: *number, ended: *end <= now })
        };
        Box::pin(std::future::ready(held.iter().map(attempt).collect()))
    }

    fn take_over(&self, work: Work, reporter: Reporter) -> BoxFuture<()> {
        Box::pin(self.clone().go_on(work.attempts, work, reporter))
    }

    fn let_go(&self, unwanted: Held) -> BoxFuture<()> {
        let mut held = self.0.held.lock().expect("no panic");
        held.retain(|id, _| !unwanted.contains_key(id));
        let unwanted = unwanted.into_iter().map(|(id, held)| (id, held.number));
        self.0.let_go.send_modify(|(all, _)| all.extend(unwanted));
        let mut gone = self.0.let_go.subscribe();
        Box::pin(async move {
            gone.wait_for(|(_, gone)| *gone).await.expect("it lives");
        })
    }

    fn conclude(&self, _work: Work, why: Unfinished) -> BoxFuture<Conclusion> {
        concluded(why)
    }
}

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
