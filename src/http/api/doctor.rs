//! `GET /api/doctor`: what could go wrong before it does.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::civil;
use crate::config::MetricsAccess;
use crate::domain::space::Room;
use crate::http::health::unready;
use crate::http::input::Params;
use crate::http::parts::{App, Parts};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::reads::blocking;
use crate::jobs::{RunnerState, Way, probe};
use crate::projection::view::State as Living;
use crate::store::space::measure;
use crate::telemetry::metrics::LABELLED_SCHEDULES;

/// Less free space than this fails; less than ten times this warns.
const FREE_MIN_BYTES: u64 = 100 * 1024 * 1024;
/// How to mend a lack of room.
const MAKE_ROOM: &str = "make room, outside of the data folder first";
/// Fewer file descriptors than this warn: each running command takes several.
const FILES_MIN: u64 = 4096;

/// All checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Doctor {
    /// No check failed.
    pub ok: bool,
    /// The checks.
    pub checks: Vec<Check>,
}

/// A check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it is.
    pub state: Finding,
    /// What was found.
    pub detail: String,
    /// How to mend it.
    pub fix: Option<String>,
}

/// How a checked thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = CheckState)]
pub enum Finding {
    /// As it should be.
    Ok,
    /// It works, but not for long or not well.
    Warn,
    /// Something does not work.
    Fail,
}

/// A check with what was found; how to mend it is only told where something is to be mended.
pub fn check(name: &str, state: Finding, detail: impl Into<String>, fix: &str) -> Check {
    let fix = (state != Finding::Ok).then(|| fix.to_owned());
    Check { name: name.to_owned(), state, detail: detail.into(), fix }
}

/// Looks at the files, the store, the clock's data, the machine's limits, and at what the jobs need.
///
/// # Errors
/// An unknown parameter.
#[utoipa::path(get, path = "/api/doctor", operation_id = "doctor", tag = "daemon",
    responses((status = 200, body = Doctor), (status = "default", body = ProblemBody)))]
pub async fn show(State(app): State<App>, Params(input): Params) -> Result<Json<Doctor>, Problem> {
    input.finish()?;
    examine(&app).await.map(Json)
}

/// Makes all checks.
///
/// # Errors
/// One of them panicked.
pub async fn examine(app: &App) -> Result<Doctor, Problem> {
    let shared = Arc::clone(app);
    let mut checks = blocking(move || local_checks(&shared)).await?;
    checks.push(process_trees(app).await);
    checks.push(runner(app));
    checks.extend(job_checks(app).await);
    let ok = checks.iter().all(|check| check.state != Finding::Fail);
    Ok(Doctor { ok, checks })
}

fn local_checks(app: &App) -> Vec<Check> {
    let mut checks = vec![readiness(app), files(app), store(app)];
    checks.extend(draining(app));
    checks.push(room(app));
    checks.push(private(&app.settings.data));
    let token = app.settings.data.join("token");
    if token.exists() {
        checks.push(private(&token));
    }
    checks.extend([zone_data(), file_limit(), labels(app), metrics_access(app)]);
    checks
}

fn readiness(app: &App) -> Check {
    let reasons: Vec<String> = unready(app)
        .into_iter()
        .filter(|reason| !["config", "draining"].contains(&reason.code.as_str()))
        .map(|reason| reason.detail)
        .collect();
    if reasons.is_empty() {
        check("daemon", Finding::Ok, "the log takes events, slots run and the lists answer", "")
    } else {
        check("daemon", Finding::Fail, reasons.join("; "), "see the daemon's log")
    }
}

/// That somebody wants the daemon to end; none when nobody does.
fn draining(app: &App) -> Option<Check> {
    let draining = unready(app).into_iter().find(|reason| reason.code == "draining")?;
    let fix = "it is about to end; start it again when what you drained it for is done";
    Some(check("draining", Finding::Warn, draining.detail, fix))
}

fn files(app: &Parts) -> Check {
    let problems = app.engine.status().files.problems;
    match problems.first() {
        None => check("files", Finding::Ok, "all files are accepted", ""),
        Some(first) => check(
            "files",
            Finding::Fail,
            format!("{} problem(s); the first: {first}", problems.len()),
            "run `daybook check`, mend the files, then `daybook reload`",
        ),
    }
}

fn store(app: &Parts) -> Check {
    match (app.store.info)() {
        Ok(info) => {
            let bytes = info.journal_bytes + info.lines_bytes + info.index_bytes;
            let detail = format!("{} events, {bytes} bytes", info.position);
            check("store", Finding::Ok, detail, "")
        }
        Err(why) => check("store", Finding::Fail, why, "run `daybook store verify`"),
    }
}

/// Whether there is room for more, by the daemon's own marks.
fn room(app: &Parts) -> Check {
    let seen = app.space.seen();
    let (low, full) = app.space.marks(seen.measured.total);
    let state = match seen.room() {
        Room::Enough => Finding::Ok,
        Room::Low => Finding::Warn,
        Room::Full => Finding::Fail,
    };
    let (dropped, _) = app.space.dropped_so_far();
    let detail = format!(
        "{} ({} MiB are free for `{}`; little is less than {}, full less than {}; {} MiB more are kept for the log; {dropped} lines were not kept since the start)",
        seen.room().as_str(),
        seen.measured.free >> 20,
        app.settings.data.display(),
        low >> 20,
        full >> 20,
        seen.reserve >> 20,
    );
    check("disk", state, detail, MAKE_ROOM)
}

