//! What people see at a terminal of 80 columns, and what programs read from a pipe, on the real binary.

#[path = "support/asking.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod asking;
#[expect(dead_code, reason = "shared with other tests")]
mod support;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::LazyLock;

use asking::{ended, id_of, items, text, until, with_status};
use regex::Regex;
use support::Daemon;
use unicode_width::UnicodeWidthStr;

const ORDERS: &str = include_str!("terminal/orders.toml");
const SHOP: &str = include_str!("terminal/shop.toml");
const INTERFACE: &str = "marketplace-orders-of-the-german-shops";
const IMPORT: &str = "marketplace-orders-of-the-german-shops/import-the-orders-of-the-day-before";
const STOCK: &str =
    "marketplace-orders-of-the-german-shops/fetch-the-stock-levels-of-all-warehouses";
const INVOICES: &str = "marketplace-orders-of-the-german-shops/send-the-invoices-to-the-tax-office";
const WAREHOUSE: &str =
    "marketplace-orders-of-the-german-shops/wait-for-the-confirmation-of-the-warehouse";

/// Every verb that lists or shows something. Its rows fit the terminal, and are whole in a pipe.
const SHOWN: &[&[&str]] = &[
    &["status"],
    &["interface", "list"],
    &["interface", "show", INTERFACE],
    &["schedule", "list"],
    &["schedule", "show", STOCK],
    &["schedule", "next", INVOICES],
    &["schedule", "slots", STOCK],
    &["schedule", "why", STOCK],
    &["schedule", "explain", "0 2 * * 1-5", "--zone", "America/Argentina/ComodRivadavia"],
    &["schedule", "backfill", STOCK, "--from", "1h", "--to", "now", "--dry-run"],
    &["execution", "list"],
    &["execution", "show", "latest-ko"],
    &[
        "execution",
        "rerun",
        "--query",
        "interface=marketplace-orders-of-the-german-shops",
        "--dry-run",
    ],
    &["event", "list"],
    &["event", "tail"],
    &["event", "list", "--stream", "execution/latest-ko"],
    &["token", "list"],
    &["store", "info"],
    &["store", "verify"],
    &["store", "compact", "--dry-run"],
    &["explain"],
    &["explain", "MAP-OTHER"],
    &["reload"],
];

/// Those that end with 1 when something is amiss with the machine that the tests run on.
const EXAMINED: &[&[&str]] = &[&["doctor"], &["settings"], &["interface", "test", INTERFACE]];

static COLOUR: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("\u{1b}\\[[0-9;]*m").expect("a pattern"));

/// A daemon with what there is to see: red, running, paused and missed.
fn daemon(folder: &Path) -> Daemon {
    let orders = ORDERS.replace("FOLDER", &folder.display().to_string());
    let mut daemon =
        Daemon::with_files(folder, &[("shop.toml", SHOP), (&format!("{INTERFACE}.toml"), &orders)]);
    daemon.start();
    until("a slot that is red", || {
        let slots = daemon.json(&["execution", "list", "--status", "ko"]);
        (!items(&slots).is_empty()).then_some(())
    });
    let note = "until the warehouse says again how many pieces there are: 在庫数が届くまで";
    daemon.json(&["schedule", "pause", STOCK, "--note", note]);
    assert_eq!(ended(&daemon, &["schedule", "run", IMPORT]).0, Some(5));
    assert_eq!(ended(&daemon, &["schedule", "run", "shop/stock"]).0, Some(0));
    daemon.json(&["token", "create", "the-night-shift-of-the-operators-in-zurich"]);
    let waits = daemon.json(&["schedule", "run", WAREHOUSE]);
    with_status(&daemon, id_of(&waits), "running");
    daemon
}

/// A command line at a terminal of its own.
struct Terminal {
    script: Child,
    /// Held open: at its end, `script` would type the end of a file.
    _typed: ChildStdin,
    shown: ChildStdout,
}

