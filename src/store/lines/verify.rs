//! Checking every stored byte of the lines.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::PoisonError;

use crate::ids::ExecutionId;

use super::decode::Unpacker;
use super::error::LinesError;
use super::extent::LinesExtent;
use super::frame::{Entry, Head};
use super::recover::{is_unborn, segment_numbers};
use super::sealed::Sealed;
use super::segment::{
    ENTRY_LEN, HEADER_LEN, Kind, SEAL_MAGIC, Trailer, check_header, decode_entry, kind_of, path_of,
};
use super::store::{Damage, LineStore};
use super::survey::LinesSurvey;
use super::walk::{Extent, walk};

/// What a verification saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinesReport {
    /// Segments read.
    pub segments: u64,
    /// Whole chunks.
    pub chunks: u64,
    /// Lines in them.
    pub lines: u64,
    /// Logs whose beginning retention took while their end is still there, in a segment that holds others.
    pub pruned: u64,
    /// Bytes after the last whole chunk: a write that was cut short, which nobody had seen. The next start cuts them off.
    pub unfinished: u64,
    /// What is wrong, and where. Empty when all is well.
    pub damage: Vec<Damage>,
}

impl LineStore {
    /// Reads everything that is on disk: headers, checksums, hashes, every line, the numbering of each log, and the
    /// indices. Memory stays bounded by one segment. Writing goes on meanwhile.
    ///
    /// # Errors
    /// [`LinesError::Io`]. Damage is no error: it is in the report.
    pub fn verify(&self) -> Result<LinesReport, LinesError> {
        let mut report = LinesReport::default();
        let _alone = self.store.shared.upkeep.lock().unwrap_or_else(PoisonError::into_inner);
        // The newest first: a segment that is sealed meanwhile is then seen once as the newest, or as a sealed one.
        let index = &self.store.shared.index;
        let (number, path, len) = index.with_active(|a| (a.number, a.path.clone(), a.len));
        let sealed = index.sealed();
        let numbers = sealed.iter().map(|sealed| (sealed.number, sealed.path.as_path()));
        let is_whole = nothing_pruned(numbers.chain([(number, path.as_path())]))?;
        let mut before = |head: &Head, number: u64| {
            let last = index.last_chunk_before(head.execution, number)?;
            Ok(last.map(|last| (last.head.chunk + 1, last.head.last_line() + 1)))
        };
        for segment in sealed.iter().filter(|segment| segment.number < number) {
            let Sealed { number, path, trailer, .. } = &**segment;
            let extent = Extent::Known(trailer.seal_at);
            let part = Part { path, number: *number, is_whole, extent };
            part.check(Some(trailer), &mut before, &mut report)?;
        }
        let newest = Part { path: &path, number, is_whole, extent: Extent::Known(len) };
        newest.check(None, &mut before, &mut report)?;
        Ok(report)
    }

    /// The same for a folder that nobody writes to. Changes nothing, not even what a crash left: bytes after the last
    /// whole chunk are counted.
    ///
    /// # Errors
    /// [`LinesError::Io`]. Damage is no error: it is in the report.
    pub fn verify_folder(dir: &Path) -> Result<LinesReport, LinesError> {
        Self::verify_surveyed(dir, &LinesSurvey::of(&LinesExtent::of_folder(dir)?)?)
    }

