//! A day of virtual time, lived by the daemon's own engine, journal and line store: a million executions, each with its
//! slot, its lines and its end on disk before the clock goes on.
//!
//! Only the clock and the jobs are made up. A job says eight lines and ends at once; every tenth fails at a line that
//! names why.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use daybook::app::checks;
use daybook::clock::{Clock, Sleep, Woke};
use daybook::config::{self, load_text};
use daybook::domain::cause::Cause;
use daybook::domain::class::{Class, Level, Source};
use daybook::domain::definition::Interface;
use daybook::domain::effect::Effect;
use daybook::domain::event::{AttemptEnded, Change, ErrorCounts, FirstError, Outcome as Verdict};
use daybook::domain::execution::{Command, Conclusion};
use daybook::engine::board::Board;
use daybook::engine::commit::Committer;
use daybook::engine::handle::Handle;
use daybook::engine::ports::{
    BoxFuture, Courier, Definitions, Files, Held, Performer, Reporter, Unfinished, Work, settled,
};
use daybook::engine::state::State;
use daybook::engine::{Engine, Identity, Parts};
use daybook::ids::{InterfaceId, Position};
use daybook::instant::Instant;
use daybook::store::journal::{JournalLog, JournalOptions};
use daybook::store::lines::{LineStore, LinesOptions, LogSummary, LogWriter, NewLine};
use tokio::sync::{mpsc, oneshot, watch};

use crate::Outcome;
use crate::binary::Home;
use crate::stamp::wall_clock;

/// A whole day, in seconds.
pub(crate) const DAY: u64 = 86_400;
/// Each due once a minute, spread over its seconds.
const SCHEDULES: u64 = 700;
const INTERFACES: u64 = 10;
const ROUND: u64 = 60;
const MAX_CONCURRENT: usize = 128;
/// Every so many-th execution fails.
const KO_EVERY: u64 = 10;
const SAID: [&str; 7] = [
    "loading the settings of the shop",
    "asking for the sales since the last slot",
    "page 1 of 3: 200 records in 182 ms",
    "page 2 of 3: 200 records in 175 ms",
    "page 3 of 3: 62 records in 96 ms",
    "462 records read, 462 written, 0 left out",
    "total of the slot: 18,316.50 EUR",
];

/// Since then, so that retention may forget of all of it: what ended within two days stays.
const AGO: u64 = 3 * DAY;

/// Executions of so many seconds.
pub(crate) const fn executions(seconds: u64) -> u64 {
    SCHEDULES * seconds / ROUND
}

/// Writes the schedules' files to `home` and lives so many seconds, to the end of a day that ended three days ago. Gives the
/// first second.
pub(crate) fn live(home: &Home, length: u64) -> Outcome<u64> {
    for interface in 0..INTERFACES {
        home.define(&format!("interface-{interface}"), &text(interface))?;
    }
    fs::create_dir_all(home.data())?;
    let first = wall_clock().as_secs() / ROUND * ROUND - length - AGO;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(seconds(&home.data(), (first, length)))?;
    Ok(first)
}

/// The file of an interface.
fn text(interface: u64) -> String {
    let each = SCHEDULES / INTERFACES;
    (interface * each..(interface + 1) * each)
        .map(|number| {
            format!(
                "[schedules.schedule-{number}]\ncron = \"{} * * * * *\"\noverlap = \"allow\"\n\
                 catch_up = {{ mode = \"none\" }}\ncommand = [\"/bin/true\"]\n",
                number % ROUND
            )
        })
        .collect()
}

fn due_at(second: u64) -> u64 {
    SCHEDULES / ROUND + u64::from(second % ROUND < SCHEDULES % ROUND)
}

/// A clock that is set by hand, and only forward.
struct SetClock {
    first: i64,
    now: AtomicI64,
    set: watch::Sender<i64>,
}

impl SetClock {
    fn at(second: i64) -> Self {
        let (set, _) = watch::channel(second * 1_000);
        Self { first: second * 1_000, now: AtomicI64::new(second * 1_000), set }
    }

    fn set(&self, second: i64) {
        self.now.store(second * 1_000, Ordering::SeqCst);
        self.set.send_replace(second * 1_000);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Instant {
        Instant::from_millis(self.now.load(Ordering::SeqCst))
    }

    fn sleep_until(&self, at: Instant) -> Sleep<'_> {
        let mut set = self.set.subscribe();
        Box::pin(async move {
            // It is never dropped before those who wait for it.
            drop(set.wait_for(|now| *now >= at.millis()).await);
            Woke::OnTime
        })
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.now().millis().abs_diff(self.first))
    }
}

/// Says eight lines and ends.
struct Short {
    lines: LineStore,
    clock: Arc<SetClock>,
    begun: AtomicU64,
    ended: Arc<watch::Sender<u64>>,
}

impl Performer for Short {
    fn perform(&self, work: Work, reporter: Reporter) -> BoxFuture<()> {
        let failed = self.begun.fetch_add(1, Ordering::Relaxed) % KO_EVERY == 3;
        let (now, writer) = (self.clock.now(), self.lines.writer(work.execution));
        let ended = Arc::clone(&self.ended);
        Box::pin(async move {
            reporter.tell(story(now, writer, failed).await);
            ended.send_modify(|count| *count += 1);
        })
    }

    fn resume(&self, work: Work, _at: Instant, reporter: Reporter) -> BoxFuture<()> {
        self.perform(work, reporter)
    }

    fn held(&self) -> BoxFuture<Held> {
        Box::pin(std::future::ready(Held::new()))
    }

    fn take_over(&self, work: Work, reporter: Reporter) -> BoxFuture<()> {
        self.perform(work, reporter)
    }