impl Terminal {
    /// `size` is what `stty` is told.
    fn start(daemon: &Daemon, arguments: &[&str], size: &str, variables: &[(&str, &str)]) -> Self {
        let quoted: Vec<String> = arguments.iter().map(|word| format!("'{word}'")).collect();
        let line =
            format!("stty {size}; exec '{}' {}", env!("CARGO_BIN_EXE_daybook"), quoted.join(" "));
        let mut script = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
            .current_dir(&daemon.folder)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm")
            .env("HOME", &daemon.folder)
            .env("DAYBOOK_DATA", daemon.folder.join("data"))
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`script` of util-linux");
        let (typed, shown) = (script.stdin.take(), script.stdout.take());
        Self { script, _typed: typed.expect("piped"), shown: shown.expect("piped") }
    }

    /// Reads until this stands there.
    fn wait_for(&mut self, words: &str) -> String {
        let mut shown = Vec::new();
        while !text(&shown).contains(words) {
            let mut byte = [0];
            let read = self.shown.read(&mut byte).expect("readable");
            assert!(read > 0, "`{words}` never came: {}", text(&shown));
            shown.extend(byte);
        }
        text(&shown)
    }

    /// What else is shown, and the exit code.
    fn end(mut self) -> (String, Option<i32>) {
        let mut shown = Vec::new();
        self.shown.read_to_end(&mut shown).expect("readable");
        (text(&shown), self.script.wait().expect("it ends").code())
    }
}

/// What a command line shows at a terminal.
fn at_terminal(
    daemon: &Daemon,
    arguments: &[&str],
    size: &str,
    variables: &[(&str, &str)],
) -> String {
    let (shown, code) = Terminal::start(daemon, arguments, size, variables).end();
    if !EXAMINED.contains(&arguments) {
        assert_eq!(code, Some(0), "{arguments:?}: {shown}");
    }
    shown
}

/// The lines that stand at the terminal in the end.
fn screen(shown: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in shown.split("\r\n") {
        let mut row: Vec<char> = Vec::new();
        for again in line.split('\r') {
            let over: Vec<char> = again.chars().collect();
            let rest = row.split_off(over.len().min(row.len()));
            row = over.into_iter().chain(rest).collect();
        }
        lines.push(row.into_iter().collect::<String>().trim_end().to_owned());
    }
    lines
}

#[track_caller]
fn fits(shown: &str, columns: usize, arguments: &[&str]) {
    let plain = COLOUR.replace_all(shown, "");
    for line in screen(&plain) {
        assert!(
            line.width() <= columns,
            "{arguments:?}: {} columns:\n{line}\n\n{plain}",
            line.width()
        );
    }
}

#[test]
fn every_list_fits_80_columns_with_and_without_colours_and_is_whole_in_a_pipe() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = daemon(folder.path());
    for arguments in SHOWN.iter().chain(EXAMINED) {
        let coloured = at_terminal(&daemon, arguments, "cols 80 rows 24", &[]);
        fits(&coloured, 80, arguments);
        let plain = at_terminal(&daemon, arguments, "cols 80 rows 24", &[("NO_COLOR", "1")]);
        fits(&plain, 80, arguments);
        assert!(!plain.contains('\u{1b}'), "{arguments:?}: {plain:?}");
        let piped = daemon.run(arguments);
        let piped = text(&piped.stdout) + &text(&piped.stderr);
        assert!(!piped.contains(['\u{1b}', '\r', '…']), "{arguments:?}: {piped:?}");
    }
    what_is_whole_in_a_pipe(&daemon);
    the_terminals_width_and_colours_are_obeyed(&daemon);
    status_says_first_what_is_red_why_whose_move_it_is_and_whether_to_run_it_again(&daemon);
}

fn what_is_whole_in_a_pipe(daemon: &Daemon) {
    let listed = daemon.json(&["execution", "list"]);
    let table = text(&daemon.run(&["execution", "list"]).stdout);
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), items(&listed).len() + 1, "{table}");
    for (row, execution) in rows.iter().skip(1).zip(items(&listed)) {
        assert!(row.contains(id_of(execution)), "{row}");
    }
    let red = rows.iter().find(|row| row.contains(IMPORT)).expect("it ran");
    assert!(red.ends_with("customer that came after it."), "{red}");
    let interfaces = text(&daemon.run(&["interface", "list"]).stdout);
    assert!(interfaces.contains("受注連携チーム"), "{interfaces}");
}

