//! The engine: one task that owns all state, decides, and hands what it decided to the log.
//!
//! It applies its own decisions at once and never waits for the disk; what others may see of them (a started command, an
//! answer, a ping) happens in [`super::commit`], when they are on disk. A failed append ends the daemon, so a state that
//! ran ahead is never seen again.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::board::{Board, Draining};
use super::commit::{After, Commit};
use super::disk::Disk;
use super::handle::Asked;
use super::ports::{Courier, Definitions, Observer, Performer, Recorded, Reporter};
use super::queue::SlotQueue;
use super::ready::Ready;
use super::state::State;
use crate::clock::{Clock, Sleep};
use crate::domain::event::{Actor, ClockStepped, Event};
use crate::domain::schedule::Schedule;
use crate::domain::timing::{Plan, PlanCache};
use crate::engine::ports::News;
use crate::ids::{EventId, ExecutionId, InterfaceId, Position, ScheduleRef, StreamId};
use crate::instant::Instant;
use crate::store::{Append, AppendTicket, EventLog, Expected, Links, StreamAppend};

/// A clock that moved by less than this is not worth an event.
const STEP_MIN: Duration = Duration::from_secs(2);

/// A clock stepped back by more than this moves the cursors (contract, section 4).
pub(super) const STEP_BACK_MAX: Duration = Duration::from_secs(3 * 3600);

/// Reports handled between two looks at the timers.
const BURST_MAX: usize = 128;

/// Timers that share an append: a herd reaches the disk piece by piece, while the rest of it is decided.
const FIRED_MAX: usize = 200;

/// Events from which on a draft is handed over where its parts need not stand together: an append is one frame, which is
/// written, read and checked as a whole.
const APPEND_EVENTS_WANTED: usize = 2_000;

/// What the engine works with.
pub struct Parts {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Who performs executions.
    pub performer: Arc<dyn Performer>,
    /// Who delivers pings and notices.
    pub courier: Arc<dyn Courier>,
    /// Who reads the files.
    pub definitions: Arc<dyn Definitions>,
    /// Where readers look.
    pub board: Arc<Board>,
    /// Who wants to hear of each event.
    pub observers: Vec<Arc<dyn Observer>>,
    /// Ten fresh random bytes for an id.
    pub entropy: Box<dyn Fn() -> [u8; 10] + Send + Sync>,
    /// Executions at once.
    pub max_concurrent: usize,
    /// What this process is.
    pub identity: Identity,
}

/// What this process is, for `DaemonStarted`.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The program's version.
    pub version: String,
    /// The kernel's boot id.
    pub boot_id: String,
    /// The version of the zone data.
    pub zone_data: String,
}

/// What wakes the engine at an instant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A schedule's next slot.
    Slot(ScheduleRef),
    /// An execution runs for longer than it should.
    Anomaly(ExecutionId),
    /// A schedule's pause ends.
    Resume(ScheduleRef),
    /// An interface's pause ends.
    ResumeInterface(InterfaceId),
    /// A slot's dependency was not met in time.
    Deadline(ScheduleRef, Instant),
    /// An execution that waits for an instant may have its turn.
    Turn,
}

/// See the module's doc.
pub struct Engine {
    pub(super) parts: Parts,
    pub(super) state: State,
    pub(super) plans: HashMap<ScheduleRef, Plan>,
    pub(super) cache: PlanCache,
    pub(super) timers: SlotQueue<Timer>,
    pub(super) ready: Ready,
    pub(super) cancels: HashMap<ExecutionId, CancellationToken>,
    pub(super) commits: mpsc::UnboundedSender<Commit>,
    pub(super) news: mpsc::UnboundedSender<News>,
    pub(super) draining: Option<Draining>,
    /// Slots are left to the next start: this process is gone in a moment.
    pub(super) stopping: bool,
    /// The room on the disk.
    pub(super) disk: Disk,
    /// The schedules that follow a schedule.
    pub(super) followers: HashMap<ScheduleRef, Vec<ScheduleRef>>,
    /// What an interface's row needs of its schedules, kept up with every event.
    pub(super) tallies: HashMap<InterfaceId, Tally>,
    /// Executions that the draft in the making closes, with their schedules.
    pub(super) closed_now: HashMap<ExecutionId, ScheduleRef>,
    /// Wall clock and elapsed time at the last look, to notice steps.
    seen: (Instant, Duration),
}

/// What an interface's row needs of its schedules.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Schedules whose newest finished execution is an open KO.
    pub(super) red: BTreeSet<ScheduleRef>,
    /// When an execution last ended ok.
    pub(super) last_ok_at: Option<Instant>,
}

