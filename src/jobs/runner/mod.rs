//! The runner: the process that owns commands, so that they outlive the daemon.
//!
//! Each daemon starts one, which is the same program with [`ARGUMENT`] first. It takes commands over a Unix socket, reads their
//! output into files, ends them at their timeout, and keeps on record how they ended. When the daemon goes, it goes on; the next
//! daemon finds it by the lock that it holds on its folder, and takes over what it has. It ends with its last command. It has
//! threads and no async runtime, and uses nothing of the engine or the stores. See `docs/decisions/0010-runner.md`.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

mod attempt;
mod command;
mod ends;
mod folder;
mod look;
mod managed;
mod output;
mod placing;
mod pool;
mod processes;
mod serve;
mod shared;
mod spool;
mod starting;
#[cfg(test)]
mod tests;
mod tree;
mod voice;
mod waiting;
mod wire;

pub(super) use command::KILLED_STATUS;
pub(super) use ends::{OnRecord, on_record};
pub(super) use folder::Folder;
pub use folder::boot_id;
#[cfg(test)]
pub(super) use placing::Placer;
pub(super) use processes::Processes;
pub use processes::Way;
pub(super) use spool::{Kind, PIECE_BYTES, Place, SpoolReader, remove};
#[cfg(test)]
pub(super) use starting::Starting;
pub(super) use tree::{LEFTOVER_MAX, Pauses, ask, end_each, named};
pub(super) use wire::{
    AttemptKey, Before, Ended, Greeting, How, Inbox, Kept, Order, PROTOCOL, Start, Tale, Why,
    framed,
};

/// The first argument that makes the program a runner. Nobody types it.
pub(super) const ARGUMENT: &str = "@runner";

/// Runs a runner if the program's `arguments` say so: the generation's folder, and the data folder that names its cgroups or
/// nothing. Gives the exit code then.
pub fn entered(mut arguments: impl Iterator<Item = OsString>) -> Option<u8> {
    if arguments.nth(1)? != ARGUMENT {
        return None;
    }
    let folder = PathBuf::from(arguments.next()?);
    let cgroups_for = arguments.next().map(PathBuf::from);
    match enter(&folder, cgroups_for.as_deref()) {
        Ok(()) => Some(0),
        Err(err) => {
            // Standard error leads nowhere; the daemon looks here.
            let text = format!("the runner did not start: {err}\n");
            fs::write(Folder::at(folder).log(), text).unwrap_or_default();
            Some(1)
        }
    }
}

fn enter(folder: &Path, cgroups_for: Option<&Path>) -> io::Result<()> {
    // Away from the daemon's terminal and from what ends its group.
    rustix::process::setsid()?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    // A machine that goes down asks everybody; this one ends with its last command. Not ignored: that its commands would inherit.
    let asked = Arc::new(AtomicBool::new(false));
    for signal in
        [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT, signal_hook::consts::SIGHUP]
    {
        signal_hook::flag::register(signal, Arc::clone(&asked))?;
    }
    // It was started by `/proc/self/exe`, which the kernel would call it.
    fs::write("/proc/self/comm", "daybook")?;
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let processes = Processes::adopt(cgroups_for)?;
    let runner = serve::Runner::new(Folder::at(folder.to_owned()), stream, processes)?;
    tell_the_daemon(&runner);
    runner.run();
    Ok(())
}

/// Has the daemon hear warnings and panics: a runner has no log of its own.
fn tell_the_daemon(runner: &serve::Runner) {
    let shared = Arc::clone(runner.shared());
    std::panic::set_hook(Box::new(move |panic| shared.voice.mention(&panic.to_string())));
    let shared = Arc::clone(runner.shared());
    let to_daemon = move || Mention(Arc::clone(&shared));
    let heard = tracing_subscriber::fmt().with_writer(to_daemon).with_ansi(false).without_time();
    let set = heard.with_max_level(tracing::Level::WARN).with_target(false).with_level(false);
    // Nobody else has set one.
    set.try_init().unwrap_or_default();
}

/// Writes lines to the daemon.
struct Mention(Arc<serve::Shared>);

impl io::Write for Mention {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.voice.mention(String::from_utf8_lossy(line).trim_end());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A runner inside of this process, for tests of one attempt.
///
/// # Errors
/// The system's.
#[cfg(any(test, fuzzing))]
pub(super) fn inside(folder: Folder, stream: UnixStream, processes: Processes) -> io::Result<()> {
    let runner = serve::Runner::new(folder, stream, processes)?;
    std::thread::Builder::new().name("runner".to_owned()).spawn(move || runner.run())?;
    Ok(())
}
