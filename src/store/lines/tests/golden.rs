//! The bytes of a sealed segment with a plain and a packed chunk, kept in `tests/golden/` for good.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::domain::cause::Cause;
use crate::domain::class::Class;
use crate::store::lines::bytes::array_at;
use crate::store::lines::chunk::ChunkBuilder;
use crate::store::lines::frame::{Entry, HEAD_LEN, Head, PLAIN, ZSTD};
use crate::store::lines::segment::{ActiveFile, HEADER_LEN, seal_bytes};

const BEGIN_MS: i64 = 1_795_428_000_000;

/// The hash over the chunks of the first log, as its `Closed` would carry it.
const LOG_HASH: &str = "e57f4cbde081d9ed5533e522b537df914de79c76e33d6da0ca0c54e7caf969b2";

/// A chunk of one log.
struct Chunk {
    execution: ExecutionId,
    /// Its number in its log, from 0.
    number: u32,
    begins_commit: bool,
    lines: Vec<Line>,
}

fn plain(number: u64, text: &str) -> Line {
    Line {
        line: number,
        at: Instant::from_millis(BEGIN_MS),
        attempt: 1,
        source: Source::Stdout,
        level: Level::Info,
        class: None,
        cause: None,
        text: text.to_owned(),
        cascade_of: None,
        fields: None,
    }
}

/// The chunks in the order of writing.
fn chunks() -> Vec<Chunk> {
    let error = Line {
        at: Instant::from_millis(BEGIN_MS + 250),
        source: Source::Stderr,
        level: Level::Error,
        class: Some(Class::Mapping),
        cause: Some(Cause::MapRef),
        fields: Some(json!({"record": "FNAC-77"})),
        ..plain(2, "no product\nfor FNAC-77")
    };
    let cascade = Line {
        line: 3,
        class: Some(Class::Cascade),
        cause: Some(Cause::CasStep),
        text: "12 sales skipped".to_owned(),
        cascade_of: Some(2),
        fields: None,
        ..error
    };
    let rows = (1..=60)
        .map(|number| Line { level: Level::Debug, ..plain(number, "the same row again and again") })
        .collect();
    let ended = Line {
        at: Instant::from_millis(BEGIN_MS + 1_000),
        attempt: 2,
        source: Source::Daybook,
        level: Level::Warning,
        ..plain(4, "Ended.")
    };
    let chunk =
        |execution, number, begins_commit, lines| Chunk { execution, number, begins_commit, lines };
    vec![
        chunk(execution(1), 0, true, vec![plain(1, "begins"), error, cascade]),
        chunk(execution(2), 0, false, rows),
        chunk(execution(1), 1, true, vec![ended]),
    ]
}

fn golden_file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/lines-segment-v1.bin")
}

fn golden() -> Vec<u8> {
    let path = golden_file();
    fs::read(&path).unwrap_or_else(|err| {
        panic!(
            "{}: {err}; write the missing file with `cargo test golden -- --ignored`",
            path.display()
        )
    })
}

/// The chunks that stand in `bytes`.
fn stored(bytes: &[u8]) -> Vec<(Head, &[u8])> {
    let mut at = HEADER_LEN as usize;
    let mut found = Vec::new();
    for _ in chunks() {
        let head = Head::decode(&array_at(bytes, at)).unwrap();
        let payload = &bytes[at + HEAD_LEN..][..head.payload_len as usize];
        at += HEAD_LEN + payload.len();
        found.push((head, payload));
    }
    found
}

