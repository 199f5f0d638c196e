//! A daemon with jobs that have an effect outside, and their own ledger of it.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::support::PATIENCE;

/// Lines of the daemon's own log that a failure shows.
const SAID_MAX: usize = 60;

/// The job: notes that it began, and has its effect only if its key is new, as a job does that may run twice. The ledger
/// is outside of Daybook's data, as the external system is.
const EFFECT: &str = r#"#!/bin/sh
set -eu
exec 9>> "$LEDGER/lock"
flock 9
echo "$DAYBOOK_EXECUTION $DAYBOOK_ATTEMPT $DAYBOOK_SCHEDULE ${DAYBOOK_SLOT:-none} $DAYBOOK_IDEMPOTENCY_KEY" >> "$LEDGER/starts"
sync "$LEDGER/starts"
if ! grep -qxF "$DAYBOOK_IDEMPOTENCY_KEY" "$LEDGER/effects"; then
  echo "$DAYBOOK_IDEMPOTENCY_KEY" >> "$LEDGER/effects"
  sync "$LEDGER/effects"
fi
echo "done $DAYBOOK_EXECUTION"
"#;

/// What a shop has: slots each second of four kinds, and what people start.
const SHOP: &str = r#"
env = { LEDGER = "%LEDGER%" }

[schedules.each]
every = "1s"
command = ["./effect"]
overlap = "allow"

[schedules.again]
every = "1s"
command = ["./effect"]
overlap = "queue-all"
on_interrupt = "rerun"
catch_up = { mode = "all", window = "1h", max = 5 }
ping = "http://%MONITOR%/again"

[schedules.skips]
every = "1s"
shell = "./effect; sleep 2"

[schedules.paused]
every = "1s"
command = ["true"]

[schedules.by-hand]
manual = true
command = ["./effect"]
overlap = "allow"

[schedules.noisy]
manual = true
shell = "seq 1 2000; echo 'ERROR Mapping: no product'; sleep 60"
overlap = "allow"
"#;

/// How a daemon that was started is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Began {
    /// It listens.
    Listens,
    /// It has ended.
    Ended,
}

/// See the module's doc.
pub(crate) struct World {
    pub(crate) root: PathBuf,
    pub(crate) data: PathBuf,
    /// Runs the daemon and its commands as processes of a machine of their own, which ends with it.
    pub(crate) is_machine: bool,
    pub(crate) variables: Vec<(String, String)>,
    child: Option<Child>,
    news: Option<mpsc::Receiver<Began>>,
    said: Arc<Mutex<VecDeque<String>>>,
}

impl World {
    /// A shop in `root` whose data is in `data`; its pings go to `monitor`.
    pub(crate) fn new(root: &Path, data: &Path, monitor: &str) -> Self {
        let world = Self::with_files(root, data, &[]);
        fs::create_dir_all(world.ledger()).expect("a folder");
        for name in ["starts", "effects"] {
            fs::write(world.ledger().join(name), "").expect("a file");
        }
        let shop = SHOP
            .replace("%LEDGER%", &world.ledger().display().to_string())
            .replace("%MONITOR%", monitor);
        fs::write(root.join("schedules/shop.toml"), shop).expect("a file");
        fs::write(root.join("effect"), EFFECT).expect("a file");
        let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        fs::set_permissions(root.join("effect"), mode).expect("its mode");
        world
    }

    /// A world with these files and no daemon yet.
    pub(crate) fn with_files(root: &Path, data: &Path, files: &[(&str, &str)]) -> Self {
        fs::create_dir_all(root.join("schedules")).expect("a folder");
        for (name, text) in files {
            fs::write(root.join("schedules").join(name), text).expect("a file");
        }
        Self {
            root: root.to_owned(),
            data: data.to_owned(),
            is_machine: false,
            variables: Vec::new(),
            child: None,
            news: None,
            said: Arc::default(),
        }
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.root.join("ledger")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        // Paths of sockets are short.
        self.root.join("socket")
    }

    fn command(&self) -> Command {
        let daybook = env!("CARGO_BIN_EXE_daybook");
        let mut command = if self.is_machine {
            let mut command = Command::new("unshare");
            command.args(["--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", daybook]);
            command
        } else {
            Command::new(daybook)
        };
        command
            .current_dir(&self.root)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", &self.root)
            .env("DAYBOOK_DATA", &self.data)
            .env("DAYBOOK_SOCKET", self.socket())
            .env("DAYBOOK_GRACE", "1s")
            .env("DAYBOOK_DRAIN_DEADLINE", "1s")
            .stdin(Stdio::null());
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        command
    }

