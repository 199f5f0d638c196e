//! Torn tails, damaged bytes, interrupted logs.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::store::lines::segment::{TRAILER_LEN, Trailer};

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(dir).expect("lists").map(|entry| entry.expect("lists").path()).collect();
    paths.sort();
    paths
}

fn flip(path: &Path, byte: usize, bit: u8) {
    let mut bytes = fs::read(path).expect("reads");
    bytes[byte] ^= 1 << bit;
    fs::write(path, bytes).expect("writes");
}

/// One commit for each text.
async fn write_each(store: &LineStore, execution: ExecutionId, texts: &[&str]) -> LogSummary {
    let mut follow = store.follow(execution);
    let mut writer = store.writer(execution);
    for text in texts {
        let number = writer.push(info(text));
        writer.cut();
        follow.wait_for(|state| state.last_line >= number).await.expect("goes on");
    }
    writer.finish().await.expect("finishes")
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_is_cut_and_the_log_continues_after_its_last_whole_line() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write_each(&store, execution(1), &["one", "two"]).await;
    let whole = store.size_bytes();
    write_each(&store, execution(2), &["never acknowledged"]).await;
    let end = store.size_bytes();
    for cut in whole..end {
        let copy = copy_of(dir.path());
        let path = &segments(copy.path())[0];
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(cut).unwrap();
        let (torn, recovery) = LineStore::open(copy.path(), LinesOptions::default()).unwrap();
        assert_eq!((recovery.cut_bytes, recovery.damage), (cut - whole, vec![]), "cut at {cut}");
        assert_eq!(texts(&torn, execution(2)), [""; 0]);
        let mut writer = torn.reopen_writer(execution(1)).unwrap();
        assert_eq!(writer.push(info("Interrupted")), 3);
        writer.finish().await.unwrap();
        assert_eq!(texts(&torn, execution(1)), ["one", "two", "Interrupted"]);
        assert_eq!(torn.verify().unwrap().damage, []);
    }
}

#[tokio::test]
async fn a_reopened_log_has_the_hash_over_all_its_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write_each(&store, execution(1), &["one", "two"]).await;
    let mut writer = store.writer(execution(2));
    writer.push(info("one"));
    drop(writer);
    drop(store);
    let store = open(dir.path());
    let mut writer = store.reopen_writer(execution(2)).unwrap();
    assert_eq!((writer.lines(), writer.bytes()), (1, 3));
    writer.push(info("two"));
    let summary = writer.finish().await.unwrap();
    assert_eq!((summary.lines, summary.bytes), (2, 6));
    assert_eq!(store.summary(execution(2)).unwrap(), Some(summary));
    let other = store.summary(execution(1)).unwrap().unwrap();
    assert_ne!(summary.hash, other.hash, "the hash names the execution");
}

#[tokio::test]
async fn a_log_that_was_never_begun_can_be_reopened() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut writer = store.reopen_writer(execution(1)).unwrap();
    assert_eq!(writer.push(info("Interrupted")), 1);
    assert_eq!(writer.finish().await.unwrap().lines, 1);
}

#[tokio::test]
async fn damage_before_a_later_commit_is_named_and_nothing_behind_it_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let summary = write_each(&store, execution(1), &["one", "two", "three"]).await;
    write_each(&store, execution(2), &["four"]).await;
    let copy = copy_of(dir.path());
    let path = &segments(copy.path())[0];
    let bytes = fs::read(path).unwrap();
    let two = memchr::memmem::find(&bytes, b"two").unwrap();
    flip(path, two, 0);
    let (damaged, recovery) = LineStore::open(copy.path(), LinesOptions::default()).unwrap();
    assert_eq!(recovery.cut_bytes, 0);
    assert_eq!(recovery.damage.len(), 1, "{recovery:?}");
    assert!(recovery.damage[0].what.contains("lines 2 to 2"), "{recovery:?}");
    let refused = damaged.read(execution(1), &LineQuery::default()).unwrap_err().to_string();
    assert!(refused.contains("0000000001.seg` at byte"), "{refused}");
    assert!(refused.contains("lines 2 to 2)"), "{refused}");
    let rest = LineQuery { after: 2, ..LineQuery::default() };
    assert_eq!(damaged.read(execution(1), &rest).unwrap()[0].text, "three");
    assert_eq!(texts(&damaged, execution(2)), ["four"]);
    assert_eq!(damaged.summary(execution(1)).unwrap(), Some(summary), "the hash still tells");
    assert!(!damaged.verify().unwrap().damage.is_empty());
}

