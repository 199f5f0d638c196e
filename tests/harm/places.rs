//! The daemon dies at each place that has a name.

use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use daybook::crash::Point;

use crate::judge::judge;
use crate::load::Load;
use crate::say;
use crate::support::{Monitor, PATIENCE};
use crate::world::{Began, World};

/// How long the daemon works before it is told to stop, where only that leads to the place.
const WORKS: Duration = Duration::from_secs(1);

/// Deaths at once: most of the time they wait.
const AT_ONCE: usize = 3;

/// Whether only an orderly stop passes the place.
const fn at_a_stop(point: Point) -> bool {
    matches!(point, Point::StopAsked | Point::StopRecorded)
}

/// The how many-th time that the place is passed: those of a start at once, the others under load.
const fn passes(point: Point) -> u32 {
    match point {
        Point::StartFolded
        | Point::StartDecided
        | Point::TokenWritten
        | Point::TokenRecorded
        | Point::LinesSealed
        | Point::CheckpointWritten
        | Point::CheckpointNamed
        | Point::StopAsked
        | Point::StopRecorded => 1,
        Point::SegmentWritten | Point::SegmentNamed | Point::DeliveryDue | Point::Delivered => 2,
        Point::CommandDue | Point::EndReported | Point::IndexWritten => 5,
        Point::JournalWritten
        | Point::JournalSynced
        | Point::JournalAcknowledged
        | Point::DecisionShown
        | Point::AnswerDue
        | Point::LinesWritten
        | Point::LinesSynced => 12,
    }
}

#[test]
fn at_every_place_that_has_a_name_a_death_loses_nothing_that_was_acknowledged() {
    if !cfg!(debug_assertions) {
        return say("SKIPPED: a release has no places to die at");
    }
    let monitor = Monitor::start();
    let address = monitor.address.to_string();
    let places = Mutex::new(Point::ALL.iter().copied());
    let wrong = Mutex::new(Vec::new());
    let next = || places.lock().expect("no panic").next();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(point) = next() {
                    let folder = tempfile::tempdir().expect("a folder");
                    if let Err(why) = dies_at(folder.path(), &address, point) {
                        wrong.lock().expect("no panic").push(format!("{}: {why}", point.name()));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no panic");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn dies_at(root: &Path, monitor: &str, point: Point) -> Result<(), String> {
    let mut world = World::new(root, &root.join("data"), monitor);
    world.variables.push(("TEST_SEGMENT_BYTES".to_owned(), "16384".to_owned()));
    let place = format!("{}:{}", point.name(), passes(point));
    let mut kept = Vec::new();
    if world.start(Some(&place)) == Began::Listens {
        let load = Load::begin(&world.socket(), 7);
        if !world.ends_within(if at_a_stop(point) { WORKS } else { PATIENCE }) {
            world.ask_to_stop();
            if !world.ends_within(PATIENCE) {
                return Err(format!("it neither dies nor stops\n{}", world.said()));
            }
        }
        kept = load.end();
    }
    let status = world.kill();
    if !World::was_killed(status) {
        return Err(format!("the place was not reached: {status}\n{}", world.said()));
    }
    let copy = root.join("copy");
    world.copy(&copy);
    judge(&copy, &world.ledger(), &kept)?;
    if world.start(None) == Began::Ended {
        return Err(format!("no start afterwards\n{}", world.said()));
    }
    let load = Load::begin(&world.socket(), 8);
    if world.ends_within(Duration::from_millis(500)) {
        return Err(format!("it ended afterwards\n{}", world.said()));
    }
    kept.extend(load.end());
    world.stop();
    judge(&world.data, &world.ledger(), &kept).map(drop).map_err(|why| format!("later: {why}"))
}
