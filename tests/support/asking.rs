//! Questions to the daemon by its command line, and what its answers hold.

use serde_json::Value;
use tokio::time::Instant;

use crate::support::{Daemon, PATIENCE};

/// Asks again until the answer is there.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "never came: {what}");
    }
}

/// Runs a command line that starts an execution, and waits for its end: the exit code, and the execution.
pub(crate) fn ended(daemon: &Daemon, arguments: &[&str]) -> (Option<i32>, Value) {
    let mut whole = arguments.to_vec();
    whole.extend(["--wait", "--json"]);
    let output = daemon.run(&whole);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let execution: serde_json::Result<Value> = serde_json::from_str(&out);
    assert!(execution.is_ok(), "{arguments:?}: {execution:?}\n{out}\n{err}");
    (output.status.code(), execution.unwrap_or_default())
}

/// Asks for an execution until it has this status.
pub(crate) fn with_status(daemon: &Daemon, id: &str, status: &str) -> Value {
    until(&format!("{id} is {status}"), || {
        let shown = daemon.json(&["execution", "show", id]);
        (shown["status"] == status).then_some(shown)
    })
}

/// The whole log of an execution.
pub(crate) fn lines_of(daemon: &Daemon, id: &str) -> Vec<Value> {
    let log = text(&daemon.run(&["execution", "log", id, "--json"]).stdout);
    log.lines().map(|line| serde_json::from_str(line).expect("a line")).collect()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn items(page: &Value) -> &[Value] {
    page["items"].as_array().expect("a list")
}

pub(crate) fn word<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().expect("a text")
}

pub(crate) fn number(row: &Value, key: &str) -> u64 {
    row[key].as_u64().expect("a number")
}

pub(crate) fn id_of(row: &Value) -> &str {
    word(row, "id")
}

pub(crate) fn full_name(row: &Value) -> String {
    format!("{}/{}", word(row, "interface"), word(row, "schedule"))
}
