//! One attempt of a command: started, read, waited for, and its whole tree ended.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use wait4::Wait4;

use super::attempt::{AttemptContext, Ran};
use super::command::{self, Prepared};
use super::processes::{Managed, Processes, send};
use super::procfs::Process;
use super::redact::Redactor;
use super::scribe::Scribe;
use crate::domain::class::{Level, Source};
use crate::domain::event::Usage;
use crate::domain::verdict::End;

/// A line is handed on after so long even when its chunk is not full (contract, rule 11).
pub(super) const TICK: Duration = Duration::from_millis(250);

/// What is left over delays an execution's end by so much at most (contract, section 3); in a tree that Daybook ends,
/// counted from KILL on.
const LEFTOVER_MAX: Duration = Duration::from_secs(5);

/// Of that, the time between TERM and KILL for what a command left over by itself.
const LEFTOVER_GRACE_MAX: Duration = Duration::from_secs(3);

/// How often processes that were asked to end are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Bytes of one read: what a pipe holds.
const READ_BYTES: usize = 64 * 1024;

/// What a busy pipe is widened to, so that writer and reader take fewer and longer turns. More is refused to users
/// without privileges (pipe(7)); and since what their pipes hold together is limited too, quiet ones stay as they are.
const WIDE_PIPE_BYTES: usize = 1 << 20;

/// A timeout that nobody set.
const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// Why Daybook ends a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Timeout,
    Cancel,
    Interrupt,
}

/// Runs the prepared command to its end. When this returns, none of its processes is left.
pub(super) async fn run(
    context: &AttemptContext,
    timeout: Option<Duration>,
    mut prepared: Prepared,
    scribe: &mut Scribe,
) -> Ran {
    let mut live = match Live::start(context, &mut prepared) {
        Ok(live) => live,
        Err(err) => return Ran::ended(command::not_started(&prepared.shown, &err)),
    };
    live.until_exit(context, timeout, scribe).await;
    let stop = live.ending.map(|ending| ending.why);
    let (status, usage) = match live.collect() {
        Ok(collected) => collected,
        Err(err) => {
            let text = format!("the exit status is lost: {err}");
            scribe.note(Level::Warning, None, None, &text, None);
            (ExitStatus::default(), Usage::default())
        }
    };
    live.settle(context, scribe).await;
    Ran {
        end: end_of(status, stop, timeout, &context.settings.processes),
        exit_code: exit_code(status),
        signal: signal(status),
        usage: Some(usage),
        retry_after: None,
        repeatable: true,
    }
}

fn exit_code(status: ExitStatus) -> Option<i32> {
    status.code()
}

fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

fn end_of(
    status: ExitStatus,
    stop: Option<Stop>,
    timeout: Option<Duration>,
    processes: &Processes,
) -> End {
    match (stop, signal(status)) {
        (Some(Stop::Timeout), _) => End::TimedOut { limit: timeout.unwrap_or_default() },
        (Some(Stop::Cancel), _) => End::Cancelled,
        (Some(Stop::Interrupt), _) => End::Interrupted,
        (None, Some(9)) if processes.claim_out_of_memory_kill() => End::OutOfMemory,
        (None, Some(signal)) => End::Signalled { signal },
        (None, None) => End::Exited { status: exit_code(status).unwrap_or_default() },
    }
}

/// A tree that was asked to end.
#[derive(Clone, Copy, Debug)]
struct Ending {
    why: Stop,
    /// When the grace is over.
    kill_at: Instant,
}

/// A started command.
struct Live {
    child: Child,
    managed: Managed,
    exited: AsyncFd<OwnedFd>,
    output: Output,
    ending: Option<Ending>,
}

impl Live {
    fn start(context: &AttemptContext, prepared: &mut Prepared) -> io::Result<Self> {
        let processes = &context.settings.processes;
        let (mut child, managed) = processes.start(context.execution, &mut prepared.command)?;
        match Self::watch(&mut child, managed.pid()) {
            Ok((exited, output)) => Ok(Self { child, managed, exited, output, ending: None }),
            Err(err) => {
                // Without a watch it must not run on: nobody would see its end.
                end_group(managed.pid(), Signal::KILL);
                child.wait()?;
                managed.collected();
                Err(err)
            }
        }
    }

