//! The daemon's client: HTTP/1.1 over the Unix socket, or over TCP with a token.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::endpoint::{Candidate, Endpoint};
use super::exit::Exit;
use super::failure::{Failure, Outcome, own_problem};
use crate::domain::template::push_percent_encoded;
use crate::jobs::probe::system_roots;

/// Until a connection stands, TLS included.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long a rebuild of the lists is waited out. Source: contract, section 5.
const REBUILD_MAX: Duration = Duration::from_secs(30);
/// Between two looks at a rebuild.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// The header with a command's position; a read that sends it back reflects the command.
const POSITION: &str = "x-daybook-position";

trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}
type Connection = Pin<Box<dyn Duplex>>;

/// Asks the daemon.
#[derive(Clone)]
pub struct Client {
    places: Vec<Candidate>,
    token: Option<String>,
    /// The newest position that a command was answered with.
    position: Option<HeaderValue>,
    rebuild: Rebuild,
}

/// How far the rebuild of the lists has come that an answer waits for.
#[derive(Clone, Debug)]
pub struct Rebuild(Arc<AtomicU8>);

impl Rebuild {
    const NONE: u8 = u8::MAX;

    /// In percent; none when nothing waits for one.
    pub fn percent(&self) -> Option<u8> {
        Some(self.0.load(Ordering::Relaxed)).filter(|percent| *percent != Self::NONE)
    }

    fn note(&self, percent: u8) {
        self.0.store(percent, Ordering::Relaxed);
    }
}

/// One request.
#[derive(Clone, Debug)]
struct Ask<'a> {
    method: Method,
    path: &'a str,
    accept: &'static str,
    body: Option<Bytes>,
    /// The last event that a follower has seen.
    last_event: Option<u64>,
}

/// Why a place did not answer.
struct Absent {
    denied: bool,
    line: String,
}

impl Client {
    /// A client that tries `places` in order.
    pub fn new(places: Vec<Candidate>, token: Option<String>) -> Self {
        let rebuild = Rebuild(Arc::new(AtomicU8::new(Rebuild::NONE)));
        Self { places, token, position: None, rebuild }
    }

    /// How far the rebuild has come that its answers wait for, told while they do.
    pub fn rebuild(&self) -> Rebuild {
        self.rebuild.clone()
    }

    /// Reads `path`.
    ///
    /// # Errors
    /// The daemon cannot be reached, or answers with a problem.
    pub async fn get(&mut self, path: &str) -> Outcome<Value> {
        let ask = Ask {
            method: Method::GET,
            path,
            accept: "application/json",
            body: None,
            last_event: None,
        };
        self.json(&ask).await
    }

    /// Sends `body` to `path`.
    ///
    /// # Errors
    /// The daemon cannot be reached, or answers with a problem.
    pub async fn post(&mut self, path: &str, body: &Value) -> Outcome<Value> {
        let ask = Ask {
            method: Method::POST,
            path,
            accept: "application/json",
            body: Some(Bytes::from(body.to_string())),
            last_event: None,
        };
        self.json(&ask).await
    }

    /// Deletes what is at `path`.
    ///
    /// # Errors
    /// The daemon cannot be reached, or answers with a problem.
    pub async fn delete(&mut self, path: &str) -> Outcome<()> {
        let ask = Ask {
            method: Method::DELETE,
            path,
            accept: "application/json",
            body: None,
            last_event: None,
        };
        self.send(&ask).await.map(drop)
    }

    /// Reads `path` as JSON Lines, part by part.
    ///
    /// # Errors
    /// The daemon cannot be reached, or answers with a problem.
    pub async fn lines(&mut self, path: &str) -> Outcome<Parts> {
        let accept = "application/x-ndjson";
        let ask = Ask { method: Method::GET, path, accept, body: None, last_event: None };
        self.send(&ask).await.map(Parts::of)
    }

    /// Reads the file at `path`, part by part.
    ///
    /// # Errors
    /// The daemon cannot be reached, or answers with a problem.
    pub async fn file(&mut self, path: &str) -> Outcome<Parts> {
        let ask = Ask { method: Method::GET, path, accept: "*/*", body: None, last_event: None };
        self.send(&ask).await.map(Parts::of)
    }

    /// Follows the events of `path`, from the one after `last`.
    ///
    /// # Errors
    /// The daemon cannot be reached, or answers with a problem.
    pub async fn follow(&mut self, path: &str, last: Option<u64>) -> Outcome<Parts> {
        let accept = "text/event-stream";
        let ask = Ask { method: Method::GET, path, accept, body: None, last_event: last };
        self.send(&ask).await.map(Parts::of)
    }

