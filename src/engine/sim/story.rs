//! What happens in a simulation, as data: the files, and the steps one after another.

use std::collections::BTreeMap;
use std::fmt;

use crate::ids::{InterfaceId, ScheduleRef};
use crate::instant::Instant;

/// A story; the same story always ends the same way.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) seed: u64,
    pub(super) start: Instant,
    pub(super) files: BTreeMap<InterfaceId, File>,
    pub(super) steps: Vec<Step>,
    /// How long jobs take and how they end follows from the seed; otherwise all end well at once.
    pub(super) real_jobs: bool,
}

/// An interface's file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct File {
    pub(super) concurrent: Option<u32>,
    pub(super) schedules: BTreeMap<ScheduleRef, Spec>,
}

/// A schedule in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) when: When,
    pub(super) zone: &'static str,
    pub(super) gap: Option<&'static str>,
    pub(super) fold: Option<&'static str>,
    pub(super) enabled: bool,
    pub(super) overlap: &'static str,
    pub(super) mode: &'static str,
    pub(super) window_s: u64,
    pub(super) max: u32,
    /// So many in an hour.
    pub(super) rate_per_hour: Option<u32>,
    pub(super) lock: Option<&'static str>,
    pub(super) splay_s: u64,
    pub(super) on_interrupt: &'static str,
    pub(super) priority: i32,
}

/// A schedule's timing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum When {
    Cron(String),
    Every { period_s: u64, anchor: Option<Instant> },
    At(String),
    After { of: ScheduleRef, outcome: &'static str, deadline_s: u64 },
    Manual,
    Reboot,
}

/// Something that happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Time passes.
    Pass {
        secs: u64,
    },
    /// The wall clock is set.
    SetClock {
        by_s: i64,
    },
    /// The machine sleeps: wall clock and elapsed time jump, and timers are late.
    Suspend {
        secs: u64,
    },
    /// The process is killed.
    Kill(Down),
    /// A signal: the daemon waits for a while, then stops in good order.
    Stop {
        drain_s: u64,
        down: Down,
    },
    /// Somebody asks for a drain; after a while it stops in good order.
    Drain {
        drain_s: u64,
        down: Down,
    },
    /// What runs the jobs dies under a daemon that goes on.
    Lose,
    /// The disk or the process fails at the `after`th append from now on.
    Fault {
        after: u64,
        how: Fault,
        down: Down,
    },
    /// A file changes and is read again.
    Edit(ScheduleRef, Edit),
    Pause {
        target: Target,
        for_s: Option<u64>,
    },
    Resume {
        target: Target,
    },
    Run {
        schedule: ScheduleRef,
        force: bool,
    },
    /// The execution that ended as the `back`th before the newest runs again.
    Rerun {
        back: usize,
        force: bool,
    },
    /// One of the open executions is cancelled.
    Cancel {
        which: usize,
    },
}

/// What a pause is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Interface(InterfaceId),
    Schedule(ScheduleRef),
}

/// How the daemon is down, and how it comes back.
#[derive(Clone, Debug, Default)]
pub(super) struct Down {
    pub(super) secs: u64,
    /// How far the wall clock is set meanwhile.
    pub(super) set_clock_s: i64,
    pub(super) edit: Option<(ScheduleRef, Edit)>,
    /// The machine starts too.
    pub(super) reboot: bool,
    /// The jobs outlive the daemon, unless the machine starts.
    pub(super) jobs_live: bool,
    /// The next start fails too.
    pub(super) fault: Option<(u64, Fault)>,
    /// The state is that of a checkpoint, folded on.
    pub(super) from_checkpoint: bool,
}

/// How an append fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The process dies before it is on disk, and so does everything after it.
    LostBefore,
    /// The process dies when it is on disk, before anybody knows.
    KilledAfter,
    /// The disk refuses it: the daemon must end by itself.
    Refused,
}