    /// Starts the daemon; it dies where `crash_at` says.
    pub(crate) fn start(&mut self, crash_at: Option<&str>) -> Began {
        let mut command = self.command();
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
        if let Some(place) = crash_at {
            command.env("TEST_CRASH_AT", place);
        }
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let stderr = child.stderr.take().expect("piped");
        let pid = rustix::process::Pid::from_child(&child);
        self.child = Some(child);
        let (tell, news) = mpsc::channel();
        let (said, tell_end) = (Arc::clone(&self.said), tell.clone());
        thread::spawn(move || listen(stderr, &said, &tell));
        thread::spawn(move || {
            // Not by the end of what it says: processes that outlive it may say something.
            let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            // An error says that somebody has waited for it before.
            let _ended = waitid(WaitId::Pid(pid), ended);
            tell_end.send(Began::Ended).unwrap_or_default();
        });
        let began = news.recv_timeout(PATIENCE);
        self.news = Some(news);
        assert!(began.is_ok(), "the daemon neither listens nor ends\n{}", self.said());
        began.unwrap_or(Began::Ended)
    }

    /// Whether the daemon ends by itself within this time.
    pub(crate) fn ends_within(&mut self, time: Duration) -> bool {
        let news = self.news.as_ref().expect("it runs");
        news.recv_timeout(time).is_ok()
    }

    /// Runs another command of the program.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().expect("the binary starts")
    }

    /// Asks the daemon to stop.
    pub(crate) fn ask_to_stop(&self) {
        let child = self.child.as_ref().expect("it runs");
        let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        assert!(asked.is_ok_and(|status| status.success()), "it runs");
    }

    /// Ends the daemon without a warning, with its commands when it is a machine; gives how it ended.
    pub(crate) fn kill(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let id = child.id();
        let within = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        match within.ok().filter(|within| self.is_machine && !within.trim().is_empty()) {
            // The first process of a machine takes all others along, and whoever started it ends when all are gone.
            Some(first) => drop(Command::new("kill").args(["-KILL", first.trim()]).status()),
            // It may have ended by itself.
            None => drop(child.kill()),
        }
        child.wait().expect("it ends")
    }

    /// Ends those without a warning who run commands on while no daemon does; gives how many there were.
    pub(crate) fn kill_runners(&self) -> usize {
        let data = self.data.display().to_string();
        let runs_commands = |entry: &fs::DirEntry| {
            let told = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let program = fs::read_link(entry.path().join("exe")).unwrap_or_default();
            program.starts_with(env!("CARGO_BIN_EXE_daybook"))
                && String::from_utf8_lossy(&told).contains(&data)
        };
        let all = fs::read_dir("/proc").expect("a list").filter_map(Result::ok);
        let runners: Vec<_> = all.filter(runs_commands).map(|entry| entry.file_name()).collect();
        for runner in &runners {
            drop(Command::new("kill").arg("-KILL").arg(runner).status());
        }
        runners.len()
    }

    /// Asks the daemon to stop and waits until it has.
    pub(crate) fn stop(&mut self) {
        self.ask_to_stop();
        assert!(self.ends_within(PATIENCE), "the daemon does not stop\n{}", self.said());
        let status = self.kill();
        assert!(status.success(), "{status}\n{}", self.said());
    }

    /// Whether the daemon was ended by KILL.
    pub(crate) fn was_killed(status: ExitStatus) -> bool {
        status.signal() == Some(9)
    }

    /// The newest of what the daemon said.
    pub(crate) fn said(&self) -> String {
        let said = self.said.lock().expect("no panic");
        said.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// A copy of the data, for the judge. Without what runners are still writing.
    pub(crate) fn copy(&self, to: &Path) {
        fs::create_dir(to).expect("a folder");
        for entry in fs::read_dir(&self.data).expect("a folder").flatten() {
            if entry.file_name() != "runs" {
                let copied = Command::new("cp").arg("-a").arg(entry.path()).arg(to).status();
                assert!(copied.is_ok_and(|status| status.success()), "the data can be copied");
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// Keeps what the daemon says, and tells when it listens.
fn listen(stderr: ChildStderr, said: &Mutex<VecDeque<String>>, tell: &mpsc::Sender<Began>) {
    let mut told = false;
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if !told && line.contains("listening") {
            told = true;
            tell.send(Began::Listens).unwrap_or_default();
        }
        let mut said = said.lock().expect("no panic");
        if said.len() == SAID_MAX {
            said.pop_front();
        }
        said.push_back(line);
    }
}
