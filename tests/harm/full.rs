//! The disk fills up and has room again, on a file system of 200 MB, without a restart.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::disk::Small;
use crate::http::{Answer, ask};
use crate::judge::judge;
use crate::load::{Kept, Promise};
use crate::support::{Monitor, PATIENCE};
use crate::world::{Began, World};
use crate::{asked, say};

const MIB: u64 = 1 << 20;

/// Set for the test that runs in a user namespace of its own.
const INSIDE: &str = "HARM_INSIDE";

#[test]
fn a_full_disk_is_said_on_every_channel_loses_nothing_and_recovers_by_itself() {
    if !rustix::process::geteuid().is_root() {
        return in_a_namespace();
    }
    let folder = tempfile::tempdir().expect("a folder");
    let small = match Small::mount(folder.path(), 200 * MIB) {
        Ok(small) => small,
        Err(why) => return say(&format!("SKIPPED: no small file system can be mounted: {why}")),
    };
    Story::begin(folder.path(), small.path()).tell();
}

/// Root in a user namespace may mount a tmpfs: the test runs itself there.
fn in_a_namespace() {
    let own = std::env::current_exe().expect("a path");
    let name = "full::a_full_disk_is_said_on_every_channel_loses_nothing_and_recovers_by_itself";
    if asked(INSIDE, 0_u8) == 1 {
        return say("SKIPPED: root in a user namespace is not root");
    }
    let may = Command::new("unshare").args(["-rm", "true"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        return say(
            "SKIPPED: neither root nor user namespaces: no small file system can be mounted",
        );
    }
    let arguments = ["--exact", name, "--nocapture"];
    let status =
        Command::new("unshare").arg("-rm").arg(own).args(arguments).env(INSIDE, "1").status();
    assert!(status.is_ok_and(|status| status.success()), "see above");
}

struct Story {
    world: World,
    monitor: Monitor,
    ballast: PathBuf,
    kept: Vec<Kept>,
    notes: u32,
}

impl Story {
    fn begin(root: &Path, mounted: &Path) -> Self {
        let monitor = Monitor::start();
        let mut world = World::new(root, &mounted.join("data"), &monitor.address.to_string());
        world.variables.extend([
            ("DAYBOOK_PING".to_owned(), format!("http://{}/own", monitor.address)),
            ("DAYBOOK_PING_EVERY".to_owned(), "12s".to_owned()),
        ]);
        assert_eq!(world.start(None), Began::Listens, "{}", world.said());
        Self { world, monitor, ballast: mounted.join("foreign"), kept: Vec::new(), notes: 0 }
    }

    fn tell(mut self) {
        let started = self.status()["started_at"].clone();
        self.noisy_jobs_are_curtailed_and_not_held_up();
        self.nothing_new_is_started();
        self.state_goes_on_out_of_the_reserve_and_then_waits();
        self.it_recovers();
        assert_eq!(self.status()["started_at"], started, "it was never started again");
        self.world.stop();
        let judged = judge(&self.world.data, &self.world.ledger(), &self.kept);
        assert!(judged.is_ok_and(|judged| judged.promises >= 3));
    }

    /// Below the first mark.
    fn noisy_jobs_are_curtailed_and_not_held_up(&mut self) {
        self.leave_free(7 * MIB);
        self.wait_for("low", |story| story.status()["disk"]["state"] == "low");
        assert_eq!(self.ask("GET", "/readyz", &Value::Null).status, 200);
        let id = self.run("noisy");
        let log = self.log_with(&id, "little room");
        assert!(log.contains("Mapping: no product"), "error lines are kept: {log}");
        assert!(!log.contains("\"text\":\"1999\""), "others are not");
        self.wait_for("log-curtailed", |story| story.has_event("log-curtailed"));
        self.tell_post(
            &format!("executions/{id}/cancel"),
            &json!({}),
            Promise::Cancelled(id.clone()),
        );
        self.wait_for("the end", |story| story.execution(&id)["status"] == "cancelled");
        let counted = self.log_with(&id, "were not kept");
        assert!(counted.contains("the disk had little room: 2000 lines"), "{counted}");
        assert!(self.metric("daybook_log_lines_dropped_total") >= 2000.0);
        assert!(self.metric(r#"daybook_disk_state{state="low"}"#) == 1.0);
        assert!(self.has_event("disk-low"));
    }

    /// Below the second one.
    fn nothing_new_is_started(&mut self) {
        self.leave_free(MIB);
        self.wait_for("full", |story| story.status()["disk"]["state"] == "full");
        let ready = self.ask("GET", "/readyz", &Value::Null);
        assert_eq!((ready.status, &ready.body["reasons"][0]["code"]), (503, &json!("disk-full")));
        let refused = self.ask("POST", "/api/schedules/shop/by-hand/run", &json!({}));
        assert_eq!((refused.status, &refused.body["code"]), (507, &json!("disk-full")));
        let doctor = self.ask("GET", "/api/doctor", &Value::Null).body;
        let disk =
            doctor["checks"].as_array().and_then(|all| all.iter().find(|it| it["name"] == "disk"));
        assert!(disk.is_some_and(|disk| disk["state"] == "fail"), "{doctor}");
        assert!(self.world.said().contains("disk-full"), "{}", self.world.said());
        let ping = self.monitor.wait_for("/own/fail");
        assert!(ping.body.contains("the disk is full"), "{}", ping.body);
        // Slots are decided and wait, and `why` says for what.
        self.wait_for("a queue", |story| story.status()["queued"].as_u64() >= Some(2));
        let why = self.ask("GET", "/api/schedules/shop/again/why", &Value::Null);
        assert!(why.text.contains("the disk is full, and nothing new is started"), "{}", why.text);
    }

    /// Whoever fills the disk takes all that the reserve gives back.
    fn state_goes_on_out_of_the_reserve_and_then_waits(&mut self) {
        let id = self.some_execution();
        let reserve = self.metric("daybook_disk_reserve_bytes");
        let mut acknowledged = 0;
        loop {
            self.fill();
            let text = format!("note {} on a full disk", self.notes);
            self.notes += 1;
            let body = json!({ "text": text });
            // An answer may also stay away: then nothing was promised.
            let Ok(answer) = self.try_ask(&format!("executions/{id}/notes"), &body) else {
                continue;
            };
            match (answer.status, answer.position) {
                (201, Some(position)) => {
                    acknowledged += 1;
                    self.kept.push(Kept { promise: Promise::Noted(text), position });
                }
                (507, _) if self.metric("daybook_disk_append_waits") == 1.0 => break,
                _ => (),
            }
        }
        assert!(acknowledged > 0, "state goes on at first");
        assert!(self.metric("daybook_disk_reserve_bytes") < reserve);
        let refused = self.ask("GET", "/readyz", &Value::Null).text;
        assert!(refused.contains("the log waits for room"), "{refused}");
        assert!(!self.world.ends_within(Duration::from_secs(1)), "{}", self.world.said());
    }

    fn it_recovers(&mut self) {
        fs::remove_file(&self.ballast).expect("it is there");
        self.wait_for("enough", |story| story.status()["disk"]["state"] == "enough");
        self.wait_for("ready", |story| story.ask("GET", "/readyz", &Value::Null).status == 200);
        assert!(self.has_event("disk-recovered"));
        assert_eq!(self.metric("daybook_disk_append_waits"), 0.0);
        self.monitor.wait_for("/own");
        let id = self.run("by-hand");
        self.wait_for("its end", |story| story.execution(&id)["status"] == "ok");
        self.wait_for("the queue", |story| story.status()["queued"].as_u64() <= Some(2));
        let reserve = fs::metadata(self.world.data.join("reserve")).expect("a reserve").len();
        assert!(reserve >= MIB, "{reserve}");
    }

    /// Fills the disk with a foreign file until so many bytes are left.
    fn leave_free(&self, bytes: u64) {
        let stat = rustix::fs::statvfs(&self.world.data).expect("it is mounted");
        let free = stat.f_bavail * stat.f_frsize;
        let held = fs::metadata(&self.ballast).map_or(0, |metadata| metadata.len());
        let file = OpenOptions::new().create(true).append(true).open(&self.ballast);
        let whole = held + free.saturating_sub(bytes);
        let flags = rustix::fs::FallocateFlags::empty();
        rustix::fs::fallocate(file.expect("a file"), flags, 0, whole).expect("there is room");
    }

    /// Takes all that is left.
    fn fill(&self) {
        let file = OpenOptions::new().create(true).append(true).open(&self.ballast);
        let mut file: File = file.expect("a file");
        for size in [1 << 20, 4096, 512] {
            let block = vec![0x55; size];
            while let Ok(()) = file.write_all(&block) {}
        }
        // Only then the file system has really given the blocks away.
        drop(file.sync_all());
    }

    fn try_ask(&self, path: &str, body: &Value) -> io::Result<Answer> {
        ask(&self.world.socket(), "POST", &format!("/api/{path}"), body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        let answer = ask(&self.world.socket(), method, path, body);
        assert!(answer.is_ok(), "{method} {path}: {answer:?}\n{}", self.world.said());
        answer.unwrap_or(Answer {
            status: 0,
            position: None,
            body: Value::Null,
            text: String::new(),
        })
    }

    fn tell_post(&mut self, path: &str, body: &Value, promise: Promise) {
        let answer = self.ask("POST", &format!("/api/{path}"), body);
        assert!((200..300).contains(&answer.status), "{path}: {}", answer.text);
        self.kept.push(Kept { promise, position: answer.position.expect("a position") });
    }

    fn run(&mut self, schedule: &str) -> String {
        let path = format!("/api/schedules/shop/{schedule}/run");
        let answer = self.ask("POST", &path, &json!({}));
        assert_eq!(answer.status, 202, "{}", answer.text);
        let id = answer.body["id"].as_str().expect("an id").to_owned();
        let position = answer.position.expect("a position");
        self.kept.push(Kept { promise: Promise::Opened(id.clone()), position });
        id
    }

    fn status(&self) -> Value {
        self.ask("GET", "/api/status", &Value::Null).body
    }

    fn execution(&self, id: &str) -> Value {
        self.ask("GET", &format!("/api/executions/{id}"), &Value::Null).body
    }

    fn some_execution(&self) -> String {
        let opened = self.kept.iter().find_map(|kept| match &kept.promise {
            Promise::Opened(id) => Some(id.clone()),
            _ => None,
        });
        opened.expect("one was opened")
    }

    fn has_event(&self, name: &str) -> bool {
        let found = self.ask("GET", &format!("/api/events?type={name}&limit=1"), &Value::Null).body;
        found["items"].as_array().is_some_and(|items| !items.is_empty())
    }

    /// Waits for a line with these words, and gives the whole log.
    fn log_with(&self, id: &str, words: &str) -> String {
        let mut log = String::new();
        self.wait_for(words, |story| {
            log = story.ask("GET", &format!("/api/executions/{id}/log"), &Value::Null).text;
            log.contains(words)
        });
        log
    }

    fn metric(&self, name: &str) -> f64 {
        let text = self.ask("GET", "/metrics", &Value::Null).text;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        assert!(value.is_some(), "no {name} in\n{text}");
        value.unwrap_or_default()
    }

    /// Asks again and again, as somebody who waits for it does.
    fn wait_for(&self, what: &str, mut so: impl FnMut(&Self) -> bool) {
        let began = tokio::time::Instant::now();
        while !so(self) {
            let waited = began.elapsed();
            assert!(
                waited < PATIENCE,
                "{what} does not come\n{}\n{}",
                self.status(),
                self.world.said()
            );
            // Between two questions, so that they are not what fills the disk.
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}
