//! Commands outlive the daemon, on the real binary: it is killed while they run, and the next one goes on with them as if
//! nothing had been.

#[path = "support/asking.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod asking;
#[expect(dead_code, reason = "shared with other tests")]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use asking::{items, text, until, with_status};
use serde_json::Value;
use support::Daemon;

/// A file of schedules below a folder, with gates that its commands wait at.
struct Shop {
    daemon: Daemon,
    folder: PathBuf,
}

impl Shop {
    fn start(folder: &Path, schedules: &str, gates: &[&str]) -> Self {
        for gate in gates {
            let made = Command::new("mkfifo").arg(folder.join(gate)).status();
            assert!(made.expect("it is installed").success());
        }
        let mut daemon = Daemon::with_files(folder, &[("shop.toml", schedules)]);
        // What is to end at once does not wait for long either.
        daemon.variables.push(("DAYBOOK_GRACE".to_owned(), "2s".to_owned()));
        daemon.start();
        Self { daemon, folder: folder.to_owned() }
    }

    fn run(&self, schedule: &str) -> String {
        let run = self.daemon.json(&["schedule", "run", schedule]);
        run["id"].as_str().expect("an id").to_owned()
    }

    /// Lets the command that waits at `gate` go on. Each gate is used once: it stays open for a moment.
    fn open(&self, gate: &str) {
        std::fs::write(self.folder.join(gate), "go on\n").expect("somebody reads");
    }

    /// Puts a whole file where commands look for it.
    fn put(&self, name: &str, text: &str) {
        let new = self.folder.join(format!("{name}.new"));
        std::fs::write(&new, text).expect("a file");
        std::fs::rename(new, self.folder.join(name)).expect("one folder");
    }

    fn restart(&mut self) {
        self.daemon.kill();
        self.daemon.start();
    }

    fn show(&self, id: &str) -> Value {
        self.daemon.json(&["execution", "show", id])
    }

    fn log(&self, id: &str) -> Vec<Value> {
        let log = self.daemon.run(&["execution", "log", id, "--json"]);
        let line = |line: &str| serde_json::from_str(line).expect("JSON");
        text(&log.stdout).lines().map(line).collect()
    }

    /// Texts of the lines from `stream`.
    fn texts(&self, id: &str, stream: &str) -> Vec<String> {
        texts(&self.log(id), stream)
    }

    /// Waits until the execution's log holds so many lines.
    fn lines(&self, id: &str, count: u64) {
        until(&format!("{count} lines"), || (self.newest_line(id, 0) >= count).then_some(()));
    }

    /// The number of the newest line on disk, of which `known` is one.
    fn newest_line(&self, id: &str, known: u64) -> u64 {
        let after = known.saturating_sub(1).to_string();
        let log = self.daemon.run(&["execution", "log", id, "--json", "--after", &after]);
        let log = text(&log.stdout);
        let last =
            log.lines().last().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        last.map_or(known, |line| line["line"].as_u64().expect("a number"))
    }

    /// Folders of generations.
    fn generations(&self) -> usize {
        std::fs::read_dir(self.folder.join("data/runs")).expect("a folder").count()
    }
}

/// Texts of the lines of `log` from `stream`.
fn texts(log: &[Value], stream: &str) -> Vec<String> {
    let of_stream = log.iter().filter(|line| line["stream"] == stream);
    of_stream.map(|line| line["text"].as_str().expect("a text").to_owned()).collect()
}

/// Whether a process has this command line.
fn runs(line: &str) -> bool {
    process_of(line).is_some()
}

/// The number of a process that has this command line.
fn process_of(line: &str) -> Option<String> {
    let line = format!("{}\0", line.replace(' ', "\0")).into_bytes();
    let mut all = std::fs::read_dir("/proc").expect("a system that has it").map_while(Result::ok);
    let found = all
        .find(|entry| std::fs::read(entry.path().join("cmdline")).is_ok_and(|found| found == line));
    found.and_then(|entry| entry.file_name().into_string().ok())
}

