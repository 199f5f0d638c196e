//! A runner's main thread: hears the daemon, and those that come after it, until nothing is left to do.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use rustix::event::PollFlags;
use tokio::time::Instant;

use super::attempt::Attempt;
use super::command;
use super::ends::{Ends, Note};
use super::folder::{Folder, Identity};
use super::managed::ToStart;
use super::pool::{Pool, Work};
use super::processes::{Processes, Way};
use super::spool::SpoolWriter;
use super::voice::Voice;
use super::waiting::{event, poke, readable, ready, unpoke};
use super::wire::{AttemptKey, Ended, Greeting, How, Inbox, Order, PROTOCOL, Start, Tale};
use crate::clock::SystemClock;

/// How often adopted processes that have ended are collected.
const COLLECT_EVERY: Duration = Duration::from_secs(5);

/// Bytes of one read from the daemon.
const READ_BYTES: usize = 64 << 10;

/// What all threads of a runner share.
pub(super) struct Shared {
    pub(super) folder: Folder,
    pub(super) processes: Processes,
    pub(super) voice: Voice,
    pub(super) clock: SystemClock,
    ends: Mutex<Recorder>,
    attempts: Mutex<HashMap<AttemptKey, Arc<Attempt>>>,
    pool: Arc<Pool<Job>>,
    /// Wakes the main thread.
    wake: Arc<OwnedFd>,
    /// Its own daemon is gone: it takes no further commands, and ends with its last one.
    retired: AtomicBool,
}

/// Writes what becomes of attempts.
struct Recorder {
    ends: Ends,
    /// What could not be written yet.
    unwritten: Vec<Note>,
}

/// A command that is to run.
struct Job {
    attempt: Arc<Attempt>,
    start: Start,
    to_start: Cell<Option<ToStart>>,
}

impl Shared {
    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attempts(&self) -> MutexGuard<'_, HashMap<AttemptKey, Arc<Attempt>>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    fn attempt(&self, of: AttemptKey) -> Option<Arc<Attempt>> {
        self.attempts().get(&of).cloned()
    }

    /// Puts `note` on record. On disk it is when nobody else knows of it: a daemon that listens has it in its own log soon.
    pub(super) fn note(&self, note: Note) {
        self.recorder().unwritten.push(note);
        self.record();
    }

    /// Writes what is to be written. What cannot be is tried again later.
    fn record(&self) {
        let mut recorder = self.recorder();
        let Recorder { ends, unwritten } = &mut *recorder;
        while let Some(note) = unwritten.first() {
            if let Err(err) = ends.add(note) {
                let text = format!("what becomes of attempts cannot be recorded: {err}");
                drop(recorder);
                self.voice.mention(&text);
                return;
            }
            unwritten.remove(0);
        }
        if ends.is_long() {
            let needed: HashSet<_> = self.attempts().keys().copied().collect();
            let rewritten = ends.rewrite(|of| needed.contains(&of));
            drop(recorder);
            self.stays_long(rewritten);
        }
    }

    fn stays_long(&self, rewritten: io::Result<()>) {
        if let Err(err) = rewritten {
            self.voice.mention(&format!("the record of ended attempts stays long: {err}"));
        }
    }

    /// The attempt is over. It runs until that is on record: with the last one that runs the runner goes.
    fn ended(&self, attempt: &Attempt, ended: Ended, spool: SpoolWriter) {
        self.note(Note::Ended(ended.clone()));
        attempt.finish(ended.clone(), spool);
        if !self.voice.is_connected() {
            self.settle([attempt]);
        }
        self.voice.say(&Tale::Ended(Box::new(ended)));
        if self.is_retired() {
            // Maybe it was the last one.
            poke(&self.wake);
        }
    }

    /// Brings to the disk what is on record of `attempts`, and their output before that.
    fn settle<'a>(&self, attempts: impl IntoIterator<Item = &'a Attempt>) {
        for attempt in attempts {
            if let Err(err) = attempt.sync() {
                let execution = attempt.of.execution;
                self.voice.mention(&format!("output of {execution} may not be on disk: {err}"));
            }
        }
        let folder = || File::open(self.folder.path())?.sync_data();
        let synced = self.recorder().ends.sync();
        if let Err(err) = synced.and_then(|()| folder()) {
            self.voice.mention(&format!("ends of attempts may not be on disk: {err}"));
        }
    }

    /// Runs commands until there are none for a while.
    fn work(&self, next: &mut dyn FnMut() -> Option<Job>, begun: &dyn Fn()) {
        let wake = event();
        while let Some(Job { attempt, start, to_start }) = next() {
            let begin = Once::new();
            let begun = || {
                drop(to_start.take());
                begin.call_once(begun);
            };
            let (ended, spool) = match &wake {
                Ok(wake) => {
                    let run =
                        AssertUnwindSafe(|| command::run(self, &attempt, &start, (wake, &begun)));
                    // What it left is a stray from now on, and is ended as one.
                    catch_unwind(run).unwrap_or_else(|_told| self.not_run(&start, How::Lost))
                }
                Err(err) => self.not_started(&start, err),
            };
            // It may not have come to that.
            begun();
            self.ended(&attempt, ended, spool);
        }
    }

    fn not_started(&self, start: &Start, err: &io::Error) -> (Ended, SpoolWriter) {
        let program = start.program.to_string_lossy().into_owned();
        self.not_run(start, How::NotStarted { program, errno: err.raw_os_error() })
    }

    fn not_run(&self, start: &Start, how: How) -> (Ended, SpoolWriter) {
        let spool = SpoolWriter::new(self.folder.path(), start.of);
        let (of, spooled) = (start.of, spool.place());
        (Ended { of, how, spooled, lost_bytes: 0, took_ms: 0 }, spool)
    }
}

