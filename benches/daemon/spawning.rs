//! Commands that are started without a daemon: what the machine gives at best.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::unix::pipe::Receiver;
use tokio::time::Instant as Stopwatch;

use crate::{Failure, Outcome};

/// Does `one` so many times, `at_once` of them at a time; how many that makes in a second.
pub(crate) async fn rate<F, D>(times: u64, at_once: usize, one: F) -> Outcome<f64>
where
    F: Fn() -> D + Send + Sync + 'static,
    D: Future<Output = Outcome<()>> + Send + 'static,
{
    let (one, begun) = (Arc::new(one), Arc::new(AtomicU64::new(0)));
    let began = Stopwatch::now();
    let tasks: Vec<_> = (0..at_once)
        .map(|_| {
            let (one, begun) = (Arc::clone(&one), Arc::clone(&begun));
            tokio::spawn(async move {
                while begun.fetch_add(1, Ordering::Relaxed) < times {
                    one().await?;
                }
                Ok::<(), Failure>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(times as f64 / began.elapsed().as_secs_f64())
}

/// Runs `command` to its end and captures its output: what `tokio::process` does, which the program does not build.
///
/// It must end well and say nothing.
pub(crate) async fn run(command: &mut Command) -> Outcome<()> {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = silent.spawn()?;
    ended(child).await
}

async fn ended(mut child: Child) -> Outcome<()> {
    let exited = watch(&child)?;
    let output = child.stdout.take().map(OwnedFd::from);
    let errors = child.stderr.take().map(OwnedFd::from);
    let (output, errors) = tokio::try_join!(captured(output), captured(errors))?;
    drop(exited.readable().await?);
    let status = child.wait()?;
    if status.success() && output.is_empty() && errors.is_empty() {
        Ok(())
    } else {
        Err(format!("{status}: {}", String::from_utf8_lossy(&errors)).into())
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe, which this crate forbids; an owned descriptor is all that it asks for"
)]
fn watch(child: &Child) -> io::Result<AsyncFd<OwnedFd>> {
    let handle = pidfd_open(Pid::from_child(child), PidfdFlags::NONBLOCK)?;
    AsyncFd::with_interest(handle, Interest::READABLE)
}

async fn captured(pipe: Option<OwnedFd>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        Receiver::from_owned_fd(pipe)?.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}
