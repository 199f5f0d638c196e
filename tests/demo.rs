//! `daybook demo` on the real binary: what it plays fails as the tour says, and is mended as the tour says.

#[path = "support/asking.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod asking;
#[expect(dead_code, reason = "shared with other tests")]
mod support;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;

use asking::text;
use serde_json::Value;
use support::PATIENCE;

/// A demo that runs until it is told to stop.
struct Demo<'a> {
    folder: &'a Path,
    child: Child,
    said: BufReader<ChildStderr>,
}

impl<'a> Demo<'a> {
    /// One whose daemon answers; and what it told until then.
    fn start(folder: &'a Path, more: &[&str]) -> (Self, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_daybook"))
            .args(["demo", "--folder"])
            .arg(folder)
            .args(more)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut said = BufReader::new(child.stderr.take().expect("piped"));
        let mut told = String::new();
        while !told.contains("/login/") {
            let read = said.read_line(&mut told).expect("text");
            assert!(read > 0, "it ended: {told}");
        }
        (Self { folder, child, said }, told)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let data = self.folder.join("data");
        let mut command = Command::new(env!("CARGO_BIN_EXE_daybook"));
        command.args(arguments).arg("--json").arg("--data").arg(data);
        command.env_clear().env("PATH", "/usr/bin:/bin").output().expect("the binary starts")
    }

    /// Does it and waits for its end: the execution, and the exit code.
    fn ended(&self, arguments: &[&str]) -> (Value, Option<i32>) {
        let done = self.run(arguments);
        let document: serde_json::Result<Value> = serde_json::from_slice(&done.stdout);
        let said = || format!("{arguments:?}: {}{}", text(&done.stdout), text(&done.stderr));
        let document = document.unwrap_or_default();
        assert!(document.is_object(), "{}", said());
        // A re-run is a list of one.
        let one = document["items"].get(0).cloned();
        (one.unwrap_or(document), done.status.code())
    }

    /// Runs a schedule, which ends KO for this class and says this.
    fn fails(&self, schedule: &str, class: &str, words: &str) -> String {
        let (execution, code) = self.ended(&["schedule", "run", schedule, "--wait"]);
        assert_eq!((code, &execution["class"]), (Some(5), &Value::from(class)), "{execution}");
        let error = execution["first_error"]["text"].as_str().expect("a line says why");
        assert!(error.contains(words), "{schedule}: {error}");
        execution["id"].as_str().expect("an id").to_owned()
    }

    fn is_mended(&self, id: &str) {
        let (execution, code) = self.ended(&["execution", "rerun", id, "--wait"]);
        assert_eq!((code, &execution["status"]), (Some(0), &Value::from("ok")), "{execution}");
    }
}

impl Drop for Demo<'_> {
    fn drop(&mut self) {
        if let Ok(Some(_ended)) = self.child.try_wait() {
            return;
        }
        let pid = self.child.id().to_string();
        let signal = |name| drop(Command::new("kill").args([name, pid.as_str()]).status());
        // It ends its daemon too, but not when it is killed.
        signal("-TERM");
        let (tell, ended) = mpsc::channel();
        thread::scope(|scope| {
            let child = &mut self.child;
            scope.spawn(move || tell.send(child.wait()));
            if ended.recv_timeout(PATIENCE).is_err() {
                signal("-KILL");
            }
        });
    }
}

/// The command that the tour shows behind these words, as it stands there.
fn command<'a>(told: &'a str, begins: &str) -> &'a str {
    told.lines().map(str::trim).find(|line| line.starts_with(begins)).expect("the tour says it")
}

fn shell(command: &str) {
    assert!(Command::new("sh").args(["-c", command]).status().expect("a shell").success());
}

#[test]
fn what_it_plays_fails_and_is_mended_as_the_tour_says() {
    let scratch = tempfile::tempdir().expect("a folder");
    let (mut demo, told) = Demo::start(scratch.path(), &[]);
    let tickets = demo.fails("shop/tickets", "configuration", "401");
    let import = demo.fails("customers/import", "mapping", "no country for code 'XK'");
    demo.fails("partner/feed", "external", "certificate expired");
    shell(command(&told, "printf 'Bearer"));
    shell(command(&told, "echo 'XK"));
    demo.is_mended(&tickets);
    demo.is_mended(&import);
    let pid = demo.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("it runs").success());
    assert_eq!(demo.child.wait().expect("it ends").code(), Some(0));
    let mut rest = String::new();
    demo.said.read_to_string(&mut rest).expect("text");
    assert!(rest.contains(&scratch.path().display().to_string()), "{rest}");
}

#[test]
fn the_quiet_one_tells_only_where_the_console_is_and_what_is_wrong_in_no_colours() {
    let scratch = tempfile::tempdir().expect("a folder");
    let (mut demo, told) = Demo::start(scratch.path(), &["--quiet", "--no-color"]);
    assert!(!told.contains("Five minutes"), "{told}");
    let children = format!("/proc/{0}/task/{0}/children", demo.child.id());
    let children = std::fs::read_to_string(children).expect("a Linux that tells");
    let daemon = children.split_whitespace().next().expect("it has a daemon");
    let line = std::fs::read(format!("/proc/{daemon}/cmdline")).expect("it runs");
    assert!(line.split(|byte| *byte == 0).any(|word| word == b"--no-color"), "{}", text(&line));
    let pid = demo.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("it runs").success());
    assert_eq!(demo.child.wait().expect("it ends").code(), Some(0));
    let mut rest = String::new();
    demo.said.read_to_string(&mut rest).expect("text");
    assert!(!rest.contains("remove it when you like"), "{rest}");
}

#[test]
fn an_address_that_is_none_and_a_folder_that_cannot_be_are_refused_before_anything_is_played() {
    let refused = |arguments: &[&str]| {
        let done = Command::new(env!("CARGO_BIN_EXE_daybook")).arg("demo").args(arguments).output();
        let done = done.expect("the binary starts");
        (done.status.code(), text(&done.stderr))
    };
    let (code, said) = refused(&["--listen", "nonsense"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("nonsense") && !said.contains("Five minutes"), "{said}");
    let (code, said) = refused(&["--folder", "/proc/nowhere"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("/proc/nowhere") && said.contains("--folder"), "{said}");
}
