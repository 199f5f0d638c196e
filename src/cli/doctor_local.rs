//! What `daybook doctor` can tell without the daemon: why it may not be there, and whether it could start.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::context::Context;
use super::endpoint::data_folder;
use super::exit::Exit;
use super::failure::Failure;
use super::offline::JOURNAL;
use crate::config::{self, Flags, Settings};
use crate::http::api::doctor::{
    Check, Doctor, Finding, check, file_limit, free_space, private, zone_data,
};

/// Whether the daemon that did not answer would be one on this machine.
pub fn may_help(absent: &Failure, context: &Context<'_>) -> bool {
    matches!(absent.exit(), Exit::Unreachable | Exit::Configuration) && !context.remote
}

/// Looks at the settings, the files, the data folder, the disk and the zone data.
pub fn examine(absent: &Failure, context: &Context<'_>) -> Doctor {
    let fix = "start it with `daybook serve`, or look at its log";
    let mut checks = vec![check("daemon", Finding::Fail, absent.in_full(), fix)];
    let mut flags = Flags::new();
    if let Some(data) = &context.data {
        flags.insert("data", data.display().to_string());
    }
    let settings = match Settings::load(&flags, &context.environment) {
        Ok(settings) => {
            checks.push(check("settings", Finding::Ok, "the settings are accepted", ""));
            Some(settings)
        }
        Err(problems) => {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            let detail = format!("{} problem(s); the first: {first}", problems.len());
            checks.push(check("settings", Finding::Fail, detail, "mend `daybook.toml`"));
            None
        }
    };
    if let Some(settings) = &settings {
        checks.push(files(&settings.schedules.value, context));
    }
    let folder = data_folder(context.data.as_deref(), &context.environment, settings.as_ref());
    if let Some(data) = folder {
        checks.extend(data_checks(&data));
    }
    checks.extend([zone_data(), file_limit()]);
    Doctor { ok: false, checks }
}

fn files(folder: &Path, context: &Context<'_>) -> Check {
    let loaded = config::load_folder(folder, &context.environment, context.checks);
    let mut errors = loaded.problems.iter().filter(|problem| problem.is_error());
    match errors.next() {
        None => {
            let count = loaded.accepted.len();
            let detail = format!("{count} file(s) of `{}` are accepted", folder.display());
            check("files", Finding::Ok, detail, "")
        }
        Some(first) => {
            let detail = format!("{} problem(s); the first: {first}", 1 + errors.count());
            check("files", Finding::Fail, detail, "run `daybook check`, and mend the files")
        }
    }
}

fn data_checks(data: &Path) -> Vec<Check> {
    if !data.is_dir() {
        let detail = format!("`{}` is not a folder, or not open to this user", data.display());
        let fix = "name it with `--data DIR`; `daybook serve` makes it";
        return vec![check("data", Finding::Fail, detail, fix)];
    }
    let mut checks = vec![private(data), lock(data), free_space(data)];
    let credentials = data.join("credentials");
    checks.push(if credentials.exists() {
        private(&credentials)
    } else {
        let detail = format!("there is no `{}`: nothing is read from it", credentials.display());
        check("credentials", Finding::Ok, detail, "")
    });
    checks
}

/// Whether a process works on the data: then a daemon is there and does not answer.
fn lock(data: &Path) -> Check {
    let path = data.join(JOURNAL).join("lock");
    let free = || check("lock", Finding::Ok, "no process works on the data", "");
    let failed = |why: String| check("lock", Finding::Fail, why, "run this as the daemon's user");
    match File::open(&path) {
        Ok(file) => match file.try_lock() {
            Ok(()) => free(),
            Err(TryLockError::WouldBlock) => {
                let detail = "a process works on the data, and does not answer";
                check(
                    "lock",
                    Finding::Warn,
                    detail,
                    "it may be starting or stopping; look at its log",
                )
            }
            Err(TryLockError::Error(err)) => failed(format!("`{}`: {err}", path.display())),
        },
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => free(),
        Err(err) => failed(format!("`{}`: {err}", path.display())),
    }
}
