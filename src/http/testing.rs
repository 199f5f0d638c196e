//! A daemon for the API's tests: real sockets, a real log in memory, and an engine that does as it is told.

mod engine;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::parts::{App, Memory, Parts, PruneMode, Settings, StoreAccess, StoreInfo, StorePruned};
use super::server::{Bind, Server, SocketMode, TlsFiles};
use super::{auth, router};
use crate::archive::{BackupError, Checked};
use crate::clock::{Clock, VirtualClock};
use crate::config::{self, Environment, Flags, Loaded, MetricsAccess, SettingRow};
use crate::domain::access::Role;
use crate::domain::cause::Cause;
use crate::domain::class::{Class, Level, Source};
use crate::domain::definition::{self, Timing};
use crate::domain::event::{Actor, Closed, ErrorCounts, Event, FirstError, Outcome};
use crate::domain::space::Measured;
use crate::engine::board::{Board, InterfaceRow, ScheduleRow, TokenRow};
use crate::engine::handle::Handle;
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleRef, StreamId};
use crate::instant::Instant;
use crate::jobs::Runners;
use crate::jobs::probe::Probe;
use crate::projection::{Projections, view};
use crate::store::lines::{LineStore, LinesOptions, LogWriter, NewLine};
use crate::store::memory::MemoryLog;
use crate::store::space::Space;
use crate::store::{Append, EventLog, Expected, Links, StreamAppend};
use crate::telemetry::metrics::Metrics;

