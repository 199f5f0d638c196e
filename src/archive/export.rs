//! `store export --jsonl`: everything, as rows that people and programs can read, and from which the same bytes come back.

use std::io::{self, Write};
use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use super::restore::opened;
use super::row::{FORMAT, Row};
use super::source::Source;
use super::{Progress, Tick};
use crate::error_text::in_full;
use crate::ids::{ExecutionId, Position, hex};
use crate::instant::Instant;
use crate::projection::show_event;
use crate::store::journal::Piece;
use crate::store::lines::{LinePiece, StoredChunk};

/// What an export wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// The last event.
    pub position: Position,
    /// Events.
    pub events: u64,
    /// Chunks of lines.
    pub chunks: u64,
    /// Lines.
    pub lines: u64,
    /// Places in the lines that are damaged; each has a row.
    pub damaged: Vec<String>,
}

/// Why an export broke off. What was written ends without its last row, and no import takes it.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store cannot be read.
    #[error("{what}")]
    Unreadable {
        /// What and why.
        what: String,
        /// What the operator can do.
        hint: Option<String>,
    },
    /// Nobody takes the rows any more.
    #[error("the rows cannot be written")]
    Io(#[from] io::Error),
}

/// Writes rows, and adds them up.
struct Writer<'a> {
    to: &'a mut dyn Write,
    hasher: blake3::Hasher,
    line: Vec<u8>,
    seen: Exported,
    done: u64,
    total: u64,
    progress: Progress<'a>,
}

/// Writes all of `source` to `to`, in constant memory. Where the log goes on behind it, the lines of executions that are
/// opened there are left out, which takes 16 bytes for each execution.
///
/// # Errors
/// [`ExportError`].
pub fn export(
    source: &Source,
    (version, created): (&str, Instant),
    to: &mut dyn Write,
    progress: Progress<'_>,
) -> Result<Exported, ExportError> {
    let known = if source.is_cut() {
        let mut known = opened(&source.journal)
            .map_err(|err| ExportError::Unreadable { what: in_full(&err), hint: None })?;
        known.sort_unstable();
        Some(known)
    } else {
        None
    };
    let (position, head) = (source.journal.position, hex(&source.journal.head));
    let mut writer = Writer {
        to,
        hasher: blake3::Hasher::new(),
        line: Vec::new(),
        seen: Exported { position, ..Exported::default() },
        done: 0,
        total: source.bytes(),
        progress,
    };
    let header = Row::Header {
        format: FORMAT,
        version: version.to_owned(),
        created,
        position,
        head: head.clone(),
        cut: source.is_cut(),
    };
    writer.row(&header, Map::new())?;
    // Its time is the one thing that no other export of the same store has.
    writer.hasher = blake3::Hasher::new();
    writer.journal(source)?;
    writer.lines(source, known.as_deref())?;
    let end = Row::End {
        position,
        head,
        events: writer.seen.events,
        chunks: writer.seen.chunks,
        lines: writer.seen.lines,
        damaged: writer.seen.damaged.len() as u64,
        blake3: writer.hasher.finalize().to_hex().to_string(),
    };
    writer.row(&end, Map::new())?;
    writer.to.flush()?;
    Ok(writer.seen)
}

