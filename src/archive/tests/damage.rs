//! Torn and flipped bytes: each is found and named, everything before stays readable, and nobody panics.

use super::*;
use crate::store::journal::JournalExtent;

/// A copy of a data folder, to be damaged.
struct Copy {
    dir: tempfile::TempDir,
}

impl Copy {
    fn of(lab: &Lab) -> Self {
        let copy = Self { dir: tempfile::tempdir().unwrap() };
        copy_folder(&lab.data(), copy.dir.path());
        copy
    }

    fn path(&self, original: &Path, lab: &Lab) -> PathBuf {
        self.dir.path().join(original.strip_prefix(lab.data()).unwrap())
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

/// Flips one bit of a file.
fn flip(path: &Path, at: usize, bit: u8) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1 << bit;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path, length: usize) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..length]).unwrap();
}

/// Every so many bytes of a file, each time another bit.
fn places(path: &Path, step: usize) -> Vec<(usize, u8)> {
    let length = usize::try_from(fs::metadata(path).unwrap().len()).unwrap();
    (0..length).step_by(step).map(|at| (at, (at % 8) as u8)).collect()
}

/// Opens the log as a start does, with the checkpoint.
fn start(data: &Path) -> Result<(), crate::store::journal::OpenError> {
    let (_, found) = Checkpoints::open(data).unwrap();
    let options = JournalOptions {
        from: found.newest.map(|checkpoint| checkpoint.log),
        ..JournalOptions::new(data.join(JOURNAL))
    };
    JournalLog::open(options).map(|(log, _)| log.close())
}

