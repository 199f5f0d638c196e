//! The folds: what one event changes in the rows. They read nothing but rows, and the same events give the same rows.

use super::chain::{self, Member};
use super::execution_row::{self, ExecutionRow};
use super::keys::{self, List};
use super::ok_slots::{self, OkSlot};
use super::rows::{Overlay, RowError, Rows};
use super::view::{Anomaly, Note, Remark, Status};
use super::{bytes, forget, ledger, postings, schedule_row};
use crate::domain::event::{
    Actor, Closed, Envelope, Event, HistoryPruned, Noted, Opened, Outcome, PruneStep, Trigger,
};
use crate::ids::{ExecutionId, Position, StreamId};

/// Counts the rows' form. Another number in the index means another form: it is folded again.
pub(super) const SCHEMA: u32 = 5;

/// How far the rows reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// The last event folded.
    pub(super) position: Position,
    /// Its hash, by which the log is recognised.
    pub(super) hash: [u8; 32],
    /// Events of executions that nobody opened. Always 0 in a sound log (S3-3).
    pub(super) orphans: u64,
}

impl Checkpoint {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut to = bytes::Writer::with_capacity(48);
        to.number(u64::from(SCHEMA));
        to.number(self.position.0);
        to.raw(&self.hash);
        to.number(self.orphans);
        to.finish()
    }

    /// Reads a checkpoint; none when it was written for another form of rows.
    pub(super) fn decode(value: &[u8]) -> Result<Option<Self>, RowError> {
        let from = &mut bytes::Reader::new(value, "the checkpoint");
        if from.number()? != u64::from(SCHEMA) {
            return Ok(None);
        }
        let position = Position(from.number()?);
        Ok(Some(Self { position, hash: from.array()?, orphans: from.number()? }))
    }
}

/// Shows an actor as people see it: `daybook`, `local:<uid>`, `token:<name>` or `session:<id>`.
pub fn actor_text(actor: &Actor) -> String {
    match actor {
        Actor::Daybook => "daybook".to_owned(),
        Actor::Local(uid) => format!("local:{uid}"),
        Actor::Token(name) => format!("token:{name}"),
        Actor::Session(id) => format!("session:{id}"),
    }
}

/// Folds one event. Events come in the order of their positions, each once.
pub(super) fn apply<R: Rows>(
    rows: &mut Overlay<R>,
    checkpoint: &mut Checkpoint,
    envelope: &Envelope,
) -> Result<(), RowError> {
    let kind = List::EventKind(envelope.event.code()).prefix();
    postings::insert(rows, &kind, envelope.position.0)?;
    if envelope.actor != Actor::Daybook {
        let actor = actor_text(&envelope.actor);
        for list in [List::Actor(&actor), List::People] {
            postings::insert(rows, &list.prefix(), envelope.position.0)?;
        }
    }
    match &envelope.stream {
        StreamId::Execution(id) => {
            if !execution(rows, *id, envelope)? {
                checkpoint.orphans += 1;
                other_stream(rows, envelope)?;
            }
        }
        StreamId::Schedule(schedule) => {
            stream_event(rows, envelope)?;
            let mut row = schedule_row::load(rows, schedule)?;
            row.version = envelope.version;
            schedule_row::store(rows, schedule, &row);
            match &envelope.event {
                Event::SlotStarted(event) => {
                    ledger::started(rows, schedule, envelope.position, event)?;
                }
                Event::SlotsPassed(event) => {
                    ledger::passed(rows, schedule, envelope.position, event)?;
                }
                Event::SlotAwaited(event) => {
                    ledger::awaited(rows, schedule, envelope.position, event)?;
                }
                other => changes_nothing_more(other),
            }
        }
        StreamId::Daemon | StreamId::Interface(_) => {
            other_stream(rows, envelope)?;
            if let Event::HistoryPruned(HistoryPruned { step: PruneStep::Forgotten(all), .. }) =
                &envelope.event
            {
                forget::apply(rows, checkpoint, (envelope.position, envelope.at), all)?;
            }
        }
    }
    checkpoint.position = envelope.position;
    checkpoint.hash = envelope.hash;
    Ok(())
}

