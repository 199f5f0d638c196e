//! What is around every page: its title with the number of what is red, the ways to the others, who looks at it.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use super::{assets, words};
use crate::domain::access::Role;
use crate::http::access::Caller;
use crate::http::parts::App;
use crate::http::problem::Problem;
use crate::instant::Instant;

/// A part of the console that the ways at its top lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Overview,
    Executions,
    Schedules,
    Interfaces,
    Events,
    Doctor,
    Settings,
    Api,
    /// None of them.
    Elsewhere,
}

impl Section {
    const ALL: [(Self, &'static str, &'static str); 8] = [
        (Self::Overview, "/", "Overview"),
        (Self::Executions, "/executions", "Executions"),
        (Self::Schedules, "/schedules", "Schedules"),
        (Self::Interfaces, "/interfaces", "Interfaces"),
        (Self::Events, "/events", "Events"),
        (Self::Doctor, "/doctor", "Doctor"),
        (Self::Settings, "/settings", "Settings"),
        (Self::Api, "/api", "API"),
    ];
}

/// What is around a page.
#[derive(Debug)]
pub(super) struct Shell {
    /// The page's own name.
    pub(super) title: String,
    pub(super) section: Section,
    /// How many interfaces are red.
    pub(super) red: usize,
    /// Now, by the daemon's clock.
    pub(super) now: Instant,
    pub(super) role: Option<Role>,
    pub(super) who: String,
    pub(super) version: String,
    /// What stands above everything: the daemon drains, the disk is full, the lists are being rebuilt.
    pub(super) warnings: Vec<String>,
}

impl Shell {
    /// Around a page that `caller` looks at.
    pub(super) fn of(app: &App, caller: &Caller, section: Section, title: &str) -> Self {
        let warnings = crate::http::health::unready(app);
        Self {
            title: title.to_owned(),
            section,
            red: app
                .engine
                .board()
                .read(|state| state.interfaces.values().filter(|interface| interface.red).count()),
            now: app.clock.now(),
            role: Some(caller.role),
            who: crate::projection::actor_text(&caller.actor),
            version: app.settings.version.clone(),
            warnings: warnings.into_iter().map(|reason| reason.detail).collect(),
        }
    }

    /// Around a page for somebody who is not known: it tells nothing.
    pub(super) fn outside(app: &App, title: &str) -> Self {
        Self {
            title: title.to_owned(),
            section: Section::Elsewhere,
            red: 0,
            now: app.clock.now(),
            role: None,
            who: String::new(),
            version: String::new(),
            warnings: Vec::new(),
        }
    }

    /// The title of the window: `(3) Overview · Daybook` while three interfaces are red.
    pub(super) fn window(&self) -> String {
        let count = if self.red > 0 { format!("({}) ", self.red) } else { String::new() };
        format!("{count}{} · Daybook", self.title)
    }

    pub(super) fn sections(&self) -> &'static [(Section, &'static str, &'static str)] {
        &Section::ALL
    }

    pub(super) fn asset(&self, name: &str) -> String {
        assets::address(name)
    }

    /// Whether whoever looks may run, pause, cancel.
    pub(super) fn may_operate(&self) -> bool {
        self.role >= Some(Role::Operator)
    }

    /// An instant as pages show it.
    pub(super) fn time(&self, at: &Instant) -> words::Time {
        words::Time { at: *at, now: self.now }
    }
}

/// A page as an answer.
///
/// # Errors
/// The template failed, which is a mistake of ours.
pub(super) fn page(template: &impl Template) -> Result<Response, Problem> {
    let text =
        template.render().map_err(|err| Problem::internal("the page cannot be made", &err))?;
    Ok(Html(text).into_response())
}

/// To the page that shows what a form did: loading it again repeats nothing.
///
/// # Errors
/// The address is none, which is a mistake of ours.
pub(super) fn see_other(to: &str) -> Result<Response, Problem> {
    let to = HeaderValue::try_from(to)
        .map_err(|err| Problem::internal("the page cannot be named", &err))?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response())
}
