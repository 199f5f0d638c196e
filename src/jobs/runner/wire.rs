//! What daemon and runner say to each other over their socket: a length and a JSON text for each message.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::spool::Place;
use crate::domain::event::Usage;
use crate::ids::ExecutionId;

/// The version of the messages and of a generation's files. A daemon talks to no runner of another one.
pub(in crate::jobs) const PROTOCOL: u32 = 1;

/// Bytes of one message at most: a command's arguments and variables fit, which the kernel limits to some megabytes.
const MESSAGE_MAX: usize = 32 << 20;

/// One attempt of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(in crate::jobs) struct AttemptKey {
    pub(in crate::jobs) execution: ExecutionId,
    /// From 1.
    pub(in crate::jobs) attempt: u32,
}

/// What a daemon asks for.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::jobs) enum Order {
    /// The first message of each connection.
    Hello {
        protocol: u32,
        version: String,
    },
    Start(Box<Start>),
    /// Ends the whole tree: TERM, the grace, KILL.
    End {
        of: AttemptKey,
        why: Why,
    },
    /// The output is read up to `read`; what stands in the pieces before `keep_from` is in the log for good.
    Took {
        of: AttemptKey,
        read: Place,
        keep_from: u32,
    },
    /// The attempt's end is recorded: nothing of it is needed any more.
    Forget {
        of: AttemptKey,
    },
}

/// A command that is to start. Its variables may hold secrets: they go over the socket and into no file.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::jobs) struct Start {
    pub(in crate::jobs) of: AttemptKey,
    pub(in crate::jobs) program: OsString,
    pub(in crate::jobs) arguments: Vec<String>,
    pub(in crate::jobs) environment: BTreeMap<String, String>,
    pub(in crate::jobs) folder: OsString,
    /// What is replaced in its output.
    pub(in crate::jobs) secrets: Vec<String>,
    pub(in crate::jobs) timeout_ms: Option<u64>,
    pub(in crate::jobs) grace_ms: u64,
    /// While no daemon reads, no more output is kept than this.
    pub(in crate::jobs) max_log_bytes: u64,
    /// Whether a shell's status for a killed command is one that the file accepts.
    pub(in crate::jobs) accepts_killed: bool,
    pub(in crate::jobs) before: Before,
}

impl std::fmt::Debug for Start {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Nothing of what may hold a secret.
        f.debug_struct("Start").field("of", &self.of).finish_non_exhaustive()
    }
}

/// What the execution's log held when the attempt began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::jobs) struct Before {
    pub(in crate::jobs) lines: u64,
    pub(in crate::jobs) bytes: u64,
}

/// Why a tree is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::jobs) enum Why {
    Timeout,
    Cancel,
    /// Nobody wants it any more.
    LetGo,
}

/// What a runner tells.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::jobs) enum Tale {
    /// The first message of each connection.
    Hello(Greeting),
    /// The folder of the commands' cgroups; the error says why they have none.
    Way(Result<OsString, String>),
    /// There is output up to this place. Told again only when a [`Order::Took`] has come.
    Grew {
        of: AttemptKey,
        to: Place,
    },
    Ended(Box<Ended>),
    /// A line for the daemon's own log.
    Said(String),
}

/// Who a runner is, and what it has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::jobs) struct Greeting {
    pub(in crate::jobs) protocol: u32,
    /// The program's.
    pub(in crate::jobs) version: String,
    pub(in crate::jobs) pid: i32,
    pub(in crate::jobs) attempts: Vec<Kept>,
}

/// An attempt that a runner has.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::jobs) struct Kept {
    pub(in crate::jobs) of: AttemptKey,
    pub(in crate::jobs) before: Before,
    pub(in crate::jobs) secrets: Vec<String>,
    /// How it ended; none while it runs.
    pub(in crate::jobs) ended: Option<Ended>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("of", &self.of).finish_non_exhaustive()
    }
}

/// How an attempt ended. Nothing of its process tree is left then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::jobs) struct Ended {
    pub(in crate::jobs) of: AttemptKey,
    pub(in crate::jobs) how: How,
    /// Where its output ends.
    pub(in crate::jobs) spooled: Place,
    /// Bytes of output at its end that could not be kept.
    pub(in crate::jobs) lost_bytes: u64,
    /// From its start to its end.
    pub(in crate::jobs) took_ms: u64,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::jobs) enum How {
    /// `errno` is the kernel's number where there is one; none for a text that holds a zero byte.
    NotStarted { program: String, errno: Option<i32> },
    /// The runner failed under it.
    Lost,
    Ended {
        /// As wait(2) gives it.
        status: i32,
        usage: Usage,
        /// Why Daybook ended it; none when it ended by itself.
        why: Option<Why>,
        /// The kernel ended it for want of memory.
        out_of_memory: bool,
    },
}

/// The bytes of `message` with their length before them.
pub(in crate::jobs) fn framed(message: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    // Messages are plain data: writing them to memory cannot fail.
    serde_json::to_writer(&mut bytes, message).unwrap_or_default();
    let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// Bytes that came, taken apart into messages.
#[derive(Default)]
pub(in crate::jobs) struct Inbox {
    pub(in crate::jobs) bytes: Vec<u8>,
    taken: usize,
}

impl Inbox {
    /// The next whole message; none until more bytes come.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`]: whoever speaks there speaks otherwise.
    pub(in crate::jobs) fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let rest = &self.bytes[self.taken..];
        let Some((head, body)) = rest.split_first_chunk::<4>() else { return Ok(self.tidy()) };
        let length = u32::from_le_bytes(*head) as usize;
        if length > MESSAGE_MAX {
            let text = format!("a message of {length} bytes, more than {MESSAGE_MAX}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let Some(body) = body.get(..length) else { return Ok(self.tidy()) };
        let message = serde_json::from_slice(body)
            .map_err(|err| io::Error::new(io::ErrorKind::InvalidData, err))?;
        self.taken += 4 + length;
        Ok(Some(message))
    }

    fn tidy<T>(&mut self) -> Option<T> {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_apart_wherever_the_bytes_were_cut() {
        let orders = [
            Order::Hello { protocol: PROTOCOL, version: "0.1.0".to_owned() },
            Order::Hello { protocol: 7, version: "ü".repeat(300) },
        ];
        let bytes: Vec<u8> = orders.iter().flat_map(framed).collect();
        for cut in 0..bytes.len() {
            let (mut inbox, mut told) = (Inbox::default(), Vec::new());
            for part in [&bytes[..cut], &bytes[cut..]] {
                inbox.bytes.extend_from_slice(part);
                while let Some(Order::Hello { protocol, .. }) = inbox.next().expect("whole") {
                    told.push(protocol);
                }
            }
            assert_eq!(told, [PROTOCOL, 7], "cut at {cut}");
        }
    }

    #[test]
    fn what_speaks_otherwise_is_refused() {
        let mut inbox = Inbox { bytes: b"GET / HTTP/1.1\r\n".to_vec(), taken: 0 };
        let refused = inbox.next::<Order>().expect_err("no message");
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    }
}
