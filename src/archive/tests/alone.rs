//! Who works on a data folder works there alone, and leaves nothing behind that was not asked for.

use std::fs::File;
use std::io::BufReader;

use super::moving::{exported, imported, left_in, restore_to};
use super::*;
use crate::archive::restore::RestoreError;
use crate::jobs;

/// Whether a daemon is refused in the folder at this moment, and so is a second restore.
fn is_taken(data: &Path, backup: &Path) -> bool {
    let lock = File::open(data.join(JOURNAL).join("lock")).unwrap();
    let second = restore_to(Some(backup), data, To::End, true);
    lock.try_lock().is_err() && matches!(second, Err(RestoreError::InUse(_)))
}

#[tokio::test]
async fn a_fresh_folder_is_taken_while_it_is_filled() {
    let lab = Lab::with(6).await;
    let made = lab.back_up();
    let fresh = lab.dir.path().join("fresh");
    let mut looks = 0;
    let order = RestoreOrder {
        backup: Some(&made.path),
        data: &fresh,
        to: To::End,
        replace: false,
        now: at(9_999),
        at_work: |_| Ok(()),
    };
    let restored = restore(order, &mut |_| {
        assert!(is_taken(&fresh, &made.path));
        looks += 1;
    });
    assert!(looks > 2, "{looks}");
    // Nothing was there: nothing is put aside, the lock that was taken meanwhile included.
    assert_eq!(restored.unwrap().aside, None);
    let left = left_in(&fresh);
    assert!(left.iter().all(|name| !name.starts_with("replaced-")), "{left:?}");

    let rows = exported(&lab.data());
    let fresh = lab.dir.path().join("imported");
    let mut looks = 0;
    let stamp = (at(9_999), rows.len() as u64, (|_: &Path| Ok(())) as StillAtWork);
    let filled = import(&mut BufReader::new(&rows[..]), &fresh, stamp, &mut |_| {
        // At each row would take long.
        if looks % 50 == 0 {
            assert!(is_taken(&fresh, &made.path));
        }
        looks += 1;
    });
    assert!(filled.is_ok() && looks > 100, "{looks}");
    let left = left_in(&fresh);
    assert!(left.iter().all(|name| !name.starts_with("replaced-")), "{left:?}");
}

#[tokio::test]
async fn a_restore_that_is_refused_puts_nothing_aside() {
    let lab = Lab::with(6).await;
    let made = lab.back_up();
    let before = left_in(&lab.data());
    let victim = made.path.join(&made.manifest.files[0].path);
    let mut bytes = fs::read(&victim).unwrap();
    bytes[100] ^= 1;
    fs::write(&victim, bytes).unwrap();
    let refused = restore_to(Some(&made.path), &lab.data(), To::End, true).unwrap_err();
    assert!(matches!(refused, RestoreError::Unsound(_)), "{refused}");
    let refused = restore_to(Some(&made.path), &lab.data(), To::End, false).unwrap_err();
    assert!(matches!(refused, RestoreError::Filled(_)), "{refused}");
    let refused = restore_to(None, &lab.data(), To::Position(Position(1)), true).unwrap_err();
    assert!(matches!(refused, RestoreError::NoEnd { .. }), "{refused}");
    assert_eq!(left_in(&lab.data()), before);
}

#[tokio::test]
async fn the_last_whole_segment_of_a_whole_log_is_its_newest_one() {
    let lab = Lab::with(12).await;
    let (end, head, _) = super::moving::head_of(&lab.data());
    let made = lab.back_up();
    let there = contents(&lab.data());
    let fresh = lab.dir.path().join("fresh");
    let restored = restore_to(Some(&made.path), &fresh, To::SegmentEnd, false).unwrap();
    assert_eq!((restored.position, &restored.head), (end, &head));
    let restored = restore_to(None, &lab.data(), To::SegmentEnd, false).unwrap();
    assert_eq!((restored.position, restored.head), (end, head));
    assert_eq!(contents(&lab.data()), there);

    // One segment is enough.
    let small = Lab { segment_bytes: 1 << 20, ..Lab::empty() };
    small.live(0..2).await;
    let restored = restore_to(None, &small.data(), To::SegmentEnd, false).unwrap();
    assert_eq!(restored.position, Position(4));
}

