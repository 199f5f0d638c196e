//! Whether the schedules that others follow exist, and none follows itself. Asked of all files together.

use std::collections::{BTreeMap, BTreeSet};

use super::folder::Candidate;
use super::problem::{Problem, Severity};
use super::values::nearest;
use crate::domain::definition::Timing;
use crate::ids::ScheduleRef;

/// Adds an error to each file that follows a schedule which no file has, or that leads back to itself.
pub(super) fn check(files: &mut [Candidate]) {
    let known: BTreeSet<String> = files.iter().flat_map(Candidate::names).collect();
    let follows: BTreeMap<ScheduleRef, ScheduleRef> = files.iter().flat_map(followed).collect();
    for file in files {
        for (follower, target) in followed(file) {
            let place = format!("schedules.{}.after.schedule", follower.schedule);
            let (why, hint) = if !known.contains(&target.to_string()) {
                let near = nearest(&target.to_string(), known.iter().map(String::as_str))
                    .map(|near| format!("did you mean `{near}`?"));
                let why = format!("`{place}`: no file has a schedule `{target}`");
                (why, near.unwrap_or_else(|| "name one as <interface>/<schedule>".to_owned()))
            } else if leads_back(&follower, &follows) {
                let why = format!("`{place}`: `{follower}` would wait for itself, by `{target}`");
                (why, "let one of them run by `cron` or `every`".to_owned())
            } else {
                continue;
            };
            let problem = Problem::without_place(Severity::Error, file.path(), why);
            file.add(problem.with_hint(&hint));
        }
    }
}

/// The followers of a file, each with the schedule that it follows.
fn followed(file: &Candidate) -> Vec<(ScheduleRef, ScheduleRef)> {
    let Some(interface) = file.interface() else { return Vec::new() };
    let follower = |(name, schedule): (&_, &crate::domain::definition::Schedule)| {
        let Timing::After(after) = &schedule.timing else { return None };
        let follower =
            ScheduleRef { interface: interface.id.clone(), schedule: Clone::clone(name) };
        Some((follower, after.schedule.clone()))
    };
    interface.schedules.iter().filter_map(follower).collect()
}

fn leads_back(from: &ScheduleRef, follows: &BTreeMap<ScheduleRef, ScheduleRef>) -> bool {
    let chain = std::iter::successors(follows.get(from), |next| follows.get(next));
    chain.take(follows.len()).any(|next| next == from)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::app::checks;
    use crate::config::{Environment, load_folder};

    /// The messages about a folder with these files.
    fn problems(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("written");
        }
        let loaded = load_folder(folder.path(), &Environment::default(), checks());
        loaded.problems.iter().map(|problem| format!("{problem:?}")).collect()
    }

    const SHOP: &str = "[schedules.sales]\ncron = \"0 * * * *\"\ncommand = [\"true\"]\n";

    fn after(schedule: &str) -> String {
        format!("[schedules.bill]\nafter = {{ schedule = \"{schedule}\" }}\ncommand = [\"true\"]\n")
    }

    #[test]
    fn a_schedule_of_another_file_can_be_followed() {
        let found = problems(&[("shop.toml", SHOP), ("bank.toml", &after("shop/sales"))]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_schedule_that_no_file_has_is_refused_with_the_nearest_one() {
        let found = problems(&[("shop.toml", SHOP), ("bank.toml", &after("shop/sale"))]).concat();
        assert!(found.contains("no file has a schedule `shop/sale`"), "{found}");
        assert!(found.contains("did you mean `shop/sales`?"), "{found}");
    }

    #[test]
    fn a_circle_is_refused() {
        let found =
            problems(&[("shop.toml", &after("bank/bill")), ("bank.toml", &after("shop/bill"))]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("would wait for itself"), "{found:?}");
    }
}
