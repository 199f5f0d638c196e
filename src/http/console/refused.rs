//! What a browser sees in place of a page: the problem in words, or the way to log in.

use askama::Template;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};

use super::markdown::Inline;
use super::shell::{Shell, page};
use crate::domain::template::push_percent_encoded;
use crate::http::parts::App;
use crate::http::problem::{Code, Problem, ProblemBody};

/// That a page was asked for, and which.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Path and query of a page that was only looked at; none of one that changes something.
    address: Option<String>,
    /// The script asked for a part of a page.
    part: bool,
}

/// Whether somebody looks at pages: a browser asks for HTML, and what is under `/api/` is for programs.
pub fn wanted(request: &Request) -> Option<Wanted> {
    let headers = request.headers();
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let part = headers.contains_key("hx-request");
    let html = part || accept.is_some_and(|accept| accept.contains("text/html"));
    let path = request.uri().path();
    let looked_at = request.method() == Method::GET && !path.starts_with("/login/");
    let address = request.uri().path_and_query().filter(|_| looked_at).map(ToString::to_string);
    (html && !path.starts_with("/api/")).then_some(Wanted { address, part })
}

/// Says a problem as a page.
pub fn refused(app: &App, problem: &Problem, wanted: &Wanted, request_id: &str) -> Response {
    if problem.code() == Code::Unauthenticated && wanted.address.is_some() {
        return to_login(wanted);
    }
    let body = problem.body(Some(request_id), None);
    let shell = Shell::outside(app, &body.title);
    let mut answer =
        page(&ProblemPage { shell, problem: &body, action: action(problem.code(), &body.action) })
            .unwrap_or_else(|_err| problem.render(Some(request_id), None));
    *answer.status_mut() = problem.code().status();
    for (name, value) in problem.headers() {
        answer.headers_mut().insert(name, value.clone());
    }
    answer
}

/// The page to log in, which leads back to the one that was wanted.
fn to_login(wanted: &Wanted) -> Response {
    let mut login = "/login".to_owned();
    if let Some(next) = wanted.address.as_deref().filter(|next| *next != "/" && !wanted.part) {
        login.push_str("?next=");
        push_percent_encoded(&mut login, next);
    }
    let mut answer = StatusCode::SEE_OTHER.into_response();
    // A part of a page would show the whole page to log in in its place.
    let name = if wanted.part { "hx-redirect" } else { header::LOCATION.as_str() };
    if wanted.part {
        *answer.status_mut() = StatusCode::NO_CONTENT;
    }
    if let Ok(login) = HeaderValue::try_from(login)
        && let Ok(name) = name.parse::<header::HeaderName>()
    {
        answer.headers_mut().insert(name, login);
    }
    answer
}

#[derive(Template)]
#[template(path = "problem.html", config = "src/http/console/askama.toml")]
struct ProblemPage<'a> {
    shell: Shell,
    problem: &'a ProblemBody,
    action: &'a str,
}

/// What somebody at a page can do; the problem's own action is for whoever writes a program.
fn action(code: Code, told: &str) -> &str {
    match code {
        Code::Invalid => "Go back, correct it, and try again.",
        Code::Unauthenticated => "Log in with a new link, or with a token that is valid.",
        Code::Denied => "Log in with a token that has this role, or ask somebody who has one.",
        Code::CrossSite => "Nothing was changed. Open the console, and do it there.",
        Code::TooMany => "Wait a minute, then try again.",
        Code::NotOpen => "Go back, and choose it by its id.",
        Code::Internal => {
            "Contact support with the number of the request; the daemon's log has the details."
        }
        Code::BadJson
        | Code::MediaType
        | Code::NotFound
        | Code::MethodNotAllowed
        | Code::Timeout
        | Code::Conflict
        | Code::Ambiguous
        | Code::InProgress
        | Code::TooLarge
        | Code::KeyReused
        | Code::DiskFull
        | Code::Unavailable
        | Code::Rebuilding => told,
    }
}
