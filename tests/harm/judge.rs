//! The one judge of what is left: the log, the lines, the index, the checkpoint, the promises, and the jobs' own ledger.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use daybook::domain::event::{Envelope, Event, Opened, Outcome};
use daybook::engine::state::{STATE_VERSION, State};
use daybook::ids::{Position, ScheduleRef, StreamId};
use daybook::instant::Instant;
use daybook::projection::{EventFilter, ExecutionFilter, Order, Projections, SlotRange};
use daybook::store::checkpoint::Checkpoints;
use daybook::store::journal::{JournalLog, JournalOptions};
use daybook::store::lines::{LineStore, LinesOptions};
use daybook::store::{EventLog, codec};
use tokio_util::sync::CancellationToken;

use crate::load::{Kept, Promise};

/// What was looked at, for the record.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Judged {
    pub(crate) events: u64,
    pub(crate) promises: usize,
    pub(crate) slots: usize,
    pub(crate) starts: usize,
}

type Found<T = ()> = Result<T, String>;

fn ensure(so: bool, otherwise: impl FnOnce() -> String) -> Found {
    if so { Ok(()) } else { Err(otherwise()) }
}

fn words(err: impl std::fmt::Display) -> String {
    err.to_string()
}

/// Judges the data in `data`, which is a copy and nobody else's, by what was promised and by the jobs' `ledger`.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn judge(data: &Path, ledger: &Path, kept: &[Kept]) -> Found<Judged> {
    let journal = data.join("journal");
    let (log, _) = JournalLog::open(JournalOptions::new(&journal)).map_err(words)?;
    let verified = log.verify_now().map_err(words)?;
    ensure(verified.difference.is_none(), || format!("the chain: {:?}", verified.difference))?;
    let events = log.read(Position(0), usize::MAX).map_err(words)?;
    no_gaps(&events)?;
    promises(&events, kept)?;
    let slots = outcomes(&events)?;
    let starts = ledger_agrees(&events, ledger)?;
    lines_agree(&events, &data.join("lines"))?;
    let judged = Judged { events: events.len() as u64, promises: kept.len(), slots, starts };
    checkpoint_agrees(&events, data)?;
    let log: Arc<dyn EventLog> = Arc::new(log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(words)?.block_on(index_agrees(&events, data, log))?;
    Ok(judged)
}

fn no_gaps(events: &[Envelope]) -> Found {
    let mut versions: HashMap<&StreamId, u64> = HashMap::new();
    for (before, envelope) in events.iter().enumerate() {
        let expected = before as u64 + 1;
        ensure(envelope.position.0 == expected, || {
            format!("position {} stands where {expected} should", envelope.position.0)
        })?;
        let version = versions.entry(&envelope.stream).or_default();
        *version += 1;
        ensure(envelope.version == *version, || {
            format!("{}: version {} follows {}", envelope.stream, envelope.version, *version - 1)
        })?;
    }
    Ok(())
}

/// Everything that was acknowledged is there, and not behind the position that the answer named.
fn promises(events: &[Envelope], kept: &[Kept]) -> Found {
    for one in kept {
        let on_disk = usize::try_from(one.position).map_err(words)?;
        ensure(on_disk <= events.len(), || {
            format!("{one:?} was promised, and the log ends at {}", events.len())
        })?;
        let keeps = |envelope: &Envelope| match (&one.promise, &envelope.event) {
            (Promise::Opened(id), Event::Opened(_))
            | (Promise::Cancelled(id), Event::CancelRequested(_)) => {
                matches!(&envelope.stream, StreamId::Execution(found) if found.to_string() == *id)
            }
            (Promise::Noted(text), Event::Noted(noted)) => noted.text.as_ref() == Some(text),
            (Promise::Paused(note), Event::SchedulePaused(paused)) => {
                paused.note.as_ref() == Some(note)
            }
            (Promise::Resumed, Event::ScheduleResumed(_)) => true,
            _ => false,
        };
        // An execution that was over when somebody asked for its end is refused, which is no promise.
        ensure(events[..on_disk].iter().rev().any(keeps), || format!("{one:?} is not kept"))?;
    }
    Ok(())
}

