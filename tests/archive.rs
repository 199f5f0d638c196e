//! The store as a whole on the real binary: checked, backed up, restored, exported and imported.

#[path = "support/asking.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod asking;
#[expect(dead_code, reason = "shared with other tests")]
mod support;

use std::fs;
use std::path::Path;

use asking::{ended, items, number, text, until, word};
use serde_json::Value;
use support::Daemon;

const FILE: &str = r#"
[schedules.say]
manual = true
shell = 'i=0; while [ $i -lt 50 ]; do echo "line $i"; i=$((i+1)); done'

[schedules.fail]
manual = true
shell = 'echo "ERROR Mapping: no product for code FNAC-77" >&2; exit 3'
"#;

/// A daemon with a history of executions.
fn with_history(folder: &Path) -> Daemon {
    let mut daemon = Daemon::with_files(folder, &[("shop.toml", FILE)]);
    daemon.start();
    for _ in 0..3 {
        assert_eq!(ended(&daemon, &["schedule", "run", "shop/say"]).0, Some(0));
    }
    assert_eq!(ended(&daemon, &["schedule", "run", "shop/fail"]).0, Some(5));
    daemon
}

fn stop(daemon: &mut Daemon) {
    daemon.signal("TERM");
    assert!(daemon.ended().success());
}

/// What lists answer, once they answer.
fn lists(daemon: &Daemon) -> Vec<Value> {
    until("the lists", || {
        let output = daemon.run(&["execution", "list", "--json"]);
        output.status.success().then(|| {
            let page: Value = serde_json::from_slice(&output.stdout).expect("a page");
            items(&page).to_vec()
        })
    })
}

/// The rows of an export without its header, which tells when it was made.
fn rows(export: &[u8]) -> Vec<String> {
    text(export).lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn a_store_moves_to_another_folder_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = with_history(folder.path());
    let before = lists(&daemon);
    let running = daemon.run(&["store", "export", "--jsonl", "-"]);
    assert!(running.status.success(), "{}", text(&running.stderr));
    assert!(text(&running.stdout).contains("no product for code FNAC-77"));
    stop(&mut daemon);

    let file = folder.path().join("daybook.jsonl");
    let name = file.to_str().expect("text");
    let stopped = daemon.run(&["store", "export", "--jsonl", name]);
    assert!(stopped.status.success(), "{}", text(&stopped.stderr));
    let export = fs::read(&file).expect("written");
    let again = daemon.run(&["store", "export", "--jsonl", name]);
    assert_eq!(again.status.code(), Some(7), "{}", text(&again.stderr));

    let other = tempfile::tempdir().expect("a folder");
    let mut moved = Daemon::with_files(other.path(), &[("shop.toml", FILE)]);
    let imported = moved.run(&["store", "import", name]);
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    let back = moved.run(&["store", "export", "--jsonl", "-"]);
    assert_eq!(rows(&back.stdout), rows(&export));
    let refused = moved.run(&["store", "import", name]);
    assert_eq!(refused.status.code(), Some(7), "{}", text(&refused.stderr));
    moved.start();
    assert_eq!(lists(&moved), before);
    let log = moved.run(&["execution", "log", "latest-ko"]);
    assert!(text(&log.stdout).contains("no product for code FNAC-77"), "{}", text(&log.stdout));
    assert_eq!(ended(&moved, &["schedule", "run", "shop/say"]).0, Some(0));
    let verified = moved.json(&["store", "verify"]);
    assert_eq!(verified["ok"], true, "{verified}");
}

#[test]
fn a_backup_of_a_running_daemon_comes_back_and_is_on_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = with_history(folder.path());
    let before = lists(&daemon);
    let outside = folder.path().join("elsewhere");
    let refused = daemon.run(&["store", "backup", outside.to_str().expect("text")]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("setting `backups`"), "{}", text(&refused.stderr));
    assert!(!outside.exists());

    let made = daemon.json(&["store", "backup", "--keep", "3"]);
    let backup = word(&made, "path").to_owned();
    let events = daemon.json(&["event", "list", "--type", "backup-made"]);
    let [event] = items(&events) else { panic!("{events}") };
    assert_eq!(event["data"]["position"], made["position"]);
    assert_eq!(event["data"]["head"], made["head"]);
    assert!(!Path::new(&backup).join("token").exists());
    let checked = daemon.json(&["store", "verify", "--backup", &backup]);
    assert_eq!(
        (checked["ok"].clone(), checked["head"].clone()),
        (true.into(), made["head"].clone())
    );
    assert!(number(&checked, "logs") >= 4, "{checked}");

    let refused = daemon.run(&["store", "restore", &backup, "--replace"]);
    assert_eq!(refused.status.code(), Some(7), "{}", text(&refused.stderr));
    assert_eq!(ended(&daemon, &["schedule", "run", "shop/say"]).0, Some(0));
    stop(&mut daemon);
    let refused = daemon.run(&["store", "restore", &backup]);
    assert_eq!(refused.status.code(), Some(7), "{}", text(&refused.stderr));
    let restored = daemon.json(&["store", "restore", &backup, "--replace"]);
    assert_eq!(restored["head"], made["head"]);
    assert!(Path::new(word(&restored, "aside")).join("journal").is_dir());
    daemon.start();
    assert_eq!(lists(&daemon), before);
}

