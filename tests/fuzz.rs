//! What `fuzz/` checks holds for its corpus: whatever it once found stays found without the fuzzer. The API's target needs
//! the fuzzer's own build and is left out.

use std::fs;
use std::path::Path;

#[path = "../fuzz/checks/calendar_files.rs"]
mod calendar_files;
#[path = "../fuzz/checks/codec.rs"]
mod codec;
#[path = "../fuzz/checks/cron.rs"]
mod cron;
#[path = "../fuzz/checks/crontab.rs"]
mod crontab;
#[path = "../fuzz/checks/log_lines.rs"]
mod log_lines;
#[path = "../fuzz/checks/schedule_files.rs"]
mod schedule_files;

/// Hands each file of the corpus to its check.
#[expect(clippy::print_stdout, reason = "it names the file whose check fails")]
fn check_all(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&corpus).expect("the target has a corpus") {
        let path = entry.expect("a readable folder").path();
        println!("{}", path.display());
        check(&fs::read(&path).expect("a readable file"));
        count += 1;
    }
    assert!(count > 0, "{} is empty", corpus.display());
}

#[test]
fn calendars_are_read_or_refused() {
    check_all("calendar_files", calendar_files::check);
}

#[test]
fn stored_events_are_refused_or_the_same_again() {
    check_all("codec", codec::check);
}

#[test]
fn patterns_are_refused_or_their_slots_grow() {
    check_all("cron", cron::check);
}

#[test]
fn an_imported_crontab_is_an_accepted_file() {
    check_all("crontab", crontab::check);
}

#[test]
fn output_becomes_the_same_lines_however_it_is_cut() {
    check_all("log_lines", log_lines::check);
}

#[test]
fn files_are_accepted_or_refused_with_a_place() {
    check_all("schedule_files", schedule_files::check);
}