/// Each slot has one outcome; gives how many there are.
fn outcomes(events: &[Envelope]) -> Found<usize> {
    let mut decided: BTreeSet<(&ScheduleRef, Instant)> = BTreeSet::new();
    for envelope in events {
        let StreamId::Schedule(schedule) = &envelope.stream else { continue };
        let instants = match &envelope.event {
            Event::SlotStarted(started) => vec![started.slot],
            Event::SlotsPassed(passed) => passed.instants.clone(),
            _ => continue,
        };
        for slot in instants {
            ensure(decided.insert((schedule, slot)), || {
                format!("{schedule}: slot {slot} has a second outcome at {}", envelope.position)
            })?;
        }
    }
    Ok(decided.len())
}

/// A line of the jobs' ledger.
struct Start<'a> {
    execution: &'a str,
    attempt: &'a str,
    key: &'a str,
}

/// What the jobs say fits the log; gives how often they began.
fn ledger_agrees(events: &[Envelope], ledger: &Path) -> Found<usize> {
    let starts = fs::read_to_string(ledger.join("starts")).map_err(words)?;
    let effects = fs::read_to_string(ledger.join("effects")).map_err(words)?;
    let effects: Vec<&str> = effects.lines().collect();
    let distinct: BTreeSet<&str> = effects.iter().copied().collect();
    ensure(distinct.len() == effects.len(), || "a key has two effects".to_owned())?;
    let mut opened: HashMap<String, &Opened> = HashMap::new();
    let mut attempts: BTreeSet<(String, String)> = BTreeSet::new();
    let mut keys: BTreeMap<(&ScheduleRef, Instant), &str> = BTreeMap::new();
    for envelope in events {
        let StreamId::Execution(id) = &envelope.stream else { continue };
        match &envelope.event {
            Event::Opened(with) => {
                opened.insert(id.to_string(), with);
                let Some(slot) = with.slot else { continue };
                let key = keys.entry((&with.schedule, slot)).or_insert(&with.idempotency_key);
                ensure(*key == with.idempotency_key, || {
                    format!("{}: slot {slot} has two keys", with.schedule)
                })?;
            }
            Event::AttemptStarted(started) => {
                attempts.insert((id.to_string(), started.attempt.to_string()));
            }
            Event::Closed(closed) if closed.outcome == Outcome::Ok => {
                let Some(with) = opened.get(&id.to_string()) else { continue };
                let has_effect = !matches!(with.schedule.schedule.as_str(), "paused" | "noisy");
                ensure(!has_effect || distinct.contains(with.idempotency_key.as_str()), || {
                    format!("execution {id} ended ok and its key has no effect")
                })?;
            }
            _ => (),
        }
    }
    let mut seen = BTreeSet::new();
    for line in starts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [execution, attempt, _schedule, _slot, key] = fields[..] else {
            return Err(format!("the ledger has the line {line:?}"));
        };
        let start = Start { execution, attempt, key };
        ensure(seen.insert((start.execution, start.attempt)), || {
            format!("attempt {attempt} of execution {execution} ran twice")
        })?;
        let recorded = (start.execution.to_owned(), start.attempt.to_owned());
        ensure(attempts.contains(&recorded), || {
            format!(
                "attempt {attempt} of execution {execution} ran, and its start is not on record"
            )
        })?;
        let known = opened.get(execution).map(|with| with.idempotency_key.as_str());
        ensure(known == Some(start.key), || format!("{execution} ran with the key {key}"))?;
    }
    Ok(seen.len())
}

