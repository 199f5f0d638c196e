//! Executions as files.

use http::{Method, StatusCode};
use serde_json::Value;

use crate::domain::access::Role;
use crate::domain::event::Outcome;
use crate::http::testing::Daemon;
use crate::store::space::Writer;

const FORMS: [(&str, &str); 3] = [
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("csv", "text/csv; charset=utf-8"),
    ("jsonl", "application/x-ndjson"),
];

/// S3-11.
#[tokio::test]
async fn an_execution_is_a_file_with_a_telling_name_for_whoever_may_look() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    daemon.write(id, &["fine", "External: no answer"], Some(Outcome::Ko)).await;
    for (form, media_type) in FORMS {
        let path = format!("/api/executions/{id}/export.{form}");
        let answer = daemon.tcp(Role::Viewer, Method::GET, &path, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        assert_eq!(answer.header("content-type"), Some(media_type));
        let told = answer.header("content-disposition").expect("a name");
        let name =
            format!("^attachment; filename=\"fnac-sales-[0-9]{{8}}T[0-9]{{6}}Z-{id}.{form}\"$");
        let name = regex::Regex::new(&name).expect("an expression");
        assert!(name.is_match(told), "{told}");
        let list = format!("/api/executions/export.{form}?status=ko&interface=fnac");
        let list = daemon.tcp(Role::Viewer, Method::GET, &list, "").await;
        let told = list.header("content-disposition").expect("a name");
        assert!(told.starts_with("attachment; filename=\"executions-fnac-ko-2026"), "{told}");
        if form == "xlsx" {
            assert!(answer.body.starts_with(b"PK") && list.body.starts_with(b"PK"));
            let length = answer.header("content-length").map(str::to_owned);
            assert_eq!(length, Some(answer.body.len().to_string()));
        } else {
            assert!(answer.text().contains("contact the provider"), "{}", answer.text());
            assert!(list.text().contains(&id.to_string()), "{}", list.text());
        }
    }
}

#[tokio::test]
async fn a_list_is_exported_to_its_end_by_the_filters_of_lists() {
    let daemon = Daemon::start().await;
    for _ in 0..3 {
        let id = daemon.run().await;
        daemon.write(id, &["External: no answer"], Some(Outcome::Ko)).await;
    }
    let fine = daemon.run().await;
    daemon.write(fine, &["fine"], Some(Outcome::Ok)).await;
    let rows = |answer: String| answer.lines().count();
    assert_eq!(rows(daemon.get("/api/executions/export.jsonl").await.text()), 4);
    let ko = daemon.get("/api/executions/export.jsonl?status=ko").await.text();
    assert_eq!(rows(ko.clone()), 3);
    let row: Value = serde_json::from_str(ko.lines().next().expect("a row")).expect("JSON");
    assert_eq!((&row["status"], &row["class"]), (&"ko".into(), &"external".into()));
    let wrong = daemon.get("/api/executions/export.csv?statsu=ko&limit=3").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(wrong.json()["errors"].as_array().map(Vec::len), Some(2));
    let unknown = daemon.get("/api/executions/01935227-0000-8000-8000-000000000000/export.csv");
    assert_eq!(unknown.await.status, StatusCode::NOT_FOUND);
}

/// A download that breaks off would hide all that comes behind the damage.
#[tokio::test]
async fn damaged_lines_have_a_row_in_their_place() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    daemon.write(id, &["one"], None).await;
    daemon.write(id, &["two-a", "two-b"], None).await;
    daemon.write(id, &["three"], Some(Outcome::Ok)).await;
    let segment = daemon.folder.path().join("lines/0000000001.seg");
    let mut bytes = std::fs::read(&segment).expect("readable");
    let two = memchr::memmem::find(&bytes, b"two-a").expect("it is there");
    bytes[two] ^= 1;
    std::fs::write(&segment, bytes).expect("written");
    let csv = daemon.get(&format!("/api/executions/{id}/export.csv")).await.text();
    let texts: Vec<&str> = csv.lines().filter_map(|row| row.split(',').nth(7)).collect();
    assert_eq!(texts, ["text", "one", "lines 2 to 3 are damaged", "three"]);
}

#[tokio::test]
async fn no_more_exports_go_on_than_the_daemon_has_threads_for() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    daemon.write(id, &["fine"], Some(Outcome::Ok)).await;
    let path = format!("/api/executions/{id}/export.csv");
    let held: Vec<_> =
        (0..4).map(|_| daemon.app.memory.exports.begin().expect("a permit")).collect();
    let refused = daemon.get(&path).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.header("retry-after").is_some());
    drop(held);
    assert_eq!(daemon.get(&path).await.status, StatusCode::OK);
}

/// The log needs the room more than a workbook does, which can be had in other forms.
#[tokio::test]
async fn no_workbook_is_made_where_the_disk_has_little_room() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    daemon.write(id, &["fine"], Some(Outcome::Ok)).await;
    daemon.app.space.make_room(Writer::Log, 1);
    let refused = daemon.get(&format!("/api/executions/{id}/export.xlsx")).await;
    assert_eq!(refused.status, StatusCode::INSUFFICIENT_STORAGE);
    assert!(refused.text().contains("CSV and JSON Lines need none"), "{}", refused.text());
    let csv = daemon.get(&format!("/api/executions/{id}/export.csv")).await;
    assert_eq!(csv.status, StatusCode::OK);
}
