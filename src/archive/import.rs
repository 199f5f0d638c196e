//! `store import`: an export becomes a store again, the same to the byte.

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::check::check_folder;
use super::files::{make_private, remove};
use super::fold::Part;
use super::restore::{RestoreError, StillAtWork, into_place, take};
use super::row::{FORMAT, Row};
use super::switch::{STAGE, is_filled};
use super::{Asked, JOURNAL, LINES, Progress, Tick, parse_hash};
use crate::error_text::in_full;
use crate::ids::{Position, hex};
use crate::instant::Instant;
use crate::store::codec;
use crate::store::journal::{JournalBuilder, Piece, RawEvent};
use crate::store::lines::{LinesBuilder, Moved, StoredChunk};

/// The longest row, in bytes: the largest event in base64, and beside it what it holds, escaped.
const ROW_MAX: usize = 512 << 20;

/// What was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The last event.
    pub position: Position,
    /// The chain hash after it, in hex.
    pub head: String,
    /// Events.
    pub events: u64,
    /// Lines.
    pub lines: u64,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

/// Makes a store of the rows in `from` in the empty data folder `data`. All or nothing.
///
/// # Errors
/// [`RestoreError`]; then all is as it was.
pub fn import(
    from: &mut dyn BufRead,
    data: &Path,
    (now, total, at_work): (Instant, u64, StillAtWork),
    progress: Progress<'_>,
) -> Result<Imported, RestoreError> {
    make_private(data).map_err(|err| RestoreError::Io { path: data.to_owned(), err })?;
    let lock = take(data, at_work)?;
    if is_filled(data) {
        return Err(RestoreError::Filled(data.to_owned()));
    }
    let stage = data.join(STAGE);
    let io = |err| RestoreError::Io { path: stage.clone(), err };
    remove(&stage).map_err(io)?;
    make_private(&stage).map_err(io)?;
    let built = build(from, &stage, total, progress);
    let imported = built.inspect_err(|_| remove(&stage).unwrap_or_default())?;
    into_place(data, now)?;
    drop(lock);
    Ok(imported)
}

fn build(
    from: &mut dyn BufRead,
    stage: &Path,
    total: u64,
    progress: Progress<'_>,
) -> Result<Imported, RestoreError> {
    let mut reader = Reader::new(stage)?;
    let mut line = Vec::new();
    let mut number = 0_u64;
    let mut done = 0;
    let wrong = |number: u64, what: String| RestoreError::Unreadable {
        what: format!("row {number} of the export: {what}"),
    };
    loop {
        line.clear();
        let count = read_row(from, &mut line).map_err(|err| wrong(number + 1, err.to_string()))?;
        if count == 0 {
            break;
        }
        number += 1;
        done += count as u64;
        progress(Tick { what: "importing", done, total });
        reader.row(&line).map_err(|what| wrong(number, what))?;
    }
    let (imported, damaged) = reader.finish().map_err(|what| wrong(number, what))?;
    let checked = check_folder(stage, Asked::default(), progress)
        .map_err(|err| RestoreError::Unreadable { what: err.what })?;
    let mut notes = damaged;
    for finding in checked.findings {
        if finding.part != Part::Lines {
            return Err(RestoreError::Unsound(Box::new(finding)));
        }
        notes.push(format!("{}: {}", finding.place, finding.what));
    }
    Ok(Imported { notes, ..imported })
}

/// Reads a row with its line end; 0 at the end.
fn read_row(from: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    loop {
        let part = from.fill_buf()?;
        let end = memchr::memchr(b'\n', part);
        let count = end.map_or(part.len(), |end| end + 1);
        line.extend_from_slice(part.get(..count).unwrap_or_default());
        from.consume(count);
        if end.is_some() || count == 0 {
            return Ok(line.len());
        }
        if line.len() > ROW_MAX {
            return Err(io::Error::other("it is longer than any row"));
        }
    }
}

/// Follows the rows.
struct Reader {
    journal: JournalBuilder,
    lines: LinesBuilder,
    /// Position and head that the first row promises.
    promised: Option<(Position, String)>,
    hasher: blake3::Hasher,
    events: u64,
    chunks: u64,
    line_rows: u64,
    damaged: Vec<String>,
    /// Chunks do not stand where they stood.
    moved: bool,
    ended: bool,
    stage: PathBuf,
}

impl Reader {
    fn new(stage: &Path) -> Result<Self, RestoreError> {
        let unreadable = |what: String| RestoreError::Unreadable { what };
        Ok(Self {
            journal: JournalBuilder::create(&stage.join(JOURNAL))
                .map_err(|err| unreadable(in_full(&err)))?,
            lines: LinesBuilder::create(&stage.join(LINES))
                .map_err(|err| unreadable(in_full(&err)))?,
            promised: None,
            hasher: blake3::Hasher::new(),
            events: 0,
            chunks: 0,
            line_rows: 0,
            damaged: Vec::new(),
            moved: false,
            ended: false,
            stage: stage.to_owned(),
        })
    }

