//! What a runner that was killed left running: found by its cgroup, else by its marker, and ended before its execution
//! counts as over.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{geteuid, getpid};
use tokio::time::{Instant, sleep};

use super::cgroup::{Cgroups, Group, Whose};
use super::procfs::{self, Process};
use super::redact::Redactor;
use super::runner::{LEFTOVER_MAX, Pauses, ask, end_each, named};
use super::shared::{Shared, off_the_workers};
use crate::ids::ExecutionId;

/// The processes of each execution.
type Found = HashMap<ExecutionId, Vec<Process>>;

/// Finds what runners that are gone left running.
pub struct Survivors {
    began: Instant,
    cgroups: Option<Arc<Cgroups>>,
    looks: Shared<Found>,
}

impl Survivors {
    /// Nobody has looked yet.
    pub(super) fn new(cgroups: Option<Arc<Cgroups>>) -> Self {
        Self { began: Instant::now(), cgroups, looks: Shared::default() }
    }

    /// What a former daemon's runner left of `execution`. One look at all processes serves all who ask at the start.
    pub(super) async fn of(&self, execution: ExecutionId) -> Vec<Process> {
        self.seen(execution, self.began).await
    }

    /// Ends what a runner that is just gone has left of `execution`; the words that name it. Without `secrets` nobody knows what
    /// may stand in a command line.
    pub(super) async fn end_all(
        &self,
        execution: ExecutionId,
        secrets: Option<&Redactor>,
        grace: Duration,
    ) -> Option<String> {
        let found = self.seen(execution, Instant::now()).await;
        self.end_found(execution, found, secrets, grace).await
    }

    /// The same for `found`.
    pub(super) async fn end_found(
        &self,
        execution: ExecutionId,
        found: Vec<Process>,
        secrets: Option<&Redactor>,
        grace: Duration,
    ) -> Option<String> {
        if found.is_empty() {
            return None;
        }
        let names = |processes: &[Process]| match secrets {
            Some(secrets) => named(processes, secrets),
            None => format!("{} processes", processes.len()),
        };
        // While they live: afterwards nobody can say what they were.
        let text = format!("{} ran on after the runner had ended, ended by Daybook", names(&found));
        tracing::warn!(%execution, processes = found.len(), "ending what a runner left running");
        let left = self.end(execution, found, grace).await;
        if left.is_empty() {
            return Some(text);
        }
        Some(format!("{text}; {} did not end on SIGTERM and SIGKILL", names(&left)))
    }

    /// Ends `found`, the processes of `execution`: TERM, `grace`, KILL. Gives those that live on all the same.
    async fn end(
        &self,
        execution: ExecutionId,
        found: Vec<Process>,
        grace: Duration,
    ) -> Vec<Process> {
        let kill_at = Instant::now() + grace;
        let mut asked = HashSet::new();
        let mut left = found;
        let mut pauses = Pauses::new();
        while !left.is_empty() && Instant::now() < kill_at + LEFTOVER_MAX {
            if Instant::now() >= kill_at {
                self.kill_groups(execution).await;
                end_each(&left);
            } else {
                left.iter().filter(|process| asked.insert(process.key())).for_each(ask);
            }
            sleep(pauses.next()).await;
            left = self.seen(execution, Instant::now()).await;
        }
        self.remove_groups(execution).await;
        left
    }

    async fn seen(&self, execution: ExecutionId, since: Instant) -> Vec<Process> {
        let cgroups = self.cgroups.clone();
        let look = self.looks.since(since, move || found(cgroups.as_deref())).await;
        look.get(&execution).cloned().unwrap_or_default()
    }

    async fn kill_groups(&self, execution: ExecutionId) {
        self.with_groups(execution, |group| {
            group.kill();
        })
        .await;
    }

    async fn remove_groups(&self, execution: ExecutionId) {
        let remove = |group: &Group| {
            if let Err(err) = group.remove() {
                tracing::debug!(folder = group.shown(), %err, "a cgroup stays for a while");
            }
        };
        self.with_groups(execution, remove).await;
    }

    /// Does it to each cgroup of `execution`.
    async fn with_groups(&self, execution: ExecutionId, act: impl Fn(&Group) + Send + 'static) {
        let Some(cgroups) = self.cgroups.clone() else { return };
        let of_execution = move || {
            let groups = cgroups.existing().into_iter();
            groups.filter(|(of, _)| *of == execution).for_each(|(_, group)| act(&group));
        };
        off_the_workers(of_execution).await;
    }
}

