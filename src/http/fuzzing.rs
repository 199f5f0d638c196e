//! The API as `fuzz/` drives it: the daemon of the API's tests, and bytes on its Unix socket.

use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use super::testing::Daemon;

/// A running API.
pub struct Api {
    runtime: Runtime,
    socket: PathBuf,
    _daemon: Daemon,
}

impl Api {
    /// Starts it.
    ///
    /// # Panics
    /// It cannot start: the fuzzer has nothing to do then.
    pub fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let daemon = runtime.block_on(Daemon::start());
        Self { runtime, socket: daemon.socket.clone(), _daemon: daemon }
    }

    /// Sends `request` and gives the status of the answer; none when there was no answer.
    ///
    /// # Panics
    /// The API listens no longer.
    pub fn status_of(&self, request: &[u8]) -> Option<u16> {
        self.runtime.block_on(async {
            let mut stream = UnixStream::connect(&self.socket).await.expect("it listens");
            // It may answer and close before it has read all.
            stream.write_all(request).await.ok();
            let mut head = [0; 12];
            stream.read_exact(&mut head).await.ok()?;
            std::str::from_utf8(&head).ok()?.strip_prefix("HTTP/1.1 ")?.parse().ok()
        })
    }
}