#[test]
fn the_head_that_the_log_told_shows_whether_the_store_is_still_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = with_history(folder.path());
    let info = daemon.json(&["store", "info"]);
    let (head, position) = (word(&info, "head").to_owned(), number(&info, "position").to_string());
    assert_eq!(ended(&daemon, &["schedule", "run", "shop/say"]).0, Some(0));
    let asked = ["store", "verify", "--head", &head, "--at", &position];
    let verified = daemon.json(&asked);
    assert_eq!(verified["head_at"].to_string(), position);
    assert!(verified["index"].is_u64(), "{verified}");
    stop(&mut daemon);
    let verified = daemon.json(&asked);
    assert_eq!(verified["head_at"].to_string(), position);
    assert!(verified["checkpoint"].is_u64() && verified["index"].is_u64(), "{verified}");
    let other = "ab".repeat(32);
    let noticed = daemon.run(&["store", "verify", "--head", &other, "--json"]);
    assert_eq!(noticed.status.code(), Some(1));
    let answer: Value = serde_json::from_slice(&noticed.stdout).expect("a document");
    assert_eq!(answer["difference"]["part"], "head", "{answer}");
}

#[test]
fn a_damaged_store_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = with_history(folder.path());
    stop(&mut daemon);
    let segment = folder.path().join("data/journal/00000000000000000001.seg");
    let mut bytes = fs::read(&segment).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, &bytes).expect("written");
    for name in ["checkpoint-0", "checkpoint-1"] {
        fs::remove_file(folder.path().join("data").join(name)).unwrap_or_default();
    }
    let refused = daemon.try_start().expect_err("events are damaged");
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("00000000000000000001.seg at offset"), "{said}");
    assert!(said.contains("daybook store restore"), "{said}");
    assert_eq!(fs::read(&segment).expect("readable"), bytes, "nothing was mended in silence");
    let verified = daemon.run(&["store", "verify", "--json"]);
    assert_eq!(verified.status.code(), Some(1));
    let answer: Value = serde_json::from_slice(&verified.stdout).expect("a document");
    let until = number(&answer, "position").to_string();
    let all = daemon.run(&["store", "export", "--jsonl", "-"]);
    assert_eq!(all.status.code(), Some(1));
    let before = daemon.run(&["store", "export", "--jsonl", "-", "--until", &until]);
    assert!(before.status.success(), "{}", text(&before.stderr));
    let events = rows(&before.stdout);
    let events = events.iter().filter(|row| row.contains("\"row\":\"event\""));
    assert_eq!(events.count().to_string(), until);
}

/// Also by a daemon in use, which has descriptors of its own.
#[test]
fn a_store_with_more_segments_than_files_may_be_open_is_copied_and_checked_whole() {
    const SPARE: usize = 40;
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Daemon::with_files(folder.path(), &[("shop.toml", FILE)]);
    daemon.variables.push(("TEST_SEGMENT_BYTES".to_owned(), "256".to_owned()));
    daemon.start();
    let open = || entries(Path::new(&format!("/proc/{}/fd", daemon.pid())));
    let segments = |name: &str| entries(&folder.path().join("data").join(name));
    while segments("journal") < open() + 2 * SPARE || segments("lines") < 2 {
        assert_eq!(ended(&daemon, &["schedule", "run", "shop/say"]).0, Some(0));
    }
    let limit = open() + SPARE;
    may_open(daemon.pid(), limit);
    let made = daemon.json(&["store", "backup"]);
    let backup = word(&made, "path").to_owned();
    let verified = daemon.json(&["store", "verify"]);
    assert_eq!(verified["ok"], true, "{verified}");
    let export = daemon.run(&["store", "export", "--jsonl", "-"]);
    assert!(export.status.success(), "{}", text(&export.stderr));
    assert!(text(&export.stdout).lines().last().is_some_and(|row| row.contains("\"end\"")));
    stop(&mut daemon);

    assert!(segments("journal") > limit);
    let with_few = |data: &Path, verb: &str| {
        let line =
            format!("ulimit -n {SPARE}; exec {} store {verb}", env!("CARGO_BIN_EXE_daybook"));
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &line]).env_clear().env("PATH", "/usr/bin:/bin");
        shell.env("DAYBOOK_DATA", data).current_dir(folder.path());
        let output = shell.output().expect("sh runs");
        assert!(output.status.success(), "{verb}: {}", text(&output.stderr));
    };
    let data = folder.path().join("data");
    for verb in ["backup", "verify", "export --jsonl all.jsonl"] {
        with_few(&data, verb);
    }
    with_few(&folder.path().join("restored"), &format!("restore {backup}"));
    with_few(&folder.path().join("imported"), "import all.jsonl");
}