/// Part 1 of the promise: nothing lost, nothing twice, wherever the daemon is killed. Neither the machine's speed nor a clock has
/// a say: the command prints so far as it may, which the log's own progress decides, until it is told to end.
#[test]
fn a_log_is_whole_wherever_the_daemon_was_killed_while_it_was_written() {
    const KILLS: u64 = 7;
    /// More than two files of the spool.
    const LINES: u64 = 120_000;
    /// So far ahead of the log the command may print: also while no daemon runs.
    const AHEAD: u64 = 20_000;
    // Lines of both streams, with some that are cut in the middle of a write.
    let schedules = r#"
[schedules.counts]
manual = true
command = ["perl", "-e", '''
$| = 1;
my ($n, $may) = (0, 0);
until (-e "told-to-end") {
    if ($n >= $may) {
        select(undef, undef, undef, 0.01);
        if (open(my $file, "<", "may")) { $may = <$file> }
        next;
    }
    for (1 .. 1000) {
        $n++;
        print STDOUT "$n ", "x" x 70;
        print STDERR "ERROR Mapping: record $n\n" unless $n % 1000;
        select(undef, undef, undef, 0.015) unless $n % 250;
        print STDOUT "\n";
    }
}
open(my $file, ">", "printed");
print $file $n;
close($file);
exit 7;
''']
"#;
    let folder = tempfile::tempdir().expect("a folder");
    let mut shop = Shop::start(folder.path(), schedules, &[]);
    let id = shop.run("shop/counts");
    let (mut kills, mut newest) = (0, 0);
    while kills < KILLS || newest < LINES {
        shop.put("may", &(newest + AHEAD).to_string());
        let wanted = newest + 1_000 * (kills % KILLS + 1);
        until(&format!("line {wanted}, after {kills} kills"), || {
            newest = shop.newest_line(&id, newest);
            (newest >= wanted).then_some(())
        });
        assert_eq!(shop.show(&id)["status"], "running");
        shop.restart();
        kills += 1;
    }
    shop.put("told-to-end", "");
    let shown = with_status(&shop.daemon, &id, "ko");
    let printed = std::fs::read_to_string(folder.path().join("printed")).expect("it said so");
    let printed: usize = printed.parse().expect("a number");
    assert_eq!(shown["class"], "mapping");
    assert_eq!((&shown["exit_code"], &shown["attempts"]), (&7.into(), &1.into()));
    assert_eq!(shown["errors"]["mapping"], printed / 1_000);
    assert_eq!(shown["first_error"]["text"], "Mapping: record 1000");
    let log = shop.log(&id);
    assert_eq!(shown["lines"], log.len());
    for (number, line) in (1..).zip(&log) {
        assert_eq!(line["line"], number);
    }
    let of_stream = |stream: &str| texts(&log, stream);
    let stdout = of_stream("stdout");
    assert_eq!(stdout.len(), printed);
    for (number, line) in (1..).zip(&stdout) {
        assert_eq!(*line, format!("{number} {}", "x".repeat(70)));
    }
    let expected: Vec<String> =
        (1..=printed / 1_000).map(|n| format!("Mapping: record {}", n * 1_000)).collect();
    assert_eq!(of_stream("stderr"), expected);
    assert_eq!(of_stream("daybook").len(), 1, "nothing but the closing line");
    assert_eq!(shop.daemon.json(&["store", "verify"])["ok"], true);
}

#[test]
fn what_a_command_said_and_how_it_ended_while_no_daemon_ran_is_told_by_the_next_and_retries_go_on()
{
    let schedules = r#"
[schedules.flaky]
manual = true
retry = { attempts = 2, delay = "0s" }
shell = """
echo "attempt $DAYBOOK_ATTEMPT begins"
read line < gate-$DAYBOOK_ATTEMPT
echo "attempt $DAYBOOK_ATTEMPT goes on"
[ "$DAYBOOK_ATTEMPT" = 2 ] || exit 3
"""
"#;
    let folder = tempfile::tempdir().expect("a folder");
    let mut shop = Shop::start(folder.path(), schedules, &["gate-1", "gate-2"]);
    let id = shop.run("shop/flaky");
    shop.lines(&id, 1);
    let runner = shop.daemon.runners();
    shop.daemon.kill();
    assert_eq!(shop.daemon.runners(), runner, "it goes on");
    shop.open("gate-1");
    until("the runner ends with its last command", || {
        shop.daemon.runners().is_empty().then_some(())
    });

    shop.daemon.start();
    shop.lines(&id, 5);
    shop.open("gate-2");
    let shown = with_status(&shop.daemon, &id, "ok");
    assert_eq!((&shown["attempts"], &shown["exit_code"]), (&2.into(), &0.into()));
    let said = shop.texts(&id, "stdout");
    assert_eq!(
        said,
        ["attempt 1 begins", "attempt 1 goes on", "attempt 2 begins", "attempt 2 goes on"]
    );
    let own = shop.texts(&id, "daybook");
    assert!(own[0].starts_with("ko: exit status 3 after "), "{own:?}");
    until("what is over leaves nothing behind", || (shop.generations() == 1).then_some(()));
}

