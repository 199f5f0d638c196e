//! Backups, restores, exports and imports.

use std::io::BufReader;

use super::*;
use crate::archive::restore::{RestoreError, StillAtWork};
use crate::domain::event::Noted;

pub(super) fn restore_to(
    backup: Option<&Path>,
    data: &Path,
    to: To,
    replace: bool,
) -> Result<Restored, RestoreError> {
    let (now, at_work): (_, StillAtWork) = (at(9_999), |_| Ok(()));
    restore(RestoreOrder { backup, data, to, replace, now, at_work }, &mut |_| {})
}

pub(super) fn exported(data: &Path) -> Vec<u8> {
    let source = Source::of_folder(data, None).unwrap();
    let mut rows = Vec::new();
    export(&source, ("0.1.0", at(5_000)), &mut rows, &mut |_| {}).unwrap();
    rows
}

pub(super) fn imported(rows: &[u8], data: &Path) -> Result<Imported, RestoreError> {
    import(&mut BufReader::new(rows), data, (at(9_999), rows.len() as u64, |_| Ok(())), &mut |_| {})
}

/// What lists answer for a store: every execution, folded from its log.
pub(super) fn head_of(data: &Path) -> (Position, String, u64) {
    let checked = check(data);
    assert_eq!(checked.findings, vec![], "{}", data.display());
    (checked.log.position, hex(&checked.log.head), checked.logs)
}

#[tokio::test]
async fn a_backup_holds_what_the_store_held_and_no_secret() {
    let lab = Lab::with(12).await;
    fs::create_dir(lab.data().join("credentials")).unwrap();
    fs::write(lab.data().join("credentials/fnac"), "hush-hush").unwrap();
    fs::write(lab.data().join("token"), "dbk_secret").unwrap();
    let made = lab.back_up();
    assert_eq!(made.manifest.position, Position(24));
    assert_eq!((made.manifest.events, made.manifest.lines), (24, 240));
    assert_eq!(contents(&made.path), contents(&lab.data()));
    let (manifest, checked) = check_backup(&made.path, Asked::default(), &mut |_| {}).unwrap();
    assert_eq!(checked.findings, vec![]);
    assert_eq!((manifest.head, checked.checkpoint), (hex(&checked.log.head), Some(Position(24))));
    let mut names: Vec<String> = fs::read_dir(&made.path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["checkpoint-0", "journal", "lines", "manifest.json"]);
    assert!(made.manifest.left_out.iter().any(|it| it == "credentials"));
}

#[tokio::test]
async fn a_backup_of_a_store_in_use_is_whole_at_one_position() {
    let lab = Lab::with(2).await;
    let (log, lines) = lab.open();
    let backups = lab.dir.path().join("backups");
    let (data, log) = (lab.data(), std::sync::Arc::new(log));
    let mut minute = 2;
    for round in 0..5_i64 {
        let source = tokio::task::spawn_blocking({
            let (data, log, lines) = (data.clone(), log.clone(), lines.clone());
            move || Source::in_use(&data, &log, &lines).unwrap()
        });
        for _ in 0..3 {
            run(&log, &lines, minute).await;
            minute += 1;
        }
        let source = source.await.unwrap();
        let order = BackupOrder {
            dir: &backups,
            version: "0.1.0",
            created: at(round),
            keep: Some(2),
            spare: 0,
        };
        let made = source.back_up(order, &mut |_| {}).unwrap();
        assert_eq!(made.findings, vec![]);
        let (_, checked) = check_backup(&made.path, Asked::default(), &mut |_| {}).unwrap();
        assert_eq!(checked.findings, vec![]);
        assert_eq!(checked.log.position, source.journal.position);
    }
    let kept = fs::read_dir(&backups).unwrap().filter(|it| it.as_ref().unwrap().path().is_dir());
    assert_eq!(kept.count(), 2);
}

#[tokio::test]
async fn a_flipped_byte_in_a_backup_is_found_and_it_is_not_restored() {
    let lab = Lab::with(6).await;
    let made = lab.back_up();
    for entry in &made.manifest.files {
        let path = made.path.join(&entry.path);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        bytes[whole.len() / 2] ^= 4;
        fs::write(&path, bytes).unwrap();
        let (_, checked) = check_backup(&made.path, Asked::default(), &mut |_| {}).unwrap();
        assert_eq!(checked.findings[0].part, Part::Manifest, "{}", entry.path);
        assert_eq!(checked.findings[0].place, path.display().to_string());
        let target = lab.dir.path().join("other");
        let refused = restore_to(Some(&made.path), &target, To::End, false).unwrap_err();
        assert!(matches!(refused, RestoreError::Unsound(_)), "{refused}");
        assert_eq!(left_in(&target), [JOURNAL, "journal/lock"], "{}", entry.path);
        fs::write(&path, whole).unwrap();
    }
}

