//! Who may do what: one row for each route and method. A request that fits no row is refused, whatever the router knows.

use http::Method;

use crate::domain::access::Role;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// Everybody on this machine; a viewer from elsewhere (the metrics, unless the settings say otherwise).
    Metrics,
    /// This role and those above it.
    Role(Role),
}

/// How long an answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// 30 s until its head.
    Usual,
    /// As long as it takes: checks of the whole store, probes of hosts.
    Long,
}

/// Whether an answer to a request with an idempotency key may be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It goes to the log.
    Recorded,
    /// It holds a secret, and is kept in memory only.
    Secret,
}

/// One route and method.
#[derive(Clone, Debug)]
pub struct Route {
    /// The method; `HEAD` goes with `GET`.
    pub method: Method,
    /// The pattern.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
    /// How long it may take.
    pub pace: Pace,
    /// What may become of its answer.
    pub answer: Answer,
}

const fn route(method: Method, path: &'static str, access: Access) -> Route {
    Route { method, path, access, pace: Pace::Usual, answer: Answer::Recorded }
}

const fn long(mut route: Route) -> Route {
    route.pace = Pace::Long;
    route
}

const fn secret(mut route: Route) -> Route {
    route.answer = Answer::Secret;
    route
}

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const DELETE: Method = Method::DELETE;
const VIEWER: Access = Access::Role(Role::Viewer);
const OPERATOR: Access = Access::Role(Role::Operator);
const ADMIN: Access = Access::Role(Role::Admin);

/// All routes of the API.
pub const ROUTES: &[Route] = &[
    route(GET, "/healthz", Access::Open),
    route(GET, "/readyz", Access::Open),
    route(GET, "/metrics", Access::Metrics),
    route(GET, "/login/{secret}", Access::Open),
    route(GET, "/api/openapi.json", VIEWER),
    route(GET, "/api/status", VIEWER),
    long(route(GET, "/api/doctor", VIEWER)),
    route(GET, "/api/settings", VIEWER),
    route(GET, "/api/store", VIEWER),
    long(route(POST, "/api/store/verify", OPERATOR)),
    long(route(POST, "/api/store/backup", ADMIN)),
    long(route(POST, "/api/store/compact", ADMIN)),
    long(route(GET, "/api/store/export.jsonl", ADMIN)),
    route(GET, "/api/events", VIEWER),
    route(GET, "/api/events/{position}", VIEWER),
    route(GET, "/api/interfaces", VIEWER),
    route(GET, "/api/interfaces/{interface}", VIEWER),
    long(route(POST, "/api/interfaces/{interface}/test", OPERATOR)),
    route(POST, "/api/interfaces/{interface}/pause", OPERATOR),
    route(POST, "/api/interfaces/{interface}/resume", OPERATOR),
    route(GET, "/api/schedules", VIEWER),
    route(GET, "/api/schedules/{interface}/{schedule}", VIEWER),
    route(GET, "/api/schedules/{interface}/{schedule}/slots", VIEWER),
    route(GET, "/api/schedules/{interface}/{schedule}/next", VIEWER),
    route(GET, "/api/schedules/{interface}/{schedule}/why", VIEWER),
    route(POST, "/api/schedules/{interface}/{schedule}/run", OPERATOR),
    long(route(POST, "/api/schedules/{interface}/{schedule}/backfill", OPERATOR)),
    route(POST, "/api/schedules/{interface}/{schedule}/pause", OPERATOR),
    route(POST, "/api/schedules/{interface}/{schedule}/resume", OPERATOR),
    route(POST, "/api/schedules/{interface}/{schedule}/skip-next", OPERATOR),
    route(GET, "/api/executions", VIEWER),
    route(GET, "/api/executions/{execution}", VIEWER),
    route(GET, "/api/executions/{execution}/log", VIEWER),
    long(route(GET, "/api/executions/{execution}/export.xlsx", VIEWER)),
    long(route(GET, "/api/executions/{execution}/export.csv", VIEWER)),
    long(route(GET, "/api/executions/{execution}/export.jsonl", VIEWER)),
    long(route(GET, "/api/executions/export.xlsx", VIEWER)),
    long(route(GET, "/api/executions/export.csv", VIEWER)),
    long(route(GET, "/api/executions/export.jsonl", VIEWER)),
    route(POST, "/api/executions/{execution}/cancel", OPERATOR),
    route(POST, "/api/executions/{execution}/notes", OPERATOR),
    route(POST, "/api/executions/rerun", OPERATOR),
    route(POST, "/api/reload", ADMIN),
    route(POST, "/api/drain", ADMIN),
    route(POST, "/api/check", OPERATOR),
    route(GET, "/api/tokens", ADMIN),
    secret(route(POST, "/api/tokens", ADMIN)),
    route(DELETE, "/api/tokens/{token}", ADMIN),
    secret(route(POST, "/api/login-links", ADMIN)),
];

