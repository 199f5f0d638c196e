//! The store without a daemon: what is on disk, read while nobody writes.

use std::fs::{File, TryLockError};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use serde_json::Value;

use super::context::Context;
use super::endpoint::data_folder;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::messages::Messages;
use super::meter::Meter;
pub use crate::archive::JOURNAL;
use crate::archive::{Asked, INDEX, LINES, SwitchError, check_folder, finish_switch, size_of};
use crate::http::parts::{StoreInfo, StoreVerified, damage};
use crate::ids::hex;
use crate::store::journal::{JournalLog, VerifyReport};

/// Between two looks whether work is done.
const LOOK: Duration = Duration::from_millis(100);

/// A data folder that no daemon uses, and none can while this lives.
pub struct Idle {
    /// The folder.
    pub data: PathBuf,
    /// None where no daemon has ever been: then there is nothing to lock.
    _lock: Option<File>,
}

/// The data folder that somebody named, or the usual one.
pub fn named_folder(context: &Context<'_>) -> Option<PathBuf> {
    data_folder(context.data.as_deref(), &context.environment, context.settings.as_ref())
}

impl Idle {
    /// Takes the lock that a daemon would take. Makes nothing, so that a copy on a medium that cannot be written is read
    /// too; `absent` is why there is no daemon.
    ///
    /// # Errors
    /// There is no data folder, or a daemon works on it.
    pub fn take(context: &Context<'_>, absent: Failure) -> Outcome<Self> {
        let folder = named_folder(context);
        let Some(data) = folder.filter(|data| data.join(JOURNAL).is_dir()) else {
            return Err(absent.reason("and there is no event log in the data folder"));
        };
        match finish_switch(&data) {
            Ok(_) => {}
            Err(err @ SwitchError::Busy(_)) => {
                return Err(Failure::new(Exit::Conflict, err.to_string()));
            }
            Err(err) => {
                return Err(
                    Failure::new(Exit::Failed, "the data folder cannot be used").because(&err)
                );
            }
        }
        let cannot = |err: &io::Error| {
            let exit = match err.kind() {
                io::ErrorKind::PermissionDenied => Exit::Denied,
                _ => Exit::Failed,
            };
            Failure::new(exit, format!("`{}` cannot be used", data.display())).because(err)
        };
        let lock = match File::open(data.join(JOURNAL).join("lock")) {
            Ok(lock) => lock,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { data, _lock: None });
            }
            Err(err) => return Err(cannot(&err)),
        };
        match lock.try_lock() {
            Ok(()) => Ok(Self { data, _lock: Some(lock) }),
            Err(TryLockError::WouldBlock) => {
                let message = format!("a daemon works on `{}`", data.display());
                Err(Failure::new(Exit::Conflict, message).hint(
                    "`daybook drain --wait` ends it; one that does not answer may be starting or stopping: look at its log",
                ))
            }
            Err(TryLockError::Error(err)) => Err(cannot(&err)),
        }
    }

    fn journal(&self) -> Outcome<VerifyReport> {
        JournalLog::verify(&self.data.join(JOURNAL)).map_err(|err| {
            let failure = Failure::new(Exit::Failed, "the event log cannot be read").because(&err);
            match err.hint() {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        })
    }
}

/// What `store info` shows. The head comes from reading the whole log.
///
/// # Errors
/// There is no data folder, or a daemon works on it.
pub fn info(context: &mut Context<'_>, absent: Failure) -> Outcome<Value> {
    let idle = Idle::take(context, absent)?;
    let report = meanwhile(&mut context.out.messages, "reading the events", || idle.journal())??;
    as_value(&StoreInfo {
        data: idle.data.display().to_string(),
        position: report.position,
        head: hex(&report.head),
        journal_bytes: size_of(&idle.data.join(JOURNAL)),
        lines_bytes: size_of(&idle.data.join(LINES)),
        index_bytes: size_of(&idle.data.join(INDEX)),
        // The index follows the log; how far it got is the daemon's to tell.
        indexed: None,
        rebuilding: None,
        pruned: Vec::new(),
        problems: report.difference.iter().map(damage).collect(),
        work: None,
    })
}

/// What `store verify` shows. Changes nothing on disk.
///
/// # Errors
/// There is no data folder, a daemon works on it, or it cannot be read.
pub fn verify(context: &mut Context<'_>, asked: Asked, absent: Failure) -> Outcome<Value> {
    let idle = Idle::take(context, absent)?;
    let (mut meter, messages) = (Meter::begin(), &mut context.out.messages);
    let checked = check_folder(&idle.data, asked, &mut |tick| {
        meter.show(messages, tick.what, (tick.done, tick.total));
    });
    let checked = checked
        .map_err(|err| Failure::new(Exit::Failed, "the store cannot be checked").because(&err))?;
    as_value(&StoreVerified::of(&checked))
}

/// What `store compact` shows. Only a plan changes nothing.
///
/// # Errors
/// There is no data folder, a daemon works on it (7), or it cannot be read or written.
pub fn compact(context: &mut Context<'_>, dry_run: bool, absent: Failure) -> Outcome<Value> {
    // Looks for the folder and a daemon, and lets go again: whoever compacts takes the lock itself.
    let busy = |failure: Failure| match failure.exit() {
        Exit::Conflict if !dry_run => failure.hint("stop the daemon, or use --online"),
        _ => failure,
    };
    let data = Idle::take(context, absent).map_err(busy)?.data;
    let Some(settings) = &context.settings else {
        return Err(Failure::new(Exit::Configuration, "the settings cannot be read")
            .hint("see `daybook serve --help`"));
    };
    let (compact, settings) = (context.compact, settings.clone());
    // It has a runtime of its own, which cannot begin inside another one.
    let what = if dry_run { "looking at what is over" } else { "compacting" };
    let done = meanwhile(&mut context.out.messages, what, || compact(&data, &settings, dry_run))?;
    let pruned = done.map_err(|(code, why)| match code {
        7 => Failure::new(Exit::Conflict, why).hint("stop the daemon, or use --online"),
        _ => Failure::new(Exit::Failed, why),
    })?;
    as_value(&pruned)
}

/// Does `work` beside, and tells meanwhile how long it takes.
fn meanwhile<T: Send>(
    messages: &mut Messages<'_>,
    what: &str,
    work: impl FnOnce() -> T + Send,
) -> Outcome<T> {
    let mut meter = Meter::begin();
    std::thread::scope(|scope| {
        let (ends, ended) = mpsc::channel::<()>();
        let worker = scope.spawn(move || {
            // Gone with the work, also when that panics.
            let _ends = ends;
            work()
        });
        while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            meter.wait(messages, what);
        }
        let panicked = |_panic| Failure::new(Exit::Failed, format!("{what}: it panicked"));
        worker.join().map_err(panicked)
    })
}

/// A shape as a document.
///
/// # Errors
/// It cannot be written.
pub fn as_value<T: serde::Serialize>(shape: &T) -> Outcome<Value> {
    serde_json::to_value(shape)
        .map_err(|err| Failure::new(Exit::Failed, "the answer cannot be written").because(&err))
}