    fn row(&mut self, line: &[u8]) -> Result<(), String> {
        if self.ended {
            return Err("it follows the last row".to_owned());
        }
        if line.last() != Some(&b'\n') {
            return Err("it is cut short: the export is not complete".to_owned());
        }
        let row: Row = serde_json::from_slice(line)
            .map_err(|err| format!("it is none that this version knows: {err}"))?;
        if self.promised.is_none() {
            return self.header(row);
        }
        // The last row tells the hash of those before it.
        if !matches!(row, Row::End { .. }) {
            self.hasher.update(line);
        }
        match row {
            Row::Header { .. } => Err("a second header".to_owned()),
            Row::Segment { first, created, pruned } => {
                self.put(Piece::Segment { first, created, pruned })
            }
            Row::Pruned { position, hash } => {
                self.put(Piece::Pruned { position, hash: parse_hash(&hash)? })
            }
            Row::PrunedRun { first, count, synced, before, after } => {
                let (before, after) = (parse_hash(&before)?, parse_hash(&after)?);
                self.put(Piece::Run { first, count, synced, before, after })
            }
            Row::Frame { first, count, synced, chain } => {
                let chain = parse_hash(&chain)?;
                self.put(Piece::Frame { first, count, synced, chain })
            }
            Row::Event { position, hash, stored } => {
                let bytes = decode(&stored)?;
                if hex(&codec::hash(&bytes)) != hash {
                    return Err(format!("event {position} does not have the hash that it carries"));
                }
                self.events += 1;
                self.put(Piece::Event(RawEvent { position, bytes: &bytes }))
            }
            Row::LinesSegment { number, sealed, pruned } => {
                self.lines.segment(number, sealed, pruned).map_err(|err| in_full(&err))
            }
            Row::Chunk { execution, hash, stored, .. } => {
                let bytes = decode(&stored)?;
                let chunk = StoredChunk::read(&bytes)?;
                if chunk.execution() != execution || hex(&chunk.hash()) != hash {
                    return Err("the chunk is not the one that the row names".to_owned());
                }
                self.chunks += 1;
                // Where bytes are missing before it, it does not stand where it stood.
                let whole = self.damaged.is_empty() && !self.moved;
                let moved = if whole { Moved::No } else { Moved::Yes };
                self.lines.chunk(&chunk, moved).map_err(|err| in_full(&err))
            }
            Row::Line {} => {
                self.line_rows += 1;
                Ok(())
            }
            Row::Damage { place, what } => {
                self.damaged.push(format!("damaged when it was exported: {place}: {what}"));
                Ok(())
            }
            end @ Row::End { .. } => self.end(&end),
        }
    }

    /// Holds what was read against what the last row says of it.
    fn end(&mut self, row: &Row) -> Result<(), String> {
        self.ended = true;
        let own = Row::End {
            events: self.events,
            chunks: self.chunks,
            lines: self.line_rows,
            damaged: self.damaged.len() as u64,
            blake3: self.hasher.finalize().to_hex().to_string(),
            position: self.promised.as_ref().map_or(Position(0), |(position, _)| *position),
            head: self.promised.as_ref().map_or_else(String::new, |(_, head)| head.clone()),
        };
        if *row == own {
            return Ok(());
        }
        Err("it does not fit the rows before it: some are missing, or were changed".to_owned())
    }

    fn header(&mut self, row: Row) -> Result<(), String> {
        match row {
            Row::Header { format: FORMAT, position, head, cut, .. } => {
                self.moved = cut;
                self.promised = Some((position, head));
                Ok(())
            }
            Row::Header { format, version, .. } => Err(format!(
                "the export has format {format}, this version reads {FORMAT}: use the version that wrote it, {version}"
            )),
            _ => Err("the export does not begin with its header".to_owned()),
        }
    }

    fn put(&mut self, piece: Piece<'_>) -> Result<(), String> {
        self.journal.put(piece).map_err(|err| in_full(&err))
    }

    /// Brings all to disk, if the rows came to their end and the chain to its head.
    fn finish(self) -> Result<(Imported, Vec<String>), String> {
        let Some((promised, head)) = self.promised.filter(|_| self.ended) else {
            return Err("the last row is missing: the export is not complete".to_owned());
        };
        let (position, found) = self.journal.finish().map_err(|err| in_full(&err))?;
        self.lines.finish().map_err(|err| in_full(&err))?;
        crate::store::sync_folder(&self.stage).map_err(|err| err.to_string())?;
        if (position, hex(&found)) != (promised, head.clone()) {
            return Err(format!(
                "the events come to position {position} with head {}, the export promised {promised} with head {head}",
                hex(&found)
            ));
        }
        let imported = Imported {
            position,
            head,
            events: self.events,
            lines: self.line_rows,
            notes: Vec::new(),
        };
        Ok((imported, self.damaged))
    }
}

fn decode(text: &str) -> Result<Vec<u8>, String> {
    BASE64.decode(text).map_err(|err| format!("its stored bytes are no base64: {err}"))
}
