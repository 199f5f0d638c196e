//! The power is cut at random moments, under load, again and again.

use std::path::Path;
use std::time::Duration;

use crate::disk::Disk;
use crate::judge::{Judged, judge};
use crate::load::{Kept, Load};
use crate::support::{Monitor, PATIENCE};
use crate::world::{Began, World};
use crate::{Dice, asked, say};

/// Rounds on the same disk.
const ROUNDS_EACH: u64 = 10;

/// `HARM_ROUNDS` of them, from `HARM_SEED` on, keeping blocks that were not flushed with the probabilities `HARM_KEEP`, one
/// after the other: `just powercut`.
#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let (rounds, seed) = (asked("HARM_ROUNDS", 3_u64), asked("HARM_SEED", 1_u64));
    let keep = asked("HARM_KEEP", "0,0.5,1".to_owned());
    let keep: Vec<&str> = keep.split(',').map(str::trim).collect();
    let monitor = Monitor::start();
    let mut all = Judged::default();
    let mut done = 0;
    while done < rounds {
        let folder = tempfile::tempdir().expect("a folder");
        let mut disk = match Disk::new(folder.path()) {
            Ok(disk) => disk,
            Err(why) => return say(&format!("SKIPPED: no power can be cut here: {why}")),
        };
        let count = ROUNDS_EACH.min(rounds - done);
        let told = series(folder.path(), &mut disk, &monitor, (seed + done, count), &keep);
        drop(disk);
        // So that somebody can look at it.
        let left = told.is_err().then(|| folder.keep());
        let why = told.as_ref().err().map_or("", String::as_str);
        assert!(left.is_none(), "{why}\nthe disk is in {left:?}");
        let judged = told.unwrap_or_default();
        all.events += judged.events;
        all.promises += judged.promises;
        all.slots += judged.slots;
        all.starts += judged.starts;
        done += count;
        say(&format!("{done} of {rounds} power cuts: {all:?}"));
    }
}

fn series(
    root: &Path,
    disk: &mut Disk,
    monitor: &Monitor,
    (seed, rounds): (u64, u64),
    keep: &[&str],
) -> Result<Judged, String> {
    disk.power_up()?;
    let mut world = World::new(root, &disk.mounted().join("data"), &monitor.address.to_string());
    world.is_machine = true;
    world.variables.push(("TEST_SEGMENT_BYTES".to_owned(), "65536".to_owned()));
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
        let copy = root.join(format!("copy-{round}"));
        world.copy(&copy);
        judged =
            judge(&copy, &world.ledger(), &kept).map_err(|why| told(&format!("{cut}; {why}")))?;
        std::fs::remove_dir_all(&copy).map_err(|err| err.to_string())?;
    }
    if world.start(None) == Began::Ended {
        return Err(format!("no last start\n{}", world.said()));
    }
    world.kill();
    Ok(judged)
}
