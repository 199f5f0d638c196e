//! Which processes belong to which execution, and nobody else's business.
//!
//! Each attempt's command gets a cgroup of its own where the runner may make one ([`super::placing`]). That tells all, but
//! for what was started before the command was in it, and nothing where cgroups cannot be used. Beside it therefore, the
//! runner is a *subreaper*: a descendant whose parent ends becomes its child, also after `setsid` or a double fork, so
//! nothing can leave the tree. Whose it was is told by its environment (`DAYBOOK_EXECUTION`), by its process group and by its
//! ancestors; one that has rid itself of all of these belongs to the last execution that could have started it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal, set_child_subreaper,
};
use tokio::time::Instant;

use super::look::{Adopted, Look};
use super::managed::{Managed, ToStart};
use super::placing::{Placer, Seat};
use super::shared::Shared;
use super::starting::Starting;
use crate::ids::ExecutionId;
use crate::jobs::cgroup::{Cgroups, Whose};
use crate::jobs::procfs::{self, Process};

/// What a starting command is compared with need not be newer: the kernel gathers it from every processor, which takes
/// longer than a short command.
const MEMORY_AGE_MAX: Duration = Duration::from_secs(1);

/// The end of the runner waits for the removal of cgroups by so much at most.
const TIDIED_MAX: Duration = Duration::from_secs(1);

/// How memory stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// Processes that the kernel has ended for want of it.
    pub(super) out_of_memory_kills: u64,
    /// The largest resident set that this process has had.
    pub(super) own_peak_bytes: u64,
}

/// The processes of all executions of this runner. Clones share one table.
#[derive(Clone)]
pub(in crate::jobs) struct Processes(Arc<Table>);

struct Table {
    own: Pid,
    /// Held for reading from before a process exists until it is in `state`; for writing by whoever must know all.
    starting: RwLock<()>,
    state: Mutex<State>,
    /// Of the processes that the kernel has ended for want of memory, how many some execution accounts for.
    out_of_memory_kills: AtomicU64,
    memory: Mutex<Option<(Instant, Memory)>>,
    /// Executions whose turn has come and whose command has not started yet.
    to_start: Arc<Starting>,
    looks: Shared<Look>,
    adopted: Shared<Vec<Adopted>>,
    /// None with the reason.
    cgroups: Result<(Arc<Cgroups>, Placer), String>,
}

/// How it is told whose a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// By the cgroup that each command has, below this one.
    Cgroups(PathBuf),
    /// By parents and markers alone, for this reason.
    Proc(String),
}

#[derive(Default)]
struct State {
    /// Main processes that somebody waits for. Nobody else may collect them.
    managed: HashMap<i32, ExecutionId>,
    executions: HashSet<ExecutionId>,
    /// Adopted processes that nothing tells the owner of, by pid and start, and whose they may be.
    unmarked: HashMap<(i32, u64), HashSet<ExecutionId>>,
    /// Adopted processes of executions that are over, and that were asked to end.
    strays: HashSet<(i32, u64)>,
}

impl Processes {
    /// Makes this process the adopter of its descendants' orphans. Called once, when the runner starts. Commands get
    /// cgroups, if possible, that name the data folder `cgroups_for`; without it they get none.
    ///
    /// # Errors
    /// The kernel's, when it knows no subreapers (before Linux 3.4).
    pub(in crate::jobs) fn adopt(cgroups_for: Option<&Path>) -> io::Result<Self> {
        let own = getpid();
        set_child_subreaper(Some(own))?;
        let switched_off = || "the setting `cgroups` is false".to_owned();
        let to_start = Arc::new(Starting::default());
        let cgroups = cgroups_for.ok_or_else(switched_off).and_then(|data| {
            let cgroups = Arc::new(Cgroups::find(data)?);
            Ok((Arc::clone(&cgroups), Placer::start(cgroups, Arc::clone(&to_start))))
        });
        Ok(Self(Arc::new(Table {
            own,
            starting: RwLock::default(),
            state: Mutex::default(),
            out_of_memory_kills: AtomicU64::new(procfs::out_of_memory_kills()),
            memory: Mutex::default(),
            to_start,
            looks: Shared::default(),
            adopted: Shared::default(),
            cgroups,
        })))
    }

    /// The way in use. Waits until it is known.
    pub(in crate::jobs) fn way(&self) -> Way {
        match &self.0.cgroups {
            Ok((cgroups, placer)) => match placer.known() {
                Ok(()) => Way::Cgroups(cgroups.own().to_owned()),
                Err(why) => Way::Proc(why),
            },
            Err(why) => Way::Proc(why.clone()),
        }
    }

