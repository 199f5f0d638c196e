//! Lets a story happen: an engine, its log and clock, jobs that take their time, and a daemon that dies and comes back.
//!
//! One thread and tokio's paused time. Whatever comes from outside (requests, reports of jobs, faults) comes from here,
//! one after another and only when the engine has nothing left to do: so the same story always writes the same log.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::disk::Disk;
use super::jobs::{Bench, How, Job};
use super::ledger::Ledger;
use super::random::{Random, mixed};
use super::story::{Down, Edit, Fault, Step, Story, Target, edit_files};
use super::turns::AT_ONCE;
use super::{Checked, ensure};
use crate::app::checks;
use crate::clock::{Clock, VirtualClock};
use crate::config::{self, load_text};
use crate::domain::cause::Cause;
use crate::domain::definition::Interface;
use crate::domain::effect::Effect;
use crate::domain::event::{Actor, Change, Envelope, Event};
use crate::engine::board::Board;
use crate::engine::commit::Committer;
use crate::engine::handle::{Done, Handle, Order, Pause, Refusal};
use crate::engine::ports::{Courier, Definitions, Files, News, go_on, settled};
use crate::engine::state::State;
use crate::engine::{Engine, Identity, Parts};
use crate::ids::{ExecutionId, Position, ScheduleRef};
use crate::store::codec;
use crate::store::memory::MemoryLog;

/// What a story came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) events: u64,
    pub(super) decided: u64,
    pub(super) starts: u64,
    /// Attempts that a daemon took over from the one before.
    pub(super) taken_over: u64,
    /// Attempts that one let go of.
    pub(super) let_go: u64,
    /// Attempts that were interrupted.
    pub(super) interrupted: u64,
    /// Over all events as they are stored.
    pub(super) hash: Option<blake3::Hash>,
    /// The log, append by append.
    pub(super) log: Vec<Vec<Envelope>>,
}

/// Files that change under the daemon.
struct Shelf(Mutex<Files>);

impl Definitions for Shelf {
    fn load(&self) -> Files {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn changes(&self, old: Option<&Interface>, new: Option<&Interface>) -> Vec<Change> {
        config::diff(old, new)
    }
}

struct Nobody;

impl Courier for Nobody {
    fn deliver(&self, _effect: Effect) {}
}

mod checks;
mod ends;
mod requests;

/// A daemon at work.
struct Daemon {
    handle: Handle,
    news: mpsc::UnboundedSender<News>,
    failed: watch::Receiver<Option<String>>,
    board: Arc<Board>,
    engine: JoinHandle<()>,
    committer: JoinHandle<()>,
}

/// Why something did not come to its end.
enum Cut {
    /// The armed fault happened, or the daemon ended because of it.
    Died,
    Wrong(String),
}

impl From<String> for Cut {
    fn from(why: String) -> Self {
        Self::Wrong(why)
    }
}

type Lived<T = ()> = Result<T, Cut>;

/// All that there is.
struct World {
    story: Story,
    clock: Arc<VirtualClock>,
    disk: Arc<Disk>,
    bench: Arc<Bench>,
    shelf: Arc<Shelf>,
    daemon: Option<Daemon>,
    jobs: Vec<Job>,
    /// The newest attempt whose end is on disk; who ran it may not have heard of that.
    remembered: Option<(ExecutionId, u32)>,
    ledger: Ledger,
    /// The fold of what the ledger has read.
    folded: State,
    read: u64,
    checkpoint: Option<(u64, Vec<u8>)>,
    /// What happens when the armed fault does.
    armed: Option<(Fault, Down)>,
    boot: u64,
    starts: u64,
    /// Where the newest answer said that its events end.
    answered: Position,
    /// What it has come to so far.
    told: Told,
}

/// Tells a story to its end.
pub(super) fn tell(story: &Story) -> Checked<Told> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|err| err.to_string())?;
    runtime.block_on(async {
        let mut world = World::new(story.clone());
        let told = world.live().await;
        told.map_err(|why| format!("{why}\nthe newest events:\n{}", world.newest_events()))
    })
}

