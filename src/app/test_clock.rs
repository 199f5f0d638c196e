//! A clock that a test sets: only in builds with debug assertions, which no release has.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, VirtualClock};
use crate::config::Environment;
use crate::instant::Instant;

/// Names the file that holds the clock's reading; without it the host's clock is used.
const VARIABLE: &str = "TEST_CLOCK";
/// How often the file is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// The clock that the environment asks for, if it does: it shows the file's instant, runs at the host's pace, and is set each
/// time the file's text changes.
pub(super) fn named_in(environment: &Environment) -> Option<Arc<dyn Clock>> {
    let path = environment.path(VARIABLE)?;
    let (mut text, at) = reading(&path)?;
    let clock = Arc::new(VirtualClock::new(at));
    let (own, path) = (Arc::clone(&clock), path);
    crate::task::spawn("the test's clock", async move {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Some((newer, at)) = reading(&path).filter(|(newer, _)| *newer != text) {
                text = newer;
                let now = own.now();
                if at > now {
                    own.step_forward(at.since(now))
                } else {
                    own.step_back(now.since(at))
                }
            }
        }
    });
    Some(clock)
}

fn reading(path: &Path) -> Option<(String, Instant)> {
    let text = std::fs::read_to_string(path).ok()?;
    let at = Instant::parse(text.trim()).ok()?;
    Some((text, at))
}
