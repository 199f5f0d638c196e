//! One attempt of a command: started, read, waited for, and its whole tree ended.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use wait4::Wait4;

use super::attempt::{AttemptContext, Ran};
use super::command::{self, Prepared};
use super::processes::Memory;
use super::procfs::{self, Process};
use super::scribe::Scribe;
use super::tree::{LEFTOVER_MAX, Pauses, Tree, named, signal_group};
use crate::domain::class::{Level, Source};
use crate::domain::event::Usage;
use crate::domain::verdict::End;

/// A line is handed on after so long even when its chunk is not full (contract, rule 11).
pub(super) const TICK: Duration = Duration::from_millis(250);

/// Of that, the time between TERM and KILL for what a command left over by itself.
const LEFTOVER_GRACE_MAX: Duration = Duration::from_secs(3);

/// What a shell's exit status is when KILL, the kernel's answer to want of memory, ended its last command.
const KILLED_STATUS: i32 = 128 + 9;

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
    context.settings.processes.starts_first().await;
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
    let end = match stop {
        Some(Stop::Timeout) => End::TimedOut { limit: timeout.unwrap_or_default() },
        Some(Stop::Cancel) => End::Cancelled,
        Some(Stop::Interrupt) => End::Interrupted,
        None => own_end(status, context.accepts(KILLED_STATUS), || {
            context.settings.processes.claim_out_of_memory_kill(live.memory.out_of_memory_kills)
        }),
    };
    Ran {
        end,
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

/// How it ended by itself. `accepts_killed` says that the file accepts a shell's status for that; `want_of_memory`
/// whether the kernel ended something meanwhile.
fn own_end(status: ExitStatus, accepts_killed: bool, want_of_memory: impl FnOnce() -> bool) -> End {
    let killed =
        signal(status) == Some(9) || (exit_code(status) == Some(KILLED_STATUS) && !accepts_killed);
    match signal(status) {
        _ if killed && want_of_memory() => End::OutOfMemory,
        Some(signal) => End::Signalled { signal },
        None => End::Exited { status: exit_code(status).unwrap_or_default() },
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
    tree: Tree,
    exited: AsyncFd<OwnedFd>,
    output: Output,
    ending: Option<Ending>,
    /// How memory stood before.
    memory: Memory,
}

impl Live {
    fn start(context: &AttemptContext, prepared: &mut Prepared) -> io::Result<Self> {
        let processes = &context.settings.processes;
        let memory = processes.memory();
        let (mut child, managed) =
            processes.start((context.execution, context.attempt), &mut prepared.command)?;
        match Self::watch(&mut child, managed.pid()) {
            Ok((exited, output)) => {
                Ok(Self { child, tree: Tree::new(managed), exited, output, ending: None, memory })
            }
            Err(err) => {
                // Without a watch it must not run on: nobody would see its end.
                signal_group(managed.pid(), Signal::KILL);
                managed.ends();
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
        let placing = self.tree.managed.placing();
        tokio::pin!(placing);
        let mut placed = false;
        let start = Instant::now();
        let deadline = start + timeout.unwrap_or(NEVER).min(NEVER);
        let mut kill_at = deadline;
        let mut pauses = Pauses::new();
        let mut tick = interval_at(start + TICK, TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut full = false;
        loop {
            tokio::select! {
                biased;
                () = context.cancel.cancelled(), if self.ending.is_none() => {
                    kill_at = self.begin_to_end(Stop::Cancel, context.settings.grace).await;
                }
                () = sleep_until(deadline), if self.ending.is_none() => {
                    kill_at = self.begin_to_end(Stop::Timeout, context.settings.grace).await;
                }
                () = sleep_until(kill_at), if self.ending.is_some() => {
                    self.tree.kill().await;
                    kill_at = Instant::now() + pauses.next();
                }
                ready = self.exited.readable() => {
                    if let Err(err) = ready {
                        tracing::error!(%err, pid = self.tree.managed.pid(), "a process cannot be watched");
                    }
                    return;
                }
                // Behind the exit: what has ended by itself needs no cgroup, and was not interrupted.
                () = &mut placing, if !placed => placed = true,
                () = context.settings.interrupt.cancelled(), if self.ending.is_none() => {
                    kill_at = self.begin_to_end(Stop::Interrupt, context.settings.grace).await;
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
    async fn begin_to_end(&mut self, why: Stop, grace: Duration) -> Instant {
        let kill_at = Instant::now() + grace;
        self.ending = Some(Ending { why, kill_at });
        self.tree.ask().await;
        kill_at
    }

    fn collect(&mut self) -> io::Result<(ExitStatus, Usage)> {
        self.tree.main_ends();
        let ended = self.child.wait4();
        self.tree.main_has_ended();
        let ended = ended?;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let usage = Usage {
            user_ms: millis(ended.rusage.utime),
            system_ms: millis(ended.rusage.stime),
            // Up to the program's start its memory is the daemon's own, which the kernel counts as well.
            max_rss_bytes: Some(ended.rusage.maxrss)
                .filter(|peak| *peak > self.memory.own_peak_bytes)
                // That was known a moment before the start, and may have grown until then.
                .filter(|peak| *peak > procfs::own_peak_bytes())
                .unwrap_or_default(),
        };
        Ok((ended.status, usage))
    }

    /// After the main process's end: reads what is still in the pipes, and ends what it left behind.
    async fn settle(&mut self, context: &AttemptContext, scribe: &mut Scribe) {
        let mut left = self.tree.leftovers().await;
        let now = Instant::now();
        // Who was asked to end with the main process keeps the rest of the grace.
        let kill_at = match self.ending {
            Some(ending) => ending.kill_at.max(now),
            None => now + context.settings.grace.min(LEFTOVER_GRACE_MAX),
        };
        if !left.is_empty() && self.ending.is_none() {
            let text = format!("{} left over, ended by Daybook", named(&left, scribe.secrets()));
            scribe.note(Level::Warning, None, None, &text, None);
        }
        self.tree.ask_further(&left);
        let mut pauses = Pauses::new();
        let mut look_at = now + pauses.next();
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
                    self.tree.kill_all(&left).await;
                    self.output.drain(scribe).await;
                    self.note_unfinished(&left, scribe);
                    return;
                }
                () = sleep_until(look_at), if !left.is_empty() => {
                    left = self.tree.members().await;
                    look_at = self.press(&left, kill_at, &mut pauses).await;
                }
                _ = tick.tick() => scribe.cut(),
                () = scribe.ready(), if full => full = false,
                source = self.output.readable(), if !full && self.output.is_open() => {
                    full = self.output.read(source, scribe);
                }
            }
        }
    }

    /// Asks those of `left` that were not asked yet, or kills all when the grace is over; when to look again.
    async fn press(&mut self, left: &[Process], kill_at: Instant, pauses: &mut Pauses) -> Instant {
        let now = Instant::now();
        if now >= kill_at {
            self.tree.kill_all(left).await;
            return now + pauses.next();
        }
        self.tree.ask_further(left);
        let next = now + pauses.next();
        if next >= kill_at {
            // What is killed is gone soon.
            *pauses = Pauses::new();
        }
        next.min(kill_at)
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

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn a_shell_that_reports_a_killed_command_ran_out_of_memory_if_the_kernel_says_so() {
        let shell = ExitStatus::from_raw(137 << 8);
        assert_eq!(own_end(shell, false, || true), End::OutOfMemory);
        assert_eq!(own_end(shell, false, || false), End::Exited { status: 137 });
        assert_eq!(own_end(shell, true, || true), End::Exited { status: 137 }, "in `ok_exit`");
        assert_eq!(own_end(ExitStatus::from_raw(9), false, || true), End::OutOfMemory);
        assert_eq!(
            own_end(ExitStatus::from_raw(15), false, || true),
            End::Signalled { signal: 15 }
        );
    }
}
