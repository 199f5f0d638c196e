//! What the stories share: a daemon of the real binary, and a monitor that it pings.

pub(crate) mod request;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// Nothing in a story takes this long, unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with schedules and data, and the daemon that runs on it.
pub(crate) struct Daemon {
    pub(crate) folder: PathBuf,
    /// Variables of the daemon and of the command line, besides `PATH`, `HOME` and `DAYBOOK_DATA`.
    pub(crate) variables: Vec<(String, String)>,
    child: Option<Child>,
    address: Option<SocketAddr>,
    /// What the daemon has said since its start.
    said: Arc<Mutex<String>>,
}

/// The first news of a daemon that was started.
enum News {
    Listens(u16),
    Ended,
}

impl Daemon {
    /// A folder with these interface files, and no daemon yet.
    pub(crate) fn with_files(folder: &Path, files: &[(&str, &str)]) -> Self {
        std::fs::create_dir_all(folder.join("schedules")).expect("a folder");
        for (name, text) in files {
            std::fs::write(folder.join("schedules").join(name), text).expect("a file");
        }
        Self {
            folder: folder.to_owned(),
            variables: Vec::new(),
            child: None,
            address: None,
            said: Arc::default(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daybook"));
        command
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &self.folder)
            .env("DAYBOOK_DATA", self.folder.join("data"))
            .stdin(Stdio::null());
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        command
    }

    /// Starts the daemon and waits until it says that it listens.
    pub(crate) fn start(&mut self) {
        let ended = self.try_start().err();
        assert!(ended.is_none(), "the daemon ended at its start: {ended:?}");
    }

    /// Starts the daemon and waits until it says that it listens, or until it ends, which is the error.
    pub(crate) fn try_start(&mut self) -> Result<(), Output> {
        let mut command = self.command();
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let stderr = child.stderr.take().expect("piped");
        let child = self.child.insert(child);
        self.said = Arc::default();
        let (tell, news) = mpsc::channel();
        let said = Arc::clone(&self.said);
        thread::spawn(move || listen(stderr, &said, &tell));
        match news.recv_timeout(PATIENCE).expect("the daemon listens or ends") {
            News::Listens(port) => {
                self.address = Some(SocketAddr::from(([127, 0, 0, 1], port)));
                Ok(())
            }
            News::Ended => {
                let status = child.wait().expect("it has ended");
                self.child = None;
                let stderr = self.said.lock().expect("no panic").clone().into_bytes();
                Err(Output { status, stdout: Vec::new(), stderr })
            }
        }
    }

    /// Ends the daemon without a warning, as a crash would.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// Ends the daemon and its runners without a warning, as a machine that goes down would, but for their commands.
    pub(crate) fn crash(&mut self) {
        self.kill();
        self.kill_runners();
    }

    /// Ends the runners of this folder without a warning; their numbers.
    pub(crate) fn kill_runners(&self) -> Vec<u32> {
        let runners = self.runners();
        for runner in &runners {
            end(&runner.to_string());
        }
        runners
    }

    /// The runners of this folder, by their numbers.
    pub(crate) fn runners(&self) -> Vec<u32> {
        let folder = format!("daybook\0@runner\0{}/", self.folder.join("data/runs").display());
        let is_one = |pid: &u32| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.starts_with(folder.as_bytes()))
        };
        let all = std::fs::read_dir("/proc").expect("a system that has it").map_while(Result::ok);
        all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_one).collect()
    }

    /// Ends what runs on without a daemon.
    fn end_commands(&self) {
        for runner in self.runners() {
            let parent = format!(") S {runner} ");
            let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
            let of_runner = |pid: &String| {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                stat.contains(&parent)
            };
            let commands = all.filter_map(|entry| entry.file_name().into_string().ok());
            // Each leads a group of its own.
            commands.filter(of_runner).for_each(|pid| end(&format!("-{pid}")));
        }
    }

    /// The daemon's number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Sends the daemon a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits until the daemon has ended by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let (tell, told) = mpsc::channel();
        let mut child = self.child.take().expect("it runs");
        let pid = child.id().to_string();
        thread::spawn(move || tell.send(child.wait()));
        let ended = told.recv_timeout(PATIENCE);
        if ended.is_err() {
            drop(Command::new("kill").args(["-KILL", &pid]).status());
        }
        ended.expect("it ends by itself").expect("it was started here")
    }

    /// Runs a command line against the daemon.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().expect("the binary starts")
    }

    /// Runs a command line that must succeed; gives its JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let mut with_json = arguments.to_vec();
        with_json.push("--json");
        let output = self.run(&with_json);
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {}\n{out}\n{err}", output.status);
        let value: serde_json::Result<Value> = serde_json::from_str(&out);
        assert!(value.is_ok(), "{arguments:?}: {value:?}\n{out}");
        value.unwrap_or_default()
    }

    /// Fetches a path over TCP without a token; gives the body.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address.expect("it runs")).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).expect("a body")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
        self.end_commands();
        if thread::panicking()
            && let Ok(said) = self.said.lock()
        {
            drop(writeln!(io::stderr(), "the daemon said:\n{said}"));
        }
    }
}

/// Ends a process, or a group, at once.
fn end(target: &str) {
    drop(Command::new("kill").args(["-KILL", "--", target]).status());
}

/// Keeps what the daemon says, and tells when it listens and when it ends.
fn listen(stderr: ChildStderr, said: &Mutex<String>, tell: &mpsc::Sender<News>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if line.contains("listening")
            && let Some((_, after)) = line.split_once("http://127.0.0.1:")
        {
            let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
            drop(tell.send(News::Listens(digits.parse().expect("a port"))));
        }
        let mut said = said.lock().expect("no panic");
        said.push_str(&line);
        said.push('\n');
    }
    drop(tell.send(News::Ended));
}

/// A dead-man monitor that answers as healthchecks does and tells of each ping.
pub(crate) struct Monitor {
    pub(crate) address: SocketAddr,
    pings: mpsc::Receiver<Ping>,
}

/// One ping.
#[derive(Clone, Debug)]
pub(crate) struct Ping {
    pub(crate) path: String,
    pub(crate) rid: String,
    pub(crate) body: String,
}

impl Monitor {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (tell, pings) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if let Some(ping) = answer(&stream)
                    && tell.send(ping).is_err()
                {
                    return;
                }
            }
        });
        Self { address, pings }
    }

    /// The next ping whose path ends so; those before it are passed over.
    pub(crate) fn wait_for(&self, end: &str) -> Ping {
        loop {
            let ping = self.pings.recv_timeout(PATIENCE);
            assert!(ping.is_ok(), "no ping {end}");
            if let Ok(ping) = ping
                && ping.path.ends_with(end)
            {
                return ping;
            }
        }
    }

    /// The next ping.
    pub(crate) fn next(&self) -> Ping {
        self.pings.recv_timeout(PATIENCE).expect("a ping")
    }
}

fn answer(mut stream: &TcpStream) -> Option<Ping> {
    let (head, body) = request::read(stream)?;
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nOK").ok()?;
    let target = head.split(' ').nth(1)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let rid = query.split('&').find_map(|pair| pair.strip_prefix("rid=")).unwrap_or_default();
    Some(Ping { path: path.to_owned(), rid: rid.to_owned(), body })
}
