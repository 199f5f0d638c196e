//! The list of executions, one of them, and what is run again from them.

use http::{Method, StatusCode};

use super::{BROWSER, cookie, log_in};
use crate::domain::access::Role;
use crate::domain::event::{
    AttemptEnded, AttemptStarted, Change, InterfaceDefined, Opened, Outcome, RetryPlanned, Trigger,
};
use crate::http::testing::{Answer, Daemon};
use crate::ids::ExecutionId;
use crate::instant::Instant;

const KO: Option<Outcome> = Some(Outcome::Ko);
const OK: Option<Outcome> = Some(Outcome::Ok);

async fn page(daemon: &Daemon, path: &str) -> String {
    let answer = daemon.local_with(Method::GET, path, &[BROWSER], "").await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
    answer.text()
}

async fn ended(daemon: &Daemon, texts: &[&str], end: Option<Outcome>) -> ExecutionId {
    let id = daemon.run().await;
    daemon.write(id, texts, end).await;
    id
}

/// An execution of `fnac/sales` with this version of the definition and these parameters.
async fn opened(daemon: &Daemon, version: u32, params: &[(&str, &str)]) -> ExecutionId {
    let id = ExecutionId::random(daemon.app.clock.now(), [200; 10]);
    let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let opened = Opened {
        schedule: "fnac/sales".parse().expect("a schedule"),
        slot: None,
        trigger: Trigger::Manual,
        definition_version: version,
        params: params.collect(),
        rerun_of: None,
        root: id,
        idempotency_key: id.to_string(),
        previous_slot: None,
        last_ok_slot: None,
        priority: 5,
        forced: false,
    };
    daemon.record(&format!("execution/{id}"), opened).await;
    id
}

/// A form as a browser sends it that reached the socket.
async fn submit(daemon: &Daemon, path: &str, body: &str) -> Answer {
    daemon.local_with(Method::POST, path, &[BROWSER], body).await
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split_once(after).expect("an end").0
}

#[tokio::test]
async fn the_list_keeps_its_filters_from_page_to_page_and_hands_them_to_exports() {
    let daemon = Daemon::start().await;
    for _ in 0..5 {
        ended(&daemon, &["External: <i>no</i> answer"], KO).await;
    }
    let ok = ended(&daemon, &["fine"], OK).await;
    let first = page(&daemon, "/executions?status=ko&limit=2").await;
    assert!(!first.contains(&ok.to_string()));
    assert_eq!(first.matches("name=\"ids\"").count(), 2);
    assert!(first.contains("External: &#60;i&#62;no&#60;/i&#62; answer"), "{first}");
    assert!(first.contains("/api/executions/export.xlsx?status=ko\""), "{first}");
    assert!(!first.contains("rel=\"prev\""));
    let address = |text: &str, rel: &str| {
        let before = text.split_once(&format!("\" rel=\"{rel}\"")).expect("a link").0;
        before.rsplit_once("href=\"").expect("an address").1.replace("&#38;", "&")
    };
    let second = page(&daemon, &address(&first, "next")).await;
    let third = page(&daemon, &address(&second, "next")).await;
    assert_eq!(third.matches("name=\"ids\"").count(), 1);
    assert!(!third.contains("rel=\"next\""));
    let rows = |text: &str| between(text, "<tbody>", "</tbody>").to_owned();
    let back = page(&daemon, &address(&third, "prev")).await;
    assert_eq!(rows(&back), rows(&second));
    let newest = page(&daemon, &address(&back, "prev")).await;
    assert_eq!(rows(&newest), rows(&first));
}

#[tokio::test]
async fn an_empty_list_says_what_to_do() {
    let daemon = Daemon::start().await;
    assert!(page(&daemon, "/executions").await.contains("daybook schedule run"));
    ended(&daemon, &[], OK).await;
    let filtered = page(&daemon, "/executions?status=ko&from=24h").await;
    assert!(filtered.contains("No execution fits") && filtered.contains("clear filters"));
    let wrong = daemon.local_with(Method::GET, "/executions?from=soon", &[BROWSER], "").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text().contains("<code>soon</code>"), "{}", wrong.text());
}

