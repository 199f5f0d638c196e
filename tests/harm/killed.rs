//! The daemon is killed at random moments, under load, again and again.

use std::path::Path;
use std::time::Duration;

use crate::judge::{Judged, judge};
use crate::load::{Kept, Load};
use crate::support::Monitor;
use crate::world::{Began, World};
use crate::{Dice, asked, say};

/// Rounds on the same data.
const ROUNDS_EACH: u64 = 10;

/// `HARM_ROUNDS` of them, from `HARM_SEED` on: `just crash-loop`.
#[test]
fn a_daemon_killed_at_random_moments_loses_nothing_that_it_acknowledged() {
    let (rounds, seed) = (asked("HARM_ROUNDS", 3_u64), asked("HARM_SEED", 1_u64));
    let monitor = Monitor::start();
    let mut all = Judged::default();
    let mut done = 0;
    while done < rounds {
        let folder = tempfile::tempdir().expect("a folder");
        let count = ROUNDS_EACH.min(rounds - done);
        let told = series(folder.path(), &monitor, seed + done, count);
        // So that somebody can look at it.
        let left = told.is_err().then(|| folder.keep());
        let why = told.as_ref().err().map_or("", String::as_str);
        assert!(left.is_none(), "{why}\nthe data is in {left:?}");
        let judged = told.unwrap_or_default();
        all.events += judged.events;
        all.promises += judged.promises;
        all.slots += judged.slots;
        all.starts += judged.starts;
        done += count;
        say(&format!("{done} of {rounds} kills: {all:?}"));
    }
}

/// Kills one daemon after the other on the same data; gives what the last judgement looked at.
fn series(root: &Path, monitor: &Monitor, seed: u64, rounds: u64) -> Result<Judged, String> {
    let mut world = World::new(root, &root.join("data"), &monitor.address.to_string());
    world.variables.push(("TEST_SEGMENT_BYTES".to_owned(), "65536".to_owned()));
    let mut kept: Vec<Kept> = Vec::new();
    let mut judged = Judged::default();
    for round in seed..seed + rounds {
        let mut dice = Dice::of(round);
        if world.start(None) == Began::Ended {
            return Err(format!("seed {round}: no start after a kill\n{}", world.said()));
        }
        let load = Load::begin(&world.socket(), round);
        let time = Duration::from_millis(200 + dice.below(2_500));
        if world.ends_within(time) {
            return Err(format!("seed {round}: it ended by itself\n{}", world.said()));
        }
        // Also in the middle of an orderly end, which writes a checkpoint.
        if dice.below(4) == 0 {
            world.ask_to_stop();
            world.ends_within(Duration::from_millis(dice.below(1_500)));
        }
        world.kill();
        // With it dies, at times, whoever would run its commands on.
        if dice.below(3) == 0 {
            world.kill_runners();
        }
        kept.extend(load.end());
        let copy = root.join(format!("copy-{round}"));
        world.copy(&copy);
        judged =
            judge(&copy, &world.ledger(), &kept).map_err(|why| format!("seed {round}: {why}"))?;
        std::fs::remove_dir_all(&copy).map_err(|err| err.to_string())?;
    }
    if world.start(None) == Began::Ended {
        return Err(format!("no last start\n{}", world.said()));
    }
    world.stop();
    judge(&world.data, &world.ledger(), &kept).map_err(|why| format!("at the end: {why}"))?;
    Ok(judged)
}
