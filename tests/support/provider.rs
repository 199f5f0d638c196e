//! A fake external system: creates one thing for each new idempotency key, and answers as it is told.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use crate::support::{PATIENCE, request};

/// How a call is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    /// Never; the connection stays open.
    Silence,
    /// With this status.
    Status(u16),
}

/// A call that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) head: String,
    pub(crate) body: String,
    /// Its `Idempotency-Key`; empty without one.
    pub(crate) key: String,
    /// Whether something was created: the key was new.
    pub(crate) created: bool,
}

pub(crate) struct Provider {
    pub(crate) address: SocketAddr,
    calls: mpsc::Receiver<Call>,
}

impl Provider {
    /// Answers the first calls as `replies` say, and all further ones with 200.
    pub(crate) fn start(replies: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (tell, calls) = mpsc::channel();
        let mut replies = Vec::from(replies).into_iter();
        thread::spawn(move || {
            let mut keys = BTreeSet::new();
            let mut silent = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                let Some((head, body)) = request::read(&stream) else { continue };
                let key = header(&head, "idempotency-key").to_owned();
                let created = !key.is_empty() && keys.insert(key.clone());
                if tell.send(Call { head, body, key, created }).is_err() {
                    return;
                }
                match replies.next().unwrap_or(Reply::Status(200)) {
                    Reply::Silence => silent.push(stream),
                    Reply::Status(status) => answer(&stream, status),
                }
            }
        });
        Self { address, calls }
    }

    /// The next call.
    pub(crate) fn next(&self) -> Call {
        self.calls.recv_timeout(PATIENCE).expect("a call")
    }
}

/// The value of a header; empty without it.
fn header<'a>(head: &'a str, name: &str) -> &'a str {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map_or("", |(_, value)| value.trim())
}

fn answer(mut stream: &TcpStream, status: u16) {
    let answer =
        format!("HTTP/1.1 {status} Told\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
    // Whoever asked may be gone.
    drop(stream.write_all(answer.as_bytes()));
}
