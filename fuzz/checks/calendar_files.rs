//! Calendars, as iCalendar and as TOML, beside an interface that names one: read or refused, and a decision for each day.
use std::fs;
use std::sync::LazyLock;

use daybook::config::{Environment, Paint, load_folder, render_all};

const INTERFACE: &str = r#"
[schedules.sales]
cron = "0 2 * * *"
command = ["true"]
exclude = ["one", "two"]
"#;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("calendars")).expect("a folder");
    fs::write(folder.path().join("fnac.toml"), INTERFACE).expect("written");
    folder
});

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (toml, ics) = text.split_once("\n---\n").unwrap_or((text, text));
    let calendars = FOLDER.path().join("calendars");
    fs::write(calendars.join("one.toml"), toml).expect("written");
    fs::write(calendars.join("two.toml"), "ical = \"two.ics\"\n").expect("written");
    fs::write(calendars.join("two.ics"), ics).expect("written");
    let loaded = load_folder(FOLDER.path(), &Environment::default(), daybook::app::checks());
    assert_eq!(loaded.accepted.is_empty(), loaded.has_errors());
    render_all(&loaded.problems, Paint::Plain);
}