/// When the tests begin.
pub(super) const BEGIN: i64 = 1_795_000_000;

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(&self) -> serde_json::Value {
        let parsed: serde_json::Result<serde_json::Value> = serde_json::from_slice(&self.body);
        assert!(parsed.is_ok(), "{parsed:?}: {}", String::from_utf8_lossy(&self.body));
        parsed.unwrap_or_default()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A running API.
pub(super) struct Daemon {
    pub(super) app: App,
    pub(super) folder: tempfile::TempDir,
    pub(super) address: std::net::SocketAddr,
    pub(super) socket: PathBuf,
    pub(super) tokens: BTreeMap<Role, String>,
    pub(super) served: tokio::task::JoinHandle<()>,
    writers: Mutex<BTreeMap<ExecutionId, LogWriter>>,
}

impl Daemon {
    pub(super) async fn start() -> Self {
        Self::with(MetricsAccess::Auto, None).await
    }

    pub(super) async fn with(metrics: MetricsAccess, tls: Option<TlsFiles>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let board = Arc::new(Board::default());
        let tokens = fill(&board);
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(Instant::from_secs(BEGIN)));
        let (engine, inbox) = Handle::new(Arc::clone(&board), 16);
        tokio::spawn(engine::answer_all(
            inbox,
            Arc::clone(&board),
            Arc::clone(&log),
            Arc::clone(&clock),
        ));
        let (lines, _) = LineStore::open(&folder.path().join("lines"), LinesOptions::default())
            .expect("a line store");
        let settings = Settings {
            data: folder.path().to_owned(),
            backups: folder.path().join("backups"),
            base_url: None,
            metrics,
            version: "0.1.0".to_owned(),
            revision: Some("test".to_owned()),
            shown: shown(),
            file: None,
        };
        let projections =
            Projections::open(&folder.path().join("index"), Arc::clone(&log)).expect("projections");
        let stop = CancellationToken::new();
        let (following, until) = (projections.clone(), stop.clone());
        tokio::spawn(async move { following.follow(until).await });
        let metrics = Arc::new(Metrics::new("0.1.0", "test").expect("unique names"));
        let app = Arc::new(Parts {
            engine,
            projections,
            log,
            lines,
            space: Arc::new(Space::of_figures(
                folder.path(),
                Measured { free: 9 << 30, total: 10 << 30 },
            )),
            store: store(),
            runners: Runners::in_this_process(
                folder.path(),
                Arc::clone(&clock),
                Arc::clone(&metrics),
            ),
            metrics,
            clock,
            probe: probe(folder.path()),
            settings,
            files: Box::new(Loaded::default),
            memory: Memory::default(),
            stop,
        });
        let socket = folder.path().join("daybook.sock");
        let binds = [
            Bind::Unix { path: socket.clone(), mode: SocketMode::User },
            Bind::Tcp { address: "127.0.0.1:0".parse().expect("an address"), tls, insecure: false },
        ];
        let server = Server::bind(&binds).await.expect("free addresses");
        let address = server.addresses()[0];
        let serving = server.serve(router(&app), app.stop.clone(), Duration::from_secs(5));
        let served = tokio::spawn(serving);
        let writers = Mutex::default();
        Self { app, folder, address, socket, tokens, served, writers }
    }

    /// A request over TCP with the token of `role`.
    pub(super) async fn tcp(&self, role: Role, method: Method, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {}", self.tokens[&role]);
        self.tcp_with(method, path, &[("authorization", &bearer)], body).await
    }

    /// A request over TCP with these headers alone.
    pub(super) async fn tcp_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let stream = tokio::net::TcpStream::connect(self.address).await.expect("it listens");
        read(send(stream, request(method, path, headers, body)).await).await
    }

    /// A request over the Unix socket.
    pub(super) async fn local(&self, method: Method, path: &str, body: &str) -> Answer {
        self.local_with(method, path, &[], body).await
    }

    /// A request over the Unix socket with headers.
    pub(super) async fn local_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        read(self.open(method, path, headers, body).await).await
    }

    /// A request over the Unix socket, whose answer's body is not read yet.
    pub(super) async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> http::Response<hyper::body::Incoming> {
        let stream = tokio::net::UnixStream::connect(&self.socket).await.expect("it listens");
        send(stream, request(method, path, headers, body)).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.local(Method::GET, path, "").await
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> Answer {
        self.local(Method::POST, path, body).await
    }

    /// Runs `fnac/sales` and returns the execution.
    pub(super) async fn run(&self) -> ExecutionId {
        let answer = self.post("/api/schedules/fnac/sales/run", "{}").await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
        answer.json()["id"].as_str().expect("an id").parse().expect("a UUID")
    }

    /// Writes lines to an execution's log, waits until they are on disk, and closes it if it has an end.
    pub(super) async fn write(&self, id: ExecutionId, texts: &[&str], end: Option<Outcome>) {
        let kept = self.writers.lock().expect("unpoisoned").remove(&id);
        let mut writer = kept.unwrap_or_else(|| self.app.lines.writer(id));
        let mut last = 0;
        for text in texts {
            let class = text.starts_with("External:").then_some(Class::External);
            last = writer.push(NewLine {
                at: self.app.clock.now(),
                attempt: 1,
                source: Source::Stdout,
                level: if class.is_some() { Level::Error } else { Level::Info },
                class,
                cause: None,
                text,
                cascade_of: None,
                fields: None,
            });
        }
        writer.cut();
        let Some(outcome) = end else {
            let mut news = self.app.lines.follow(id);
            news.wait_for(|state| state.last_line >= last).await.expect("the store lives");
            self.writers.lock().expect("unpoisoned").insert(id, writer);
            return;
        };
        writer.finish().await.expect("written");
        let error = texts.iter().zip(1..).find(|(text, _)| text.starts_with("External:"));
        let error = error.filter(|_| outcome == Outcome::Ko).map(|(text, line)| FirstError {
            line,
            class: Class::External,
            cause: Cause::ExtOther,
            text: (*text).to_owned(),
        });
        let closed = Closed {
            outcome,
            class: error.as_ref().map(|error| error.class),
            cause: error.as_ref().map(|error| error.cause),
            exit_code: Some(0),
            attempts: 1,
            lines: texts.len() as u64,
            errors: ErrorCounts::default(),
            first_error: error,
            log_hash: [0; 32],
            duration_ms: 5,
        };
        let (stream, by) = (StreamId::Execution(id), (Actor::Daybook, self.app.clock.now()));
        let position = append(&*self.app.log, stream, closed.into(), by).await;
        self.app.engine.board().write(|state| state.open.remove(&id));
        // Reads from now on wait until the lists show it.
        self.app.memory.answered(position);
    }

    /// Appends an event to a stream.
    pub(super) async fn record(&self, stream: &str, event: impl Into<Event>) {
        let stream = stream.parse().expect("a stream");
        let by = (Actor::Daybook, self.app.clock.now());
        let position = append(&*self.app.log, stream, event.into(), by).await;
        self.app.memory.answered(position);
    }
}

fn request(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> http::Request<Body> {
    let mut request = http::Request::builder().method(method).uri(path).header("host", "daybook");
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).expect("a request")
}

pub(super) async fn send<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    request: http::Request<Body>,
) -> http::Response<hyper::body::Incoming> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("an HTTP connection");
    tokio::spawn(connection);
    sender.send_request(request).await.expect("an answer")
}

