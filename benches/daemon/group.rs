//! One file that many producers append to, as plainly as it can be done durably.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use crate::Outcome;

/// A record on its way to the disk.
struct Record {
    bytes: Vec<u8>,
    durable: oneshot::Sender<()>,
}

/// The producers' side. When all clones are gone, the writer ends.
#[derive(Clone)]
pub(crate) struct Group(mpsc::Sender<Record>);

impl Group {
    /// Starts the one writer of a new file.
    pub(crate) fn create(path: &Path) -> Outcome<(Self, JoinHandle<io::Result<()>>)> {
        let file = File::create(path)?;
        let (records, queue) = mpsc::channel();
        Ok((Self(records), thread::spawn(move || write(file, &queue))))
    }

    /// Appends `bytes`; done when they are on disk.
    pub(crate) async fn append(&self, bytes: Vec<u8>) -> Outcome<()> {
        let (durable, acknowledged) = oneshot::channel();
        self.0.send(Record { bytes, durable })?;
        acknowledged.await?;
        Ok(())
    }
}

/// All that waits is one write and one `fdatasync`; then the acknowledgements.
fn write(mut file: File, queue: &mpsc::Receiver<Record>) -> io::Result<()> {
    let (mut bytes, mut waiting) = (Vec::new(), Vec::new());
    while let Ok(first) = queue.recv() {
        for record in std::iter::once(first).chain(queue.try_iter()) {
            bytes.extend_from_slice(&record.bytes);
            waiting.push(record.durable);
        }
        file.write_all(&bytes)?;
        file.sync_data()?;
        bytes.clear();
        waiting.drain(..).for_each(|durable| durable.send(()).unwrap_or_default());
    }
    Ok(())
}
