//! An execution's command, from the turn to start it until nobody waits for it any more.

use std::collections::HashSet;
use std::sync::Arc;

use rustix::process::{Pid, test_kill_process_group};
use tokio::time::Instant;

use super::look::Adopted;
use super::placing::Seat;
use super::processes::Processes;
use crate::ids::ExecutionId;
use crate::jobs::cgroup::Group;
use crate::jobs::procfs::Process;

/// An execution whose command is to start.
pub(super) struct ToStart {
    table: Processes,
    execution: ExecutionId,
}

impl ToStart {
    pub(super) const fn new(table: Processes, execution: ExecutionId) -> Self {
        Self { table, execution }
    }
}

impl Drop for ToStart {
    fn drop(&mut self) {
        self.table.started(self.execution);
    }
}

/// An execution's main process, for as long as somebody waits for it.
pub(in crate::jobs) struct Managed {
    table: Processes,
    execution: ExecutionId,
    pid: i32,
    seat: Arc<Seat>,
}

impl Managed {
    pub(super) const fn new(
        table: Processes,
        execution: ExecutionId,
        pid: i32,
        seat: Arc<Seat>,
    ) -> Self {
        Self { table, execution, pid, seat }
    }

    pub(super) const fn pid(&self) -> i32 {
        self.pid
    }

    /// Lets it be moved to its cgroup. Of a herd that is due all start before: moving holds starts up.
    pub(in crate::jobs) fn place(&self) {
        if let Some(placer) = self.table.placer() {
            placer.place(&self.seat);
        }
    }

    /// The main process is about to be collected.
    pub(in crate::jobs) fn ends(&self) {
        self.seat.stay_outside();
    }

    /// The main process was collected: its number may be used again from now on.
    pub(super) fn collected(&self) {
        self.table.collected(self.pid, self.execution);
    }

    /// Its cgroup, once it may be in it.
    pub(super) fn group(&self) -> Option<Group> {
        self.seat.group()
    }

    /// Whether anything is left after the main process was collected at `since`. A few cheap questions when nothing is.
    pub(super) fn has_leftovers(&self, since: Instant) -> bool {
        let of_group = Pid::from_raw(self.pid)
            .is_some_and(|pid| test_kill_process_group(pid) != Err(rustix::io::Errno::SRCH));
        if of_group || self.group().is_some_and(|group| group.is_populated()) {
            return true;
        }
        if self.table.adopted_pids().is_empty() {
            return false;
        }
        let adopted = self.table.adopted_since(since);
        adopted.iter().any(|adopted| self.table.belongs(adopted, self.execution))
    }

    /// All living processes of the execution, as they were at `since` or later.
    pub(super) fn members(&self, since: Instant) -> Vec<Process> {
        let Some(group) = self.group() else { return self.seen(since) };
        // Before the look at it: what is pulled in meanwhile is seen here or there.
        let all_inside = self.seat.is_inside();
        let mut members = group.processes();
        let inside: HashSet<(i32, u64)> = members.iter().map(Process::key).collect();
        // One that was born before the command was in its cgroup, and had lost its parent by then.
        let has_escaped = |adopted: &Adopted| {
            let known = inside.contains(&adopted.process.key());
            !known && self.table.belongs(adopted, self.execution)
        };
        let escaped = !all_inside
            || !self.table.adopted_pids().is_empty()
                && self.table.adopted_since(since).iter().any(has_escaped);
        if escaped {
            let seen = self.seen(since);
            members.extend(seen.into_iter().filter(|process| !inside.contains(&process.key())));
        }
        members
    }

    /// The same by parents and markers alone.
    fn seen(&self, since: Instant) -> Vec<Process> {
        let look = self.table.look(since);
        let ours = |adopted: &&Adopted| self.table.belongs(adopted, self.execution);
        let mut roots: HashSet<i32> =
            look.adopted.iter().filter(ours).map(|adopted| adopted.process.pid).collect();
        let of_main = |process: &&Process| process.group == self.pid || process.pid == self.pid;
        roots.extend(look.all.iter().filter(of_main).map(|process| process.pid));
        look.trees(roots)
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        self.collected();
        self.table.is_over(self.execution);
        if let Some(placer) = self.table.placer() {
            placer.leave(&self.seat);
        }
    }
}