/// Whether there is room for more, without a daemon that would know it.
pub fn free_space(folder: &Path) -> Check {
    let fix = MAKE_ROOM;
    let free = match measure(folder) {
        Ok(measured) => measured.free,
        Err(err) => {
            return check("disk", Finding::Fail, format!("`{}`: {err}", folder.display()), fix);
        }
    };
    let state = match free {
        _ if free < FREE_MIN_BYTES => Finding::Fail,
        _ if free < 10 * FREE_MIN_BYTES => Finding::Warn,
        _ => Finding::Ok,
    };
    check("disk", state, format!("{} MiB are free for `{}`", free >> 20, folder.display()), fix)
}

/// Data and secrets are for the daemon's user alone.
pub fn private(path: &Path) -> Check {
    let fix = format!("chmod go= '{}'", path.display());
    match std::fs::metadata(path) {
        Ok(metadata) => {
            let mode = metadata.permissions().mode() & 0o7777;
            let open = mode & 0o077 != 0;
            let state = if open { Finding::Warn } else { Finding::Ok };
            let owner = metadata.uid();
            let detail =
                format!("`{}` has mode {mode:04o} and belongs to user {owner}", path.display());
            check("permissions", state, detail, &fix)
        }
        Err(err) => {
            check("permissions", Finding::Fail, format!("`{}`: {err}", path.display()), &fix)
        }
    }
}

/// The zone data in use.
pub fn zone_data() -> Check {
    let data = civil::zone_data();
    check("zones", Finding::Ok, format!("zone data {} from {}", data.version, data.source), "")
}

/// Whether many commands may run at once.
pub fn file_limit() -> Check {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    match limit {
        Some(limit) if limit < FILES_MIN => check(
            "open files",
            Finding::Warn,
            format!("the limit is {limit}"),
            "set `LimitNOFILE=65536` in the unit, or `ulimit -n 65536`",
        ),
        Some(limit) => check("open files", Finding::Ok, format!("the limit is {limit}"), ""),
        None => check("open files", Finding::Ok, "there is no limit", ""),
    }
}

fn labels(app: &Parts) -> Check {
    let count = app.engine.board().read(|state| state.schedules.len());
    if app.metrics.schedules_unlabelled() {
        let detail = format!(
            "{count} schedules: beyond {LABELLED_SCHEDULES} the metrics' `schedule` label is empty"
        );
        check("metrics", Finding::Warn, detail, "alert by `interface`, or use dead-man pings")
    } else {
        check("metrics", Finding::Ok, format!("{count} schedules have a label each"), "")
    }
}

fn metrics_access(app: &Parts) -> Check {
    let detail = match app.settings.metrics {
        MetricsAccess::Auto => "`/metrics` is open to this machine",
        MetricsAccess::Open => "`/metrics` is open to everybody",
        MetricsAccess::Token => "`/metrics` needs a token",
    };
    check("metrics access", Finding::Ok, detail, "")
}

/// Who owns the commands.
fn runner(app: &Parts) -> Check {
    let Some(RunnerState { generation, pid, running }) = app.runners.state() else {
        let fix = "look at the daemon's log: it says why none starts";
        return check("runner", Finding::Fail, "none: commands cannot run", fix);
    };
    let detail = format!("generation {generation}, pid {pid}, {running} running");
    check("runner", Finding::Ok, detail, "")
}

/// How it is known which processes a command started. Both ways will do.
async fn process_trees(app: &Parts) -> Check {
    let detail = match app.runners.way().await {
        Way::Cgroups(folder) => {
            format!("each command has a cgroup of its own in `{}`", folder.display())
        }
        Way::Proc(why) => format!("by parents and markers in /proc, without cgroups: {why}"),
    };
    check("process trees", Finding::Ok, detail, "")
}

/// One check for each interface: programs and credentials. Hosts are left to `interface test`.
async fn job_checks(app: &App) -> Vec<Check> {
    let mut checks = Vec::new();
    for row in app.engine.interfaces() {
        let definition = match app.engine.definition(&row.id) {
            Some((definition, _)) if row.state != Living::Removed => definition,
            Some(_) | None => continue,
        };
        let bad: Vec<String> = app
            .probe
            .on_this_machine(&definition)
            .await
            .into_iter()
            .filter(|finding| finding.state == probe::State::Failed)
            .map(|finding| format!("{} `{}`: {}", finding.what, finding.name, finding.detail))
            .collect();
        let name = format!("interface {}", row.id);
        checks.push(if bad.is_empty() {
            check(&name, Finding::Ok, "programs and credentials are there", "")
        } else {
            let fix = format!("run `daybook interface test {}`", row.id);
            check(&name, Finding::Fail, bad.join("; "), &fix)
        });
    }
    checks
}
