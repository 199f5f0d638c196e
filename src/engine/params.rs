//! The parameters that an execution is opened with.

use std::collections::BTreeMap;

use super::slots::Opening;
use crate::civil::Zone;
use crate::domain::definition;
use crate::domain::event::Opened;
use crate::domain::template::{self, Name, Values};
use crate::instant::Instant;

/// Gives every declared parameter that has none yet its default, with the templates in it filled in.
///
/// A default that cannot be filled in yet (`execution.attempt`) is left to each attempt.
pub(super) fn fill_defaults(
    opened: &mut Opened,
    opening: Opening,
    schedule: &definition::Schedule,
) {
    let values = values(opened, opening, schedule);
    for (name, param) in &schedule.params {
        let Some(default) = &param.default else { continue };
        if !opened.params.contains_key(name)
            && let Ok(text) = template::render(default, &values)
        {
            opened.params.insert(name.clone(), text.into_owned());
        }
    }
}

fn values(opened: &Opened, opening: Opening, schedule: &definition::Schedule) -> Values {
    let shown = |at: Option<Instant>| at.map_or_else(String::new, |at| at.to_string());
    let mut values = Values::new();
    values.set(Name::SlotAt, shown(opened.slot));
    values.set(Name::SlotPrevious, shown(opened.previous_slot));
    values.set(Name::SlotLastOk, shown(opened.last_ok_slot));
    if let Ok(zone) = Zone::load(&schedule.timezone) {
        values.set(Name::SlotDate, zone.local_date(opening.slot.unwrap_or(opening.at)));
    }
    values.set(Name::ExecutionId, opening.execution.to_string());
    values.set(Name::ExecutionRoot, opened.root.to_string());
    values.set(Name::ExecutionInterface, opened.schedule.interface.as_str());
    values.set(Name::ExecutionSchedule, opened.schedule.schedule.as_str());
    values.set(Name::ExecutionTrigger, opened.trigger.as_str());
    values.set(Name::ExecutionIdempotencyKey, opened.idempotency_key.as_str());
    values
}

/// Checks the parameters that a person gave.
///
/// # Errors
/// The name of one that the schedule does not declare, or that has no default and was not given, with a sentence.
pub(super) fn check(
    given: &BTreeMap<String, String>,
    schedule: &definition::Schedule,
) -> Result<(), (String, String)> {
    let declared = || {
        let names: Vec<_> = schedule.params.keys().map(String::as_str).collect();
        if names.is_empty() {
            "the schedule declares none".to_owned()
        } else {
            format!("declared: {}", names.join(", "))
        }
    };
    if let Some(unknown) = given.keys().find(|name| !schedule.params.contains_key(*name)) {
        return Err((
            unknown.clone(),
            format!("`{unknown}` is not a parameter of this schedule; {}", declared()),
        ));
    }
    let missing = schedule
        .params
        .iter()
        .find(|(name, param)| param.default.is_none() && !given.contains_key(*name));
    missing.map_or(Ok(()), |(name, _)| {
        Err((
            name.clone(),
            format!("parameter `{name}` has no default and must be given: --param {name}=…"),
        ))
    })
}
