//! Notices that the schedules folder changed.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::calendar;

/// A folder that is written to without a pause is reported after this long all the same.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a folder cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch `{}` for changes", folder.display())]
pub struct WatchError {
    /// The folder.
    pub folder: PathBuf,
    /// What the system said.
    #[source]
    pub source: notify::Error,
}

/// A watched folder with its calendars; ends with its last drop.
pub struct Watch {
    watcher: RecommendedWatcher,
    /// The schedules folder, and the one of the calendars in it.
    folders: [Watched; 2],
    debounce: Debounce,
}

/// One folder that is there now or may come.
struct Watched {
    path: PathBuf,
    /// Its device and inode: another one has its place when they change.
    identity: Option<(u64, u64)>,
}

/// Watches the files of `folder` and of its calendars, also when one of the two is replaced, removed and made again, or a
/// link that is turned. Changes closer together than `quiet` are one.
///
/// # Errors
/// [`WatchError`] when neither the folder nor its parent can be watched, for example at the limit of inotify watches.
pub fn watch(folder: &Path, quiet: Duration) -> Result<Watch, WatchError> {
    let fail = |source| WatchError { folder: folder.to_owned(), source };
    let (sender, receiver) = mpsc::unbounded_channel();
    let own = folder.file_name().map(OsStr::to_owned);
    let handler = move |event: notify::Result<notify::Event>| {
        let matters = match &event {
            // A lost or failed notification may have been about anything.
            Err(_) => true,
            Ok(event) => {
                !event.kind.is_access()
                    && (event.need_rescan()
                        || event
                            .paths
                            .iter()
                            .any(|path| concerns(path.file_name(), own.as_deref())))
            }
        };
        // The receiver is gone only when nobody watches any more.
        if matters && sender.send(()).is_err() {
            tracing::debug!("a change of the schedules folder came after the end of the watch");
        }
    };
    let mut watcher = notify::recommended_watcher(handler).map_err(fail)?;
    let parent = parent_of(folder);
    let above = watcher.watch(&parent, RecursiveMode::NonRecursive);
    let identity = identity(folder);
    match watcher.watch(folder, RecursiveMode::NonRecursive) {
        Ok(()) => (),
        // A folder that does not exist yet is seen from above when it comes.
        Err(_) if identity.is_none() && above.is_ok() => (),
        Err(err) => return Err(fail(err)),
    }
    let mut calendars = Watched { path: folder.join(calendar::FOLDER), identity: None };
    calendars.follow(&mut watcher);
    let folders = [Watched { path: folder.to_owned(), identity }, calendars];
    Ok(Watch { watcher, folders, debounce: Debounce::new(receiver, quiet) })
}

impl Watched {
    /// Watches it anew when another one has its place, or the first one has come.
    fn follow(&mut self, watcher: &mut RecommendedWatcher) {
        let identity = identity(&self.path);
        if identity == self.identity {
            return;
        }
        let before = std::mem::replace(&mut self.identity, identity);
        // The old watch went with the old folder or still follows it elsewhere; both are of no use.
        if before.is_some()
            && let Err(err) = watcher.unwatch(&self.path)
        {
            tracing::debug!(folder = %self.path.display(), error = %err, "a former folder is no longer watched");
        }
        if identity.is_some()
            && let Err(err) = watcher.watch(&self.path, RecursiveMode::NonRecursive)
        {
            tracing::warn!(folder = %self.path.display(), error = %err, "a folder is not watched; use `daybook reload`");
        }
    }
}

impl Watch {
    /// Waits for the next change. Cancelling loses nothing: the change is told by the next call.
    ///
    /// Pends for ever once the system stopped telling.
    pub async fn changed(&mut self) {
        self.debounce.settled().await;
        for folder in &mut self.folders {
            folder.follow(&mut self.watcher);
        }
    }
}

