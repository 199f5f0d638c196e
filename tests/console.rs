//! The console in a real Chromium, each journey on a daemon of its own. `tests/console/` holds what is done in the browser.

#[path = "support/asking.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod asking;
#[path = "console/journeys.rs"]
mod journeys;
#[path = "console/log.rs"]
mod log;
#[expect(dead_code, reason = "shared with other tests")]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use asking::{text, with_status, word};
use serde_json::{Value, json};
use support::Daemon;

/// A shop of whose schedules `tickets` fails, for want of a product, and ends well when a file says so; `counting` says 300
/// lines for the first line in a pipe and fails for the second; `many` fails in line 700 of 1,200.
const SHOP: &str = r#"
name = "Ticket shop"
owner = "sales@example.com"
runbook = "https://wiki.example.com/shop"

[schedules.sales]
manual = true
command = ["sh", "-c", "echo page 1 of 1: 62 records; echo done"]

[schedules.tickets]
manual = true
overlap = "allow"
params.day = { default = "2026-11-28" }
command = ["sh", "-c", "echo begin; echo reading '<b>tickets</b>'; test -e MENDED || { echo 'ERROR no product for code FNAC-12' >&2; echo 'ERROR 3 records were not written' >&2; exit 1; }; echo done"]

[schedules.counting]
manual = true
command = ["sh", "-c", "exec 3<>GATE; read word <&3; i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; done; read word <&3; echo ERROR no product for code LAST >&2; exit 1"]

[schedules.many]
manual = true
command = ["awk", "BEGIN { for (n = 1; n <= 1200; n++) print (n == 700 ? \"ERROR no product for code EVENT-700\" : \"event \" n); exit 1 }"]
"#;

const BANK: &str = r#"
name = "Bank"

[schedules.statements]
cron = "0 6 * * *"
timezone = "Europe/Zurich"
command = ["true"]
"#;

struct Shop {
    folder: tempfile::TempDir,
    daemon: Daemon,
}

impl Shop {
    /// A shop that has sold once, and failed to write tickets once.
    fn open() -> Self {
        Self::beside(&[])
    }

    /// The same beside other interfaces.
    fn beside(others: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let gate = mkfifo(folder.path());
        let shop = SHOP.replace("MENDED", &path("mended")).replace("GATE", &gate);
        let files = [&[("shop.toml", shop.as_str()), ("bank.toml", BANK)], others].concat();
        let mut daemon = Daemon::with_files(folder.path(), &files);
        daemon.start();
        let shop = Self { folder, daemon };
        shop.ended("shop/sales", "ok");
        shop
    }

    /// Runs a schedule to its end.
    fn ended(&self, schedule: &str, status: &str) -> Value {
        let id = self.run(schedule);
        with_status(&self.daemon, &id, status)
    }

    fn run(&self, schedule: &str) -> String {
        let run = self.daemon.json(&["schedule", "run", schedule]);
        word(&run, "id").to_owned()
    }

    /// Fails to write tickets so many times; the executions, the oldest first.
    fn failed(&self, times: usize) -> Vec<String> {
        (0..times).map(|_| word(&self.ended("shop/tickets", "ko"), "id").to_owned()).collect()
    }

    /// The pipe at which `shop/counting` waits, twice.
    fn gate(&self) -> PathBuf {
        self.folder.path().join("gate")
    }

    /// A new token with this role.
    fn token(&self, name: &str, role: &str) -> String {
        let made = self.daemon.json(&["token", "create", name, "--role", role]);
        word(&made, "token").to_owned()
    }

    /// Makes a journey in the browser, which is told these facts; what it prints.
    fn travel(&self, journey: &str, facts: &Value) -> String {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/console");
        assert!(
            scripts.join("node_modules").exists(),
            "the browser's driver is not installed: run `npm ci` in tests/console, or scripts/test once"
        );
        let link = self.daemon.json(&["console"]);
        let login = word(&link, "url");
        let (base, _) = login.split_once("/login/").expect("a link");
        let done = Command::new("node")
            .arg(scripts.join(format!("{journey}.mjs")))
            .current_dir(&scripts)
            .env("DAYBOOK_URL", base)
            .env("DAYBOOK_LOGIN", login)
            .env("DAYBOOK_FACTS", facts.to_string())
            .env("DAYBOOK_PICTURES", pictures())
            .output()
            .expect("node is installed");
        assert!(done.status.success(), "{journey}:\n{}{}", text(&done.stdout), text(&done.stderr));
        text(&done.stdout)
    }
}

/// A pipe that a command waits at.
fn mkfifo(folder: &Path) -> String {
    let gate = folder.join("gate").display().to_string();
    assert!(Command::new("mkfifo").arg(&gate).status().expect("it is installed").success());
    gate
}

/// Where journeys leave pictures, so that somebody can look at them.
fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("console");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// From the red tile to the line that says why, and the way back to green.
#[test]
fn a_red_one_is_found_understood_mended_and_run_again() {
    let shop = Shop::open();
    let ko = shop.ended("shop/tickets", "ko");
    let mended = shop.folder.path().join("mended");
    shop.travel("mend", &json!({"ko": word(&ko, "id"), "mended": mended}));
}

/// Pages about executions, wide, narrow and dark, for those who see and those who do not.
#[test]
fn every_page_about_executions_is_sound() {
    are_sound(&OF_EXECUTIONS, &[]);
}

/// The other pages.
#[test]
fn every_other_page_is_sound() {
    are_sound(&OTHERS, &[["/events", "Verify"], ["/interfaces/shop", "Test the connection"]]);
}

/// Looks at these pages, and at those that these forms lead to.
fn are_sound(pages: &[&str], forms: &[[&str; 2]]) {
    let shop = Shop::open();
    let ko = shop.ended("shop/tickets", "ko");
    let ko = word(&ko, "id");
    let pages: Vec<String> = pages.iter().map(|page| page.replace("KO", ko)).collect();
    shop.travel("sound", &json!({"pages": pages, "forms": forms}));
}

const OF_EXECUTIONS: [&str; 12] = [
    "/",
    "/executions",
    "/executions?status=ko&interface=shop",
    "/executions?text=nowhere",
    "/executions/KO",
    "/executions/KO/log",
    "/executions/rerun?ids=KO",
    "/executions?from=2026-01-01&trigger=manual",
    "/schedules/bank/statements/backfill?from=2026-01-01&to=2026-01-02",
    "/explain",
    "/explain/MAP-REF",
    "/login",
];

const OTHERS: [&str; 12] = [
    "/schedules",
    "/schedules/shop/tickets",
    "/schedules/bank/statements",
    "/schedules/bank/statements/why",
    "/interfaces",
    "/interfaces/shop",
    "/events",
    "/events/1",
    "/events?stream=schedule/no/where",
    "/doctor",
    "/settings",
    "/api",
];