#[tokio::test]
async fn a_backup_that_failed_leaves_no_folder_and_deletes_none() {
    let lab = Lab::with(6).await;
    let first = lab.back_up();
    lab.live(6..8).await;
    let victim = &lab.journal_files()[0];
    let mut bytes = fs::read(victim).unwrap();
    let source = Source::of_folder(&lab.data(), None).unwrap();
    bytes[100] ^= 1;
    fs::write(victim, bytes).unwrap();
    let dir = lab.dir.path().join("backups");
    let order =
        BackupOrder { dir: &dir, version: "0.1.0", created: at(100), keep: Some(1), spare: 0 };
    let refused = source.back_up(order, &mut |_| {}).unwrap_err();
    assert!(matches!(refused, BackupError::Unsound(_)), "{refused}");
    assert_eq!(newest_backup(&dir).unwrap(), first.path);
    let folders = fs::read_dir(&dir).unwrap().filter(|it| it.as_ref().unwrap().path().is_dir());
    assert_eq!(folders.count(), 1);
}

#[tokio::test]
async fn older_backups_of_this_folder_alone_are_deleted() {
    let lab = Lab::with(2).await;
    let dir = lab.dir.path().join("backups");
    for minute in 2..6 {
        lab.try_back_up(None).unwrap();
        lab.live(minute..minute + 1).await;
    }
    let other = Lab::with(1).await;
    let theirs = Source::of_folder(&other.data(), None).unwrap();
    let order = BackupOrder { dir: &dir, version: "0.1.0", created: at(0), keep: None, spare: 0 };
    let theirs = theirs.back_up(order, &mut |_| {}).unwrap();
    let made = lab.try_back_up(Some(2)).unwrap();
    assert_eq!(made.removed.len(), 3);
    assert!(theirs.path.exists());
    assert!(lab.try_back_up(None).unwrap().was_there);
}

#[tokio::test]
async fn a_restored_store_is_the_backed_up_one_and_goes_on() {
    let lab = Lab::with(8).await;
    let before = head_of(&lab.data());
    let made = lab.back_up();
    lab.live(8..12).await;
    fs::write(lab.data().join("token"), "dbk_kept").unwrap();
    let later = contents(&lab.data());

    let refused = restore_to(Some(&made.path), &lab.data(), To::End, false).unwrap_err();
    assert!(matches!(refused, RestoreError::Filled(_)), "{refused}");
    assert_eq!(contents(&lab.data()), later, "nothing was touched");

    let restored = restore_to(Some(&made.path), &lab.data(), To::End, true).unwrap();
    assert_eq!((restored.position, restored.head.as_str()), (before.0, before.1.as_str()));
    assert_eq!(contents(&restored.aside.unwrap()), later, "what was there stands aside");
    assert_eq!(contents(&lab.data()), contents(&made.path));
    assert_eq!(fs::read_to_string(lab.data().join("token")).unwrap(), "dbk_kept");
    assert!(!lab.data().join(INDEX).exists(), "the lists are folded anew");
    // It goes on, also with the same slots.
    lab.live(8..10).await;
    assert_eq!(head_of(&lab.data()).2, 10);

    let fresh = lab.dir.path().join("fresh");
    let restored = restore_to(Some(&made.path), &fresh, To::End, false).unwrap();
    assert_eq!((restored.aside, contents(&fresh)), (None, contents(&made.path)));
}

