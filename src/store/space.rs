//! Room on the data folder's file system: how much there is, who waits for it, and a reserve that only the log may take.
//!
//! The reserve is a file of real blocks, `<data>/reserve`. A writer that finds the disk full takes a piece of it and tries
//! again; it is filled up again once there is room. Whoever finds none left waits here, and nothing is acknowledged
//! meanwhile.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::space::{Measured, Room, Watermarks, reserve_wanted};

/// How long the disk counts as full after a write found it so, whatever the file system says: a quota or a lack of inodes
/// does not show in its figures.
const FULL_FOR: Duration = Duration::from_secs(10);
/// The smallest piece that is taken from the reserve at once.
const PIECE_MIN: u64 = 256 << 10;
/// The reserve is given back in so many pieces: whoever filled the disk cannot take all of it at once.
const PIECES: u64 = 8;
/// Between two tries of a writer that waits.
const TRY_EVERY: Duration = Duration::from_millis(250);

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The event log: it may take the whole reserve.
    Log,
    /// The line store: it leaves half of it to the log.
    Lines,
}

/// What is known of the room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What it means.
    pub room: Room,
    /// Bytes that are free beyond what the reserve lacks, and bytes in all, at the newest look.
    pub measured: Measured,
    /// Bytes that the reserve holds.
    pub reserve: u64,
    /// An append waits for room: nothing is acknowledged.
    pub log_waits: bool,
    /// Lines wait for room: what jobs print is dropped and counted.
    pub lines_wait: bool,
}

impl Seen {
    /// The room; the disk is full while the log waits for it, whatever its figures say.
    pub fn room(&self) -> Room {
        if self.log_waits { Room::Full } else { self.room }
    }
}

/// Asks a file system for its figures; tests have one of their own.
pub type Measure = Box<dyn Fn(&Path) -> io::Result<Measured> + Send + Sync>;

/// See the module's doc.
pub struct Space {
    data: PathBuf,
    marks: Watermarks,
    measure: Measure,
    reserve: Mutex<Reserve>,
    seen: watch::Sender<Seen>,
    freed: Condvar,
    /// Copies for those who look once for each line.
    low: AtomicBool,
    full: AtomicBool,
    lines_wait: AtomicBool,
    dropped_lines: AtomicU64,
    dropped_bytes: AtomicU64,
}

#[derive(Default)]
struct Reserve {
    held: u64,
    wanted: u64,
    /// When a write last found the disk full.
    refused: Option<tokio::time::Instant>,
    /// The reserve cannot be had here; said once.
    unsupported: bool,
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space").field("data", &self.data).finish_non_exhaustive()
    }
}

