//! Reading lines: by descriptions first, and only then by unpacking.

use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::domain::line::Line;
use crate::ids::ExecutionId;

use super::decode::Unpacker;
use super::error::LinesError;
use super::frame::{Entry, HEAD_LEN, Head};
use super::index::{Index, Stretch};
use super::query::{LineQuery, LineRef};
use super::store::LineStore;

/// Descriptions fetched at once.
const BATCH: usize = 256;

impl LineStore {
    /// The lines of `execution` that `query` asks for, in order. Only what is on disk is ever returned.
    ///
    /// # Errors
    /// [`LinesError::Io`]; [`LinesError::Damaged`] when a chunk that may hold such a line is damaged or missing.
    pub fn read(&self, execution: ExecutionId, query: &LineQuery) -> Result<Vec<Line>, LinesError> {
        let mut lines = Vec::new();
        let mut broken = None;
        self.for_each(execution, query, &mut |line| match line.to_line() {
            Ok(line) => {
                lines.push(line);
                ControlFlow::Continue(())
            }
            Err(err) => {
                broken = Some(LinesError::Damaged {
                    place: format!("line {} of execution {execution}", line.line),
                    what: format!("its fields are not JSON: {err}"),
                });
                ControlFlow::Break(())
            }
        })?;
        broken.map_or(Ok(lines), Err)
    }

    /// The same lines up to the first that are damaged or missing, and those: whoever goes on behind them gets the rest.
    ///
    /// # Errors
    /// [`LinesError::Io`].
    pub fn read_to_gap(
        &self,
        execution: ExecutionId,
        query: &LineQuery,
    ) -> Result<(Vec<Line>, Option<Gap>), LinesError> {
        let (mut lines, mut unreadable) = (Vec::new(), None);
        let gap = self.for_each_to_gap(execution, query, &mut |line| match line.to_line() {
            Ok(whole) => {
                lines.push(whole);
                ControlFlow::Continue(())
            }
            Err(err) => {
                unreadable = Some(Gap::damaged(line.line, line.line, err.to_string()));
                ControlFlow::Break(())
            }
        })?;
        Ok((lines, gap.or(unreadable)))
    }