#[tokio::test]
async fn a_restore_goes_to_any_segment_end_and_names_the_nearest_to_others() {
    let lab = Lab::with(12).await;
    let made = lab.back_up();
    let source = Source::of_folder(&made.path, None).unwrap();
    let ends = source.journal.ends();
    assert!(ends.len() > 2);
    for end in &ends {
        let target = lab.dir.path().join(format!("to-{end}"));
        let restored = restore_to(Some(&made.path), &target, To::Position(*end), false).unwrap();
        assert_eq!((restored.position, restored.notes), (*end, vec![]));
        assert_eq!(head_of(&target).0, *end);
        // What came later can happen again, to the same ids: their lines must not be there already.
        let again = Lab { dir: tempfile::tempdir().unwrap(), ..Lab::empty() };
        copy(&target, &again.data());
        let known = i64::try_from(end.0).unwrap() / 2;
        again.live(known + 1..13).await;
        assert_eq!(again.check().findings, vec![], "after {end}");
    }
    let between = Position(ends[0].0 + 1);
    let target = lab.dir.path().join("between");
    let refused = restore_to(Some(&made.path), &target, To::Position(between), false).unwrap_err();
    let (before, after) = (ends[0], ends[1]);
    assert!(
        refused.to_string().contains(&format!("the nearest ones are {before} and {after}")),
        "{refused}"
    );
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_damaged_store_goes_on_with_its_whole_segments_and_keeps_the_damaged_ones() {
    let lab = Lab::with(12).await;
    let segments = lab.journal_files();
    let victim = &segments[segments.len() - 2];
    let mut bytes = fs::read(victim).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(victim, &bytes).unwrap();
    let damaged = contents(&lab.data());
    let refused = restore_to(None, &lab.data(), To::End, true).unwrap_err();
    assert!(matches!(refused, RestoreError::NothingWhole { .. }), "{refused}");
    let restored = restore_to(None, &lab.data(), To::SegmentEnd, false).unwrap();
    let name = victim.file_stem().unwrap().to_str().unwrap();
    assert_eq!(restored.position.0, name.parse::<u64>().unwrap() - 1);
    assert_eq!(contents(&restored.aside.unwrap()), damaged, "the damaged files are kept");
    assert_eq!(head_of(&lab.data()).0, restored.position);
    lab.live(20..21).await;
}

#[tokio::test]
async fn a_restore_that_was_interrupted_goes_on_wherever_it_stopped() {
    let lab = Lab::with(6).await;
    let made = lab.back_up();
    lab.live(6..8).await;
    let old = contents(&lab.data());
    // The stage is complete and the intent stands; then the machine stops after each of the moves.
    for moves in 0..=8 {
        let trial = lab.dir.path().join(format!("trial-{moves}"));
        copy(&lab.data(), &trial);
        let stage = trial.join(switch::STAGE);
        copy(&made.path, &stage);
        fs::remove_file(stage.join(MANIFEST)).unwrap();
        let intent = r#"{"aside":"replaced-x","staged":["checkpoint-0","lines","journal"]}"#;
        fs::write(trial.join("restore.json"), intent).unwrap();
        let aside = trial.join("replaced-x");
        fs::create_dir(&aside).unwrap();
        let steps: [(PathBuf, PathBuf); 8] = [
            (trial.join(INDEX), aside.join(INDEX)),
            (trial.join("checkpoint-0"), aside.join("checkpoint-0")),
            (stage.join("checkpoint-0"), trial.join("checkpoint-0")),
            (trial.join("checkpoint-1"), aside.join("checkpoint-1")),
            (trial.join(LINES), aside.join(LINES)),
            (stage.join(LINES), trial.join(LINES)),
            (trial.join(JOURNAL), aside.join(JOURNAL)),
            (stage.join(JOURNAL), trial.join(JOURNAL)),
        ];
        for (from, to) in steps.iter().take(moves) {
            fs::rename(from, to).unwrap();
        }
        assert!(finish_switch(&trial).unwrap(), "{moves}");
        assert!(!finish_switch(&trial).unwrap(), "{moves}");
        assert_eq!(contents(&trial), contents(&made.path), "{moves}");
        assert_eq!(contents(&aside), old, "{moves}");
        assert!(!trial.join(switch::STAGE).exists());
        assert_eq!(head_of(&trial).0, made.manifest.position, "{moves}");
    }
}

#[tokio::test]
async fn a_folder_in_use_is_not_restored_to() {
    let lab = Lab::with(2).await;
    let made = lab.back_up();
    let (log, _lines) = lab.open();
    let refused = restore_to(Some(&made.path), &lab.data(), To::End, true).unwrap_err();
    assert!(matches!(refused, RestoreError::InUse(_)), "{refused}");
    log.close();
}

#[tokio::test]
async fn an_export_comes_back_to_the_byte() {
    let lab = Lab::with(12).await;
    let rows = exported(&lab.data());
    let target = lab.dir.path().join("imported");
    let back = imported(&rows, &target).unwrap();
    assert_eq!(back.notes, Vec::<String>::new());
    assert_eq!(contents(&target), contents(&lab.data()));
    assert_eq!(head_of(&target), head_of(&lab.data()));
    assert_eq!(exported(&target), rows);
    // People find what happened in it without us.
    let text = String::from_utf8(rows).unwrap();
    let closed = text.lines().filter(|row| row.contains("\"type\":\"closed\"")).count();
    let said = text.lines().filter(|row| row.contains("line 3 of the execution of minute 4"));
    assert_eq!((closed, said.count()), (12, 1));
    let refused = imported(text.as_bytes(), &target).unwrap_err();
    assert!(matches!(refused, RestoreError::Filled(_)), "{refused}");
}

/// All that stands in a folder that nothing was put into: the lock that was taken meanwhile.
pub(super) fn left_in(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(left_in(&path).into_iter().map(|name| format!("{}/{name}", stem(&path))));
        }
        found.push(stem(&path));
    }
    found.sort();
    found
}

