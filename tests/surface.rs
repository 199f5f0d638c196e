//! The two faces compared: every verb that needs the daemon has its route, and every route has its verb, but for those
//! that browsers and monitors use (contract, section 6).

#[path = "support/request.rs"]
mod request;

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

/// A command line of each verb, and the route that it asks first; none where it asks no daemon.
const VERBS: &[(&str, Option<&str>)] = &[
    ("serve --help", None),
    ("check .", None),
    ("check --diff", Some("POST /api/check")),
    ("status", Some("GET /api/status")),
    ("interface list", Some("GET /api/interfaces")),
    ("interface show fnac", Some("GET /api/interfaces/{interface}")),
    ("interface test fnac", Some("POST /api/interfaces/{interface}/test")),
    ("interface pause fnac", Some("POST /api/interfaces/{interface}/pause")),
    ("interface resume fnac", Some("POST /api/interfaces/{interface}/resume")),
    ("schedule list", Some("GET /api/schedules")),
    ("schedule show fnac/sales", Some("GET /api/schedules/{interface}/{schedule}")),
    ("schedule next fnac/sales", Some("GET /api/schedules/{interface}/{schedule}/next")),
    ("schedule slots fnac/sales", Some("GET /api/schedules/{interface}/{schedule}/slots")),
    ("schedule why fnac/sales", Some("GET /api/schedules/{interface}/{schedule}/why")),
    ("schedule explain @daily", None),
    ("schedule run fnac/sales", Some("POST /api/schedules/{interface}/{schedule}/run")),
    (
        "schedule backfill fnac/sales --from 2h --to 1h",
        Some("POST /api/schedules/{interface}/{schedule}/backfill"),
    ),
    ("schedule pause fnac/sales", Some("POST /api/schedules/{interface}/{schedule}/pause")),
    ("schedule resume fnac/sales", Some("POST /api/schedules/{interface}/{schedule}/resume")),
    ("schedule skip-next fnac/sales", Some("POST /api/schedules/{interface}/{schedule}/skip-next")),
    ("execution list", Some("GET /api/executions")),
    ("execution show latest", Some("GET /api/executions/{execution}")),
    ("execution log latest", Some("GET /api/executions/{execution}/log")),
    ("execution export latest --xlsx -", Some("GET /api/executions/{execution}/export.xlsx")),
    ("execution export latest --csv -", Some("GET /api/executions/{execution}/export.csv")),
    ("execution export latest --jsonl -", Some("GET /api/executions/{execution}/export.jsonl")),
    ("execution export --query status=ko --xlsx -", Some("GET /api/executions/export.xlsx")),
    ("execution export --query status=ko --csv -", Some("GET /api/executions/export.csv")),
    ("execution export --query status=ko --jsonl -", Some("GET /api/executions/export.jsonl")),
    ("execution rerun latest", Some("POST /api/executions/rerun")),
    ("execution cancel latest", Some("POST /api/executions/{execution}/cancel")),
    ("execution note latest --ack", Some("POST /api/executions/{execution}/notes")),
    ("event list", Some("GET /api/events")),
    ("event tail", Some("GET /api/events")),
    ("event show 1", Some("GET /api/events/{position}")),
    ("store info", Some("GET /api/store")),
    ("store verify", Some("POST /api/store/verify")),
    ("store backup", Some("POST /api/store/backup")),
    ("store restore backup", None),
    ("store compact --online", Some("POST /api/store/compact")),
    ("store export --jsonl -", Some("GET /api/store/export.jsonl")),
    ("store import /dev/null", None),
    ("token create ci", Some("POST /api/tokens")),
    ("token list", Some("GET /api/tokens")),
    ("token revoke 00000000", Some("DELETE /api/tokens/{token}")),
    ("import crontab /dev/null", None),
    ("classify", None),
    ("explain", None),
    ("schema", None),
    ("console", Some("POST /api/login-links")),
    ("demo --folder /proc/nowhere", None),
    ("doctor", Some("GET /api/doctor")),
    ("settings", Some("GET /api/settings")),
    ("reload", Some("POST /api/reload")),
    ("drain", Some("POST /api/drain")),
    ("completions bash", None),
    ("man", None),
    ("version", None),
];

/// Routes without a verb, each with those whom it is for.
const WITHOUT_VERB: &[(&str, &str)] = &[
    ("GET /healthz", "monitors"),
    ("GET /readyz", "monitors and load balancers"),
    ("GET /metrics", "Prometheus"),
    ("GET /login/{secret}", "browsers, by the link that `daybook console` prints"),
    ("GET /api/openapi.json", "makers of clients"),
];

/// The verbs of the command line, such as `execution rerun`.
fn verbs() -> BTreeSet<String> {
    let mut verbs = BTreeSet::new();
    add_verbs(&daybook::cli::args::tree(), "", &mut verbs);
    verbs
}

fn add_verbs(command: &clap::Command, noun: &str, verbs: &mut BTreeSet<String>) {
    for verb in command.get_subcommands() {
        let name = format!("{noun}{}", verb.get_name());
        if verb.has_subcommands() {
            add_verbs(verb, &format!("{name} "), verbs);
        } else {
            verbs.insert(name);
        }
    }
}

