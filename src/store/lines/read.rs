//! Reading lines: by descriptions first, and only then by unpacking.

use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;

use memchr::memmem::Finder;

use crate::domain::line::Line;
use crate::ids::ExecutionId;

use super::decode::Unpacker;
use super::error::LinesError;
use super::frame::{Entry, HEAD_LEN};
use super::index::Index;
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
        let mut scan = Scan {
            query,
            finder: query.contains.as_deref().map(Finder::new),
            unpacker: Unpacker::new().map_err(|err| LinesError::Io {
                action: "prepare to read",
                path: format!("{execution}").into(),
                err,
            })?,
            file: None,
            payload: Vec::new(),
            found: 0,
            unpacked: 0,
            next: query.after.saturating_add(1),
        };
        let index = &self.store.shared.index;
        each_chunk(index, execution, scan.next, &mut |path, chunk| scan.chunk(path, chunk, visit))?;
        Ok(scan.unpacked)
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
    visit: &mut dyn FnMut(&Path, &Entry) -> Result<bool, LinesError>,
) -> Result<(), LinesError> {
    while let Some(stretch) = index.stretch(execution, line, BATCH)? {
        for chunk in &stretch.chunks {
            if !visit(&stretch.path, chunk)? {
                return Ok(());
            }
            line = line.max(chunk.head.last_line().saturating_add(1));
        }
    }
    Ok(())
}

struct Scan<'q> {
    query: &'q LineQuery,
    finder: Option<Finder<'q>>,
    unpacker: Unpacker,
    file: Option<(std::path::PathBuf, File)>,
    payload: Vec<u8>,
    found: usize,
    unpacked: usize,
    /// The line that has to come next.
    next: u64,
}

impl Scan<'_> {
    /// Shows the matching lines of `chunk`; false when no more are wanted.
    fn chunk(
        &mut self,
        path: &Path,
        chunk: &Entry,
        visit: &mut dyn FnMut(LineRef<'_>) -> ControlFlow<()>,
    ) -> Result<bool, LinesError> {
        let head = &chunk.head;
        if head.first_line > self.next {
            return Err(LinesError::Damaged {
                place: format!("execution {}", head.execution),
                what: format!(
                    "lines {} to {} are missing; read on after line {}",
                    self.next,
                    head.first_line - 1,
                    head.first_line - 1
                ),
            });
        }
        self.next = head.last_line().saturating_add(1);
        if !self.query.may_match(head) {
            return Ok(true);
        }
        self.fetch(path, chunk)?;
        self.unpacked += 1;
        let damaged = |what| LinesError::damaged(path, chunk.offset, what);
        head.check_payload(&self.payload).map_err(damaged)?;
        let mut lines = self.unpacker.lines(head, &self.payload).map_err(damaged)?;
        let sought = |text: &str| {
            self.finder.as_ref().is_none_or(|finder| finder.find(text.as_bytes()).is_some())
        };
        if !sought(lines.rest()) {
            return Ok(true);
        }
        while let Some(line) = lines.next_line().map_err(damaged)? {
            if !self.query.matches_labels(&line)
                || !sought(line.text)
                || !self.query.regex.as_ref().is_none_or(|regex| regex.is_match(line.text))
            {
                continue;
            }
            self.found += 1;
            if visit(line).is_break() || self.found >= self.query.limit {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn fetch(&mut self, path: &Path, chunk: &Entry) -> Result<(), LinesError> {
        if self.file.as_ref().is_none_or(|(open, _)| open != path) {
            let file = File::open(path).map_err(LinesError::io("open", path))?;
            self.file = Some((path.to_owned(), file));
        }
        self.payload.resize(chunk.head.payload_len as usize, 0);
        if let Some((_, file)) = &self.file {
            file.read_exact_at(&mut self.payload, chunk.offset + HEAD_LEN as u64)
                .map_err(LinesError::io("read", path))?;
        }
        Ok(())
    }
}
