//! Listeners: a Unix socket for the command line, TCP (plain or TLS) for everybody else. One router behind all of them.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::access::Peer;

/// A request's head must have arrived within this time; a connection may idle for as long between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A TLS handshake must be done within this time.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's head at most.
const HEAD_MAX_BYTES: usize = 64 * 1024;
/// Headers of a request at most.
const HEADERS_MAX: usize = 100;
/// Connections of one listener at once. Each has its own number, so that TCP cannot shut out the command line.
const CONNECTIONS_MAX: usize = 2_048;
/// A caller that takes nothing of its answer for so long is cut off: it would hold its connection for good.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// A pause after a failed accept: out of file descriptors, mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Where to listen.
#[derive(Clone, Debug)]
pub enum Bind {
    /// A Unix socket; whoever can open it is an admin.
    Unix {
        /// The socket's path.
        path: PathBuf,
        /// Its mode.
        mode: SocketMode,
    },
    /// TCP; a token is always needed.
    Tcp {
        /// The address.
        address: SocketAddr,
        /// The certificate and key; none is plain HTTP.
        tls: Option<TlsFiles>,
        /// Plain HTTP on an address that is not loopback is wanted (`--insecure-listen`).
        insecure: bool,
    },
}

/// Who may open the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketMode {
    /// The daemon's user: 0600.
    User,
    /// The daemon's group too: 0660.
    Group,
}

impl SocketMode {
    const fn bits(self) -> u32 {
        match self {
            Self::User => 0o600,
            Self::Group => 0o660,
        }
    }
}

/// A certificate chain and its key, both PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain, our certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another daemon answers there.
    #[error("`{path}` is in use by another daemon")]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// A file that is no socket stands there.
    #[error("`{path}` is in the way: it is no socket")]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error(
        "cannot listen on `{place}`: {source}\nhint: --listen takes another address, --socket another path"
    )]
    Listen {
        /// The path or address.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// Tokens would cross the network in the clear.
    #[error(
        "`{address}` is not loopback and has no TLS\nhint: give a certificate and key, or accept that with --insecure-listen"
    )]
    Insecure {
        /// The address.
        address: SocketAddr,
    },
    /// The certificate or key cannot be used.
    #[error("`{path}`: {why}")]
    Tls {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

enum Listener {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener, Option<TlsAcceptor>),
}

/// Open listeners that nobody answers yet: clients wait in the kernel's queue until [`Server::serve`].
pub struct Server {
    listeners: Vec<Listener>,
}

impl Server {
    /// Opens all listeners, or none.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn bind(binds: &[Bind]) -> Result<Self, BindError> {
        let mut listeners = Vec::with_capacity(binds.len());
        for bind in binds {
            listeners.push(match bind {
                Bind::Unix { path, mode } => Listener::Unix(bind_unix(path, *mode)?, path.clone()),
                Bind::Tcp { address, tls, insecure } => {
                    if !address.ip().is_loopback() && tls.is_none() && !insecure {
                        return Err(BindError::Insecure { address: *address });
                    }
                    let acceptor = tls.as_ref().map(acceptor).transpose()?;
                    let listener = TcpListener::bind(address).await.map_err(|source| {
                        BindError::Listen { place: address.to_string(), source }
                    })?;
                    Listener::Tcp(listener, acceptor)
                }
            });
        }
        Ok(Self { listeners })
    }

    /// The TCP addresses, with the ports that the system chose.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let address = |listener: &Listener| match listener {
            Listener::Tcp(tcp, _) => tcp.local_addr().ok(),
            Listener::Unix(..) => None,
        };
        self.listeners.iter().filter_map(address).collect()
    }

    /// Answers until `stop`; then lets open requests finish for at most `grace`.
    pub async fn serve(self, router: Router, stop: CancellationToken, grace: Duration) {
        let graceful = Arc::new(GracefulShutdown::new());
        let mut loops = tokio::task::JoinSet::new();
        for listener in self.listeners {
            let connections = Connections {
                router: router.clone(),
                graceful: Arc::clone(&graceful),
                stop: stop.clone(),
                free: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            };
            loops.spawn(connections.accept_all(listener));
        }
        while loops.join_next().await.is_some() {}
        // The accept loops are over, so this is the last one.
        let Some(graceful) = Arc::into_inner(graceful) else { return };
        if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
            tracing::warn!(grace_s = grace.as_secs(), "requests were still open and are cut off");
        }
    }
}

/// Binds with a mask that nobody else can connect through before the mode is set.
fn bind_unix(path: &Path, mode: SocketMode) -> Result<UnixListener, BindError> {
    let refuse = |source| BindError::Listen { place: path.display().to_string(), source };
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        if !std::os::unix::fs::FileTypeExt::is_socket(&metadata.file_type()) {
            return Err(BindError::InTheWay { path: path.to_owned() });
        }
        if StdUnixStream::connect(path).is_ok() {
            return Err(BindError::InUse { path: path.to_owned() });
        }
        std::fs::remove_file(path).map_err(refuse)?;
    }
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = bound.map_err(refuse)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode.bits())).map_err(refuse)?;
    Ok(listener)
}

fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, BindError> {
    let refuse = |path: &Path, why: String| BindError::Tls { path: path.to_owned(), why };
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(&files.certificate).and_then(Iterator::collect);
    let chain = chain.map_err(|err| refuse(&files.certificate, err.to_string()))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|err| refuse(&files.key, err.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(|err| refuse(&files.certificate, err.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// One listener's connections.
struct Connections {
    router: Router,
    graceful: Arc<GracefulShutdown>,
    stop: CancellationToken,
    free: Arc<Semaphore>,
}

impl Connections {
    async fn accept_all(self, listener: Listener) {
        while let Some(accepted) = self.next(&listener).await {
            match accepted {
                Ok((stream, peer, permit)) => self.answer(stream, peer, permit),
                Err(err) => {
                    tracing::warn!(error = %err, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        if let Listener::Unix(socket, path) = listener {
            drop(socket);
            if let Err(err) = std::fs::remove_file(&path) {
                tracing::debug!(error = %err, "the socket could not be removed");
            }
        }
    }

    /// The next connection; none when the daemon stops.
    async fn next(
        &self,
        listener: &Listener,
    ) -> Option<io::Result<(Accepted, Peer, OwnedSemaphorePermit)>> {
        let accept = async {
            let permit = Arc::clone(&self.free).acquire_owned().await.map_err(io::Error::other)?;
            match listener {
                Listener::Unix(socket, _) => {
                    let (stream, _) = socket.accept().await?;
                    let uid = stream.peer_cred()?.uid();
                    Ok((Accepted::Unix(stream), Peer::Local { uid }, permit))
                }
                Listener::Tcp(socket, tls) => {
                    let (stream, address) = socket.accept().await?;
                    // Answers are small: waiting for more to send with them only adds latency.
                    stream.set_nodelay(true)?;
                    let peer = Peer::Remote { address, tls: tls.is_some() };
                    Ok((Accepted::Tcp(stream, tls.clone()), peer, permit))
                }
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            accepted = accept => Some(accepted),
        }
    }

    fn answer(&self, stream: Accepted, peer: Peer, permit: OwnedSemaphorePermit) {
        let router = self.router.clone();
        let watcher = self.graceful.watcher();
        crate::task::spawn("a connection", async move {
            match stream {
                Accepted::Unix(stream) => talk(stream, peer, router, watcher).await,
                Accepted::Tcp(stream, None) => talk(stream, peer, router, watcher).await,
                Accepted::Tcp(stream, Some(tls)) => {
                    match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                        Ok(Ok(stream)) => talk(stream, peer, router, watcher).await,
                        Ok(Err(err)) => tracing::debug!(error = %err, "a TLS handshake failed"),
                        Err(_) => tracing::debug!("a TLS handshake took too long"),
                    }
                }
            }
            drop(permit);
        });
    }
}

enum Accepted {
    Unix(tokio::net::UnixStream),
    Tcp(tokio::net::TcpStream, Option<TlsAcceptor>),
}

async fn talk<S>(stream: S, peer: Peer, router: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: http::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request)
    });
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(STALL_TIMEOUT));
    let stream = Box::pin(stream);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX_BYTES)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(err) = watcher.watch(connection).await {
        tracing::debug!(error = %err, "a connection broke off");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const REQUEST: &[u8] = b"GET /large HTTP/1.1\r\nhost: daybook\r\n\r\n";

    /// A connection to a router whose answer is larger than what fits on the way.
    fn connected() -> (tokio::io::DuplexStream, impl Future<Output = ()>) {
        let (client, server) = tokio::io::duplex(1_024);
        let router =
            Router::new().route("/large", axum::routing::get(async || "x".repeat(1 << 20)));
        let peer = Peer::Local { uid: 0 };
        let talking =
            async move { talk(server, peer, router, GracefulShutdown::new().watcher()).await };
        (client, talking)
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_takes_nothing_of_its_answer_is_cut_off() {
        let (mut client, talking) = connected();
        client.write_all(REQUEST).await.unwrap();
        let began = tokio::time::Instant::now();
        // Time goes on by itself while nobody has anything to do.
        talking.await;
        assert_eq!(began.elapsed(), STALL_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_takes_little_at_a_time_gets_all() {
        let (mut client, talking) = connected();
        let reading = async move {
            client.write_all(REQUEST).await.unwrap();
            let mut read = 0;
            let mut block = [0; 16 * 1_024];
            while read < 1 << 20 {
                tokio::time::sleep(STALL_TIMEOUT / 2).await;
                read += client.read(&mut block).await.unwrap();
            }
        };
        tokio::select! {
            () = reading => (),
            () = talking => panic!("it was cut off"),
        }
    }
}
