//! The adapters between parts that do not know each other.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::civil::Zone;
use crate::config::{self, Checks, Environment, Fault, Loaded};
use crate::domain::definition::{self, Dst, Timing};
use crate::domain::event::{Change, Event, Trigger};
use crate::domain::template::{self, Name};
use crate::domain::timing::Plan;
use crate::engine::ports::{Definitions, FileProblem, Files, Observer, Recorded};
use crate::ids::{InterfaceId, ScheduleRef};
use crate::instant::Instant;
use crate::telemetry::metrics::Metrics;

/// Slots that are looked at to find a pattern's busiest minute.
const LOOKED_AT: usize = 200;

/// From when on they are looked at: a Monday without any special date near.
const LOOKED_FROM: Instant = Instant::from_secs(1_749_427_200);

/// The real judges of values in the files.
pub fn checks() -> Checks {
    Checks { zone, timing, template, per_minute }
}

fn zone(name: &str) -> Result<(), String> {
    Zone::load(name).map(drop).map_err(|err| err.to_string())
}

fn plan(timing: &Timing, zone: &str, dst: Dst) -> Result<Plan, Fault> {
    let zone = Zone::load(zone).map_err(|err| Fault::from(err.to_string()))?;
    Plan::new(timing, &zone, dst).map_err(|err| Fault { why: err.to_string(), at: err.span() })
}

fn timing(timing: &Timing, zone: &str, dst: Dst) -> Result<Vec<String>, Fault> {
    plan(timing, zone, dst).map(|plan| plan.warnings())
}

fn per_minute(timing: &Timing, zone: &str, dst: Dst) -> f64 {
    plan(timing, zone, dst)
        .map_or(0.0, |plan| config::busiest_minute(plan.slots_after(LOOKED_FROM).take(LOOKED_AT)))
}

fn template(text: &str, params: &BTreeSet<&str>) -> Result<(), Fault> {
    let names = template::check(text).map_err(|err| {
        let at = Some(err.offset..err.offset + err.length);
        Fault { why: err.to_string(), at }
    })?;
    for (offset, name) in names {
        if let Name::Param(param) = &name
            && !params.contains(param.as_str())
        {
            let why = format!(
                "`param.{param}` is not declared; add `params.{param} = {{}}` to the schedule"
            );
            return Err(Fault { why, at: Some(offset..offset + 2) });
        }
    }
    Ok(())
}

/// The folder of the interfaces' files.
#[derive(Clone)]
pub(super) struct Folder {
    pub(super) dir: PathBuf,
    pub(super) environment: Environment,
}

impl Folder {
    pub(super) fn read(&self) -> Loaded {
        config::load_folder(&self.dir, &self.environment, checks())
    }
}

/// What the engine takes over of what was read.
pub(super) fn files(loaded: Loaded) -> Files {
    let problems = loaded
        .problems
        .iter()
        .filter(|problem| problem.is_error())
        .map(|problem| FileProblem {
            text: problem.to_string(),
            file: problem.file.clone(),
            line: problem.line,
            column: problem.column,
            message: problem.message.clone(),
            hint: problem.hint.clone(),
        })
        .collect();
    let refused = loaded.refused.iter().filter_map(|stem| InterfaceId::new(stem).ok()).collect();
    let accepted = loaded.accepted.into_iter().map(|(id, file)| (id, file.interface)).collect();
    Files { accepted, refused, problems, unreadable: loaded.unreadable, ..Files::default() }
}

impl Definitions for Folder {
    fn load(&self) -> Files {
        let loaded = self.read();
        for problem in &loaded.problems {
            if problem.is_error() {
                tracing::error!(%problem, "a file is not accepted");
            } else {
                tracing::warn!(%problem, "a file is accepted with a warning");
            }
        }
        files(loaded)
    }

    fn changes(
        &self,
        old: Option<&definition::Interface>,
        new: Option<&definition::Interface>,
    ) -> Vec<Change> {
        config::diff(old, new)
    }
}

/// Counts what is decided.
pub(super) struct Counting(pub(super) Arc<Metrics>);

impl Observer for Counting {
    fn recorded(&self, recorded: Recorded<'_>) {
        let metrics = &self.0;
        metrics.events_appended(recorded.event.name(), 1);
        match recorded.event {
            Event::SlotStarted(started) => {
                if let Some(schedule) = recorded.schedule {
                    metrics.slot_started(schedule, Duration::from_millis(started.late_ms));
                }
            }
            Event::SlotsPassed(passed) => {
                if let Some(schedule) = recorded.schedule {
                    metrics.slots_passed(schedule, passed.verdict, passed.reason, passed.count);
                }
            }
            Event::DeliveryEnded(ended) => metrics.ping(&ended.kind, ended.result),
            Event::Closed(closed) => {
                let Some(opened) = recorded.opened else { return };
                let took = Duration::from_millis(closed.duration_ms);
                metrics.execution_finished(&opened.schedule, opened.trigger, closed.outcome, took);
            }
            _ => (),
        }
    }

    fn applied(&self, schedules: &[(&ScheduleRef, Trigger)]) {
        self.0.define_schedules(schedules.iter().copied());
    }
}
