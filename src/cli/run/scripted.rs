//! A daemon that answers what a test tells it to, and keeps what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

pub(super) struct Scripted {
    folder: tempfile::TempDir,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// Gives these answers, one to each request, and then is gone.
    pub(super) fn start(answers: &[String]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join("daybook.sock")).expect("a socket");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, answers) = (Arc::clone(&asked), answers.to_vec());
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().expect("a caller");
                let request = request(&stream);
                kept.lock().expect("no panic").push(request);
                // A caller who hung up has had enough.
                stream.write_all(answer.as_bytes()).ok();
            }
        });
        Self { folder, asked }
    }

    /// The `--server` for it.
    pub(super) fn server(&self) -> String {
        format!("unix:{}", self.folder.path().join("daybook.sock").display())
    }

    /// Heads and bodies of the requests so far.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

fn request(stream: &UnixStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") && reader.read_line(&mut text).expect("readable") > 0 {}
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).expect("a whole body");
    text + &String::from_utf8_lossy(&body)
}

/// An answer with a status and a JSON body.
pub(super) fn json(status: u16, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A stream of events of the log of `id`, which ends where `events` do.
pub(super) fn followed(id: &str, events: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-location: /api/executions/{id}/log\r\nconnection: close\r\n\r\n{events}"
    )
}

/// No answer: the daemon was stopped in the middle of it.
pub(super) fn broken() -> String {
    String::new()
}