impl Writer<'_> {
    /// Writes a row with what else belongs to it.
    fn row(&mut self, row: &Row, more: Map<String, Value>) -> Result<(), ExportError> {
        let mut fields = match serde_json::to_value(row) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) | Err(_) => Map::new(),
        };
        for (name, value) in more {
            fields.entry(name).or_insert(value);
        }
        self.line.clear();
        serde_json::to_writer(&mut self.line, &fields).map_err(io::Error::from)?;
        self.line.push(b'\n');
        self.hasher.update(&self.line);
        self.to.write_all(&self.line)?;
        Ok(())
    }

    fn journal(&mut self, source: &Source) -> Result<(), ExportError> {
        let mut failed = None;
        let walked = source.journal.for_each(&mut |piece| match self.piece(piece) {
            Ok(()) => ControlFlow::Continue(()),
            Err(err) => {
                failed = Some(err);
                ControlFlow::Break(())
            }
        });
        if let Some(err) = failed {
            return Err(err);
        }
        walked.map_err(|err| ExportError::Unreadable { what: in_full(&err), hint: err.hint() })
    }

    fn piece(&mut self, piece: Piece<'_>) -> Result<(), ExportError> {
        match piece {
            Piece::Segment { first, created, pruned } => {
                self.row(&Row::Segment { first, created, pruned }, Map::new())
            }
            Piece::Pruned { position, hash } => {
                self.row(&Row::Pruned { position, hash: hex(&hash) }, Map::new())
            }
            Piece::Run { first, count, synced, before, after } => {
                let (before, after) = (hex(&before), hex(&after));
                self.row(&Row::PrunedRun { first, count, synced, before, after }, Map::new())
            }
            Piece::Frame { first, count, synced, chain } => {
                let chain = hex(&chain);
                self.row(&Row::Frame { first, count, synced, chain }, Map::new())
            }
            Piece::Event(event) => {
                let unreadable = |what: String| ExportError::Unreadable { what, hint: None };
                let envelope = event
                    .decode()
                    .map_err(|err| unreadable(format!("event {}: {err}", event.position)))?;
                let shown = show_event(&envelope).map_err(|err| unreadable(err.to_string()))?;
                let row = Row::Event {
                    position: event.position,
                    hash: hex(&envelope.hash),
                    stored: BASE64.encode(event.bytes),
                };
                self.seen.events += 1;
                self.tick(event.bytes.len() as u64);
                self.row(&row, fields_of(&shown))
            }
        }
    }

    fn lines(&mut self, source: &Source, known: Option<&[ExecutionId]>) -> Result<(), ExportError> {
        let mut failed = None;
        // Of a log that goes on, a segment may have no chunk that counts.
        let mut begins = None;
        let walked = source.lines.for_each(&mut |piece| {
            let written = match piece {
                LinePiece::Segment { number, sealed, pruned } if known.is_none() => {
                    self.row(&Row::LinesSegment { number, sealed, pruned }, Map::new())
                }
                LinePiece::Segment { number, pruned, .. } => {
                    begins = Some((number, pruned));
                    Ok(())
                }
                LinePiece::Damage(damage) => {
                    self.seen.damaged.push(format!("{}: {}", damage.place, damage.what));
                    self.row(&Row::Damage { place: damage.place, what: damage.what }, Map::new())
                }
                LinePiece::Chunk(chunk)
                    if known
                        .is_some_and(|known| known.binary_search(&chunk.execution()).is_err()) =>
                {
                    Ok(())
                }
                LinePiece::Chunk(chunk) => match begins.take() {
                    Some((number, pruned)) => self
                        .row(&Row::LinesSegment { number, sealed: true, pruned }, Map::new())
                        .and_then(|()| self.chunk(&chunk)),
                    None => self.chunk(&chunk),
                },
            };
            match written {
                Ok(()) => ControlFlow::Continue(()),
                Err(err) => {
                    failed = Some(err);
                    ControlFlow::Break(())
                }
            }
        });
        if let Some(err) = failed {
            return Err(err);
        }
        walked.map_err(|err| ExportError::Unreadable { what: in_full(&err), hint: None })
    }

    fn chunk(&mut self, chunk: &StoredChunk<'_>) -> Result<(), ExportError> {
        let execution = chunk.execution();
        let bytes = chunk.bytes();
        let row = Row::Chunk {
            execution,
            chunk: chunk.number(),
            hash: hex(&chunk.hash()),
            stored: BASE64.encode(&bytes),
        };
        let more = Map::from_iter([
            ("first_line".to_owned(), Value::from(chunk.first_line())),
            ("lines".to_owned(), Value::from(chunk.lines())),
        ]);
        self.seen.chunks += 1;
        self.tick(bytes.len() as u64);
        self.row(&row, more)?;
        let mut failed = None;
        let shown = chunk.for_each_line(&mut |line| {
            let line = line.to_line().map_err(|err| err.to_string())?;
            let mut fields = fields_of(&line);
            fields.insert("execution".to_owned(), Value::from(execution.to_string()));
            self.seen.lines += 1;
            if failed.is_none()
                && let Err(err) = self.row(&Row::Line {}, fields)
            {
                failed = Some(err);
            }
            Ok(())
        });
        if let Some(err) = failed {
            return Err(err);
        }
        shown.map_err(|what| ExportError::Unreadable {
            what: format!("the lines of execution {execution}: {what}"),
            hint: None,
        })
    }

    fn tick(&mut self, bytes: u64) {
        self.done += bytes;
        (self.progress)(Tick { what: "exporting", done: self.done, total: self.total });
    }
}

fn fields_of<T: serde::Serialize>(value: &T) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => Map::new(),
    }
}
