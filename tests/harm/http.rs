//! Requests over the daemon's Unix socket, whose answers may stay away: the daemon dies.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Up to here the log was on disk when it was given.
    pub(crate) position: Option<u64>,
    pub(crate) body: Value,
    pub(crate) text: String,
}

/// Asks, and waits for the whole answer.
///
/// # Errors
/// The daemon is gone, or was before it answered.
pub(crate) fn ask(socket: &Path, method: &str, path: &str, body: &Value) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&String::from_utf8_lossy(&answer))
        .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "no whole answer"))
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    if let Some(length) = header("content-length").and_then(|length| length.parse().ok())
        && body.len() < length
    {
        return None;
    }
    let position = header("x-daybook-position").and_then(|position| position.parse().ok());
    let json = serde_json::from_str(body).unwrap_or(Value::Null);
    Some(Answer { status, position, body: json, text: body.to_owned() })
}
