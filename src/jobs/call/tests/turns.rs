//! Calls that wait for their turn: `limits.rate`.

use super::*;
use crate::domain::definition::Rate;

#[tokio::test]
async fn a_call_beyond_the_rate_waits_for_its_turn_and_says_so() {
    let server = Server::start(vec![Then::Reply(OK)]).await;
    let mut bench = get(&server.url("/"));
    let rate = Rate { count: 1, per_ms: 2_000 };
    bench.interface.limits.rate = Some(rate);
    let caller = Caller::new(&BTreeMap::new());
    caller.pace().queue(&bench.interface.id, rate).come().await;
    bench.caller = Some(caller);
    let done = bench.run().await;
    assert_eq!(done.report.outcome, Outcome::Ok);
    assert!(done.lines[0].text.ends_with("for its turn: `limits.rate`"), "{}", done.lines[0].text);
    assert_eq!(done.lines[1].fields.as_ref().expect("an exchange")["status"], 200);
}

#[tokio::test]
async fn the_wait_for_a_turn_after_a_redirect_does_not_count_against_the_timeout() {
    let server = Server::start(vec![
        Then::Reply(
            "HTTP/1.1 302 Found\r\nlocation: /b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        ),
        Then::Reply(OK),
    ])
    .await;
    let mut bench = get(&server.url("/a"));
    bench.interface.limits.rate = Some(Rate { count: 1, per_ms: 2_500 });
    bench.schedule.timeout_ms = Some(2_000);
    let done = bench.run().await;
    assert_eq!(done.report.outcome, Outcome::Ok, "{:?}", done.lines);
    let statuses: Vec<&Value> = exchanges(&done).into_iter().map(|e| field(e, "status")).collect();
    assert_eq!(statuses, [302, 200]);
}

#[tokio::test]
async fn a_call_that_waits_for_its_turn_is_given_up_at_once_when_the_daemon_stops() {
    let mut server = Server::start(vec![Then::Reply(OK)]).await;
    let mut bench = get(&server.url("/"));
    let rate = Rate { count: 1, per_ms: 5_000 };
    bench.interface.limits.rate = Some(rate);
    let caller = Caller::new(&BTreeMap::new());
    caller.pace().queue(&bench.interface.id, rate).come().await;
    bench.caller = Some(caller);
    let (told, lines) = bench.drained().await;
    let Some(Command::Close(closed)) = told.last() else { panic!("{told:?}") };
    assert_eq!(closed.cause, Some(Cause::TecInterrupted), "{lines:?}");
    let words = "the daemon stopped before the call was made: nothing was sent";
    assert_eq!(closed.first_error.as_ref().map(|error| error.text.as_str()), Some(words));
    assert!(server.requests.try_recv().is_err(), "nothing was sent");
}

#[tokio::test]
async fn a_stop_that_finds_a_redirect_waiting_for_its_turn_does_not_say_that_nothing_was_sent() {
    let server = Server::start(vec![Then::Reply(
        "HTTP/1.1 302 Found\r\nlocation: /b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    )])
    .await;
    let mut bench = get(&server.url("/a"));
    bench.interface.limits.rate = Some(Rate { count: 1, per_ms: 60_000 });
    let (told, lines) = bench.drained().await;
    let Some(Command::Close(closed)) = told.last() else { panic!("{told:?}") };
    assert_eq!(closed.cause, Some(Cause::TecInterrupted), "{lines:?}");
    let words = "the daemon stopped before the redirect was followed";
    assert_eq!(closed.first_error.as_ref().map(|error| error.text.as_str()), Some(words));
}
