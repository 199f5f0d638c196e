//! A cron pattern: refused with a place that lies in it, or one whose slots grow, fit it, and are the same backwards.
use daybook::civil::Zone;
use daybook::domain::cron;
use daybook::domain::definition::{Dst, Timing};
use daybook::domain::timing::Plan;
use daybook::instant::Instant;

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // The first word says from when on.
    let (after, pattern) = text.split_once('|').unwrap_or(("0", text));
    let after = Instant::from_secs(i64::from(after.parse().unwrap_or(0_u32)));
    let zone = Zone::load("Europe/Paris").expect("a zone");
    let timing = Timing::Cron(pattern.to_owned());
    match Plan::new(&timing, &zone, Dst::default()) {
        Err(err) => {
            if let Some(span) = err.span() {
                assert!(span.start <= span.end && pattern.get(span.clone()).is_some(), "{span:?}");
            }
        }
        Ok(plan) => {
            let slots: Vec<Instant> = plan.slots_after(after).take(20).collect();
            let mut before = after;
            for slot in &slots {
                assert!(*slot > before, "{slot:?} does not follow {before:?}");
                before = *slot;
            }
            if let [.., one, other] = slots[..] {
                assert_eq!(plan.previous_before(other), Some(one));
            }
            assert!(!plan.describe().is_empty());
            plan.warnings();
            // `@reboot` has no fields to put in words.
            assert!(cron::is_reboot(pattern) || cron::describe(pattern).is_ok());
        }
    }
}
