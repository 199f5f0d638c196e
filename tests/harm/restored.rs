//! Backups of a daemon at work are put into place elsewhere: all that was acknowledged up to their position is there, and a daemon
//! goes on from it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::asking::until;
use crate::http::ask;
use crate::judge::{Judged, judge};
use crate::load::{Kept, Load};
use crate::rounds::{judge_copy, world};
use crate::support::Monitor;
use crate::world::{Began, World};

/// So many events are between the start, each backup and the end.
const LIFE: u64 = 150;

/// A backup, as its maker was told of it.
struct Backup {
    path: PathBuf,
    position: u64,
}

#[test]
fn a_daemon_goes_on_from_a_backup_that_was_made_under_load() {
    let monitor = Monitor::start();
    let monitor = monitor.address.to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let mut worked = patient(folder.path(), "data", &monitor);
    assert_eq!(worked.start(None), Began::Listens, "{}", worked.said());
    let load = Load::begin(&worked.socket(), 1);
    let backups = [(); 2].map(|()| {
        lives(&worked);
        back_up(&worked)
    });
    lives(&worked);
    let kept = load.end();
    worked.stop();
    let effects = fs::read(worked.ledger().join("effects")).expect("a ledger");
    for (number, backup) in backups.iter().enumerate() {
        let (before, after): (Vec<_>, Vec<_>) =
            kept.iter().cloned().partition(|kept| kept.position <= backup.position);
        assert!(!before.is_empty() && !after.is_empty(), "people worked all the time");
        // The same place, so that jobs are what they were: they know by the effects what happened behind the backup.
        let mut restored = patient(folder.path(), &format!("restored-{number}"), &monitor);
        fs::write(restored.ledger().join("effects"), &effects).expect("a ledger");
        let told = goes_on(&mut restored, (number, backup), before);
        let said = restored.said();
        assert!(told.is_ok(), "backup {number}, to {}: {told:?}\n{said}", backup.position);
    }
}

/// A world whose daemon ends when nothing runs any more, so that nothing runs on beside the next one.
fn patient(root: &Path, data: &str, monitor: &str) -> World {
    let mut world = world(root, &root.join(data), monitor);
    world.variables.push(("DAYBOOK_DRAIN_DEADLINE".to_owned(), "50s".to_owned()));
    world
}

/// Puts the backup into place, and lives on there.
fn goes_on(
    world: &mut World,
    (number, backup): (usize, &Backup),
    mut kept: Vec<Kept>,
) -> Result<Judged, String> {
    let done = world.run(&["store", "restore", &backup.path.display().to_string()]);
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into_owned());
    }
    let root = world.root.clone();
    let judged = judge_copy(world, (&root, number as u64), &kept)?;
    if judged.events != backup.position {
        return Err(format!("{} events are there", judged.events));
    }
    if world.start(None) == Began::Ended {
        return Err("no start from it".to_owned());
    }
    let load = Load::begin(&world.socket(), 2);
    lives(world);
    kept.extend(load.end());
    world.stop();
    judge(&world.data, &world.ledger(), &kept)
}

/// Waits until a part of a life has passed.
fn lives(world: &World) {
    let begun = position(world);
    until("events", || (position(world) >= begun + LIFE).then_some(()));
}

fn position(world: &World) -> u64 {
    let answer = ask(&world.socket(), "GET", "/api/store", &Value::Null).expect("it runs");
    answer.body["position"].as_u64().expect("a number")
}

/// Makes a backup; what it says of itself is what its maker is told.
fn back_up(world: &World) -> Backup {
    let answer = ask(&world.socket(), "POST", "/api/store/backup", &json!({})).expect("it runs");
    assert_eq!(answer.status, 201, "{}", answer.text);
    let path = PathBuf::from(answer.body["path"].as_str().expect("a folder"));
    let manifest = fs::read_to_string(path.join("manifest.json")).expect("it is there");
    let manifest: Value = serde_json::from_str(&manifest).expect("a document");
    assert_eq!(manifest["position"], answer.body["position"]);
    Backup { path, position: manifest["position"].as_u64().expect("a number") }
}