/// The lines around the damage are shown, and what lies between is named.
#[tokio::test]
async fn whoever_reads_up_to_a_gap_goes_on_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write_each(&store, execution(1), &["one", "two", "three"]).await;
    let path = &segments(dir.path())[0];
    let bytes = fs::read(path).unwrap();
    flip(path, memchr::memmem::find(&bytes, b"two").unwrap(), 0);
    let (lines, gap) = store.read_to_gap(execution(1), &LineQuery::default()).unwrap();
    let gap = gap.expect("line 2 is damaged");
    assert_eq!((lines.len(), gap.first, gap.last, gap.damaged), (1, 2, 2, true));
    let rest = LineQuery { after: gap.last, ..LineQuery::default() };
    let (lines, gap) = store.read_to_gap(execution(1), &rest).unwrap();
    assert_eq!((lines[0].text.as_str(), gap), ("three", None));
}

/// What a crash left is told, and left for the next start.
#[tokio::test]
async fn a_folder_is_checked_without_changing_a_byte() {
    let dir = tempfile::tempdir().unwrap();
    several_segments(dir.path()).await;
    let newest = segments(dir.path()).pop().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    bytes.extend([7; 33]);
    fs::write(&newest, &bytes).unwrap();
    let before: Vec<_> = segments(dir.path()).iter().map(|path| fs::read(path).unwrap()).collect();
    let report = LineStore::verify_folder(dir.path()).unwrap();
    assert_eq!((report.damage.as_slice(), report.unfinished), (&[][..], 33));
    let after: Vec<_> = segments(dir.path()).iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(before == after, "nothing was changed");
    let (store, recovery) = open_small(dir.path());
    assert_eq!(recovery.cut_bytes, 33);
    let live = store.verify().unwrap();
    assert_eq!(
        (report.segments, report.chunks, report.lines),
        (live.segments, live.chunks, live.lines)
    );
}

#[tokio::test]
async fn damage_in_a_folder_is_named_without_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write_each(&store, execution(1), &["one", "two", "three"]).await;
    drop(store);
    let path = &segments(dir.path())[0];
    let bytes = fs::read(path).unwrap();
    flip(path, memchr::memmem::find(&bytes, b"two").unwrap(), 0);
    let report = LineStore::verify_folder(dir.path()).unwrap();
    assert!(report.damage[0].what.contains("lines 2 to 2"), "{report:?}");
    assert_eq!(report.unfinished, 0);
}

#[tokio::test]
async fn a_damaged_description_leaves_a_gap_that_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write_each(&store, execution(1), &["one", "two", "three"]).await;
    let copy = copy_of(dir.path());
    let path = &segments(copy.path())[0];
    let bytes = fs::read(path).unwrap();
    let two = memchr::memmem::find(&bytes, b"two").unwrap();
    flip(path, two - 60, 0);
    let (damaged, recovery) = LineStore::open(copy.path(), LinesOptions::default()).unwrap();
    assert_eq!((recovery.cut_bytes, recovery.damage.len()), (0, 1), "{recovery:?}");
    let refused = damaged.read(execution(1), &LineQuery::default()).unwrap_err().to_string();
    assert!(refused.contains("lines 2 to 2 are missing; read on after line 2"), "{refused}");
    assert!(damaged.summary(execution(1)).is_err());
}

/// Three sealed segments and an unsealed one.
async fn several_segments(dir: &Path) -> Vec<(ExecutionId, Vec<String>)> {
    let (store, _) = open_small(dir);
    let mut expected = Vec::new();
    for n in 0..14 {
        let texts: Vec<String> =
            (0..5).map(|line| format!("log {n} line {line} {}", "word ".repeat(60))).collect();
        let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
        write_each(&store, execution(n), &borrowed).await;
        expected.push((execution(n), texts));
    }
    expected
}

