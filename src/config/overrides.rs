//! `DAYBOOK_<INTERFACE>_<SCHEDULE>_CRON`: frequencies set from outside the files (S2-7, S2-5).

use std::collections::BTreeMap;

use super::checks::Checker;
use super::environment::Environment;
use super::problem::{Problem, Severity};
use super::schedule::cron_timing;
use super::settings;
use super::values::nearest;
use crate::domain::definition::Schedule;
use crate::ids::ScheduleRef;

const PREFIX: &str = "DAYBOOK_";
const SUFFIX: &str = "_CRON";

/// Variables that Daybook sets for its commands, or that the command line reads: present, and no settings.
const KNOWN: [&str; 10] = [
    "DAYBOOK_ATTEMPT",
    "DAYBOOK_EXECUTION",
    "DAYBOOK_IDEMPOTENCY_KEY",
    "DAYBOOK_INTERFACE",
    "DAYBOOK_LAST_OK_SLOT",
    "DAYBOOK_PREVIOUS_SLOT",
    "DAYBOOK_SCHEDULE",
    "DAYBOOK_SLOT",
    "DAYBOOK_TOKEN",
    "DAYBOOK_TRIGGER",
];

/// The name of the variable that replaces a schedule's cron pattern.
pub fn variable(schedule: &ScheduleRef) -> String {
    let upper = |text: &str| text.to_uppercase().replace('-', "_");
    format!(
        "{PREFIX}{}_{}{SUFFIX}",
        upper(schedule.interface.as_str()),
        upper(schedule.schedule.as_str())
    )
}

/// All schedules by the name of their variable. More than one under a name is refused.
pub(super) struct Variables {
    schedules: BTreeMap<String, Vec<ScheduleRef>>,
}

impl Variables {
    pub(super) fn new(schedules: impl IntoIterator<Item = ScheduleRef>) -> Self {
        let mut by_name: BTreeMap<String, Vec<ScheduleRef>> = BTreeMap::new();
        for schedule in schedules {
            by_name.entry(variable(&schedule)).or_default().push(schedule);
        }
        Self { schedules: by_name }
    }

    /// Names that stand for two schedules or more, with these schedules.
    pub(super) fn ambiguous(&self) -> impl Iterator<Item = (Problem, &[ScheduleRef])> {
        self.schedules.iter().filter(|(_, owners)| owners.len() > 1).map(|(name, owners)| {
            let shown: Vec<String> = owners.iter().map(|owner| format!("`{owner}`")).collect();
            let problem = Problem::without_place(
                Severity::Error,
                format!("${name}"),
                format!("stands for more than one schedule: {}", shown.join(", ")),
            )
            .with_hint("rename an interface or a schedule");
            (problem, owners.as_slice())
        })
    }

    /// Warns of each `DAYBOOK_…` variable that is neither a setting nor a schedule's.
    pub(super) fn unmatched(&self, env: &Environment) -> Vec<Problem> {
        let settings = settings::variables();
        let known = |name: &str| {
            settings.iter().any(|setting| setting == name)
                || self.schedules.contains_key(name)
                || KNOWN.contains(&name)
                || name.starts_with("DAYBOOK_PARAM_")
        };
        let candidates: Vec<&str> = settings
            .iter()
            .map(String::as_str)
            .chain(self.schedules.keys().map(String::as_str))
            .collect();
        env.names(PREFIX)
            .filter(|name| !known(name))
            .map(|name| {
                let problem = Problem::without_place(
                    Severity::Warning,
                    format!("${name}"),
                    "matches no setting and no schedule",
                );
                match nearest(name, candidates.iter().copied()) {
                    Some(near) => problem.with_hint(format!("did you mean `{near}`?")),
                    None => problem.with_hint(format!(
                        "a schedule's variable is {PREFIX}<INTERFACE>_<SCHEDULE>{SUFFIX}"
                    )),
                }
            })
            .collect()
    }
}

/// Replaces the schedule's timing by its variable's, if that is set. `-` switches it off.
pub(super) fn apply(
    name: &ScheduleRef,
    schedule: &mut Schedule,
    env: &Environment,
    checker: &Checker,
) -> Vec<Problem> {
    let variable = variable(name);
    let Some(value) = env.get(&variable).map(str::trim) else { return Vec::new() };
    let problem = |severity, message: String| {
        Problem::without_place(severity, format!("${variable}"), message)
            .with_key(format!("schedules.{}.cron", name.schedule))
    };
    match value {
        "-" => {
            schedule.enabled = false;
            Vec::new()
        }
        "" => vec![
            problem(Severity::Error, format!("is empty, so it says nothing about `{name}`"))
                .with_hint(
                    "unset it to keep the file's timing, or write `-` to switch the schedule off",
                ),
        ],
        pattern => {
            let timing = cron_timing(pattern);
            match checker.timing(&timing, &schedule.timezone, schedule.dst).as_ref() {
                Ok(warnings) => {
                    schedule.timing = timing;
                    warnings.iter().map(|text| problem(Severity::Warning, text.clone())).collect()
                }
                Err(why) => {
                    vec![problem(Severity::Error, format!("for `{name}`: {}", why.why)).with_hint(
                        "fields are: minute hour day month weekday; `-` switches the schedule off",
                    )]
                }
            }
        }
    }
}