pub(super) async fn read(response: http::Response<hyper::body::Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// Settings of which one is a secret.
fn shown() -> Vec<SettingRow> {
    let flags = Flags::from([("data", "/var/lib/daybook".to_owned())]);
    let variables = [("DAYBOOK_PING", "https://hc-ping.example/secret")];
    let settings = config::Settings::load(&flags, &Environment::from_iter(variables));
    settings.expect("settings").rows()
}

fn store() -> StoreAccess {
    StoreAccess {
        info: Box::new(|| Ok(StoreInfo { journal_bytes: 4096, ..StoreInfo::default() })),
        verify: Box::new(|_, _| Ok(Checked::default())),
        backup: Box::new(|_, _, _| Err(BackupError::NoMoment("no store here".to_owned()))),
        export: Box::new(|to| to.write_all(b"{}\n").map_err(|err| err.to_string())),
        prune: Box::new(|mode| {
            let dry_run = mode == PruneMode::Plan;
            Box::pin(async move { Ok(StorePruned { dry_run, ..StorePruned::default() }) })
        }),
    }
}

fn probe(root: &std::path::Path) -> Probe {
    Probe {
        root: root.to_owned(),
        credentials_directory: None,
        credentials: root.join("credentials"),
        path: "/usr/bin:/bin".to_owned(),
        variables: std::collections::BTreeSet::new(),
        roots: Arc::new(rustls::RootCertStore::empty()),
    }
}

fn schedule(timing: Timing) -> definition::Schedule {
    definition::Schedule {
        enabled: true,
        timing,
        timezone: "UTC".to_owned(),
        job: definition::Job::Command(vec!["/bin/true".to_owned()]),
        cwd: ".".to_owned(),
        params: BTreeMap::new(),
        ok_exit: vec![0],
        timeout_ms: None,
        anomaly_after_ms: 3_600_000,
        retry: definition::Retry {
            attempts: 1,
            delay_ms: 0,
            factor: 1.0,
            max_delay_ms: 0,
            on: vec![],
        },
        overlap: definition::Overlap::Skip,
        catch_up: definition::CatchUp {
            mode: definition::CatchUpMode::Last,
            window_ms: 0,
            max: 24,
            rate: None,
        },
        dst: definition::Dst::default(),
        role: definition::Role::Regular,
        on_interrupt: definition::OnInterrupt::Ko,
        max_log_bytes: 1 << 30,
        ping: Some("https://hc-ping.example/secret".to_owned()),
        priority: 5,
        lock: None,
        splay_ms: 0,
        calendars: None,
    }
}

/// One interface `fnac` with the schedules `manual` and `sales`, and a token for each role.
fn fill(board: &Board) -> BTreeMap<Role, String> {
    let timings = [
        ("manual", Timing::Manual),
        ("sales", Timing::Every { period_ms: 7_200_000, anchor: None }),
    ];
    let name = |text: &str| text.parse().expect("a name");
    let interface = Arc::new(definition::Interface {
        id: InterfaceId::new("fnac").expect("a name"),
        name: "FNAC sales".to_owned(),
        kind: Some("external-sales".to_owned()),
        timezone: "UTC".to_owned(),
        owner: None,
        runbook: None,
        labels: BTreeMap::new(),
        retention: definition::Retention::default(),
        notify: None,
        env: BTreeMap::new(),
        limits: definition::Limits::default(),
        rules: vec![],
        blackout: Vec::new(),
        calendars: BTreeMap::new(),
        schedules: timings.map(|(id, timing)| (name(id), schedule(timing))).into(),
    });
    board.write(|state| {
        state.started_at = Instant::from_secs(BEGIN);
        state.health.deciding = true;
        for id in ["manual", "sales"] {
            let row = ScheduleRow {
                definition: Arc::clone(&interface),
                state: view::State::Active,
                paused: None,
                next: (id == "sales").then(|| Instant::from_secs(BEGIN + 100)),
                awaiting: None,
                skip_next: None,
                last: None,
                red: None,
                last_ok_at: None,
            };
            let full = ScheduleRef {
                interface: interface.id.clone(),
                schedule: id.parse().expect("a name"),
            };
            state.schedules.insert(full, row);
        }
        let row = InterfaceRow {
            definition: Arc::clone(&interface),
            definition_version: 3,
            state: view::State::Active,
            paused: None,
            red: false,
            last_ok_at: None,
        };
        state.interfaces.insert(interface.id.clone(), row);
        let token = |role: Role| {
            let new = auth::new_token(role.as_str(), role).expect("randomness");
            state.tokens.push(row_of(new.record, Instant::from_secs(BEGIN)));
            (role, new.text)
        };
        Role::ALL.map(token).into()
    })
}

fn row_of(record: crate::domain::event::TokenCreated, created_at: Instant) -> TokenRow {
    TokenRow { id: record.id, name: record.name, role: record.role, hash: record.hash, created_at }
}

async fn append(
    log: &dyn EventLog,
    stream: StreamId,
    event: Event,
    (actor, at): (Actor, Instant),
) -> Position {
    let (expected, links) = (Expected::Any, Links::default());
    let streams = vec![StreamAppend { stream, expected, events: vec![event], links }];
    let append = Append { streams, at, actor };
    log.append(append).await.expect("appended").last
}