/// The offset in `place` that names `path`.
fn offset_in(place: &str, path: &Path) -> Option<usize> {
    let rest = place.trim_start_matches('`').strip_prefix(path.to_str()?)?;
    rest.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn each_flipped_byte_of_the_events_is_found_and_all_before_stays_readable() {
    let lab = Lab::with(12).await;
    let originals = lab.journal_files();
    assert!(originals.len() > 2);
    let whole = Source::of_folder(&lab.data(), None).unwrap();
    for original in &originals {
        for (at, bit) in places(original, 37) {
            let copy = Copy::of(&lab);
            let path = copy.path(original, &lab);
            flip(&path, at, bit);
            let checked = check(copy.dir.path());
            let told = format!("{} byte {at} bit {bit}: {:?}", path.display(), checked.findings);
            let first = checked.findings.first().unwrap_or_else(|| panic!("unnoticed: {told}"));
            assert_eq!(first.part, Part::Journal, "{told}");
            let named =
                offset_in(&first.place, &path).unwrap_or_else(|| panic!("no place: {told}"));
            assert!(named <= at, "{told}");
            assert!(first.mend.contains("store restore"), "{told}");
            // Everything before it can be exported.
            let before = checked.log.position;
            let source = Source::of_folder(copy.dir.path(), Some(before)).unwrap();
            assert_eq!(source.journal.position, before, "{told}");
            let mut rows = Vec::new();
            let exported = export(&source, ("0.1.0", at_zero()), &mut rows, &mut |_| {}).unwrap();
            assert_eq!(exported.events, before.0, "{told}");
            // The whole of it cannot, and says where.
            if at >= 64 {
                let refused = JournalExtent::of_folder(&copy.dir.path().join(JOURNAL), None);
                let is_tail = original == originals.last().unwrap() && refused.is_ok();
                assert!(refused.is_err() || is_tail, "{told}");
            }
            assert!(before < whole.journal.position, "{told}");
        }
    }
}

fn at_zero() -> Instant {
    at(0)
}

#[tokio::test]
async fn a_start_never_mends_acknowledged_events_in_silence_and_says_what_to_do() {
    let lab = Lab::with(12).await;
    let originals = lab.journal_files();
    let mut refusals = 0;
    for original in &originals {
        for (at, bit) in places(original, 211) {
            let copy = Copy::of(&lab);
            let path = copy.path(original, &lab);
            flip(&path, at, bit);
            // A start from the checkpoint does not read what lies before it; one from zero does.
            for name in ["checkpoint-0", "checkpoint-1"] {
                fs::remove_file(copy.dir.path().join(name)).unwrap_or_default();
            }
            let before = fs::read(&path).unwrap();
            let is_last = original == originals.last().unwrap();
            match start(copy.dir.path()) {
                Err(refused) => {
                    refusals += 1;
                    assert!(refused.to_string().contains(path.to_str().unwrap()), "{refused}");
                    let hint = refused.hint().unwrap();
                    assert!(hint.contains("daybook store restore"), "{hint}");
                    let first = original == originals.first().unwrap();
                    let how = if first { "store export --until" } else { "--to-segment-end" };
                    assert!(hint.contains(how), "{hint}");
                    assert_eq!(fs::read(&path).unwrap(), before, "nothing was changed");
                }
                // Without a checkpoint nobody knows that the last group was acknowledged: it may be a write that a crash
                // tore. It is put aside, not thrown away.
                Ok(()) => {
                    assert!(is_last, "byte {at} of {}", path.display());
                    assert_eq!(files(path.parent().unwrap(), "torn").len(), 1, "byte {at}");
                }
            }
        }
    }
    assert!(refusals > 20, "{refusals}");
}

#[tokio::test]
async fn a_start_with_its_checkpoint_refuses_a_log_that_was_cut_short() {
    let lab = Lab::with(12).await;
    let last = lab.journal_files().pop().unwrap();
    let length = usize::try_from(fs::metadata(&last).unwrap().len()).unwrap();
    for short in (0..length).step_by(97) {
        let copy = Copy::of(&lab);
        let path = copy.path(&last, &lab);
        cut(&path, short);
        let refused = start(copy.dir.path()).expect_err("events are lost");
        assert!(refused.hint().unwrap().contains("store restore"), "{refused}");
        let checked = check(copy.dir.path());
        let first = &checked.findings[0];
        assert_eq!(first.part, Part::Journal, "cut to {short}: {first:?}");
        assert!(first.place.contains(path.to_str().unwrap()), "cut to {short}: {first:?}");
    }
}

#[tokio::test]
async fn each_flipped_byte_of_the_lines_is_found_and_named() {
    let lab = Lab::with(12).await;
    let originals = files(&lab.data().join(LINES), "seg");
    assert!(originals.len() > 2);
    for original in &originals {
        for (at, bit) in places(original, 53) {
            let copy = Copy::of(&lab);
            let path = copy.path(original, &lab);
            flip(&path, at, bit);
            let checked = check(copy.dir.path());
            let told = format!("{} byte {at} bit {bit}: {:?}", path.display(), checked.findings);
            assert_eq!(checked.log.difference, None, "{told}");
            // The header has four bytes that nothing uses, under its checksum all the same.
            assert!(!checked.findings.is_empty(), "unnoticed: {told}");
            assert!(checked.findings.iter().all(|it| it.part == Part::Lines), "{told}");
            let first = &checked.findings[0];
            assert!(first.place.contains(path.to_str().unwrap()), "{told}");
            // Opening and reading go on: no panic, and what is whole is shown.
            let (lines, _) = LineStore::open(&copy.dir.path().join(LINES), lab.lines).unwrap();
            for minute in 0..12 {
                let read = lines.read_to_gap(execution(minute), &Default::default());
                read.unwrap_or_else(|err| panic!("{told}: {err}"));
            }
        }
    }
}

#[tokio::test]
async fn lines_that_were_cut_short_are_missed_by_their_executions() {
    let lab = Lab::with(12).await;
    let length = |path: &PathBuf| usize::try_from(fs::metadata(path).unwrap().len()).unwrap();
    let mut all = files(&lab.data().join(LINES), "seg");
    // The newest one may have no chunk yet.
    all.retain(|path| length(path) > 200);
    let last = all.pop().unwrap();
    let whole = length(&last);
    for short in (0..whole).step_by(61) {
        let copy = Copy::of(&lab);
        cut(&copy.path(&last, &lab), short);
        let checked = check(copy.dir.path());
        let first = checked.findings.first().unwrap_or_else(|| panic!("unnoticed: cut to {short}"));
        assert_eq!(first.part, Part::Lines, "cut to {short}: {first:?}");
    }
}

#[tokio::test]
async fn each_flipped_byte_of_a_checkpoint_is_found_and_the_start_does_without_it() {
    let lab = Lab::with(5).await;
    let original = lab.data().join("checkpoint-0");
    for (at, bit) in places(&original, 29) {
        let copy = Copy::of(&lab);
        let path = copy.path(&original, &lab);
        flip(&path, at, bit);
        let checked = check(copy.dir.path());
        let [finding] = checked.findings.as_slice() else { panic!("byte {at}: {checked:?}") };
        assert_eq!(
            (finding.part, finding.place.as_str()),
            (Part::Checkpoint, path.to_str().unwrap())
        );
        assert!(finding.mend.contains("delete"), "{finding:?}");
        start(copy.dir.path()).unwrap();
    }
}

#[tokio::test]
async fn damage_to_the_index_never_stops_a_start_and_a_wrong_row_is_found() {
    let lab = Lab::with(12).await;
    let generation = fs::read_dir(lab.data().join(INDEX)).unwrap().next().unwrap().unwrap().path();
    let mut found = 0;
    for name in ["conf", "db"] {
        let original = generation.join(name);
        let length = usize::try_from(fs::metadata(&original).unwrap().len()).unwrap();
        // sled's file is long and mostly empty: the bytes that say something are spread over its beginning.
        let step = (length.min(60_000) / 24).max(1);
        for at in (0..length.min(60_000)).step_by(step) {
            let copy = Copy::of(&lab);
            let path = copy.path(&original, &lab);
            flip(&path, at, (at % 8) as u8);
            let checked = check(copy.dir.path());
            assert!(checked.findings.iter().all(|it| it.part == Part::Index), "{checked:?}");
            if let Some(finding) = checked.findings.first() {
                found += 1;
                let index = copy.dir.path().join(INDEX);
                assert!(finding.place.starts_with(index.to_str().unwrap()), "{finding:?}");
                assert!(finding.mend.contains("rebuilt"), "{finding:?}");
            }
            // The daemon opens what it can, and folds the rest anew.
            let log = std::sync::Arc::new(
                JournalLog::open(JournalOptions::new(copy.dir.path().join(JOURNAL))).unwrap().0,
            );
            Projections::open(&copy.dir.path().join(INDEX), log).unwrap();
        }
    }
    assert!(found > 5, "{found}");
}

#[tokio::test]
async fn an_index_that_says_something_else_than_the_log_is_told_by_its_first_row() {
    let (one, other) = (Lab::with(3).await, Lab::empty());
    // The same events but for one line of the middle execution's closing: a fold of another log, at the same position.
    fs::create_dir_all(other.data()).unwrap();
    let (log, lines) = other.open();
    run(&log, &lines, 0).await;
    run(&log, &lines, 7).await;
    run(&log, &lines, 2).await;
    other.stop(log, lines).await;
    fs::remove_dir_all(one.data().join(INDEX)).unwrap();
    copy_folder(&other.data().join(INDEX), &one.data().join(INDEX));
    let checked = one.check();
    let [finding] = checked.findings.as_slice() else { panic!("{checked:?}") };
    assert_eq!(finding.part, Part::Index);
    assert!(finding.place.contains("row "), "{finding:?}");
    assert_ne!(finding.expected, finding.found);
}

#[tokio::test]
async fn a_checkpoint_that_claims_another_state_is_told_by_what_differs() {
    let lab = Lab::with(3).await;
    let (log, lines) = lab.open();
    let mut state = fold(&log);
    state.opened += 1;
    keep_state(&lab.data(), &log, &state).await;
    log.close();
    drop(lines);
    let checked = lab.check();
    let [finding] = checked.findings.as_slice() else { panic!("{checked:?}") };
    assert_eq!(finding.part, Part::Checkpoint);
    assert!(finding.what.contains("number of executions"), "{finding:?}");
    assert_eq!(finding.expected.as_deref(), Some("3"));
    assert_eq!(finding.found.as_deref(), Some("4"));
}
