//! A client of the daemon that costs next to nothing: HTTP/1.1 over one connection to its Unix socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::Outcome;

/// No answer takes this long, unless something is broken.
const PATIENCE: Duration = Duration::from_secs(1_800);
/// What one read takes at most.
const BLOCK_BYTES: usize = 64 * 1024;

/// One connection. The daemon closes it when nothing was asked for 30 s.
pub(crate) struct Client {
    stream: BufReader<UnixStream>,
}

/// How far an answer's body reaches.
enum Extent {
    Bytes(u64),
    Chunks,
}

impl Client {
    /// Connects to the daemon that has this socket.
    pub(crate) fn connect(socket: &Path) -> Outcome<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::with_capacity(BLOCK_BYTES, stream) })
    }

    /// Reads `path` as JSON.
    pub(crate) fn get(&mut self, path: &str) -> Outcome<Value> {
        Ok(serde_json::from_slice(&self.whole("GET", path)?)?)
    }

    /// Reads `path` as text.
    pub(crate) fn text(&mut self, path: &str) -> Outcome<String> {
        Ok(String::from_utf8(self.whole("GET", path)?)?)
    }

    /// Asks for what `path` does, without a body.
    pub(crate) fn post(&mut self, path: &str) -> Outcome<Value> {
        Ok(serde_json::from_slice(&self.whole("POST", path)?)?)
    }

    /// The same for one of many: the answer is taken and not looked into.
    pub(crate) fn order(&mut self, path: &str) -> Outcome<()> {
        let status = self.ask("POST", path, &mut |_body: &[u8]| ())?;
        if status == 202 { Ok(()) } else { Err(format!("POST {path} answered {status}").into()) }
    }

    /// Reads `path` piece by piece, whatever its size.
    pub(crate) fn read(&mut self, path: &str, mut take: impl FnMut(&[u8])) -> Outcome<()> {
        let status = self.ask("GET", path, &mut take)?;
        if status == 200 { Ok(()) } else { Err(format!("GET {path} answered {status}").into()) }
    }

    fn whole(&mut self, method: &str, path: &str) -> Outcome<Vec<u8>> {
        let mut body = Vec::new();
        let status = self.ask(method, path, &mut |bytes: &[u8]| body.extend_from_slice(bytes))?;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let body = String::from_utf8_lossy(&body);
        Err(format!("{method} {path} answered {status}: {body}").into())
    }

    fn ask(&mut self, method: &str, path: &str, take: &mut dyn FnMut(&[u8])) -> Outcome<u16> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\ncontent-length: 0\r\n\r\n"
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (status, extent) = self.head()?;
        match extent {
            Extent::Bytes(bytes) => self.pass(bytes, take)?,
            Extent::Chunks => while self.chunk(take)? {},
        }
        Ok(status)
    }

    fn head(&mut self) -> Outcome<(u16, Extent)> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).ok_or("an answer without a status")?.parse()?;
        let mut extent = Extent::Bytes(0);
        loop {
            let header = self.line()?.to_ascii_lowercase();
            if header.is_empty() {
                return Ok((status, extent));
            }
            if let Some(bytes) = header.strip_prefix("content-length:") {
                extent = Extent::Bytes(bytes.trim().parse()?);
            } else if header.starts_with("transfer-encoding:") {
                extent = Extent::Chunks;
            }
        }
    }

    /// Hands on one chunk; false after the last one.
    fn chunk(&mut self, take: &mut dyn FnMut(&[u8])) -> Outcome<bool> {
        let bytes = u64::from_str_radix(&self.line()?, 16)?;
        self.pass(bytes, take)?;
        self.line()?;
        Ok(bytes > 0)
    }

    /// One line of what HTTP itself says, without its end.
    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err("the connection broke off".into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }

    fn pass(&mut self, bytes: u64, take: &mut dyn FnMut(&[u8])) -> Outcome<()> {
        let mut body = self.stream.by_ref().take(bytes);
        loop {
            let block = body.fill_buf()?;
            if block.is_empty() {
                break;
            }
            take(block);
            let taken = block.len();
            body.consume(taken);
        }
        if body.limit() > 0 { Err("the connection broke off".into()) } else { Ok(()) }
    }
}
