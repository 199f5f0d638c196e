//! Follows an attempt that a runner has: reads its output into the log until its end.
//!
//! The next daemon must be able to go on wherever this one is killed. It reads the output once more from its beginning, or from
//! the last *mark*, and writes only what the log does not hold yet: the same bytes give the same lines. A mark is where the
//! scribe stood, at the beginning of a file of the spool as a rule; the files before it go when the log holds all that came from
//! them. While the disk has little room, lines are dropped by another measure than the bytes: then there is a mark for each tick.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::attempt::{AttemptContext, Ran};
use super::command;
use super::generation::{AttemptNews, Generation};
use super::runner::{
    self, AttemptKey, Ended, How, Kind, Order, PIECE_BYTES, Place, SpoolReader, Why,
};
use super::runners::{Left, LeftEnd, end_on_record};
use super::scribe::{Scribe, ScribeState};
use crate::domain::class::{Level, Source};
use crate::domain::event::ErrorCounts;
use crate::domain::verdict::End;
use crate::store::lines::{FollowState, LineStore};

/// A line is handed on after so long even when its chunk is not full (contract, rule 11).
pub(super) const TICK: Duration = Duration::from_millis(250);

/// An attempt whose output is read.
pub(super) struct Followed {
    generation: Arc<Generation>,
    of: AttemptKey,
    news: Option<mpsc::UnboundedReceiver<AttemptNews>>,
    reader: SpoolReader,
    /// The output reaches up to here.
    until: Place,
    end: Known,
    marks: Marks,
}

/// What is known of its end.
enum Known {
    Not,
    Ended(Ended),
    /// Its runner is gone, and has not seen it end.
    Never,
}

/// Where the next daemon could begin.
struct Marks {
    path: PathBuf,
    log: watch::Receiver<FollowState>,
    /// Not all of the log before them is on disk yet.
    pending: VecDeque<Mark>,
    /// The newest one on disk.
    keep_from: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Mark {
    place: Place,
    scribe: ScribeState,
}

/// How the following ended.
pub(super) enum Followup {
    /// The attempt ended.
    Ended(Ran),
    /// The runner is gone and did not see the end.
    Lost,
    /// The daemon ends; the runner goes on.
    LeftToItsRunner,
}

/// What is to be forgotten once the attempt's end is on record.
pub(super) struct Remains {
    generation: Arc<Generation>,
    of: AttemptKey,
    /// The first file of the spool that is left.
    from: u32,
}

impl Remains {
    pub(super) fn forget(&self) {
        let folder = self.generation.folder();
        // One that runs removes them itself; those before this one went as they were read.
        if self.generation.is_gone() {
            let mut pieces = self.from..;
            while pieces.next().is_some_and(|piece| runner::remove(folder.path(), self.of, piece)) {
            }
        }
        fs::remove_file(mark_of(&self.generation, self.of)).unwrap_or_default();
        self.generation.forget(self.of);
    }
}

fn mark_of(generation: &Generation, of: AttemptKey) -> PathBuf {
    generation.folder().path().join(format!("{}-{}.mark", of.execution, of.attempt))
}

impl Followed {
    /// Follows an attempt from its beginning.
    pub(super) fn new(
        generation: Arc<Generation>,
        of: AttemptKey,
        news: mpsc::UnboundedReceiver<AttemptNews>,
        lines: &LineStore,
    ) -> Self {
        let mut followed = Self::at(generation, of, Place::default(), lines);
        followed.news = Some(news);
        followed
    }

    fn at(generation: Arc<Generation>, of: AttemptKey, place: Place, lines: &LineStore) -> Self {
        let reader = SpoolReader::new(generation.folder().path(), of, place);
        let marks = Marks {
            path: mark_of(&generation, of),
            log: lines.follow(of.execution),
            pending: VecDeque::new(),
            keep_from: place.piece,
        };
        Self { generation, of, news: None, reader, until: place, end: Known::Not, marks }
    }

