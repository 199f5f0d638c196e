//! What stands in the files, as far as it can be told without a program that reads workbooks; `tests/export.rs` has one.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;

use serde_json::{Value as Json, json};

use super::xlsx::{self, Making};
use super::*;
use crate::domain::cause::Cause;
use crate::domain::class::{Class, Level, Source};
use crate::domain::event::{
    Actor, AttemptEnded, CancelRequested, Closed, Delivery, DeliveryEnded, Envelope, ErrorCounts,
    Event, Noted, Outcome, RetryPlanned, Trigger,
};
use crate::domain::line::Line;
use crate::ids::{EventId, ExecutionId, Position, StreamId};
use crate::instant::Instant;
use crate::projection::view::{Execution, FirstError, Status};

const AT: Instant = Instant::from_secs(1_795_000_000);

fn line(line: u64, text: &str) -> Line {
    Line {
        line,
        at: AT,
        attempt: 1,
        source: Source::Stdout,
        level: Level::Info,
        class: None,
        cause: None,
        text: text.to_owned(),
        cascade_of: None,
        fields: None,
    }
}

fn error(number: u64, text: &str) -> Line {
    let (class, cause) = (Some(Class::Mapping), Some(Cause::MapField));
    Line { level: Level::Error, class, cause, ..line(number, text) }
}

fn execution() -> Execution {
    let id: ExecutionId = "0193522b-6a00-8abc-8def-000000000001".parse().expect("an id");
    let error = FirstError {
        line: 2,
        class: Class::Mapping,
        cause: Cause::MapField,
        text: "=no product".to_owned(),
        action: Class::Mapping.action(None),
    };
    Execution {
        id,
        interface: "fnac".parse().expect("a name"),
        schedule: "sales".parse().expect("a name"),
        slot: None,
        trigger: Trigger::Manual,
        status: Status::Ko,
        class: Some(Class::Mapping),
        cause: Some(Cause::MapField),
        created_at: AT,
        started_at: Some(AT),
        ended_at: Some(AT),
        duration_ms: Some(0),
        attempts: 1,
        exit_code: Some(-3),
        params: [("day".to_owned(), "2026-11-22".to_owned())].into(),
        rerun_of: None,
        root: id,
        reruns: Vec::new(),
        solved_by: None,
        superseded_by: None,
        acknowledged: None,
        notes: Vec::new(),
        cancel_requested: None,
        references: vec!["KAY-1".to_owned(), "KAY-2".to_owned()],
        idempotency_key: id.to_string(),
        definition_version: 3,
        lines: 7,
        lines_pruned_at: None,
        errors: ErrorCounts { mapping: 1, ..ErrorCounts::default() },
        first_error: Some(error),
        anomaly: None,
        position: Position(40),
    }
}

fn event(event: impl Into<Event>) -> Moment {
    let stream = StreamId::Execution(execution().id);
    let envelope = Envelope {
        position: Position(41),
        version: 2,
        id: EventId::derive(&stream, 2, AT),
        stream,
        at: AT,
        actor: Actor::Token("ci".to_owned()),
        correlation: None,
        causation: None,
        hash: [0; 32],
        event: event.into(),
    };
    Moment::of(&envelope).expect("shown")
}

/// Pages of two rows.
fn pages<T: Clone>(rows: &[T]) -> Box<Pages<'_, T>> {
    Box::new(rows.chunks(2).map(|page| Ok(page.to_vec())))
}