    async fn json(&mut self, ask: &Ask<'_>) -> Outcome<Value> {
        let response = self.send(ask).await?;
        let bytes = whole(response).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|err| strange("is not JSON").because(&err))
    }

    /// Sends `ask` and waits a rebuild out.
    async fn send(&mut self, ask: &Ask<'_>) -> Outcome<Response<Incoming>> {
        let end = tokio::time::Instant::now() + REBUILD_MAX;
        loop {
            let response = self.once(ask).await?;
            if let Some(position) = response.headers().get(POSITION) {
                self.position = Some(position.clone());
            }
            let status = response.status();
            self.rebuild.note(Rebuild::NONE);
            if status.is_success() {
                return Ok(response);
            }
            let bytes = whole(response).await?;
            let problem: Value = serde_json::from_slice(&bytes).unwrap_or_else(|_not_json| {
                let mut problem = own_problem("failed", &format!("the server answered {status}"));
                problem["status"] = status.as_u16().into();
                problem
            });
            let rebuilding = problem.get("code").and_then(Value::as_str) == Some("rebuilding");
            if !rebuilding || tokio::time::Instant::now() >= end {
                return Err(Failure::from_problem(status.as_u16(), problem));
            }
            let percent = problem.get("progress").and_then(Value::as_u64).unwrap_or(0);
            self.rebuild.note(u8::try_from(percent).unwrap_or(0));
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn once(&mut self, ask: &Ask<'_>) -> Outcome<Response<Incoming>> {
        let (connection, endpoint) = self.connect().await?;
        let request = self.request(ask, &endpoint)?;
        let broken = |err: &hyper::Error| {
            Failure::new(Exit::Unreachable, format!("{endpoint} broke off")).because(err)
        };
        let (mut sender, driver) =
            http1::handshake(TokioIo::new(connection)).await.map_err(|err| broken(&err))?;
        // Ends with the connection; what goes wrong there is told to the sender as well.
        crate::task::spawn("a connection", async move { drop(driver.await) });
        sender.send_request(request).await.map_err(|err| broken(&err))
    }

    fn request(&self, ask: &Ask<'_>, endpoint: &Endpoint) -> Outcome<Request<Full<Bytes>>> {
        let base = match endpoint {
            Endpoint::Socket(_) => "",
            Endpoint::Host { base, .. } => base.as_str(),
        };
        let mut builder = Request::builder()
            .method(ask.method.clone())
            .uri(format!("{base}{}", ask.path))
            .header(header::HOST, endpoint.authority())
            .header(header::ACCEPT, ask.accept)
            .header(header::USER_AGENT, concat!("daybook/", env!("CARGO_PKG_VERSION")));
        if ask.body.is_some() {
            builder = builder.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(last) = ask.last_event {
            builder = builder.header("last-event-id", last);
        }
        if let (Some(position), Method::GET) = (&self.position, ask.method.clone()) {
            builder = builder.header(POSITION, position);
        }
        if let (Some(token), Endpoint::Host { .. }) = (&self.token, endpoint) {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_err| Failure::usage("the token holds characters that no token has"))?;
            value.set_sensitive(true);
            builder = builder.header(header::AUTHORIZATION, value);
        }
        let body = Full::new(ask.body.clone().unwrap_or_default());
        builder.body(body).map_err(|err| {
            Failure::usage(format!("`{}` cannot be asked for", ask.path)).because(&err)
        })
    }

    /// Connects to the first place that answers, and stays with it.
    async fn connect(&mut self) -> Outcome<(Connection, Endpoint)> {
        let mut absent = Vec::new();
        for place in &self.places {
            let tried = tokio::time::timeout(CONNECT_MAX, open(&place.endpoint)).await;
            let late = || io::Error::new(io::ErrorKind::TimedOut, "no answer in 10 s");
            match tried.unwrap_or_else(|_elapsed| Err(late())) {
                Ok(connection) => {
                    let place = place.clone();
                    let endpoint = place.endpoint.clone();
                    self.places = vec![place];
                    return Ok((connection, endpoint));
                }
                Err(err) => absent.push(Absent {
                    denied: err.kind() == io::ErrorKind::PermissionDenied,
                    line: format!("{} ({}): {err}", place.endpoint, place.named_by),
                }),
            }
        }
        Err(nobody(&absent))
    }
}

/// Names every place that was tried.
fn nobody(absent: &[Absent]) -> Failure {
    let denied = absent.iter().any(|place| place.denied);
    let failure = if denied {
        Failure::new(Exit::Denied, "the daemon's socket is not open to this user")
            .hint("become a member of the group `daybook`, or use `--server URL` with a token")
    } else {
        Failure::new(Exit::Unreachable, "no daemon answers")
            .hint("start it with `daybook serve`, or name it with `--data DIR` or `--server URL`")
    };
    absent.iter().fold(failure, |failure, place| failure.reason(&place.line))
}

async fn open(endpoint: &Endpoint) -> io::Result<Connection> {
    match endpoint {
        Endpoint::Socket(path) => Ok(Box::pin(UnixStream::connect(path).await?)),
        Endpoint::Host { name, port, tls: false, .. } => {
            Ok(Box::pin(TcpStream::connect((name.as_str(), *port)).await?))
        }
        Endpoint::Host { name, port, tls: true, .. } => {
            let host = ServerName::try_from(name.clone()).map_err(io::Error::other)?;
            let stream = TcpStream::connect((name.as_str(), *port)).await?;
            Ok(Box::pin(connector()?.connect(host, stream).await?))
        }
    }
}

fn connector() -> io::Result<TlsConnector> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(system_roots())
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn whole(response: Response<Incoming>) -> Outcome<Bytes> {
    let body = response.into_body().collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|err| broke_off(&err))
}

