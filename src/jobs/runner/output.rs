//! A command's two pipes, read into its spool. Secrets are replaced on the way.

use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Child;
use std::time::Duration;

use rustix::io::Errno;
use rustix::pipe::fcntl_setpipe_size;

use super::attempt::Attempt;
use super::serve::Shared;
use super::spool::{Kind, SpoolWriter};
use super::waiting::{readable, ready};
use super::wire::{Start, Tale};
use crate::clock::Clock;
use crate::jobs::credentials::Secret;
use crate::jobs::redact::{RedactedStream, Redactor};

/// Bytes of one read: what a pipe holds.
const READ_BYTES: usize = 64 * 1024;

/// The same for a command that says little, as most do: there may be many of them at once.
const FEW_BYTES: usize = 4 * 1024;

/// What a busy pipe is widened to, so that writer and reader take fewer and longer turns. More is refused to users
/// without privileges (pipe(7)); and since what their pipes hold together is limited too, quiet ones stay as they are.
const WIDE_PIPE_BYTES: usize = 1 << 20;

/// A daemon that listens reads what is kept before more is read from the command.
const BACKLOG_BYTES: u64 = 16 << 20;

/// Which pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// The reading end of one pipe.
struct Pipe {
    end: OwnedFd,
    widened: bool,
}

impl Pipe {
    fn widen(&mut self) {
        self.widened = true;
        if let Err(err) = fcntl_setpipe_size(&self.end, WIDE_PIPE_BYTES) {
            tracing::debug!(%err, "a busy pipe keeps its size");
        }
    }
}

/// Output that could not be kept.
#[derive(Debug, Default)]
struct Gap {
    bytes: u64,
    why: String,
}

/// What a command writes, from its pipes to its spool.
pub(super) struct Output<'a> {
    shared: &'a Shared,
    attempt: &'a Attempt,
    pipes: [Option<Pipe>; 2],
    buffer: Vec<u8>,
    secrets: Redactor,
    redacted: [RedactedStream; 2],
    spool: SpoolWriter,
    gap: Gap,
    max_log_bytes: u64,
}

impl<'a> Output<'a> {
    pub(super) fn new(shared: &'a Shared, attempt: &'a Attempt, start: &Start) -> Self {
        let secrets: Vec<Secret> = start.secrets.iter().map(|value| Secret::new(value)).collect();
        Self {
            shared,
            attempt,
            pipes: [None, None],
            buffer: Vec::new(),
            secrets: Redactor::new(&secrets),
            redacted: Default::default(),
            spool: SpoolWriter::new(shared.folder.path(), start.of),
            gap: Gap::default(),
            max_log_bytes: start.max_log_bytes,
        }
    }

    /// Reads what `child` writes.
    pub(super) fn attach(&mut self, child: &mut Child) {
        let pipe = |end| Some(Pipe { end, widened: false });
        self.pipes = [
            child.stdout.take().map(OwnedFd::from).and_then(pipe),
            child.stderr.take().map(OwnedFd::from).and_then(pipe),
        ];
    }

    pub(super) const fn is_open(&self) -> bool {
        self.pipes[0].is_some() || self.pipes[1].is_some()
    }

    pub(super) const fn secrets(&self) -> &Redactor {
        &self.secrets
    }

