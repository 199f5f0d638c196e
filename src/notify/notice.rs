//! The body of a notice: what happened in one sentence, and the shape that the API shows.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::classify::indicated;
use crate::domain::definition;
use crate::domain::effect::{Effect, EffectKind};
use crate::domain::verdict::spoken;
use crate::projection::view::{self, SlotOutcome};

/// The JSON body. `text` suits chat hooks; `execution` or `slot` is the shape of the API.
pub(super) fn body(
    effect: &Effect,
    definition: &definition::Interface,
    execution: Option<&view::Execution>,
) -> Value {
    let slot = execution.is_none().then_some(effect.slot).flatten().map(|at| view::Slot {
        interface: effect.schedule.interface.clone(),
        schedule: effect.schedule.schedule.clone(),
        at,
        outcome: SlotOutcome::Missed,
        reason: effect.reason,
        execution: None,
    });
    json!({
        "notice": effect.kind.as_str(),
        "id": format!("{}-{}", effect.cause, effect.kind.as_str()),
        "at": effect.at,
        "text": sentence(effect, definition, execution),
        "execution": execution,
        "slot": slot,
    })
}

fn longer_than(after_ms: Option<u64>) -> String {
    let spoken = |ms| format!("more than {}", spoken(Duration::from_millis(ms)));
    after_ms.map_or_else(|| "longer than it should".to_owned(), spoken)
}

fn sentence(
    effect: &Effect,
    definition: &definition::Interface,
    execution: Option<&view::Execution>,
) -> String {
    let name = format!("{} ({})", definition.name, effect.schedule);
    let first = execution.and_then(|execution| execution.first_error.as_ref());
    match effect.kind {
        EffectKind::NoticeKo => first.map_or_else(
            || format!("{name} is KO."),
            |error| {
                let text = indicated(error.class, &error.text);
                format!("{name} is KO: {text} {}", error.action)
            },
        ),
        EffectKind::NoticeRecovery => format!("{name} is OK again."),
        EffectKind::NoticeAnomaly => {
            let after = execution.and_then(|execution| Some(execution.anomaly.as_ref()?.after_ms));
            format!("{name} has been running for {}.", longer_than(after))
        }
        EffectKind::NoticeMissed => {
            let slot = effect.slot.map_or_else(String::new, |slot| slot.to_string());
            format!("{name} missed slots, the last one at {slot}.")
        }
        EffectKind::PingStart
        | EffectKind::PingSuccess
        | EffectKind::PingFail
        | EffectKind::PingLog => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_below_a_minute_is_told_as_it_is() {
        assert_eq!(longer_than(Some(5_000)), "more than 5.0 s");
        assert_eq!(longer_than(Some(3_600_000)), "more than 1 h 0 min");
        assert_eq!(longer_than(None), "longer than it should");
    }
}
