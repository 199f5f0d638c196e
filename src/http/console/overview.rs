//! `/`: what is red and why, what runs, what comes next.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::ahead::{self, Ahead};
use super::form::Filters;
use super::marks::{Fresh, STRIP, Strip};
use super::shell::{Section, Shell, page};
use super::words;
use crate::domain::class::Class;
use crate::http::access::Caller;
use crate::http::api::status::{self, Open, Red};
use crate::http::parts::App;
use crate::http::problem::Problem;
use crate::http::reads::Reads;
use crate::ids::InterfaceId;
use crate::instant::Instant;
use crate::projection::ExecutionFilter;
use crate::projection::view::{self, Execution, Freshness, State as Living, Status};

/// Tiles with a strip. The others are behind a link: each asks for thirty executions.
const TILES: usize = 60;
/// With more interfaces than that, only those that have a tile anyway are asked whether their data are behind.
const LOOKED_AT: usize = 300;
/// Running executions that are compared with their median.
const RUNNING: usize = 20;
/// An execution that runs longer is told as an anomaly (contract, section 3).
const ODD_MS: u64 = 3_600_000;

/// The colour of a tile. Red stands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Colour {
    Red,
    Yellow,
    Green,
    Grey,
}

impl Colour {
    const fn class(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Yellow => "yellow",
            Self::Green => "green",
            Self::Grey => "grey",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Red => "✖ red",
            Self::Yellow => "◐ look",
            Self::Green => "✔ OK",
            Self::Grey => "○ at rest",
        }
    }
}

/// One interface.
struct Tile {
    interface: view::Interface,
    colour: Colour,
    sentence: String,
    /// What to do, for a red one.
    action: Option<String>,
    /// The execution that made it red.
    culprit: Option<String>,
    /// Red schedules beside the one that the sentence tells of.
    more: usize,
    freshness: Option<Freshness>,
    executions: Vec<Execution>,
}

/// An execution that waits or runs, beside how long it usually takes.
struct Running {
    open: Open,
    elapsed_ms: u64,
    median_ms: Option<u64>,
}

impl Running {
    /// Its share of the median, in percent.
    fn share(&self) -> Option<u64> {
        self.median_ms.filter(|median| *median > 0).map(|median| self.elapsed_ms * 100 / median)
    }

    fn is_odd(&self) -> bool {
        self.elapsed_ms > ODD_MS
    }
}

#[derive(Template)]
#[template(path = "overview.html", config = "src/http/console/askama.toml")]
struct Overview {
    shell: Shell,
    tiles: Vec<Tile>,
    /// Interfaces without a tile.
    others: usize,
    running: Vec<Running>,
    queued: u64,
    next: Vec<Ahead>,
    /// There may be more of them within the same hours.
    more: bool,
    /// Open KOs of the last 24 hours by class.
    classes: Vec<(Class, usize)>,
    problems: Vec<String>,
    schedules: usize,
}

impl Overview {
    fn counts(&self) -> String {
        let of = |colour| self.tiles.iter().filter(|tile| tile.colour == colour).count();
        format!(
            "{} red · {} to look at · {} OK · {} at rest",
            of(Colour::Red),
            of(Colour::Yellow),
            of(Colour::Green),
            of(Colour::Grey) + self.others
        )
    }
}

/// The overview.
///
/// # Errors
/// A parameter is unknown, or the lists cannot be read.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Filters(input): Filters,
    reads: Reads,
) -> Result<Response, Problem> {
    input.finish()?;
    let shell = Shell::of(&app, &caller, Section::Overview, "Overview");
    let mut status = status::gather(&app, ahead::ROWS).await;
    let running = running(&reads, &status, shell.now).await?;
    let (tiles, others) = tiles(&app, &reads, &status, &running).await?;
    let day = Instant::from_millis(shell.now.millis() - 24 * 3_600_000);
    let next = ahead::within_a_day(&app, std::mem::take(&mut status.next), shell.now);
    page(&Overview {
        classes: classes(&reads, day).await?,
        tiles,
        others,
        running,
        queued: status.queued,
        more: next.len() == ahead::ROWS,
        next,
        problems: status.problems,
        schedules: app.engine.board().read(|state| state.schedules.len()),
        shell,
    })
}