/// For events that no row tells of; written out, so that a new one has to be thought of.
const fn changes_nothing_more(event: &Event) {
    match event {
        Event::SlotStarted(_)
        | Event::SlotsPassed(_)
        | Event::DaemonStarted(_)
        | Event::DaemonStopped(_)
        | Event::DrainAsked(_)
        | Event::ClockStepped(_)
        | Event::TokenCreated(_)
        | Event::TokenRevoked(_)
        | Event::LoginLinkCreated(_)
        | Event::RequestAnswered(_)
        | Event::FilesRefused(_)
        | Event::DiskLow(_)
        | Event::DiskRecovered(_)
        | Event::ZonesRead(_)
        | Event::HistoryPruned(_)
        | Event::BackupMade(_)
        | Event::InterfaceDefined(_)
        | Event::InterfaceRemoved(_)
        | Event::InterfacePaused(_)
        | Event::InterfaceResumed(_)
        | Event::ScheduleAnchored(_)
        | Event::SchedulePaused(_)
        | Event::ScheduleResumed(_)
        | Event::ScheduleRemoved(_)
        | Event::SlotAwaited(_)
        | Event::SkipNextAsked(_)
        | Event::SkipNextUndone(_)
        | Event::BackfillAsked(_)
        | Event::Opened(_)
        | Event::AttemptStarted(_)
        | Event::AttemptEnded(_)
        | Event::RetryPlanned(_)
        | Event::ErrorSeen(_)
        | Event::AnomalySeen(_)
        | Event::CancelRequested(_)
        | Event::LogLimited(_)
        | Event::LogCurtailed(_)
        | Event::Closed(_)
        | Event::Noted(_)
        | Event::DeliveryEnded(_) => (),
    }
}

fn stream_event<R: Rows>(rows: &mut Overlay<R>, envelope: &Envelope) -> Result<(), RowError> {
    postings::insert(rows, &List::Stream(&envelope.stream).prefix(), envelope.position.0)
}

/// A stream whose version stands in no other row.
fn other_stream<R: Rows>(rows: &mut Overlay<R>, envelope: &Envelope) -> Result<(), RowError> {
    stream_event(rows, envelope)?;
    let mut to = bytes::Writer::with_capacity(4);
    to.number(envelope.version);
    rows.put(keys::version(&envelope.stream), to.finish());
    Ok(())
}

/// Folds an event of an execution; false when nobody opened it.
fn execution<R: Rows>(
    rows: &mut Overlay<R>,
    id: ExecutionId,
    envelope: &Envelope,
) -> Result<bool, RowError> {
    let known = execution_row::find(rows, id)?;
    let mut row = match (known, &envelope.event) {
        (None, Event::Opened(event)) => opened(rows, id, envelope, event)?,
        (None, _) => return Ok(false),
        (Some(row), _) => row,
    };
    row.version = envelope.version;
    row.events.push(envelope.position.0);
    match &envelope.event {
        Event::AttemptStarted(event) => {
            row.attempts = row.attempts.max(event.attempt);
            row.started_at = row.started_at.or(Some(envelope.at));
            if !row.status.is_final() {
                move_to(rows, &mut row, Status::Running)?;
            }
        }
        Event::AttemptEnded(event) => row.exit_code = event.exit_code,
        Event::ErrorSeen(event) => row.first_error = Some(event.error.clone()),
        Event::AnomalySeen(event) => {
            row.anomaly = Some(Anomaly { at: envelope.at, after_ms: event.after_ms });
        }
        Event::Closed(event) => closed(rows, &mut row, envelope, event)?,
        Event::Noted(event) => noted(rows, &mut row, envelope, event)?,
        Event::CancelRequested(event) => {
            row.cancel_requested = Some(remark(envelope, event.note.as_ref()));
        }
        other => changes_nothing_more(other),
    }
    execution_row::store(rows, &row)?;
    Ok(true)
}

fn opened<R: Rows>(
    rows: &mut Overlay<R>,
    id: ExecutionId,
    envelope: &Envelope,
    event: &Opened,
) -> Result<ExecutionRow, RowError> {
    let position = envelope.position;
    let mut at = bytes::Writer::with_capacity(5);
    at.number(position.0);
    rows.put(keys::id(id), at.finish());
    for list in [
        List::Status(Status::Queued),
        List::Interface(&event.schedule.interface),
        List::Schedule(&event.schedule),
        List::Trigger(event.trigger),
    ] {
        postings::insert(rows, &list.prefix(), position.0)?;
    }
    widen_day(rows, envelope)?;
    let mut schedule = schedule_row::load(rows, &event.schedule)?;
    schedule.newest = Some(position);
    schedule.backfills += u64::from(event.trigger == Trigger::Backfill);
    schedule_row::store(rows, &event.schedule, &schedule);
    if let Some(parent) = event.rerun_of {
        chain::join(rows, event.root, Member { id, parent, ok_at: None })?;
        if let Some(mut row) = execution_row::find(rows, parent)?.filter(|row| !row.has_reruns) {
            row.has_reruns = true;
            execution_row::store(rows, &row)?;
        }
    }
    Ok(ExecutionRow {
        position,
        id,
        schedule: event.schedule.clone(),
        slot: event.slot,
        trigger: event.trigger,
        status: Status::Queued,
        class: None,
        cause: None,
        created_at: envelope.at,
        started_at: None,
        ended_at: None,
        duration_ms: None,
        attempts: 0,
        exit_code: None,
        params: event.params.clone(),
        rerun_of: event.rerun_of,
        root: event.root,
        idempotency_key: event.idempotency_key.clone(),
        definition_version: event.definition_version,
        lines: 0,
        errors: crate::domain::event::ErrorCounts::default(),
        first_error: None,
        anomaly: None,
        acknowledged: None,
        notes: Vec::new(),
        cancel_requested: None,
        references: Vec::new(),
        has_reruns: false,
        lines_pruned_at: None,
        version: envelope.version,
        events: Vec::new(),
    })
}