/// A change of a schedule's entry in its file.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    When(When),
    Zone(&'static str),
    Enabled(bool),
    Overlap(&'static str),
    Mode(&'static str),
    Concurrent(Option<u32>),
    Remove,
    /// As it was in the first place.
    Restore,
}

impl Story {
    /// The story without a schedule and those that follow it.
    pub(super) fn without(&self, gone: &ScheduleRef) -> Self {
        let mut story = self.clone();
        for file in story.files.values_mut() {
            file.schedules.retain(|id, spec| id != gone && !spec.follows(gone));
        }
        story
    }

    pub(super) fn spec(&self, id: &ScheduleRef) -> Option<&Spec> {
        self.files.get(&id.interface)?.schedules.get(id)
    }
}

impl Spec {
    pub(super) fn follows(&self, other: &ScheduleRef) -> bool {
        matches!(&self.when, When::After { of, .. } if of == other)
    }

    /// The keys that move a schedule's slots.
    pub(super) fn retimed(&self, newer: &Self) -> bool {
        let timing = |spec: &Self| (spec.when.clone(), spec.zone, spec.gap, spec.fold);
        timing(self) != timing(newer)
    }
}

/// Changes `files` as the edit says; what is not there, or would not be accepted, is not changed.
pub(super) fn edit_files(
    files: &mut BTreeMap<InterfaceId, File>,
    first: &Story,
    (id, edit): (&ScheduleRef, &Edit),
) {
    let mut changed = files.clone();
    let Some(file) = changed.get_mut(&id.interface) else { return };
    match edit {
        Edit::Concurrent(limit) => file.concurrent = *limit,
        Edit::Remove => drop(file.schedules.remove(id)),
        Edit::Restore => {
            if let Some(spec) = first.spec(id) {
                file.schedules.insert(id.clone(), spec.clone());
            }
        }
        Edit::When(_) | Edit::Zone(_) | Edit::Enabled(_) | Edit::Overlap(_) | Edit::Mode(_) => {
            let Some(spec) = file.schedules.get_mut(id) else { return };
            match edit {
                Edit::When(when) => {
                    spec.when = when.clone();
                    // A time that is left out and not made up for is refused.
                    spec.gap = spec.gap.filter(|_| !matches!(when, When::At(_)));
                }
                Edit::Zone(zone) => spec.zone = zone,
                Edit::Enabled(enabled) => spec.enabled = *enabled,
                Edit::Overlap(overlap) => spec.overlap = overlap,
                Edit::Mode(mode) => spec.mode = mode,
                Edit::Concurrent(_) | Edit::Remove | Edit::Restore => (),
            }
        }
    }
    let exists = |id: &ScheduleRef| {
        changed.get(&id.interface).is_some_and(|file| file.schedules.contains_key(id))
    };
    let all = || changed.values().flat_map(|file| &file.schedules);
    // Who follows has the later name, so that nobody follows in a circle.
    let sound = all().all(|(id, spec)| match &spec.when {
        When::After { of, .. } => of.schedule < id.schedule && exists(of),
        _ => true,
    });
    if sound {
        *files = changed;
    }
}

impl fmt::Display for File {
    /// As TOML.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(concurrent) = self.concurrent {
            writeln!(f, "[limits]\nconcurrent = {concurrent}")?;
        }
        for (id, spec) in &self.schedules {
            writeln!(f, "[schedules.{}]\n{spec}command = [\"true\"]", id.schedule)?;
        }
        Ok(())
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron(pattern) => writeln!(f, "cron = \"{pattern}\""),
            Self::Every { period_s, anchor } => {
                writeln!(f, "every = \"{period_s}s\"")?;
                anchor.map_or(Ok(()), |anchor| writeln!(f, "anchor = \"{anchor}\""))
            }
            Self::At(reading) => writeln!(f, "at = \"{reading}\""),
            Self::After { of, outcome, deadline_s } => writeln!(
                f,
                "after = {{ schedule = \"{of}\", outcome = \"{outcome}\", deadline = \"{deadline_s}s\" }}"
            ),
            Self::Manual => writeln!(f, "manual = true"),
            Self::Reboot => writeln!(f, "cron = \"@reboot\""),
        }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { when, zone, enabled, overlap, mode, window_s, max, on_interrupt, .. } = self;
        write!(f, "{when}timezone = \"{zone}\"\nenabled = {enabled}\noverlap = \"{overlap}\"\n")?;
        let rate = self.rate_per_hour.map(|rate| format!(", rate = \"{rate}/h\""));
        let more = if *mode == "all" {
            format!(", max = {max}{}", rate.unwrap_or_default())
        } else {
            String::new()
        };
        writeln!(f, "catch_up = {{ mode = \"{mode}\", window = \"{window_s}s\"{more} }}")?;
        for (key, value) in [("gap", self.gap), ("fold", self.fold)] {
            value.map_or(Ok(()), |value| writeln!(f, "dst.{key} = \"{value}\""))?;
        }
        self.lock.map_or(Ok(()), |lock| writeln!(f, "lock = \"{lock}\""))?;
        if self.splay_s > 0 {
            writeln!(f, "splay = \"{}s\"", self.splay_s)?;
        }
        writeln!(f, "on_interrupt = \"{on_interrupt}\"\npriority = {}", self.priority)
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, from {}", self.seed, self.start)?;
        for (id, file) in &self.files {
            writeln!(f, "--- {id}.toml\n{file}")?;
        }
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "{number:3}. {step:?}")?;
        }
        Ok(())
    }
}
