//! What a log says to the engine while it is written, each fact once its line is on disk (contract, rule 11).

use tokio::sync::{mpsc, watch};

use super::scribe::ScribeNews;
use crate::domain::event::{LogCurtailed, LogLimited};
use crate::domain::execution::Command;
use crate::engine::ports::Reporter;
use crate::ids::ExecutionId;
use crate::store::lines::{FollowState, LineStore};

/// Passes the news of one execution's log on.
pub(super) struct Tidings {
    news: mpsc::UnboundedReceiver<ScribeNews>,
    /// Heard, but not yet on disk.
    held: Option<ScribeNews>,
    log: watch::Receiver<FollowState>,
    failure: watch::Receiver<Option<String>>,
}

impl Tidings {
    /// Tidings of the log of `execution`, which somebody writes already.
    pub(super) fn new(
        news: mpsc::UnboundedReceiver<ScribeNews>,
        lines: &LineStore,
        execution: ExecutionId,
    ) -> Self {
        let (log, failure) = (lines.follow(execution), lines.failure());
        Self { news, held: None, log, failure }
    }

    /// Passes on what comes, until the log's writer is gone. Nothing is lost when it is given up before.
    pub(super) async fn pass_on(&mut self, reporter: &Reporter) {
        loop {
            if self.held.is_none() {
                self.held = self.news.recv().await;
            }
            if self.held.is_none() {
                return;
            }
            self.tell(reporter).await;
        }
    }

    /// Whether something has come that is not passed on.
    pub(super) fn has_news(&self) -> bool {
        self.held.is_some() || !self.news.is_empty()
    }

    /// Passes on what has come up to now.
    pub(super) async fn rest(&mut self, reporter: &Reporter) {
        loop {
            self.held = self.held.take().or_else(|| self.news.try_recv().ok());
            if self.held.is_none() {
                return;
            }
            self.tell(reporter).await;
        }
    }

    /// Waits until the log is on disk up to `line`, or nothing gets there any more.
    pub(super) async fn on_disk(&mut self, line: u64) {
        tokio::select! {
            biased;
            _log = self.log.wait_for(|log| log.last_line >= line) => (),
            _failure = self.failure.wait_for(Option::is_some) => (),
        }
    }

    /// Tells what is held once its line is on disk. A line that never gets there is told to nobody.
    async fn tell(&mut self, reporter: &Reporter) {
        let Some(held) = &self.held else { return };
        let line = match held {
            ScribeNews::FirstError(error) => error.line,
            ScribeNews::Limited { line, .. } | ScribeNews::Curtailed { line, .. } => *line,
        };
        let durable = tokio::select! {
            biased;
            log = self.log.wait_for(|log| log.last_line >= line) => log.is_ok(),
            _failure = self.failure.wait_for(Option::is_some) => false,
        };
        match self.held.take() {
            Some(news) if durable => reporter.tell(vec![happened(news)]),
            Some(_) | None => (),
        }
    }
}

fn happened(news: ScribeNews) -> Command {
    match news {
        ScribeNews::FirstError(error) => Command::SeeError(error),
        ScribeNews::Limited { line, max_bytes } => {
            Command::LimitLog(LogLimited { line, max_bytes })
        }
        ScribeNews::Curtailed { line, room } => Command::CurtailLog(LogCurtailed { line, room }),
    }
}
