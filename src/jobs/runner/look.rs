//! All processes at one moment.

use std::collections::{HashMap, HashSet};

use super::processes::Processes;
use crate::jobs::procfs::{self, Process};

/// A living process that was adopted when its parent ended.
pub(super) struct Adopted {
    pub(super) process: Process,
    /// The execution that it belongs to by its cgroup or its marker.
    pub(super) owner: Option<String>,
}

/// All processes at one moment.
pub(super) struct Look {
    pub(super) all: Vec<Process>,
    /// Places in `all` by parent.
    children: HashMap<i32, Vec<usize>>,
    pub(super) adopted: Vec<Adopted>,
}

impl Look {
    pub(super) fn take(table: &Processes) -> Self {
        // Before the adopted ones: who loses its parent in between is still found below it.
        let all = procfs::all();
        let mut children: HashMap<i32, Vec<usize>> = HashMap::new();
        for (place, process) in all.iter().enumerate() {
            children.entry(process.parent).or_default().push(place);
        }
        Self { adopted: table.adopted_alive(), all, children }
    }

    /// The living ones among `roots` and their descendants.
    pub(super) fn trees(&self, roots: HashSet<i32>) -> Vec<Process> {
        let mut next: Vec<i32> = roots.iter().copied().collect();
        let mut found = roots;
        while let Some(pid) = next.pop() {
            for place in self.children.get(&pid).into_iter().flatten() {
                let child = self.all[*place].pid;
                if found.insert(child) {
                    next.push(child);
                }
            }
        }
        let alive = self.all.iter().filter(|process| !process.zombie);
        alive.filter(|process| found.contains(&process.pid)).cloned().collect()
    }
}