    /// The end of `stream` that can be waited on.
    pub(super) fn end(&self, stream: Stream) -> Option<BorrowedFd<'_>> {
        self.pipes[stream as usize].as_ref().map(|pipe| pipe.end.as_fd())
    }

    /// Whether nothing more may be read until the daemon has caught up.
    pub(super) fn is_blocked(&mut self) -> bool {
        let full = |spool: &SpoolWriter| {
            self.shared.voice.is_connected() && spool.waiting() > BACKLOG_BYTES
        };
        let blocked = full(&self.spool);
        let keep_from = self.attempt.keep_from(blocked);
        self.spool.keep_from(keep_from);
        blocked && full(&self.spool)
    }

    /// Reads once from a pipe that has something, or has ended; true when something was read.
    pub(super) fn read(&mut self, stream: Stream) -> bool {
        let slot = stream as usize;
        let Some(pipe) = &mut self.pipes[slot] else { return false };
        if self.buffer.is_empty() {
            self.buffer.resize(FEW_BYTES, 0);
        }
        let kind = [Kind::Stdout, Kind::Stderr][slot];
        match rustix::io::read(&pipe.end, &mut self.buffer[..]) {
            Ok(0) => self.close(stream),
            Ok(size) => {
                if size >= READ_BYTES / 2 && !pipe.widened {
                    pipe.widen();
                }
                let buffer = std::mem::take(&mut self.buffer);
                let clean = self.redacted[slot].push(&self.secrets, &buffer[..size]);
                match clean {
                    Cow::Borrowed(clean) => self.keep(kind, clean),
                    Cow::Owned(clean) => self.keep(kind, &clean),
                }
                self.buffer = buffer;
                if size == self.buffer.len() {
                    self.buffer.resize(READ_BYTES, 0);
                }
                return true;
            }
            Err(Errno::INTR | Errno::AGAIN) => (),
            Err(err) => {
                self.close(stream);
                let name = ["stdout", "stderr"][slot];
                self.warn(&format!("{name} cannot be read any more: {err}"));
            }
        }
        false
    }

    /// Reads what the pipes hold, and no more than they can hold: somebody may still write.
    pub(super) fn drain(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            for _ in 0..=WIDE_PIPE_BYTES / READ_BYTES {
                let Some(end) = self.end(stream) else { break };
                let [has_more] = ready([readable(end)], Some(Duration::ZERO));
                if !has_more || !self.read(stream) {
                    break;
                }
            }
        }
    }

    fn close(&mut self, stream: Stream) {
        let slot = stream as usize;
        self.pipes[slot] = None;
        let rest = self.redacted[slot].finish(&self.secrets);
        self.keep([Kind::Stdout, Kind::Stderr][slot], &rest);
    }

    /// Nothing more is read. Gives the spool, and how many bytes at its end could not be kept.
    pub(super) fn finish(mut self) -> (SpoolWriter, u64) {
        self.close(Stream::Stdout);
        self.close(Stream::Stderr);
        self.tell_gap();
        (self.spool, self.gap.bytes)
    }

    /// Writes a warning of Daybook's own where the output stands now.
    pub(super) fn warn(&mut self, text: &str) {
        let text = self.secrets.text(text).into_owned();
        self.tell_gap();
        match self.spool.write(Kind::Warning, self.shared.clock.now(), text.as_bytes()) {
            Ok(()) => self.grew(),
            Err(err) => {
                self.shared.voice.mention(&format!("{}: {text}: {err}", self.attempt.of.execution))
            }
        }
    }

    fn keep(&mut self, kind: Kind, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let most = self.max_log_bytes.max(BACKLOG_BYTES);
        if !self.shared.voice.is_connected() && self.spool.waiting() >= most {
            return self.lose(bytes, "`max_log` was reached while no daemon ran");
        }
        if !self.tell_gap() {
            self.gap.bytes += bytes.len() as u64;
            return;
        }
        match self.spool.write(kind, self.shared.clock.now(), bytes) {
            Ok(()) => self.grew(),
            // The command is not held up: a disk may be full for long.
            Err(err) => self.lose(bytes, &err.to_string()),
        }
    }

    fn lose(&mut self, bytes: &[u8], why: &str) {
        if self.gap.bytes == 0 {
            why.clone_into(&mut self.gap.why);
            let execution = self.attempt.of.execution;
            self.shared.voice.mention(&format!("output of {execution} is not kept: {why}"));
        }
        self.gap.bytes += bytes.len() as u64;
    }

    /// Says in the output what is missing of it. False when that cannot be written either.
    fn tell_gap(&mut self) -> bool {
        if self.gap.bytes == 0 {
            return true;
        }
        let text = format!("{} bytes of output were not kept: {}", self.gap.bytes, self.gap.why);
        let told = self.spool.write(Kind::Gap, self.shared.clock.now(), text.as_bytes()).is_ok();
        if told {
            self.gap = Gap::default();
        }
        told
    }

    fn grew(&self) {
        let to = self.spool.place();
        if self.attempt.grew(to) {
            self.shared.voice.say(&Tale::Grew { of: self.attempt.of, to });
        }
    }
}
