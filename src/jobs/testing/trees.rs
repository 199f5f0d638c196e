//! The ways to tell process trees apart, for tests that hold in each.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::{Bench, shell};
use crate::jobs::Way;
use crate::jobs::runner::Processes;

/// How process trees are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::jobs) enum Trees {
    /// By cgroups, where they can be used; the command waits until it is in its own.
    Cgroups,
    /// By cgroups, where they can be used; the command runs already while it is being moved.
    CgroupsLate,
    /// By parents and markers alone.
    Proc,
}

impl Trees {
    /// The test process has one table for each way, as the daemon has one.
    pub(in crate::jobs) fn processes(self) -> Processes {
        static WITH: OnceLock<Processes> = OnceLock::new();
        static WITHOUT: OnceLock<Processes> = OnceLock::new();
        let adopt = |data: Option<PathBuf>| {
            Processes::adopt(data.as_deref()).expect("Linux has subreapers")
        };
        let data = || std::env::temp_dir().join(format!("daybook-{}", std::process::id()));
        let table = match self {
            Self::Cgroups | Self::CgroupsLate => WITH.get_or_init(|| adopt(Some(data()))),
            Self::Proc => WITHOUT.get_or_init(|| adopt(None)),
        };
        table.clone()
    }

    /// Whether this machine and user can do it so.
    pub(in crate::jobs) fn usable(self) -> bool {
        self == Self::Proc || matches!(self.processes().way(), Way::Cgroups(_))
    }

    /// `script` with sleepers of its own, so that tests of several ways may run at once: `sleep 31101` is another one in each.
    pub(in crate::jobs) fn own(self, script: &str) -> String {
        let number = match self {
            Self::Cgroups => "sleep 312",
            Self::CgroupsLate => "sleep 313",
            Self::Proc => return script.to_owned(),
        };
        script.replace("sleep 311", number)
    }

    /// A shell command with this script.
    pub(in crate::jobs) fn shell(self, script: &str) -> Bench {
        let placed = match self {
            Self::Cgroups => "while ! grep -q '0::.*/daybook-' /proc/$$/cgroup; do :; done; ",
            Self::CgroupsLate | Self::Proc => "",
        };
        let mut bench = shell(&format!("{placed}{}", self.own(script)));
        bench.trees = self;
        bench
    }
}

/// Makes tests of functions that are given [`Trees`], for each way that this machine and user can do.
macro_rules! in_each_way {
    ($($test:ident)*) => { $(mod $test {
        use crate::jobs::testing::Trees;

        async fn told_by(trees: Trees) {
            if trees.usable() {
                super::$test(trees).await;
                trees.processes().tidied();
            } else {
                eprintln!("not tested: no cgroup can be made here");
            }
        }

        #[tokio::test]
        async fn by_its_cgroup() {
            told_by(Trees::Cgroups).await;
        }

        #[tokio::test]
        async fn while_it_is_moved_to_its_cgroup() {
            told_by(Trees::CgroupsLate).await;
        }

        #[tokio::test]
        async fn by_parents_and_markers() {
            told_by(Trees::Proc).await;
        }
    })* };
}
pub(in crate::jobs) use in_each_way;
