//! Reads the folder of interfaces' files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::calendar;
use super::checks::{Checker, Checks};
use super::environment::Environment;
use super::followed;
use super::interface;
use super::overrides::{self, Variables};
use super::problem::{Problem, Severity};
use super::report::{Report, error};
use crate::domain::definition::Interface;
use crate::ids::{InterfaceId, ScheduleId, ScheduleRef};

/// One accepted file.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedFile {
    /// The file's stem.
    pub id: InterfaceId,
    /// Its definition, with overrides from the environment.
    pub interface: Interface,
    /// What somebody should look at.
    pub warnings: Vec<Problem>,
}

/// What a folder holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// The files without an error.
    pub accepted: BTreeMap<InterfaceId, LoadedFile>,
    /// Everything that is wrong: errors of refused files, warnings of all.
    pub problems: Vec<Problem>,
    /// The stems of the files with an error: these interfaces keep their last accepted version.
    pub refused: BTreeSet<String>,
    /// Whether the folder itself could not be read: then nothing is known, and nothing counts as removed.
    pub unreadable: bool,
}

impl Loaded {
    /// Whether any file, variable or the folder is refused.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(Problem::is_error)
    }
}

/// One file's state while the folder is read.
pub(super) struct Candidate {
    stem: String,
    pub(super) id: Option<InterfaceId>,
    pub(super) interface: Option<Interface>,
    schedules: BTreeSet<ScheduleId>,
    pub(super) problems: Vec<Problem>,
    pub(super) places: Vec<Problem>,
}

impl Candidate {
    /// The full names of the schedules that stand in it, refused ones included.
    pub(super) fn names(&self) -> impl Iterator<Item = String> + '_ {
        let id = self.id.iter();
        id.flat_map(|id| self.schedules.iter().map(move |schedule| format!("{id}/{schedule}")))
    }
}

/// Reads all `*.toml` files of a folder, hidden ones apart, its calendars, and the environment's overrides; reports all
/// problems at once.
pub fn load_folder(dir: &Path, env: &Environment, checks: Checks) -> Loaded {
    let stems = match stems(dir) {
        Ok(stems) => stems,
        Err(err) => {
            let problem = Problem::without_place(
                Severity::Error,
                dir.display().to_string(),
                format!("the schedules folder cannot be read: {err}"),
            )
            .with_hint("make the folder, or name another one with --schedules");
            return Loaded { problems: vec![problem], unreadable: true, ..Loaded::default() };
        }
    };
    let mut calendars = calendar::load(dir);
    let problems = std::mem::take(&mut calendars.problems);
    let checker = Checker::new(checks).with(calendars);
    let mut files: Vec<Candidate> =
        stems.into_iter().map(|stem| candidate(dir, stem, &checker)).collect();
    let extra = override_timings(&mut files, env, &checker);
    followed::check(&mut files);
    let mut loaded = Loaded { problems, ..Loaded::default() };
    for file in files {
        let refused = file.problems.iter().any(Problem::is_error);
        for problem in &file.problems {
            // What is wrong with a variable of two files is carried by both, and told once.
            if problem.line.is_some() || !loaded.problems.contains(problem) {
                loaded.problems.push(problem.clone());
            }
        }
        match (file.id, file.interface) {
            (Some(id), Some(interface)) if !refused => {
                let file = LoadedFile { id: id.clone(), interface, warnings: file.problems };
                loaded.accepted.insert(id, file);
            }
            _ => {
                loaded.refused.insert(file.stem);
            }
        }
    }
    loaded.problems.extend(extra);
    loaded
}

/// Reads one interface from a text, without a folder and without overrides; the calendars that it names are not looked for.
pub fn load_text(
    id: &InterfaceId,
    file: &str,
    text: &str,
    checks: Checks,
) -> (Option<Interface>, Vec<Problem>) {
    let read = interface::read(id, file, text, &Checker::new(checks));
    (read.interface, read.problems)
}

/// The stems of a folder's TOML files, in order.
pub(super) fn stems(dir: &Path) -> std::io::Result<BTreeSet<String>> {
    let mut stems = BTreeSet::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if let Some(stem) = name.strip_suffix(".toml")
            && !name.starts_with(['.', '#'])
            && !dir.join(name.as_ref()).is_dir()
        {
            stems.insert(stem.to_owned());
        }
    }
    Ok(stems)
}

fn candidate(dir: &Path, stem: String, checker: &Checker) -> Candidate {
    let path = dir.join(format!("{stem}.toml"));
    let file = path.display().to_string();
    let refuse = |stem, problems| Candidate {
        stem,
        id: None,
        interface: None,
        schedules: BTreeSet::new(),
        problems,
        places: Vec::new(),
    };
    let plain = |message: String, hint: &str| {
        vec![Problem::without_place(Severity::Error, file.clone(), message).with_hint(hint)]
    };
    let id = match InterfaceId::new(&stem) {
        Ok(id) => id,
        Err(err) => {
            let hint = "the file's name is the interface's id: rename the file";
            return refuse(stem, plain(err.to_string(), hint));
        }
    };
    match text_of(&path, &file) {
        Ok(text) => {
            let read = interface::read(&id, &file, &text, checker);
            Candidate {
                stem,
                id: Some(id),
                interface: read.interface,
                schedules: read.schedules,
                problems: read.problems,
                places: read.places,
            }
        }
        Err(problems) => refuse(stem, problems),
    }
}

/// The text of a file that is shown as `file`; or why there is none.
pub(super) fn text_of(path: &Path, file: &str) -> Result<String, Vec<Problem>> {
    let bytes = fs::read(path).map_err(|err| {
        let problem =
            Problem::without_place(Severity::Error, file, format!("cannot be read: {err}"));
        vec![problem.with_hint("the daemon's user must be able to read it")]
    })?;
    String::from_utf8(bytes).map_err(|err| {
        let at = err.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(err.as_bytes()).into_owned();
        let report = Report::new(&text);
        report.add(error(at..at, "", "not UTF-8").hint("save the file as UTF-8"));
        report.finish(file)
    })
}

/// Applies the environment's overrides to the files; gives the problems that belong to none of them.
fn override_timings(files: &mut [Candidate], env: &Environment, checker: &Checker) -> Vec<Problem> {
    let names = files.iter().filter_map(|file| Some((file.id.clone()?, &file.schedules)));
    let names = names.flat_map(|(interface, schedules)| {
        schedules.iter().map(move |schedule| ScheduleRef {
            interface: interface.clone(),
            schedule: schedule.clone(),
        })
    });
    let variables = Variables::new(names);
    for (problem, owners) in variables.ambiguous() {
        // Each of the files carries it, so that each is refused.
        let mut owners: Vec<&InterfaceId> = owners.iter().map(|owner| &owner.interface).collect();
        owners.dedup();
        for file in
            files.iter_mut().filter(|file| file.id.as_ref().is_some_and(|id| owners.contains(&id)))
        {
            file.problems.push(problem.clone());
        }
    }
    for file in files.iter_mut() {
        let (Some(id), Some(interface)) = (&file.id, &mut file.interface) else { continue };
        for (schedule_id, schedule) in &mut interface.schedules {
            let name = ScheduleRef { interface: id.clone(), schedule: schedule_id.clone() };
            file.problems.extend(overrides::apply(&name, schedule, env, checker));
        }
    }
    variables.unmatched(env)
}