/// One append in the making.
pub(super) struct Draft {
    pub(super) at: Instant,
    actor: Actor,
    streams: Vec<StreamAppend>,
    /// Where the newest part of each stream stands in `streams`.
    places: HashMap<StreamId, usize>,
    /// Where the newest part of an interface's stream stands. What a fold keeps and owes follows from the definition in
    /// force, so no event is moved over it to an earlier part.
    defined: usize,
    events: usize,
    whole: bool,
    after: Vec<After>,
}

/// What an append changes of what readers see.
#[derive(Default)]
pub(super) struct Touched {
    pub(super) streams: Vec<StreamId>,
    /// Keys of answers that are remembered.
    pub(super) answers: Vec<String>,
}

impl Touched {
    fn take(&mut self, others: &mut Self) {
        self.streams.append(&mut others.streams);
        self.answers.append(&mut others.answers);
    }

    fn by(appends: &[StreamAppend]) -> Self {
        let mut touched = Self::default();
        for append in appends {
            touched.streams.push(append.stream.clone());
            for event in &append.events {
                if let Event::RequestAnswered(answered) = event {
                    touched.answers.push(answered.key.clone());
                }
            }
        }
        touched
    }
}

/// An append on its way to the disk.
#[derive(Default)]
struct Handed {
    touched: Touched,
    ticket: Option<AppendTicket>,
    after: Vec<After>,
}

impl Draft {
    pub(super) fn new(at: Instant, actor: Actor) -> Self {
        let (streams, places, after) = (Vec::new(), HashMap::new(), Vec::new());
        Self { at, actor, streams, places, defined: 0, events: 0, whole: false, after }
    }

    /// Whether all of it must stand in one append, however large it becomes.
    pub(super) const fn keep_whole(&mut self, whole: bool) {
        self.whole = whole;
    }

    /// Does `after` once everything recorded so far is on disk.
    pub(super) fn then(&mut self, after: After) {
        self.after.push(after);
    }
}

impl Engine {
    /// An engine that goes on from `state`.
    pub fn new(
        parts: Parts,
        state: State,
        commits: mpsc::UnboundedSender<Commit>,
        news: mpsc::UnboundedSender<News>,
    ) -> Self {
        let seen = (parts.clock.now(), parts.clock.elapsed());
        let ready = Ready::new(parts.max_concurrent);
        Self {
            parts,
            state,
            plans: HashMap::new(),
            cache: PlanCache::default(),
            timers: SlotQueue::default(),
            ready,
            cancels: HashMap::new(),
            commits,
            news,
            draining: None,
            stopping: false,
            disk: Disk::default(),
            followers: HashMap::new(),
            tallies: HashMap::new(),
            closed_now: HashMap::new(),
            seen,
        }
    }

