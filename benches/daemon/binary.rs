//! The real daemon as a process: started, watched, stopped.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant as Stopwatch;

use crate::client::Client;
use crate::{Failure, Outcome};

/// Nothing takes this long, unless it is broken.
const PATIENCE: Duration = Duration::from_secs(900);
/// Between two looks at a daemon that is to end or to come to rest.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The kernel's unit of processor time (`USER_HZ`): the same on every machine that Daybook is built for.
const TICK: Duration = Duration::from_millis(10);

/// A folder with schedules and data, and no daemon yet.
pub(crate) struct Home {
    folder: PathBuf,
}

impl Home {
    /// A home in `folder`, without any schedule.
    pub(crate) fn new(folder: &Path) -> Outcome<Self> {
        fs::create_dir_all(folder.join("schedules"))?;
        Ok(Self { folder: folder.to_owned() })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Writes an interface's file.
    pub(crate) fn define(&self, interface: &str, text: &str) -> Outcome<()> {
        fs::write(self.folder.join("schedules").join(format!("{interface}.toml")), text)?;
        Ok(())
    }

    /// Starts the daemon and waits until it says that it is ready.
    pub(crate) fn start(&self, flags: &[&str]) -> Outcome<Daemon> {
        let address = self.folder.join("notify");
        remove_if_there(&address)?;
        // Closed as soon as the daemon is ready: one that nobody reads would hold the daemon up.
        let manager = UnixDatagram::bind(&address)?;
        manager.set_read_timeout(Some(LOOK_EVERY))?;
        let log = self.folder.join("daemon.log");
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_daybook"));
        command
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &self.folder)
            .env("NOTIFY_SOCKET", &address)
            .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "text"])
            .arg("--data")
            .arg(self.data())
            .arg("--schedules")
            .arg(self.folder.join("schedules"))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let began = Stopwatch::now();
        let child = command.spawn()?;
        let socket = self.data().join("daybook.sock");
        let mut daemon = Daemon { child, socket, ready_after: Duration::ZERO };
        daemon.until_ready(&manager, began)?;
        Ok(daemon)
    }

    /// Starts the daemon and stops it when its lists show every event; how long it took to be ready.
    pub(crate) fn start_and_stop(&self) -> Outcome<Duration> {
        let daemon = self.start(&[])?;
        daemon.until_indexed()?;
        let took = daemon.ready_after;
        daemon.stop()?;
        Ok(took)
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(err) if err.kind() != ErrorKind::NotFound => Err(err),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A daemon that runs. Dropped without [`Daemon::stop`], it is killed.
pub(crate) struct Daemon {
    child: Child,
    socket: PathBuf,
    /// From its start until it said that it was ready.
    pub(crate) ready_after: Duration,
}

impl Daemon {
    fn until_ready(&mut self, manager: &UnixDatagram, began: Stopwatch) -> Outcome<()> {
        let mut words = [0; 4_096];
        while began.elapsed() < PATIENCE {
            match manager.recv(&mut words) {
                Ok(length) => {
                    self.ready_after = began.elapsed();
                    let words = String::from_utf8_lossy(&words[..length]);
                    if words.lines().any(|word| word == "READY=1") {
                        return Ok(());
                    }
                }
                Err(err) if is_timeout(&err) => {
                    if let Some(status) = self.child.try_wait()? {
                        return Err(format!("the daemon did not start: {status}").into());
                    }
                }
                Err(err) => return Err(err.into()),
            }
        }
        Err("the daemon does not become ready".into())
    }

    /// Ends it in good order.
    pub(crate) fn stop(mut self) -> Outcome<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = until(LOOK_EVERY, || Ok(self.child.try_wait()?))?;
        if status.success() { Ok(()) } else { Err(format!("the daemon ended: {status}").into()) }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn client(&self) -> Outcome<Client> {
        Client::connect(&self.socket)
    }

    /// Waits until no execution is open.
    pub(crate) fn until_idle(&self) -> Outcome<()> {
        let mut client = self.client()?;
        until(LOOK_EVERY, || {
            let status = client.get("/api/status")?;
            Ok((status["running"] == 0 && status["queued"] == 0).then_some(()))
        })
    }

    /// Waits until the lists show every event.
    pub(crate) fn until_indexed(&self) -> Outcome<()> {
        let mut client = self.client()?;
        until(LOOK_EVERY, || {
            let store = client.get("/api/store")?;
            let all = store["rebuilding"].is_null() && store["indexed"] == store["position"];
            Ok(all.then_some(()))
        })
    }

    /// A field of its `/proc` status, such as `VmRSS`, in MB of 1,000,000 bytes.
    pub(crate) fn memory_mb(&self, field: &str) -> Outcome<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let row = status.lines().find_map(|row| row.strip_prefix(field)?.strip_prefix(':'));
        let kib = row.and_then(|row| row.split_whitespace().next());
        let kib: f64 = kib.ok_or_else(|| format!("/proc has no {field}"))?.parse()?;
        Ok(kib * 1_024.0 / 1e6)
    }

    /// The processor time that it has used by itself, without its commands.
    pub(crate) fn processor(&self) -> Outcome<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The program's name stands in brackets and may hold anything. Source: proc_pid_stat(5), fields 14 and 15.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks: Vec<u32> = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse::<u32>)
            .collect::<Result<_, _>>()?;
        Ok(TICK * ticks.iter().sum::<u32>())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn is_timeout(err: &io::Error) -> bool {
    matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Asks again and again until there is an answer.
pub(crate) fn until<T>(every: Duration, mut ask: impl FnMut() -> Outcome<Option<T>>) -> Outcome<T> {
    let began = Stopwatch::now();
    while began.elapsed() < PATIENCE {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        thread::sleep(every);
    }
    Err(Failure::from("what was waited for does not come"))
}
