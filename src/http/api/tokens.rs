//! Tokens and login links.

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, Uri, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{done, page_answer, page_of};
use crate::domain::access::Role;
use crate::domain::event::{Actor, LoginLinkCreated};
use crate::engine::board::TokenRow;
use crate::engine::handle::Done;
use crate::http::access::{Caller, Peer};
use crate::http::input::{Fields, Params};
use crate::http::parts::App;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::session::LINK_LIFE;
use crate::http::{auth, guard, session};
use crate::instant::Instant;
use crate::projection::view::Page;

/// Characters of a token's name at most.
const NAME_MAX: usize = 63;

/// A token without its text, which nobody knows any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Short id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// `viewer`, `operator` or `admin`.
    pub role: String,
    /// When it was made.
    #[schema(value_type = String, format = "date-time")]
    pub created_at: Instant,
}

/// A new token. Its text is shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    /// Short id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// `viewer`, `operator` or `admin`.
    pub role: String,
    /// When it was made.
    #[schema(value_type = String, format = "date-time")]
    pub created_at: Instant,
    /// The token itself.
    pub token: String,
}

/// What to make, as the document shows it.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "read field by field; this is the form in the OpenAPI document")]
pub struct TokenBody {
    /// What people call it; unique, for it stands in events as the actor.
    name: String,
    /// `viewer`, `operator` or `admin`.
    role: String,
}

/// A login link for the console. It works once, for ten minutes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoginLink {
    /// Short id, shown as the actor of what its session does.
    pub id: String,
    /// The link's path.
    pub path: String,
    /// The whole link; null without a TCP listener.
    pub url: Option<String>,
    /// Until when it works.
    #[schema(value_type = String, format = "date-time")]
    pub expires_at: Instant,
}

/// The live tokens, oldest first.
///
/// # Errors
/// A parameter is wrong.
#[utoipa::path(get, path = "/api/tokens", tag = "access",
    params(("limit" = Option<usize>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = Page<Token>), (status = "default", body = ProblemBody)))]
pub async fn list(
    State(app): State<App>,
    uri: Uri,
    Params(mut input): Params,
) -> Result<Response, Problem> {
    let limit = input.limit();
    let cursor = input.text("cursor", 64);
    input.finish()?;
    let rows = app.engine.tokens();
    let from = match cursor {
        None => 0,
        // A token that was revoked meanwhile is no place to go on from.
        Some(id) => rows.iter().position(|row| row.id == id).map_or(rows.len(), |at| at + 1),
    };
    let shown = |TokenRow { id, name, role, created_at, .. }| Token { id, name, role, created_at };
    let rows: Vec<Token> = rows.into_iter().skip(from).map(shown).collect();
    Ok(page_answer(&uri, page_of(rows, limit, |row| row.id.clone())))
}

/// Makes a token. The answer alone ever shows it.
///
/// # Errors
/// The name is taken, or a field is wrong.
#[utoipa::path(post, path = "/api/tokens", tag = "access", request_body = TokenBody,
    responses((status = 201, body = CreatedToken), (status = "default", body = ProblemBody)))]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Fields(mut input): Fields,
) -> Result<Response, Problem> {
    let name = input.with("name", token_name);
    let name = input.require("name", name);
    let role = input.parsed::<Role>("role");
    let role = input.require("role", role);
    input.finish()?;
    let (name, role) = (name.unwrap_or_default(), role.unwrap_or(Role::Viewer));
    let new = auth::new_token(&name, role)
        .map_err(|err| Problem::internal("no token could be made", &err))?;
    let body = CreatedToken {
        id: new.record.id.clone(),
        name,
        role: role.to_string(),
        created_at: app.clock.now(),
        token: new.text,
    };
    let created = app.engine.create_token(caller.actor, new.record).await?;
    Ok(done(&app, StatusCode::CREATED, &created, body))
}

fn token_name(text: &str) -> Result<String, String> {
    let plain = text.chars().all(|c| c.is_alphanumeric() || " -_.@".contains(c));
    if plain && !text.trim().is_empty() && text.chars().count() <= NAME_MAX {
        Ok(text.trim().to_owned())
    } else {
        Err(format!("must have 1 to {NAME_MAX} letters, digits, blanks or -_.@, unlike `{text}`"))
    }
}

/// Ends a token.
///
/// # Errors
/// It does not exist, or a parameter is unknown.
#[utoipa::path(delete, path = "/api/tokens/{token}", tag = "access",
    params(("token" = String, Path, description = "The short id")),
    responses((status = 204), (status = "default", body = ProblemBody)))]
pub async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Params(input): Params,
) -> Result<Response, Problem> {
    input.finish()?;
    if id.len() > 64 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Problem::not_found("a token with such an id"));
    }
    let revoked = app.engine.revoke_token(caller.actor, id).await?;
    Ok(done(&app, StatusCode::NO_CONTENT, &revoked, ()))
}

/// Makes a login link for the console.
///
/// # Errors
/// It could not be recorded.
#[utoipa::path(post, path = "/api/login-links", tag = "access",
    responses((status = 201, body = LoginLink), (status = "default", body = ProblemBody)))]
pub async fn login_link(
    State(app): State<App>,
    caller: Caller,
    Fields(input): Fields,
) -> Result<Response, Problem> {
    input.finish()?;
    let (recorded, body) = make_link(&app, caller.actor).await?;
    Ok(done(&app, StatusCode::CREATED, &recorded, body))
}

/// A fresh login link for whoever stands at the terminal when the daemon starts.
///
/// # Errors
/// It could not be made or recorded, in words.
pub async fn login_url(app: &App) -> Result<String, String> {
    let (_, link) = make_link(app, Actor::Daybook).await.map_err(|err| err.detail().to_owned())?;
    Ok(link.url.unwrap_or(link.path))
}

async fn make_link(app: &App, actor: Actor) -> Result<(Done<()>, LoginLink), Problem> {
    let link = app
        .memory
        .sessions
        .new_link(app.clock.elapsed())
        .map_err(|err| Problem::internal("no link could be made", &err))?;
    let expires = app.clock.now() + LINK_LIFE;
    let login = LoginLinkCreated { id: link.id.clone(), expires };
    let recorded = app.engine.record_login(actor, login).await?;
    let url = app.settings.base_url.as_ref();
    let body = LoginLink {
        id: link.id,
        url: url.map(|base| format!("{}{}", base.trim_end_matches('/'), link.path)),
        path: link.path,
        expires_at: expires,
    };
    Ok((recorded, body))
}

/// Uses a login link up: sets the session's cookie and goes on to the console.
///
/// # Errors
/// The link is unknown, used or too old.
#[utoipa::path(get, path = "/login/{secret}", tag = "access", security(()),
    params(("secret" = String, Path)),
    responses((status = 303, description = "To `/`, with the session's cookie"),
        (status = "default", body = ProblemBody)))]
pub async fn login(
    State(app): State<App>,
    Path(secret): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    if request.method() == Method::HEAD {
        // Whoever only looks where a link leads does not use it up.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let Some(peer) = request.extensions().get::<Peer>().copied() else {
        return Err(guard::failed_login(&app, None));
    };
    let session = app.memory.sessions.redeem(&secret, app.clock.elapsed());
    let session = session.map_err(|err| Problem::internal("no session could be made", &err))?;
    let Some(session) = session else {
        return Err(guard::failed_login(&app, Some(peer)));
    };
    let cookie = HeaderValue::try_from(session::set_cookie(&session, peer))
        .map_err(|err| Problem::internal("no session could be made", &err))?;
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/"));
    Ok(response)
}
