//! Listeners.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use http::{Method, StatusCode};
use rustls::RootCertStore;
use tower::ServiceExt;

use crate::config::MetricsAccess;
use crate::domain::definition::{EnvValue, Http, Job};
use crate::http::server::{Bind, BindError, Server, SocketMode, TlsFiles};
use crate::http::testing::Daemon;
use crate::jobs::probe::State;

#[tokio::test]
async fn the_socket_is_for_its_user_alone_and_names_who_asks() {
    let daemon = Daemon::start().await;
    let mode = std::fs::metadata(&daemon.socket).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    daemon.run().await;
    let actor = format!("local:{}", rustix::process::getuid().as_raw());
    assert_eq!(daemon.get("/api/events/1").await.json()["actor"], actor.as_str());
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_a_stale_socket_replaced() {
    let daemon = Daemon::start().await;
    let bind = [Bind::Unix { path: daemon.socket.clone(), mode: SocketMode::Group }];
    assert!(matches!(Server::bind(&bind).await, Err(BindError::InUse { .. })));

    let stale = daemon.folder.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).expect("a socket"));
    let bind = [Bind::Unix { path: stale.clone(), mode: SocketMode::Group }];
    let server = Server::bind(&bind).await.expect("the stale one goes");
    let mode = std::fs::metadata(&stale).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    drop(server);

    let file = daemon.folder.path().join("notes.txt");
    std::fs::write(&file, "keep me").expect("writable");
    let bind = [Bind::Unix { path: file.clone(), mode: SocketMode::User }];
    assert!(matches!(Server::bind(&bind).await, Err(BindError::InTheWay { .. })));
    assert!(file.exists());
}

#[tokio::test]
async fn plain_http_beyond_loopback_must_be_asked_for() {
    let bind = |insecure| {
        let address = "0.0.0.0:0".parse().expect("an address");
        [Bind::Tcp { address, tls: None, insecure }]
    };
    assert!(matches!(Server::bind(&bind(false)).await, Err(BindError::Insecure { .. })));
    assert!(Server::bind(&bind(true)).await.is_ok());
}

fn certificate(folder: &std::path::Path) -> (TlsFiles, RootCertStore) {
    let made =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let files = TlsFiles { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).expect("writable");
    std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("writable");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a certificate");
    (files, roots)
}

#[tokio::test]
async fn a_tls_listener_proves_its_name_and_the_cookie_is_secure() {
    let folder = tempfile::tempdir().expect("a folder");
    let (files, roots) = certificate(folder.path());
    let daemon = Daemon::with(MetricsAccess::Auto, Some(files)).await;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(daemon.address).await.expect("it listens");
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = "localhost".try_into().expect("a name");
    let stream = connector.connect(name, stream).await.expect("a handshake");
    let link = daemon.post("/api/login-links", "").await.json();
    let request = http::Request::get(link["path"].as_str().expect("a path"))
        .header("host", "localhost")
        .body(axum::body::Body::empty())
        .expect("a request");
    let landed =
        crate::http::testing::read(crate::http::testing::send(stream, request).await).await;
    assert!(
        landed.header("set-cookie").is_some_and(|cookie| cookie.ends_with("; Secure")),
        "{landed:?}"
    );
}

#[tokio::test]
async fn interface_test_tells_a_trusted_certificate_from_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let (files, roots) = certificate(folder.path());
    let daemon = Daemon::with(MetricsAccess::Auto, Some(files)).await;
    let fnac = "fnac".parse().expect("a name");
    let (definition, _) = daemon.app.engine.definition(&fnac).expect("defined");
    let mut definition = (*definition).clone();
    for schedule in definition.schedules.values_mut() {
        schedule.job = Job::Http(Box::new(Http {
            method: "GET".to_owned(),
            url: format!("https://localhost:{}/v1/{{{{ slot.date }}}}", daemon.address.port()),
            headers: [("authorization".to_owned(), EnvValue::Credential("absent".to_owned()))]
                .into(),
            body: None,
            expect: vec![],
            max_body_bytes: 1024,
        }));
    }
    let mut probe = daemon.app.probe.clone();
    probe.roots = Arc::new(roots);
    let found = |report: crate::jobs::probe::Report, what: &str| {
        report.findings.iter().find(|finding| finding.what == what).map(|finding| finding.state)
    };
    let trusted = probe.interface(&definition).await;
    assert_eq!(found(trusted.clone(), "tls"), Some(State::Ok), "{trusted:?}");
    assert_eq!(found(trusted, "credential"), Some(State::Failed));
    let (_, strangers) = certificate(folder.path());
    probe.roots = Arc::new(strangers);
    assert_eq!(found(probe.interface(&definition).await, "tls"), Some(State::Failed));
}

#[tokio::test]
async fn a_panic_is_a_problem_and_tells_nothing() {
    let daemon = Daemon::start().await;
    let panics = axum::routing::get(|| async {
        if true {
            panic!("secret detail");
        }
    });
    let app = axum::Router::new().route("/panics", panics).layer(
        axum::middleware::from_fn_with_state(Arc::clone(&daemon.app), crate::http::guard::observe),
    );
    let request = http::Request::get("/panics").body(axum::body::Body::empty()).expect("a request");
    let response = app.oneshot(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = axum::body::to_bytes(response.into_body(), 4096).await.expect("a body");
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("\"class\":\"technical\"") && !text.contains("secret detail"), "{text}");
}

#[tokio::test]
async fn a_head_request_gets_the_head_alone() {
    let daemon = Daemon::start().await;
    let answer = daemon.local(Method::HEAD, "/api/status", "").await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}
