//! Coming and going: `daybook console` prints a link; a token can be typed instead.

use askama::Template;
use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::form::{Filters, Posted};
use super::shell::{Shell, page};
use crate::http::access::Peer;
use crate::http::parts::App;
use crate::http::problem::{Code, Problem};
use crate::http::session::{self, Holder};
use crate::http::{auth, guard};

/// Where the login leads, unless it was asked for.
const HOME: &str = "/";
const ADDRESS_MAX: usize = 2_000;
const TOKEN_MAX: usize = 200;

#[derive(Template)]
#[template(path = "login.html", config = "src/http/console/askama.toml")]
struct Login {
    shell: Shell,
    next: String,
}

/// Where to log in.
///
/// # Errors
/// A parameter is wrong.
pub(super) async fn show(
    State(app): State<App>,
    Filters(mut input): Filters,
) -> Result<Response, Problem> {
    let next = input.text("next", ADDRESS_MAX);
    input.finish()?;
    page(&Login { shell: Shell::outside(&app, "Log in"), next: own(next) })
}

/// A page of ours: whoever sends a link must not lead to another site.
fn own(next: Option<String>) -> String {
    let is_own = |next: &String| {
        let mut chars = next.chars();
        chars.next() == Some('/')
            && !matches!(chars.next(), Some('/' | '\\'))
            && !next.chars().any(char::is_control)
    };
    next.filter(is_own).unwrap_or_else(|| HOME.to_owned())
}

/// Begins a session for whoever knows a token.
///
/// # Errors
/// It comes from another site, or the token is not valid.
pub(super) async fn enter(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    if !session::is_same_origin(request.headers()) {
        let detail = "a login must come from the console's own page";
        return Err(Problem::new(Code::CrossSite, detail));
    }
    let peer = request.extensions().get::<Peer>().copied();
    let Posted(mut input) = Posted::from_request(request, &()).await?;
    let token = input.text("token", TOKEN_MAX);
    let token = input.require("token", token);
    let next = input.text("next", ADDRESS_MAX);
    input.finish()?;
    let live = app.engine.tokens();
    let known = auth::recognise(token.unwrap_or_default().trim(), &live);
    let known = known.and_then(|(name, role)| {
        let row = live.iter().find(|row| row.name == name)?;
        Some(Holder::Token { id: row.id.clone(), name, role })
    });
    let (Some(holder), Some(peer)) = (known, peer) else {
        return Err(guard::failed_login(&app, peer));
    };
    let secret = app.memory.sessions.begin(holder, app.clock.elapsed());
    let secret = secret.map_err(|err| Problem::internal("no session could be made", &err))?;
    go(&own(next), &session::set_cookie(&secret, peer))
}

/// Ends the session.
///
/// # Errors
/// The answer could not be made.
pub(super) async fn leave(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    app.memory.sessions.end(&headers);
    go("/login", &session::forget_cookie())
}

fn go(to: &str, cookie: &str) -> Result<Response, Problem> {
    let value = |text: &str| {
        HeaderValue::try_from(text)
            .map_err(|err| Problem::internal("no session could be made", &err))
    };
    let mut answer = StatusCode::SEE_OTHER.into_response();
    answer.headers_mut().insert(header::SET_COOKIE, value(cookie)?);
    answer.headers_mut().insert(header::LOCATION, value(to)?);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_our_own_pages_alone() {
        let led = |next: &str| own(Some(next.to_owned()));
        assert_eq!(led("/executions?status=ko"), "/executions?status=ko");
        for foreign in
            ["//evil.example", "/\\evil.example", "https://evil.example", "x", "/\r\nx: y"]
        {
            assert_eq!(led(foreign), "/", "{foreign:?}");
        }
    }
}
