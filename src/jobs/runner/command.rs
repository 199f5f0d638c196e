//! One attempt of a command: started, read, waited for, and its whole tree ended. One thread does nothing else meanwhile.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use tokio::time::Instant;
use wait4::Wait4;

use super::attempt::Attempt;
use super::ends::Note;
use super::output::{Output, Stream};
use super::processes::Memory;
use super::serve::Shared;
use super::spool::SpoolWriter;
use super::tree::{LEFTOVER_MAX, Pauses, Tree, named, signal_group};
use super::waiting::{readable, ready, unpoke};
use super::wire::{Ended, How, Start, Why};
use crate::domain::event::Usage;
use crate::jobs::procfs::{self, Process};

/// Of the 5 s that leftovers have, the time between TERM and KILL for what a command left over by itself.
const LEFTOVER_GRACE_MAX: Duration = Duration::from_secs(3);

/// What a shell's exit status is when KILL, the kernel's answer to want of memory, ended its last command.
pub(in crate::jobs) const KILLED_STATUS: i32 = 128 + 9;

/// A timeout that nobody set.
const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// Runs the command of `attempt` to its end. When this returns, none of its processes is left.
pub(super) fn run(
    shared: &Shared,
    attempt: &Attempt,
    start: &Start,
    (wake, begun): (&Arc<OwnedFd>, &dyn Fn()),
) -> (Ended, SpoolWriter) {
    let began = Instant::now();
    let mut output = Output::new(shared, attempt, start);
    attempt.begin(wake);
    let started = Live::start(shared, start, &mut output);
    begun();
    let how = match started {
        Ok(mut live) => {
            // Of a herd that is due all start before the first is read: what it says waits in its pipe.
            shared.processes.most_of_a_herd_first();
            live.record(shared, start);
            live.until_exit(attempt, start, &mut output, wake);
            shared.processes.herd_first();
            live.end(shared, start, &mut output, wake)
        }
        Err(err) => {
            shared.processes.started(start.of.execution);
            let program = start.program.to_string_lossy().into_owned();
            How::NotStarted { program, errno: err.raw_os_error() }
        }
    };
    let (spool, lost_bytes) = output.finish();
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    (Ended { of: start.of, how, spooled: spool.place(), lost_bytes, took_ms }, spool)
}