#[tokio::test]
async fn a_backup_that_was_just_made_stays_also_when_the_clock_went_back() {
    let lab = Lab::with(2).await;
    let first = lab.back_up_at(at(5_000), Some(1)).unwrap();
    lab.live(2..4).await;
    let second = lab.back_up_at(at(10), Some(1)).unwrap();
    let name = first.path.file_name().unwrap().to_str().unwrap();
    assert_eq!(second.removed, [name]);
    assert!(second.path.is_dir() && !first.path.exists());
    // Asked for once more, with nothing new in the log: it is the one that is there.
    let again = lab.back_up_at(at(5), Some(1)).unwrap();
    assert_eq!((again.was_there, again.removed), (true, vec![]));
    assert!(again.path.is_dir());
    lab.live(4..6).await;
    let third = lab.back_up_at(at(1), Some(2)).unwrap();
    assert_eq!(third.removed, Vec::<String>::new());
    assert!(third.path.is_dir() && second.path.is_dir());
}

/// A runner that outlived its daemon holds its lock.
fn somebody_works(data: &Path) -> Result<(), String> {
    let living = jobs::living_runners(data).map_err(|err| err.to_string())?;
    match living.first() {
        None => Ok(()),
        Some((folder, _)) => Err(format!("commands still run under `{}`", folder.display())),
    }
}

#[tokio::test]
async fn nothing_is_restored_under_a_runner_that_still_works() {
    let lab = Lab::with(4).await;
    let made = lab.back_up();
    let rows = exported(&lab.data());
    for target in [lab.data(), lab.dir.path().join("fresh")] {
        let runner = target.join("runs").join("0000000001");
        fs::create_dir_all(&runner).unwrap();
        let lock = File::create(runner.join("lock")).unwrap();
        lock.lock().unwrap();
        let before = contents_if_any(&target);
        let order = RestoreOrder {
            backup: Some(&made.path),
            data: &target,
            to: To::End,
            replace: true,
            now: at(9_999),
            at_work: somebody_works,
        };
        let refused = restore(order, &mut |_| {}).unwrap_err();
        assert!(
            matches!(&refused, RestoreError::AtWork(why) if why.contains("runs/")),
            "{refused}"
        );
        let stamp = (at(9_999), rows.len() as u64, somebody_works as StillAtWork);
        let refused = import(&mut BufReader::new(&rows[..]), &target, stamp, &mut |_| {});
        assert!(matches!(refused, Err(RestoreError::AtWork(_))));
        assert_eq!(contents_if_any(&target), before);
        drop(lock);
        assert!(restore(order, &mut |_| {}).is_ok(), "{}", target.display());
    }
}

fn contents_if_any(data: &Path) -> Option<std::collections::BTreeMap<String, Vec<u8>>> {
    data.join(LINES).exists().then(|| contents(data))
}

#[tokio::test]
async fn an_export_with_a_run_of_no_events_is_refused() {
    let lab = Lab::with(2).await;
    let rows = String::from_utf8(exported(&lab.data())).unwrap();
    // Behind the header and the segment.
    let (before, after) = rows.split_at(rows.match_indices('\n').nth(1).unwrap().0 + 1);
    let zeros = "0".repeat(64);
    for row in [
        format!(
            "{{\"row\":\"frame\",\"first\":1,\"count\":0,\"synced\":0,\"chain\":\"{zeros}\"}}\n"
        ),
        format!(
            "{{\"row\":\"pruned-run\",\"first\":1,\"count\":0,\"synced\":0,\"before\":\"{zeros}\",\"after\":\"{zeros}\"}}\n"
        ),
    ] {
        let changed = format!("{before}{row}{after}");
        let refused = imported(changed.as_bytes(), &lab.dir.path().join("target")).unwrap_err();
        let said = refused.to_string();
        assert!(said.contains("row 3 of the export: the frame at 1 has"), "{said}");
    }
}
