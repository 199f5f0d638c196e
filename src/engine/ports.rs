//! What the engine asks of the parts around it. The adapters stand in `jobs`, `notify` and `config`; `app` wires them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::domain::definition;
use crate::domain::effect::Effect;
use crate::domain::event::{Change, DeliveryEnded, Event, Opened, Trigger};
use crate::domain::execution::{Command, Conclusion};
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleRef, StreamId};
use crate::instant::Instant;

/// A future without a name.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An execution that is to be performed.
#[derive(Clone, Debug)]
pub struct Work {
    /// Its id.
    pub execution: ExecutionId,
    /// What it was opened with.
    pub opened: Arc<Opened>,
    /// The definition that it runs with; none when this program could not read it back.
    pub interface: Option<Arc<definition::Interface>>,
    /// Attempts that were started before.
    pub attempts: u32,
    /// Cancelled when a person asks for its end.
    pub cancel: CancellationToken,
}

/// Why an execution ends without having been performed to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// The daemon or machine stopped while an attempt ran.
    Interrupted,
    /// A person cancelled it while no attempt ran.
    CancelledInQueue,
    /// A person had asked for its end before the daemon or machine stopped under it.
    CancelledInTheMiddle,
    /// Whoever performed it panicked.
    Crashed,
}

/// The attempts that a performer holds for a former daemon, by execution.
pub type Held = HashMap<ExecutionId, HeldAttempt>;

/// An attempt that a performer holds for a former daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldAttempt {
    /// Its number, from 1.
    pub number: u32,
    /// It has ended, and its end is on record: whoever takes it over hears of it in a moment.
    pub ended: bool,
}

/// Performs executions: all attempts, their log, their end. Never fails; every trouble is a line and a verdict.
///
/// Attempts may outlive the daemon. A start asks once for what is [held](Self::held), before anything else, and decides about
/// each: it is [taken over](Self::take_over) or [let go of](Self::let_go). A daemon that ends in between has decided
/// nothing: the next one is told of the same attempts again.
pub trait Performer: Send + Sync {
    /// Performs `work`, whose first attempt is recorded as started, and reports until [`Command::Close`]. An execution
    /// that waits for its next attempt when the daemon stops is left open.
    fn perform(&self, work: Work, reporter: Reporter) -> BoxFuture<()>;

    /// Goes on with `work` of a former process, whose next attempt was planned for `at`. Reports as [`Self::perform`] does,
    /// the next attempt's start first.
    fn resume(&self, work: Work, at: Instant, reporter: Reporter) -> BoxFuture<()>;

    /// The attempts of former daemons that are still held: they run, or they have ended and their end is on record, and nobody
    /// has taken that over yet. The newest attempt of each execution; those before it are the performer's to forget. What
    /// somebody else started, or nothing is known of, is not held: [`Self::conclude`] ends what is left of it.
    fn held(&self) -> BoxFuture<Held>;

    /// Goes on with the held attempt number `work.attempts` of `work`, which the log knows as running: reads on where the
    /// execution's log ends, with nothing lost and nothing twice, and reports as [`Self::perform`] does from there on, its end
    /// first. When whoever runs it is gone by now, that end is an interrupted attempt. `work.cancel` may be cancelled already.
    fn take_over(&self, work: Work, reporter: Reporter) -> BoxFuture<()>;

    /// Ends the attempts in `unwanted`, which are held and which nobody goes on with: the log knows their execution as over,
    /// their attempt as ended, or nothing of either. Whole process trees: TERM, the grace, KILL. Forgets them, and what they
    /// have written with them. Resolves when nothing of them is left; their executions may start again then.
    fn let_go(&self, unwanted: Held) -> BoxFuture<()>;

    /// Writes the closing line of an execution that is not performed (any further). For an interrupted one it ends what is left
    /// of it before.
    fn conclude(&self, work: Work, why: Unfinished) -> BoxFuture<Conclusion>;
}

/// Delivers pings and notices, each at least once.
pub trait Courier: Send + Sync {
    /// Takes an effect over; its end is reported as [`News::Delivered`].
    fn deliver(&self, effect: Effect);
}

/// An event that was decided, with what it belongs to.
#[derive(Clone, Copy)]
pub struct Recorded<'a> {
    /// The fact.
    pub event: &'a Event,
    /// The schedule, for events of a schedule's stream.
    pub schedule: Option<&'a ScheduleRef>,
    /// What the execution was opened with, for events of an open execution.
    pub opened: Option<&'a Opened>,
}

