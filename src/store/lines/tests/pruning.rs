//! Lines that retention takes: gone for good, with their space, and nothing else is.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;

use super::*;

const TAKE: Pruning = Pruning::Do { worth: 1 };

/// Writes a hundred logs of some hundred lines each, a few at once, and gives the text of each.
async fn filled(store: &LineStore) -> BTreeMap<u64, Vec<String>> {
    let mut dice = Dice(11);
    let mut logs = BTreeMap::new();
    for round in 0..25 {
        let mut writers: Vec<_> =
            (0..4).map(|n| (round * 4 + n, store.writer(execution(round * 4 + n)))).collect();
        for number in 0..60 {
            for (n, writer) in &mut writers {
                let text = format!("line {number} of {n}: {:x}", dice.roll(u64::MAX >> 34));
                writer.push(info(&text));
                logs.entry(*n).or_insert_with(Vec::new).push(text);
                if dice.roll(20) == 0 {
                    writer.cut();
                }
            }
        }
        for (_, writer) in writers {
            writer.finish().await.expect("on disk");
        }
    }
    logs
}

/// What the files of a folder take on the disk.
fn on_disk(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).expect("lists");
    files.map(|file| file.expect("lists").metadata().expect("known").blocks() * 512).sum()
}

fn prune(store: &LineStore, gone: &BTreeSet<ExecutionId>, pruning: Pruning) -> PrunedLines {
    let mut sum = PrunedLines::default();
    for (number, _) in store.sealed_with(gone) {
        let pruned =
            store.prune_segment(number, &|id| gone.contains(&id), pruning).expect("prunes");
        sum.bytes += pruned.bytes;
        sum.chunks += pruned.chunks;
        sum.dropped += pruned.dropped;
        sum.rewritten += pruned.rewritten;
    }
    sum
}

/// Of the newest segment nothing is taken.
fn in_the_newest(store: &LineStore, id: ExecutionId) -> bool {
    store
        .store
        .shared
        .index
        .with_active(|active| active.entries.keys().any(|(execution, _)| *execution == id))
}

#[tokio::test]
async fn pruned_lines_are_gone_and_their_space_returns_while_all_others_stay() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = open_small(dir.path());
    let logs = filled(&store).await;
    let before = (on_disk(dir.path()), store.size_bytes());
    // A stretch, so that whole segments go, and every third of the rest.
    let is_gone = |n: u64| (20..60).contains(&n) || n.is_multiple_of(3);
    let gone: BTreeSet<_> = logs.keys().filter(|n| is_gone(**n)).map(|n| execution(*n)).collect();
    let planned = prune(&store, &gone, Pruning::Count);
    assert_eq!(store.size_bytes(), before.1);
    let pruned = prune(&store, &gone, TAKE);
    assert!(pruned.dropped > 0 && pruned.rewritten > 0, "{pruned:?}");
    assert_eq!(planned.chunks, pruned.chunks);
    assert_eq!(store.size_bytes(), before.1 - pruned.bytes);
    let freed = before.0 - on_disk(dir.path());
    assert!(freed * 10 > before.0 * 4, "{freed} of {} bytes", before.0);
    let check = |store: &LineStore| {
        for (n, lines) in &logs {
            let id = execution(*n);
            if !gone.contains(&id) {
                assert_eq!(texts(store, id), *lines, "log {n}");
            } else if !in_the_newest(store, id) {
                assert_eq!(store.summary(id).expect("reads"), None, "log {n}");
            }
        }
        let report = store.verify().expect("reads");
        assert_eq!(report.damage, []);
    };
    check(&store);
    drop(store);
    assert_eq!(LineStore::verify_folder(dir.path()).expect("reads").damage, []);
    let (store, recovery) = open_small(dir.path());
    assert_eq!(recovery.damage, []);
    check(&store);
}

#[tokio::test]
async fn a_segment_that_gives_too_little_stays_as_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = open_small(dir.path());
    filled(&store).await;
    let before = store.size_bytes();
    let gone = BTreeSet::from([execution(0)]);
    let pruned = prune(&store, &gone, Pruning::Do { worth: 1 << 20 });
    assert_eq!((pruned, store.size_bytes()), (PrunedLines::default(), before));
}

/// A kill at any moment of the rewriting leaves either file whole, and the next pass goes on.
#[tokio::test]
async fn a_rewriting_that_was_cut_short_loses_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let logs = {
        let (store, _) = open_small(dir.path());
        filled(&store).await
    };
    let gone: BTreeSet<_> = (0..100).filter(|n| n % 2 == 0).map(execution).collect();
    let before = copy_of(dir.path());
    let new = {
        let (store, _) = open_small(dir.path());
        prune(&store, &gone, TAKE);
        std::fs::read(dir.path().join("0000000001.seg")).expect("reads")
    };
    for part in [0, new.len() / 3, new.len() - 1, new.len()] {
        let crashed = copy_of(before.path());
        let unfinished = crashed.path().join("0000000001.new");
        std::fs::write(&unfinished, &new[..part]).expect("writes");
        let (store, _) = open_small(crashed.path());
        assert!(!unfinished.exists());
        for (n, lines) in &logs {
            assert_eq!(texts(&store, execution(*n)), *lines, "log {n}");
        }
        prune(&store, &gone, TAKE);
        let written = std::fs::read(crashed.path().join("0000000001.seg")).expect("reads");
        assert!(written == new, "the next pass writes the same");
    }
}

#[tokio::test]
async fn a_log_that_is_read_meanwhile_is_read_to_its_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = open_small(dir.path());
    let logs = filled(&store).await;
    let gone: BTreeSet<_> = (0..100).filter(|n| n % 2 == 0).map(execution).collect();
    let kept = execution(1);
    let mut read = Vec::new();
    let query = LineQuery::default();
    store
        .for_each(kept, &query, &mut |line| {
            if read.is_empty() {
                prune(&store, &gone, TAKE);
            }
            read.push(line.text.to_owned());
            std::ops::ControlFlow::Continue(())
        })
        .expect("reads");
    assert_eq!(read, logs[&1]);
}
