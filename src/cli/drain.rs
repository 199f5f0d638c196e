//! `daybook drain`.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::args;
use super::client::{Address, shaped};
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::meter::Meter;
use super::render::Tone;
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
        let body = json!({"deadline": deadline.map(|at| at.to_string())});
        let value = context.post(&Address::of(&["api", "drain"]), &body).await?;
        let drained: Drained = shaped(&value)?;
        shown(&value, &drained, context)?;
        context.out.flush()?;
        if !self.wait {
            return Ok(());
        }
        until_gone(drained.started_at, end, context).await?;
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
    let text = format!("draining: {running} running, {queued} queued; the daemon ends {until}");
    Ok(context.out.text("", Tone::Plain, &text)?)
}

/// Waits until the daemon that began at `started_at` answers no more, or another one in its place.
async fn until_gone(
    started_at: Instant,
    end: Option<tokio::time::Instant>,
    context: &mut Context<'_>,
) -> Outcome {
    let mut meter = Meter::begin();
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
        meter.wait(&mut context.out.messages, &format!("draining: {running} still run"));
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until the process has ended, so that the next one finds the data free. It closes its listeners a moment before.
async fn until_process_gone(pid: u32) {
    let place = PathBuf::from(format!("/proc/{pid}/stat"));
    let end = tokio::time::Instant::now() + GONE_MAX;
    let lives = || std::fs::read_to_string(&place).is_ok_and(|stat| is_daybook(&stat));
    while lives() && tokio::time::Instant::now() < end {
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether a line of `/proc/<pid>/stat` is that of a daemon at work. Another name is another process: of another container,
/// or one that got the number since. One that only waits for whoever started it holds nothing.
fn is_daybook(stat: &str) -> bool {
    let named = stat.split_once("(daybook) ");
    named.is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_only_waits_for_its_parent_is_gone() {
        for (stat, lives) in [
            ("7 (daybook) S 1 7 7 0", true),
            ("7 (daybook) Z 1 7 7 0", false),
            ("7 (bash) S 1 7 7 0", false),
            ("", false),
        ] {
            assert_eq!(is_daybook(stat), lives, "{stat}");
        }
    }
}
