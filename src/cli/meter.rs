//! How far long work has come, on standard error.

use super::output::Output;

/// Percent between two messages.
const STEP: u64 = 10;
/// Less than so many bytes are done before anybody wonders.
const WORTH_TELLING: u64 = 32 << 20;

/// Tells now and then how far long work has come.
#[derive(Debug, Default)]
pub struct Meter {
    what: String,
    next: u64,
}

impl Meter {
    /// Tells of `done` of `total` bytes, if enough has happened since the last time.
    pub fn show(&mut self, out: &mut Output<'_>, what: &str, (done, total): (u64, u64)) {
        if total < WORTH_TELLING {
            return;
        }
        if self.what != what {
            what.clone_into(&mut self.what);
            self.next = STEP;
        }
        let percent = done.saturating_mul(100) / total;
        if percent >= self.next && percent < 100 {
            self.next = percent / STEP * STEP + STEP;
            // Nobody may be there to read it.
            out.message(format!("{what}: {percent} %")).unwrap_or_default();
        }
    }
}
