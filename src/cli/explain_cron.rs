//! `daybook schedule explain "<cron>"`: what a pattern means in a zone. Needs no daemon.

use serde::Serialize;

use crate::civil::{Zone, ZoneError};
use crate::domain::definition::{Dst, Timing};
use crate::domain::timing::{Plan, PlanError};
use crate::http::api::schedules::SHIFT_MAX;
use crate::instant::Instant;

/// What a pattern means (contract, section 5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The pattern as given.
    pub pattern: String,
    /// The zone's official name.
    pub zone: String,
    /// The pattern in words.
    pub description: String,
    /// The next instants, RFC 3339 with the zone's offset.
    pub next: Vec<String>,
    /// What may mislead, and which of these days daylight saving touches.
    pub warnings: Vec<String>,
}

/// Why a pattern cannot be explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// The pattern is wrong.
    #[error(transparent)]
    Pattern(#[from] PlanError),
    /// The zone is unknown.
    #[error(transparent)]
    Zone(#[from] ZoneError),
}

/// Explains `pattern` in `zone`: the first `count` slots later than `after`, and everything to know about them.
///
/// # Errors
/// [`ExplainError::Pattern`] and [`ExplainError::Zone`]; both name the value and what was expected.
pub fn explain(
    pattern: &str,
    zone: &str,
    after: Instant,
    count: usize,
) -> Result<Explained, ExplainError> {
    let zone = Zone::load(zone)?;
    let plan = Plan::new(&Timing::Cron(pattern.to_owned()), &zone, Dst::default())?;
    let slots: Vec<Instant> = plan.slots_after(after).take(count).collect();
    let mut warnings = plan.warnings();
    if let Some(last) = slots.last() {
        let until = *last + SHIFT_MAX;
        warnings.extend(plan.dst_notes(after, until).into_iter().map(|note| note.text));
    } else if count > 0 && plan.expression().as_deref() != Some("@reboot") {
        warnings.push(format!("no slot comes after {}", zone.show(after)));
    }
    Ok(Explained {
        pattern: pattern.to_owned(),
        zone: zone.name().to_owned(),
        description: plan.describe(),
        next: slots.into_iter().map(|slot| zone.show(slot)).collect(),
        warnings,
    })
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use serde::Deserialize;

    use super::*;

    fn explained(pattern: &str, zone: &str, after: &str) -> Explained {
        explain(pattern, zone, Instant::parse(after).unwrap(), 2).unwrap()
    }

    #[test]
    fn the_answer_has_the_five_fields_of_the_contract() {
        let answer = explained("30 2 * * *", "Europe/Paris", "2026-03-28T12:00:00Z");
        assert_eq!(
            serde_json::to_value(&answer).unwrap(),
            serde_json::json!({
                "pattern": "30 2 * * *",
                "zone": "Europe/Paris",
                "description": "At 02:30",
                "next": ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"],
                "warnings": ["02:30:00 on 2026-03-29 does not exist: it runs at 2026-03-29T03:00:00+02:00"],
            })
        );
    }

    /// The clocks are moved half an hour after the slot, and it is the first of two.
    #[test]
    fn a_reading_that_comes_twice_is_told_with_its_first_pass() {
        let answer = explained("30 2 * * *", "Europe/Paris", "2026-10-23T12:00:00Z");
        assert_eq!(answer.next[1], "2026-10-25T02:30:00+02:00");
        assert_eq!(
            answer.warnings,
            ["02:30:00 on 2026-10-25 comes twice: it runs the first time only"]
        );
    }

    #[test]
    fn a_pattern_whose_years_are_over_says_so() {
        let answer = explained("0 0 0 1 1 * 2020", "UTC", "2026-01-01T00:00:00Z");
        assert_eq!(answer.next, Vec::<String>::new());
        assert_eq!(answer.warnings, ["no slot comes after 2026-01-01T00:00:00+00:00"]);
    }

    #[test]
    fn a_wrong_zone_and_a_wrong_pattern_are_refused() {
        let after = Instant::from_secs(0);
        assert!(matches!(explain("* * * * *", "Mars/Base", after, 1), Err(ExplainError::Zone(_))));
        assert!(matches!(explain("* * * *", "UTC", after, 1), Err(ExplainError::Pattern(_))));
    }

    #[derive(Deserialize)]
    struct Cases {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        id: String,
        pattern: String,
        tz: String,
        after_utc: String,
        next: Vec<String>,
    }

    /// Cases on which independent cron implementations agree; they are not part of this repository.
    #[expect(
        clippy::disallowed_methods,
        reason = "only the person who runs the test knows where the cases are"
    )]
    fn case_file() -> Option<PathBuf> {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/cron/cases.json");
        let named = std::env::var_os("DAYBOOK_CRON_CASES").map(PathBuf::from);
        named.or_else(|| beside.exists().then_some(beside))
    }

    #[test]
    fn the_next_five_instants_are_those_that_other_crons_agree_on() {
        let Some(path) = case_file() else {
            println!("skipped: no cases; name the file with DAYBOOK_CRON_CASES");
            return;
        };
        let text = std::fs::read_to_string(&path).unwrap();
        let Cases { cases } = serde_json::from_str(&text).unwrap();
        let failed: Vec<String> = cases
            .iter()
            .filter_map(|case| {
                let after = Instant::parse(&case.after_utc).unwrap();
                match explain(&case.pattern, &case.tz, after, case.next.len()) {
                    Ok(answer) if answer.next == case.next => None,
                    other => Some(format!("{}: {other:?}, expected {:?}", case.id, case.next)),
                }
            })
            .collect();
        println!("{} of {} cases pass", cases.len() - failed.len(), cases.len());
        assert_eq!(failed, Vec::<String>::new());
    }
}
