//! An execution's log.

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;

use crate::domain::event::Outcome;
use crate::http::testing::{Daemon, read};

/// S3-7.
#[tokio::test]
async fn the_first_error_of_a_long_log_is_one_request_away() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    let mut texts = vec!["fine"; 10_000];
    texts[7_000] = "External: no answer";
    daemon.write(id, &texts, Some(Outcome::Ko)).await;
    let answer = daemon.get(&format!("/api/executions/{id}/log?errors=true&limit=1")).await;
    assert_eq!(answer.text().lines().count(), 1);
    assert_eq!(
        (answer.json()["line"].as_u64(), answer.json()["class"].as_str()),
        (Some(7_001), Some("external"))
    );
}

#[tokio::test]
async fn the_whole_log_is_sent_as_json_lines_or_as_text() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    daemon.write(id, &vec!["fine"; 1_234], Some(Outcome::Ok)).await;
    let path = format!("/api/executions/{id}/log");
    let json = daemon.get(&path).await;
    assert_eq!(json.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(json.text().lines().count(), 1_234);
    let headers = [("accept", "text/plain")];
    let text = daemon.local_with(Method::GET, &path, &headers, "").await.text();
    assert!(
        text.lines().last().is_some_and(|row| row.starts_with("  1234 ") && row.ends_with(" fine")),
        "{text}"
    );
    let grep = daemon.get(&format!("{path}?grep=nothing+like+it")).await;
    assert_eq!((grep.status, grep.body.len()), (StatusCode::OK, 0));
    let wrong = daemon.get(&format!("{path}?grep=(&level=loud")).await;
    assert_eq!(wrong.json()["errors"].as_array().map(Vec::len), Some(2));
}

/// The numbers of the lines that an answer holds.
async fn numbers(daemon: &Daemon, path: &str) -> Vec<u64> {
    let text = daemon.get(path).await.text();
    let rows = text.lines().map(|row| serde_json::from_str::<Value>(row).expect("a row"));
    rows.map(|row| row["line"].as_u64().expect("a number")).collect()
}

#[tokio::test]
async fn a_log_is_read_backwards_from_any_line() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    let mut texts = vec!["fine"; 9_000];
    (texts[99], texts[5_999], texts[6_999]) = ("External: a", "External: b", "External: c");
    daemon.write(id, &texts, Some(Outcome::Ko)).await;
    let cases: [(&str, &[u64]); 9] = [
        ("last=2", &[8_999, 9_000]),
        ("before=4&last=1000", &[1, 2, 3]),
        ("after=10&before=13", &[11, 12]),
        ("before=7000&errors=true&last=1", &[6_000]),
        ("before=6000&errors=true&last=1", &[100]),
        ("before=100&errors=true&last=1", &[]),
        ("text=external%3A&last=2", &[6_000, 7_000]),
        ("text=EXTERNAL", &[]),
        ("class=mapping,external&after=100", &[6_000, 7_000]),
    ];
    for (query, expected) in cases {
        let path = format!("/api/executions/{id}/log?{query}");
        assert_eq!(numbers(&daemon, &path).await, expected, "{query}");
    }
    let wrong = daemon.get(&format!("/api/executions/{id}/log?last=1001&before=-1")).await;
    let errors = wrong.json()["errors"].clone();
    assert_eq!(errors.as_array().map(Vec::len), Some(2), "{errors}");
}

#[tokio::test]
async fn a_follower_may_begin_with_the_last_lines_and_comes_back_to_all_that_it_missed() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    daemon.write(id, &["one", "two", "three", "four"], Some(Outcome::Ok)).await;
    let path = format!("/api/executions/{id}/log?last=1");
    let begins = [("accept", "text/event-stream")];
    let text = daemon.local_with(Method::GET, &path, &begins, "").await.text();
    assert!(!text.contains("three") && text.contains("four"), "{text}");
    let again = [("accept", "text/event-stream"), ("last-event-id", "2")];
    let text = daemon.local_with(Method::GET, &path, &again, "").await.text();
    assert!(text.contains("three") && text.contains("four"), "{text}");
}

