//! Taking up again what a restart of the daemon broke off.

use std::time::Duration;

use super::exit::Exit;
use super::failure::{Failure, Outcome};

/// How often that is tried.
const TRIES_MAX: u32 = 30;
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// How often the daemon was away since it last answered. The first try tells what is wrong; only after an answer is a
/// daemon that is not there one that is being restarted.
#[derive(Debug, Default)]
pub struct Again {
    answered: bool,
    tries: u32,
}

impl Again {
    /// For what follows an answer.
    pub const fn after_an_answer() -> Self {
        Self { answered: true, tries: 0 }
    }

    /// The daemon answered.
    pub const fn answered(&mut self) {
        *self = Self::after_an_answer();
    }

    /// Waits a moment when `failure` may pass.
    ///
    /// # Errors
    /// It may not: another kind of failure, the first try, or one too many.
    pub async fn pause(&mut self, failure: Failure) -> Outcome {
        if !self.answered || failure.exit() != Exit::Unreachable || self.tries >= TRIES_MAX {
            return Err(failure);
        }
        self.tries += 1;
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}