/// What lives in the cgroups of attempts, and what bears a marker.
fn found(cgroups: Option<&Cgroups>) -> Found {
    let mut found = marked(cgroups);
    for (execution, group) in cgroups.map(Cgroups::existing).unwrap_or_default() {
        let processes = found.entry(execution).or_default();
        let known: HashSet<_> = processes.iter().map(Process::key).collect();
        let inside = group.processes().into_iter();
        processes.extend(inside.filter(|process| !known.contains(&process.key())));
    }
    for processes in found.values_mut() {
        processes.sort_unstable_by_key(|process| process.pid);
    }
    found
}

/// Processes of this user that bear a marker, with their descendants, but not those that another daemon looks after, or that
/// stand in the cgroup of another one's command.
fn marked(cgroups: Option<&Cgroups>) -> Found {
    let (user, own) = (geteuid().as_raw(), getpid().as_raw_nonzero().get());
    let all: HashMap<i32, Process> =
        procfs::all().into_iter().map(|process| (process.pid, process)).collect();
    let of_this_user =
        |pid: i32| fs::metadata(format!("/proc/{pid}")).is_ok_and(|process| process.uid() == user);
    let of_another = |process: &Process| {
        cgroups.is_some_and(|cgroups| cgroups.whose(process) == Whose::AnotherDaemons)
    };
    let markers: HashMap<i32, ExecutionId> = all
        .values()
        .filter(|process| !process.zombie && process.pid != own && of_this_user(process.pid))
        .filter_map(|process| Some((process.pid, process.marker()?.parse().ok()?, process)))
        .filter(|(_, _, process)| !of_another(process))
        .map(|(pid, execution, _)| (pid, execution))
        .collect();
    let mut found = Found::new();
    if markers.is_empty() {
        return found;
    }
    for process in all.values().filter(|process| !process.zombie && process.pid != own) {
        if let Some(execution) = owner(process, &all, &markers, own) {
            found.entry(execution).or_default().push(process.clone());
        }
    }
    found
}

/// Whose `process` is: by the nearest marker, its own or an ancestor's. None when a daemon stands above it that runs the
/// same program as this one: a schedule's slot has the same execution id in every data folder.
fn owner(
    process: &Process,
    all: &HashMap<i32, Process>,
    markers: &HashMap<i32, ExecutionId>,
    own: i32,
) -> Option<ExecutionId> {
    let daemon = all.get(&own).map(|process| process.name.as_str());
    let (mut at, mut execution) = (process, None);
    // A number that was used again in the middle of the look might make a ring.
    for _ in 0..all.len() {
        let marker = markers.get(&at.pid);
        if marker.is_none() && at.pid != own && Some(at.name.as_str()) == daemon {
            return None;
        }
        execution = execution.or(marker);
        let Some(parent) = all.get(&at.parent) else { break };
        at = parent;
    }
    execution.copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instant::Instant;

    fn process(pid: i32, parent: i32, name: &str) -> (i32, Process) {
        let process =
            Process { pid, parent, group: pid, start: 1, zombie: false, name: name.to_owned() };
        (pid, process)
    }

    fn owner_of(pid: i32, all: &HashMap<i32, Process>) -> Option<u8> {
        let id = |n| ExecutionId::random(Instant::from_secs(0), [n; 10]);
        let markers = HashMap::from([(20, id(2)), (30, id(3)), (31, id(3)), (50, id(5))]);
        let owner = owner(&all[&pid], all, &markers, 10)?;
        [2, 3, 5].into_iter().find(|n| id(*n) == owner)
    }

    #[test]
    fn a_process_belongs_to_its_nearest_marker_unless_another_daemon_lives_above_it() {
        let all = HashMap::from([
            process(1, 0, "systemd"),
            process(10, 1, "daybook"),
            process(20, 1, "sh"),
            process(21, 20, "sleep"),
            process(30, 1, "daybook"),
            process(31, 30, "curl"),
            process(40, 1, "daybook"),
            process(50, 40, "sh"),
            process(51, 50, "sleep"),
        ]);
        assert_eq!(owner_of(20, &all), Some(2));
        assert_eq!(owner_of(21, &all), Some(2), "without a marker");
        assert_eq!(owner_of(31, &all), Some(3), "a command of Daybook as a job");
        assert_eq!((owner_of(50, &all), owner_of(51, &all)), (None, None), "another daemon's");
        assert_eq!(owner_of(1, &all), None);
    }
}
