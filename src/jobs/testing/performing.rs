//! Whole executions on a bench: performed, stopped, gone on with, concluded.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc;

use super::{Bench, EndlessClock, ONE_AT_A_TIME, StillClock};
use crate::clock::Clock;
use crate::domain::class::{Class, Level, Source};
use crate::domain::classify::Classifier;
use crate::domain::definition::Job;
use crate::domain::execution::{Command, Conclusion};
use crate::domain::line::Line;
use crate::engine::ports::{News, Performer, Reporter, Unfinished, Work};
use crate::jobs::procfs::{self, Process};
use crate::jobs::{LocalPerformer, Redactor};
use crate::store::lines::{LineQuery, LineStore, NewLine};

impl Bench {
    /// A performer, the execution as work for it, and its lines.
    pub(in crate::jobs) fn performer(mut self) -> (LocalPerformer, Work, LineStore, TempDir) {
        let lines = self.lines();
        let performer = self.performer_on(lines.clone());
        self.interface.schedules.insert(self.opened.schedule.schedule.clone(), self.schedule);
        let work = Work {
            execution: self.execution,
            opened: Arc::new(self.opened),
            interface: Some(Arc::new(self.interface)),
            attempts: 1,
            cancel: self.cancel,
        };
        (performer, work, lines, self.root)
    }

    /// Has a performer perform the execution, stops it at its first report, and has the next one take over and cancel.
    /// `sleepers` are command lines of what runs.
    pub(in crate::jobs) async fn outlived(self, sleepers: &[String]) -> Outlived {
        let execution = self.execution;
        let (told, mut next, work, lines) = self.stopped().await;
        let line_of = |process: &Process| process.describe(&Redactor::none());
        let all: Vec<String> = procfs::all().iter().map(line_of).collect();
        let lives = sleepers.iter().all(|line| all.iter().any(|one| one.contains(line.as_str())));
        work.cancel.cancel();
        let told_by_next = next.taken_over(work, &lines).await;
        let lines = lines.read(execution, &LineQuery::default()).expect("readable");
        Outlived { told, lives, told_by_next, lines }
    }

    /// The same where the next performer cannot go on with the log: what that one tells.
    pub(in crate::jobs) async fn outlived_without_its_log(self) -> Vec<Command> {
        let (_, mut next, work, lines) = self.stopped().await;
        let _busy = lines.reopen_writer(work.execution).expect("it is there");
        next.taken_over(work, &lines).await
    }

    /// Has a performer perform the execution, and stops it at its first report: what it told, and what the next one begins
    /// with.
    async fn stopped(self) -> (Vec<Command>, Self, Work, LineStore) {
        let _alone = ONE_AT_A_TIME.lock().await;
        let mut next = Self::new(Job::Shell(String::new()));
        next.environment.clone_from(&self.environment);
        (next.trees, next.grace) = (self.trees, self.grace);
        let (performer, work, lines, root) = self.performer();
        next.root = root;
        (stopped_at_once(performer, work.clone()).await, next, work, lines)
    }

    /// Has a performer take the execution over; all that it tells.
    async fn taken_over(&mut self, work: Work, lines: &LineStore) -> Vec<Command> {
        let _alone = ONE_AT_A_TIME.lock().await;
        let (execution, performer) = (work.execution, self.performer_on(lines.clone()));
        assert_eq!(performer.held().await.get(&execution).map(|held| held.number), Some(1));
        let (news, mut heard) = mpsc::unbounded_channel();
        let performed = tokio::spawn(performer.take_over(work, Reporter { execution, news }));
        let mut told = Vec::new();
        while let Some(News::Happened { commands, done, .. }) = heard.recv().await {
            told.extend(commands);
            done.map_or(Ok(()), |done| done.send(())).expect("it is waited for");
        }
        performed.await.expect("no panic");
        told
    }

    /// Has a performer perform the execution, interrupts it at its first report, and gives all reports.
    pub(in crate::jobs) async fn interrupted(self) -> Vec<Command> {
        let _alone = ONE_AT_A_TIME.lock().await;
        let (performer, work, _lines, _root) = self.performer();
        stopped_at_once(performer, work).await
    }

    pub(in crate::jobs) fn performer_on(&mut self, lines: LineStore) -> LocalPerformer {
        let settings = Arc::new(self.settings());
        let builtin = Arc::new(Classifier::new(&[]).expect("no rules"));
        let jitter = Box::new(|| 1.0);
        LocalPerformer::new(lines, settings, Arc::new(EndlessClock), builtin, jitter)
    }

    /// Has a performer perform the execution, lets the daemon stop once the first line is on disk, and gives all reports
    /// with the log.
    pub(in crate::jobs) async fn drained(self) -> (Vec<Command>, Vec<Line>) {
        let _alone = ONE_AT_A_TIME.lock().await;
        let execution = self.execution;
        let (performer, work, lines, _root) = self.performer();
        let mut log = lines.follow(execution);
        let (news, mut heard) = mpsc::unbounded_channel();
        let performed = tokio::spawn(performer.perform(work, Reporter { execution, news }));
        drop(log.wait_for(|log| log.last_line >= 1).await.expect("a line"));
        performer.drain();
        let mut told = Vec::new();
        while let Some(News::Happened { commands, .. }) = heard.recv().await {
            told.extend(commands);
        }
        performed.await.expect("no panic");
        (told, lines.read(execution, &LineQuery::default()).expect("readable"))
    }