    /// The cgroups in use, or none.
    pub(in crate::jobs) fn cgroups(&self) -> Option<&Arc<Cgroups>> {
        self.0.cgroups.as_ref().ok().map(|(cgroups, _)| cgroups)
    }

    pub(super) fn placer(&self) -> Option<&Placer> {
        self.0.cgroups.as_ref().ok().map(|(_, placer)| placer)
    }

    /// Waits until the cgroups of attempts that are over are removed, but not for long: the next start removes the others.
    pub(in crate::jobs) fn tidied(&self) {
        if let Some(placer) = self.placer() {
            placer.flush(TIDIED_MAX);
        }
    }

    /// Collects adopted processes that have ended, once. The exit status of a managed one is never touched.
    ///
    /// One whose execution is over should not exist; it is asked to end, and ended at the next call.
    pub(in crate::jobs) fn collect(&self) {
        self.placer().inspect(|placer| placer.tidy());
        for process in self.adopted() {
            if process.zombie {
                procfs::collect(process.pid);
            } else if self.is_stray(&process) {
                let signal = if self.state().strays.insert(process.key()) {
                    Signal::TERM
                } else {
                    Signal::KILL
                };
                // Not its command line, where a secret may stand.
                tracing::warn!(
                    pid = process.pid,
                    program = %process.name,
                    "ending a process whose execution is over"
                );
                send(&process, signal);
            }
        }
    }

    /// Starts `command` as the main process of an attempt.
    pub(in crate::jobs) fn start(
        &self,
        (execution, attempt): (ExecutionId, u32),
        command: &mut Command,
    ) -> io::Result<(Child, Managed)> {
        let _starting = self.0.starting.read().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let mut state = self.state();
        state.managed.insert(pid, execution);
        state.executions.insert(execution);
        drop(state);
        let seat = Arc::new(Seat::new(execution, attempt, pid));
        self.started(execution);
        Ok((child, Managed::new(self.clone(), execution, pid, seat)))
    }

    /// The turn of `execution` has come: whoever ends waits until its command has started, or until this is dropped.
    pub(super) fn to_start(&self, execution: ExecutionId) -> ToStart {
        self.0.to_start.add(execution);
        ToStart::new(self.clone(), execution)
    }

    /// The command of `execution` has started, or does not start.
    pub(super) fn started(&self, execution: ExecutionId) {
        self.0.to_start.remove(execution);
    }

    /// Lets a herd that is due start, but for its last few: they are held up little when the others begin to be read.
    pub(super) fn most_of_a_herd_first(&self) {
        self.0.to_start.wait_for_most_of_a_herd();
    }

    /// Lets a herd that is due start: the first ones to end would hold the others up.
    pub(super) fn herd_first(&self) {
        self.0.to_start.wait_for_a_herd();
    }

    /// How memory stood a moment ago, at most [`MEMORY_AGE_MAX`].
    pub(super) fn memory(&self) -> Memory {
        let mut known = self.0.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some((at, memory)) = *known
            && now.saturating_duration_since(at) < MEMORY_AGE_MAX
        {
            return memory;
        }
        let memory = Memory {
            out_of_memory_kills: procfs::out_of_memory_kills(),
            own_peak_bytes: procfs::own_peak_bytes(),
        };
        *known = Some((now, memory));
        memory
    }

    /// Whether the kernel has ended a process for want of memory since it had ended `before`, that no other execution
    /// accounts for.
    pub(super) fn claim_out_of_memory_kill(&self, before: u64) -> bool {
        self.claim_kill(before, procfs::out_of_memory_kills())
    }

    fn claim_kill(&self, before: u64, now: u64) -> bool {
        let next = |claimed: u64| {
            let accounted = claimed.max(before);
            (now > accounted).then_some(accounted + 1)
        };
        let kills = &self.0.out_of_memory_kills;
        kills.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok()
    }

    /// The main process `pid` of `execution` was collected.
    pub(super) fn collected(&self, pid: i32, execution: ExecutionId) {
        let mut state = self.state();
        if state.managed.get(&pid) == Some(&execution) {
            state.managed.remove(&pid);
        }
    }

