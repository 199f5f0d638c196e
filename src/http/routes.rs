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

/// All routes.
pub const ROUTES: &[Route] = &[
    route(GET, "/healthz", Access::Open),
    route(GET, "/readyz", Access::Open),
    route(GET, "/metrics", Access::Metrics),
    route(GET, "/login/{secret}", Access::Open),
    route(GET, "/api/openapi.json", VIEWER),
    route(GET, "/api/status", VIEWER),
    long(route(GET, "/api/doctor", VIEWER)),
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

/// The row for a request to the pattern `path`.
pub fn find(method: &Method, path: &str) -> Option<&'static Route> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    ROUTES.iter().find(|route| route.path == path && route.method == *method)
}

/// The methods of the pattern `path`, as `Allow` wants them; none when there is no such pattern.
pub fn allowed(path: &str) -> Option<String> {
    let mut methods = Vec::new();
    for route in ROUTES.iter().filter(|route| route.path == path) {
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
        for (n, route) in ROUTES.iter().enumerate() {
            let twice =
                ROUTES.iter().skip(n + 1).any(|r| r.path == route.path && r.method == route.method);
            assert!(!twice, "{} {}", route.method, route.path);
        }
    }

    #[test]
    fn whatever_changes_something_needs_at_least_an_operator() {
        for route in ROUTES.iter().filter(|route| route.method != Method::GET) {
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