    /// The same, with what was found there by execution.
    ///
    /// # Errors
    /// [`LinesError::Io`]. Damage is no error: it is in the report.
    pub fn verify_surveyed(dir: &Path, survey: &LinesSurvey) -> Result<LinesReport, LinesError> {
        let mut report = LinesReport::default();
        let numbers = segment_numbers(dir)?;
        let Some(&newest) = numbers.last() else { return Ok(report) };
        let is_whole = !survey.lacks_some();
        for number in numbers {
            let path = path_of(dir, number);
            let file = File::open(&path).map_err(LinesError::io("open", &path))?;
            let len = file.metadata().map_err(LinesError::io("read", &path))?.len();
            if number == newest && is_unborn(&path, len)? {
                report.unfinished += len;
                continue;
            }
            let trailer = Trailer::read(&file, &path, len)?;
            let extent = match &trailer {
                Some(trailer) => Extent::Known(trailer.seal_at),
                None => Extent::UpTo(len),
            };
            let part = Part { path: &path, number, is_whole, extent };
            let mut before = |head: &Head, number| survey.end_before(head.execution, number);
            let unfinished = report.unfinished;
            part.check(trailer.as_ref(), &mut before, &mut report)?;
            let end = len - (report.unfinished - unfinished);
            if trailer.is_none() && (number != newest || begins_seal(&file, &path, end)?) {
                report.unfinished = unfinished;
                let what = "the seal of the segment is not readable; the next start writes it anew";
                report.damage.push(named(&path, end, what.to_owned()));
            }
        }
        Ok(report)
    }
}

/// The chunk and line that a log goes on with in segment `number`, as the segments before it say.
type Before<'a> = &'a mut dyn FnMut(&Head, u64) -> Result<Option<(u32, u64)>, LinesError>;

/// The header and the chunks of a segment.
struct Part<'a> {
    path: &'a Path,
    number: u64,
    /// Retention took nothing out of the store so far.
    is_whole: bool,
    extent: Extent,
}

impl Part<'_> {
    /// Checks header, chunks and seal.
    fn check(
        &self,
        trailer: Option<&Trailer>,
        before: Before<'_>,
        report: &mut LinesReport,
    ) -> Result<(), LinesError> {
        let Part { path, number, is_whole, extent } = *self;
        let file = File::open(path).map_err(LinesError::io("open", path))?;
        if let Err(err) = check_header(&file, path, number) {
            report.damage.push(named(path, 0, err.to_string()));
        }
        let mut check = ChunkCheck {
            unpacker: Unpacker::new().map_err(LinesError::io("prepare to read", path))?,
            logs: HashMap::new(),
            beginnings: Vec::new(),
            chunks: 0,
            lines: 0,
            found: Vec::new(),
        };
        let walked = walk(path, extent, &mut |entry, payload| check.chunk(&entry, payload))?;
        for head in &check.beginnings {
            let expected = match before(head, number)? {
                // Nor does it go on where a segment between was worth it, and the one before was not.
                Some((chunk, line))
                    if !is_whole && (head.chunk, head.first_line) > (chunk, line) =>
                {
                    report.pruned += 1;
                    continue;
                }
                Some(expected) => expected,
                // Retention takes chunks where that is worth it: then a log may begin in the middle.
                None if !is_whole && head.chunk > 0 => {
                    report.pruned += 1;
                    continue;
                }
                None => (0, 1),
            };
            check.found.extend(numbering(head, expected).map(|what| (0, what)));
        }
        let readable = check.chunks + walked.described.len() as u64;
        report.segments += 1;
        report.chunks += check.chunks;
        report.lines += check.lines;
        if let Extent::UpTo(len) = extent {
            report.unfinished += len.saturating_sub(walked.end);
        }
        let found = walked.damage.into_iter().chain(check.found);
        report.damage.extend(found.map(|(at, what)| named(path, at, what)));
        if let Some(trailer) = trailer {
            for (offset, what) in seal_damage(path, number, trailer, readable)? {
                report.damage.push(named(path, offset, what));
            }
        }
        Ok(())
    }
}

/// Whether what stands at `end` is the beginning of a seal.
fn begins_seal(file: &File, path: &Path, end: u64) -> Result<bool, LinesError> {
    let mut bytes = SEAL_MAGIC;
    bytes.fill(0);
    match file.read_exact_at(&mut bytes, end) {
        Ok(()) => Ok(bytes == SEAL_MAGIC),
        Err(err) if err.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(err) => Err(LinesError::io("read", path)(err)),
    }
}

