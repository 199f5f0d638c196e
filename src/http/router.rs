//! Puts routes, layers and the OpenAPI document together.

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use http::header;
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

use super::parts::App;
use super::{api, console, document, guard, idempotency, session};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Daybook",
        description = "Runs the exchanges with external systems on schedule, and keeps them on the record. \
            Errors are RFC 9457 problems. Every POST takes an optional `Idempotency-Key`. An answer to a command carries \
            `X-Daybook-Position`; a read that sends it back, or gives `at_least`, reflects that command."
    ),
    security(("token" = []), ("session" = []))
)]
struct Document;

/// The routes without their layers, and the OpenAPI 3.1 document.
pub fn documented() -> (Router<App>, serde_json::Value) {
    let (router, mut document) =
        OpenApiRouter::with_openapi(Document::openapi()).merge(api::routes()).split_for_parts();
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("db_…").build();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    let cookie = ApiKey::Cookie(ApiKeyValue::new(session::COOKIE));
    components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
    let mut document = serde_json::to_value(&document).unwrap_or_default();
    document::complete(&mut document);
    (router, document)
}

/// The document's text, made once.
#[derive(Clone)]
pub struct DocumentText(Arc<str>);

impl DocumentText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// This document.
#[utoipa::path(get, path = "/api/openapi.json", operation_id = "openapi", tag = "daemon",
    responses((status = 200, body = serde_json::Value, description = "OpenAPI 3.1")))]
pub async fn openapi_json(Extension(DocumentText(text)): Extension<DocumentText>) -> Response {
    let text = text.to_string();
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// The whole API, for every listener.
pub fn router(app: &App) -> Router {
    let (routes, document) = documented();
    routes
        .merge(console::routes())
        .fallback(guard::not_found)
        .layer(Extension(DocumentText(document.to_string().into())))
        .layer(from_fn_with_state(Arc::clone(app), idempotency::layer))
        .layer(from_fn_with_state(Arc::clone(app), guard::authorise))
        .layer(from_fn_with_state(Arc::clone(app), guard::observe))
        .with_state(Arc::clone(app))
}
