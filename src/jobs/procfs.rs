//! What the kernel tells of processes in `/proc`: parents, groups, states, start times, environments.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use rustix::process::{Pid, WaitOptions, waitpid};

use super::redact::Redactor;

/// The variable that every process of an execution inherits.
pub(super) const MARKER: &str = "DAYBOOK_EXECUTION";

/// Characters of a command line that are shown.
const SHOWN_CHARS: usize = 120;

/// One process at one moment. `pid` and `start` together are never used again before the next boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    /// Clock ticks after boot.
    pub(super) start: u64,
    /// It has ended and waits for its parent to ask how.
    pub(super) zombie: bool,
    /// What its program calls it.
    pub(super) name: String,
}

impl Process {
    /// Reads `/proc/<pid>/stat`; none when there is no such process.
    pub(super) fn read(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name may hold anything, also `)`: the fields begin behind the last one.
    fn parse(stat: &str) -> Option<Self> {
        let (head, fields) = stat.rsplit_once(") ")?;
        let (pid, name) = head.split_once(" (")?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        Some(Self {
            pid: pid.parse().ok()?,
            name: name.to_owned(),
            zombie: matches!(*fields.first()?, "Z" | "X"),
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
        })
    }

    /// What tells it from every other process before the next boot.
    pub(super) const fn key(&self) -> (i32, u64) {
        (self.pid, self.start)
    }

    /// Its command line without `secrets`, cut, else its name; with its number.
    pub(super) fn describe(&self, secrets: &Redactor) -> String {
        let line = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        // Before the cut, which could leave the beginning of one.
        let line: String = secrets
            .text(line.trim_end_matches('\0'))
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(SHOWN_CHARS)
            .collect();
        let shown = if line.is_empty() { &self.name } else { &line };
        format!("`{shown}` (pid {})", self.pid)
    }

    /// The execution that it belongs to by its environment; none when it has no marker or may not be asked.
    pub(super) fn marker(&self) -> Option<String> {
        let environ = fs::read(format!("/proc/{}/environ", self.pid)).ok()?;
        environ.split(|byte| *byte == 0).find_map(|entry| {
            let value = entry.strip_prefix(MARKER.as_bytes())?.strip_prefix(b"=")?;
            String::from_utf8(value.to_vec()).ok()
        })
    }
}

/// All processes that can be seen.
pub(super) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Process::read)
        .collect()
}

/// Children of this process that were adopted from ended parents, among a few that its first thread started.
///
/// A subreaper adopts into its first thread's list, while workers have lists of their own: so this one is nearly always
/// empty, and reading it costs some microseconds. Without `CONFIG_PROC_CHILDREN` all processes are read.
pub(super) fn first_threads_children(own: i32) -> Vec<i32> {
    let path = format!("/proc/{own}/task/{own}/children");
    match fs::read_to_string(&path) {
        Ok(list) => list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect(),
        Err(_) => all().iter().filter(|p| p.parent == own).map(|p| p.pid).collect(),
    }
}

/// Collects children of this process that have ended and that nobody waits for; `keep` is waited for by somebody.
pub(super) fn collect_children(keep: Option<i32>) {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    for pid in first_threads_children(own) {
        let ended = Process::read(pid).is_some_and(|process| process.zombie);
        if ended && Some(pid) != keep {
            collect(pid);
        }
    }
}

/// Takes note of the end of the child `pid`, if it has ended.
pub(super) fn collect(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid)
        && let Err(err) = waitpid(Some(pid), WaitOptions::NOHANG)
    {
        tracing::debug!(pid = pid.as_raw_nonzero().get(), %err, "not collected");
    }
}

/// Children of `parents`. Without `CONFIG_PROC_CHILDREN` all processes are read.
pub(super) fn children_of(parents: &HashSet<i32>) -> Vec<i32> {
    if !Path::new("/proc/thread-self/children").exists() {
        let all = all().into_iter().filter(|process| parents.contains(&process.parent));
        return all.map(|process| process.pid).collect();
    }
    let mut children = Vec::new();
    for parent in parents {
        let threads = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let list = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            children
                .extend(list.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
        }
    }
    children
}

/// How many processes the kernel has ended for want of memory: in our control group, else on the whole machine.
pub(super) fn out_of_memory_kills() -> u64 {
    let own_group = || {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let events = Path::new("/sys/fs/cgroup").join(path).join("memory.events");
        count(&fs::read_to_string(events).ok()?)
    };
    let machine = || count(&fs::read_to_string("/proc/vmstat").ok()?);
    own_group().or_else(machine).unwrap_or(0)
}

fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// The largest resident set that this process has had, in bytes; 0 when the kernel does not tell.
pub(super) fn own_peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
    peak.and_then(|kib| kib.trim().parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_brackets_in_its_name_is_read() {
        let stat = "77 (a) b (c) Z 5 6 7 0 -1 4228364 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0 1844";
        let expected = Process {
            pid: 77,
            parent: 5,
            group: 6,
            start: 4711,
            zombie: true,
            name: "a) b (c".to_owned(),
        };
        assert_eq!(Process::parse(stat), Some(expected));
    }

    #[test]
    fn kills_for_want_of_memory_are_counted() {
        assert_eq!(count("low 0\nhigh 0\noom 3\noom_kill 2\noom_group_kill 0\n"), Some(2));
        assert_eq!(count("nothing 1\n"), None);
    }
}
