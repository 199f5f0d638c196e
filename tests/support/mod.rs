//! What the stories share: a daemon of the real binary, and a monitor that it pings.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// Nothing in a story takes this long, unless it is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with schedules and data, and the daemon that runs on it.
pub struct Daemon {
    pub folder: PathBuf,
    child: Option<Child>,
    address: Option<SocketAddr>,
}

impl Daemon {
    /// A folder with these interface files, and no daemon yet.
    pub fn with_files(folder: &Path, files: &[(&str, &str)]) -> Self {
        std::fs::create_dir_all(folder.join("schedules")).expect("a folder");
        for (name, text) in files {
            std::fs::write(folder.join("schedules").join(name), text).expect("a file");
        }
        Self { folder: folder.to_owned(), child: None, address: None }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daybook"));
        command
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &self.folder);
        command.env("DAYBOOK_DATA", self.folder.join("data"));
        command
    }

    /// Starts the daemon and waits until it says that it listens.
    pub fn start(&mut self) {
        let mut command = self.command();
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = child.stderr.take().expect("piped");
        self.child = Some(child);
        let (found, listening) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                eprintln!("daemon: {line}");
                if let Some(at) = line.find("http://127.0.0.1:") {
                    let digits: String =
                        line[at + 17..].chars().take_while(char::is_ascii_digit).collect();
                    drop(found.send(digits.parse::<u16>().expect("a port")));
                }
            }
        });
        let port = listening.recv_timeout(PATIENCE).expect("the daemon listens");
        self.address = Some(SocketAddr::from(([127, 0, 0, 1], port)));
    }

    /// Ends the daemon without a warning, as a crash would.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// Runs a command line against the daemon.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).stdin(Stdio::null()).output().expect("the binary starts")
    }

    /// Runs a command line that must succeed; gives its JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let mut with_json = arguments.to_vec();
        with_json.push("--json");
        let output = self.run(&with_json);
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {}\n{out}\n{err}", output.status);
        serde_json::from_str(&out).unwrap_or_else(|bad| panic!("{arguments:?}: {bad}\n{out}"))
    }

    /// Fetches a path over TCP without a token; gives the body.
    pub fn get(&self, path: &str) -> String {
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
    }
}

/// A dead-man monitor that answers as healthchecks does and tells of each ping.
pub struct Monitor {
    pub address: SocketAddr,
    pings: mpsc::Receiver<Ping>,
}

/// One ping.
#[derive(Clone, Debug)]
pub struct Ping {
    pub path: String,
    pub rid: String,
    pub body: String,
}

impl Monitor {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (tell, pings) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if let Some(ping) = answer(stream)
                    && tell.send(ping).is_err()
                {
                    return;
                }
            }
        });
        Self { address, pings }
    }

    /// The next ping whose path ends so; those before it are passed over.
    pub fn wait_for(&self, end: &str) -> Ping {
        loop {
            let ping =
                self.pings.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no ping {end}"));
            if ping.path.ends_with(end) {
                return ping;
            }
        }
    }

    /// The next ping.
    pub fn next(&self) -> Ping {
        self.pings.recv_timeout(PATIENCE).expect("a ping")
    }
}

fn answer(mut stream: TcpStream) -> Option<Ping> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut request = String::new();
    reader.read_line(&mut request).ok()?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nOK").ok()?;
    let target = request.split(' ').nth(1)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let rid = query.split('&').find_map(|pair| pair.strip_prefix("rid=")).unwrap_or_default();
    Some(Ping {
        path: path.to_owned(),
        rid: rid.to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
