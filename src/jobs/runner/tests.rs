use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::RecvFlags;

use super::ends::{Ends, Note};
use super::*;
use crate::clock::Clock;
use crate::engine::ports::{HeldAttempt, Performer, Unfinished};
use crate::ids::ExecutionId;
use crate::instant::Instant;
use crate::jobs::runners::{LeftEnd, Runners, end_on_record};
use crate::jobs::testing::{StillClock, alone};
use crate::telemetry::metrics::Metrics;

/// A daemon that does what a test tells it.
struct Client {
    stream: UnixStream,
    inbox: Inbox,
}

impl Client {
    fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        Self { stream, inbox: Inbox::default() }
    }

    fn send(&mut self, order: &Order) {
        self.stream.write_all(&framed(order)).expect("it hears");
    }

    /// The next thing it is told; none at the end.
    fn told(&mut self) -> Option<Tale> {
        loop {
            if let Some(tale) = self.inbox.next().expect("a message") {
                return Some(tale);
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).expect("it speaks") {
                0 => return None,
                size => self.inbox.bytes.extend_from_slice(&buffer[..size]),
            }
        }
    }

    fn greeted(&mut self) -> Greeting {
        self.send(&Order::Hello { protocol: PROTOCOL, version: "0.1.0".to_owned() });
        loop {
            if let Some(Tale::Hello(greeting)) = self.told() {
                return greeting;
            }
        }
    }

    /// Reads on as a daemon does until the attempt ends; `took` with each place that it is told of.
    fn until_ended(&mut self, mut took: impl FnMut(Place) -> u32) -> Ended {
        loop {
            match self.told().expect("it is there") {
                Tale::Grew { of, to } => {
                    let keep_from = took(to);
                    self.send(&Order::Took { of, read: to, keep_from });
                }
                Tale::Ended(ended) => return *ended,
                Tale::Hello(_) | Tale::Way(_) | Tale::Said(_) => (),
            }
        }
    }
}

/// A runner inside of this process, and a daemon for it.
fn runner() -> (tempfile::TempDir, Folder, Client) {
    runner_of(Processes::adopt(None).expect("Linux has subreapers"))
}

fn runner_of(processes: Processes) -> (tempfile::TempDir, Folder, Client) {
    let runs = tempfile::tempdir().expect("a folder");
    let folder = Folder::make(runs.path(), Instant::default()).expect("made");
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    inside(folder.clone(), theirs, processes).expect("it starts");
    let mut client = Client::new(ours);
    assert_eq!(client.greeted().attempts.len(), 0);
    (runs, folder, client)
}

fn key() -> AttemptKey {
    AttemptKey { execution: ExecutionId::random(Instant::from_secs(5), [5; 10]), attempt: 1 }
}

fn shell(text: &str, folder: &Path) -> Order {
    let path = ("PATH".to_owned(), "/usr/bin:/bin".to_owned());
    Order::Start(Box::new(Start {
        of: key(),
        program: "/bin/sh".into(),
        arguments: vec!["-c".to_owned(), text.to_owned()],
        environment: BTreeMap::from([path]),
        folder: folder.into(),
        secrets: vec!["hunter2-secret".to_owned()],
        timeout_ms: Some(60_000),
        grace_ms: 1_000,
        max_log_bytes: 1 << 20,
        accepts_killed: false,
        before: Before { lines: 3, bytes: 7 },
    }))
}

/// What the spool holds up to `until`: how much of output, and the words of what is missing.
fn spooled(folder: &Folder, until: Place) -> (Vec<u8>, Vec<String>) {
    let mut reader = SpoolReader::new(folder.path(), key(), Place::default());
    let (mut output, mut gaps) = (Vec::new(), Vec::new());
    while let Some(record) = reader.next(until).expect("readable") {
        match record.kind {
            Kind::Gap => gaps.push(String::from_utf8_lossy(record.bytes).into_owned()),
            Kind::Stdout | Kind::Stderr => output.extend_from_slice(record.bytes),
            Kind::Warning => (),
        }
    }
    (output, gaps)
}