    /// Has a performer perform the execution to its end; each report with the number of lines that were on disk when it
    /// was heard, and the log.
    pub(in crate::jobs) async fn performed(self) -> (Vec<(Command, u64)>, Vec<Line>) {
        let _alone = ONE_AT_A_TIME.lock().await;
        let execution = self.execution;
        let (performer, work, lines, _root) = self.performer();
        let log = lines.follow(execution);
        let (news, mut heard) = mpsc::unbounded_channel();
        let performed = tokio::spawn(performer.perform(work, Reporter { execution, news }));
        let mut told = Vec::new();
        while let Some(News::Happened { commands, .. }) = heard.recv().await {
            let on_disk = log.borrow().last_line;
            told.extend(commands.into_iter().map(|command| (command, on_disk)));
        }
        performed.await.expect("no panic");
        (told, lines.read(execution, &LineQuery::default()).expect("readable"))
    }

    /// Has a performer go on with the execution, whose first attempt left the error line and the note of `former`.
    pub(in crate::jobs) async fn resumed(self, former: [&str; 2]) -> (Vec<Command>, Vec<Line>) {
        let _alone = ONE_AT_A_TIME.lock().await;
        let execution = self.execution;
        let (performer, work, lines, _root) = self.performer();
        let mut writer = lines.writer(execution);
        let note = NewLine {
            at: StillClock.now(),
            attempt: 1,
            source: Source::Daybook,
            level: Level::Info,
            class: None,
            cause: None,
            text: former[1],
            cascade_of: None,
            fields: None,
        };
        let class = Some(Class::Mapping);
        writer.push(NewLine { level: Level::Error, class, text: former[0], ..note });
        writer.push(note);
        writer.finish().await.expect("written");
        let (news, mut heard) = mpsc::unbounded_channel();
        let past = StillClock.now();
        let performed = tokio::spawn(performer.resume(work, past, Reporter { execution, news }));
        let mut told = Vec::new();
        while let Some(News::Happened { commands, done, .. }) = heard.recv().await {
            told.extend(commands);
            if let Some(done) = done {
                done.send(()).expect("the performer waits for it");
            }
        }
        performed.await.expect("no panic");
        (told, lines.read(execution, &LineQuery::default()).expect("readable"))
    }

    /// Has a performer go on with the execution where nothing gets recorded any more, interrupts it at its first report,
    /// and gives all reports.
    pub(in crate::jobs) async fn resumed_without_a_journal(self) -> Vec<Command> {
        let _alone = ONE_AT_A_TIME.lock().await;
        let execution = self.execution;
        let (performer, work, lines, _root) = self.performer();
        lines.writer(execution).finish().await.expect("written");
        let (news, mut heard) = mpsc::unbounded_channel();
        let past = StillClock.now();
        let performed = tokio::spawn(performer.resume(work, past, Reporter { execution, news }));
        let (mut told, mut unanswered) = (Vec::new(), Vec::new());
        let ended = tokio::time::timeout(Duration::from_secs(10), async {
            while let Some(News::Happened { commands, done, .. }) = heard.recv().await {
                told.extend(commands);
                unanswered.push(done);
                performer.interrupt();
            }
            performer.idle().await;
        });
        ended.await.expect("the interrupt ends it");
        performed.await.expect("no panic");
        told
    }

    /// Has a performer conclude the execution, and reads its log.
    pub(in crate::jobs) async fn concluded(self, why: Unfinished) -> (Conclusion, Vec<Line>) {
        let _alone = ONE_AT_A_TIME.lock().await;
        let (performer, work, lines, _root) = self.performer();
        let execution = work.execution;
        let conclusion = performer.conclude(work, why).await;
        (conclusion, lines.read(execution, &LineQuery::default()).expect("readable"))
    }
}

/// What became of an execution that outlived its first performer.
pub(in crate::jobs) struct Outlived {
    /// By the first one.
    pub(in crate::jobs) told: Vec<Command>,
    /// Whether all of it lived when that was gone.
    pub(in crate::jobs) lives: bool,
    pub(in crate::jobs) told_by_next: Vec<Command>,
    pub(in crate::jobs) lines: Vec<Line>,
}

/// All that `performer` reports until it is stopped, at its first report.
async fn stopped_at_once(performer: LocalPerformer, work: Work) -> Vec<Command> {
    let execution = work.execution;
    let (news, mut heard) = mpsc::unbounded_channel();
    let performed = tokio::spawn(performer.perform(work, Reporter { execution, news }));
    let mut told = Vec::new();
    while let Some(News::Happened { commands, .. }) = heard.recv().await {
        told.extend(commands);
        performer.interrupt();
    }
    performer.idle().await;
    performed.await.expect("no panic");
    told
}