/// Hears of what is decided (metrics).
pub trait Observer: Send + Sync {
    /// Something was decided.
    fn recorded(&self, recorded: Recorded<'_>);

    /// The files were applied: `schedules` are in force, each with the trigger of its own slots.
    fn applied(&self, schedules: &[(&ScheduleRef, Trigger)]);
}

/// Something that is wrong in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileProblem {
    /// All of it on one line, `fnac.toml:3:8: …`.
    pub text: String,
    /// The file.
    pub file: String,
    /// From 1; none when the place is not in a text.
    pub line: Option<usize>,
    /// In characters, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

/// What the files say.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Definitions that were accepted.
    pub accepted: BTreeMap<InterfaceId, definition::Interface>,
    /// Interfaces whose file was accepted and says what is in force already. The engine moves them here, so that a hundred
    /// thousand schedules are in memory twice for a moment only.
    pub unchanged: BTreeSet<InterfaceId>,
    /// Interfaces whose file was not: they keep their last accepted version.
    pub refused: BTreeSet<InterfaceId>,
    /// What is wrong.
    pub problems: Vec<FileProblem>,
    /// Whether the folder itself could not be read: then nothing counts as removed.
    pub unreadable: bool,
}

/// Reads the files.
pub trait Definitions: Send + Sync {
    /// Reads all files now. Blocks.
    fn load(&self) -> Files;

    /// What differs between two definitions, secrets as references.
    fn changes(
        &self,
        old: Option<&definition::Interface>,
        new: Option<&definition::Interface>,
    ) -> Vec<Change>;
}

/// Something that the engine does next, with what was read away from its task.
pub type Continuation = Box<dyn FnOnce(&mut super::core::Engine) + Send>;

/// Something that the engine did not decide itself.
pub enum News {
    /// A performer reports; `done` is answered when all of it is on disk.
    Happened {
        /// The execution.
        execution: ExecutionId,
        /// What happened, in order; recorded in one append.
        commands: Vec<Command>,
        /// Who waits for it.
        done: Option<oneshot::Sender<()>>,
    },
    /// A courier reports.
    Delivered {
        /// The stream of the event that the delivery followed from.
        stream: StreamId,
        /// What became of it.
        ended: DeliveryEnded,
    },
    /// Something was read; the engine goes on with it.
    GoOn(Continuation),
}

/// Lets the engine go on with `next`. False when it has ended.
pub fn go_on(
    news: &mpsc::UnboundedSender<News>,
    next: impl FnOnce(&mut super::core::Engine) + Send + 'static,
) -> bool {
    news.send(News::GoOn(Box::new(next))).is_ok()
}

/// Calls `then` when everything that the engine has decided up to now is on disk. False when it has ended.
pub fn settled(
    news: &mpsc::UnboundedSender<News>,
    then: impl FnOnce(Position) + Send + 'static,
) -> bool {
    go_on(news, move |engine| engine.when_settled(then))
}

/// How a performer reports to the engine.
#[derive(Clone, Debug)]
pub struct Reporter {
    /// The execution.
    pub execution: ExecutionId,
    /// The engine's ear.
    pub news: mpsc::UnboundedSender<News>,
}

impl Reporter {
    /// Reports and goes on.
    pub fn tell(&self, commands: Vec<Command>) {
        self.send(commands, None);
    }

    /// Reports and goes on; what is given back tells when it is on disk, or that it will never be.
    pub fn report(&self, commands: Vec<Command>) -> oneshot::Receiver<()> {
        let (done, recorded) = oneshot::channel();
        self.send(commands, Some(done));
        recorded
    }

    /// Reports and waits until it is on disk. Never resolves when the engine is gone: the process is about to end.
    pub async fn record(&self, commands: Vec<Command>) {
        let (done, recorded) = oneshot::channel();
        self.send(commands, Some(done));
        if recorded.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn send(&self, commands: Vec<Command>, done: Option<oneshot::Sender<()>>) {
        let news = News::Happened { execution: self.execution, commands, done };
        // A closed channel means that the engine has ended; start-up will close the execution as interrupted.
        drop(self.news.send(news));
    }
}
