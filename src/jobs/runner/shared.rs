//! Looks that several attempts take at once.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// The newest look at something. Who comes while one is taken shares it.
pub(super) struct Shared<T>(Mutex<Option<(Instant, Arc<T>)>>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Shared<T> {
    /// A look that began at `since` or later, maybe one that somebody else takes just now; else one that `take` takes.
    pub(super) fn since(&self, since: Instant, take: impl FnOnce() -> T) -> Arc<T> {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((began, look)) = &*newest
            && *began >= since
        {
            return Arc::clone(look);
        }
        let began = Instant::now();
        let look = Arc::new(take());
        *newest = Some((began, Arc::clone(&look)));
        look
    }
}