/// The routes of the OpenAPI document, such as `GET /api/status`.
fn routes() -> BTreeSet<String> {
    let (_, document) = daybook::http::router::documented();
    let document = serde_json::to_value(&document).expect("a document");
    let mut routes = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for method in ["get", "post", "put", "patch", "delete"] {
            if operations[method].is_object() {
                routes.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    routes
}

/// The verb that a command line begins with.
fn verb_of<'a>(line: &str, verbs: &'a BTreeSet<String>) -> Option<&'a str> {
    let begins = |verb: &str| {
        line.strip_prefix(verb).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    verbs.iter().map(String::as_str).find(|verb| begins(verb))
}

fn none(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_verb_says_which_route_it_asks() {
    let verbs = verbs();
    let mut found = Vec::new();
    let mut named = BTreeSet::new();
    for (line, _) in VERBS {
        match verb_of(line, &verbs) {
            Some(verb) => {
                named.insert(verb);
            }
            None => found.push(format!(
                "`daybook {line}` is no verb (src/cli/args.rs): remove its row from VERBS in tests/surface.rs"
            )),
        }
    }
    for verb in verbs.iter().filter(|verb| !named.contains(verb.as_str())) {
        found.push(format!(
            "`daybook {verb}` names no route: add a row to VERBS in tests/surface.rs, with a command line of it and its \
             route (its handler belongs into src/http/api/, its row into src/http/routes.rs), or None when it asks no daemon"
        ));
    }
    none(&found);
}

#[test]
fn every_route_is_reached_by_a_verb() {
    let routes = routes();
    let asked: BTreeSet<&str> = VERBS.iter().filter_map(|(_, route)| *route).collect();
    let apart: BTreeSet<&str> = WITHOUT_VERB.iter().map(|(route, _)| *route).collect();
    let mut found = Vec::new();
    for route in &routes {
        if !asked.contains(route.as_str()) && !apart.contains(route.as_str()) {
            found.push(format!(
                "no verb asks `{route}`: add one in src/cli/<noun>.rs with a row to VERBS in tests/surface.rs, or say in \
                 WITHOUT_VERB whom the route is for"
            ));
        }
    }
    for route in asked.union(&apart).filter(|route| !routes.contains(**route)) {
        found.push(format!(
            "`{route}` stands in tests/surface.rs, but not in the document: add its handler to src/http/api/mod.rs and \
             its row to src/http/routes.rs, or remove it here"
        ));
    }
    for (route, whom) in WITHOUT_VERB.iter().filter(|(route, _)| asked.contains(route)) {
        found.push(format!(
            "`{route}` is said to be for {whom} alone, but a verb asks it: remove it from WITHOUT_VERB in tests/surface.rs"
        ));
    }
    none(&found);
}

/// The table is what the program does: each command line is run against a listener that only notes what it is asked.
#[test]
fn each_verb_asks_the_route_that_it_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = Listener::start(folder.path());
    let routes = routes();
    let mut found = Vec::new();
    for (line, named) in VERBS {
        let (asked, said) = listener.asked_by(line);
        let asked = asked.map(|request| route_of(&request, &routes));
        if asked.as_deref() != *named {
            let (asked, named) = (asked.as_deref().unwrap_or("nobody"), named.unwrap_or("nobody"));
            found.push(format!(
                "`daybook {line}` asked {asked}, and VERBS in tests/surface.rs says {named}: {said}"
            ));
        }
    }
    none(&found);
}

/// Takes every request and does nothing.
struct Listener {
    folder: PathBuf,
    requests: mpsc::Receiver<String>,
}

impl Listener {
    fn start(folder: &Path) -> Self {
        let socket = UnixListener::bind(folder.join("daybook.sock")).expect("a socket");
        let (tell, requests) = mpsc::channel();
        thread::spawn(move || {
            for mut stream in socket.incoming().map_while(Result::ok) {
                let Some((head, _)) = request::read(&stream) else { continue };
                let first = head.lines().next().unwrap_or_default().to_owned();
                if tell.send(first).is_err() {
                    return;
                }
                let body = r#"{"code":"internal","title":"this only listens","status":500}"#;
                let answer = format!(
                    "HTTP/1.1 500 No\r\ncontent-type: application/problem+json\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                drop(stream.write_all(answer.as_bytes()));
            }
        });
        Self { folder: folder.to_owned(), requests }
    }

    /// The first request of a command line, and what it said on standard error.
    fn asked_by(&self, line: &str) -> (Option<String>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_daybook"))
            .args(line.split_whitespace())
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &self.folder)
            .env("DAYBOOK_DATA", &self.folder)
            .stdin(Stdio::null())
            .output()
            .expect("the binary starts");
        // A request is noted before it is answered, so all of them are here once the program has ended.
        let asked: Vec<String> = self.requests.try_iter().collect();
        (asked.into_iter().next(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The route of a request such as `GET /api/executions/latest?limit=1 HTTP/1.1`: of those that fit, the most literal one.
fn route_of(request: &str, routes: &BTreeSet<String>) -> String {
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let serves = |route: &String| {
        let parts = route.split_once(' ');
        parts.is_some_and(|(known, pattern)| known == method && fits(pattern, path))
    };
    let best = routes.iter().filter(|route| serves(route)).min_by_key(|r| r.matches('{').count());
    best.cloned().unwrap_or_else(|| format!("{method} {path}, which is no route"))
}

fn fits(pattern: &str, path: &str) -> bool {
    let fits = |(part, given): (&str, &str)| part == given || part.starts_with('{');
    pattern.split('/').count() == path.split('/').count()
        && pattern.split('/').zip(path.split('/')).all(fits)
}
