//! The figures that need the whole daemon: the real binary on a scratch folder, asked over its Unix socket.
//!
//! `cargo bench --bench daemon [-- [FOLDER] [NAME…]]`, with the names `executions`, `capture`, `due`, `idle`, `start`,
//! `rebuild`, `ko`, `retention`, `export`, `trees`, `queued`, `noisy`, `followers`, `stalled` and `soak` (an hour); all of them when
//! none is named. FOLDER (else the system's folder for temporary files) decides whose disk is measured. Each row is what it is, ours, the limit that was measured in the same run, the ratio of both,
//! and what is wanted. The two sides take turns, medians of five rounds. What failed leaves its folder, with the daemon's
//! log in it.
//!
//! As the daemon's unit does it, as many files as are allowed may be open, up to 65,536.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

mod binary;
mod capture;
mod client;
mod day;
mod due;
mod executions;
mod export;
mod figure;
mod files;
mod group;
#[path = "../common/history.rs"]
mod history;
mod idle;
mod ko;
mod load;
#[path = "../common/output.rs"]
mod output;
mod past;
mod rebuild;
mod retention;
mod soak;
mod spawning;
mod stamp;
mod start;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How often each side of a ratio is measured.
const ROUNDS: usize = 5;
/// `LimitNOFILE` of the unit.
const FILES_MAX: u64 = 65_536;

type Failure = Box<dyn Error + Send + Sync>;
type Outcome<T> = Result<T, Failure>;

/// Where a figure is measured.
struct Place {
    /// A folder of its own.
    own: PathBuf,
    /// What the figures share.
    shared: PathBuf,
}

/// A figure's name, and who measures it.
type Figure = (&'static str, fn(&Place) -> Outcome<()>);

/// In the order of the table of figures.
const FIGURES: [Figure; 15] = [
    ("executions", executions::measure),
    ("capture", capture::measure),
    ("due", due::measure),
    ("idle", idle::measure),
    ("start", start::measure),
    ("rebuild", rebuild::measure),
    ("ko", ko::measure),
    ("retention", retention::measure),
    ("export", export::measure),
    ("trees", executions::trees),
    ("queued", load::queued),
    ("noisy", load::noisy),
    ("followers", load::followers),
    ("stalled", load::stalled),
    ("soak", soak::measure),
];

fn main() -> Outcome<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, file] = arguments.as_slice()
        && mode == stamp::MODE
    {
        stamp::stamp(Path::new(file))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (folder, figures) = wanted(&arguments)?;
    allow_files()?;
    let root = folder.join(format!("daybook-bench-{}", std::process::id()));
    let mut failed = false;
    for (name, measure) in figures {
        let place = Place { own: root.join(name), shared: root.join("shared") };
        fs::create_dir_all(&place.own)?;
        fs::create_dir_all(&place.shared)?;
        match measure(&place) {
            Ok(()) => fs::remove_dir_all(&place.own)?,
            Err(err) => {
                failed = true;
                println!("{name} failed: {err}; see {}", place.own.display());
            }
        }
    }
    fs::remove_dir_all(root.join("shared"))?;
    if failed {
        return Ok(ExitCode::FAILURE);
    }
    fs::remove_dir(&root)?;
    Ok(ExitCode::SUCCESS)
}

/// The folder and the figures that the command line names.
fn wanted(arguments: &[String]) -> Outcome<(PathBuf, Vec<Figure>)> {
    let mut folder = std::env::temp_dir();
    let mut named = Vec::new();
    for argument in arguments.iter().filter(|argument| !argument.starts_with('-')) {
        match FIGURES.iter().find(|(name, _)| name == argument) {
            Some(figure) => named.push(*figure),
            None if Path::new(argument).is_dir() => folder = fs::canonicalize(argument)?,
            None => {
                let names = FIGURES.map(|(name, _)| name).join(", ");
                return Err(format!("`{argument}` is neither a folder nor one of {names}").into());
            }
        }
    }
    Ok((folder, if named.is_empty() { FIGURES.to_vec() } else { named }))
}

fn allow_files() -> Outcome<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = maximum.map_or(FILES_MAX, |maximum| maximum.min(FILES_MAX));
    setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum })?;
    Ok(())
}