    #[expect(
        deprecated,
        reason = "its successor is unsafe, which this crate forbids; an owned descriptor is all that it asks for"
    )]
    fn watch(child: &mut Child, pid: i32) -> io::Result<(AsyncFd<OwnedFd>, Output)> {
        let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        let handle = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
        let exited = AsyncFd::with_interest(handle, Interest::READABLE)?;
        let stdout = child.stdout.take().map(|pipe| Pipe::new(pipe.into()));
        let stderr = child.stderr.take().map(|pipe| Pipe::new(pipe.into()));
        let output =
            Output { stdout: stdout.transpose()?, stderr: stderr.transpose()?, buffer: Vec::new() };
        Ok((exited, output))
    }

    /// Reads output until the main process ends by itself or is ended.
    async fn until_exit(
        &mut self,
        context: &AttemptContext,
        timeout: Option<Duration>,
        scribe: &mut Scribe,
    ) {
        let start = Instant::now();
        let deadline = start + timeout.unwrap_or(NEVER).min(NEVER);
        let mut kill_at = deadline;
        let mut tick = interval_at(start + TICK, TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut full = false;
        loop {
            tokio::select! {
                biased;
                () = context.cancel.cancelled(), if self.ending.is_none() => {
                    kill_at = self.begin_to_end(Stop::Cancel, context.settings.grace);
                }
                () = sleep_until(deadline), if self.ending.is_none() => {
                    kill_at = self.begin_to_end(Stop::Timeout, context.settings.grace);
                }
                () = sleep_until(kill_at), if self.ending.is_some() => {
                    self.signal_all(Signal::KILL);
                    kill_at = Instant::now() + LOOK_EVERY;
                }
                ready = self.exited.readable() => {
                    if let Err(err) = ready {
                        tracing::error!(%err, pid = self.managed.pid(), "a process cannot be watched");
                    }
                    return;
                }
                // Behind the exit: what has ended by itself was not interrupted.
                () = context.settings.interrupt.cancelled(), if self.ending.is_none() => {
                    kill_at = self.begin_to_end(Stop::Interrupt, context.settings.grace);
                }
                _ = tick.tick() => scribe.cut(),
                () = scribe.ready(), if full => full = false,
                source = self.output.readable(), if !full && self.output.is_open() => {
                    full = self.output.read(source, scribe);
                }
            }
        }
    }

    /// Asks the tree to end; when KILL follows.
    fn begin_to_end(&mut self, why: Stop, grace: Duration) -> Instant {
        self.signal_all(Signal::TERM);
        let kill_at = Instant::now() + grace;
        self.ending = Some(Ending { why, kill_at });
        kill_at
    }

    fn signal_all(&self, signal: Signal) {
        // The group first: it is hit in one step, before a member can start another one.
        end_group(self.managed.pid(), signal);
        for process in self.managed.members() {
            if process.group != self.managed.pid() {
                send(&process, signal);
            }
        }
    }

    fn collect(&mut self) -> io::Result<(ExitStatus, Usage)> {
        let ended = self.child.wait4();
        self.managed.collected();
        let ended = ended?;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let usage = Usage {
            user_ms: millis(ended.rusage.utime),
            system_ms: millis(ended.rusage.stime),
            max_rss_bytes: ended.rusage.maxrss,
        };
        Ok((ended.status, usage))
    }

    /// After the main process's end: reads what is still in the pipes, and ends what it left behind.
    async fn settle(&mut self, context: &AttemptContext, scribe: &mut Scribe) {
        let mut left = self.leftovers();
        let now = Instant::now();
        // Who was asked to end with the main process keeps the rest of the grace.
        let kill_at = match self.ending {
            Some(ending) => ending.kill_at.max(now),
            None => now + context.settings.grace.min(LEFTOVER_GRACE_MAX),
        };
        if !left.is_empty() && self.ending.is_none() {
            let text = format!("{} left over, ended by Daybook", named(&left, scribe.secrets()));
            scribe.note(Level::Warning, None, None, &text, None);
            end_each(&left, Signal::TERM);
        }
        let mut look_at = now + LOOK_EVERY;
        let mut tick = interval_at(now + TICK, TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut full = false;
        while !left.is_empty() || self.output.is_open() {
            let until = match self.ending {
                Some(_) if !left.is_empty() => kill_at + LEFTOVER_MAX,
                Some(_) | None => now + LEFTOVER_MAX,
            };
            tokio::select! {
                biased;
                // While the writer is behind, what is in the pipes waits for it and not for a process.
                () = sleep_until(until), if !full => {
                    end_each(&left, Signal::KILL);
                    self.output.drain(scribe).await;
                    self.note_unfinished(&left, scribe);
                    return;
                }
                () = sleep_until(look_at), if !left.is_empty() => {
                    left = self.managed.members();
                    if Instant::now() >= kill_at {
                        end_each(&left, Signal::KILL);
                    }
                    look_at = Instant::now() + LOOK_EVERY;
                }
                _ = tick.tick() => scribe.cut(),
                () = scribe.ready(), if full => full = false,
                source = self.output.readable(), if !full && self.output.is_open() => {
                    full = self.output.read(source, scribe);
                }
            }
        }
    }

    fn leftovers(&self) -> Vec<Process> {
        if self.managed.has_leftovers() { self.managed.members() } else { Vec::new() }
    }

    fn note_unfinished(&self, left: &[Process], scribe: &mut Scribe) {
        let text = if !left.is_empty() {
            let named = named(left, scribe.secrets());
            format!("{named} did not end on SIGTERM and SIGKILL")
        } else if self.output.is_open() {
            "an output pipe is still held open by a process outside this execution; what it writes from now on is not read".to_owned()
        } else {
            return;
        };
        scribe.note(Level::Warning, None, None, &text, None);
    }
}

fn named(processes: &[Process], secrets: &Redactor) -> String {
    const SHOWN: usize = 5;
    let shown = processes.iter().take(SHOWN);
    let names: Vec<String> = shown.map(|process| process.describe(secrets)).collect();
    let more = processes.len().saturating_sub(SHOWN);
    match more {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

fn end_group(leader: i32, signal: Signal) {
    if let Some(group) = Pid::from_raw(leader)
        && let Err(err) = kill_process_group(group, signal)
    {
        tracing::debug!(leader, %err, "signal not sent to the group");
    }
}

fn end_each(processes: &[Process], signal: Signal) {
    for process in processes {
        send(process, signal);
    }
}

/// The reading ends of a command's two pipes.
struct Output {
    stdout: Option<Pipe>,
    stderr: Option<Pipe>,
    buffer: Vec<u8>,
}

/// The reading end of one pipe.
struct Pipe {
    receiver: Receiver,
    widened: bool,
}

impl Pipe {
    fn new(end: OwnedFd) -> io::Result<Self> {
        Ok(Self { receiver: Receiver::from_owned_fd(end)?, widened: false })
    }

    fn widen(&mut self) {
        self.widened = true;
        if let Err(err) = fcntl_setpipe_size(&self.receiver, WIDE_PIPE_BYTES) {
            tracing::debug!(%err, "a busy pipe keeps its size");
        }
    }
}

impl Output {
    const fn is_open(&self) -> bool {
        self.stdout.is_some() || self.stderr.is_some()
    }

    /// Waits until one of the open pipes has bytes or has ended.
    async fn readable(&self) -> Source {
        tokio::select! {
            () = readable(self.stdout.as_ref()) => Source::Stdout,
            () = readable(self.stderr.as_ref()) => Source::Stderr,
        }
    }

    /// Reads once without waiting; true when something was read.
    fn read(&mut self, source: Source, scribe: &mut Scribe) -> bool {
        let pipe = match source {
            Source::Stderr => &mut self.stderr,
            Source::Stdout | Source::Daybook => &mut self.stdout,
        };
        let Some(open) = pipe else { return false };
        self.buffer.clear();
        self.buffer.reserve(READ_BYTES);
        match open.receiver.try_read_buf(&mut self.buffer) {
            Ok(0) => *pipe = None,
            Ok(size) => {
                if size >= READ_BYTES / 2 && !open.widened {
                    open.widen();
                }
                scribe.take(source, &self.buffer);
                return true;
            }
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => (),
            Err(err) => {
                *pipe = None;
                let text = format!("{} cannot be read any more: {err}", source.as_str());
                scribe.note(Level::Warning, None, None, &text, None);
            }
        }
        false
    }

    /// Reads what the pipes hold, and no more than they can hold: somebody may still write.
    async fn drain(&mut self, scribe: &mut Scribe) {
        for source in [Source::Stdout, Source::Stderr] {
            for _ in 0..=WIDE_PIPE_BYTES / READ_BYTES {
                if !self.read(source, scribe) {
                    break;
                }
                scribe.ready().await;
            }
        }
    }
}

async fn readable(pipe: Option<&Pipe>) {
    match pipe {
        // A failed wait is followed by a read, which tells the failure.
        Some(pipe) => drop(pipe.receiver.readable().await),
        None => std::future::pending().await,
    }
}