/// Notes that the day of an opening reaches to its position, so that a search by time knows where to look.
fn widen_day<R: Rows>(rows: &mut Overlay<R>, envelope: &Envelope) -> Result<(), RowError> {
    let key = keys::day(envelope.at);
    let position = envelope.position.0;
    let first = match rows.get(&key)? {
        None => position,
        Some(value) => bytes::Reader::new(&value, "a day").number()?,
    };
    let mut to = bytes::Writer::with_capacity(10);
    to.number(first);
    to.number(position);
    rows.put(key, to.finish());
    Ok(())
}

fn move_to<R: Rows>(
    rows: &mut Overlay<R>,
    row: &mut ExecutionRow,
    status: Status,
) -> Result<(), RowError> {
    if row.status != status {
        postings::remove(rows, &List::Status(row.status).prefix(), row.position.0)?;
        postings::insert(rows, &List::Status(status).prefix(), row.position.0)?;
        row.status = status;
    }
    Ok(())
}

fn closed<R: Rows>(
    rows: &mut Overlay<R>,
    row: &mut ExecutionRow,
    envelope: &Envelope,
    event: &Closed,
) -> Result<(), RowError> {
    // Nothing closes twice; if a log says so all the same, the first closing is the one that counted.
    if row.status.is_final() {
        return Ok(());
    }
    move_to(rows, row, Status::from(event.outcome))?;
    row.class = event.class;
    row.cause = event.cause;
    row.exit_code = event.exit_code;
    row.attempts = event.attempts;
    row.lines = event.lines;
    row.errors = event.errors;
    row.first_error = event.first_error.clone();
    row.ended_at = Some(envelope.at);
    row.duration_ms = row.started_at.map(|_| event.duration_ms);
    if let Some(class) = event.class {
        postings::insert(rows, &List::Class(class).prefix(), row.position.0)?;
    }
    let mut schedule = schedule_row::load(rows, &row.schedule)?;
    if schedule.finished(row.position, row.status, envelope.at) {
        let mark = keys::ko_schedule(&row.schedule);
        if schedule.newest_finished_is_ko {
            rows.put(mark, Vec::new());
        } else {
            rows.delete(mark);
        }
    }
    schedule_row::store(rows, &row.schedule, &schedule);
    if event.outcome == Outcome::Ok {
        if let Some(slot) = row.slot {
            ok_slots::insert(rows, &row.schedule, OkSlot::new(&row.schedule, slot, row.id))?;
        }
        if row.rerun_of.is_some() {
            chain::ended_ok(rows, row.root, row.id, envelope.position)?;
        }
    }
    Ok(())
}

fn remark(envelope: &Envelope, note: Option<&String>) -> Remark {
    Remark { at: envelope.at, actor: actor_text(&envelope.actor), note: note.cloned() }
}

fn noted<R: Rows>(
    rows: &mut Overlay<R>,
    row: &mut ExecutionRow,
    envelope: &Envelope,
    event: &Noted,
) -> Result<(), RowError> {
    // Who says it once more, and no more than that, takes nothing from who said it first.
    if event.acknowledged && (row.acknowledged.is_none() || event.text.is_some()) {
        row.acknowledged = Some(remark(envelope, event.text.as_ref()));
    }
    if let Some(text) = &event.text {
        let (actor, text) = (actor_text(&envelope.actor), text.clone());
        row.notes.push(Note { at: envelope.at, actor, text });
    }
    if let Some(reference) = event.reference.as_ref().filter(|new| !row.references.contains(new)) {
        row.references.push(reference.clone());
        postings::insert(rows, &List::Reference(reference).prefix(), row.position.0)?;
    }
    Ok(())
}