/// A runner in `folder` for the daemon at `stream`. Holds the folder's lock for its life.
pub(super) struct Runner {
    shared: Arc<Shared>,
    listener: UnixListener,
    work: Work<Job>,
    daemon: Option<Daemon>,
    _lock: File,
}

/// The daemon that listens.
struct Daemon {
    stream: Arc<UnixStream>,
    inbox: Inbox,
    /// What is read goes here first.
    buffer: Vec<u8>,
}

impl Runner {
    /// # Errors
    /// The system's; [`io::ErrorKind::AlreadyExists`] when somebody else is in the folder.
    pub(super) fn new(
        folder: Folder,
        stream: UnixStream,
        processes: Processes,
    ) -> io::Result<Self> {
        let lock = folder.lock()?.ok_or(io::ErrorKind::AlreadyExists)?;
        let ends = Recorder { ends: Ends::create(&folder)?, unwritten: Vec::new() };
        let listener = folder.listen()?;
        listener.set_nonblocking(true)?;
        folder.write_identity(&Identity::own())?;
        let wake = event()?;
        let shared = Arc::new(Shared {
            voice: Voice::new(folder.log(), Arc::clone(&wake)),
            folder,
            processes,
            clock: SystemClock::new(),
            ends: Mutex::new(ends),
            attempts: Mutex::default(),
            pool: Arc::new(Pool::new()),
            wake,
            retired: AtomicBool::new(false),
        });
        let working = Arc::clone(&shared);
        let work: Work<Job> = Arc::new(move |next, begun| working.work(next, begun));
        let mut runner = Self { shared, listener, work, daemon: None, _lock: lock };
        runner.hear(stream)?;
        Ok(runner)
    }

    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Serves until nothing is left to do.
    pub(super) fn run(mut self) {
        let mut collect_at = Instant::now() + COLLECT_EVERY;
        while !self.is_done() {
            let now = Instant::now();
            if now >= collect_at {
                self.shared.processes.collect();
                self.shared.record();
                collect_at = now + COLLECT_EVERY;
            }
            let (news, comes) = self.wait(collect_at.saturating_duration_since(now));
            // What a daemon has sent before it went counts, also when the next one is there already.
            if (news || comes)
                && let Err(why) = self.listen()
            {
                self.lose(&why);
            }
            if comes {
                self.accept();
            }
        }
        self.shared.processes.tidied();
        self.leave();
    }

    /// Nobody needs it any more: nothing runs, and whoever is to know of an end can read it.
    fn is_done(&self) -> bool {
        let connected = self.daemon.is_some();
        if connected && !self.shared.is_retired() {
            return false;
        }
        let attempts = self.shared.attempts();
        let forgotten = attempts.is_empty() || !connected;
        let over = !attempts.values().any(|attempt| attempt.is_running());
        drop(attempts);
        forgotten && over && self.shared.recorder().unwritten.is_empty()
    }

    /// Waits for something to happen: whether the daemon speaks or takes more, and whether another one comes.
    fn wait(&self, most: Duration) -> (bool, bool) {
        let mut asked = PollFlags::IN;
        if self.shared.voice.has_more() {
            asked |= PollFlags::OUT;
        }
        let daemon = self.daemon.as_ref().map(|daemon| (daemon.stream.as_fd(), asked));
        let ends = [readable(self.shared.wake.as_fd()), daemon, readable(self.listener.as_fd())];
        let [poked, news, comes] = ready(ends, Some(most));
        if poked {
            unpoke(&self.shared.wake);
        }
        (news, comes)
    }

    /// Another daemon comes. It must be this user's; the one before it is gone, or as good as that.
    fn accept(&mut self) {
        let Ok((stream, _)) = self.listener.accept() else { return };
        let own = rustix::process::geteuid();
        let is_own =
            rustix::net::sockopt::socket_peercred(&stream).is_ok_and(|peer| peer.uid == own);
        if !is_own {
            return self.shared.voice.mention("somebody else's process was refused");
        }
        if self.daemon.is_some() {
            self.lose(&io::Error::other("another one came"));
        }
        self.shared.retired.store(true, Ordering::Release);
        if let Err(err) = self.hear(stream) {
            self.shared.voice.mention(&format!("a daemon is not heard: {err}"));
        }
    }