/// Whether a write failed because there is no room, which may change.
pub fn is_no_room(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What the system says of the file system of `folder`, as far as the daemon's user may take it.
///
/// # Errors
/// The system does not say.
pub fn measure(folder: &Path) -> io::Result<Measured> {
    let stat = rustix::fs::statvfs(folder)?;
    // Some file systems have no fixed number of inodes, and say 0 of 0.
    let no_inode = stat.f_files > 0 && stat.f_favail == 0;
    let free = if no_inode { 0 } else { stat.f_bavail.saturating_mul(stat.f_frsize) };
    Ok(Measured { free, total: stat.f_blocks.saturating_mul(stat.f_frsize) })
}

impl Space {
    /// Looks at the file system of the folder `data`, and makes the reserve if there is room for it.
    pub fn open(data: &Path, marks: Watermarks) -> Self {
        Self::open_measured(data, marks, Box::new(measure))
    }

    /// The same with figures from elsewhere.
    pub fn open_measured(data: &Path, marks: Watermarks, measure: Measure) -> Self {
        let held = fs::metadata(data.join("reserve")).map_or(0, |metadata| metadata.len());
        let space = Self {
            data: data.to_owned(),
            marks,
            measure,
            reserve: Mutex::new(Reserve { held, ..Reserve::default() }),
            seen: watch::Sender::new(Seen { reserve: held, ..Seen::default() }),
            freed: Condvar::new(),
            low: AtomicBool::new(false),
            full: AtomicBool::new(false),
            lines_wait: AtomicBool::new(false),
            dropped_lines: AtomicU64::new(0),
            dropped_bytes: AtomicU64::new(0),
        };
        space.look();
        if space.seen().room == Room::Full {
            // What a start writes must not fail for want of room: the rest of it would never come.
            let mut reserve = space.reserve();
            while space.take(&mut reserve, Writer::Log, PIECE_MIN) {}
            let held = reserve.held;
            drop(reserve);
            space.change(|seen| seen.reserve = held);
        }
        space
    }

    /// A file system that always has these figures, with the marks that are the default.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of_figures(data: &Path, figures: Measured) -> Self {
        Self::open_measured(data, Watermarks::default(), Box::new(move |_| Ok(figures)))
    }

    /// What is known now.
    pub fn seen(&self) -> Seen {
        *self.seen.borrow()
    }

    /// Whether there is room at this moment for what is written beside the log and can be done without. It needs a quarter
    /// more than what counts as little, so that it is never what makes it little.
    pub fn has_room_to_spare(&self) -> bool {
        let seen = self.seen();
        let lacking = reserve_wanted(seen.measured.total).saturating_sub(seen.reserve);
        let measured = (self.measure)(&self.data).unwrap_or(seen.measured);
        let usable = Measured { free: measured.free.saturating_sub(lacking), ..measured };
        seen.room() == Room::Enough && self.marks.room(Room::Low, usable) == Room::Enough
    }

    /// What is known, as a value that can be waited on.
    pub fn watch(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    /// The marks in bytes on a file system of `total` bytes: low, full.
    pub fn marks(&self, total: u64) -> (u64, u64) {
        (self.marks.low.of(total), self.marks.full.of(total))
    }

    /// The room for what jobs print. Costs nothing: it may be asked for each line.
    pub fn for_lines(&self) -> Room {
        if self.full.load(Ordering::Relaxed) {
            Room::Full
        } else if self.low.load(Ordering::Relaxed) {
            Room::Low
        } else {
            Room::Enough
        }
    }

    /// Whether lines wait for room: more of them would only fill the memory.
    pub fn lines_wait(&self) -> bool {
        self.lines_wait.load(Ordering::Relaxed)
    }

    /// Counts lines that jobs printed and nobody keeps.
    pub fn dropped(&self, lines: u64, bytes: u64) {
        self.dropped_lines.fetch_add(lines, Ordering::Relaxed);
        self.dropped_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Lines and bytes that jobs printed since the start and that were not kept for want of room.
    pub fn dropped_so_far(&self) -> (u64, u64) {
        (self.dropped_lines.load(Ordering::Relaxed), self.dropped_bytes.load(Ordering::Relaxed))
    }

    /// Looks how much room there is, fills the reserve up when that is possible, and lets those try again who wait.
    pub fn look(&self) {
        let mut reserve = self.reserve();
        let measured = match (self.measure)(&self.data) {
            Ok(measured) => measured,
            Err(err) => {
                tracing::warn!(folder = %self.data.display(), %err, "the room on the disk cannot be told");
                return;
            }
        };
        reserve.wanted = reserve_wanted(measured.total);
        let lacking = reserve.wanted.saturating_sub(reserve.held);
        let usable = Measured { free: measured.free.saturating_sub(lacking), ..measured };
        let before = self.seen().room;
        let mut room = self.marks.room(before, usable);
        if reserve.refused.is_some_and(|at| at.elapsed() < FULL_FOR) {
            room = Room::Full;
        }
        if room != Room::Full && lacking > 0 {
            self.fill(&mut reserve);
        }
        let held = reserve.held;
        self.change(|seen| {
            (seen.room, seen.measured, seen.reserve) = (room, usable, held);
        });
        // Held up to here, so that nobody's refused write is overwritten by an older look.
        drop(reserve);
        self.freed.notify_all();
    }

    /// A write of `bytes` found the disk full: takes a piece of the reserve. False when there is none for `writer`.
    pub fn make_room(&self, writer: Writer, bytes: u64) -> bool {
        let mut reserve = self.reserve();
        reserve.refused = Some(tokio::time::Instant::now());
        let took = self.take(&mut reserve, writer, bytes);
        let held = reserve.held;
        self.change(|seen| (seen.room, seen.reserve) = (Room::Full, held));
        took
    }

    /// Says whether `writer` waits for room.
    pub fn waits(&self, writer: Writer, waits: bool) {
        self.change(|seen| match writer {
            Writer::Log => seen.log_waits = waits,
            Writer::Lines => seen.lines_wait = waits,
        });
    }

    /// Waits until it is worth trying again. Blocks for a quarter of a second at most.
    pub fn wait(&self) {
        let reserve = self.reserve();
        drop(self.freed.wait_timeout(reserve, TRY_EVERY));
    }

    fn reserve(&self) -> MutexGuard<'_, Reserve> {
        self.reserve.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        self.seen.send_if_modified(|seen| {
            let before = *seen;
            change(seen);
            self.low.store(seen.room() >= Room::Low, Ordering::Relaxed);
            self.full.store(seen.room() == Room::Full, Ordering::Relaxed);
            self.lines_wait.store(seen.lines_wait, Ordering::Relaxed);
            before != *seen
        });
    }

    fn path(&self) -> PathBuf {
        self.data.join("reserve")
    }

    /// Gives a piece of the reserve back to the file system.
    fn take(&self, reserve: &mut Reserve, writer: Writer, bytes: u64) -> bool {
        let left_alone = if writer == Writer::Lines { reserve.wanted / 2 } else { 0 };
        if reserve.held <= left_alone {
            return false;
        }
        let piece = (reserve.wanted / PIECES).max(PIECE_MIN).max(bytes.saturating_mul(2));
        let held = reserve.held.saturating_sub(piece).max(left_alone);
        let cut = OpenOptions::new().write(true).open(self.path());
        match cut.and_then(|file| file.set_len(held)) {
            Ok(()) => {
                tracing::warn!(left_bytes = held, ?writer, "a piece of the reserve is taken");
                reserve.held = held;
                true
            }
            Err(err) => {
                tracing::error!(file = %self.path().display(), %err, "the reserve cannot be taken");
                reserve.held = 0;
                false
            }
        }
    }

    /// Takes blocks for what the reserve lacks.
    fn fill(&self, reserve: &mut Reserve) {
        if reserve.unsupported || reserve.wanted == 0 {
            return;
        }
        let filled = self.allocate(reserve.wanted);
        match filled {
            Ok(()) => reserve.held = reserve.wanted,
            Err(err) if is_no_room(&err) => {
                tracing::debug!(%err, "there is no room for the reserve yet");
            }
            Err(err) => {
                reserve.unsupported = true;
                tracing::warn!(file = %self.path().display(), %err, "no reserve can be kept for the log on this file system");
            }
        }
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file: File = options.open(self.path())?;
        let allocated = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes);
        if let Err(err) = allocated {
            // What was allocated before it failed must not count, and must not stay.
            let held = self.seen().reserve;
            file.set_len(held)?;
            return Err(err.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::space::Amount;

    const MIB: u64 = 1 << 20;

    /// A file system of 200 MiB whose free bytes the test sets.
    fn space(data: &Path) -> (Space, Arc<AtomicU64>) {
        let free = Arc::new(AtomicU64::new(100 * MIB));
        let marks = Watermarks { low: Amount::Bytes(10 * MIB), full: Amount::Bytes(4 * MIB) };
        let shown = Arc::clone(&free);
        let measure =
            move |_: &Path| Ok(Measured { free: shown.load(Ordering::Relaxed), total: 200 * MIB });
        (Space::open_measured(data, marks, Box::new(measure)), free)
    }

    fn reserve_on_disk(data: &Path) -> u64 {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(data.join("reserve")).expect("a reserve").blocks() * 512
    }

    #[test]
    fn the_reserve_has_real_blocks_and_only_the_daemons_user_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let data = tempfile::tempdir().expect("a folder");
        let (space, _) = space(data.path());
        assert_eq!((space.seen().room, space.seen().reserve), (Room::Enough, 4 * MIB));
        assert!(reserve_on_disk(data.path()) >= 4 * MIB);
        let mode = fs::metadata(data.path().join("reserve")).expect("a reserve").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }

    #[test]
    fn what_can_be_done_without_needs_a_quarter_more_than_what_counts_as_little() {
        let data = tempfile::tempdir().expect("a folder");
        let (space, free) = space(data.path());
        for (mib, spare) in [(100, true), (13, true), (12, false), (9, false)] {
            free.store(mib * MIB, Ordering::Relaxed);
            assert_eq!(space.has_room_to_spare(), spare, "{mib} MiB");
            assert_eq!(space.seen().room, Room::Enough, "nobody has looked yet");
        }
        space.look();
        assert_eq!(space.seen().room, Room::Low);
        assert!(!space.has_room_to_spare());
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_may_take_the_reserve_by_pieces_and_lines_leave_it_half() {
        let data = tempfile::tempdir().expect("a folder");
        let (space, free) = space(data.path());
        free.store(0, Ordering::Relaxed);
        while space.make_room(Writer::Lines, 100) {}
        assert_eq!(space.seen().reserve, 2 * MIB);
        assert!(space.make_room(Writer::Log, 100), "half is left for the log");
        assert_eq!(space.seen().reserve, 2 * MIB - MIB / 2);
        while space.make_room(Writer::Log, 100) {}
        assert_eq!((space.seen().reserve, reserve_on_disk(data.path())), (0, 0));
        // There is room again, but the reserve comes first: 8 MiB less 4 MiB are below the quarter above the mark.
        free.store(8 * MIB, Ordering::Relaxed);
        tokio::time::advance(FULL_FOR).await;
        space.look();
        assert_eq!((space.seen().room, space.seen().reserve), (Room::Full, 0));
        free.store(50 * MIB, Ordering::Relaxed);
        space.look();
        assert_eq!((space.seen().room, space.seen().reserve), (Room::Enough, 4 * MIB));
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_refused_a_write_is_full_for_a_while_whatever_its_figures_say() {
        let data = tempfile::tempdir().expect("a folder");
        let (space, _) = space(data.path());
        let _ = space.make_room(Writer::Log, 100);
        space.look();
        assert_eq!((space.seen().room, space.for_lines()), (Room::Full, Room::Full));
        tokio::time::advance(FULL_FOR).await;
        space.look();
        assert_eq!((space.seen().room, space.for_lines()), (Room::Enough, Room::Enough));
    }

    #[test]
    fn a_start_on_a_full_disk_gives_the_reserve_back_first() {
        let data = tempfile::tempdir().expect("a folder");
        drop(space(data.path()));
        let marks = Watermarks { low: Amount::Bytes(10 * MIB), full: Amount::Bytes(4 * MIB) };
        let full = |_: &Path| Ok(Measured { free: 0, total: 200 * MIB });
        let space = Space::open_measured(data.path(), marks, Box::new(full));
        assert_eq!((space.seen().room, space.seen().reserve), (Room::Full, 0));
    }
}