/// Whether no segment is missing, and none was written again without some of it.
fn nothing_pruned<'a>(segments: impl Iterator<Item = (u64, &'a Path)>) -> Result<bool, LinesError> {
    for ((number, path), expected) in segments.zip(1..) {
        let file = File::open(path).map_err(LinesError::io("open", path))?;
        let length = file.metadata().map_err(LinesError::io("read", path))?.len();
        if number != expected || (length >= HEADER_LEN && kind_of(&file, path)? == Kind::Pruned) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn named(path: &Path, at: u64, what: String) -> Damage {
    Damage { place: format!("`{}` at byte {at}", path.display()), what }
}

fn numbering(head: &Head, expected: (u32, u64)) -> Option<String> {
    if (head.chunk, head.first_line) == expected {
        return None;
    }
    Some(format!(
        "chunk {} of execution {} begins at line {}; chunk {} with line {} was expected",
        head.chunk, head.execution, head.first_line, expected.0, expected.1
    ))
}

struct ChunkCheck {
    unpacker: Unpacker,
    /// The chunk and line that has to come next in each log of this segment.
    logs: HashMap<ExecutionId, (u32, u64)>,
    /// The first chunk of each log in this segment.
    beginnings: Vec<Head>,
    chunks: u64,
    lines: u64,
    found: Vec<(u64, String)>,
}

impl ChunkCheck {
    fn chunk(&mut self, entry: &Entry, payload: &[u8]) {
        let head = &entry.head;
        self.chunks += 1;
        self.lines += u64::from(head.lines);
        if head.hash != head.hash_with(payload) {
            let what = format!(
                "chunk {} of execution {} does not have the hash that it carries",
                head.chunk, head.execution
            );
            self.found.push((entry.offset, what));
        }
        match self.logs.get(&head.execution) {
            Some(expected) => {
                let wrong = numbering(head, *expected);
                self.found.extend(wrong.map(|what| (entry.offset, what)));
            }
            None => self.beginnings.push(head.clone()),
        }
        self.logs.insert(
            head.execution,
            (head.chunk.saturating_add(1), head.last_line().saturating_add(1)),
        );
        if let Err(what) = self.every_line(head, payload) {
            self.found.push((entry.offset, what));
        }
    }

    fn every_line(&mut self, head: &Head, payload: &[u8]) -> Result<(), String> {
        let mut lines = self.unpacker.lines(head, payload)?;
        while let Some(line) = lines.next_line()? {
            line.to_line()
                .map_err(|err| format!("the fields of line {} are not JSON: {err}", line.line))?;
        }
        Ok(())
    }
}

/// What is wrong with the seal: index, bloom filter, trailer.
fn seal_damage(
    path: &Path,
    number: u64,
    trailer: &Trailer,
    chunks: u64,
) -> Result<Vec<(u64, String)>, LinesError> {
    let file = File::open(path).map_err(LinesError::io("open", path))?;
    let mut found = Vec::new();
    let len = file.metadata().map_err(LinesError::io("read", path))?.len();
    if Trailer::read(&file, path, len)?.as_ref() != Some(trailer) {
        found.push((len, format!("the trailer of segment {number} is not readable")));
    }
    let from = trailer.seal_at;
    let bloom_at = usize::try_from(trailer.bloom_at() - from).unwrap_or(usize::MAX);
    let mut bytes = vec![0; bloom_at + trailer.bloom_len as usize];
    if let Err(err) = file.read_exact_at(&mut bytes, from) {
        found.push((from, format!("the index cannot be read: {err}")));
        return Ok(found);
    }
    let (index, bloom) = bytes.split_at(bloom_at);
    let entries = &index[SEAL_MAGIC.len()..];
    let whole = entries.chunks(ENTRY_LEN).filter(|entry| decode_entry(entry).is_some()).count();
    if index[..SEAL_MAGIC.len()] != SEAL_MAGIC || crc32c::crc32c(entries) != trailer.index_crc {
        found.push((
            from,
            format!("the index is damaged: {whole} of {} entries are whole", trailer.entries),
        ));
    } else if whole as u64 != chunks {
        found.push((from, format!("the index names {whole} chunks, and {chunks} were found")));
    }
    if crc32c::crc32c(bloom) != trailer.bloom_crc {
        found.push((trailer.bloom_at(), "the bloom filter is damaged".to_owned()));
    }
    Ok(found)
}