/// The console's pages, what they load, and the forms that they post.
pub const PAGES: &[Route] = &[
    route(GET, "/login", Access::Open),
    route(POST, "/login", Access::Open),
    route(POST, "/logout", VIEWER),
    route(GET, "/assets/{name}", Access::Open),
    route(GET, "/favicon.svg", Access::Open),
    route(GET, "/", VIEWER),
    route(GET, "/executions/{execution}/log", VIEWER),
    route(GET, "/executions/{execution}/log.txt", VIEWER),
    route(GET, "/executions", VIEWER),
    route(GET, "/executions/rerun", OPERATOR),
    route(POST, "/executions/rerun", OPERATOR),
    route(GET, "/executions/{execution}", VIEWER),
    route(POST, "/executions/{execution}/cancel", OPERATOR),
    route(POST, "/executions/{execution}/notes", OPERATOR),
    route(GET, "/explain", VIEWER),
    route(GET, "/explain/{cause}", VIEWER),
    route(GET, "/schedules", VIEWER),
    route(GET, "/schedules/{interface}/{schedule}", VIEWER),
    route(POST, "/schedules/{interface}/{schedule}", OPERATOR),
    route(GET, "/schedules/{interface}/{schedule}/why", VIEWER),
    long(route(GET, "/schedules/{interface}/{schedule}/backfill", OPERATOR)),
    long(route(POST, "/schedules/{interface}/{schedule}/backfill", OPERATOR)),
    route(GET, "/interfaces", VIEWER),
    route(GET, "/interfaces/{interface}", VIEWER),
    route(POST, "/interfaces/{interface}", OPERATOR),
    long(route(POST, "/interfaces/{interface}/test", OPERATOR)),
    route(GET, "/events", VIEWER),
    long(route(POST, "/events/verify", OPERATOR)),
    route(GET, "/events/{position}", VIEWER),
    long(route(GET, "/doctor", VIEWER)),
    route(GET, "/settings", VIEWER),
    route(GET, "/api", VIEWER),
];

/// API and pages.
pub fn all() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().chain(PAGES)
}

/// The row for a request to the pattern `path`.
pub fn find(method: &Method, path: &str) -> Option<&'static Route> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    all().find(|route| route.path == path && route.method == *method)
}

/// The methods of the pattern `path`, as `Allow` wants them; none when there is no such pattern.
pub fn allowed(path: &str) -> Option<String> {
    let mut methods = Vec::new();
    for route in all().filter(|route| route.path == path) {
        methods.push(route.method.as_str());
        if route.method == Method::GET {
            methods.push("HEAD");
        }
    }
    (!methods.is_empty()).then(|| methods.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_route_stands_twice() {
        for (n, route) in all().enumerate() {
            let twice = all().skip(n + 1).any(|r| r.path == route.path && r.method == route.method);
            assert!(!twice, "{} {}", route.method, route.path);
        }
    }

    #[test]
    fn whatever_changes_something_needs_at_least_an_operator() {
        // Coming and going changes nothing but the caller's own session.
        let own = ["/login", "/logout"];
        let changes = |route: &&Route| route.method != Method::GET && !own.contains(&route.path);
        for route in all().filter(changes) {
            assert!(
                matches!(route.access, Access::Role(Role::Operator | Role::Admin)),
                "{} {}",
                route.method,
                route.path
            );
        }
    }

    #[test]
    fn head_goes_with_get() {
        assert!(find(&Method::HEAD, "/api/status").is_some());
        assert_eq!(allowed("/api/tokens").as_deref(), Some("GET, HEAD, POST"));
        assert_eq!(allowed("/nowhere"), None);
    }
}
