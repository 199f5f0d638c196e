//! The log viewer, on logs that are long and that grow.

use serde_json::json;

use super::support::Daemon;
use super::{Shop, mkfifo, word};

/// `growing` says 300 lines for each word `go`.
const LOGS: &str = r#"
name = "Logs"

[schedules.long]
manual = true
command = ["awk", "-v", "lines=LINES", "-v", "needle=NEEDLE", "-f", "SCRIPTS/long.awk"]

[schedules.growing]
manual = true
command = ["sh", "-c", "exec 3<>GATE; n=0; while read word <&3 && [ $word = go ]; do n=$((n+1)); i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo round $n line $i; done; done"]
"#;

/// More than browsers lay out at the height of a row.
const LINES: u64 = 800_000;
const NEEDLE: u64 = 760_000;

#[test]
fn a_log_of_any_length_is_read_searched_and_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let gate = mkfifo(folder.path());
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/console");
    let logs = LOGS
        .replace("LINES", &LINES.to_string())
        .replace("NEEDLE", &NEEDLE.to_string())
        .replace("SCRIPTS", scripts)
        .replace("GATE", &gate);
    let mut daemon = Daemon::with_files(folder.path(), &[("logs.toml", &logs)]);
    daemon.start();
    let shop = Shop { folder, daemon };
    let live = shop.run("logs/growing");
    let long = shop.ended("logs/long", "ko");
    let facts = json!({
        "long": word(&long, "id"), "lines": long["lines"], "needle": NEEDLE,
        "live": live, "gate": gate,
    });
    shop.travel("log", &facts);
}