impl World {
    fn new(story: Story) -> Self {
        let clock = Arc::new(VirtualClock::new(story.start));
        let disk = Arc::new(Disk::new(MemoryLog::new(), Vec::new()));
        let bench = Arc::new(Bench::new(Arc::clone(&disk), story.real_jobs, BTreeMap::new()));
        let mut ledger = Ledger::default();
        ledger.files.clone_from(&story.files);
        Self {
            story,
            clock,
            disk,
            bench,
            shelf: Arc::new(Shelf(Mutex::default())),
            daemon: None,
            jobs: Vec::new(),
            remembered: None,
            ledger,
            folded: State::default(),
            read: 0,
            checkpoint: None,
            armed: None,
            boot: 1,
            starts: 0,
            answered: Position(0),
            told: Told::default(),
        }
    }

    async fn live(&mut self) -> Checked<Told> {
        self.start(false).await?;
        self.finish(Ok(())).await?;
        for (number, step) in self.story.steps.clone().iter().enumerate() {
            let at = self.clock.now();
            let told = self.step(step).await;
            told.map_err(|why| format!("in step {number}, begun at {at}: {why}"))?;
        }
        self.end().await.map_err(|why| format!("at the end: {why}"))
    }

    /// Writes the files as the ledger knows them.
    fn write_files(&self) -> Checked {
        let mut files = Files::default();
        for (id, file) in &self.ledger.files {
            let text = file.to_string();
            let (interface, problems) = load_text(id, &format!("{id}.toml"), &text, checks());
            let interface = interface.ok_or_else(|| format!("{problems:?}\n{text}"))?;
            files.accepted.insert(id.clone(), interface);
        }
        *self.shelf.0.lock().unwrap_or_else(PoisonError::into_inner) = files;
        Ok(())
    }

    /// The state that the next process goes on from.
    fn folded_state(&self, from_checkpoint: bool) -> Checked<State> {
        let fold = |mut state: State, after: u64| {
            self.disk.since(after).iter().for_each(|envelope| state.replay(envelope));
            state.fresh.clear();
            state
        };
        let whole = fold(State::default(), 0);
        let Some((position, bytes)) = self.checkpoint.as_ref().filter(|_| from_checkpoint) else {
            return Ok(whole);
        };
        let shortened = fold(codec::unpack(bytes)?, *position);
        ensure(shortened == whole, || {
            format!("the fold from position {position} is another one than that from zero")
        })?;
        Ok(shortened)
    }

    async fn start(&mut self, from_checkpoint: bool) -> Checked {
        self.write_files()?;
        let state = self.folded_state(from_checkpoint)?;
        self.ledger.turns.restart(self.clock.now(), &self.bench.left());
        self.ledger.disturbed = self.clock.now();
        self.ledger.draining = false;
        self.starts += 1;
        let (news, mut heard) = mpsc::unbounded_channel();
        let (commits, committed) = mpsc::unbounded_channel();
        let (failing, failed) = watch::channel(None);
        let board = Arc::new(Board::default());
        let committer = Committer {
            performer: Arc::clone(&self.bench) as _,
            courier: Arc::new(Nobody),
            board: Arc::clone(&board),
            failed: failing,
        };
        let committer = tokio::spawn(committer.run(committed, Position(self.disk.durable_count())));
        let (seed, ids) = (mixed(&[self.story.seed, self.starts]), AtomicU64::new(0));
        let parts = Parts {
            log: Arc::clone(&self.disk) as _,
            clock: Arc::clone(&self.clock) as _,
            performer: Arc::clone(&self.bench) as _,
            courier: Arc::new(Nobody),
            definitions: Arc::clone(&self.shelf) as _,
            board: Arc::clone(&board),
            observers: Vec::new(),
            entropy: Box::new(move || {
                let mut random = Random::new(seed ^ ids.fetch_add(1, Ordering::Relaxed) << 32);
                let mut bytes = [0; 10];
                bytes.iter_mut().for_each(|byte| *byte = random.next().to_le_bytes()[0]);
                bytes
            }),
            max_concurrent: AT_ONCE,
            identity: Identity {
                version: "sim".to_owned(),
                boot_id: format!("boot-{}", self.boot),
                zone_data: "sim".to_owned(),
            },
        };
        let (handle, requests) = Handle::new(Arc::clone(&board), 16);
        let mut engine = Engine::new(parts, state, commits, news.clone());
        engine.start(self.shelf.load(), &mut heard).await;
        let engine = tokio::spawn(engine.run(requests, heard));
        self.daemon = Some(Daemon { handle, news, failed, board, engine, committer });
        Ok(())
    }