    /// Goes on with an attempt of a former daemon: `scribe` stands then where the output is read from. `errors_before` counts
    /// the error lines of the log up to a line.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(super) async fn take_over<E>(
        left: Left,
        scribe: &mut Scribe,
        lines: &LineStore,
        errors_before: impl FnOnce(u64) -> Result<ErrorCounts, E>,
    ) -> Result<Self, E> {
        let Left { generation, of, before, secrets, end } = left;
        scribe.learn(&secrets);
        let place = match mark(&generation, of) {
            Some(mark) => {
                scribe.stand_at(mark.scribe);
                mark.place
            }
            None => {
                scribe.begin_again(before, errors_before(before.lines)?);
                Place::default()
            }
        };
        let (news, end) = match end {
            LeftEnd::Followed(news) => (Some(news), Known::Not),
            LeftEnd::Known(ended) => (None, Known::Ended(ended)),
            LeftEnd::WhenGone => {
                let ended = end_on_record(generation.folder().clone(), of).await;
                (None, ended.map_or(Known::Never, Known::Ended))
            }
            LeftEnd::Never => (None, Known::Never),
        };
        let mut followed = Self::at(generation, of, place, lines);
        (followed.news, followed.end) = (news, end);
        followed.until = match &followed.end {
            Known::Ended(ended) => ended.spooled,
            Known::Never => Place::END,
            Known::Not => place,
        };
        followed.ask_for_more();
        Ok(followed)
    }

    /// What is to be forgotten at last.
    pub(super) fn remains(&self) -> Remains {
        let generation = Arc::clone(&self.generation);
        Remains { generation, of: self.of, from: self.marks.keep_from }
    }

    /// Reads until the end.
    pub(super) async fn read(&mut self, context: &AttemptContext, scribe: &mut Scribe) -> Followup {
        let mut tick = interval_at(Instant::now() + TICK, TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut cancelling, mut full) = (false, false);
        let mut more = self.reader.place() < self.until;
        loop {
            let over = !more && !full;
            match &self.end {
                Known::Ended(ended) if over => {
                    return Followup::Ended(told(context, ended, scribe));
                }
                Known::Never if over => return Followup::Lost,
                Known::Not | Known::Ended(_) | Known::Never => (),
            }
            let running = matches!(self.end, Known::Not);
            tokio::select! {
                biased;
                () = context.cancel.cancelled(), if running && !cancelling => {
                    cancelling = true;
                    self.generation.send(&Order::End { of: self.of, why: Why::Cancel });
                }
                news = next(self.news.as_mut()), if running => {
                    self.hear(news).await;
                    more = self.reader.place() < self.until;
                }
                // What has ended is told first.
                () = context.settings.interrupt.cancelled(), if running => {
                    return Followup::LeftToItsRunner;
                }
                _ = tick.tick() => {
                    if scribe.was_curtailed() {
                        // What came before would give other lines now.
                        let place = self.reader.place();
                        self.marks.pending.push_back(Mark { place, scribe: scribe.state() });
                    }
                    scribe.cut();
                    self.settle();
                }
                () = scribe.ready(), if full => full = false,
                () = self.marks.settled() => self.settle(),
                // Others get their turn between two blocks.
                () = tokio::task::yield_now(), if more && !full => {
                    more = self.take(scribe);
                    full = more;
                }
            }
        }
    }

    async fn hear(&mut self, news: Option<AttemptNews>) {
        match news {
            Some(AttemptNews::Grew(to)) => self.until = self.until.max(to),
            Some(AttemptNews::Ended(ended)) => {
                self.until = ended.spooled;
                self.end = Known::Ended(ended);
            }
            None => {
                // It may have seen the end, and told nobody.
                let ended = end_on_record(self.generation.folder().clone(), self.of).await;
                self.until = ended.as_ref().map_or(Place::END, |ended| ended.spooled);
                self.end = ended.map_or(Known::Never, Known::Ended);
            }
        }
    }

    /// Takes one record. False when nothing more is there.
    fn take(&mut self, scribe: &mut Scribe) -> bool {
        let found = match self.reader.next(self.until) {
            Ok(Some(record)) => {
                match record.kind {
                    Kind::Stdout => scribe.take_clean(Source::Stdout, record.at, record.bytes),
                    Kind::Stderr => scribe.take_clean(Source::Stderr, record.at, record.bytes),
                    Kind::Warning => {
                        let text = String::from_utf8_lossy(record.bytes);
                        scribe.note(Level::Warning, None, None, &text, None);
                    }
                    Kind::Gap => {
                        scribe.take_gap(record.at, &String::from_utf8_lossy(record.bytes));
                    }
                }
                true
            }
            Ok(None) => false,
            Err(err) => {
                self.unreadable(scribe, &err);
                false
            }
        };
        let place = self.reader.place();
        if found && place.at >= PIECE_BYTES {
            // The next record begins the next file.
            let place = Place { piece: place.piece + 1, at: 0 };
            self.marks.pending.push_back(Mark { place, scribe: scribe.state() });
            scribe.cut();
        }
        if !found {
            self.ask_for_more();
        }
        found
    }

