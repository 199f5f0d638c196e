//! Whether the schedules that others follow exist, and none follows itself. Asked of all files together.

use std::collections::{BTreeMap, BTreeSet};

use super::folder::Candidate;
use super::problem::Problem;
use super::values::nearest;
use crate::domain::definition::Timing;
use crate::ids::{ScheduleId, ScheduleRef};

/// One schedule follows another.
struct Followed {
    follower: ScheduleRef,
    target: ScheduleRef,
    /// Where the file says so.
    place: Problem,
}

/// Adds an error to each file that follows a schedule which no file has, or that leads back to itself.
pub(super) fn check(files: &mut [Candidate]) {
    let known: BTreeSet<String> = files.iter().flat_map(Candidate::names).collect();
    let follows: BTreeMap<ScheduleRef, ScheduleRef> =
        files.iter().flat_map(followed).map(|found| (found.follower, found.target)).collect();
    for file in files {
        for Followed { follower, target, place } in followed(file) {
            let (message, hint) = if !known.contains(&target.to_string()) {
                let near = nearest(&target.to_string(), known.iter().map(String::as_str));
                let near = near.map(|near| format!("did you mean `{near}`?"));
                (format!("`schedule`: no file has a schedule `{target}`"), near)
            } else if leads_back(&follower, &follows) {
                let hint = "let one of them run by `cron` or `every`".to_owned();
                let why = format!("`schedule`: `{follower}` would wait for itself, by `{target}`");
                (why, Some(hint))
            } else {
                continue;
            };
            file.problems.push(place.saying(message, hint));
        }
    }
}

/// What a file follows, also when something else is wrong with it.
fn followed(file: &Candidate) -> Vec<Followed> {
    let Some(interface) = &file.id else { return Vec::new() };
    let found = |place: &Problem| {
        let key = place.key.as_ref()?;
        let name = key.strip_prefix("schedules.")?.strip_suffix(".after.schedule")?;
        let schedule = ScheduleId::new(name).ok()?;
        // The environment may have given it another timing.
        let accepted = file.interface.as_ref().and_then(|read| read.schedules.get(&schedule));
        if accepted.is_some_and(|accepted| !matches!(accepted.timing, Timing::After(_))) {
            return None;
        }
        let follower = ScheduleRef { interface: interface.clone(), schedule };
        let target = place.message.parse().ok()?;
        Some(Followed { follower, target, place: place.clone() })
    };
    file.places.iter().filter_map(found).collect()
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

    /// What is shown about a folder with these files.
    fn problems(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("written");
        }
        let loaded = load_folder(folder.path(), &Environment::default(), checks());
        loaded.problems.iter().map(ToString::to_string).collect()
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
        assert!(found.contains("bank.toml:2:22"), "{found}");
    }

    #[test]
    fn it_is_told_beside_whatever_else_is_wrong_with_the_file() {
        let text = after("shop/sale") + "overlap = \"never\"\n";
        let found = problems(&[("shop.toml", SHOP), ("bank.toml", &text)]);
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn a_circle_is_refused() {
        let found =
            problems(&[("shop.toml", &after("bank/bill")), ("bank.toml", &after("shop/bill"))]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("would wait for itself"), "{found:?}");
    }
}
