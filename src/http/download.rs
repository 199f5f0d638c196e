//! Answers that are files: written while they are taken, or finished before.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{HeaderValue, header};
use tokio::io::AsyncReadExt;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// Bytes that are handed on at once.
const PART_BYTES: usize = 64 << 10;
/// Parts that wait for a slow reader.
const PARTS_WAITING: usize = 4;

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

/// A file that `write` writes while it is taken, on a thread that may block; a slow reader holds it up, and one that is gone
/// ends it. What broke off has no end: its head was sent long before.
pub fn written(
    label: &Label,
    permit: OwnedSemaphorePermit,
    write: impl FnOnce(&mut dyn Write) -> Result<(), String> + Send + 'static,
) -> Response {
    let (parts, taken) = mpsc::channel(PARTS_WAITING);
    // Its thread ends with the file, or when nobody reads on.
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let mut to = BufWriter::with_capacity(PART_BYTES, Handing(parts.clone()));
        let written = write(&mut to).and_then(|()| to.flush().map_err(|err| err.to_string()));
        // What is left of a file that broke off must not look like its end.
        drop(to.into_parts());
        if parts.is_closed() {
            tracing::debug!("whoever took an export went away");
        } else if let Err(why) = written {
            tracing::error!(%why, "an export broke off");
            drop(parts.blocking_send(Err(io::Error::other(why))));
        }
    });
    let parts =
        stream::unfold(
            taken,
            |mut parts| async move { parts.recv().await.map(|part| (part, parts)) },
        );
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
struct Handing(mpsc::Sender<io::Result<Bytes>>);

impl Write for Handing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = Bytes::copy_from_slice(bytes);
        let sent = self.0.blocking_send(Ok(part));
        sent.map_err(|_gone| io::Error::from(io::ErrorKind::BrokenPipe)).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