    /// Shows lines to `visit` up to the first that are damaged or missing, and gives those.
    ///
    /// # Errors
    /// [`LinesError::Io`].
    pub(super) fn for_each_to_gap(
        &self,
        execution: ExecutionId,
        query: &LineQuery,
        visit: &mut dyn FnMut(LineRef<'_>) -> ControlFlow<()>,
    ) -> Result<Option<Gap>, LinesError> {
        if query.limit == 0 {
            return Ok(None);
        }
        let mut scan = Scan::new(execution, query)?;
        match (self.run(execution, &mut scan, visit), scan.gap.take()) {
            (Ok(()), gap) | (Err(_), gap @ Some(_)) => Ok(gap),
            (Err(err), None) => Err(err),
        }
    }

    /// Shows the same lines as [`Self::read`] to `visit`, without copying them, until it breaks off.
    ///
    /// # Errors
    /// As [`Self::read`]; lines before the damaged place have been shown.
    pub fn for_each(
        &self,
        execution: ExecutionId,
        query: &LineQuery,
        visit: &mut dyn FnMut(LineRef<'_>) -> ControlFlow<()>,
    ) -> Result<(), LinesError> {
        self.scan(execution, query, visit).map(|_| ())
    }

    /// As [`Self::for_each`]; gives the number of chunks that were unpacked.
    ///
    /// # Errors
    /// As [`Self::for_each`].
    pub(super) fn scan(
        &self,
        execution: ExecutionId,
        query: &LineQuery,
        visit: &mut dyn FnMut(LineRef<'_>) -> ControlFlow<()>,
    ) -> Result<usize, LinesError> {
        if query.limit == 0 {
            return Ok(0);
        }
        let mut scan = Scan::new(execution, query)?;
        self.run(execution, &mut scan, visit)?;
        Ok(scan.unpacked)
    }

    fn run(
        &self,
        execution: ExecutionId,
        scan: &mut Scan<'_>,
        visit: &mut dyn FnMut(LineRef<'_>) -> ControlFlow<()>,
    ) -> Result<(), LinesError> {
        let index = &self.store.shared.index;
        each_chunk(index, execution, scan.next, &mut |stretch, chunk| {
            scan.chunk(stretch, chunk, visit)
        })
    }
}

/// Lines that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// They are there, but not as they were written.
    pub damaged: bool,
    /// What is wrong, and where.
    pub why: String,
}

impl Gap {
    fn damaged(first: u64, last: u64, why: String) -> Self {
        Self { first, last, damaged: true, why }
    }
}

/// Shows the chunks of `execution` to `visit`, in order from the one that holds `line`, until it answers false.
///
/// # Errors
/// [`LinesError::Io`], and those of `visit`.
pub(super) fn each_chunk(
    index: &Index,
    execution: ExecutionId,
    mut line: u64,
    visit: &mut dyn FnMut(&Stretch, &Entry) -> Result<bool, LinesError>,
) -> Result<(), LinesError> {
    while let Some(stretch) = index.stretch(execution, line, BATCH)? {
        for chunk in &stretch.chunks {
            if !visit(&stretch, chunk)? {
                return Ok(());
            }
            line = line.max(chunk.head.last_line().saturating_add(1));
        }
    }
    Ok(())
}

struct Scan<'q> {
    query: &'q LineQuery,
    unpacker: Unpacker,
    file: Option<(std::path::PathBuf, File)>,
    payload: Vec<u8>,
    found: usize,
    text_bytes: usize,
    unpacked: usize,
    /// The line that has to come next.
    next: u64,
    /// What it ended at.
    gap: Option<Gap>,
}

impl<'q> Scan<'q> {
    fn new(execution: ExecutionId, query: &'q LineQuery) -> Result<Self, LinesError> {
        let unpacker = Unpacker::new().map_err(|err| LinesError::Io {
            action: "prepare to read",
            path: format!("{execution}").into(),
            err,
        })?;
        Ok(Self {
            query,
            unpacker,
            file: None,
            payload: Vec::new(),
            found: 0,
            text_bytes: 0,
            unpacked: 0,
            next: query.after.saturating_add(1),
            gap: None,
        })
    }

    /// Shows the matching lines of `chunk`; false when no more are wanted.
    fn chunk(
        &mut self,
        stretch: &Stretch,
        chunk: &Entry,
        visit: &mut dyn FnMut(LineRef<'_>) -> ControlFlow<()>,
    ) -> Result<bool, LinesError> {
        let head = &chunk.head;
        let before = self.query.before;
        if self.next >= before {
            return Ok(false);
        }
        if head.first_line > self.next {
            let (first, last) = (self.next, head.first_line.min(before) - 1);
            let why = format!("lines {first} to {last} are missing; read on after line {last}");
            self.gap = Some(Gap { first, last, damaged: false, why: why.clone() });
            let place = format!("execution {}", head.execution);
            return Err(LinesError::Damaged { place, what: why });
        }
        let next = head.last_line().saturating_add(1);
        if !self.query.may_match(head) {
            self.next = next;
            return Ok(true);
        }
        self.fetch(stretch, chunk)?;
        self.unpacked += 1;
        match self.show(head, visit) {
            Ok(more) => {
                self.next = next;
                Ok(more)
            }
            Err(what) => {
                let err = LinesError::damaged(&stretch.path, chunk.offset, what);
                let first = self.next.max(head.first_line);
                let last = head.last_line().min(before - 1);
                self.gap = Some(Gap::damaged(first, last, err.to_string()));
                Err(err)
            }
        }
    }

    /// Shows the matching lines of the chunk that was fetched; false when no more are wanted.
    fn show(
        &mut self,
        head: &Head,
        visit: &mut dyn FnMut(LineRef<'_>) -> ControlFlow<()>,
    ) -> Result<bool, String> {
        head.check_payload(&self.payload)?;
        let mut lines = self.unpacker.lines(head, &self.payload)?;
        let sought = |text: &str| self.query.text.as_ref().is_none_or(|sought| sought.is_in(text));
        if !sought(lines.rest()) {
            return Ok(true);
        }
        while let Some(line) = lines.next_line()? {
            if line.line >= self.query.before {
                return Ok(false);
            }
            self.next = self.next.max(line.line.saturating_add(1));
            if !self.query.matches_labels(&line)
                || !sought(line.text)
                || !self.query.regex.as_ref().is_none_or(|regex| regex.is_match(line.text))
            {
                continue;
            }
            self.found += 1;
            self.text_bytes = self.text_bytes.saturating_add(line.text.len());
            let full = self.found >= self.query.limit || self.text_bytes >= self.query.text_bytes;
            if visit(line).is_break() || full {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn fetch(&mut self, stretch: &Stretch, chunk: &Entry) -> Result<(), LinesError> {
        let path = &stretch.path;
        if let Some(file) = &stretch.file {
            return self.fetch_from(file, path, chunk);
        }
        let opened = match self.file.take().filter(|(open, _)| open == path) {
            Some(opened) => opened,
            None => (path.clone(), File::open(path).map_err(LinesError::io("open", path))?),
        };
        self.fetch_from(&opened.1, path, chunk)?;
        self.file = Some(opened);
        Ok(())
    }

    fn fetch_from(&mut self, file: &File, path: &Path, chunk: &Entry) -> Result<(), LinesError> {
        self.payload.resize(chunk.head.payload_len as usize, 0);
        file.read_exact_at(&mut self.payload, chunk.offset + HEAD_LEN as u64)
            .map_err(LinesError::io("read", path))
    }
}