    /// Nobody waits for `execution` any more.
    pub(super) fn is_over(&self, execution: ExecutionId) {
        let mut state = self.state();
        state.executions.remove(&execution);
        for owners in state.unmarked.values_mut() {
            owners.remove(&execution);
        }
        state.unmarked.retain(|_, owners| !owners.is_empty());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adopted children: not those that somebody waits for.
    fn adopted(&self) -> Vec<Process> {
        let mut pids = self.adopted_pids();
        if !pids.is_empty() {
            // One of them may just be starting: once nobody is, every managed one is in the table.
            drop(self.0.starting.write().unwrap_or_else(PoisonError::into_inner));
            pids = self.unmanaged(pids);
        }
        let own = self.own();
        pids.into_iter().filter_map(Process::read).filter(|process| process.parent == own).collect()
    }

    /// Numbers of adopted children, and maybe of one that is just starting.
    pub(super) fn adopted_pids(&self) -> Vec<i32> {
        self.unmanaged(procfs::first_threads_children(self.own()))
    }

    fn unmanaged(&self, pids: Vec<i32>) -> Vec<i32> {
        let state = self.state();
        pids.into_iter().filter(|pid| !state.managed.contains_key(pid)).collect()
    }

    fn own(&self) -> i32 {
        self.0.own.as_raw_nonzero().get()
    }

    /// Adopted processes that live; those that have ended are collected.
    pub(super) fn adopted_alive(&self) -> Vec<Adopted> {
        let (ended, alive): (Vec<_>, Vec<_>) =
            self.adopted().into_iter().partition(|process| process.zombie);
        ended.iter().for_each(|process| procfs::collect(process.pid));
        let told = |process: Process| Adopted { owner: self.owner_of(&process), process };
        let alive: Vec<_> = alive.into_iter().map(told).collect();
        let mut state = self.state();
        let running = state.executions.clone();
        for adopted in alive.iter().filter(|adopted| adopted.owner.is_none()) {
            state.unmarked.entry(adopted.process.key()).or_insert_with(|| running.clone());
        }
        drop(state);
        alive
    }

    /// The execution that a process says it belongs to: by its cgroup, else by its marker.
    fn owner_of(&self, process: &Process) -> Option<String> {
        match self.cgroups().map(|cgroups| cgroups.whose(process)) {
            Some(Whose::Of(execution)) => Some(execution.to_string()),
            Some(Whose::AnotherDaemons | Whose::Unknown) | None => process.marker(),
        }
    }

    /// A look at all processes that began at `since` or later, maybe one that somebody else takes just now.
    pub(super) fn look(&self, since: Instant) -> Arc<Look> {
        self.0.looks.since(since, || Look::take(self))
    }

    /// A look at the adopted ones alone.
    pub(super) fn adopted_since(&self, since: Instant) -> Arc<Vec<Adopted>> {
        self.0.adopted.since(since, || self.adopted_alive())
    }

    fn is_stray(&self, process: &Process) -> bool {
        let owner = self.owner_of(process).and_then(|id| id.parse::<ExecutionId>().ok());
        owner.is_some_and(|execution| !self.state().executions.contains(&execution))
    }

    pub(super) fn belongs(&self, adopted: &Adopted, execution: ExecutionId) -> bool {
        if let Some(owner) = &adopted.owner {
            return *owner == execution.to_string();
        }
        let state = self.state();
        let owners = state.unmarked.get(&adopted.process.key());
        owners.is_some_and(|owners| owners.contains(&execution) && owners.len() == 1)
    }
}

/// Sends `signal` to exactly that process: never to another one that has got its number.
pub(super) fn send(process: &Process, signal: Signal) {
    let Some(pid) = Pid::from_raw(process.pid) else { return };
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    if Process::read(process.pid).is_some_and(|now| now.start == process.start)
        && let Err(err) = pidfd_send_signal(handle, signal)
    {
        tracing::debug!(pid = process.pid, %err, "signal not sent");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_that_look_at_once_share_one_look() {
        let table = Processes::adopt(None).expect("Linux has subreapers");
        let now = Instant::now();
        let (first, second) = (table.look(now), table.look(now));
        assert!(Arc::ptr_eq(&first, &second));
        let later = table.look(Instant::now());
        assert!(!Arc::ptr_eq(&first, &later), "what was seen before is too old");
    }

    #[test]
    fn only_kills_of_the_attempts_own_time_are_claimed_and_each_once() {
        let table = Processes::adopt(None).expect("Linux has subreapers");
        let before = 1_000_000_000;
        assert!(!table.claim_kill(before, before), "none since");
        assert!(table.claim_kill(before, before + 1));
        assert!(!table.claim_kill(before, before + 1), "accounted for");
        assert!(!table.claim_kill(before + 3, before + 3), "of earlier attempts");
        assert!(table.claim_kill(before + 3, before + 4));
    }
}
