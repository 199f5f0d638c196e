//! Which processes belong to which execution, and nobody else's business.
//!
//! Each attempt's command gets a cgroup of its own where the daemon may make one ([`super::placing`]). That tells all, but
//! for what was started before the command was in it, and nothing where cgroups cannot be used. Beside it therefore, the
//! daemon is a *subreaper*: a descendant whose parent ends becomes its child, also after `setsid` or a double fork, so
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
    Pid, PidfdFlags, Signal, WaitOptions, getpid, pidfd_open, pidfd_send_signal,
    set_child_subreaper, waitpid,
};
use tokio::sync::watch;
use tokio::time::Instant;

use super::cgroup::{Cgroups, Whose};
use super::look::{Adopted, Look};
use super::managed::{Managed, ToStart};
use super::placing::{Placer, Seat};
use super::procfs::{self, Process};
use super::shared::Shared;
use crate::ids::ExecutionId;

/// How often adopted processes that have ended are collected.
const COLLECT_EVERY: Duration = Duration::from_secs(5);

/// What a starting command is compared with need not be newer: the kernel gathers it from every processor, which takes
/// longer than a short command.
const MEMORY_AGE_MAX: Duration = Duration::from_secs(1);

/// An end waits for starts by so much at most.
const STARTS_FIRST_MAX: Duration = Duration::from_secs(1);

/// The end of the daemon waits for the removal of cgroups by so much at most.
const TIDIED_MAX: Duration = Duration::from_secs(1);

/// How memory stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// Processes that the kernel has ended for want of it.
    pub(super) out_of_memory_kills: u64,
    /// The largest resident set that this process has had.
    pub(super) own_peak_bytes: u64,
}

/// The processes of all executions of this daemon. Clones share one table.
#[derive(Clone)]
pub struct Processes(Arc<Table>);

struct Table {
    own: Pid,
    /// Held for reading from before a process exists until it is in `state`; for writing by whoever must know all.
    starting: RwLock<()>,
    state: Mutex<State>,
    /// Of the processes that the kernel has ended for want of memory, how many some execution accounts for.
    out_of_memory_kills: AtomicU64,
    memory: Mutex<Option<(Instant, Memory)>>,
    /// Executions whose turn has come and whose command has not started yet.
    to_start: watch::Sender<HashSet<ExecutionId>>,
    looks: Shared<Look>,
    adopted: Shared<Vec<Adopted>>,
    /// None with the reason.
    cgroups: Result<(Arc<Cgroups>, Placer), String>,
}

