//! Looks that several executions take at once.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// The newest look at something. Who comes while one is taken shares it.
pub(super) struct Shared<T>(Mutex<Option<(Instant, Arc<T>)>>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Send + Sync + 'static> Shared<T> {
    /// A look that began at `since` or later, maybe one that somebody else takes just now; else one that `take` takes,
    /// where it holds nobody up.
    pub(super) async fn since(
        &self,
        since: Instant,
        take: impl FnOnce() -> T + Send + 'static,
    ) -> Arc<T> {
        let mut newest = self.0.lock().await;
        if let Some((began, look)) = &*newest
            && *began >= since
        {
            return Arc::clone(look);
        }
        let began = Instant::now();
        let look = Arc::new(off_the_workers(take).await);
        *newest = Some((began, Arc::clone(&look)));
        look
    }
}

/// Runs what reads `/proc` where it holds nobody up.
pub(super) async fn off_the_workers<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(err) => match err.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going away, and this task with it.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}