    fn let_go(&self, _unwanted: Held) -> BoxFuture<()> {
        Box::pin(std::future::ready(()))
    }

    fn conclude(&self, _work: Work, _why: Unfinished) -> BoxFuture<Conclusion> {
        // Nothing of the day is left for a later process.
        Box::pin(std::future::ready(conclusion(
            LogSummary { lines: 0, bytes: 0, hash: [0; 32] },
            None,
        )))
    }
}

/// Writes the lines of an execution, and says how it ended.
async fn story(now: Instant, mut writer: LogWriter, failed: bool) -> Vec<Command> {
    let why = format!("Mapping: no product for code FNAC-{}", now.secs() % 1_000);
    let say = |text| NewLine {
        at: now,
        attempt: 1,
        source: Source::Stdout,
        level: Level::Info,
        class: None,
        cause: None,
        text,
        cascade_of: None,
        fields: None,
    };
    for text in SAID {
        writer.push(say(text));
    }
    if failed {
        let (class, cause) = (Some(Class::Mapping), Some(Cause::MapField));
        writer.push(NewLine { level: Level::Error, class, cause, ..say(&why) });
    } else {
        writer.push(say("done"));
    }
    let Ok(log) = writer.finish().await else { return Vec::new() };
    let closed = conclusion(log, failed.then_some(why));
    let ended = AttemptEnded {
        attempt: 1,
        exit_code: closed.exit_code,
        signal: None,
        usage: None,
        outcome: closed.outcome,
        cause: closed.cause,
    };
    vec![Command::EndAttempt(ended), Command::Close(closed)]
}

/// The end of an execution, by what its log holds and why it failed at its last line.
fn conclusion(log: LogSummary, failure: Option<String>) -> Conclusion {
    let failed = failure.is_some();
    Conclusion {
        outcome: if failed { Verdict::Ko } else { Verdict::Ok },
        class: failed.then_some(Class::Mapping),
        cause: failed.then_some(Cause::MapField),
        exit_code: Some(i32::from(failed)),
        lines: log.lines,
        errors: ErrorCounts { mapping: u64::from(failed), ..ErrorCounts::default() },
        first_error: failure.map(|text| FirstError {
            line: log.lines,
            class: Class::Mapping,
            cause: Cause::MapField,
            text,
        }),
        log_hash: log.hash,
        interrupted: false,
    }
}

/// The schedules, as their files say them.
struct Written;

impl Definitions for Written {
    fn load(&self) -> Files {
        let mut files = Files::default();
        for number in 0..INTERFACES {
            let name = format!("interface-{number}");
            let id: InterfaceId = name.parse().expect("a name of letters, a dash and digits");
            let read = load_text(&id, &format!("{name}.toml"), &text(number), checks());
            files.accepted.insert(id, read.0.expect("the daemon takes the same text"));
        }
        files
    }

    fn changes(&self, old: Option<&Interface>, new: Option<&Interface>) -> Vec<Change> {
        config::diff(old, new)
    }
}

/// Nobody is owed a ping or notice.
struct Nobody;

impl Courier for Nobody {
    fn deliver(&self, _effect: Effect) {}
}

/// Lives the day second by second: the clock goes on when all that was due is over and on disk.
async fn seconds(data: &Path, (first, length): (u64, u64)) -> Outcome<()> {
    let clock = Arc::new(SetClock::at(i64::try_from(first)?));
    let (log, _) = JournalLog::open(JournalOptions::new(data.join("journal")))?;
    let (log, (lines, _)) =
        (Arc::new(log), LineStore::open(&data.join("lines"), LinesOptions::default())?);
    let (counter, mut ended) = watch::channel(0);
    let performer: Arc<dyn Performer> = Arc::new(Short {
        lines,
        clock: Arc::clone(&clock),
        begun: AtomicU64::new(0),
        ended: Arc::new(counter),
    });
    let board = Arc::new(Board::default());
    let (news, mut heard) = mpsc::unbounded_channel();
    let (commits, committed) = mpsc::unbounded_channel();
    let (failing, failed) = watch::channel(None);
    let committer = Committer {
        performer: Arc::clone(&performer),
        courier: Arc::new(Nobody),
        board: Arc::clone(&board),
        failed: failing,
    };
    tokio::spawn(committer.run(committed, Position(0)));
    let named = || "bench".to_owned();
    let parts = Parts {
        log: log.clone(),
        clock: clock.clone(),
        performer,
        courier: Arc::new(Nobody),
        definitions: Arc::new(Written),
        board: Arc::clone(&board),
        observers: Vec::new(),
        // Only executions without a slot ask for it.
        entropy: Box::new(|| [0; 10]),
        max_concurrent: MAX_CONCURRENT,
        identity: Identity { version: named(), boot_id: named(), zone_data: named() },
    };
    // The engine ends when nobody can ask it any more.
    let (_handle, requests) = Handle::new(Arc::clone(&board), 1);
    let mut engine = Engine::new(parts, State::default(), commits, news.clone());
    engine.start(Written.load(), &mut heard).await;
    let engine = tokio::spawn(engine.run(requests, heard));
    let mut due = 0;
    for second in first + 1..=first + length {
        clock.set(i64::try_from(second)?);
        due += due_at(second);
        ended.wait_for(|ended| *ended >= due).await?;
        let (reply, answer) = oneshot::channel();
        if !settled(&news, move |_| reply.send(()).unwrap_or_default()) {
            return Err("the engine has ended".into());
        }
        answer.await?;
        if let Some(why) = &*failed.borrow() {
            return Err(why.clone().into());
        }
    }
    let open = board.read(|state| state.open.len());
    engine.abort();
    drop(engine.await);
    log.close();
    if open == 0 { Ok(()) } else { Err(format!("{open} executions are open").into()) }
}