fn broke_off(err: &hyper::Error) -> Failure {
    Failure::new(Exit::Unreachable, "the answer broke off").because(err)
}

/// An answer that this version cannot read.
fn strange(what: &str) -> Failure {
    Failure::new(Exit::Failed, format!("the daemon's answer {what}"))
        .hint("is the daemon of the same version? compare `daybook version` and `daybook status`")
}

/// An answer in its shape.
///
/// # Errors
/// It has another.
pub fn shaped<T: serde::de::DeserializeOwned>(value: &Value) -> Outcome<T> {
    T::deserialize(value).map_err(|err| strange("has another shape").because(&err))
}

/// An answer that is read while it comes.
pub struct Parts {
    place: Option<String>,
    body: Incoming,
    rest: Vec<u8>,
    ended: bool,
}

impl Parts {
    fn of(response: Response<Incoming>) -> Self {
        let place = response.headers().get(header::CONTENT_LOCATION);
        let place = place.and_then(|place| place.to_str().ok()).map(str::to_owned);
        Self { place, body: response.into_body(), rest: Vec::new(), ended: false }
    }

    /// The path of what is shown, by its whole id.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// The next bytes as they come; none at the end.
    ///
    /// # Errors
    /// The connection broke off.
    pub async fn piece(&mut self) -> Outcome<Option<Bytes>> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|err| broke_off(&err))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The next whole lines, with their line ends; none at the end. A last line without an end is given as it is.
    ///
    /// # Errors
    /// The connection broke off.
    pub async fn next(&mut self) -> Outcome<Option<Vec<u8>>> {
        while !self.ended {
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    self.rest.extend_from_slice(&data);
                    let Some(end) = memchr::memrchr(b'\n', &self.rest) else { continue };
                    let rest = self.rest.split_off(end + 1);
                    return Ok(Some(std::mem::replace(&mut self.rest, rest)));
                }
                Some(Err(err)) => {
                    self.ended = true;
                    return Err(broke_off(&err));
                }
                None => self.ended = true,
            }
        }
        let last = std::mem::take(&mut self.rest);
        Ok((!last.is_empty()).then_some(last))
    }
}

/// A path with a query of the values that are given.
#[derive(Clone, Debug)]
pub struct Address {
    text: String,
    has_query: bool,
}

impl Address {
    /// The path of `segments`, each of them encoded.
    pub fn of(segments: &[&str]) -> Self {
        let mut text = String::new();
        for segment in segments {
            text.push('/');
            push_percent_encoded(&mut text, segment);
        }
        Self { text, has_query: false }
    }

    /// The same with `name=value`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.text.push_str(name);
        self.text.push('=');
        push_percent_encoded(&mut self.text, value.as_ref());
        self
    }

    /// The same with `name=value`, if there is a value.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<impl AsRef<str>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The text of the request.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_cannot_change_the_path() {
        let address = Address::of(&["api", "executions", "../x"]).with("text", "a b&c=é");
        assert_eq!(address.as_str(), "/api/executions/..%2Fx?text=a%20b%26c%3D%C3%A9");
        let none: Option<&str> = None;
        assert_eq!(Address::of(&["api"]).with_some("a", none).with("b", "1").as_str(), "/api?b=1");
    }

    #[test]
    fn every_place_that_was_tried_is_named() {
        let absent = |denied, line: &str| Absent { denied, line: line.to_owned() };
        let failure = nobody(&[absent(false, "/a: no such file"), absent(false, "/b: refused")]);
        assert_eq!(failure.exit(), Exit::Unreachable);
        let detail = failure.document()["detail"].to_string();
        assert!(detail.contains("/a: no such file") && detail.contains("/b: refused"), "{detail}");
        assert_eq!(nobody(&[absent(true, "/a: denied")]).exit(), Exit::Denied);
    }

    #[tokio::test]
    async fn a_socket_that_is_not_there_is_not_reachable() {
        let folder = tempfile::tempdir().expect("a folder");
        let endpoint = Endpoint::Socket(folder.path().join("daybook.sock"));
        let mut client = Client::new(vec![Candidate { endpoint, named_by: "--data" }], None);
        let failure = client.get("/api/status").await.expect_err("nobody is there");
        assert_eq!(failure.exit().code(), 8);
    }
}