/// The lines are whole, and each closed execution has those that its end tells of.
fn lines_agree(events: &[Envelope], dir: &Path) -> Found {
    let (lines, recovered) = LineStore::open(dir, LinesOptions::default()).map_err(words)?;
    ensure(recovered.damage.is_empty(), || format!("lines: {:?}", recovered.damage))?;
    let report = lines.verify().map_err(words)?;
    ensure(report.damage.is_empty(), || format!("lines: {:?}", report.damage))?;
    for envelope in events {
        let (StreamId::Execution(id), Event::Closed(closed)) = (&envelope.stream, &envelope.event)
        else {
            continue;
        };
        let summary = lines.summary(*id).map_err(|err| format!("execution {id}: {err}"))?;
        let found = summary.map_or((0, None), |summary| (summary.lines, Some(summary.hash)));
        ensure(found.0 == closed.lines, || {
            format!("execution {id} has {} lines, its end tells of {}", found.0, closed.lines)
        })?;
        ensure(found.1.is_none_or(|hash| hash == closed.log_hash), || {
            format!("execution {id}: the hash over its lines differs")
        })?;
    }
    Ok(())
}

fn folded(state: &mut State, events: &[Envelope]) {
    events.iter().for_each(|envelope| state.replay(envelope));
    state.fresh.clear();
}

/// The checkpoint and what follows it are the same as a fold from zero.
fn checkpoint_agrees(events: &[Envelope], data: &Path) -> Found {
    let (_, found) = Checkpoints::open(data).map_err(words)?;
    let Some(newest) = found.newest.filter(|it| it.state_version == STATE_VERSION) else {
        return Ok(());
    };
    let mut state: State = codec::unpack(&newest.state)?;
    let behind = usize::try_from(newest.position.0).map_err(words)?;
    ensure(behind <= events.len(), || {
        format!("the checkpoint stands at {behind}, the log ends at {}", events.len())
    })?;
    folded(&mut state, &events[behind..]);
    let mut from_zero = State::default();
    folded(&mut from_zero, events);
    ensure(state == from_zero, || {
        format!("the checkpoint at {behind} and what follows differ from a fold from zero")
    })
}

/// The index gives the answers that one folded from zero gives.
async fn index_agrees(events: &[Envelope], data: &Path, log: Arc<dyn EventLog>) -> Found {
    let kept = answers(&data.join("index"), Arc::clone(&log), events).await?;
    let fresh = answers(&data.join("index-from-zero"), log, events).await?;
    for (kept, fresh) in kept.lines().zip(fresh.lines()) {
        ensure(kept == fresh, || {
            format!("the index says\n  {kept}\nand one folded from zero\n  {fresh}")
        })?;
    }
    ensure(kept.lines().count() == fresh.lines().count(), || "the lists differ in length".into())
}

/// All lists as text, a row on a line.
async fn answers(dir: &Path, log: Arc<dyn EventLog>, events: &[Envelope]) -> Found<String> {
    let end = events.len() as u64;
    let projections = Projections::open(dir, log).map_err(words)?;
    let stop = CancellationToken::new();
    let (following, until) = (projections.clone(), stop.clone());
    let follower = tokio::spawn(async move { following.follow(until).await });
    projections.applied().wait_for(|applied| applied.0 >= end).await.map_err(words)?;
    let mut text = String::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = projections.executions(&ExecutionFilter::default(), 1_000, cursor.as_deref());
        let page = page.map_err(words)?;
        page.items.iter().for_each(|row| rows(&mut text, row));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let schedules: BTreeSet<&ScheduleRef> = events
        .iter()
        .filter_map(|envelope| match &envelope.stream {
            StreamId::Schedule(id) => Some(id),
            _ => None,
        })
        .collect();
    for schedule in schedules {
        let page = projections.slots(schedule, SlotRange::default(), (1_000, None), &|_| None);
        page.map_err(words)?.items.iter().for_each(|row| rows(&mut text, row));
    }
    let filter = EventFilter::default();
    let newest = projections.events(&filter, Order::NewestFirst, (1_000, None)).map_err(words)?;
    newest.items.iter().for_each(|row| rows(&mut text, row));
    stop.cancel();
    follower.await.map_err(words)?;
    Ok(text)
}

fn rows(text: &mut String, row: &impl serde::Serialize) {
    let json = serde_json::to_string(row).unwrap_or_else(|err| err.to_string());
    text.push_str(&json);
    text.push('\n');
}
