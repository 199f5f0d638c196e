//! A command's process tree while it is being ended: asked first, and killed when its grace is over.

use std::collections::HashSet;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::Instant;

use super::managed::Managed;
use super::processes::send;
use crate::jobs::procfs::Process;
use crate::jobs::redact::Redactor;

/// The first pause between two looks at processes that were asked to end; each further one is twice as long.
const LOOK_AFTER: Duration = Duration::from_millis(20);

/// The longest pause between two looks.
const LOOK_AFTER_MAX: Duration = Duration::from_millis(500);

/// What is left over delays an execution's end by so much at most (contract, section 3); in a tree that Daybook ends,
/// counted from KILL on.
pub(in crate::jobs) const LEFTOVER_MAX: Duration = Duration::from_secs(5);

/// Pauses between looks at processes that are ending.
pub(in crate::jobs) struct Pauses(Duration);

impl Pauses {
    pub(in crate::jobs) const fn new() -> Self {
        Self(LOOK_AFTER)
    }

    pub(in crate::jobs) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LOOK_AFTER_MAX);
        pause
    }
}

/// All processes of a command.
pub(super) struct Tree {
    pub(super) managed: Managed,
    /// Who was asked to end.
    asked: HashSet<(i32, u64)>,
    asked_pids: HashSet<i32>,
    /// Whatever was seen before is too old: the main process's end, once it has come.
    since: Option<Instant>,
}

impl Tree {
    pub(super) fn new(managed: Managed) -> Self {
        Self { managed, asked: HashSet::new(), asked_pids: HashSet::new(), since: None }
    }

    /// The main process is about to be collected.
    pub(super) fn main_ends(&self) {
        self.managed.ends();
    }

    /// The main process is gone: what lives now was left behind, and nobody new can come once nobody is left.
    pub(super) fn main_has_ended(&mut self) {
        self.since = Some(Instant::now());
        self.managed.collected();
    }

    /// Asks everything to end.
    pub(super) fn ask(&mut self) {
        // Who belongs to it is asked first: once a parent has ended, its children are found by their marker at most.
        let members = self.members();
        // The group in one step, before a member can start another one.
        signal_group(self.managed.pid(), Signal::TERM);
        signal_group(self.managed.pid(), Signal::CONT);
        let main = self.managed.pid();
        for process in &members {
            if process.group != main {
                ask(process);
            }
            self.remember(process);
        }
    }

    /// Asks those of `members` that were not asked before.
    ///
    /// Not what somebody started that was asked: that is at work on its cleaning up.
    pub(super) fn ask_further(&mut self, members: &[Process]) {
        let missed = |process: &&Process| {
            !self.asked.contains(&process.key()) && !self.asked_pids.contains(&process.parent)
        };
        let missed: Vec<&Process> = members.iter().filter(missed).collect();
        for process in missed {
            ask(process);
            self.remember(process);
        }
    }

    /// Kills everything.
    pub(super) fn kill(&self) {
        let members = self.members();
        signal_group(self.managed.pid(), Signal::KILL);
        self.kill_all(&members);
    }

    /// Kills what the main process left behind, of which `left` was seen.
    pub(super) fn kill_all(&self, left: &[Process]) {
        if let Some(group) = self.managed.group() {
            group.kill();
        }
        end_each(left);
    }

    /// What lives of it, as of a moment ago.
    pub(super) fn members(&self) -> Vec<Process> {
        let now = Instant::now();
        let recent = now.checked_sub(LOOK_AFTER).unwrap_or(now);
        self.managed.members(self.since.map_or(recent, |since| since.max(recent)))
    }

    /// What the main process left behind.
    pub(super) fn leftovers(&self) -> Vec<Process> {
        let since = self.since.unwrap_or_else(Instant::now);
        if self.managed.has_leftovers(since) { self.members() } else { Vec::new() }
    }

    fn remember(&mut self, process: &Process) {
        self.asked.insert(process.key());
        self.asked_pids.insert(process.pid);
    }
}

/// A stopped process acts on TERM only when it goes on.
pub(in crate::jobs) fn ask(process: &Process) {
    send(process, Signal::TERM);
    send(process, Signal::CONT);
}

pub(in crate::jobs) fn end_each(processes: &[Process]) {
    for process in processes {
        send(process, Signal::KILL);
    }
}

pub(super) fn signal_group(leader: i32, signal: Signal) {
    if let Some(group) = Pid::from_raw(leader)
        && let Err(err) = kill_process_group(group, signal)
    {
        tracing::debug!(leader, %err, "signal not sent to the group");
    }
}

/// The first few of `processes`, and how many more there are.
pub(in crate::jobs) fn named(processes: &[Process], secrets: &Redactor) -> String {
    const SHOWN: usize = 5;
    let shown = processes.iter().take(SHOWN);
    let names: Vec<String> = shown.map(|process| process.describe(secrets)).collect();
    let more = processes.len().saturating_sub(SHOWN);
    match more {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_become_rarer_while_a_tree_takes_its_time() {
        let mut pauses = Pauses::new();
        let pauses: Vec<u128> = (0..7).map(|_| pauses.next().as_millis()).collect();
        assert_eq!(pauses, [20, 40, 80, 160, 320, 500, 500]);
    }
}