fn stem(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[tokio::test]
async fn an_export_that_is_not_complete_or_was_changed_leaves_nothing() {
    let lab = Lab::with(3).await;
    let rows = exported(&lab.data());
    let target = lab.dir.path().join("imported");
    let refuse = |rows: &[u8], what: &str| {
        assert!(imported(rows, &target).is_err(), "{what}");
        assert_eq!(left_in(&target), [JOURNAL, "journal/lock"], "{what}");
    };
    for length in (0..rows.len()).step_by(rows.len() / 60) {
        refuse(&rows[..length], &format!("cut to {length}"));
    }
    let lines: Vec<&[u8]> = rows.split_inclusive(|byte| *byte == b'\n').collect();
    for left_out in 0..lines.len() {
        let kept: Vec<&[u8]> = lines
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != left_out)
            .map(|(_, row)| *row)
            .collect();
        refuse(&kept.concat(), &format!("without row {left_out}"));
    }
    for at in (rows.len() / 50..rows.len()).step_by(rows.len() / 50) {
        let mut changed = rows.clone();
        // Header fields that say nothing of the store may be any.
        if at > lines[0].len() {
            changed[at] ^= 1;
            refuse(&changed, &format!("byte {at} changed"));
        }
    }
    refuse(&[&rows[..], b"{}\n"].concat(), "with a row behind the last");
}

#[tokio::test]
async fn damaged_lines_are_left_out_of_an_export_and_said() {
    let lab = Lab::with(6).await;
    let victim = &files(&lab.data().join(LINES), "seg")[0];
    let mut bytes = fs::read(victim).unwrap();
    bytes[300] ^= 1;
    fs::write(victim, bytes).unwrap();
    let rows = exported(&lab.data());
    let target = lab.dir.path().join("imported");
    let back = imported(&rows, &target).unwrap();
    assert!(back.notes[0].contains("damaged when it was exported"), "{:?}", back.notes);
    assert_eq!(check(&target).log.events, 12);
}

#[tokio::test]
async fn what_was_pruned_comes_back_as_pruned() {
    let lab = Lab::with(12).await;
    let (log, lines) = lab.open();
    let note = || {
        Event::from(Noted { text: Some("seen".to_owned()), reference: None, acknowledged: false })
    };
    for minute in 0..40 {
        append(&log, StreamId::Execution(execution(0)), minute, vec![note(), note()]).await;
    }
    let head = log.head();
    let mut pruned = 0;
    for segment in log.sealed() {
        // Single events go, and stretches of them: whole appends among these become a run.
        let mut is_gone =
            |event: crate::store::journal::RawEvent<'_>| !event.position.0.is_multiple_of(5);
        pruned += log.prune_segment(&segment, 0, &mut is_gone).unwrap().events;
    }
    log.close();
    drop(lines);
    assert!(pruned > 10, "{pruned}");
    // No event says here that they went: whoever lived through them knows more than the log does now.
    fs::remove_dir_all(lab.data().join(INDEX)).unwrap();
    fs::remove_file(lab.data().join("checkpoint-0")).unwrap();
    let checked = lab.check();
    assert_eq!((checked.findings, checked.log.pruned), (vec![], pruned));
    assert_eq!((checked.log.head, checked.log.position), head, "the chain still comes to its head");
    let rows = exported(&lab.data());
    for row in [&b"\"row\":\"pruned-run\""[..], b"\"row\":\"pruned\""] {
        assert!(memchr::memmem::find(&rows, row).is_some());
    }
    let target = lab.dir.path().join("imported");
    imported(&rows, &target).unwrap();
    assert_eq!(contents(&target), contents(&lab.data()));
    assert_eq!(exported(&target), rows);
    let made = lab.back_up();
    assert_eq!(contents(&made.path), contents(&lab.data()));
}
