//! `GET /api/schedules/{interface}/{schedule}/why`: what became of a slot and why, in one paragraph, with the events behind it.

mod ahead;
mod passed;
mod ran;
mod story;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::story::Story;
use super::schedules::{Name, existing};
use crate::civil::Zone;
use crate::domain::timing::Plan;
use crate::engine::board::{self, ScheduleRow};
use crate::http::input::Params;
use crate::http::parts::App;
use crate::http::problem::{Code, Problem, ProblemBody};
use crate::http::reads::Reads;
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleId, ScheduleRef, StreamId};
use crate::instant::Instant;
use crate::projection::SlotRange;
use crate::projection::view::{Event, Execution, Slot, SlotOutcome, State as Living};

/// What became of a slot, and why.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Why {
    /// The interface.
    #[schema(value_type = String)]
    pub interface: InterfaceId,
    /// The bare id.
    #[schema(value_type = String)]
    pub schedule: ScheduleId,
    /// The slot that it is about; null when the schedule has none there.
    pub slot: Option<Slot>,
    /// The answer, a paragraph.
    pub text: String,
    /// The slot's execution; null when it has none.
    pub execution: Option<Execution>,
    /// The events behind the answer, oldest first.
    pub events: Vec<Event>,
}

/// Whom the question is about.
pub(super) struct Subject<'a> {
    pub(super) app: &'a App,
    pub(super) reads: &'a Reads,
    pub(super) name: &'a ScheduleRef,
    pub(super) zone: Zone,
    /// As it is in its file; none once it was removed.
    pub(super) row: Option<ScheduleRow>,
    pub(super) plan: Option<Plan>,
}

impl Subject<'_> {
    fn show(&self, at: Instant) -> String {
        self.zone.show(at)
    }

    /// The decisions on the slot at `at`, newest first; several only around a step of the clock.
    async fn decided_at(&self, at: Instant) -> Result<Vec<(Position, Slot)>, Problem> {
        let just_after = Instant::from_millis(at.millis().saturating_add(1));
        let range = SlotRange { from: Some(at), to: Some(just_after) };
        self.reads.decided(self.name.clone(), range, 10).await
    }

    /// The start of the daemon that decided something, recorded `at` as the event at `position`: a start and what it decides
    /// are recorded together, in either order.
    async fn start_before(
        &self,
        position: Position,
        at: Instant,
    ) -> Result<Option<Event>, Problem> {
        let name = "daemon-started";
        let next = self.reads.oldest_of_after(StreamId::Daemon, name, position).await?;
        match next.filter(|next| next.at == at) {
            Some(same) => Ok(Some(same)),
            None => self.reads.newest_before(name, position).await,
        }
    }

    /// An execution; none when retention took it.
    async fn execution(&self, id: ExecutionId) -> Result<Option<Execution>, Problem> {
        match self.reads.execution(id).await {
            Ok(execution) => Ok(Some(execution)),
            Err(problem) if problem.code() == Code::NotFound => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    /// The newest decided slot before `to`.
    async fn decided_before(&self, to: Option<Instant>) -> Result<Option<Slot>, Problem> {
        let range = SlotRange { from: None, to };
        let newest = self.reads.decided(self.name.clone(), range, 1).await?;
        Ok(newest.into_iter().next().map(|(_, slot)| slot))
    }
}

/// Why a slot did not run, ran late or twice, or will not run.
///
/// # Errors
/// The schedule does not exist, a parameter is wrong, or the lists are being rebuilt.
#[utoipa::path(get, path = "/api/schedules/{interface}/{schedule}/why", tag = "schedules",
    params(("interface" = String, Path), ("schedule" = String, Path),
        ("at" = Option<String>, Query, description = "The slot's nominal instant; the newest slot and the next one unless given")),
    responses((status = 200, body = Why), (status = "default", body = ProblemBody)))]
