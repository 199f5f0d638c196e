//! Which processes belong to which execution, and nobody else's business.
//!
//! The daemon is a *subreaper*: a descendant whose parent ends becomes its child, also after `setsid` or a double fork,
//! so nothing can leave the tree. Whose it was is told by its environment (`DAYBOOK_EXECUTION`), by its process group
//! and by its ancestors; one that has rid itself of all of these belongs to the last execution that could have started it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, pidfd_open, pidfd_send_signal,
    set_child_subreaper, test_kill_process_group, waitpid,
};

use super::procfs::{self, Process};
use crate::ids::ExecutionId;

/// How often adopted processes that have ended are collected.
const COLLECT_EVERY: Duration = Duration::from_secs(5);

/// The processes of all executions of this daemon. Clones share one table.
#[derive(Clone)]
pub struct Processes(Arc<Table>);

struct Table {
    own: Pid,
    /// Held for reading from before a process exists until it is in `state`; for writing by whoever must know all.
    starting: RwLock<()>,
    state: Mutex<State>,
    out_of_memory_kills: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Main processes that somebody waits for. Nobody else may collect them.
    managed: HashMap<i32, ExecutionId>,
    executions: HashSet<ExecutionId>,
    /// Adopted processes without a marker, by pid and start, and whose they may be.
    unmarked: HashMap<(i32, u64), HashSet<ExecutionId>>,
    /// Adopted processes of executions that are over, and that were asked to end.
    strays: HashSet<(i32, u64)>,
}

impl Processes {
    /// Makes this process the adopter of its descendants' orphans. Called once, when the daemon starts.
    ///
    /// # Errors
    /// The kernel's, when it knows no subreapers (before Linux 3.4).
    pub fn adopt() -> io::Result<Self> {
        let own = getpid();
        set_child_subreaper(Some(own))?;
        Ok(Self(Arc::new(Table {
            own,
            starting: RwLock::default(),
            state: Mutex::default(),
            out_of_memory_kills: AtomicU64::new(procfs::out_of_memory_kills()),
        })))
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
        for process in self.adopted() {
            if process.zombie {
                collect_one(process.pid);
            } else if self.is_stray(&process) {
                let key = (process.pid, process.start);
                let signal =
                    if self.state().strays.insert(key) { Signal::TERM } else { Signal::KILL };
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

    /// Starts `command` as the main process of `execution`.
    pub(super) fn start(
        &self,
        execution: ExecutionId,
        command: &mut Command,
    ) -> io::Result<(Child, Managed)> {
        let _starting = self.0.starting.read().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let mut state = self.state();
        state.managed.insert(pid, execution);
        state.executions.insert(execution);
        drop(state);
        Ok((child, Managed { table: self.clone(), execution, pid }))
    }

    /// Whether the kernel has ended a process for want of memory that was not yet accounted for.
    pub(super) fn claim_out_of_memory_kill(&self) -> bool {
        let now = procfs::out_of_memory_kills();
        self.0
            .out_of_memory_kills
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |seen| {
                (now > seen).then_some(seen + 1)
            })
            .is_ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adopted children: not those that somebody waits for.
    fn adopted(&self) -> Vec<Process> {
        let unknown = |pids: Vec<i32>| -> Vec<i32> {
            let state = self.state();
            pids.into_iter().filter(|pid| !state.managed.contains_key(pid)).collect()
        };
        let own = self.0.own.as_raw_nonzero().get();
        let mut pids = unknown(procfs::first_threads_children(own));
        if !pids.is_empty() {
            // One of them may just be starting: once nobody is, every managed one is in the table.
            drop(self.0.starting.write().unwrap_or_else(PoisonError::into_inner));
            pids = unknown(pids);
        }
        pids.into_iter().filter_map(Process::read).filter(|process| process.parent == own).collect()
    }

    fn is_stray(&self, process: &Process) -> bool {
        let marker = process.marker().and_then(|id| id.parse::<ExecutionId>().ok());
        marker.is_some_and(|execution| !self.state().executions.contains(&execution))
    }

    fn belongs(&self, process: &Process, execution: ExecutionId) -> bool {
        if let Some(marker) = process.marker() {
            return marker == execution.to_string();
        }
        let mut state = self.state();
        let running = state.executions.clone();
        let owners = state.unmarked.entry((process.pid, process.start)).or_insert(running);
        owners.contains(&execution) && owners.len() == 1
    }
}

/// An execution's main process, for as long as somebody waits for it.
pub(super) struct Managed {
    table: Processes,
    execution: ExecutionId,
    pid: i32,
}

impl Managed {
    pub(super) const fn pid(&self) -> i32 {
        self.pid
    }

    /// The main process was collected: its number may be used again from now on.
    pub(super) fn collected(&self) {
        let mut state = self.table.state();
        if state.managed.get(&self.pid) == Some(&self.execution) {
            state.managed.remove(&self.pid);
        }
    }

    /// Whether anything is left after the main process was collected. Two cheap questions when nothing is.
    pub(super) fn has_leftovers(&self) -> bool {
        let group = Pid::from_raw(self.pid)
            .is_some_and(|pid| test_kill_process_group(pid) != Err(rustix::io::Errno::SRCH));
        group
            || self
                .table
                .adopted()
                .iter()
                .any(|process| !process.zombie && self.table.belongs(process, self.execution))
    }

    /// All living processes of the execution. Collects adopted ones that have ended.
    pub(super) fn members(&self) -> Vec<Process> {
        let adopted = self.table.adopted();
        for process in adopted.iter().filter(|process| process.zombie) {
            collect_one(process.pid);
        }
        let all = procfs::all();
        let mut found: HashSet<i32> = adopted
            .iter()
            .filter(|process| !process.zombie && self.table.belongs(process, self.execution))
            .map(|process| process.pid)
            .collect();
        found
            .extend(all.iter().filter(|p| p.group == self.pid || p.pid == self.pid).map(|p| p.pid));
        loop {
            let before = found.len();
            let children: Vec<i32> =
                all.iter().filter(|p| found.contains(&p.parent)).map(|p| p.pid).collect();
            found.extend(children);
            if found.len() == before {
                break;
            }
        }
        all.into_iter().filter(|p| !p.zombie && found.contains(&p.pid)).collect()
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        self.collected();
        let mut state = self.table.state();
        state.executions.remove(&self.execution);
        for owners in state.unmarked.values_mut() {
            owners.remove(&self.execution);
        }
        state.unmarked.retain(|_, owners| !owners.is_empty());
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
