//! The way to the daemon that listens, if one does.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::net::{SendFlags, send};

use super::waiting::poke;
use super::wire::{Tale, framed};

/// What is said while nobody listens is kept up to this many bytes.
const LOG_MAX: u64 = 1 << 20;

/// Speaks without ever waiting: a daemon that is slow, or stopped, must hold up no command's timeout.
pub(super) struct Voice {
    connected: AtomicBool,
    speaking: Mutex<Speaking>,
    log: PathBuf,
    /// Tells the one who waits for the socket that something is left to send.
    more: Arc<OwnedFd>,
}

#[derive(Default)]
struct Speaking {
    stream: Option<Arc<UnixStream>>,
    unsent: Vec<u8>,
}

impl Voice {
    pub(super) fn new(log: PathBuf, more: Arc<OwnedFd>) -> Self {
        Self { connected: AtomicBool::new(false), speaking: Mutex::default(), log, more }
    }

    /// Whether a daemon listens.
    pub(super) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    fn speaking(&self) -> MutexGuard<'_, Speaking> {
        self.speaking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it is `stream` that is spoken to, and `first` comes first. Whatever is not in that yet is told after it.
    pub(super) fn connect(&self, stream: Arc<UnixStream>, first: impl FnOnce() -> Tale) {
        let mut speaking = self.speaking();
        // Who has something to tell waits until the first is told.
        self.connected.store(true, Ordering::Release);
        let bytes = framed(&first());
        let sent = sent(&stream, &bytes);
        *speaking = Speaking { stream: Some(stream), unsent: bytes[sent..].to_vec() };
    }

    /// Nobody listens any more.
    pub(super) fn disconnect(&self) {
        self.connected.store(false, Ordering::Release);
        *self.speaking() = Speaking::default();
    }

    /// Tells the daemon. Without one nothing is said: what it needs to know it will ask for.
    pub(super) fn say(&self, tale: &Tale) {
        if !self.is_connected() {
            return;
        }
        let bytes = framed(tale);
        let mut speaking = self.speaking();
        if !speaking.unsent.is_empty() {
            speaking.unsent.extend(bytes);
            return;
        }
        let Some(stream) = &speaking.stream else { return };
        let sent = sent(stream, &bytes);
        if sent < bytes.len() {
            speaking.unsent.extend_from_slice(&bytes[sent..]);
            drop(speaking);
            poke(&self.more);
        }
    }

    /// Whether something waits until the socket takes more.
    pub(super) fn has_more(&self) -> bool {
        !self.speaking().unsent.is_empty()
    }

    /// The socket takes more.
    pub(super) fn go_on(&self) {
        let mut speaking = self.speaking();
        if let Some(stream) = speaking.stream.clone() {
            let sent = sent(&stream, &speaking.unsent);
            speaking.unsent.drain(..sent);
        }
    }

    /// A line for the daemon's own log, or for the next daemon's.
    pub(super) fn mention(&self, text: &str) {
        if self.is_connected() {
            self.say(&Tale::Said(text.to_owned()));
        } else if std::fs::metadata(&self.log).map_or(0, |log| log.len()) < LOG_MAX {
            let mut options = OpenOptions::new();
            let log = options.append(true).create(true).mode(0o600).open(&self.log);
            // Where not even that can be written, nobody can be told.
            log.and_then(|mut log| writeln!(log, "{text}")).unwrap_or_default();
        }
    }
}

/// How many of `bytes` the socket takes now. One that is broken takes all: its end is seen by whoever reads it.
fn sent(stream: &UnixStream, bytes: &[u8]) -> usize {
    let mut done = 0;
    while done < bytes.len() {
        match send(stream.as_fd(), &bytes[done..], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(sent) => done += sent,
            Err(rustix::io::Errno::INTR) => (),
            Err(rustix::io::Errno::AGAIN) => return done,
            Err(_broken) => return bytes.len(),
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::super::waiting::event;
    use super::super::wire::Inbox;
    use super::*;
    use crate::jobs::testing::started;

    #[test]
    fn what_happens_while_the_first_is_put_together_is_told_after_it() {
        let (mut ours, theirs) = UnixStream::pair().expect("a pair");
        let voice = Arc::new(Voice::new(PathBuf::new(), event().expect("an event")));
        let said = |text: &str| Tale::Said(text.to_owned());
        let mut telling = None;
        voice.connect(Arc::new(theirs), || {
            let voice = Arc::clone(&voice);
            telling = Some(started(move || voice.say(&Tale::Said("second".to_owned()))));
            said("first")
        });
        telling.expect("it was asked for").join().expect("no panic");
        voice.disconnect();
        drop(voice);
        let mut inbox = Inbox::default();
        ours.read_to_end(&mut inbox.bytes).expect("all of it");
        for expected in ["first", "second"] {
            let told = inbox.next().expect("a message");
            assert!(matches!(told, Some(Tale::Said(text)) if text == expected), "{expected}");
        }
    }
}
