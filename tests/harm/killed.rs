//! The daemon is killed at random moments, under load, again and again.

use std::path::Path;
use std::time::Duration;

use crate::Dice;
use crate::judge::{Judged, judge};
use crate::load::{Kept, Load};
use crate::rounds::{judge_copy, rounds, world};
use crate::support::Monitor;
use crate::world::Began;

/// See [`rounds`]: `just crash-loop`.
#[test]
fn a_daemon_killed_at_random_moments_loses_nothing_that_it_acknowledged() {
    let monitor = Monitor::start();
    rounds("kills", |root, seeds| series(root, &monitor, seeds).map(Some));
}

/// Kills one daemon after the other on the same data; gives what the last judgement looked at.
fn series(root: &Path, monitor: &Monitor, (seed, rounds): (u64, u64)) -> Result<Judged, String> {
    let mut world = world(root, &root.join("data"), &monitor.address.to_string());
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
        judged = judge_copy(&world, (root, round), &kept)
            .map_err(|why| format!("seed {round}: {why}"))?;
    }
    if world.start(None) == Began::Ended {
        return Err(format!("no last start\n{}", world.said()));
    }
    world.stop();
    judge(&world.data, &world.ledger(), &kept).map_err(|why| format!("at the end: {why}"))?;
    Ok(judged)
}
