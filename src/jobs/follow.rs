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
use crate::engine::ports::BoxFuture;
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
    end: KnownEnd,
    marks: Marks,
}

/// What is known of its end.
enum KnownEnd {
    NotYet,
    /// Nobody can ask its runner: what that has put on record is read when it is gone.
    WhenGone(BoxFuture<Option<Ended>>),
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
    /// There may be one on disk.
    written: bool,
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
    /// There may be a mark.
    marked: bool,
}

impl Remains {
    /// What is left of an attempt that nobody goes on with.
    pub(super) fn of(left: &Left) -> Self {
        let (generation, of) = (Arc::clone(&left.generation), left.of);
        let from = read_mark(&generation, of).map_or(0, |mark| mark.place.piece);
        Self { generation, of, from, marked: true }
    }

    pub(super) fn forget(&self) {
        let folder = self.generation.folder();
        // One that runs removes them itself; those before this one went as they were read.
        if self.generation.is_gone() {
            let mut pieces = self.from..;
            while pieces.next().is_some_and(|piece| runner::remove(folder.path(), self.of, piece)) {
            }
        }
        if self.marked {
            fs::remove_file(mark_path(&self.generation, self.of)).unwrap_or_default();
        }
        self.generation.forget(self.of);
    }
}

fn mark_path(generation: &Generation, of: AttemptKey) -> PathBuf {
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
            path: mark_path(&generation, of),
            log: lines.follow(of.execution),
            pending: VecDeque::new(),
            keep_from: place.piece,
            written: false,
        };
        Self { generation, of, news: None, reader, until: place, end: KnownEnd::NotYet, marks }
    }

    /// Has `scribe` stand where the output of an attempt of a former daemon is read on from, and says where that is.
    /// `errors_before` counts the error lines of the log up to a line.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(super) fn stand<E>(
        scribe: &mut Scribe,
        left: &Left,
        errors_before: impl FnOnce(u64) -> Result<ErrorCounts, E>,
    ) -> Result<Place, E> {
        scribe.learn(&left.secrets);
        if let Some(mark) = read_mark(&left.generation, left.of) {
            scribe.stand_at(mark.scribe);
            return Ok(mark.place);
        }
        scribe.begin_again(left.before, errors_before(left.before.lines)?);
        Ok(Place::default())
    }

    /// Goes on with an attempt of a former daemon from `place`, where a scribe stands.
    pub(super) fn take_over(left: Left, place: Place, lines: &LineStore) -> Self {
        let Left { generation, of, end, .. } = left;
        let mut followed = Self::at(generation, of, place, lines);
        followed.marks.written = true;
        match end {
            LeftEnd::Followed(news) => followed.news = Some(news),
            LeftEnd::Known(ended) => followed.know(Some(ended)),
            LeftEnd::WhenGone => followed.wait_for_the_record(),
            LeftEnd::Never => followed.know(None),
        }
        followed.ask_for_more();
        followed
    }

    /// What is to be forgotten at last.
    pub(super) fn remains(&self) -> Remains {
        let generation = Arc::clone(&self.generation);
        let (from, marked) = (self.marks.keep_from, self.marks.written);
        Remains { generation, of: self.of, from, marked }
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
                KnownEnd::Ended(ended) if over => {
                    return Followup::Ended(ran(context, ended, scribe));
                }
                KnownEnd::Never if over => return Followup::Lost,
                KnownEnd::NotYet | KnownEnd::WhenGone(_) | KnownEnd::Ended(_) | KnownEnd::Never => {
                }
            }
            let running = matches!(self.end, KnownEnd::NotYet | KnownEnd::WhenGone(_));
            tokio::select! {
                biased;
                () = context.cancel.cancelled(), if running && !cancelling => {
                    cancelling = true;
                    self.generation.send(&Order::End { of: self.of, why: Why::Cancel });
                }
                news = next(self.news.as_mut()), if running => {
                    self.hear(news);
                    more = self.reader.place() < self.until;
                }
                ended = recorded(&mut self.end) => {
                    self.know(ended);
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

    fn hear(&mut self, news: Option<AttemptNews>) {
        match news {
            Some(AttemptNews::Grew(to)) => self.until = self.until.max(to),
            Some(AttemptNews::Ended(ended)) => self.know(Some(ended)),
            // It may have seen the end, and told nobody.
            None => self.wait_for_the_record(),
        }
    }

    fn wait_for_the_record(&mut self) {
        self.news = None;
        let ended = end_on_record(self.generation.folder().clone(), self.of);
        self.end = KnownEnd::WhenGone(Box::pin(ended));
    }

    /// How it ended; none when nobody has seen that.
    fn know(&mut self, ended: Option<Ended>) {
        self.until = ended.as_ref().map_or(Place::END, |ended| ended.spooled);
        self.end = ended.map_or(KnownEnd::Never, KnownEnd::Ended);
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
        if self.news.is_some() && matches!(self.end, KnownEnd::NotYet) {
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
            if self.news.is_some() && matches!(self.end, KnownEnd::NotYet) {
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
        if std::thread::panicking() && matches!(self.end, KnownEnd::NotYet) {
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
        self.written = true;
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

fn read_mark(generation: &Generation, of: AttemptKey) -> Option<Mark> {
    serde_json::from_slice(&fs::read(mark_path(generation, of)).ok()?).ok()
}

async fn next(news: Option<&mut mpsc::UnboundedReceiver<AttemptNews>>) -> Option<AttemptNews> {
    match news {
        Some(news) => news.recv().await,
        None => std::future::pending().await,
    }
}

/// What stands on record of the end, when the runner is gone.
async fn recorded(end: &mut KnownEnd) -> Option<Ended> {
    match end {
        KnownEnd::WhenGone(ended) => ended.await,
        KnownEnd::NotYet | KnownEnd::Ended(_) | KnownEnd::Never => std::future::pending().await,
    }
}

/// How the attempt ended, in the words of verdicts.
fn ran(context: &AttemptContext, ended: &Ended, scribe: &mut Scribe) -> Ran {
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::instant::Instant as Moment;
    use crate::jobs::runner::{Folder, Greeting, PROTOCOL, Tale, framed};
    use crate::jobs::testing::shell;

    #[tokio::test]
    async fn a_stop_does_not_wait_for_a_runner_that_lives_and_cannot_be_understood() {
        let mut bench = shell("true");
        let folder =
            Folder::make(&bench.root.path().join("runs"), Moment::default()).expect("made");
        let _lives = folder.lock().expect("a lock");
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let (version, attempts) = ("0.1.0".to_owned(), Vec::new());
        let hello = Tale::Hello(Greeting { protocol: PROTOCOL, version, pid: 1, attempts });
        theirs.write_all(&framed(&hello)).expect("it hears");
        let generation = Generation::greet(folder, ours).await.expect("it is greeted").generation;
        let store = bench.lines();
        let (context, mut scribe, _seen) = bench.attempt(&store);
        let of = AttemptKey { execution: bench.execution, attempt: 1 };
        let news = generation.follow(of);
        let mut followed = Followed::new(Arc::clone(&generation), of, news, &store);
        let stopped = async {
            theirs.write_all(&[u8::MAX; 8]).expect("it hears");
            generation.gone().await;
            bench.interrupt.cancel();
        };
        let reading = async { tokio::join!(followed.read(&context, &mut scribe), stopped).0 };
        let followup = tokio::time::timeout(Duration::from_secs(10), reading).await;
        assert!(matches!(followup.expect("it stops"), Followup::LeftToItsRunner));
    }
}