fn the_terminals_width_and_colours_are_obeyed(daemon: &Daemon) {
    let list = ["execution", "list"];
    for (size, columns) in [("cols 40 rows 24", 40), ("cols 132 rows 24", 132)] {
        fits(&at_terminal(daemon, &list, size, &[]), columns, &list);
    }
    let named = at_terminal(daemon, &list, "cols 132 rows 24", &[("COLUMNS", "60")]);
    fits(&named, 60, &list);
    let unknown = at_terminal(daemon, &list, "cols 0 rows 0", &[]);
    fits(&unknown, 80, &list);

    let is_coloured = |shown: &str| COLOUR.is_match(shown);
    let shown = |more: &[&str], variables: &[(&str, &str)]| {
        let arguments: Vec<&str> = list.iter().chain(more).copied().collect();
        at_terminal(daemon, &arguments, "cols 80 rows 24", variables)
    };
    assert!(is_coloured(&shown(&[], &[])));
    assert!(!shown(&["--no-color"], &[]).contains('\u{1b}'));
    assert!(!shown(&[], &[("TERM", "dumb")]).contains('\u{1b}'));
    assert!(!shown(&[], &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]).contains('\u{1b}'));
    assert!(
        is_coloured(&shown(&["--help"], &[]))
            && !is_coloured(&shown(&["--help", "--no-color"], &[]))
    );
}

fn status_says_first_what_is_red_why_whose_move_it_is_and_whether_to_run_it_again(daemon: &Daemon) {
    let shown = screen(&at_terminal(daemon, &["status"], "cols 80 rows 24", &[("NO_COLOR", "1")]));
    let whole = shown.join("\n");
    let place = |words: &str| {
        let place = shown.iter().position(|line| line.contains(words));
        assert!(place.is_some(), "`{words}` is missing:\n{whole}");
        place.unwrap_or_default()
    };
    assert!(shown[0].ends_with("2 red"), "{whole}");
    let answers = [
        place("Red"),
        place(&format!("KO  {IMPORT}")),
        place("Mapping: 商品コード FNAC-77"),
        place("Check the mappings and the record's data"),
        place("Yes, after the correction."),
    ];
    assert!(answers.is_sorted() && answers[4] < 24, "{answers:?}:\n{whole}");
    assert!(place("Running") > answers[4] && place("Interfaces") > place("Next"), "{whole}");
    assert!(
        shown[place("Interfaces") + 2].starts_with(INTERFACE),
        "the red one is first:\n{whole}"
    );
    let id = Regex::new("daybook execution show ([0-9a-f-]+)").expect("a pattern");
    for id in id.captures_iter(&whole) {
        assert!(daemon.run(&["execution", "show", &id[1]]).status.success(), "{}", &id[1]);
    }
}

#[test]
fn waiting_is_told_at_a_terminal_and_nowhere_else_and_leaves_no_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = daemon(folder.path());
    let open = daemon.json(&["execution", "list", "--status", "running"]);
    let id = id_of(&items(&open)[0]).to_owned();
    let go = folder.path().join("go");

    let run = ["schedule", "run", WAREHOUSE, "--force", "--wait"];
    let mut terminal = Terminal::start(&daemon, &run, "cols 80 rows 24", &[]);
    let begun = terminal.wait_for("running, ");
    fits(&begun, 80, &run);
    File::create(&go).expect("a file");
    let (rest, code) = terminal.end();
    assert_eq!(code, Some(0), "{rest}");
    let left = screen(&COLOUR.replace_all(&(begun + &rest), ""));
    assert!(!left.iter().any(|line| line.contains("running, ")), "{left:#?}");
    assert!(left.iter().any(|line| line.contains("  ok")), "{left:#?}");
    with_status(&daemon, &id, "ok");

    let piped = |more: &[&str]| {
        let arguments: Vec<&str> = run.iter().chain(more).copied().collect();
        let done = daemon.run(&arguments);
        (text(&done.stdout), text(&done.stderr))
    };
    let (out, err) = piped(&[]);
    assert!(!out.contains('\r') && err.lines().count() == 1, "{out}{err}");
    assert_eq!(piped(&["--quiet"]).1, "");
    assert_eq!(piped(&["--json"]).1, "");
    what_is_drained_is_told_before_it_is_waited_for(&daemon, &go);
}