async fn next_text(body: &mut hyper::body::Incoming) -> String {
    let frame = body.frame().await.expect("a frame").expect("unbroken");
    String::from_utf8_lossy(&frame.into_data().expect("data")).into_owned()
}

#[tokio::test]
async fn a_follower_gets_each_line_once_and_then_the_end() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    daemon.write(id, &["one"], None).await;
    let path = format!("/api/executions/{id}/log");
    let headers = [("accept", "text/event-stream")];
    let mut response = daemon.open(Method::GET, &path, &headers, "").await;
    let first = next_text(response.body_mut()).await;
    assert!(
        first.contains("event: line") && first.contains("id: 1") && first.contains("one"),
        "{first}"
    );
    daemon.write(id, &["two"], Some(Outcome::Ok)).await;
    let rest = read(response).await.text();
    assert_eq!(rest.matches("event: line").count(), 1, "{rest}");
    assert!(
        rest.contains("two") && rest.contains("event: end") && rest.contains(r#""status":"ok""#),
        "{rest}"
    );
}

#[tokio::test]
async fn a_follower_that_comes_back_goes_on_after_the_last_line_it_saw() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    daemon.write(id, &["one", "two", "three"], Some(Outcome::Ok)).await;
    let path = format!("/api/executions/{id}/log");
    let headers = [("accept", "text/event-stream"), ("last-event-id", "2")];
    let text = daemon.local_with(Method::GET, &path, &headers, "").await.text();
    assert!(
        !text.contains("two") && text.contains("three") && text.contains("event: end"),
        "{text}"
    );
}

/// By then `latest` may be another one.
#[tokio::test]
async fn a_follower_that_comes_back_has_to_name_the_execution() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    daemon.write(id, &["one"], Some(Outcome::Ok)).await;
    let prefix: String = id.to_string().chars().take(30).collect();
    let headers = [("accept", "text/event-stream"), ("last-event-id", "1")];
    for name in ["latest", &prefix] {
        let path = format!("/api/executions/{name}/log");
        let place = daemon.get(&path).await;
        let whole = format!("/api/executions/{id}/log");
        assert_eq!(place.header("content-location"), Some(whole.as_str()));
        let refused = daemon.local_with(Method::GET, &path, &headers, "").await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
        assert_eq!(refused.json()["errors"][0]["pointer"], "Last-Event-ID");
    }
}

/// A download that breaks off would hide all that comes behind the damage.
#[tokio::test]
async fn damaged_lines_have_a_row_in_their_place_and_the_rest_follows() {
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
    let path = format!("/api/executions/{id}/log");
    let rows: Vec<Value> = daemon
        .get(&path)
        .await
        .text()
        .lines()
        .map(|row| serde_json::from_str(row).expect("a row"))
        .collect();
    let texts: Vec<&str> = rows.iter().filter_map(|row| row["text"].as_str()).collect();
    assert_eq!(texts, ["one", "lines 2 to 3 are damaged", "three"]);
    assert_eq!((&rows[1]["stream"], &rows[1]["level"]), (&"daybook".into(), &"error".into()));
    let headers = [("accept", "text/event-stream")];
    let followed = daemon.local_with(Method::GET, &path, &headers, "").await.text();
    assert!(followed.contains("are damaged") && followed.contains("three"), "{followed}");
    assert!(followed.contains("event: end"), "{followed}");
    let backwards = daemon.get(&format!("{path}?last=2")).await.text();
    assert!(backwards.contains("are damaged") && backwards.contains("three"), "{backwards}");
    assert_eq!(backwards.lines().count(), 2, "{backwards}");
}

#[tokio::test]
async fn followers_are_let_go_when_the_daemon_stops() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    daemon.write(id, &["one"], None).await;
    let headers = [("accept", "text/event-stream")];
    let mut response =
        daemon.open(Method::GET, &format!("/api/executions/{id}/log"), &headers, "").await;
    next_text(response.body_mut()).await;
    daemon.app.stop.cancel();
    let rest = read(response).await.text();
    assert!(!rest.contains("event: end"), "{rest}");
    daemon.served.await.expect("the listeners end");
    assert!(!daemon.socket.exists());
}