/// The interfaces, the worst first, and how many more there are.
async fn tiles(
    app: &App,
    reads: &Reads,
    status: &status::Status,
    running: &[Running],
) -> Result<(Vec<Tile>, usize), Problem> {
    let odd =
        |id: &InterfaceId| running.iter().any(|row| row.is_odd() && row.open.interface == *id);
    let living = status.interfaces.iter().filter(|one| one.state != Living::Removed);
    let mut sorted: Vec<_> = living.map(|one| (colour(one, odd(&one.id)), one, None)).collect();
    sorted.sort_by(|one, other| (one.0, &one.1.id).cmp(&(other.0, &other.1.id)));
    let looked_at = if sorted.len() > LOOKED_AT { TILES } else { sorted.len() };
    let ids: Vec<InterfaceId> = sorted.iter().take(looked_at).map(|row| row.1.id.clone()).collect();
    for (row, freshness) in sorted.iter_mut().zip(app.engine.freshness(&ids, status.now)) {
        let behind = freshness.as_ref().is_some_and(|freshness| freshness.behind);
        *row = (colour(row.1, behind || odd(&row.1.id)), row.1, freshness);
    }
    sorted.sort_by(|one, other| (one.0, &one.1.id).cmp(&(other.0, &other.1.id)));
    let others = sorted.len().saturating_sub(TILES);
    let mut tiles = Vec::new();
    for (colour, interface, freshness) in sorted.into_iter().take(TILES) {
        let filter =
            ExecutionFilter { interface: Some(interface.id.clone()), ..ExecutionFilter::default() };
        let executions = reads.executions(filter, STRIP, None).await?.items;
        let red = app.engine.red_of(&interface.id);
        let told = status.red.iter().find(|red| red.interface == interface.id);
        tiles.push(Tile {
            sentence: sentence(interface, colour, odd(&interface.id), told),
            action: told.and_then(|red| red.first_error.as_ref()).map(|error| error.action.clone()),
            culprit: told
                .map(|red| red.execution)
                .or_else(|| red.first().map(|(_, execution)| *execution))
                .map(|execution| execution.to_string()),
            more: red.len().saturating_sub(1),
            colour,
            freshness,
            interface: interface.clone(),
            executions,
        });
    }
    Ok((tiles, others))
}

fn colour(interface: &view::Interface, look: bool) -> Colour {
    if interface.red {
        Colour::Red
    } else if look {
        Colour::Yellow
    } else if interface.state != Living::Active || interface.last_ok_at.is_none() {
        Colour::Grey
    } else {
        Colour::Green
    }
}

/// What an operator would say of the interface.
fn sentence(interface: &view::Interface, colour: Colour, odd: bool, red: Option<&Red>) -> String {
    match (colour, red) {
        (Colour::Red, Some(Red { schedule, first_error: Some(error), .. })) => {
            format!("{schedule} failed: {}", error.text)
        }
        (Colour::Red, Some(Red { schedule, .. })) => format!("{schedule} failed"),
        (Colour::Red, None) => "a schedule failed".to_owned(),
        (Colour::Yellow, _) if odd => "an execution runs for more than an hour".to_owned(),
        (Colour::Yellow, _) => "new data are overdue".to_owned(),
        (Colour::Green, _) => "all schedules ended well".to_owned(),
        (Colour::Grey, _) => match (interface.state, &interface.paused) {
            (Living::Paused, Some(view::Paused { note: Some(note), .. })) => {
                format!("paused: {note}")
            }
            (Living::Paused, _) => "paused".to_owned(),
            (Living::Disabled, _) => "switched off in its file".to_owned(),
            (Living::Removed, _) => "no longer among the files".to_owned(),
            (Living::Active, _) => "nothing has ended well yet".to_owned(),
        },
    }
}

/// What waits or runs, the longest first.
async fn running(
    reads: &Reads,
    status: &status::Status,
    now: Instant,
) -> Result<Vec<Running>, Problem> {
    let mut rows = Vec::new();
    let open = status.open.iter().filter(|open| open.status == Status::Running);
    for open in open.take(RUNNING) {
        let filter = ExecutionFilter {
            interface: Some(open.interface.clone()),
            schedule: Some(open.schedule.clone()),
            status: vec![Status::Ok],
            ..ExecutionFilter::default()
        };
        let ended = reads.executions(filter, STRIP, None).await?.items;
        rows.push(Running {
            elapsed_ms: now.millis().saturating_sub(open.since.millis()).unsigned_abs(),
            median_ms: median(ended.iter().filter_map(|row| row.duration_ms).collect()),
            open: open.clone(),
        });
    }
    Ok(rows)
}

fn median(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// Open KOs since `from` by class, the most frequent first.
async fn classes(reads: &Reads, from: Instant) -> Result<Vec<(Class, usize)>, Problem> {
    let filter = ExecutionFilter {
        status: vec![Status::Ko],
        from: Some(from),
        ..ExecutionFilter::default()
    };
    let ended = reads.executions(filter, crate::http::input::LIMIT_MAX, None).await?.items;
    let open = |row: &&Execution| row.solved_by.is_none() && row.acknowledged.is_none();
    let mut counts: Vec<(Class, usize)> = Vec::new();
    for class in ended.iter().filter(open).filter_map(|row| row.class) {
        match counts.iter_mut().find(|(known, _)| *known == class) {
            Some((_, count)) => *count += 1,
            None => counts.push((class, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    Ok(counts)
}
