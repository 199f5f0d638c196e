//! Tasks of the daemon. Spawned here alone, so that no panic is lost: a task that nobody waits for tells of its own end.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Runs `task` beside whoever calls; a panic in it is logged under `name`.
pub fn spawn<F>(name: &'static str, task: F) -> JoinHandle<Option<F::Output>>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(async move {
        match AssertUnwindSafe(task).catch_unwind().await {
            Ok(output) => Some(output),
            Err(panic) => {
                tracing::error!(task = name, panic = words(&*panic), "a task panicked");
                None
            }
        }
    })
}

/// Runs a `task` without which the daemon is not whole: its panic is told to `failed`, which ends the daemon.
pub fn spawn_essential<F>(
    name: &'static str,
    failed: &watch::Sender<Option<String>>,
    task: F,
) -> JoinHandle<Option<F::Output>>
where
    F: Future<Output: Send> + Send + 'static,
{
    let failed = failed.clone();
    spawn(name, async move {
        match AssertUnwindSafe(task).catch_unwind().await {
            Ok(output) => output,
            Err(panic) => {
                failed.send_replace(Some(format!("{name} panicked: {}", words(&*panic))));
                std::panic::resume_unwind(panic)
            }
        }
    })
}

/// What `mutex` holds, also after a panic of somebody who held it: what it cost is told, and the others go on.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a panic says.
pub fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_its_task_and_is_told() {
        let ended = spawn("ours", async { panic!("a mistake") }).await;
        assert_eq!(ended.expect("it ends in order"), None::<()>);
        let (failed, told) = watch::channel(None);
        let ended = spawn_essential("ours", &failed, async { panic!("a mistake") }).await;
        assert_eq!(ended.expect("it ends in order"), None::<()>);
        assert_eq!(told.borrow().as_deref(), Some("ours panicked: a mistake"));
    }
}
