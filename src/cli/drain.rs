//! `daybook drain`.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::args;
use super::client::{Address, shaped};
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::times::Towards;
use crate::http::api::drain::Drained;
use crate::http::api::status::Status;
use crate::instant::Instant;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// Longer than a process needs to end that answers no more.
const GONE_MAX: Duration = Duration::from_secs(30);

/// How it ends.
#[derive(Debug, clap::Args)]
pub struct Drain {
    /// End by then also when something still runs: commands go on without the daemon, calls are broken off. A time, or a
    /// duration from now. Without one it waits for all; asked again, only a named one changes anything
    #[arg(long, value_name = "TIME")]
    pub deadline: Option<String>,
    /// Wait until the daemon has ended
    #[arg(long)]
    pub wait: bool,
    /// Wait so long at most, then exit code 6; the daemon goes on draining
    #[arg(long, value_name = "DURATION", requires = "wait", value_parser = args::duration)]
    pub timeout: Option<Duration>,
}

impl Drain {
    /// Asks for it, shows what is waited for, and waits if that is wanted.
    ///
    /// # Errors
    /// The daemon cannot be reached, or it has not ended in time (6).
    pub async fn run(self, context: &mut Context<'_>) -> Outcome {
        let end = self.timeout.map(|timeout| tokio::time::Instant::now() + timeout);
        let read = |text: &str| context.times.read("--deadline", text, Towards::Future);
        let deadline = self.deadline.as_deref().map(read).transpose()?;
        // Before the wish: a daemon with nothing to do is gone a moment later.
        let before: Status = shaped(&context.get(&status_address()).await?)?;
        let body = json!({"deadline": deadline.map(|at| at.to_string())});
        let value = context.post(&Address::of(&["api", "drain"]), &body).await?;
        let drained: Drained = shaped(&value)?;
        shown(&value, &drained, context)?;
        if !self.wait {
            return Ok(());
        }
        until_gone(before.started_at, end, context).await?;
        if !context.remote {
            until_process_gone(drained.pid).await;
        }
        Ok(context.out.message("the daemon has ended")?)
    }
}

fn status_address() -> Address {
    Address::of(&["api", "status"])
}

fn shown(value: &Value, drained: &Drained, context: &mut Context<'_>) -> Outcome {
    if context.out.json {
        return Ok(context.out.document(value)?);
    }
    let Drained { draining, running, queued, .. } = drained;
    let until = match draining.deadline {
        Some(at) => format!("when nothing runs, at {} at the latest", context.when(Some(at))),
        None => "when nothing runs".to_owned(),
    };
    let line = format!("draining: {running} running, {queued} queued; the daemon ends {until}");
    Ok(context.out.line(line)?)
}

/// Waits until the daemon that began at `started_at` answers no more, or another one in its place.
async fn until_gone(
    started_at: Instant,
    end: Option<tokio::time::Instant>,
    context: &mut Context<'_>,
) -> Outcome {
    loop {
        let running = match context.get(&status_address()).await {
            Ok(value) => {
                let status: Status = shaped(&value)?;
                if status.started_at != started_at {
                    return Ok(());
                }
                status.running
            }
            Err(away) if away.exit() == Exit::Unreachable => return Ok(()),
            // It answers, and that it cannot tell now: it is still there.
            Err(busy) if busy.exit() == Exit::Failed => 0,
            Err(other) => return Err(other),
        };
        if end.is_some_and(|end| end <= tokio::time::Instant::now()) {
            let what = format!("the daemon has not ended: {running} executions still run");
            return Err(Failure::new(Exit::TimedOut, what)
                .hint("it goes on draining; `daybook drain --deadline now` ends it at once"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until the process has ended, so that the next one finds the data free. It closes its listeners a moment before.
async fn until_process_gone(pid: u32) {
    let place = PathBuf::from(format!("/proc/{pid}/comm"));
    let end = tokio::time::Instant::now() + GONE_MAX;
    // Another name is another process: of another container, or one that got the number since.
    let is_it = || std::fs::read_to_string(&place).is_ok_and(|name| name.trim_end() == "daybook");
    while is_it() && tokio::time::Instant::now() < end {
        tokio::time::sleep(LOOK).await;
    }
}
