//! The shipped schedules on the real binary, and crontabs on its command line.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// A daemon on the shipped schedules, with a folder of its own that is its home too.
struct Shipped<'a> {
    folder: &'a Path,
    child: Child,
    port: String,
}

fn daybook(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_daybook"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", folder)
        .stdin(Stdio::null());
    command
}

impl<'a> Shipped<'a> {
    /// Starts it on a port that is not the default, and with its data elsewhere than the command line looks by itself.
    fn start(folder: &'a Path) -> Self {
        let schedules = Path::new(env!("CARGO_MANIFEST_DIR")).join("schedules");
        let mut command = daybook(folder, &["serve", "--listen", "127.0.0.1:0", "--data", "data"]);
        command.arg("--schedules").arg(schedules).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let listens = |line: std::io::Result<String>| {
            let line = line.expect("text");
            let (_, url) = line.split_once("url=http://127.0.0.1:")?;
            url.split_whitespace().next().map(str::to_owned)
        };
        let port = lines.find_map(listens).expect("it listens");
        // What it says later must find a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { folder, child, port }
    }

    /// Runs a shipped schedule and waits for its end: the exit code, and the whole log.
    fn run(&self, schedule: &str, more: &[&str]) -> (Option<i32>, String) {
        let arguments = ["schedule", "run", schedule, "--wait", "--data", "data"];
        let output = daybook(self.folder, &[arguments.as_slice(), more].concat()).output();
        let output = output.expect("the binary starts");
        let id = text(&output.stdout).split_whitespace().next().unwrap_or_default().to_owned();
        let log = daybook(self.folder, &["execution", "log", &id, "--data", "data"]).output();
        (output.status.code(), text(&log.expect("the binary starts").stdout))
    }
}

impl Drop for Shipped<'_> {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn daybooks_check_of_itself_is_true_on_any_listener_and_data_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let shipped = Shipped::start(folder.path());
    let (code, log) = shipped.run("self-check/doctor", &[]);
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("data/daybook.sock\n"), "{log}");
    assert!(log.contains("the log takes events, slots run"), "{log}");
    let port = format!("port={}", shipped.port);
    let (code, log) = shipped.run("self-check/readyz", &["--param", &port]);
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn the_nightly_backup_is_made_and_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let shipped = Shipped::start(folder.path());
    let data = folder.path().join("data");
    let param = format!("data={}", data.display());
    let (code, log) = shipped.run("backup/nightly", &["--param", &param]);
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("sound: "), "{log}");
    let backups = std::fs::read_dir(data.join("backups")).expect("the folder of backups");
    let made: Vec<_> = backups
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.join("manifest.json").exists())
        .collect();
    let [made] = made.as_slice() else { panic!("{made:?}") };
    assert!(log.contains(&format!("backup {} is made and sound", made.display())), "{log}");
    let (code, log) = shipped.run("backup/nightly", &["--param", "data=/nowhere"]);
    assert_eq!(code, Some(5), "{log}");
    assert!(log.contains("ERROR Configuration: ") || log.contains("give params.data"), "{log}");
}

#[test]
fn the_first_steps_turn_red_and_name_the_file_to_mend() {
    let folder = tempfile::tempdir().expect("a folder");
    let shipped = Shipped::start(folder.path());
    let (code, log) = shipped.run("first-steps/import-products", &[]);
    assert_eq!(code, Some(5), "{log}");
    let mapping = folder.path().join(".local/state/daybook-first-steps/mapping.csv");
    assert!(log.contains(&format!("add the line 'FNAC-77;<category>' to {}", mapping.display())));
    std::fs::OpenOptions::new()
        .append(true)
        .open(mapping)
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"FNAC-77;books\n"))
        .expect("written");
    assert_eq!(shipped.run("first-steps/import-products", &[]).0, Some(0));
}

fn import(folder: &Path, crontab: &str, more: &[&str]) -> Output {
    std::fs::write(folder.join("copy"), crontab).expect("written");
    let arguments = ["import", "crontab", "copy"];
    daybook(folder, &[arguments.as_slice(), more].concat()).output().expect("the binary starts")
}

#[test]
fn a_crontab_that_can_be_read_in_two_ways_is_asked_about_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let crontab = "0 1 * * * root /opt/a\n0 2 * * * nobody-knows-me /opt/b\n";
    let output = import(folder.path(), crontab, &["--to", "."]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("on line 1, but not on line 2"), "{said}");
    assert!(said.contains("--format system"), "{said}");
    assert!(!folder.path().join("copy.toml").exists());
    let output = import(folder.path(), crontab, &["--format", "system", "--user", "root"]);
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stderr);
    assert!(said.contains("copy:2: not imported: it runs as `nobody-knows-me`"), "{said}");
    assert!(said.contains("imported for a daemon that runs as root"), "{said}");
}