#[tokio::test]
async fn whoever_may_not_run_sees_no_way_to_and_is_refused() {
    let daemon = Daemon::start().await;
    let id = ended(&daemon, &["External: no answer"], KO).await;
    for path in ["/executions?status=ko".to_owned(), format!("/executions/{id}")] {
        let shown = daemon.tcp(Role::Viewer, Method::GET, &path, "").await;
        assert_eq!(shown.status, StatusCode::OK, "{path}");
        let text = shown.text();
        assert!(!text.contains("/executions/rerun") && !text.contains("/notes\""), "{text}");
    }
    for (method, path) in [
        (Method::GET, format!("/executions/rerun?ids={id}")),
        (Method::POST, "/executions/rerun".to_owned()),
        (Method::POST, format!("/executions/{id}/cancel")),
        (Method::POST, format!("/executions/{id}/notes")),
    ] {
        let refused = daemon.tcp(Role::Viewer, method, &path, "").await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn a_form_from_another_site_runs_nothing() {
    let daemon = Daemon::start().await;
    let id = ended(&daemon, &["External: no answer"], KO).await;
    let cookie = cookie(&log_in(&daemon, &daemon.tokens[&Role::Admin]).await);
    let foreign = [BROWSER, ("cookie", cookie.as_str()), ("sec-fetch-site", "cross-site")];
    for (path, body) in [
        ("/executions/rerun".to_owned(), format!("ids={id}&seen=1")),
        (format!("/executions/{id}/notes"), "acknowledged=true".to_owned()),
    ] {
        let refused = daemon.tcp_with(Method::POST, &path, &foreign, &body).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
    }
    let row = daemon.get(&format!("/api/executions/{id}")).await.json();
    assert_eq!(
        (&row["reruns"], &row["acknowledged"]),
        (&serde_json::json!([]), &serde_json::json!(null))
    );
}

#[tokio::test]
async fn what_runs_again_is_shown_before_and_runs_once_though_the_form_is_sent_twice() {
    let daemon = Daemon::start().await;
    let ko = ended(&daemon, &["External: no answer"], KO).await;
    let preview = page(&daemon, &format!("/executions/rerun?ids={ko}")).await;
    assert!(preview.contains("Run 1 execution again?"), "{preview}");
    let seen = between(&preview, "name=\"seen\" value=\"", "\"");
    let body = format!("ids={ko}&seen={seen}");
    let ran = submit(&daemon, "/executions/rerun", &body).await;
    assert_eq!(ran.status, StatusCode::SEE_OTHER, "{}", ran.text());
    let place = ran.header("location").expect("a place").to_owned();
    let new: ExecutionId = place.rsplit('/').next().expect("an id").parse().expect("an id");
    assert!(page(&daemon, &place).await.contains(&ko.to_string()));
    let again = submit(&daemon, "/executions/rerun", &body).await;
    let place = again.header("location").expect("a place").to_owned();
    assert!(place.starts_with("/executions/rerun?") && place.contains("started=0"), "{place}");
    assert!(page(&daemon, &place).await.contains("1 execution did not run again"));
    let row = daemon.get(&format!("/api/executions/{ko}")).await.json();
    assert_eq!(row["reruns"], serde_json::json!([new]));
}

#[tokio::test]
async fn all_that_fit_a_filter_are_previewed_with_what_stands_in_the_way_of_the_others() {
    let daemon = Daemon::start().await;
    let dealt = ended(&daemon, &["External: no answer"], KO).await;
    let note = submit(&daemon, &format!("/executions/{dealt}/notes"), "acknowledged=true").await;
    assert_eq!(note.status, StatusCode::SEE_OTHER);
    let open = ended(&daemon, &["External: no answer"], KO).await;
    let preview = page(&daemon, "/executions/rerun?query=status%3Dko").await;
    assert_eq!(between(&preview, "name=\"ids\" value=\"", "\""), open.to_string());
    assert!(preview.contains("Would not: 1 execution"), "{preview}");
    assert!(preview.contains("acknowledged it"), "{preview}");
    let forced = page(&daemon, "/executions/rerun?query=status%3Dko&force=true").await;
    assert!(forced.contains("Run all 2 executions again"), "{forced}");
    let ids = between(&forced, "name=\"ids\" value=\"", "\"").replace(' ', "+");
    let seen = between(&forced, "name=\"seen\" value=\"", "\"");
    let body = format!("ids={ids}&seen={seen}&force=true");
    let ran = submit(&daemon, "/executions/rerun", &body).await;
    let place = ran.header("location").expect("a place").to_owned();
    assert!(place.starts_with("/executions?trigger=rerun&from="), "{place}");
    assert_eq!(page(&daemon, &place).await.matches("data-row").count(), 2);
    let chosen =
        page(&daemon, &format!("/executions/rerun?ids={dealt}&ids={open}&force=true")).await;
    assert!(chosen.contains("2 executions"), "several boxes that were ticked: {chosen}");
    for nothing in ["/executions/rerun", "/executions/rerun?query=limit%3D2"] {
        let refused = daemon.local_with(Method::GET, nothing, &[BROWSER], "").await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{nothing}");
    }
}

#[tokio::test]
async fn a_short_name_leads_to_the_execution() {
    let daemon = Daemon::start().await;
    let id = ended(&daemon, &["External: no answer"], KO).await;
    let short: String = id.to_string().chars().take(20).collect();
    for name in [short.as_str(), "latest", "latest-ko"] {
        let answer = daemon.get(&format!("/executions/{name}")).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{name}");
        assert_eq!(answer.header("location"), Some(format!("/executions/{id}").as_str()));
    }
    let none = daemon.local_with(Method::GET, "/executions/nothing", &[BROWSER], "").await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_execution_says_what_went_wrong_whose_move_it_is_and_what_happened() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    let stream = format!("execution/{id}");
    daemon.record(&stream, AttemptStarted { attempt: 1 }).await;
    let failed = AttemptEnded {
        exit_code: Some(7),
        ..AttemptEnded::unseen(1, crate::domain::cause::Cause::ExtRate)
    };
    daemon.record(&stream, failed).await;
    let at = Instant::from_secs(crate::http::testing::BEGIN + 30);
    daemon.record(&stream, RetryPlanned { attempt: 2, at, delay_ms: 30_000, asked: true }).await;
    daemon.write(id, &["begin", "External: <b>503</b> token=abcdef", "end"], KO).await;
    let text = page(&daemon, &format!("/executions/{id}")).await;
    assert!(!text.contains("<b>503"), "what a job said is never markup");
    for part in [
        "Run it again. If it fails again, contact the provider",
        "href=\"/explain/EXT-OTHER\"",
        "attempt 1 ended KO (status 7, EXT-RATE)",
        "attempt 2 planned after 30 s, as the external system asked",
        &format!("/executions/{id}/log?line=2#L2"),
        &format!("/api/executions/{id}/export.xlsx"),
        "No execution of this schedule ended OK before it",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let support = between(&text, "<textarea id=\"support-text\"", "</textarea>");
    assert!(support.contains(&id.to_string()) && support.contains("token=***"), "{support}");
    assert!(!support.contains("abcdef"), "{support}");
    assert!(!text.contains("hx-trigger"), "nothing changes any more");
}

#[tokio::test]
async fn what_changed_since_the_last_ok_leaves_out_other_schedules() {
    let daemon = Daemon::start().await;
    ended(&daemon, &[], OK).await;
    let id = ended(&daemon, &["External: no answer"], KO).await;
    let same = page(&daemon, &format!("/executions/{id}")).await;
    assert!(same.contains("Nothing that concerns this schedule"), "{same}");
    let change = |path: &str| Change {
        path: path.to_owned(),
        from: Some("1".to_owned()),
        to: Some("\"<2>\"".to_owned()),
    };
    let changes = ["schedules.sales.timeout", "schedules.salesman.timeout", "env.REGION"];
    let defined = InterfaceDefined {
        definition_version: 4,
        definition: "{}".to_owned(),
        changes: changes.map(change).to_vec(),
    };
    daemon.record("interface/fnac", defined).await;
    let later = opened(&daemon, 4, &[]).await;
    daemon.write(later, &["External: no answer"], KO).await;
    let text = page(&daemon, &format!("/executions/{later}")).await;
    let told = between(&text, "Changed since the last OK", "What happened");
    assert!(told.contains("Version 4") && told.contains("env.REGION"), "{told}");
    assert!(told.contains("schedules.sales.timeout") && !told.contains("salesman"), "{told}");
    assert!(told.contains("&#60;2&#62;"), "{told}");
}

#[tokio::test]
async fn a_running_execution_looks_for_news_and_can_be_cancelled_with_a_note() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    daemon.write(id, &["working"], None).await;
    let path = format!("/executions/{id}");
    let text = page(&daemon, &path).await;
    assert!(text.contains("hx-trigger=\"every 2s\"") && text.contains("working"), "{text}");
    assert!(!text.contains("data-rerun"), "what runs is not run again");
    let asked = submit(&daemon, &format!("{path}/cancel"), "note=wrong+%3Cday%3E").await;
    assert_eq!(asked.header("location"), Some(path.as_str()));
    let text = page(&daemon, &path).await;
    assert!(text.contains("asked for its end") && text.contains("wrong &#60;day&#62;"), "{text}");
    assert!(!text.contains("/cancel\""), "once is enough");
}

#[tokio::test]
async fn notes_and_tickets_are_written_down_beside_it() {
    let daemon = Daemon::start().await;
    let id = ended(&daemon, &["External: no answer"], KO).await;
    let path = format!("/executions/{id}");
    let body = "text=asked+them&reference=INC+7%2F1&acknowledged=true";
    let written = submit(&daemon, &format!("{path}/notes"), body).await;
    assert_eq!(written.header("location"), Some(format!("{path}#notes").as_str()));
    let text = page(&daemon, &path).await;
    assert!(text.contains("asked them") && text.contains("/executions?reference=INC%207%2F1"));
    assert!(text.contains("Acknowledged by") && !text.contains("name=\"acknowledged\""), "{text}");
    let empty = submit(&daemon, &format!("{path}/notes"), "text=").await;
    assert_eq!(empty.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page(&daemon, "/executions?reference=INC%207%2F1").await.contains(&id.to_string()));
}

#[tokio::test]
async fn every_cause_has_its_page() {
    let daemon = Daemon::start().await;
    let list = page(&daemon, "/explain").await;
    for cause in crate::domain::cause::Cause::ALL {
        let code = cause.code();
        assert!(list.contains(&format!("href=\"/explain/{code}\"")), "{code}");
        assert!(page(&daemon, &format!("/explain/{code}")).await.contains("<h2>What to do</h2>"));
    }
    let small = daemon.get("/explain/ext-dns").await;
    assert_eq!(small.header("location"), Some("/explain/EXT-DNS"));
    let none = daemon.local_with(Method::GET, "/explain/EXT-DSN", &[BROWSER], "").await;
    assert!(none.text().contains("EXT-DNS"), "{}", none.text());
}

#[tokio::test]
async fn what_stands_behind_a_secrets_name_is_masked_among_the_parameters() {
    let daemon = Daemon::start().await;
    let id = opened(&daemon, 3, &[("day", "2026-11-22"), ("api_token", "s3cr3t")]).await;
    daemon.write(id, &[], OK).await;
    let text = page(&daemon, &format!("/executions/{id}")).await;
    assert!(text.contains("2026-11-22") && !text.contains("s3cr3t"), "{text}");
}
