//! Answers that are files: written while they are taken, or finished before.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{HeaderValue, header};
use tokio::io::AsyncReadExt;
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// Bytes that are handed on at once.
const PART_BYTES: usize = 64 << 10;
/// Parts that wait for a slow reader.
const PARTS_WAITING: usize = 4;
/// A reader that takes nothing for so long is gone: what it holds up (one of few exports, retention) is wanted by others.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a file is called, and what it is.
#[derive(Clone, Debug)]
pub struct Label {
    /// Its name: letters, digits, dots and dashes.
    pub name: String,
    /// Its media type.
    pub media_type: &'static str,
}

impl Label {
    fn onto(&self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        let disposition = format!("attachment; filename=\"{}\"", self.name);
        if let Ok(disposition) = HeaderValue::try_from(disposition) {
            headers.insert(header::CONTENT_DISPOSITION, disposition);
        }
        response
    }
}

/// A file that `write` writes while it is taken, on a thread that may block; a slow reader holds it up, and one that is gone, or
/// takes nothing for ten minutes, ends it. What broke off has no end: its head was sent long before.
pub fn written(
    label: &Label,
    permit: OwnedSemaphorePermit,
    write: impl FnOnce(&mut dyn Write) -> Result<(), String> + Send + 'static,
) -> Response {
    written_with((label, PATIENCE), permit, write)
}

fn written_with(
    (label, patience): (&Label, Duration),
    permit: OwnedSemaphorePermit,
    write: impl FnOnce(&mut dyn Write) -> Result<(), String> + Send + 'static,
) -> Response {
    let (parts, taken) = mpsc::channel(PARTS_WAITING);
    // Until all is written it is broken off, so that a panic does not look like the file's end either.
    let broken_off = Arc::new(Mutex::new(Some(io::Error::other("its writer was cut short"))));
    let outcome = Arc::clone(&broken_off);
    // Its thread ends with the file, or when nobody reads on.
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let handing = Handing { parts: parts.clone(), patience };
        let mut to = BufWriter::with_capacity(PART_BYTES, handing);
        let written = write(&mut to).and_then(|()| to.flush().map_err(|err| err.to_string()));
        // What is left of a file that broke off must not look like its end.
        drop(to.into_parts());
        let unfinished = written.err();
        match &unfinished {
            _ if parts.is_closed() => tracing::debug!("whoever took an export went away"),
            Some(why) => tracing::error!(%why, "an export broke off"),
            None => {}
        }
        *outcome.lock().unwrap_or_else(PoisonError::into_inner) = unfinished.map(io::Error::other);
    });
    let parts = stream::unfold((taken, broken_off), |(mut parts, broken_off)| async move {
        let part = match parts.recv().await {
            Some(part) => Ok(part),
            None => Err(broken_off.lock().unwrap_or_else(PoisonError::into_inner).take()?),
        };
        Some((part, (parts, broken_off)))
    });
    label.onto(Body::from_stream(parts).into_response())
}

/// A file that is finished, from its beginning on.
///
/// # Errors
/// Its length cannot be told.
pub fn finished(label: &Label, permit: OwnedSemaphorePermit, file: File) -> io::Result<Response> {
    let length = file.metadata()?.len();
    let begun = (tokio::fs::File::from_std(file), permit);
    let parts = stream::try_unfold(begun, |(mut file, permit)| async move {
        let mut part = Vec::with_capacity(PART_BYTES);
        let read = (&mut file).take(PART_BYTES as u64).read_to_end(&mut part).await?;
        Ok::<_, io::Error>((read > 0).then(|| (Bytes::from(part), (file, permit))))
    });
    let mut response = label.onto(Body::from_stream(parts).into_response());
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

/// Hands bytes to the one who reads the answer, and waits for a slow one.
struct Handing {
    parts: mpsc::Sender<Bytes>,
    patience: Duration,
}

impl Write for Handing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = Bytes::copy_from_slice(bytes);
        match Handle::current().block_on(self.parts.send_timeout(part, self.patience)) {
            Ok(()) => Ok(bytes.len()),
            Err(SendTimeoutError::Closed(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(SendTimeoutError::Timeout(_)) => {
                let seconds = self.patience.as_secs();
                Err(io::Error::other(format!("whoever takes it took nothing for {seconds} s")))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_reader_that_takes_nothing_is_given_up_and_has_no_whole_file() {
        let label = Label { name: "all.csv".to_owned(), media_type: "text/csv" };
        let exports = Arc::new(Semaphore::new(1));
        let permit = Arc::clone(&exports).acquire_owned().await.expect("open");
        let patience = Duration::ZERO;
        let response = written_with((&label, patience), permit, |to| {
            loop {
                to.write_all(&[b'x'; PART_BYTES]).map_err(|err| err.to_string())?;
            }
        });
        drop(exports.acquire().await.expect("others may export"));
        let taken = axum::body::to_bytes(response.into_body(), usize::MAX).await;
        assert!(taken.is_err(), "what is left of it must not look whole");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_writer_that_panics_leaves_no_whole_file() {
        let label = Label { name: "all.csv".to_owned(), media_type: "text/csv" };
        let take = async |fails: bool| {
            let permit = Arc::new(Semaphore::new(1)).acquire_owned().await.expect("open");
            let response = written(&label, permit, move |to| {
                to.write_all(b"id,status\n").map_err(|err| err.to_string())?;
                assert!(!fails, "a row that cannot be written");
                Ok(())
            });
            axum::body::to_bytes(response.into_body(), usize::MAX).await
        };
        assert_eq!(take(false).await.expect("whole"), "id,status\n");
        assert!(take(true).await.is_err(), "what is left of it must not look whole");
    }
}
