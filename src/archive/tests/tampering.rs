//! Whoever can write the files can chain a changed log again. Only a head that stands elsewhere tells.

use super::*;
use crate::store::journal::{JournalBuilder, Piece, RawEvent};

/// Writes the log in `from` to `to` with one event changed, and every hash and checksum made anew.
fn tamper(from: &Path, to: &Path, victim: Position) {
    let source = Source::of_folder(from, None).unwrap();
    let mut events: Vec<(Position, u64, Position, Vec<Vec<u8>>)> = Vec::new();
    source
        .journal
        .for_each(&mut |piece| {
            match piece {
                Piece::Segment { .. } => {}
                Piece::Frame { first, count, synced, .. } => {
                    events.push((first, count, synced, Vec::new()));
                }
                Piece::Pruned { .. } | Piece::Run { .. } => panic!("nothing was pruned"),
                Piece::Event(event) => {
                    let mut bytes = event.bytes.to_vec();
                    if event.position == victim {
                        // Another exit code in the closing, say.
                        *bytes.last_mut().unwrap() ^= 1;
                    }
                    events.last_mut().unwrap().3.push(bytes);
                }
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    let mut builder = JournalBuilder::create(&to.join(JOURNAL)).unwrap();
    builder.put(Piece::Segment { first: Position(1), created: at(0), pruned: false }).unwrap();
    let mut chain = [0; 32];
    for (first, count, synced, records) in events {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&chain);
        records.iter().for_each(|bytes| {
            hasher.update(blake3::hash(bytes).as_bytes());
        });
        chain = *hasher.finalize().as_bytes();
        builder.put(Piece::Frame { first, count, synced, chain }).unwrap();
        for (bytes, position) in records.iter().zip(first.0..) {
            builder.put(Piece::Event(RawEvent { position: Position(position), bytes })).unwrap();
        }
    }
    builder.finish().unwrap();
}

#[tokio::test]
async fn a_changed_log_that_was_chained_again_does_not_have_the_head_that_was_told() {
    let lab = Lab::with(10).await;
    let told = Source::of_folder(&lab.data(), Some(Position(14))).unwrap().journal;
    let asked = |head: [u8; 32], at: Option<u64>| Asked { head: Some(head), at: at.map(Position) };
    let seen = |data: &Path, asked: Asked| check_folder(data, asked, &mut |_| {}).unwrap();

    let honest = seen(&lab.data(), asked(told.head, Some(14)));
    assert_eq!((honest.findings, honest.head_at), (vec![], Some(Position(14))));
    let anywhere = seen(&lab.data(), asked(told.head, None));
    assert_eq!((anywhere.findings, anywhere.head_at), (vec![], Some(Position(14))));
    let elsewhere = seen(&lab.data(), asked(told.head, Some(15)));
    assert_eq!(elsewhere.findings[0].part, Part::Head);

    let forged = lab.dir.path().join("forged");
    fs::create_dir(&forged).unwrap();
    tamper(&lab.data(), &forged, Position(8));
    let by_itself = check(&forged).log;
    assert_eq!(
        (by_itself.difference, by_itself.events),
        (None, 20),
        "the chain is right by itself"
    );
    for at in [Some(14), None] {
        let noticed = seen(&forged, asked(told.head, at));
        let finding = noticed.findings.iter().find(|it| it.part == Part::Head).unwrap();
        assert!(finding.what.contains("changed and chained again"), "{finding:?}");
        assert_eq!(finding.expected, Some(hex(&told.head)));
    }
}