fn bytes_in(folder: &Folder) -> u64 {
    let files = fs::read_dir(folder.path()).expect("a folder").map_while(Result::ok);
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

fn gate(folder: &Path) -> std::path::PathBuf {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let gate = folder.join("gate");
    mknodat(CWD, &gate, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("made");
    gate
}

#[test]
fn output_that_cannot_be_written_holds_nobody_up_and_is_told_when_it_can() {
    let (runs, folder, mut client) = runner();
    let gate = gate(runs.path());
    // In the place of the file: what stands for a full disk here.
    let blocked = folder.path().join(format!("{}-1.0", key().execution));
    fs::create_dir(&blocked).expect("made");
    client.send(&shell("echo lost; read line < gate; echo kept hunter2-secret", runs.path()));
    while !matches!(client.told(), Some(Tale::Said(text)) if text.contains("is not kept")) {}
    fs::remove_dir(&blocked).expect("removed");
    fs::write(&gate, "go on\n").expect("somebody reads");
    let ended = client.until_ended(|_| 0);
    assert_eq!(ended.lost_bytes, 0);
    let (output, gaps) = spooled(&folder, ended.spooled);
    assert_eq!(String::from_utf8_lossy(&output), "kept ***\n");
    assert!(gaps[0].starts_with("5 bytes of output were not kept: "), "{gaps:?}");
}

/// Its thread waits a second for the herd before it looks, longer than the command may take.
#[test]
fn a_command_that_has_ended_by_itself_while_a_herd_starts_is_not_late() {
    let processes = Processes::adopt(None).expect("Linux has subreapers");
    let other = |n| ExecutionId::random(Instant::from_secs(6), [n; 10]);
    let herd: Vec<_> = (0..40).map(|n| processes.to_start(other(n))).collect();
    let (runs, _folder, mut client) = runner_of(processes);
    let Order::Start(mut start) = shell("exit 3", runs.path()) else { panic!("a start") };
    start.timeout_ms = Some(300);
    client.send(&Order::Start(start));
    let ended = client.until_ended(|_| 0);
    assert!(matches!(ended.how, How::Ended { status: 0x300, why: None, .. }), "{ended:?}");
    drop(herd);
}

/// It has lost its daemon: the next one is told of what was too much.
#[test]
fn without_a_daemon_no_more_is_kept_than_the_log_may_hold() {
    let (runs, folder, mut client) = runner();
    let gate = gate(runs.path());
    client.send(&shell("read line < gate; head -c 20000000 /dev/zero; echo after", runs.path()));
    // It hears the end before it can hear the next one.
    drop(client);
    let mut next = Client::new(folder.connect().expect("it listens"));
    assert_eq!(next.greeted().attempts.len(), 1);
    drop(next);
    fs::write(&gate, "go on\n").expect("somebody reads");
    // With its last command the runner goes, and what it left is on record.
    folder.wait_until_free().expect("it goes");
    let found = on_record(&folder).remove(&key()).expect("it is on record");
    assert_eq!(found.before, Before { lines: 3, bytes: 7 });
    let ended = found.ended.expect("it has ended");
    assert!(matches!(ended.how, How::Ended { status: 0, why: None, .. }), "{ended:?}");
    let (output, gaps) = spooled(&folder, ended.spooled);
    let kept = output.len() as u64;
    assert!((16 << 20..17 << 20).contains(&kept), "{kept} bytes");
    let lost = 20_000_000 + "after\n".len() as u64 - kept;
    let words = "bytes of output were not kept: `max_log` was reached while no daemon ran";
    assert_eq!((gaps, ended.lost_bytes), (vec![format!("{lost} {words}")], 0));
}

#[test]
fn a_daemon_that_is_behind_holds_the_command_up_and_no_disk_is_filled() {
    let (runs, folder, mut client) = runner();
    client.send(&shell("head -c 60000000 /dev/zero", runs.path()));
    let mut most = 0;
    let mut read = 0;
    let mut reader = SpoolReader::new(folder.path(), key(), Place::default());
    let ended = client.until_ended(|to| {
        while let Some(record) = reader.next(to).expect("readable") {
            read += record.bytes.len();
        }
        most = most.max(bytes_in(&folder));
        reader.place().piece
    });
    while let Some(record) = reader.next(ended.spooled).expect("readable") {
        read += record.bytes.len();
    }
    assert_eq!((read, ended.lost_bytes), (60_000_000, 0));
    assert!(most < 18 << 20, "{most} bytes");
    client.send(&Order::Forget { of: key() });
    drop(client);
    folder.wait_until_free().expect("it goes");
    assert!(!folder.path().join("ends").exists(), "what is over leaves nothing behind");
}

/// As one that is killed: the kernel calls that a reset.
#[test]
fn a_daemon_that_goes_before_it_has_read_everything_is_nothing_to_speak_of() {
    let (runs, folder, mut client) = runner();
    client.send(&shell("true", runs.path()));
    while on_record(&folder).remove(&key()).is_none_or(|found| found.ended.is_none()) {
        std::thread::yield_now();
    }
    // What is left to read is taken note of, and not read.
    rustix::net::recv(&client.stream, &mut [0; 4], RecvFlags::PEEK).expect("it speaks");
    drop(client);
    folder.wait_until_free().expect("it goes");
    assert_eq!(folder.take_said(), "");
    assert!(on_record(&folder)[&key()].ended.is_some());
}

#[test]
fn one_that_speaks_otherwise_is_told_so_and_refused() {
    let (runs, folder, mut client) = runner();
    client.send(&shell("exec sleep 31601", runs.path()));
    let mut other = Client::new(folder.connect().expect("it listens"));
    other.send(&Order::Hello { protocol: 99, version: "9.0.0".to_owned() });
    let Some(Tale::Hello(greeting)) = other.told() else { panic!("no greeting") };
    assert_eq!(greeting.protocol, PROTOCOL);
    assert!(other.told().is_none(), "and no more");
    let mut own = Client::new(folder.connect().expect("it listens"));
    assert_eq!(own.greeted().attempts.len(), 1, "what runs is kept for one that it understands");
    own.send(&Order::End { of: key(), why: Why::LetGo });
    let ended = own.until_ended(|_| 0);
    assert!(matches!(ended.how, How::Ended { why: Some(Why::LetGo), .. }), "{ended:?}");
}

/// As one that a later version has left: its end is awaited, and read from its record.
#[tokio::test]
async fn one_that_cannot_be_asked_is_held_until_it_is_gone() {
    let (runs, folder, mut client) = runner();
    let gate = gate(runs.path());
    client.send(&shell("read line < gate; exit 3", runs.path()));
    while on_record(&folder).is_empty() {
        tokio::task::yield_now().await;
    }
    fs::remove_file(folder.path().join("socket")).expect("removed");
    drop(client);
    let metrics = Arc::new(Metrics::new("0.1.0", "test").expect("unique names"));
    let processes = Processes::adopt(None).expect("Linux has subreapers");
    let shared = (Arc::new(StillClock) as Arc<dyn Clock>, metrics);
    let runners = Runners::inside(runs.path().to_owned(), processes, shared);
    let held = HeldAttempt { number: 1, ended: false };
    assert_eq!(runners.held().await, HashMap::from([(key().execution, held)]));
    let left = runners.claim(key()).expect("it is held");
    assert!(matches!(left.end, LeftEnd::WhenGone));
    let ended = end_on_record(left.generation.folder().clone(), key());
    fs::write(&gate, "go on\n").expect("somebody reads");
    let ended = ended.await.expect("it is on record");
    assert!(matches!(ended.how, How::Ended { status: 0x300, .. }), "{ended:?}");
}

#[tokio::test]
async fn what_an_interrupted_attempt_has_left_goes_with_its_execution_also_without_a_log() {
    for has_log in [true, false] {
        let bench = crate::jobs::testing::shell("true");
        let runs = bench.root.path().join("runs");
        let folder = Folder::make(&runs, Instant::default()).expect("made");
        let of = AttemptKey { execution: bench.execution, attempt: 1 };
        let started = Note::Started { of, before: Before::default() };
        Ends::create(&folder).and_then(|mut ends| ends.add(&started)).expect("written");
        let _alone = alone().await;
        let (performer, work, lines, _root) = bench.performer();
        let writer = lines.writer(work.execution);
        let busy = (!has_log).then_some(writer);
        assert_eq!(performer.held().await, HashMap::new());
        performer.conclude(work, Unfinished::Interrupted).await;
        assert!(!folder.path().exists(), "with a log: {has_log}");
        drop(busy);
    }
}
