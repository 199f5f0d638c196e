//! The ticket shop and its partner, as the daemon's calls meet them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode, header};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::task;

/// What the shop wants since it changed its token.
pub(super) const TOKEN: &str = "ticket-shop-token-of-this-year";
/// How long prices take when they are slow: longer than their schedule waits.
const SLOW: Duration = Duration::from_secs(4);
/// Every so many-th time they are.
const SLOW_EVERY: u64 = 3;
/// What somebody who asks too often is told to wait, in seconds.
const WAIT: &str = "2";

/// The shop, open until the process ends.
#[derive(Debug)]
pub(super) struct Shop {
    /// Where it is called.
    pub(super) plain: SocketAddr,
    /// Where the partner is called, whose certificate has expired.
    pub(super) expired: SocketAddr,
}

/// How often each was asked.
#[derive(Debug, Default)]
struct Asked {
    sales: AtomicU64,
    stock: AtomicU64,
    prices: AtomicU64,
}

impl Shop {
    /// Opens the shop on free ports of this machine.
    ///
    /// # Errors
    /// There is no port, or the certificate cannot be used.
    pub(super) async fn open() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let plain = listener.local_addr()?;
        let router = Router::new()
            .route("/sales", get(sales))
            .route("/stock", get(stock))
            .route("/prices", get(prices))
            .route("/tickets", post(tickets))
            .with_state(Arc::new(Asked::default()));
        task::spawn("the shop of the demo", async move {
            if let Err(err) = axum::serve(listener, router).await {
                tracing::error!(%err, "the shop has closed");
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let expired = listener.local_addr()?;
        let acceptor = partner()?;
        task::spawn("the partner of the demo", async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Whoever looks at the certificate hangs up.
                drop(acceptor.accept(stream).await);
            }
        });
        Ok(Self { plain, expired })
    }
}

/// The partner's side of a handshake.
fn partner() -> io::Result<TlsAcceptor> {
    let chain = CertificateDer::from_pem_slice(include_bytes!("files/partner.pem"));
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("files/partner.key"));
    let (chain, key) = (chain.map_err(io::Error::other)?, key.map_err(io::Error::other)?);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![chain], key));
    Ok(TlsAcceptor::from(Arc::new(config.map_err(io::Error::other)?)))
}

async fn sales(State(asked): State<Arc<Asked>>) -> String {
    let n = asked.sales.fetch_add(1, Ordering::Relaxed);
    format!("{} tickets sold\n", 12 + n * 7 % 31)
}

/// Too many at once, every other time: the second try is served.
async fn stock(State(asked): State<Arc<Asked>>) -> Response {
    if asked.stock.fetch_add(1, Ordering::Relaxed) % 2 == 0 {
        let headers = [(header::RETRY_AFTER, WAIT)];
        (StatusCode::TOO_MANY_REQUESTS, headers, "slow down\n").into_response()
    } else {
        "318 seats are left\n".into_response()
    }
}

async fn prices(State(asked): State<Arc<Asked>>) -> &'static str {
    if asked.prices.fetch_add(1, Ordering::Relaxed) % SLOW_EVERY == 0 {
        tokio::time::sleep(SLOW).await;
    }
    "14 prices\n"
}

async fn tickets(headers: HeaderMap) -> Response {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if given.and_then(|given| given.strip_prefix("Bearer ")) == Some(TOKEN) {
        (StatusCode::CREATED, "4 tickets taken\n").into_response()
    } else {
        (StatusCode::UNAUTHORIZED, "this token is no longer valid\n").into_response()
    }
}