/// Entries of a folder.
fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).expect("a folder").count()
}

/// Lets a process have so many files open, and no more.
fn may_open(process: u32, files: usize) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let most = u64::try_from(files).ok();
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw).expect("a process");
    let limit = Rlimit { current: most, maximum: most };
    prlimit(Some(pid), Resource::Nofile, limit).expect("it is this user's");
}

#[test]
fn nothing_is_put_where_commands_of_a_killed_daemon_still_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let file =
        format!("{FILE}\n[schedules.stays]\nmanual = true\ncommand = [\"sleep\", \"600\"]\n");
    let mut daemon = Daemon::with_files(folder.path(), &[("shop.toml", &file)]);
    daemon.start();
    let made = daemon.json(&["store", "backup"]);
    let backup = word(&made, "path").to_owned();
    let run = daemon.json(&["schedule", "run", "shop/stays"]);
    until("it runs", || {
        let shown = daemon.json(&["execution", "show", word(&run, "id")]);
        (shown["status"] == "running").then_some(())
    });
    daemon.kill();
    let refused = daemon.run(&["store", "restore", &backup, "--replace"]);
    assert_eq!(refused.status.code(), Some(7), "{}", text(&refused.stderr));
    let said = text(&refused.stderr);
    assert!(said.contains("commands still run under") && said.contains("hint:"), "{said}");
    // An export is read while they run; it is not imported over them.
    let file = folder.path().join("all.jsonl");
    let file = file.to_str().expect("text");
    assert!(daemon.run(&["store", "export", "--jsonl", file]).status.success());
    let refused = daemon.run(&["store", "import", file]);
    assert_eq!(refused.status.code(), Some(7), "{}", text(&refused.stderr));
    daemon.kill_runners();
    let restored = daemon.run(&["store", "restore", &backup, "--replace"]);
    assert!(restored.status.success(), "{}", text(&restored.stderr));
}

/// Asks for an export over the socket, and takes one byte of it.
fn slow_export(folder: &Path) -> std::os::unix::net::UnixStream {
    use std::io::{Read, Write};
    let socket = folder.join("data/daybook.sock");
    let mut stream = std::os::unix::net::UnixStream::connect(socket).expect("it listens");
    let asked = "GET /api/store/export.jsonl HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(asked.as_bytes()).expect("it reads");
    stream.read_exact(&mut [0]).expect("it answers");
    stream
}

#[test]
fn exports_that_nobody_reads_on_hold_up_neither_the_daemon_nor_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    // More than what lies on its way.
    let file =
        "[schedules.say]\nmanual = true\nshell = \"od -An -v -N 1000000 -tx1 /dev/urandom\"\n";
    let mut daemon = Daemon::with_files(folder.path(), &[("shop.toml", file)]);
    daemon.start();
    assert_eq!(ended(&daemon, &["schedule", "run", "shop/say"]).0, Some(0));
    let first = slow_export(folder.path());
    let second = slow_export(folder.path());
    let third = daemon.run(&["store", "export", "--jsonl", "-"]);
    assert_eq!(third.status.code(), Some(7), "{}", text(&third.stderr));
    assert_eq!(ended(&daemon, &["schedule", "run", "shop/say"]).0, Some(0));
    assert!(daemon.json(&["store", "backup"])["path"].is_string());
    // Whoever hangs up makes room for another one.
    drop(second);
    until("an export", || {
        let asked = daemon.run(&["store", "export", "--jsonl", "-"]);
        asked.status.success().then_some(())
    });
    stop(&mut daemon);
    drop(first);
}