#[tokio::test]
async fn a_flipped_bit_anywhere_is_named_and_never_read_as_something_else() {
    let dir = tempfile::tempdir().unwrap();
    let expected = several_segments(dir.path()).await;
    assert_eq!(segments(dir.path()).len(), 4);
    let mut dice = Dice(2);
    for round in 0..400 {
        let copy = copy_of(dir.path());
        let paths = segments(copy.path());
        let path = &paths[dice.roll(4) as usize];
        let len = fs::metadata(path).unwrap().len();
        let (byte, bit) = (dice.roll(len), dice.roll(8) as u8);
        flip(path, byte as usize, bit);
        let place = format!("round {round}: bit {bit} of byte {byte} of `{}`", path.display());
        let (store, recovery) = match LineStore::open(
            copy.path(),
            LinesOptions { segment_chunks: 20, ..LinesOptions::default() },
        ) {
            Ok(opened) => opened,
            Err(err) => {
                assert!(err.to_string().contains(".seg"), "{place}: {err}");
                continue;
            }
        };
        for (execution, texts) in &expected {
            match store.read(*execution, &LineQuery::default()) {
                Ok(lines) => {
                    let read: Vec<String> = lines.into_iter().map(|line| line.text).collect();
                    assert!(texts.starts_with(&read), "{place}: {read:?}");
                    let told = recovery.cut_bytes > 0 || !recovery.damage.is_empty();
                    assert!(read.len() == texts.len() || told, "{place}");
                }
                Err(err) => assert!(
                    err.to_string().contains("missing") || err.to_string().contains(".seg"),
                    "{place}: {err}"
                ),
            }
        }
        let named = store.verify().unwrap().damage.len() + recovery.damage.len();
        assert!(named > 0 || recovery.cut_bytes > 0, "{place}: nobody noticed");
    }
}

#[tokio::test]
async fn a_damaged_index_is_made_again_from_the_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let expected = several_segments(dir.path()).await;
    let path = &segments(dir.path())[0];
    let file = fs::File::open(path).unwrap();
    let len = file.metadata().unwrap().len();
    let trailer = Trailer::read(&file, path, len).unwrap().unwrap();
    for at in trailer.seal_at + 8..len - TRAILER_LEN as u64 {
        if at % 50 == 0 {
            flip(path, at as usize, 3);
        }
    }
    let (store, recovery) = open_small(dir.path());
    assert_eq!(recovery.damage, []);
    for (execution, lines) in &expected {
        assert_eq!(&texts(&store, *execution), lines);
    }
    let damage = store.verify().unwrap().damage;
    assert!(damage.iter().any(|damage| damage.what.contains("index is damaged")), "{damage:?}");
}

#[tokio::test]
async fn opening_walks_only_the_segment_that_was_not_sealed() {
    let dir = tempfile::tempdir().unwrap();
    several_segments(dir.path()).await;
    let (_, recovery) = open_small(dir.path());
    assert_eq!((recovery.segments, recovery.walked_chunks), (4, 10));
}

#[tokio::test]
async fn a_crash_while_sealing_or_beginning_a_segment_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let expected = several_segments(dir.path()).await;
    let paths = segments(dir.path());
    let len = fs::metadata(&paths[2]).unwrap().len();
    for (cut, next) in [(1, 0), (60, 31), (TRAILER_LEN as u64 + 10, 0)] {
        let copy = copy_of(dir.path());
        let paths = segments(copy.path());
        fs::OpenOptions::new().write(true).open(&paths[2]).unwrap().set_len(len - cut).unwrap();
        fs::OpenOptions::new().write(true).open(&paths[3]).unwrap().set_len(next).unwrap();
        let (store, recovery) = open_small(copy.path());
        assert_eq!(recovery.damage, [], "{cut}");
        for (execution, lines) in expected.iter().take(12) {
            assert_eq!(&texts(&store, *execution), lines, "{cut}");
        }
        write_each(&store, execution(50), &["again"]).await;
        assert_eq!(store.verify().unwrap().damage, [], "{cut}");
    }
}

#[tokio::test]
async fn a_dropped_segment_takes_only_its_own_lines_along() {
    let dir = tempfile::tempdir().unwrap();
    let expected = several_segments(dir.path()).await;
    fs::remove_file(&segments(dir.path())[0]).unwrap();
    let (store, _) = open_small(dir.path());
    for (execution, lines) in &expected[4..] {
        assert_eq!(&texts(&store, *execution), lines);
    }
    assert_eq!(texts(&store, execution(0)), [""; 0]);
    assert_eq!(store.verify().unwrap().damage, []);
}
