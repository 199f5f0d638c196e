use std::sync::Arc;

use crate::domain::class::{Level, Source};
use crate::domain::execution::Command;
use crate::domain::space::{Measured, Room};
use crate::jobs::ScribeNews;
use crate::jobs::testing::{Bench, shell};
use crate::store::space::Space;

#[tokio::test]
async fn every_line_arrives_whole_and_in_order() {
    let done =
        shell("seq -f '%06.0f abcdefghijklmnopqrstuvwxyz' 1 60000; printf 'no end'").run().await;
    let lines = done.texts(Source::Stdout);
    assert_eq!(lines.len(), 60_001);
    for (index, line) in lines.iter().take(60_000).enumerate() {
        assert_eq!(*line, format!("{:06} abcdefghijklmnopqrstuvwxyz", index + 1));
    }
    assert_eq!(lines.last(), Some(&"no end"));
}

#[tokio::test]
async fn both_streams_are_read_at_once() {
    let done = shell("seq 1 40000 & seq 1 40000 >&2; wait").run().await;
    assert_eq!(done.texts(Source::Stdout).len(), 40_000);
    assert_eq!(done.texts(Source::Stderr).len(), 40_000);
}

#[tokio::test]
async fn a_line_beyond_64_kib_is_split_and_marked() {
    let done = shell("head -c 150000 /dev/zero | tr '\\0' x; echo; echo after").run().await;
    let sizes: Vec<usize> = done.texts(Source::Stdout).iter().map(|text| text.len()).collect();
    assert_eq!(sizes, [65_536, 65_536, 18_928, 5]);
    let marks: Vec<_> = done.lines.iter().map(|line| line.fields.clone()).collect();
    let continues = Some(serde_json::json!({"continues": 1}));
    assert_eq!(marks[..4], [None, continues.clone(), continues, None]);
}

#[tokio::test]
async fn a_split_tears_no_character_apart() {
    let done = shell("printf 'x'; for i in $(seq 1 40000); do printf 'é'; done; echo").run().await;
    let texts = done.texts(Source::Stdout);
    assert_eq!(texts.len(), 2);
    assert_eq!(texts.concat().chars().filter(|c| *c == 'é').count(), 40_000);
}

#[tokio::test]
async fn bytes_stay_as_they_are_but_for_the_line_end() {
    let done = shell(r"printf 'a\r\n\n\tb\r50%%\rc\nlatin \351t\351\377\n'").run().await;
    assert_eq!(done.texts(Source::Stdout), ["a", "", "\tb\r50%\rc", r"latin \xE9t\xE9\xFF"]);
}

#[tokio::test]
async fn beyond_max_log_only_error_lines_are_kept_and_the_rest_is_counted() {
    let mut bench = shell("seq 1 50; echo 'ERROR Mapping: late'; seq 1 10; exit 1");
    bench.schedule.max_log_bytes = 20;
    let done = bench.run().await;
    let kept = done.texts(Source::Stdout);
    assert_eq!(kept.first(), Some(&"1"));
    assert_eq!(kept.last(), Some(&"Mapping: late"));
    // 1 to 9 are 9 bytes, 10 to 15 are 12; dropped are 16 to 50 and 1 to 10.
    assert_eq!(kept.len(), 16);
    assert!(
        done.news.contains(&ScribeNews::Limited { line: 15, max_bytes: 20 }),
        "{:?}",
        done.news
    );
    assert!(done.warnings()[0].contains("`max_log`"));
    assert_eq!(done.warnings()[1], "max_log: 45 lines with 81 bytes were not kept");
}

const NOISY: &str = "seq 1 50; echo 'ERROR Mapping: first'; seq 1 10; echo 'ERROR Mapping: second'";

/// Contract, rule 6.
#[tokio::test]
async fn on_a_low_disk_only_error_lines_are_kept_and_the_rest_is_counted() {
    let (bench, space, _folder) = with_room(NOISY, 8 << 20);
    let done = bench.run().await;
    assert_eq!(done.texts(Source::Stdout), ["Mapping: first", "Mapping: second"]);
    let curtailed = ScribeNews::Curtailed { line: 0, room: Room::Low };
    assert!(done.news.contains(&curtailed), "{:?}", done.news);
    let [told, counted] = done.warnings()[..] else { panic!("{:?}", done.warnings()) };
    assert!(told.contains("only error lines are kept"), "{told}");
    assert_eq!(counted, "the disk had little room: 60 lines with 102 bytes were not kept");
    assert_eq!(space.dropped_so_far(), (60, 102));
}

#[tokio::test]
async fn on_a_full_disk_the_first_error_is_kept_and_no_other_line() {
    let (bench, space, _folder) = with_room(NOISY, 1 << 20);
    let done = bench.run().await;
    assert_eq!(done.texts(Source::Stdout), ["Mapping: first"]);
    let curtailed = ScribeNews::Curtailed { line: 0, room: Room::Full };
    assert!(done.news.contains(&curtailed), "{:?}", done.news);
    assert_eq!(space.dropped_so_far().0, 61);
}

/// The job, the room on a disk of 200 MiB of which so many bytes are free, and its folder.
fn with_room(text: &str, free: u64) -> (Bench, Arc<Space>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let figures = Measured { free, total: 200 << 20 };
    let space = Arc::new(Space::of_figures(folder.path(), figures));
    let mut bench = shell(text);
    bench.space = Some(Arc::clone(&space));
    (bench, space, folder)
}

/// Contract, rule 11.
#[tokio::test]
async fn a_first_error_is_on_disk_before_anyone_hears_of_it() {
    for _ in 0..5 {
        let (told, _) = shell("echo fine; echo 'ERROR Mapping: FNAC-77'").performed().await;
        let (Command::SeeError(error), on_disk) = &told[0] else { panic!("{told:?}") };
        assert_eq!(error.line, 2);
        assert!(*on_disk >= 2, "{on_disk} lines were on disk");
        assert!(matches!(told[1].0, Command::EndAttempt(_)), "{told:?}");
    }
}

#[tokio::test]
async fn the_first_error_is_told_at_once() {
    let mut bench = shell("echo fine; echo 'ERROR Mapping: FNAC-77'; sleep 1000");
    bench.cancel_at_error = true;
    let done = bench.run().await;
    let ScribeNews::FirstError(first) = &done.news[0] else { panic!("{:?}", done.news) };
    assert_eq!(first.line, 2);
    assert_eq!(done.lines[1].level, Level::Error);
}