fn parent_of(folder: &Path) -> PathBuf {
    match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn identity(folder: &Path) -> Option<(u64, u64)> {
    fs::metadata(folder).ok().map(|data| (data.dev(), data.ino()))
}

/// Whether a changed name may change what the folder says: its TOML files, its calendars, the folder itself, and `..data`,
/// the link by which Kubernetes turns a mounted configuration. Editors' temporary files are not.
fn concerns(name: Option<&OsStr>, folder: Option<&OsStr>) -> bool {
    let Some(text) = name.and_then(OsStr::to_str) else { return false };
    let read = text.ends_with(".toml") || text.ends_with(calendar::ICAL);
    name == folder
        || [calendar::FOLDER, "..data"].contains(&text)
        || (read && !text.starts_with(['.', '#']))
}

/// Turns a burst of signals into one.
struct Debounce {
    signals: mpsc::UnboundedReceiver<()>,
    quiet: Duration,
    /// The first and the newest signal that were not told yet.
    pending: Option<(Instant, Instant)>,
}

impl Debounce {
    const fn new(signals: mpsc::UnboundedReceiver<()>, quiet: Duration) -> Self {
        Self { signals, quiet, pending: None }
    }

    async fn settled(&mut self) {
        loop {
            let Some((first, newest)) = self.pending else {
                if self.signals.recv().await.is_none() {
                    std::future::pending::<()>().await;
                }
                let now = Instant::now();
                self.pending = Some((now, now));
                continue;
            };
            let due = (newest + self.quiet).min(first + PATIENCE);
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(due) => {
                    while self.signals.try_recv().is_ok() {}
                    self.pending = None;
                    return;
                }
                Some(()) = self.signals.recv() => self.pending = Some((first, Instant::now())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_millis(300);

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_changes_is_told_once_when_it_is_over() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut debounce = Debounce::new(receiver, QUIET);
        let start = Instant::now();
        let writer = async {
            for _ in 0..3 {
                sender.send(()).expect("open");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::join!(writer, debounce.settled());
        assert_eq!(start.elapsed(), Duration::from_millis(700));
        assert!(tokio::time::timeout(QUIET * 10, debounce.settled()).await.is_err(), "told twice");
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_without_rest_is_told_after_two_seconds() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut debounce = Debounce::new(receiver, QUIET);
        let start = Instant::now();
        let writer = async {
            loop {
                sender.send(()).expect("open");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            () = writer => (),
            () = debounce.settled() => (),
        }
        assert_eq!(start.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_whose_telling_was_cancelled_is_told_by_the_next_call() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut debounce = Debounce::new(receiver, QUIET);
        sender.send(()).expect("open");
        assert!(tokio::time::timeout(QUIET / 2, debounce.settled()).await.is_err());
        tokio::time::timeout(QUIET, debounce.settled()).await.expect("still pending");
    }

    #[test]
    fn editors_temporary_files_change_nothing() {
        let folder = Some(OsStr::new("schedules"));
        for name in ["fnac.toml", "schedules", "..data", "calendars", "school.ics"] {
            assert!(concerns(Some(OsStr::new(name)), folder), "{name}");
        }
        for name in
            [".fnac.toml.swp", "4913", "fnac.toml~", ".#fnac.toml", "#fnac.toml#", ".tmp1.toml"]
        {
            assert!(!concerns(Some(OsStr::new(name)), folder), "{name}");
        }
    }

    #[tokio::test]
    async fn a_folder_that_was_replaced_is_watched_on() {
        let root = tempfile::tempdir().expect("tempdir");
        let folder = root.path().join("schedules");
        fs::create_dir(&folder).expect("mkdir");
        let mut watch = watch(&folder, Duration::from_millis(20)).expect("watched");
        let long = Duration::from_secs(20);
        fs::write(folder.join("a.toml"), "x").expect("write");
        tokio::time::timeout(long, watch.changed()).await.expect("a new file is seen");
        fs::rename(&folder, root.path().join("old")).expect("rename");
        fs::create_dir(&folder).expect("mkdir");
        tokio::time::timeout(long, watch.changed()).await.expect("the replacement is seen");
        fs::write(folder.join("b.toml"), "x").expect("write");
        tokio::time::timeout(long, watch.changed())
            .await
            .expect("a file in the new folder is seen");
    }
    #[tokio::test]
    async fn calendars_are_watched_also_when_their_folder_comes_later() {
        let root = tempfile::tempdir().expect("tempdir");
        let folder = root.path().join("schedules");
        let calendars = folder.join("calendars");
        fs::create_dir(&folder).expect("mkdir");
        let mut watch = watch(&folder, Duration::from_millis(20)).expect("watched");
        let long = Duration::from_secs(20);
        fs::create_dir(&calendars).expect("mkdir");
        tokio::time::timeout(long, watch.changed()).await.expect("the folder is seen");
        for name in ["fr.toml", "school.ics"] {
            fs::write(calendars.join(name), "x").expect("write");
            let seen = tokio::time::timeout(long, watch.changed()).await;
            seen.unwrap_or_else(|_late| panic!("{name} is not seen"));
        }
    }
}