    /// Decides until `requests` is closed.
    pub async fn run(
        mut self,
        mut requests: mpsc::Receiver<Asked>,
        mut news: mpsc::UnboundedReceiver<News>,
    ) {
        let clock = Arc::clone(&self.parts.clock);
        // It takes the kernel some work to make one: it is kept until another time is the next.
        let mut sleep: Option<(Instant, Sleep<'_>)> = None;
        loop {
            // Each time round: a flood of requests and reports neither hides a step of the clock nor holds slots up.
            self.look_at_the_clock();
            // While the log waits for room, what would be decided only fills the memory; it is decided afterwards.
            let next = self.timers.next_at().filter(|_| !self.disk.log_waits());
            if next.is_some_and(|at| at <= self.now()) {
                self.fire();
            }
            let next = self.timers.next_at().filter(|_| !self.disk.log_waits());
            let due = next.unwrap_or(Instant::from_millis(i64::MAX));
            let (_, sleeping) = match &mut sleep {
                Some(sleep) if sleep.0 == due => sleep,
                _ => sleep.insert((due, clock.sleep_until(due))),
            };
            tokio::select! {
                _ = sleeping => sleep = None,
                request = requests.recv() => match request {
                    Some(request) => self.answer(request),
                    None => return,
                },
                heard = news.recv() => {
                    if let Some(heard) = heard { self.hear(heard); }
                    for _ in 0..BURST_MAX {
                        let Ok(heard) = news.try_recv() else { break };
                        self.hear(heard);
                    }
                }
            }
        }
    }

    /// Fires everything that is due.
    fn fire(&mut self) {
        let mut due = self.timers.pop_due(self.now());
        // After a suspend a pause may have ended before some of the slots: it ends first, and takes only those before.
        due.sort_by_key(|(at, timer)| (matches!(timer, Timer::Slot(_)), *at));
        let mut seen = Touched::default();
        for batch in due.chunks(FIRED_MAX) {
            let mut draft = Draft::new(self.now(), Actor::Daybook);
            batch.iter().for_each(|(_, timer)| self.fire_one(&mut draft, timer));
            if let Some(mut handed) = self.append(draft) {
                // Shown with the last part: what readers see must be on disk, and the state is ahead of this part by then.
                seen.take(&mut handed.touched);
                self.follow(handed);
            }
        }
        // Once all are decided: of what is due at once the larger priority goes first.
        let mut draft = Draft::new(self.now(), Actor::Daybook);
        self.start_ready(&mut draft);
        let mut handed = self.append(draft).unwrap_or_default();
        handed.touched.take(&mut seen);
        self.follow(handed);
    }

    fn fire_one(&mut self, draft: &mut Draft, timer: &Timer) {
        match timer {
            // Whoever starts next decides it.
            Timer::Slot(_) | Timer::Deadline(..) if self.stopping => (),
            Timer::Slot(id) => self.slot_due(draft, id),
            Timer::Anomaly(id) => self.anomaly_due(draft, *id),
            Timer::Resume(id) => self.resume_due(draft, id),
            Timer::ResumeInterface(id) => self.resume_interface_due(draft, id),
            Timer::Deadline(id, slot) => self.deadline_passed(draft, id, *slot),
            // Turns are given once all that is due is decided.
            Timer::Turn => (),
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.parts.clock.now()
    }

    /// Notices and records a step of the wall clock.
    fn look_at_the_clock(&mut self) {
        let (now, elapsed) = (self.now(), self.parts.clock.elapsed());
        let expected = self.seen.0 + elapsed.saturating_sub(self.seen.1);
        self.seen = (now, elapsed);
        if now.since(expected) < STEP_MIN && expected.since(now) < STEP_MIN {
            return;
        }
        tracing::warn!(from = %expected, to = %now, "the clock was stepped");
        let mut draft = Draft::new(now, Actor::Daybook);
        self.record(&mut draft, &StreamId::Daemon, ClockStepped { from: expected, to: now }.into());
        if expected.since(now) > STEP_BACK_MAX {
            let all = self.state.schedules.names();
            self.anchor_again(&mut draft, all);
        }
        self.submit(draft);
    }

    /// Records `event`: into the draft, into the state, to the observers.
    pub(super) fn record(&mut self, draft: &mut Draft, stream: &StreamId, event: Event) {
        let recorded = Recorded {
            event: &event,
            schedule: if let StreamId::Schedule(id) = stream { Some(id) } else { None },
            opened: match stream {
                StreamId::Execution(id) => {
                    self.state.executions.get(id).map(|execution| &execution.opened)
                }
                StreamId::Daemon | StreamId::Interface(_) | StreamId::Schedule(_) => None,
            },
        };
        self.parts.observers.iter().for_each(|observer| observer.recorded(recorded));
        let links = self.links(stream, &event, draft.at);
        let newest = draft.places.get(stream).copied();
        let is_interface = matches!(stream, StreamId::Interface(_));
        let earliest =
            if is_interface { draft.streams.len().saturating_sub(1) } else { draft.defined };
        // Events of one part share their links: another story of the same stream is another part.
        let place = newest
            .filter(|place| *place >= earliest && draft.streams[*place].links == links)
            .unwrap_or_else(|| {
                let expected = match (self.state.version(stream), &event) {
                    (Some(0), _) | (None, Event::Opened(_)) => Expected::Fresh,
                    (Some(version), _) => Expected::Exact(version),
                    (None, _) => Expected::Any,
                };
                let (place, stream) = (draft.streams.len(), stream.clone());
                draft.places.insert(stream.clone(), place);
                draft.streams.push(StreamAppend { stream, expected, events: Vec::new(), links });
                place
            });
        if is_interface {
            draft.defined = place;
        }
        self.apply_counted(stream, draft.at, &event);
        draft.streams[place].events.push(event);
        draft.events += 1;
        draft.after.extend(self.state.fresh.drain(..).map(After::Deliver));
    }

    /// What an event recorded `at` belongs to and follows from, as far as the state knows.
    fn links(&self, stream: &StreamId, event: &Event, at: Instant) -> Links {
        let opening = |id: ExecutionId, at| EventId::derive(&StreamId::Execution(id), 1, at);
        let open = |id: &ExecutionId| self.state.executions.get(id);
        let correlation = match (stream, event) {
            (StreamId::Schedule(_), Event::SlotStarted(slot)) => Some(opening(slot.execution, at)),
            (StreamId::Execution(id), Event::Opened(_)) => Some(opening(*id, at)),
            (StreamId::Execution(id), _) => open(id).map(|open| opening(*id, open.created_at)),
            (StreamId::Daemon | StreamId::Interface(_) | StreamId::Schedule(_), _) => None,
        };
        let causation = match event {
            Event::DeliveryEnded(ended) => Some(ended.cause),
            // Recorded just before, in the same append.
            Event::Opened(opened) if opened.slot.is_some() && opened.rerun_of.is_none() => {
                let decided = StreamId::Schedule(opened.schedule.clone());
                self.state.version(&decided).map(|version| EventId::derive(&decided, version, at))
            }
            _ => None,
        };
        Links { correlation, causation }
    }

    fn apply_counted(&mut self, stream: &StreamId, at: Instant, event: &Event) {
        let of = |id: &ExecutionId| {
            self.state.executions.get(id).map(|execution| execution.opened.schedule.clone())
        };
        let schedule = match stream {
            StreamId::Daemon | StreamId::Interface(_) => None,
            StreamId::Schedule(id) => Some(id.clone()),
            // After the closing only a note changes what the schedule looks like.
            StreamId::Execution(id) => of(id)
                .or_else(|| if let Event::Noted(_) = event { self.finished_by(*id) } else { None }),
        };
        self.state.apply(stream, at, event);
        let Some(schedule) = schedule else { return };
        self.tally(&schedule);
        if let (StreamId::Execution(id), Event::Closed(_) | Event::Noted(_)) = (stream, event) {
            self.closed_now.insert(*id, schedule);
        }
    }

    /// The schedule whose newest finished execution this is.
    fn finished_by(&self, id: ExecutionId) -> Option<ScheduleRef> {
        let newest = |schedule: &Schedule| {
            schedule.finished.as_ref().is_some_and(|newest| newest.execution == id)
        };
        self.state.schedules.names_where(newest).pop()
    }

    /// Counts a schedule into its interface's row.
    pub(super) fn tally(&mut self, id: &ScheduleRef) {
        let Some(schedule) = self.state.schedules.get(id) else { return };
        let tally = self.tallies.entry(id.interface.clone()).or_default();
        tally.last_ok_at = tally.last_ok_at.max(schedule.last_ok_at);
        if schedule.red() && !schedule.removed {
            tally.red.insert(id.clone());
        } else {
            tally.red.remove(id);
        }
    }

    /// Hands over what `draft` holds when that is much, and leaves an empty one of the same instant and actor.
    pub(super) fn submit_if_large(&mut self, draft: &mut Draft) {
        if draft.events >= APPEND_EVENTS_WANTED && !draft.whole {
            let next = Draft::new(draft.at, draft.actor.clone());
            let full = std::mem::replace(draft, next);
            self.submit(full);
        }
    }

    /// Hands the draft to the log, and what follows from it to the committer.
    pub(super) fn submit(&mut self, draft: Draft) {
        if let Some(appended) = self.append(draft) {
            self.follow(appended);
        }
    }

    /// Hands the draft to the log. None when there is nothing in it.
    fn append(&self, draft: Draft) -> Option<Handed> {
        let Draft { at, actor, streams, after, .. } = draft;
        if streams.is_empty() && after.is_empty() {
            return None;
        }
        let touched = Touched::by(&streams);
        let ticket =
            (!streams.is_empty()).then(|| self.parts.log.append(Append { streams, at, actor }));
        Some(Handed { touched, ticket, after })
    }

    /// Lets what was handed to the log take effect once it is on disk.
    fn follow(&mut self, handed: Handed) {
        let Handed { touched, ticket, mut after } = handed;
        if !touched.streams.is_empty() {
            // Readers see it before whoever asked for it is answered.
            after.insert(0, After::Show(self.patch(&touched)));
            self.closed_now.clear();
        }
        if ticket.is_none() && after.is_empty() {
            return;
        }
        if self.commits.send(Commit { ticket, after }).is_err() {
            tracing::error!("the committer is gone; decisions no longer take effect");
        }
    }

    /// Calls `then` when everything decided up to now is on disk.
    pub fn when_settled(&mut self, then: impl FnOnce(Position) + Send + 'static) {
        let mut draft = Draft::new(self.now(), Actor::Daybook);
        draft.then(After::Answer(Box::new(then)));
        self.submit(draft);
    }

    /// The fold itself, for checkpoints.
    pub const fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn reporter(&self, execution: ExecutionId) -> Reporter {
        Reporter { execution, news: self.news.clone() }
    }
}