    fn unreadable(&mut self, scribe: &mut Scribe, err: &io::Error) {
        let text = format!("the rest of the output cannot be read: {err}");
        scribe.note(Level::Warning, None, None, &text, None);
        // So it is not tried again with each news.
        self.reader = SpoolReader::new(self.generation.folder().path(), self.of, Place::END);
    }

    /// Everything that was told of is read.
    fn ask_for_more(&self) {
        if self.news.is_some() && matches!(self.end, Known::Not) {
            let read = self.until;
            // What cannot be read holds nobody up.
            let unreadable = self.reader.place() == Place::END;
            let keep_from = if unreadable { read.piece } else { self.marks.keep_from };
            self.generation.send(&Order::Took { of: self.of, read, keep_from });
        }
    }

    /// Lets go of the output that the log holds for good.
    fn settle(&mut self) {
        let before = self.marks.keep_from;
        self.marks.write();
        if self.marks.keep_from > before {
            for piece in before..self.marks.keep_from {
                runner::remove(self.generation.folder().path(), self.of, piece);
            }
            if self.news.is_some() && matches!(self.end, Known::Not) {
                // What was told of beyond that is told again.
                let (read, keep_from) = (self.reader.place(), self.marks.keep_from);
                self.generation.send(&Order::Took { of: self.of, read, keep_from });
            }
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        // Whoever follows it has failed: the execution is closed as such, and nobody goes on with the command.
        if std::thread::panicking() && matches!(self.end, Known::Not) {
            self.generation.abandon(self.of);
        }
    }
}

impl Marks {
    /// Resolves when the log before the oldest one is on disk.
    async fn settled(&mut self) {
        let Some(mark) = self.pending.front() else { return std::future::pending().await };
        let lines = mark.scribe.lines;
        if self.log.wait_for(|log| log.last_line >= lines).await.is_err() {
            std::future::pending().await
        }
    }

    /// Writes the newest one whose log is on disk.
    fn write(&mut self) {
        let on_disk = self.log.borrow().last_line;
        let mut newest = None;
        while self.pending.front().is_some_and(|mark| mark.scribe.lines <= on_disk) {
            newest = self.pending.pop_front();
        }
        let Some(mark) = newest else { return };
        match self.put(&mark) {
            Ok(()) => self.keep_from = mark.place.piece,
            // The output stays, and the next mark is tried.
            Err(err) => {
                tracing::warn!(path = %self.path.display(), %err, "a mark cannot be written");
            }
        }
    }

    fn put(&self, mark: &Mark) -> io::Result<()> {
        let text = serde_json::to_vec(mark).map_err(io::Error::other)?;
        let new = self.path.with_extension("mark-new");
        fs::write(&new, text)?;
        fs::rename(new, &self.path)
    }
}

fn mark(generation: &Generation, of: AttemptKey) -> Option<Mark> {
    serde_json::from_slice(&fs::read(mark_of(generation, of)).ok()?).ok()
}

async fn next(news: Option<&mut mpsc::UnboundedReceiver<AttemptNews>>) -> Option<AttemptNews> {
    match news {
        Some(news) => news.recv().await,
        None => std::future::pending().await,
    }
}

/// How the attempt ended, in the words of verdicts.
fn told(context: &AttemptContext, ended: &Ended, scribe: &mut Scribe) -> Ran {
    if ended.lost_bytes > 0 {
        let text = format!("{} bytes of output were not kept", ended.lost_bytes);
        scribe.note(Level::Warning, None, None, &text, None);
    }
    let took = Some(Duration::from_millis(ended.took_ms));
    let (status, usage, why, out_of_memory) = match &ended.how {
        How::NotStarted { program, errno } => {
            let err =
                errno.map_or_else(|| ErrorKind::InvalidInput.into(), io::Error::from_raw_os_error);
            return Ran { took, ..Ran::ended(command::not_started(program, &err)) };
        }
        How::Lost => return Ran { took, ..Ran::ended(End::Crashed) },
        How::Ended { status, usage, why, out_of_memory } => {
            (ExitStatus::from_raw(*status), *usage, *why, *out_of_memory)
        }
    };
    let end = match why {
        Some(Why::Timeout) => End::TimedOut { limit: context.timeout().unwrap_or_default() },
        Some(Why::Cancel | Why::LetGo) => End::Cancelled,
        None if out_of_memory => End::OutOfMemory,
        None => match status.signal() {
            Some(signal) => End::Signalled { signal },
            None => End::Exited { status: status.code().unwrap_or_default() },
        },
    };
    Ran {
        end,
        exit_code: status.code(),
        signal: status.signal(),
        usage: Some(usage),
        retry_after: None,
        repeatable: true,
        took,
    }
}