#[test]
fn a_timeout_ends_the_whole_tree_also_while_no_daemon_runs() {
    let schedules = r#"
[schedules.long]
manual = true
timeout = "2s"
shell = "setsid sleep 31511 & sleep 31512; true"
"#;
    let folder = tempfile::tempdir().expect("a folder");
    let mut shop = Shop::start(folder.path(), schedules, &[]);
    let id = shop.run("shop/long");
    until("it runs", || (runs("sleep 31511") && runs("sleep 31512")).then_some(()));
    shop.daemon.kill();
    until("it is ended", || (!runs("sleep 31511") && !runs("sleep 31512")).then_some(()));
    until("the runner ends", || shop.daemon.runners().is_empty().then_some(()));

    shop.daemon.start();
    let shown = with_status(&shop.daemon, &id, "ko");
    assert_eq!(shown["cause"], "TEC-TIMEOUT");
    assert_eq!(shop.texts(&id, "daybook"), ["ko: timed out after 2.0 s, ended by Daybook"]);
}

#[test]
fn a_command_that_was_taken_over_is_cancelled_with_its_tree() {
    let schedules = r#"
[schedules.long]
manual = true
shell = "echo begun; setsid sleep 31521 & sleep 31522; true"
"#;
    let folder = tempfile::tempdir().expect("a folder");
    let mut shop = Shop::start(folder.path(), schedules, &[]);
    let id = shop.run("shop/long");
    shop.lines(&id, 1);
    until("it runs", || (runs("sleep 31521") && runs("sleep 31522")).then_some(()));
    shop.restart();
    assert_eq!(shop.show(&id)["status"], "running");
    let again = shop.daemon.run(&["schedule", "run", "shop/long"]);
    assert_eq!(again.status.code(), Some(7), "it holds its seat: {again:?}");
    shop.daemon.json(&["execution", "cancel", &id]);
    with_status(&shop.daemon, &id, "cancelled");
    assert!(!runs("sleep 31521") && !runs("sleep 31522"));
    assert_eq!(shop.texts(&id, "stdout"), ["begun"]);
}