    /// Ends a step: the daemon has nothing left to do, or it died and comes back.
    async fn finish(&mut self, mut lived: Lived) -> Checked {
        loop {
            if let Ok(()) = lived {
                lived = self.settle().await;
            }
            match lived {
                Ok(()) => return self.check(true).await,
                Err(Cut::Wrong(why)) => return Err(why),
                Err(Cut::Died) => {
                    let (_, down) = self.armed.take().ok_or("the daemon ended by itself")?;
                    self.die(&down).await?;
                    lived = Ok(());
                }
            }
        }
    }

    async fn step(&mut self, step: &Step) -> Checked {
        match step {
            Step::Pass { secs } => {
                let lived = self.pass(*secs).await;
                self.finish(lived).await
            }
            Step::SetClock { by_s } => {
                self.set_clock(*by_s);
                self.finish(Ok(())).await
            }
            Step::Suspend { secs } => {
                let time = Duration::from_secs(*secs);
                self.jobs.iter_mut().for_each(|job| job.sleep_through(time));
                tokio::time::advance(time).await;
                self.ledger.disturbed = self.clock.now();
                self.finish(Ok(())).await
            }
            Step::Kill(down) => {
                self.armed = None;
                self.die(down).await?;
                self.finish(Ok(())).await
            }
            Step::Stop { drain_s, down } => self.stop(*drain_s, down).await,
            Step::Drain { drain_s, down } => self.drain(*drain_s, down).await,
            Step::Lose => {
                let lived = self.lose().await;
                self.finish(lived).await
            }
            Step::Fault { after, how, down } => {
                self.disk.arm(*after, *how);
                self.armed = Some((*how, down.clone()));
                Ok(())
            }
            Step::Edit(id, edit) => {
                let lived = self.reload(id, edit).await;
                self.finish(lived).await
            }
            Step::Pause { .. }
            | Step::Resume { .. }
            | Step::Run { .. }
            | Step::Rerun { .. }
            | Step::Cancel { .. } => {
                let lived = self.request(step).await;
                self.finish(lived).await
            }
        }
    }

    fn set_clock(&mut self, by_s: i64) {
        let by = Duration::from_secs(by_s.unsigned_abs());
        if by_s < 0 {
            self.clock.step_back(by)
        } else {
            self.clock.step_forward(by)
        }
        self.ledger.disturbed = self.clock.now();
    }

    fn daemon(&self) -> Checked<&Daemon> {
        self.daemon.as_ref().ok_or_else(|| "no daemon".to_owned())
    }

    /// Waits for something that the daemon does, or for its death.
    async fn wait<T>(&self, what: impl Future<Output = T>) -> Lived<T> {
        let daemon = self.daemon()?;
        let (mut tripped, mut failed) = (self.disk.tripped(), daemon.failed.clone());
        tokio::select! {
            biased;
            _ = tripped.wait_for(|tripped| *tripped) => Err(Cut::Died),
            _ = failed.wait_for(|failed| failed.is_some()) => Err(Cut::Died),
            done = what => Ok(done),
        }
    }

    /// Waits until the engine has nothing left to do now, and reads what it has recorded.
    async fn settle(&mut self) -> Lived {
        // Twice: what the first round of decisions led to (a conclusion, a turn) is decided in the second.
        for _ in 0..3 {
            let (reply, answer) = oneshot::channel();
            let there = settled(&self.daemon()?.news, move |_| reply.send(()).unwrap_or_default());
            self.wait(async { there && answer.await.is_ok() }).await.and_then(|there| {
                if there { Ok(()) } else { Err(Cut::Wrong("the engine has ended".to_owned())) }
            })?;
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        }
        self.read_log()?;
        self.take_work()?;
        let elapsed = self.clock.elapsed();
        self.jobs.iter_mut().for_each(|job| job.look(elapsed));
        Ok(())
    }