/// How the daemon tells whose a process is.
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
    /// Makes this process the adopter of its descendants' orphans. Called once, when the daemon starts. Commands get
    /// cgroups, if possible, that name the data folder `cgroups_for`; without it they get none.
    ///
    /// # Errors
    /// The kernel's, when it knows no subreapers (before Linux 3.4).
    pub fn adopt(cgroups_for: Option<&Path>) -> io::Result<Self> {
        let own = getpid();
        set_child_subreaper(Some(own))?;
        let switched_off = || "the setting `cgroups` is false".to_owned();
        let cgroups = cgroups_for.ok_or_else(switched_off).and_then(|data| {
            let cgroups = Arc::new(Cgroups::find(data)?);
            Ok((Arc::clone(&cgroups), Placer::start(cgroups)))
        });
        Ok(Self(Arc::new(Table {
            own,
            starting: RwLock::default(),
            state: Mutex::default(),
            out_of_memory_kills: AtomicU64::new(procfs::out_of_memory_kills()),
            memory: Mutex::default(),
            to_start: watch::Sender::default(),
            looks: Shared::default(),
            adopted: Shared::default(),
            cgroups,
        })))
    }

    /// The way in use, as soon as it is known.
    pub async fn way(&self) -> Way {
        match &self.0.cgroups {
            Ok((cgroups, placer)) => match placer.known().await {
                Ok(()) => Way::Cgroups(cgroups.own().to_owned()),
                Err(why) => Way::Proc(why),
            },
            Err(why) => Way::Proc(why.clone()),
        }
    }

    /// The cgroups in use, or none.
    pub(super) fn cgroups(&self) -> Option<&Arc<Cgroups>> {
        self.0.cgroups.as_ref().ok().map(|(cgroups, _)| cgroups)
    }

    pub(super) fn placer(&self) -> Option<&Placer> {
        self.0.cgroups.as_ref().ok().map(|(_, placer)| placer)
    }

    /// Waits until the cgroups of attempts that are over are removed, but not for long: the next start removes the others.
    pub async fn tidied(&self) {
        if let Some(placer) = self.placer() {
            drop(tokio::time::timeout(TIDIED_MAX, placer.flush()).await);
        }
    }

    /// Collects adopted processes that have ended, for as long as the daemon runs.
    pub async fn collect_orphans(self) {
        let mut every = tokio::time::interval(COLLECT_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            self.collect();
        }
    }

    /// Collects adopted processes that have ended, once. The exit status of a managed one is never touched.
    ///
    /// One whose execution is over should not exist; it is asked to end, and ended at the next call.
    pub fn collect(&self) {
        self.placer().inspect(|placer| placer.tidy());
        for process in self.adopted() {
            if process.zombie {
                collect_one(process.pid);
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
    pub(super) fn start(
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
        self.0.to_start.send_if_modified(|waiting| {
            waiting.insert(execution);
            false
        });
        ToStart::new(self.clone(), execution)
    }

    /// The command of `execution` has started, or does not start.
    pub(super) fn started(&self, execution: ExecutionId) {
        self.0
            .to_start
            .send_if_modified(|waiting| waiting.remove(&execution) && waiting.is_empty());
    }

    /// Lets the commands start whose turn has come: of a herd that is due, the first ones to end would hold the others up.
    pub(super) async fn starts_first(&self) {
        let mut waiting = self.0.to_start.subscribe();
        let all_started = waiting.wait_for(HashSet::is_empty);
        // Whatever comes of it, the end is not held up for longer.
        drop(tokio::time::timeout(STARTS_FIRST_MAX, all_started).await);
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
        ended.iter().for_each(|process| collect_one(process.pid));
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
    pub(super) async fn look(&self, since: Instant) -> Arc<Look> {
        let table = self.clone();
        self.0.looks.since(since, move || Look::take(&table)).await
    }

    /// A look at the adopted ones alone.
    pub(super) async fn adopted_since(&self, since: Instant) -> Arc<Vec<Adopted>> {
        let table = self.clone();
        self.0.adopted.since(since, move || table.adopted_alive()).await
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

fn collect_one(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid)
        && let Err(err) = waitpid(Some(pid), WaitOptions::NOHANG)
    {
        tracing::debug!(pid = pid.as_raw_nonzero().get(), %err, "not collected");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn executions_that_look_at_once_share_one_look() {
        let table = Processes::adopt(None).expect("Linux has subreapers");
        let now = Instant::now();
        let (first, second) = tokio::join!(table.look(now), table.look(now));
        assert!(Arc::ptr_eq(&first, &second));
        let later = table.look(Instant::now()).await;
        assert!(!Arc::ptr_eq(&first, &later), "what was seen before is too old");
    }

    #[tokio::test(start_paused = true)]
    async fn who_ends_waits_for_the_starts_whose_turn_has_come_but_not_for_long() {
        let table = Processes::adopt(None).expect("Linux has subreapers");
        let execution =
            |number| ExecutionId::random(crate::instant::Instant::default(), [number; 10]);
        let waited = async || {
            let began = Instant::now();
            table.starts_first().await;
            Instant::now() - began
        };
        assert_eq!(waited().await, Duration::ZERO, "nobody is to start");

        let (first, second) = (table.to_start(execution(1)), table.to_start(execution(2)));
        let starting = async {
            table.started(execution(1));
            tokio::time::sleep(Duration::from_millis(40)).await;
            // It does not start after all.
            drop(second);
        };
        let (waiting, ()) = tokio::join!(waited(), starting);
        assert_eq!(waiting, Duration::from_millis(40));
        drop(first);

        let _stuck = table.to_start(execution(3));
        assert_eq!(waited().await, STARTS_FIRST_MAX);
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
