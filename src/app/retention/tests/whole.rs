//! A store that retention took much of, as a whole: it is sound, and what it lacks is lacking in every copy.

use std::io::BufReader;
use std::path::PathBuf;

use super::*;
use crate::archive::{
    Asked, BackupOrder, Checked, RestoreOrder, Source, To, check_backup, check_folder,
    check_running, export, import, restore,
};

/// The bytes of all segments below a data folder, by their names.
fn segments(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for part in ["journal", "lines"] {
        for file in fs::read_dir(data.join(part)).expect("lists") {
            let path = file.expect("lists").path();
            if path.extension().is_some_and(|it| it == "seg") {
                let name = path.strip_prefix(data).expect("below").to_owned();
                found.insert(name, fs::read(&path).expect("reads"));
            }
        }
    }
    found
}

/// Sound, compared with a checkpoint, and lines are lacking that the log says were taken.
fn is_sound(what: &str, checked: &Checked) {
    assert_eq!(checked.findings, [], "{what}");
    assert!(checked.log.pruned > 0, "{what}");
    assert!(checked.logs_pruned > 0 && checked.logs > checked.logs_pruned, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pruned_store_is_sound_and_its_copies_are_the_same_store() {
    let lab = Lab::new("ok = \"20d\", ko = \"30d\", lines = \"10d\"");
    lab.written(5, 60).await;
    let working = lab.open();
    working.pass().await;
    working.caught_up().await;
    working.retention.upkeep.checkpoint(0).await;
    let copies = tempfile::tempdir().expect("a folder");
    let nothing = &mut |_| {};
    let stores = &working.stores;
    let store = (lab.path(), &*stores.log, &stores.lines);
    let running = tokio::task::block_in_place(|| {
        check_running(store, Some(&stores.projections), Asked::default(), nothing)
    });
    let running = running.expect("readable");
    is_sound("the running store", &running);
    assert!(running.index.is_some(), "{:?}", running.notes);
    let source = Source::in_use(lab.path(), &stores.log, &stores.lines).expect("readable");
    let dir = copies.path().join("backups");
    let order = BackupOrder { dir: &dir, version: "0", created: now(), keep: None, spare: 0 };
    let made = source.back_up(order, nothing).expect("a backup");
    drop(source);
    working.end().await;

    let stopped = check_folder(lab.path(), Asked::default(), nothing).expect("readable");
    is_sound("the stopped store", &stopped);
    assert!(stopped.checkpoint.is_some() && stopped.index.is_some(), "{:?}", stopped.notes);
    let (_, backup) = check_backup(&made.path, Asked::default(), nothing).expect("readable");
    is_sound("the backup", &backup);
    assert_eq!(backup.logs_pruned, stopped.logs_pruned);

    let restored = copies.path().join("restored");
    let order = RestoreOrder {
        backup: Some(&made.path),
        data: &restored,
        to: To::End,
        replace: false,
        now: now(),
        at_work: |_| Ok(()),
    };
    restore(order, nothing).expect("restored");
    assert!(segments(&restored) == segments(&made.path));

    let mut rows = Vec::new();
    let source = Source::of_folder(lab.path(), None).expect("readable");
    export(&source, ("0", now()), &mut rows, nothing).expect("exported");
    let imported = copies.path().join("imported");
    let total = rows.len() as u64;
    import(&mut BufReader::new(&rows[..]), &imported, (now(), total, |_| Ok(())), nothing)
        .expect("imported");
    assert!(segments(&imported) == segments(lab.path()), "the same to the byte");
    let checked = check_folder(&imported, Asked::default(), nothing).expect("readable");
    is_sound("the imported store", &checked);

    // Lines that are gone without a word in the log are damage, in a pruned store too.
    let lines = segments(&imported).into_keys().rfind(|name| name.starts_with("lines"));
    let newest = lines.expect("some are left");
    fs::remove_file(imported.join(newest)).expect("removed");
    let checked = check_folder(&imported, Asked::default(), nothing).expect("readable");
    assert!(!checked.findings.is_empty());
}