fn command(start: &Start) -> Command {
    let mut command = Command::new(&start.program);
    command
        .args(&start.arguments)
        .env_clear()
        .envs(&start.environment)
        .current_dir(&start.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command
}

/// A tree that was asked to end.
#[derive(Clone, Copy, Debug)]
struct Ending {
    why: Why,
    /// When the grace is over.
    kill_at: Instant,
}

/// A started command.
struct Live {
    child: Child,
    tree: Tree,
    exited: OwnedFd,
    ending: Option<Ending>,
    began: Instant,
    grace: Duration,
    /// How memory stood before.
    memory: Memory,
}

impl Live {
    fn start(shared: &Shared, start: &Start, output: &mut Output<'_>) -> io::Result<Self> {
        let memory = shared.processes.memory();
        let attempt = (start.of.execution, start.of.attempt);
        let (mut child, managed) = shared.processes.start(attempt, &mut command(start))?;
        let pid = managed.pid();
        let watched = Pid::from_raw(pid).ok_or_else(|| io::ErrorKind::InvalidInput.into());
        let watched = watched.and_then(|pid| Ok(pidfd_open(pid, PidfdFlags::empty())?));
        let exited = match watched {
            Ok(exited) => exited,
            Err(err) => {
                // Without a watch it must not run on: nobody would see its end.
                signal_group(pid, Signal::KILL);
                managed.ends();
                child.wait()?;
                managed.collected();
                return Err(err);
            }
        };
        output.attach(&mut child);
        let grace = Duration::from_millis(start.grace_ms);
        let (tree, began) = (Tree::new(managed), Instant::now());
        Ok(Self { child, tree, exited, ending: None, began, grace, memory })
    }

    /// Puts its start on record, and lets it be moved to its cgroup. What has ended by itself by then needs none.
    fn record(&self, shared: &Shared, start: &Start) {
        shared.note(Note::Started { of: start.of, before: start.before });
        self.tree.managed.place();
    }

    /// Reads output until the main process ends by itself or is ended.
    fn until_exit(
        &mut self,
        attempt: &Attempt,
        start: &Start,
        output: &mut Output<'_>,
        wake: &OwnedFd,
    ) {
        let timeout = start.timeout_ms.map_or(NEVER, Duration::from_millis).min(NEVER);
        let deadline = self.began + timeout;
        let mut kill_at = deadline;
        let mut pauses = Pauses::new();
        loop {
            let now = Instant::now();
            if self.ending.is_none() {
                let late = (now >= deadline).then_some(Why::Timeout);
                // What has ended by now has ended by itself: this thread may have waited for a herd.
                let alive = |_: &Why| !has_ended(&self.exited);
                if let Some(why) = attempt.asked().or(late).filter(alive) {
                    kill_at = self.begin_to_end(why);
                }
            } else if now >= kill_at {
                self.tree.kill();
                kill_at = Instant::now() + pauses.next();
            }
            let until = if self.ending.is_some() { kill_at } else { deadline };
            let blocked = output.is_blocked();
            let ready = wait(wake, Some(&self.exited), (!blocked).then_some(&*output), Some(until));
            if ready.exited {
                return;
            }
            ready.read(output);
        }
    }

    /// Asks the tree to end; when KILL follows.
    fn begin_to_end(&mut self, why: Why) -> Instant {
        let kill_at = Instant::now() + self.grace;
        self.ending = Some(Ending { why, kill_at });
        self.tree.ask();
        kill_at
    }

    /// The main process has ended: collects it, reads what is still in the pipes, and ends what it left behind.
    fn end(
        &mut self,
        shared: &Shared,
        start: &Start,
        output: &mut Output<'_>,
        wake: &OwnedFd,
    ) -> How {
        let (status, usage) = self.collect().unwrap_or_else(|err| {
            output.warn(&format!("the exit status is lost: {err}"));
            (ExitStatus::default(), Usage::default())
        });
        self.settle(output, wake);
        let why = self.ending.map(|ending| ending.why);
        let kills = self.memory.out_of_memory_kills;
        let out_of_memory = why.is_none()
            && may_be_for_want_of_memory(status, start.accepts_killed)
            && shared.processes.claim_out_of_memory_kill(kills);
        How::Ended { status: status.into_raw(), usage, why, out_of_memory }
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
            // Up to the program's start its memory is the runner's own, which the kernel counts as well.
            max_rss_bytes: Some(ended.rusage.maxrss)
                .filter(|peak| *peak > self.memory.own_peak_bytes)
                // That was known a moment before the start, and may have grown until then.
                .filter(|peak| *peak > procfs::own_peak_bytes())
                .unwrap_or_default(),
        };
        Ok((ended.status, usage))
    }

    fn settle(&mut self, output: &mut Output<'_>, wake: &OwnedFd) {
        let mut left = self.tree.leftovers();
        let now = Instant::now();
        // Who was asked to end with the main process keeps the rest of the grace.
        let kill_at = match self.ending {
            Some(ending) => ending.kill_at.max(now),
            None => now + self.grace.min(LEFTOVER_GRACE_MAX),
        };
        if !left.is_empty() && self.ending.is_none() {
            output.warn(&format!("{} left over, ended by Daybook", named(&left, output.secrets())));
        }
        self.tree.ask_further(&left);
        let mut pauses = Pauses::new();
        let mut look_at = now + pauses.next();
        while !left.is_empty() || output.is_open() {
            let until = match self.ending {
                Some(_) if !left.is_empty() => kill_at + LEFTOVER_MAX,
                Some(_) | None => now + LEFTOVER_MAX,
            };
            // While the daemon is behind, what is in the pipes waits for it and not for a process.
            let blocked = output.is_blocked();
            let next = [(!blocked).then_some(until), (!left.is_empty()).then_some(look_at)];
            let next = next.into_iter().flatten().min();
            let ready = wait(wake, None, (!blocked).then_some(&*output), next);
            if !blocked && Instant::now() >= until {
                self.tree.kill_all(&left);
                output.drain();
                note_unfinished(&left, output);
                return;
            }
            if !left.is_empty() && Instant::now() >= look_at {
                left = self.tree.members();
                look_at = self.press(&left, kill_at, &mut pauses);
            }
            ready.read(output);
        }
    }

    /// Asks those of `left` that were not asked yet, or kills all when the grace is over; when to look again.
    fn press(&mut self, left: &[Process], kill_at: Instant, pauses: &mut Pauses) -> Instant {
        let now = Instant::now();
        if now >= kill_at {
            self.tree.kill_all(left);
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
}

fn note_unfinished(left: &[Process], output: &mut Output<'_>) {
    if !left.is_empty() {
        let named = named(left, output.secrets());
        output.warn(&format!("{named} did not end on SIGTERM and SIGKILL"));
    } else if output.is_open() {
        output.warn("an output pipe is still held open by a process outside this execution; what it writes from now on is not read");
    }
}

/// What has something to tell.
struct Ready {
    exited: bool,
    stdout: bool,
    stderr: bool,
}

impl Ready {
    fn read(&self, output: &mut Output<'_>) {
        for (ready, stream) in [(self.stdout, Stream::Stdout), (self.stderr, Stream::Stderr)] {
            if ready {
                output.read(stream);
            }
        }
    }
}

fn has_ended(exited: &OwnedFd) -> bool {
    let [ended] = ready([readable(exited.as_fd())], Some(Duration::ZERO));
    ended
}

/// Waits until one of them has something to tell, somebody pokes, or it is `until`.
fn wait(
    wake: &OwnedFd,
    exited: Option<&OwnedFd>,
    output: Option<&Output<'_>>,
    until: Option<Instant>,
) -> Ready {
    let pipe = |stream| output.and_then(|output| output.end(stream));
    let exited = exited.map(AsFd::as_fd);
    let ends = [Some(wake.as_fd()), exited, pipe(Stream::Stdout), pipe(Stream::Stderr)];
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let [poked, exited, stdout, stderr] = ready(ends.map(|end| end.and_then(readable)), left);
    if poked {
        unpoke(wake);
    }
    Ready { exited, stdout, stderr }
}

/// Whether it ended as one does that the kernel kills; `accepts_killed`: the file accepts a shell's status for that.
fn may_be_for_want_of_memory(status: ExitStatus, accepts_killed: bool) -> bool {
    status.signal() == Some(9) || (status.code() == Some(KILLED_STATUS) && !accepts_killed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_that_reports_a_killed_command_may_have_run_out_of_memory_unless_that_is_accepted() {
        let shell = ExitStatus::from_raw(137 << 8);
        assert!(may_be_for_want_of_memory(shell, false));
        assert!(!may_be_for_want_of_memory(shell, true), "in `ok_exit`");
        assert!(may_be_for_want_of_memory(ExitStatus::from_raw(9), true));
        assert!(!may_be_for_want_of_memory(ExitStatus::from_raw(15), false));
    }
}