    fn take_work(&mut self) -> Checked {
        let gone = self.bench.let_go_of();
        self.told.let_go += gone.len() as u64;
        self.jobs.retain(|job| !gone.contains(&job.execution));
        for taken in self.bench.take()? {
            let id = taken.work.execution;
            let known = self.jobs.iter_mut().find(|job| job.execution == id);
            match (known, taken.how) {
                (Some(job), How::TakenOver) => {
                    job.taken_over(taken)?;
                    self.told.taken_over += 1;
                }
                (None, How::TakenOver) => return Err(format!("{id} is taken over, and is gone")),
                (Some(_), _) => return Err(format!("{id} is performed twice")),
                (None, _) => {
                    self.jobs.push(Job::new(self.story.seed, taken, self.clock.elapsed()));
                }
            }
        }
        let left = self.bench.left();
        ensure(left.is_empty(), || format!("{left:?} are neither taken over nor let go of"))
    }

    /// Reads what is on disk and was not read yet.
    fn read_log(&mut self) -> Checked {
        let events = self.disk.since(self.read);
        let mut rest = events.as_slice();
        for end in self.disk.ends() {
            if end <= self.read {
                continue;
            }
            let count = usize::try_from(end - self.read).expect("small");
            let (append, later) = rest.split_at(count.min(rest.len()));
            self.ledger.read(append).map_err(|why| {
                let at = append.first().map(|envelope| envelope.at).unwrap_or_default();
                format!("the append of {at} up to position {end}: {why}")
            })?;
            append.iter().for_each(|envelope| self.folded.replay(envelope));
            self.read = end;
            rest = later;
        }
        self.folded.fresh.clear();
        Ok(())
    }

    /// Lets time pass, and the jobs report in time.
    async fn pass(&mut self, secs: u64) -> Lived {
        let end = self.clock.now() + Duration::from_secs(secs);
        self.settle().await?;
        loop {
            let next = self.jobs.iter().map(|job| job.due(&*self.clock)).min();
            let next = next.map_or(end, |next| next.min(end));
            let clock = Arc::clone(&self.clock);
            self.wait(clock.sleep_until(next)).await?;
            self.settle().await?;
            self.report().await?;
            self.check(false).await?;
            if self.clock.now() >= end {
                return Ok(());
            }
        }
    }

    /// Lets the jobs report whose time has come.
    async fn report(&mut self) -> Lived {
        loop {
            let now = self.clock.now();
            let due = self.jobs.iter().position(|job| job.due(&*self.clock) <= now);
            let Some(due) = due else { return Ok(()) };
            self.jobs[due].report(&*self.clock);
            self.settle().await?;
            if let Some(attempt) = self.jobs[due].held() {
                self.remembered = Some((self.jobs[due].execution, attempt));
            }
            if self.jobs[due].recorded(&*self.clock) {
                self.jobs.swap_remove(due);
            }
        }
    }

    async fn end(&mut self) -> Checked<Told> {
        let lived = self.pass(60).await;
        self.finish(lived).await?;
        let events = self.disk.since(0);
        let mut hasher = blake3::Hasher::new();
        for Envelope { hash, .. } in &events {
            hasher.update(hash);
        }
        let interrupted = |envelope: &&Envelope| match &envelope.event {
            Event::AttemptEnded(ended) => ended.cause == Some(Cause::TecInterrupted),
            _ => false,
        };
        let interrupted = events.iter().filter(interrupted).count() as u64;
        Ok(Told {
            interrupted,
            events: events.len() as u64,
            decided: self.ledger.decided,
            starts: self.starts,
            hash: Some(hasher.finalize()),
            log: self.disk.appends(),
            ..std::mem::take(&mut self.told)
        })
    }
}
