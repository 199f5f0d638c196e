//! The power is cut at random moments, under load, again and again.

use std::path::Path;
use std::time::Duration;

use crate::disk::Disk;
use crate::judge::Judged;
use crate::load::{Kept, Load};
use crate::rounds::{judge_copy, rounds, world};
use crate::support::{Monitor, PATIENCE};
use crate::world::Began;
use crate::{Dice, asked, say};

/// See [`rounds`], keeping blocks that were not flushed with the probabilities `HARM_KEEP`, one after the other: `just powercut`.
#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let keep = asked("HARM_KEEP", "0,0.5,1".to_owned());
    let keep: Vec<&str> = keep.split(',').map(str::trim).collect();
    let monitor = Monitor::start();
    rounds("power cuts", |root, seeds| match Disk::new(root) {
        Ok(mut disk) => series(root, &mut disk, &monitor, seeds, &keep).map(Some),
        Err(why) => {
            say(&format!("SKIPPED: no power can be cut here: {why}"));
            Ok(None)
        }
    });
}

fn series(
    root: &Path,
    disk: &mut Disk,
    monitor: &Monitor,
    (seed, rounds): (u64, u64),
    keep: &[&str],
) -> Result<Judged, String> {
    disk.power_up()?;
    let mut world = world(root, &disk.mounted().join("data"), &monitor.address.to_string());
    world.is_machine = true;
    let mut kept: Vec<Kept> = Vec::new();
    let mut judged = Judged::default();
    for round in seed..seed + rounds {
        let mut dice = Dice::of(round);
        let keep = keep[usize::try_from(round).map_err(|err| err.to_string())? % keep.len()];
        let told = |why: &str| format!("seed {round}, keep {keep}: {why}");
        if world.start(None) == Began::Ended {
            return Err(told(&format!("no start after a cut\n{}", world.said())));
        }
        let trouble = dice.below(6);
        if trouble == 0 {
            disk.order("slow 5")?;
        }
        let load = Load::begin(&world.socket(), round);
        if world.ends_within(Duration::from_millis(200 + dice.below(2_500))) {
            return Err(told(&format!("it ended by itself\n{}", world.said())));
        }
        if trouble == 1 {
            // A flush that fails acknowledges nothing, and the daemon ends by itself.
            disk.order("flush fail")?;
            if !world.ends_within(PATIENCE) {
                return Err(told(&format!("it goes on without flushes\n{}", world.said())));
            }
        }
        let cut = disk.order(&format!("cut {keep} {round}"))?;
        world.kill();
        kept.extend(load.end());
        disk.let_go();
        disk.power_up().map_err(|why| told(&format!("{cut}; no disk afterwards: {why}")))?;
        judged = judge_copy(&world, (root, round), &kept)
            .map_err(|why| told(&format!("{cut}; {why}")))?;
    }
    if world.start(None) == Began::Ended {
        return Err(format!("no last start\n{}", world.said()));
    }
    world.kill();
    Ok(judged)
}