fn what_is_drained_is_told_before_it_is_waited_for(daemon: &Daemon, go: &Path) {
    std::fs::remove_file(go).expect("it was there");
    let waits = daemon.json(&["schedule", "run", WAREHOUSE]);
    with_status(daemon, id_of(&waits), "running");
    let drain = ["drain", "--wait"];
    let mut terminal = Terminal::start(daemon, &drain, "cols 80 rows 24", &[("NO_COLOR", "1")]);
    let told = terminal.wait_for("draining: 1 running");
    let waited = terminal.wait_for("still run");
    File::create(go).expect("a file");
    let (rest, code) = terminal.end();
    let shown = told + &waited + &rest;
    fits(&shown, 80, &drain);
    let left = screen(&shown);
    assert_eq!(code, Some(0), "{left:#?}");
    assert!(left[0].starts_with("draining: 1 running"), "{left:#?}");
    assert!(left.iter().any(|line| line == "the daemon has ended"), "{left:#?}");
    assert!(!left.iter().any(|line| line.contains("still run")), "{left:#?}");
}

/// Whether a process hears SIGINT itself.
fn hears_interrupts(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = u64::from_str_radix(caught.expect("a Linux").trim(), 16).expect("a number");
    caught & 1 << (2 - 1) != 0
}

#[test]
fn an_interrupt_ends_also_work_that_waits_for_nothing() {
    // It reads its input, which never ends, on the thread that would look for an interrupt.
    let mut command = Command::new(env!("CARGO_BIN_EXE_daybook"));
    command.arg("classify").env_clear().stdin(Stdio::piped()).stdout(Stdio::null());
    let mut reads = command.spawn().expect("the binary starts");
    let pid = reads.id();
    until("interrupts are heard", || hears_interrupts(pid).then_some(()));
    let sent = Command::new("kill").args(["-INT", &pid.to_string()]).status();
    assert!(sent.expect("`kill`").success());
    // `wait` would close its input, which ends it as well.
    let end = until("it ends", || reads.try_wait().expect("a child"));
    assert_eq!(end.code(), Some(130));
}

#[test]
fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = daemon(folder.path());
    let written: &[&[&str]] = &[
        &["status"],
        &["execution", "list"],
        &["execution", "list", "--json"],
        &["execution", "log", "latest-ko"],
        &["execution", "export", "latest-ko", "--csv", "-"],
        &["store", "export", "--jsonl", "-"],
        &["explain", "MAP-OTHER"],
        &["completions", "bash"],
        &["man"],
        &["version"],
        &["--version"],
        &["execution", "--help"],
    ];
    for arguments in written {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let closed = into(&daemon, arguments, writer.into());
        assert_eq!(
            (closed.status.code(), text(&closed.stderr).as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );

        let full = File::options().write(true).open("/dev/full").expect("a Linux");
        let full = into(&daemon, arguments, full.into());
        let said = text(&full.stderr);
        assert_eq!(full.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(
            said.contains("cannot be written") && said.contains("No space left"),
            "{arguments:?}: {said}"
        );
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    }
}

/// Runs a command line whose data goes to `out`.
fn into(daemon: &Daemon, arguments: &[&str], out: Stdio) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_daybook"));
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &daemon.folder);
    command.env("DAYBOOK_DATA", daemon.folder.join("data")).current_dir(&daemon.folder);
    command.stdin(Stdio::null()).stdout(out).stderr(Stdio::piped());
    command.spawn().expect("the binary starts").wait_with_output().expect("it ends")
}