/// Writes the segment into `dir` as the store does. `pack` gives the stored form of each chunk's payload.
fn write_segment(dir: &Path, pack: impl Fn(usize, &[u8]) -> (u8, Vec<u8>)) -> PathBuf {
    let mut file = ActiveFile::create(dir, 1).unwrap();
    let mut entries = BTreeMap::new();
    let mut group_at = file.len;
    for (place, chunk) in chunks().iter().enumerate() {
        let mut builder = ChunkBuilder::default();
        for line in &chunk.lines {
            builder.push(&NewLine {
                at: line.at,
                attempt: line.attempt,
                source: line.source,
                level: line.level,
                class: line.class,
                cause: line.cause,
                text: &line.text,
                cascade_of: line.cascade_of,
                fields: line.fields.as_ref(),
            });
        }
        let mut raw = Vec::new();
        let mut head = builder.finish(chunk.execution, chunk.lines[0].line, &mut raw);
        let (codec, payload) = pack(place, &raw);
        if chunk.begins_commit {
            group_at = file.len;
        }
        (head.codec, head.chunk, head.group_at) = (codec, chunk.number, group_at);
        let offset = file.len;
        let described = head.seal(&payload);
        file.append(&[&described[..], &payload[..]].concat()).unwrap();
        let entry = Entry { offset, head };
        entries.insert(entry.key(), entry);
    }
    let (seal, _trailer) = seal_bytes(file.len, entries.values()).unwrap();
    file.append(&seal).unwrap();
    file.path
}

/// Opens a store on a segment of these bytes, of which a start has to walk so many chunks, and reads all of it.
fn assert_reads(bytes: &[u8], walked: usize) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("0000000001.seg"), bytes).unwrap();
    let (store, recovery) = LineStore::open(dir.path(), LinesOptions::default()).unwrap();
    assert_eq!((recovery.walked_chunks, recovery.cut_bytes), (walked, 0));
    assert_eq!(recovery.damage, []);
    for whose in [execution(1), execution(2)] {
        let mine = chunks().into_iter().filter(|chunk| chunk.execution == whose);
        let lines: Vec<Line> = mine.flat_map(|chunk| chunk.lines).collect();
        assert_eq!(all(&store, whose), lines);
    }
    let summary = store.summary(execution(1)).unwrap().unwrap();
    assert_eq!(blake3::Hash::from_bytes(summary.hash).to_hex().as_str(), LOG_HASH);
    assert_eq!(store.verify().unwrap().damage, []);
}

#[test]
fn a_line_segment_of_the_first_format_is_read_line_by_line() {
    let bytes = golden();
    let frames = stored(&bytes);
    let unsealed: usize = frames.iter().map(|(_, payload)| HEAD_LEN + payload.len()).sum();
    assert_reads(&bytes, 0);
    assert_reads(&bytes[..HEADER_LEN as usize + unsealed], frames.len());
}

#[test]
fn a_line_segment_of_the_first_format_is_written_again_byte_by_byte() {
    let bytes = golden();
    let frames = stored(&bytes);
    let codecs: Vec<u8> = frames.iter().map(|(head, _)| head.codec).collect();
    assert_eq!(codecs, [PLAIN, ZSTD, PLAIN]);
    let dir = tempfile::tempdir().unwrap();
    let path = write_segment(dir.path(), |place, raw| {
        let (head, payload) = &frames[place];
        // Another zstd may pack into other bytes; what they hold is ours.
        let unpacked = match head.codec {
            ZSTD => zstd::bulk::decompress(payload, head.raw_len as usize).unwrap(),
            _ => payload.to_vec(),
        };
        assert_eq!(unpacked, raw);
        (head.codec, payload.to_vec())
    });
    assert_eq!(fs::read(path).unwrap(), bytes);
}

/// Run by hand when the file is missing. An existing file is never touched.
#[test]
#[ignore = "writes the golden file that is missing"]
fn writes_the_missing_line_segment() {
    let path = golden_file();
    if !path.exists() {
        let dir = tempfile::tempdir().unwrap();
        let written = write_segment(dir.path(), |_place, raw| match raw.len() {
            ..200 => (PLAIN, raw.to_vec()),
            _ => (ZSTD, zstd::bulk::compress(raw, 1).unwrap()),
        });
        fs::copy(written, path).unwrap();
    }
}