/// What writes a table.
type Write<T> =
    fn(&[Column<T>], &mut Pages<'_, T>, &mut dyn std::io::Write) -> Result<(), ExportError>;

fn table<T: Clone>(write: Write<T>, (columns, rows): (&[Column<T>], &[T])) -> String {
    let mut written = Vec::new();
    write(columns, &mut *pages(rows), &mut written).expect("written");
    String::from_utf8(written).expect("text")
}

#[test]
fn a_table_has_the_same_names_in_csv_and_in_json() {
    fn check<T: Clone>(columns: &[Column<T>], row: T) {
        let rows = [row];
        let csv = table(csv, (columns, &rows));
        let json: Json = serde_json::from_str(&table(jsonl, (columns, &rows))).expect("a row");
        let names: BTreeSet<&str> = columns.iter().map(|column| column.name).collect();
        assert_eq!(names.len(), columns.len(), "each stands once");
        let in_csv: Vec<&str> = csv.lines().next().expect("names").split(',').collect();
        assert_eq!(in_csv, columns.iter().map(|column| column.name).collect::<Vec<_>>());
        let in_json = json.as_object().expect("an object").keys();
        assert_eq!(in_json.map(String::as_str).collect::<BTreeSet<_>>(), names);
    }
    check(EXECUTION, execution());
    check(LINE, line(1, "fine"));
    check(EXCHANGE, line(1, "fine"));
    check(MOMENT, event(CancelRequested { note: None }));
}

/// The contract's shapes: a new field of a line must not be missing in what leaves the house.
#[test]
fn a_line_is_exported_with_all_its_fields() {
    let shape = serde_json::to_value(line(1, "fine")).expect("JSON");
    let exported: BTreeSet<&str> = LINE.iter().map(|column| column.name).collect();
    for name in shape.as_object().expect("an object").keys() {
        assert!(exported.contains(name.as_str()), "{name}");
    }
}

// S3-9, S3-11
#[test]
fn each_error_has_its_action_beside_it_and_no_text_is_a_formula() {
    let cascade = Line { class: Some(Class::Cascade), cascade_of: Some(2), ..line(3, "=a,\"b\"") };
    let rows = [line(1, "fine"), error(2, "+no product"), cascade];
    let expected = "\
        line,at,attempt,stream,level,class,cause,text,action,cascade_of,fields\n\
        1,2026-11-18T11:06:40.000Z,1,stdout,info,,,fine,,,\n\
        2,2026-11-18T11:06:40.000Z,1,stdout,error,mapping,MAP-FIELD,'+no product,\"Check the mappings and the \
        record's data; correct them, then run it again.\",,\n\
        3,2026-11-18T11:06:40.000Z,1,stdout,info,cascade,,\"'=a,\"\"b\"\"\",Consequence of an error above. Look at line 2.,2,\n";
    assert_eq!(table(csv, (LINE, &rows)), expected);
}

#[test]
fn json_lines_keep_numbers_lists_and_what_is_unknown() {
    let row: Json =
        serde_json::from_str(&table(jsonl, (EXECUTION, &[execution()]))).expect("a row");
    for (name, value) in [
        ("first_error", json!("=no product")),
        ("exit_code", json!(-3)),
        ("params", json!({"day": "2026-11-22"})),
        ("references", json!(["KAY-1", "KAY-2"])),
        ("slot", json!(null)),
        ("mapping_errors", json!(1)),
        ("created_at", json!("2026-11-18T11:06:40.000Z")),
    ] {
        assert_eq!(row[name], value, "{name}");
    }
    let csv = table(csv, (EXECUTION, &[execution()]));
    assert!(csv.contains(",-3,"), "a number is none that somebody wrote: {csv}");
    assert!(csv.contains("\"KAY-1, KAY-2\"") && csv.contains("'=no product"), "{csv}");
}

#[test]
fn an_execution_as_json_lines_is_itself_its_lines_and_its_events() {
    let (execution, timeline) = (execution(), [event(CancelRequested { note: None })]);
    let rows = [line(1, "one"), line(2, "two"), line(3, "three")];
    let mut written = Vec::new();
    let whole = Jsonl { execution: &execution, timeline: &timeline };
    whole.write(&mut *pages(&rows), &mut written).expect("written");
    let text = String::from_utf8(written).expect("text");
    let rows: Vec<Json> =
        text.lines().map(|row| serde_json::from_str(row).expect("a row")).collect();
    let kinds: Vec<&str> = rows.iter().filter_map(|row| row["row"].as_str()).collect();
    assert_eq!(kinds, ["execution", "line", "line", "line", "event"]);
    assert_eq!(rows[4]["data"], json!({"note": null}));
}

#[test]
fn what_happened_is_told_in_words() {
    let ended = AttemptEnded {
        attempt: 1,
        exit_code: None,
        signal: Some(9),
        usage: None,
        outcome: Outcome::Ko,
        cause: Some(Cause::TecSignal),
    };
    let retry = RetryPlanned { attempt: 2, at: AT, delay_ms: 30_000, asked: true };
    let closed = Closed {
        outcome: Outcome::Ok,
        class: None,
        cause: None,
        exit_code: Some(0),
        attempts: 2,
        lines: 0,
        errors: ErrorCounts::default(),
        first_error: None,
        log_hash: [0; 32],
        duration_ms: 61_000,
    };
    let note = Noted {
        text: Some("they know".to_owned()),
        reference: Some("KAY-1".to_owned()),
        acknowledged: true,
    };
    let delivery = DeliveryEnded {
        cause: EventId::derive(&StreamId::Daemon, 1, AT),
        kind: "fail".to_owned(),
        result: Delivery::Dropped,
        tries: 1,
        reason: Some("too old".to_owned()),
    };
    let told = [
        (event(ended), "attempt 1 ended ko, signal 9 (SIGKILL), TEC-SIGNAL"),
        (
            event(retry),
            "attempt 2 is planned for 2026-11-18T11:06:40.000Z, after 30.0 s, as the external system asked",
        ),
        (event(CancelRequested { note: Some("no".to_owned()) }), "its end was asked for: no"),
        (event(closed), "closed ok, after 2 attempts and 1 min 1 s"),
        (event(note), "acknowledged: ticket KAY-1: they know"),
        (event(delivery), "fail dropped after 1 try: too old"),
    ];
    for (moment, text) in &told {
        assert_eq!(moment.text, *text);
        assert_eq!(moment.actor, "token:ci");
    }
    assert!(told[0].0.is_bad && !told[3].0.is_bad);
    assert_eq!((told[0].0.attempt, told[1].0.attempt), (Some(1), Some(2)));
}

#[test]
fn only_a_line_with_a_request_is_an_exchange() {
    let with = |fields: Json| Line { fields: Some(fields), ..line(1, "x") };
    assert!(is_exchange(&with(json!({"direction": "out", "method": "GET", "url": "http://a"}))));
    assert!(!is_exchange(&with(json!({"direction": "out"}))));
    assert!(!is_exchange(&with(json!(["direction", "method", "url"]))));
    assert!(!is_exchange(&line(1, "x")));
}

fn making<'a>(folder: &'a tempfile::TempDir, watch: &'a Watch<'a>) -> Making<'a> {
    Making { folder: folder.path(), sheet_rows: 3, at: AT, version: "0.1.0", watch }
}

