//! What a command gets: program, arguments, folder and exactly the declared environment (contract, section 3).

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;

use super::attempt::AttemptContext;
use super::credentials::{Secret, Value};
use super::procfs::MARKER;
use super::runner::{AttemptKey, Before, KILLED_STATUS, Start};
use crate::civil::Zone;
use crate::domain::cause::Cause;
use crate::domain::definition::Schedule;
use crate::domain::template::{self, Name, Values};
use crate::domain::verdict::End;
use crate::instant::Instant;

/// `PATH` when the daemon has none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What runs: a program with arguments, or a text for the shell.
#[derive(Clone, Copy, Debug)]
pub(super) enum Program<'a> {
    /// With templates; no shell is between.
    Arguments(&'a [String]),
    /// `/bin/sh -c`; without templates.
    Shell(&'a str),
}

/// An attempt that cannot start because of `why`, which an operator can mend.
pub(super) fn local(why: impl Into<String>) -> End {
    End::NotStarted { cause: Cause::CfgLocal, why: why.into() }
}

/// Prepares the attempt's command, before which the log held `before`. `learn` is told every secret before anything that
/// holds one can be shown.
///
/// # Errors
/// [`End::NotStarted`] with what is missing or unusable.
pub(super) fn prepare(
    context: &AttemptContext,
    schedule: &Schedule,
    program: Program<'_>,
    before: Before,
    learn: &mut dyn FnMut(&[Secret]),
) -> Result<Start, End> {
    let values = values(context, schedule)?;
    let folder = folder(context, schedule)?;
    let mut secrets = Vec::new();
    let mut learn = |found: &[Secret]| {
        secrets.extend(found.iter().map(|secret| secret.expose().to_owned()));
        learn(found);
    };
    let environment = environment(context, schedule, &values, &mut learn)?;
    let search = environment.get("PATH").map_or(PATH, String::as_str);
    let (path, arguments) = match program {
        Program::Arguments(arguments) => {
            let mut filled = Vec::with_capacity(arguments.len());
            for argument in arguments {
                filled.push(render(argument, &values, "command")?);
            }
            let mut filled = filled.into_iter();
            let name = filled.next().filter(|name| !name.is_empty());
            let name = name.ok_or_else(|| local("`command` names no program"))?;
            (find(&name, &folder, search)?, filled.collect())
        }
        Program::Shell(text) => (PathBuf::from("/bin/sh"), vec!["-c".to_owned(), text.to_owned()]),
    };
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Ok(Start {
        of: AttemptKey { execution: context.execution, attempt: context.attempt },
        program: absolute(path).into_os_string(),
        arguments,
        environment,
        folder: absolute(folder).into_os_string(),
        secrets,
        timeout_ms: schedule.timeout_ms,
        grace_ms: millis(context.settings.grace),
        max_log_bytes: schedule.max_log_bytes,
        accepts_killed: context.accepts(KILLED_STATUS),
        before,
    })
}

/// The runner is at home elsewhere.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// Why the kernel did not start the program at `path`.
pub(super) fn not_started(path: &str, err: &io::Error) -> End {
    let why = match err.kind() {
        io::ErrorKind::NotFound => {
            format!("`{path}` cannot start: the interpreter in its first line does not exist")
        }
        io::ErrorKind::PermissionDenied => {
            format!("`{path}` may not be executed by this user: {err}")
        }
        io::ErrorKind::InvalidInput => {
            format!("`{path}` cannot start: an argument or variable holds a zero byte")
        }
        io::ErrorKind::ArgumentListTooLong => {
            format!("`{path}` cannot start: arguments and variables are too long: {err}")
        }
        _ if Errno::from_io_error(err) == Some(Errno::NOEXEC) => format!(
            "`{path}` is neither a program of this machine nor a script: begin it with `#!` and its interpreter"
        ),
        _ => {
            let cause = match Errno::from_io_error(err) {
                Some(Errno::NOMEM) => Cause::TecOom,
                Some(Errno::AGAIN | Errno::MFILE | Errno::NFILE) => Cause::TecResource,
                _ => Cause::TecUnclassified,
            };
            return End::NotStarted { cause, why: format!("`{path}` cannot start: {err}") };
        }
    };
    local(why)
}

/// The values of this attempt's templates.
///
/// # Errors
/// The schedule's zone is unknown on this machine, or a parameter's default cannot be filled in.
pub(super) fn values(context: &AttemptContext, schedule: &Schedule) -> Result<Values, End> {
    let opened = &context.opened;
    let shown = |at: Option<Instant>| at.map(|at| at.to_string()).unwrap_or_default();
    let zone = Zone::load(&schedule.timezone)
        .map_err(|err| local(format!("time zone `{}`: {err}", schedule.timezone)))?;
    let mut values = Values::new();
    values.set(Name::SlotAt, shown(opened.slot));
    values
        .set(Name::SlotDate, zone.local_date(opened.slot.unwrap_or_else(|| opened.root.instant())));
    values.set(Name::SlotPrevious, shown(opened.previous_slot));
    values.set(Name::SlotLastOk, shown(opened.last_ok_slot));
    values.set(Name::ExecutionId, context.execution.to_string());
    values.set(Name::ExecutionRoot, opened.root.to_string());
    values.set(Name::ExecutionInterface, context.interface.id.as_str());
    values.set(Name::ExecutionSchedule, context.schedule.as_str());
    values.set(Name::ExecutionTrigger, opened.trigger.as_str());
    values.set(Name::ExecutionAttempt, context.attempt.to_string());
    values.set(Name::ExecutionIdempotencyKey, opened.idempotency_key.as_str());
    for (name, param) in &schedule.params {
        let value = match (opened.params.get(name), &param.default) {
            (Some(given), _) => given.clone(),
            (None, Some(default)) => render(default, &values, "params")?,
            (None, None) => continue,
        };
        values.set(Name::Param(name.clone()), value);
    }
    Ok(values)
}

/// Fills `text` in; `place` is the key that it stands in.
pub(super) fn render(text: &str, values: &Values, place: &str) -> Result<String, End> {
    template::render(text, values)
        .map(std::borrow::Cow::into_owned)
        .map_err(|err| local(format!("`{place}`: {err}")))
}

fn folder(context: &AttemptContext, schedule: &Schedule) -> Result<PathBuf, End> {
    let folder = context.settings.root.join(&schedule.cwd);
    match std::fs::metadata(&folder) {
        Ok(meta) if meta.is_dir() => Ok(folder),
        Ok(_) => Err(local(format!("`cwd`: `{}` is no folder", folder.display()))),
        Err(err) => Err(local(format!("`cwd`: `{}`: {err}", folder.display()))),
    }
}

fn environment(
    context: &AttemptContext,
    schedule: &Schedule,
    values: &Values,
    learn: &mut dyn FnMut(&[Secret]),
) -> Result<BTreeMap<String, String>, End> {
    let credentials = &context.settings.credentials;
    let mut variables = BTreeMap::new();
    for (name, or_else) in [("PATH", PATH), ("HOME", "/"), ("LANG", "C.UTF-8")] {
        let value = credentials.environment.get(name).map_or(or_else, String::as_str);
        variables.insert(name.to_owned(), value.to_owned());
    }
    variables.insert("TZ".to_owned(), schedule.timezone.clone());
    for (name, value) in &context.interface.env {
        let value = match credentials
            .resolve(value)
            .map_err(|err| local(format!("`env.{name}`: {err}")))?
        {
            Value::Text(text) => render(&text, values, &format!("env.{name}"))?,
            Value::Secret(secret) => {
                learn(std::slice::from_ref(&secret));
                secret.expose().to_owned()
            }
        };
        variables.insert(name.clone(), value);
    }
    // Last, so that `[env]` cannot hide whose process it is.
    let of = |name: &Name| values.get(name).unwrap_or_default().to_owned();
    for (variable, name) in [
        (MARKER, Name::ExecutionId),
        ("DAYBOOK_INTERFACE", Name::ExecutionInterface),
        ("DAYBOOK_SCHEDULE", Name::ExecutionSchedule),
        ("DAYBOOK_SLOT", Name::SlotAt),
        ("DAYBOOK_PREVIOUS_SLOT", Name::SlotPrevious),
        ("DAYBOOK_LAST_OK_SLOT", Name::SlotLastOk),
        ("DAYBOOK_ATTEMPT", Name::ExecutionAttempt),
        ("DAYBOOK_TRIGGER", Name::ExecutionTrigger),
        ("DAYBOOK_IDEMPOTENCY_KEY", Name::ExecutionIdempotencyKey),
    ] {
        variables.insert(variable.to_owned(), of(&name));
    }
    for name in schedule.params.keys() {
        if let Some(value) = values.get(&Name::Param(name.clone())) {
            let variable = format!("DAYBOOK_PARAM_{}", name.to_ascii_uppercase().replace('-', "_"));
            variables.insert(variable, value.to_owned());
        }
    }
    Ok(variables)
}

/// The program's path. Looked up here, in the command's own `PATH`, so that what is missing can be named.
fn find(name: &str, folder: &Path, search: &str) -> Result<PathBuf, End> {
    if name.contains('/') {
        let path = folder.join(name);
        return match usable(&path) {
            Usable::Yes => Ok(path),
            Usable::Missing => Err(local(format!("program `{}` does not exist", path.display()))),
            Usable::NotExecutable => Err(local(format!(
                "program `{}` is not executable; run `chmod +x` on it",
                path.display()
            ))),
        };
    }
    let places = search.split(':').filter(|place| !place.is_empty());
    let found =
        places.map(|place| folder.join(place).join(name)).find(|path| usable(path) == Usable::Yes);
    found.ok_or_else(|| {
        let hint = match usable(&folder.join(name)) {
            Usable::Missing => String::new(),
            Usable::Yes | Usable::NotExecutable => format!("; did you mean `./{name}`?"),
        };
        local(format!("program `{name}` is in none of the folders of PATH ({search}){hint}"))
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Usable {
    Yes,
    Missing,
    NotExecutable,
}

fn usable(path: &Path) -> Usable {
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => Usable::Yes,
        Ok(_) => Usable::NotExecutable,
        Err(_) => Usable::Missing,
    }
}