/// Also one that was changed meanwhile: the command has the old one.
#[test]
fn secrets_stay_out_of_a_log_that_the_next_daemon_goes_on_with() {
    let schedules = r#"
[env]
TOKEN = { credential = "token" }

[schedules.leaks]
manual = true
shell = """
echo "before $TOKEN"
read line < first
echo "between $TOKEN"
read line < second
printf '{"level":"error","msg":"after %s"}' "$TOKEN"
exit 1
"""
"#;
    let folder = tempfile::tempdir().expect("a folder");
    let credentials = folder.path().join("data/credentials");
    std::fs::create_dir_all(&credentials).expect("a folder");
    let put = |value: &str| {
        std::fs::write(credentials.join("token"), value).expect("a file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(credentials.join("token"), mode).expect("a mode");
    };
    put("hunter2-secret");
    let mut shop = Shop::start(folder.path(), schedules, &["first", "second"]);
    let id = shop.run("shop/leaks");
    shop.lines(&id, 1);
    shop.daemon.kill();
    put("another-secret");
    shop.open("first");
    shop.daemon.start();
    shop.lines(&id, 2);
    shop.open("second");
    with_status(&shop.daemon, &id, "ko");
    assert_eq!(shop.texts(&id, "stdout"), ["before ***", "between ***", "after ***"]);
    let found = Command::new("grep").args(["-r", "hunter2"]).arg(folder.path()).output();
    assert_eq!(text(&found.expect("it is installed").stdout), "", "it stands in no file");
}

/// Its seats, and what the schedule says of interruptions, are seen to at once.
#[test]
fn the_commands_of_a_killed_runner_are_ended_told_as_interrupted_and_run_again() {
    let schedules = r#"
[schedules.long]
manual = true
on_interrupt = "rerun"
shell = """
echo "ERROR External: begun as $DAYBOOK_TRIGGER"
[ "$DAYBOOK_TRIGGER" = rerun ] || exec sleep 31531
"""
"#;
    let folder = tempfile::tempdir().expect("a folder");
    let shop = Shop::start(folder.path(), schedules, &[]);
    let id = shop.run("shop/long");
    shop.lines(&id, 1);
    until("it runs", || runs("sleep 31531").then_some(()));
    let killed = shop.daemon.kill_runners();
    assert_eq!(killed.len(), 1);
    let shown = with_status(&shop.daemon, &id, "ko");
    assert!(!runs("sleep 31531"));
    assert_eq!(shown["class"], "external");
    let own = shop.texts(&id, "daybook");
    assert!(
        own[0].contains("`sleep 31531`") && own[0].contains("ran on after the runner had ended")
    );
    assert!(own[1].starts_with("ko: interrupted"), "{own:?}");
    let again = until("it runs again", || Some(shop.show(&id)["reruns"][0].as_str()?.to_owned()));
    with_status(&shop.daemon, &again, "ko");
    assert_eq!(shop.texts(&again, "stdout"), ["External: begun as rerun"]);
    let status = shop.daemon.json(&["status"]);
    let own = shop.daemon.runners();
    assert_eq!(status["runner"]["pid"], own[0], "{status}");
    assert_ne!(own, killed);
    assert!(shop.daemon.get("/metrics").contains("daybook_runners_lost_total 1"));
    let events = shop.daemon.json(&["event", "list", "--stream", &format!("execution/{id}")]);
    let position = |kind: &str| {
        let event = items(&events).iter().find(|event| event["type"] == kind);
        event.and_then(|event| event["position"].as_u64()).expect(kind)
    };
    assert_eq!(position("closed"), position("attempt-ended") + 1, "in one append");
}

#[test]
fn without_daemon_and_runner_a_command_is_interrupted_and_what_it_had_said_is_kept() {
    let schedules = r#"
[schedules.long]
manual = true
shell = "echo begun; read line < gate; echo on its own; exec sleep 31541"
"#;
    let folder = tempfile::tempdir().expect("a folder");
    let mut shop = Shop::start(folder.path(), schedules, &["gate"]);
    let id = shop.run("shop/long");
    shop.lines(&id, 1);
    shop.daemon.kill();
    shop.open("gate");
    until("it goes on", || runs("sleep 31541").then_some(()));
    shop.daemon.kill_runners();
    shop.daemon.start();
    let shown = with_status(&shop.daemon, &id, "ko");
    assert_eq!(shown["cause"], "TEC-INTERRUPTED");
    assert!(!runs("sleep 31541"));
    assert_eq!(shop.texts(&id, "stdout"), ["begun", "on its own"]);
    assert!(shop.texts(&id, "daybook")[0].contains("`sleep 31541`"));
}

#[test]
fn commands_of_two_former_daemons_go_on_side_by_side() {
    let schedules = r#"
[schedules.first]
manual = true
shell = "echo one; read line < a; echo two; read line < c; echo three"

[schedules.second]
manual = true
shell = "echo one; read line < b; echo two"
"#;
    let folder = tempfile::tempdir().expect("a folder");
    let mut shop = Shop::start(folder.path(), schedules, &["a", "b", "c"]);
    let first = shop.run("shop/first");
    shop.lines(&first, 1);
    shop.restart();
    let second = shop.run("shop/second");
    shop.lines(&second, 1);
    shop.open("a");
    shop.lines(&first, 2);
    shop.restart();
    let doctor = shop.daemon.json(&["doctor"]);
    let own = doctor["checks"].as_array().expect("a list").iter();
    let own = own.into_iter().find(|check| check["name"] == "runner").expect("a check");
    assert_eq!(own["state"], "ok");
    assert_eq!(shop.daemon.runners().len(), 3, "two that were left, and its own");
    for runner in shop.daemon.runners() {
        // As a machine does that goes down: it asks everybody.
        let asked = Command::new("kill").args(["-TERM", &runner.to_string()]).status();
        assert!(asked.expect("it is installed").success());
    }
    shop.open("b");
    with_status(&shop.daemon, &second, "ok");
    shop.open("c");
    with_status(&shop.daemon, &first, "ok");
    assert_eq!(shop.texts(&first, "stdout"), ["one", "two", "three"]);
    assert_eq!(shop.texts(&second, "stdout"), ["one", "two"]);
    until("those that were left are gone", || (shop.daemon.runners().len() == 1).then_some(()));
    until("and their folders", || (shop.generations() == 1).then_some(()));
}

/// The deadline of a stop ends no command: the next daemon goes on with it.
#[test]
fn a_stop_leaves_what_outlives_its_deadline_to_the_next_daemon() {
    let schedules = r#"
[schedules.long]
manual = true
shell = "printf begun; read line < gate; echo ' and ended'; exit 4"
"#;
    let folder = tempfile::tempdir().expect("a folder");
    let mut shop = Shop::start(folder.path(), schedules, &["gate"]);
    let id = shop.run("shop/long");
    with_status(&shop.daemon, &id, "running");
    shop.daemon.json(&["drain", "--deadline", "now"]);
    assert_eq!(shop.daemon.ended().code(), Some(0));
    assert_eq!(shop.daemon.runners().len(), 1);
    shop.daemon.start();
    assert_eq!(shop.show(&id)["status"], "running");
    shop.open("gate");
    let shown = with_status(&shop.daemon, &id, "ko");
    assert_eq!(shown["exit_code"], 4);
    assert_eq!(shop.texts(&id, "stdout"), ["begun and ended"], "one line, not two");
}

/// Nothing outlives the first process of a container, and the daemon ends at the deadline: the kernel kills the runner, then its
/// commands.
#[test]
fn what_a_container_takes_along_at_the_deadline_is_interrupted_and_run_again() {
    let schedules = r#"
[schedules.long]
manual = true
on_interrupt = "rerun"
shell = """
echo "begun as $DAYBOOK_TRIGGER"
[ "$DAYBOOK_TRIGGER" = rerun ] || exec sleep 31551
"""
"#;
    let folder = tempfile::tempdir().expect("a folder");
    let mut shop = Shop::start(folder.path(), schedules, &[]);
    let id = shop.run("shop/long");
    shop.lines(&id, 1);
    let command = until("it runs", || process_of("sleep 31551"));
    shop.daemon.json(&["drain", "--deadline", "now"]);
    assert_eq!(shop.daemon.ended().code(), Some(0));
    shop.daemon.kill_runners();
    let killed = Command::new("kill").args(["-KILL", &command]).status();
    assert!(killed.expect("it is installed").success());
    shop.daemon.start();
    let shown = with_status(&shop.daemon, &id, "ko");
    assert_eq!(shown["cause"], "TEC-INTERRUPTED");
    assert_eq!(shop.texts(&id, "stdout"), ["begun as manual"]);
    let own = shop.texts(&id, "daybook");
    assert_eq!(own, ["ko: interrupted: the daemon or the machine stopped while it ran"]);
    let again = until("it runs again", || Some(shop.show(&id)["reruns"][0].as_str()?.to_owned()));
    with_status(&shop.daemon, &again, "ok");
}

/// Whoever waits for the end of what it has left open would wait for the commands.
#[test]
fn a_runner_holds_nothing_that_its_daemon_was_started_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("somebody-elses");
    std::fs::write(&path, "").expect("a file");
    let flags = rustix::fs::OFlags::RDONLY;
    let inherited = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).expect("it is there");
    let schedules = "[schedules.rests]\nmanual = true\ncommand = [\"true\"]\n";
    let shop = Shop::start(folder.path(), schedules, &[]);
    drop(inherited);
    let runner = until("a runner", || shop.daemon.runners().first().copied());
    // It is named once it has begun to listen, and has opened all that it needs by then.
    until("it listens", || {
        (shop.daemon.json(&["status"])["runner"]["pid"] == runner).then_some(())
    });
    let open = std::fs::read_dir(format!("/proc/{runner}/fd")).expect("it lives").flatten();
    let held: Vec<_> = open.filter_map(|end| std::fs::read_link(end.path()).ok()).collect();
    assert!(!held.contains(&path.canonicalize().expect("it is there")), "{held:?}");
}
