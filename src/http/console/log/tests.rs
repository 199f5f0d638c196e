//! A log's page over real sockets.

use http::{Method, StatusCode};

use crate::domain::access::Role;
use crate::domain::event::Outcome;
use crate::http::testing::Daemon;
use crate::ids::ExecutionId;

const BROWSER: (&str, &str) = ("accept", "text/html");

/// A failed execution with 1,201 lines, of which 700 and 1,200 are errors, and its log's address.
async fn failed(daemon: &Daemon) -> (ExecutionId, String) {
    let id = daemon.run().await;
    let mut texts: Vec<String> =
        (1..=1_201).map(|n| format!("page {n} of <b>1201</b> & more")).collect();
    (texts[699], texts[1_199]) = ("External: no answer".into(), "External: HTTP 503".into());
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    daemon.write(id, &texts, Some(Outcome::Ko)).await;
    (id, format!("/executions/{id}/log"))
}

async fn page(daemon: &Daemon, path: &str) -> String {
    let answer = daemon.local_with(Method::GET, path, &[BROWSER], "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.text()
}

/// The first and the last line of a page, and how many there are.
fn shown(page: &str) -> (u64, u64, usize) {
    let numbers: Vec<u64> = page
        .split("<li id=\"L")
        .skip(1)
        .map(|rest| rest.split('"').next().expect("an end").parse().expect("a number"))
        .collect();
    (numbers[0], numbers[numbers.len() - 1], numbers.len())
}

#[tokio::test]
async fn a_log_is_leafed_through_in_both_directions() {
    let daemon = Daemon::start().await;
    let (_, path) = failed(&daemon).await;
    let top = page(&daemon, &path).await;
    assert_eq!(shown(&top), (1, 500, 500));
    assert!(top.contains("?after=500") && !top.contains("rel=\"prev\""), "{top}");
    assert!(
        top.contains("page 1 of &#60;b&#62;1201&#60;/b&#62; &#38; more"),
        "never markup: {top}"
    );
    assert!(top.len() < 100_000, "{} bytes", top.len());
    let second = page(&daemon, &format!("{path}?after=500")).await;
    assert_eq!(shown(&second), (501, 1_000, 500));
    assert!(second.contains("?before=501") && second.contains("?after=1000"), "{second}");
    let older = page(&daemon, &format!("{path}?before=501")).await;
    assert_eq!(shown(&older), (1, 500, 500));
    let end = page(&daemon, &format!("{path}?last=500")).await;
    assert_eq!(shown(&end), (702, 1_201, 500));
    assert!(!end.contains("rel=\"next\""), "{end}");
}

#[tokio::test]
async fn an_address_names_a_line_or_several() {
    let daemon = Daemon::start().await;
    let (_, path) = failed(&daemon).await;
    let one = page(&daemon, &format!("{path}?line=700")).await;
    assert_eq!(shown(&one).0, 680, "with what was said before it");
    assert!(one.contains("<li id=\"L700\" class=\"e m\"><a href=\"?line=700#L700\">"), "{one}");
    let several = page(&daemon, &format!("{path}?line=3-5")).await;
    assert_eq!(several.matches(" class=\"m\"").count(), 3);
    let wrong = daemon.local_with(Method::GET, &format!("{path}?line=5-3"), &[BROWSER], "").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text().contains("?line"), "{}", wrong.text());
}

#[tokio::test]
async fn the_first_error_is_one_click_away_and_errors_stand_alone_when_asked() {
    let daemon = Daemon::start().await;
    let (_, path) = failed(&daemon).await;
    let top = page(&daemon, &path).await;
    assert!(top.contains("?line=700#L700\">First error: line 700<"), "{top}");
    assert!(top.contains("href=\"?errors=true\""), "{top}");
    let errors = page(&daemon, &format!("{path}?errors=true")).await;
    assert_eq!(shown(&errors), (700, 1_200, 2));
    assert!(errors.contains("External: no answer"), "{errors}");
    let text = page(&daemon, &format!("{path}?class=external&text=http")).await;
    assert_eq!(shown(&text), (1_200, 1_200, 1));
    assert!(
        text.contains("value=\"http\"") && text.contains("log.txt?class=external&#38;text=http")
    );
    let none = page(&daemon, &format!("{path}?text=%3Cnothing%3E")).await;
    assert!(none.contains("No line fits") && none.contains("clear filters"), "{none}");
    assert!(none.contains("value=\"&#60;nothing&#62;\""), "{none}");
}

#[tokio::test]
async fn a_log_of_which_only_the_latest_is_known_has_an_address_that_lasts() {
    let daemon = Daemon::start().await;
    let (_, path) = failed(&daemon).await;
    let latest = "/executions/latest/log?errors=true";
    let answer = daemon.local_with(Method::GET, latest, &[BROWSER], "").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.header("location"), Some(format!("{path}?errors=true").as_str()));
}

#[tokio::test]
async fn a_log_is_taken_home_as_a_file_of_text() {
    let daemon = Daemon::start().await;
    let (id, path) = failed(&daemon).await;
    let file = daemon.tcp(Role::Viewer, Method::GET, &format!("{path}.txt?errors=true"), "").await;
    assert_eq!(file.status, StatusCode::OK);
    let name: String = id.to_string().chars().take(13).collect();
    let disposition = format!("attachment; filename=\"fnac-sales-{name}.txt\"");
    assert_eq!(file.header("content-disposition"), Some(disposition.as_str()));
    assert_eq!(file.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(file.text().lines().count(), 2);
}

#[tokio::test]
async fn an_empty_log_says_why_it_is_empty() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    let path = format!("/executions/{id}/log");
    assert!(page(&daemon, &path).await.contains("No line yet"));
    daemon.write(id, &[], Some(Outcome::Ok)).await;
    let ended = page(&daemon, &path).await;
    assert!(ended.contains("It said nothing") && ended.contains("data-live=\"false\""), "{ended}");
    let gone = daemon.get("/executions/00000000-0000-7000-8000-000000000000/log").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}