fn part(archive: &mut zip::ZipArchive<File>, name: &str) -> String {
    let mut text = String::new();
    archive.by_name(name).expect("a part").read_to_string(&mut text).expect("text");
    text
}

/// The sheets' names with their XML, in the order in which people see them.
fn sheets(file: File) -> Vec<(String, String)> {
    let mut archive = zip::ZipArchive::new(file).expect("an archive");
    let workbook = part(&mut archive, "xl/workbook.xml");
    let names = regex::Regex::new(r#"<sheet name="([^"]+)""#).expect("an expression");
    let names: Vec<String> = names.captures_iter(&workbook).map(|it| it[1].to_owned()).collect();
    let sheet = |(name, n)| (name, part(&mut archive, &format!("xl/worksheets/sheet{n}.xml")));
    names.into_iter().zip(1..).map(sheet).collect()
}

#[test]
fn a_table_that_is_longer_than_a_sheet_goes_on_on_the_next_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut rows: Vec<Line> = (1..=7).map(|n| line(n, "fine")).collect();
    rows[3] = error(4, "no product");
    let (execution, timeline) = (execution(), [event(CancelRequested { note: None })]);
    let watch = &|| Ok(());
    let file = xlsx::execution((&execution, &timeline), &mut *pages(&rows), making(&folder, watch));
    let sheets = sheets(file.expect("a workbook"));
    let names: Vec<&str> = sheets.iter().map(|(name, _)| name.as_str()).collect();
    let expected = ["Summary", "Errors", "Log", "Log 2", "Log 3", "Exchanges", "Timeline"];
    let others = names.iter().filter(|name| !name.starts_with("Summary "));
    assert!(others.eq(&expected), "{names:?}");
    for (name, rows) in [("Errors", 1), ("Log", 3), ("Log 2", 3), ("Log 3", 1)] {
        let (_, xml) = sheets.iter().find(|(sheet, _)| sheet == name).expect("a sheet");
        assert_eq!(xml.matches("<row ").count(), rows + 1, "{name} has its headings: {xml}");
        assert!(xml.contains(&format!("<autoFilter ref=\"A1:K{}\"/>", rows + 1)), "{name}: {xml}");
        assert!(xml.contains("state=\"frozen\""), "{name}: {xml}");
    }
    let left = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 0, "nothing stays in the folder");
}

/// A workbook that would fill the disk, or that nobody waits for, is not gone on with.
#[test]
fn a_workbook_is_given_up_when_it_may_not_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows: Vec<Line> = (1..=7).map(|n| line(n, "fine")).collect();
    for allowed in [0, 2] {
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let watch = &|| match asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            so_far if so_far < allowed => Ok(()),
            _ => Err(ExportError::NoRoom),
        };
        let execution = execution();
        let made = xlsx::execution((&execution, &[]), &mut *pages(&rows), making(&folder, watch));
        assert!(matches!(made, Err(ExportError::NoRoom)), "{made:?}");
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), allowed + 1);
    }
    let broken: &mut Pages<'_, Line> =
        &mut std::iter::once(Err(ExportError::Unreadable("line 4".to_owned())));
    let watch = &|| Ok(());
    let made = xlsx::execution((&execution(), &[]), broken, making(&folder, watch));
    assert_eq!(made.expect_err("it cannot be read").to_string(), "line 4");
}
