//! Round after round of harm, some of them on the same folder.

use std::path::Path;

use crate::judge::{Judged, judge};
use crate::load::Kept;
use crate::world::World;
use crate::{asked, say};

/// Rounds on the same folder.
const ROUNDS_EACH: u64 = 10;

/// Runs `HARM_ROUNDS` of them, from `HARM_SEED` on. `series` runs so many in an empty folder, from a seed on, and gives what
/// the last judgement looked at; none where that harm cannot be done.
pub(crate) fn rounds(
    what: &str,
    mut series: impl FnMut(&Path, (u64, u64)) -> Result<Option<Judged>, String>,
) {
    let (rounds, seed) = (asked("HARM_ROUNDS", 3_u64), asked("HARM_SEED", 1_u64));
    let mut all = Judged::default();
    let mut done = 0;
    while done < rounds {
        let folder = tempfile::tempdir().expect("a folder");
        let count = ROUNDS_EACH.min(rounds - done);
        let told = series(folder.path(), (seed + done, count));
        // So that somebody can look at it.
        let left = told.is_err().then(|| folder.keep());
        let why = told.as_ref().err().map_or("", String::as_str);
        assert!(left.is_none(), "{why}\nthe data is in {left:?}");
        let Some(judged) = told.unwrap_or_default() else { return };
        all.events += judged.events;
        all.promises += judged.promises;
        all.slots += judged.slots;
        all.starts += judged.starts;
        done += count;
        say(&format!("{done} of {rounds} {what}: {all:?}"));
    }
}

/// A world with segments so small that a short life fills several.
pub(crate) fn world(root: &Path, data: &Path, monitor: &str) -> World {
    let mut world = World::new(root, data, monitor);
    world.variables.push(("TEST_SEGMENT_BYTES".to_owned(), "65536".to_owned()));
    world
}

/// Judges what a round left, in a copy: the next one goes on with it.
pub(crate) fn judge_copy(
    world: &World,
    (root, round): (&Path, u64),
    kept: &[Kept],
) -> Result<Judged, String> {
    let copy = root.join(format!("copy-{round}"));
    world.copy(&copy);
    let judged = judge(&copy, &world.ledger(), kept)?;
    std::fs::remove_dir_all(&copy).map_err(|err| err.to_string())?;
    Ok(judged)
}
