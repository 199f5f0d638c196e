//! Calls of real sockets: what each fault looks like, and whose move it is.

mod turns;

use std::collections::BTreeMap;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use reqwest::Certificate;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::Caller;
use crate::domain::cause::Cause;
use crate::domain::class::{Class, Level, Source};
use crate::domain::definition::{EnvValue, Job, Param, Retry};
use crate::domain::event::Outcome;
use crate::domain::execution::Command;
use crate::domain::line::Line;
use crate::domain::verdict::End;
use crate::jobs::testing::{Bench, Finished, http};

/// What a fake server does with one connection, once it has read the request.
#[derive(Clone, Copy)]
enum Then {
    Reply(&'static str),
    /// Says something and then nothing more.
    Begin(&'static str),
    Close,
    Reset,
    Hang,
}

struct Server {
    port: u16,
    requests: mpsc::UnboundedReceiver<String>,
}

impl Server {
    /// Serves one connection after the other.
    async fn start(steps: Vec<Then>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (seen, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for step in steps {
                let (mut socket, _) = listener.accept().await.expect("a call");
                seen.send(read_request(&mut socket).await).expect("somebody looks");
                perform(step, socket).await;
            }
        });
        Self { port, requests }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

async fn read_request(socket: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let n = socket.read(&mut buffer).await.unwrap_or(0);
        text.push_str(&String::from_utf8_lossy(&buffer[..n]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if n == 0 {
                return text;
            }
            continue;
        };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if n == 0 || body.len() >= length.map_or(0, |length| length.parse().expect("a number")) {
            return text;
        }
    }
}

async fn perform(step: Then, mut socket: TcpStream) {
    match step {
        Then::Reply(reply) => {
            socket.write_all(reply.as_bytes()).await.expect("written");
            socket.shutdown().await.expect("closed");
        }
        Then::Begin(reply) => {
            socket.write_all(reply.as_bytes()).await.expect("written");
            std::future::pending().await
        }
        Then::Close => drop(socket),
        Then::Reset => {
            socket.set_zero_linger().expect("an option");
            drop(socket);
        }
        Then::Hang => std::future::pending().await,
    }
}

const OK: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nset-cookie: s=1\r\nconnection: close\r\n\r\nhi";

fn get(url: &str) -> Bench {
    Bench::new(Job::Http(http("GET", url).into()))
}

fn exchanges(done: &Finished) -> Vec<&Line> {
    done.lines.iter().filter(|line| line.fields.is_some()).collect()
}

fn field<'a>(line: &'a Line, name: &str) -> &'a Value {
    &line.fields.as_ref().expect("an exchange")[name]
}

/// S3-4.
#[tokio::test]
async fn every_request_with_its_answer_is_one_line_without_secrets() {
    let mut server = Server::start(vec![
        Then::Reply("HTTP/1.1 307 Temporary Redirect\r\nlocation: /b?token=t0ps3cret\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
        Then::Reply(OK),
    ])
    .await;
    let mut call = http("POST", &server.url("/a?day={{ slot.date }}&access_token=abc"));
    call.body = Some(r#"{"day":"{{ param.day }}"}"#.to_owned());
    call.headers.insert("Authorization".to_owned(), EnvValue::Credential("fnac".to_owned()));
    let mut bench = Bench::new(Job::Http(call.into()));
    bench.credential("fnac", "Bearer hunter2\n");
    let day = Param { default: Some("a\"b".to_owned()) };
    bench.schedule.params.insert("day".to_owned(), day);
    let done = bench.run().await;
    assert_eq!((done.report.outcome, done.report.exit_code), (Outcome::Ok, Some(200)));
    for path in ["POST /a?day=2026-10-25&access_token=abc ", "POST /b?token=t0ps3cret "] {
        let request = server.requests.recv().await.expect("a request");
        assert!(request.starts_with(path), "{request}");
        assert!(request.contains("authorization: Bearer hunter2"), "{request}");
        assert!(request.ends_with(r#"{"day":"a\"b"}"#), "{request}");
    }
    let lines = exchanges(&done);
    assert_eq!(lines.len(), 2);
    for (line, status, bytes) in [(lines[0], 307, 0), (lines[1], 200, 2)] {
        assert_eq!((line.source, line.level), (Source::Daybook, Level::Info));
        assert_eq!(field(line, "direction"), "out");
        assert_eq!(field(line, "method"), "POST");
        assert_eq!(field(line, "status"), status);
        assert_eq!(field(line, "request_bytes"), 14);
        assert_eq!(field(line, "response_bytes"), bytes);
        assert_eq!(field(line, "request_headers")["authorization"], "***");
    }
    assert_eq!(field(lines[1], "response_headers")["set-cookie"], "***");
    let whole = serde_json::to_string(&done.lines).expect("json");
    for secret in ["hunter2", "t0ps3cret", "access_token=abc"] {
        assert!(!whole.contains(secret), "{secret} in {whole}");
    }
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_host() {
    let mut server = Server::start(vec![Then::Reply(
        "HTTP/1.1 302 Found\r\nlocation: http://other.invalid/\r\ncontent-length: 0\r\n\r\n",
    )])
    .await;
    let mut call = http("GET", &server.url("/"));
    call.headers.insert("X-Api-Key".to_owned(), EnvValue::Text("abc".to_owned()));
    let done = Bench::new(Job::Http(call.into())).run().await;
    assert_eq!(done.report.cause, Some(Cause::CfgEndpoint));
    assert!(
        done.lines[0].text.contains("credentials are not sent there"),
        "{}",
        done.lines[0].text
    );
    assert!(server.requests.recv().await.is_some());
}

#[tokio::test]
async fn each_fault_of_the_transport_has_its_cause() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this";
    for (step, cause) in [
        (Then::Close, Cause::ExtNetClosed),
        (Then::Reset, Cause::ExtNetReset),
        (Then::Reply(half), Cause::ExtNetTruncated),
        (Then::Reply("SSH-2.0-OpenSSH_9.6\r\n"), Cause::ExtContract),
    ] {
        let server = Server::start(vec![step]).await;
        let done = get(&server.url("/")).run().await;
        assert_eq!(done.report.cause, Some(cause), "{}", done.lines[0].text);
        assert_eq!(done.report.outcome, Outcome::Ko);
        assert_eq!(done.closing().cascade_of, Some(1));
        assert!(done.report.retryable, "a GET can be repeated");
    }
}

#[tokio::test]
async fn a_refused_connection_is_external_and_safe_to_repeat_even_for_a_post() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    drop(listener);
    let done = Bench::new(Job::Http(http("POST", &url).into())).run().await;
    assert_eq!(done.report.cause, Some(Cause::ExtNetRefused), "{}", done.lines[0].text);
    assert!(done.report.retryable);
}

/// S3-16.
#[tokio::test]
async fn a_post_without_an_answer_is_not_repeated_unless_it_carries_an_idempotency_key() {
    for keyed in [false, true] {
        let server = Server::start(vec![Then::Close]).await;
        let mut call = http("POST", &server.url("/"));
        if keyed {
            let key = EnvValue::Text("{{ execution.idempotency_key }}".to_owned());
            call.headers.insert("Idempotency-Key".to_owned(), key);
        }
        let done = Bench::new(Job::Http(call.into())).run().await;
        assert_eq!(done.report.retryable, keyed);
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_external() {
    let server = Server::start(vec![Then::Hang]).await;
    let mut bench = get(&server.url("/"));
    bench.schedule.timeout_ms = Some(300);
    let done = bench.run().await;
    assert!(matches!(done.report.end, End::TimedOut { .. }));
    assert_eq!(done.report.cause, Some(Cause::ExtNetTimeout));
    assert!(
        done.closing().text.starts_with("ko: timed out after 300 ms"),
        "{}",
        done.closing().text
    );
}

#[tokio::test]
async fn an_answer_that_stops_in_its_middle_is_told_from_none() {
    let begun = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this";
    let server = Server::start(vec![Then::Begin(begun)]).await;
    let mut bench = get(&server.url("/"));
    bench.schedule.timeout_ms = Some(500);
    let done = bench.run().await;
    assert_eq!(done.report.cause, Some(Cause::ExtNetTimeout));
    assert_eq!(field(&done.lines[0], "status"), 200);
    assert_eq!(field(&done.lines[0], "response_bytes"), 9);
    assert_eq!(done.lines[0].fields.as_ref().expect("fields").get("response_excerpt"), None);
    assert!(done.lines[0].text.ends_with("no complete answer within 500 ms"), "{:?}", done.lines);
}

#[tokio::test]
async fn a_busy_server_says_when_to_come_again() {
    let server = Server::start(vec![Then::Reply(
        "HTTP/1.1 503 Busy\r\nretry-after: 120\r\ncontent-length: 11\r\n\r\nmaintenance",
    )])
    .await;
    let done = get(&server.url("/")).run().await;
    assert_eq!(done.report.end, End::Answered { status: 503, fault: done_fault(&done) });
    assert_eq!(done.report.cause, Some(Cause::Ext5xx));
    assert_eq!(done.report.retry_after.map(|wait| wait.as_secs()), Some(120));
    assert_eq!(field(&done.lines[0], "response_excerpt"), "maintenance");
    assert_eq!(done.lines[0].class, Some(Class::External));
}

#[tokio::test]
async fn a_server_that_asks_for_more_than_the_longest_wait_is_not_called_again() {
    let server = Server::start(vec![Then::Reply(
        "HTTP/1.1 503 Busy\r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n",
    )])
    .await;
    let mut bench = get(&server.url("/"));
    bench.schedule.retry =
        Retry { attempts: 3, delay_ms: 1, factor: 1.0, max_delay_ms: 600_000, on: Vec::new() };
    let (told, lines) = bench.performed().await;
    let last = &lines.last().expect("lines").text;
    assert_eq!(last, "asked to wait 1 h 0 min, more than `max_delay`: no further attempt");
    let Some((Command::Close(closed), _)) = told.last() else { panic!("{told:?}") };
    assert_eq!(closed.cause, Some(Cause::Ext5xx));
}

#[tokio::test]
async fn where_an_excerpt_is_cut_no_beginning_of_a_secret_is_left() {
    let body = format!("{}hunter2-secret and more", "x".repeat(2040));
    let reply = format!("HTTP/1.1 500 No\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let server = Server::start(vec![Then::Reply(reply.leak())]).await;
    let mut call = http("GET", &server.url("/"));
    call.headers.insert("X-Key".to_owned(), EnvValue::Credential("fnac".to_owned()));
    let bench = Bench::new(Job::Http(call.into()));
    bench.credential("fnac", "hunter2-secret\n");
    let done = bench.run().await;
    assert_eq!(field(&done.lines[0], "response_excerpt"), "x".repeat(2040).as_str());
}

#[tokio::test]
async fn where_a_body_stops_in_its_middle_no_beginning_of_a_secret_is_left() {
    let half = "HTTP/1.1 500 No\r\ncontent-length: 100\r\n\r\nno such key: hunter2-sec";
    for (step, cause) in
        [(Then::Begin(half), Cause::ExtNetTimeout), (Then::Reply(half), Cause::ExtNetTruncated)]
    {
        let server = Server::start(vec![step]).await;
        let mut call = http("GET", &server.url("/"));
        call.headers.insert("X-Key".to_owned(), EnvValue::Credential("fnac".to_owned()));
        let mut bench = Bench::new(Job::Http(call.into()));
        bench.schedule.timeout_ms = Some(500);
        bench.credential("fnac", "hunter2-secret\n");
        let done = bench.run().await;
        assert_eq!(done.report.cause, Some(cause), "{:?}", done.lines);
        assert_eq!(field(&done.lines[0], "response_excerpt"), "no such key: ");
    }
}

#[tokio::test]
async fn the_end_of_a_whole_body_is_shown_though_it_could_begin_a_secret() {
    let reply = "HTTP/1.1 500 No\r\ncontent-length: 9\r\n\r\na hunter2";
    let server = Server::start(vec![Then::Reply(reply)]).await;
    let mut call = http("GET", &server.url("/"));
    call.headers.insert("X-Key".to_owned(), EnvValue::Credential("fnac".to_owned()));
    let bench = Bench::new(Job::Http(call.into()));
    bench.credential("fnac", "hunter2-secret\n");
    let done = bench.run().await;
    assert_eq!(field(&done.lines[0], "response_excerpt"), "a hunter2");
}

#[tokio::test]
async fn a_call_of_this_machine_goes_through_no_proxy() {
    let server = Server::start(vec![Then::Reply(OK)]).await;
    let mut bench = get(&server.url("/"));
    let nobody = ("http_proxy".to_owned(), "http://127.0.0.1:9".to_owned());
    bench.environment = BTreeMap::from([nobody]);
    let done = bench.run().await;
    assert_eq!(done.report.outcome, Outcome::Ok, "{}", done.lines[0].text);
}

#[tokio::test]
async fn a_call_without_an_answer_is_given_up_when_the_daemon_stops() {
    let mut server = Server::start(vec![Then::Hang]).await;
    let bench = get(&server.url("/"));
    let interrupt = bench.interrupt.clone();
    let (done, ()) = tokio::join!(bench.run(), async {
        server.requests.recv().await.expect("a request");
        interrupt.cancel();
    });
    assert_eq!(done.report.end, End::Interrupted);
    let text = &done.lines[0].text;
    assert!(text.ends_with("interrupted before the answer was complete"), "{text}");
}

fn done_fault(done: &Finished) -> Option<crate::domain::verdict::CallFault> {
    match done.report.end {
        End::Answered { fault, .. } => fault,
        _ => None,
    }
}

#[tokio::test]
async fn no_more_of_an_answer_is_read_than_the_file_allows() {
    let server = Server::start(vec![Then::Reply(OK)]).await;
    let mut call = http("GET", &server.url("/"));
    call.max_body_bytes = 1;
    let done = Bench::new(Job::Http(call.into())).run().await;
    assert_eq!(done.report.outcome, Outcome::Ok);
    assert_eq!(field(&done.lines[0], "response_bytes"), 1);
    assert_eq!(field(&done.lines[0], "response_cut"), true);
    assert_eq!(done.warnings(), ["the answer was cut at 1 B (`max_body`)"]);
}

#[tokio::test]
async fn an_answer_of_exactly_the_allowed_size_is_not_cut() {
    let server = Server::start(vec![Then::Reply(OK)]).await;
    let mut call = http("GET", &server.url("/"));
    call.max_body_bytes = 2;
    let done = Bench::new(Job::Http(call.into())).run().await;
    assert_eq!(field(&done.lines[0], "response_bytes"), 2);
    assert_eq!(field(&done.lines[0], "response_cut"), &Value::Null);
    assert!(done.warnings().is_empty(), "{:?}", done.warnings());
}

#[tokio::test]
async fn the_file_says_which_statuses_are_expected() {
    let server =
        Server::start(vec![Then::Reply("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n")]).await;
    let mut call = http("GET", &server.url("/gone"));
    call.expect = vec![404];
    let done = Bench::new(Job::Http(call.into())).run().await;
    assert_eq!((done.report.outcome, done.report.exit_code), (Outcome::Ok, Some(404)));
}

/// A certificate authority, and a server with a certificate of it.
struct Tls {
    root: Certificate,
    port: u16,
}

async fn tls_server(edit: impl FnOnce(&mut CertificateParams)) -> Tls {
    let mut authority = CertificateParams::new(Vec::new()).expect("params");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key"))
        .expect("an authority");
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("params");
    edit(&mut params);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, &issuer).expect("signed");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .expect("a certificate");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (socket, _) = listener.accept().await.expect("a call");
        // A client that refuses the certificate ends the handshake.
        if let Ok(mut stream) = acceptor.accept(socket).await {
            answer(&mut stream).await;
        }
    });
    Tls { root: Certificate::from_der(issuer.as_ref().der()).expect("a certificate"), port }
}

async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    read_request(stream).await;
    stream.write_all(OK.as_bytes()).await.expect("written");
    stream.shutdown().await.expect("closed");
}

async fn call_by_tls(tls: Tls, trusted: bool) -> Finished {
    let mut bench = get(&format!("https://localhost:{}/", tls.port));
    bench.caller = trusted.then(|| Caller::trusting(vec![tls.root]));
    bench.run().await
}

#[tokio::test]
async fn a_certificate_that_fits_is_accepted() {
    let done = call_by_tls(tls_server(|_| ()).await, true).await;
    assert_eq!(done.report.outcome, Outcome::Ok, "{}", done.lines[0].text);
}

#[tokio::test]
async fn an_expired_certificate_is_the_providers_matter() {
    let expired = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    };
    let done = call_by_tls(tls_server(expired).await, true).await;
    assert_eq!(done.report.cause, Some(Cause::ExtTlsExpired), "{}", done.lines[0].text);
    assert!(!done.report.retryable);
}

#[tokio::test]
async fn a_certificate_for_another_name_or_of_an_unknown_issuer_is_ours() {
    let other = |params: &mut CertificateParams| {
        let names = CertificateParams::new(vec!["other.example".to_owned()]).expect("params");
        params.subject_alt_names = names.subject_alt_names;
    };
    let wrong_name = call_by_tls(tls_server(other).await, true).await;
    let unknown_issuer = call_by_tls(tls_server(|_| ()).await, false).await;
    for done in [wrong_name, unknown_issuer] {
        assert_eq!(done.report.cause, Some(Cause::CfgTls), "{}", done.lines[0].text);
    }
}

#[tokio::test]
async fn an_address_that_is_none_starts_nothing() {
    for url in ["ftp://x/", "not an address", "http://"] {
        let done = get(url).run().await;
        assert_eq!(done.report.cause, Some(Cause::CfgLocal), "{url}");
        assert!(done.closing().text.contains("`http.url`"), "{}", done.closing().text);
    }
}