    fn hear(&mut self, stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let (stream, inbox, buffer) = (Arc::new(stream), Inbox::default(), vec![0; READ_BYTES]);
        self.daemon = Some(Daemon { stream, inbox, buffer });
        Ok(())
    }

    /// Takes what the daemon has sent, and sends what is left to send.
    fn listen(&mut self) -> io::Result<()> {
        self.shared.voice.go_on();
        let Some(daemon) = &mut self.daemon else { return Ok(()) };
        let Daemon { stream, inbox, buffer } = daemon;
        let ended = loop {
            match (&**stream).read(buffer) {
                Ok(0) => break Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(size) => {
                    inbox.bytes.extend_from_slice(&buffer[..size]);
                    if size < buffer.len() {
                        break Ok(());
                    }
                }
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(err) if err.kind() == io::ErrorKind::Interrupted => (),
                Err(err) => break Err(err),
            }
        };
        // What was sent before the end counts.
        while let Some(daemon) = &mut self.daemon
            && let Some(order) = daemon.inbox.next()?
        {
            self.carry_out(order)?;
        }
        ended
    }

    /// The daemon is gone. What only it knew is brought to the disk.
    fn lose(&mut self, why: &io::Error) {
        self.daemon = None;
        self.shared.retired.store(true, Ordering::Release);
        self.shared.voice.disconnect();
        // One that had not read all that it was told is gone in the same way, and the kernel calls that a reset.
        if !matches!(why.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) {
            self.shared.voice.mention(&format!("the daemon was lost: {why}"));
        }
        let mut attempts: Vec<_> = self.shared.attempts().values().cloned().collect();
        attempts.iter().for_each(|attempt| attempt.is_read_by_another());
        attempts.retain(|attempt| !attempt.is_running());
        self.shared.settle(attempts.iter().map(|attempt| &**attempt));
    }

    fn carry_out(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::Hello { protocol, .. } => return self.greet(protocol),
            Order::Start(start) => self.start(*start),
            Order::End { of, why } => {
                if let Some(attempt) = self.shared.attempt(of) {
                    attempt.ask(why);
                }
            }
            Order::Took { of, read, keep_from } => {
                let attempt = self.shared.attempt(of);
                if let Some(to) = attempt.and_then(|attempt| attempt.took(read, keep_from)) {
                    self.shared.voice.say(&Tale::Grew { of, to });
                }
            }
            Order::Forget { of } => {
                if let Some(attempt) = self.shared.attempts().remove(&of) {
                    attempt.remove_output();
                }
            }
        }
        Ok(())
    }

    fn greet(&self, protocol: u32) -> io::Result<()> {
        let Some(daemon) = &self.daemon else { return Ok(()) };
        let Identity { version, pid, .. } = Identity::own();
        self.shared.voice.connect(Arc::clone(&daemon.stream), || {
            let attempts = self.shared.attempts().values().map(|attempt| attempt.kept()).collect();
            Tale::Hello(Greeting { protocol: PROTOCOL, version, pid, attempts })
        });
        if protocol != PROTOCOL {
            let text = format!("it speaks protocol {protocol}, and this runner {PROTOCOL}");
            return Err(io::Error::other(text));
        }
        // It is not known before it was tried, which takes a moment.
        let shared = Arc::clone(&self.shared);
        std::thread::Builder::new().name("way".to_owned()).spawn(move || {
            let way = match shared.processes.way() {
                Way::Cgroups(folder) => Ok(folder.into_os_string()),
                Way::Proc(why) => Err(why),
            };
            shared.voice.say(&Tale::Way(way));
        })?;
        Ok(())
    }

    fn start(&self, start: Start) {
        let attempt = Arc::new(Attempt::new(&start));
        self.shared.attempts().insert(start.of, Arc::clone(&attempt));
        let to_start = self.shared.processes.to_start(start.of.execution);
        let job = Job { attempt, start, to_start: Cell::new(Some(to_start)) };
        if let Err((Job { attempt, start, to_start }, err)) = self.shared.pool.give(job, &self.work)
        {
            drop(to_start);
            let (ended, spool) = self.shared.not_started(&start, &err);
            self.shared.ended(&attempt, ended, spool);
        }
    }

    /// Leaves behind what the next daemon needs, or nothing.
    fn leave(&self) {
        let attempts = self.shared.attempts().clone();
        let said = std::fs::metadata(self.shared.folder.log()).is_ok();
        if attempts.is_empty() && !said {
            return self.shared.folder.remove();
        }
        let rewritten = self.shared.recorder().ends.rewrite(|of| attempts.contains_key(&of));
        self.shared.stays_long(rewritten);
        // Who has just ended may not have come to it.
        self.shared.settle(attempts.values().map(|attempt| &**attempt));
    }
}

#[cfg(test)]
mod tests;