pub async fn why(
    State(app): State<App>,
    Path(name): Path<Name>,
    Params(mut input): Params,
    reads: Reads,
) -> Result<Json<Why>, Problem> {
    let at = input.instant("at");
    input.finish()?;
    tell(&app, &reads, &name, at).await.map(Json)
}

/// Tells of the slot at `at`; of the newest one and the next one unless it is given.
///
/// # Errors
/// The schedule does not exist, or the lists are being rebuilt.
pub async fn tell(
    app: &App,
    reads: &Reads,
    name: &Name,
    at: Option<Instant>,
) -> Result<Why, Problem> {
    let (name, schedule) = existing(app, name)?;
    let row = app.engine.board().read(|state| state.schedules.get(&name).cloned());
    let row = row.filter(|row| row.state != Living::Removed);
    let plan = row
        .as_ref()
        .and_then(|row| row.definition.schedules.get(&name.schedule).and_then(board::plan));
    let zone = Zone::load(&schedule.timezone).unwrap_or_else(|_unknown| Zone::utc());
    let subject = Subject { app, reads, name: &name, zone, row, plan };
    let mut story = Story::default();
    match at {
        Some(at) => tell_of(&subject, at, &mut story).await?,
        None => tell_of_newest_and_next(&subject, &mut story).await?,
    }
    if subject.row.is_none() {
        story.say("The schedule is no longer in its file.");
    }
    let Story { slot, execution, .. } = &story;
    let (slot, execution) = (slot.clone(), execution.clone());
    let (text, events) = story.told();
    let ScheduleRef { interface, schedule } = name;
    Ok(Why { interface, schedule, slot, text, execution, events })
}

async fn tell_of_newest_and_next(subject: &Subject<'_>, story: &mut Story) -> Result<(), Problem> {
    let now = subject.app.clock.now();
    let waiting = subject.row.as_ref().and_then(|row| row.awaiting.as_ref()?.keys().next_back());
    if let Some(newest) = waiting {
        return tell_of(subject, *newest, story).await;
    }
    match subject.decided_before(None).await? {
        Some(newest) => tell_of(subject, newest.at, story).await?,
        None => ahead::none_decided(subject, story).await?,
    }
    let newest = story.slot.as_ref().map(|slot| slot.at);
    let from = newest.map_or(now, |newest| newest.max(now));
    if let Some(next) = subject.plan.as_ref().and_then(|plan| plan.next_after(from)) {
        let told = story.slot.take();
        ahead::tell(subject, next, story);
        story.slot = told.or_else(|| story.slot.take());
    }
    Ok(())
}

/// Tells of the slot at `at`; when there is none, why, and which ones lie around it.
async fn tell_of(subject: &Subject<'_>, at: Instant, story: &mut Story) -> Result<(), Problem> {
    let decided = subject.decided_at(at).await?;
    if let Some((_, newest)) = decided.first() {
        story.slot = Some(newest.clone());
        if decided.len() > 1 {
            story.say(format!(
                "Slot {} was decided {} times, since a clock was set back.",
                subject.show(at),
                decided.len()
            ));
        }
        for (position, slot) in decided.iter().rev() {
            story.cite(subject.reads.event_at(*position).await?);
            match slot.outcome {
                SlotOutcome::Started => ran::tell(subject, slot, story).await?,
                SlotOutcome::Skipped | SlotOutcome::Missed | SlotOutcome::Pending => {
                    passed::tell(subject, *position, slot, story).await?;
                }
            }
        }
        return Ok(());
    }
    if ahead::awaited(subject, at, story).await? {
        return Ok(());
    }
    let just_before = Instant::from_millis(at.millis().saturating_sub(1));
    let plan = subject.plan.as_ref();
    let is_slot = plan.and_then(|plan| plan.next_after(just_before)) == Some(at);
    if is_slot && at > subject.app.clock.now() {
        ahead::tell(subject, at, story);
        return Ok(());
    }
    ahead::not_there(subject, at, is_slot, story).await
}
