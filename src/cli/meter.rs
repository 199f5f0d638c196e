//! How far long work has come: at a terminal a line that changes, elsewhere a plain one now and then.

use std::time::Duration;

use tokio::time::Instant;

use super::messages::Messages;
use super::render::{bytes, duration};

/// What is done before that is not worth a line.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two lines at a terminal.
const FRAME: Duration = Duration::from_millis(100);
/// A rate over a shorter time is a guess.
const RATE_MIN: Duration = Duration::from_secs(1);
/// Percent between two plain messages.
const STEP: u64 = 10;
/// Less than so many bytes are done before anybody wonders.
const WORTH_TELLING: u64 = 32 << 20;

/// Tells how far a piece of long work has come.
#[derive(Debug)]
pub struct Meter {
    begun: Instant,
    drawn: Option<Instant>,
    part: Part,
}

/// A part of the work, with bytes of its own.
#[derive(Debug)]
struct Part {
    what: String,
    begun: Instant,
    /// What was done when it was first looked at.
    from: u64,
    /// Percent of the next plain message.
    next: u64,
}

impl Part {
    fn begin(what: &str, from: u64) -> Self {
        Self { what: what.to_owned(), begun: Instant::now(), from, next: STEP }
    }

    /// Bytes in a second, once that can be told.
    fn rate(&self, done: u64) -> Option<u64> {
        let elapsed = self.begun.elapsed();
        let moved = done.saturating_sub(self.from);
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        (elapsed >= RATE_MIN && moved > 0).then(|| moved.saturating_mul(1000) / millis)
    }

    fn line(&self, done: u64, total: u64) -> String {
        let what = &self.what;
        let mut line = match done.saturating_mul(100).checked_div(total) {
            Some(percent) => format!("{what}: {percent} %, {} of {}", bytes(done), bytes(total)),
            None => format!("{what}: {}", bytes(done)),
        };
        if let Some(rate) = self.rate(done) {
            line.push_str(&format!(", {}/s", bytes(rate)));
            if let Some(left) = total.saturating_sub(done).checked_div(rate).filter(|_| total > 0) {
                line.push_str(&format!(", {} left", seconds(left)));
            }
        }
        line
    }
}

impl Meter {
    /// For work that begins now.
    pub fn begin() -> Self {
        Self { begun: Instant::now(), drawn: None, part: Part::begin("", 0) }
    }

    /// Tells of `done` of `total` bytes; 0 in all when that is not known.
    pub fn show(&mut self, to: &mut Messages<'_>, what: &str, (done, total): (u64, u64)) {
        if self.part.what != what {
            self.part = Part::begin(what, done);
        }
        if to.is_lively() {
            if self.is_due() {
                to.show(&self.part.line(done, total));
            }
        } else if total >= WORTH_TELLING {
            let percent = done.saturating_mul(100) / total;
            if percent >= self.part.next && percent < 100 {
                self.part.next = percent / STEP * STEP + STEP;
                // Nobody may be there to read it.
                to.say(format!("{what}: {percent} %")).unwrap_or_default();
            }
        }
    }

    /// Tells of work of which only the time that it takes is known, at a terminal.
    pub fn wait(&mut self, to: &mut Messages<'_>, what: &str) {
        if to.is_lively() && self.is_due() {
            let secs = self.begun.elapsed().as_secs();
            to.show(&format!("{}  {what}", seconds(secs)));
        }
    }

    fn is_due(&mut self) -> bool {
        let due = self.begun.elapsed() >= PATIENCE
            && self.drawn.is_none_or(|drawn| drawn.elapsed() >= FRAME);
        if due {
            self.drawn = Some(Instant::now());
        }
        due
    }
}

/// A time that goes on: without tenths of a second.
fn seconds(secs: u64) -> String {
    if secs < 60 { format!("{secs} s") } else { duration(secs * 1000) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::messages::{Manner, Voice};
    use crate::cli::render::Palette;

    fn told(width: Option<usize>, tell: impl FnOnce(&mut Messages<'_>)) -> String {
        let mut err = Vec::new();
        let manner = Manner { voice: Voice::Aloud, palette: Palette::plain(), width, lively: true };
        tell(&mut Messages::new(&mut err, manner));
        String::from_utf8(err).expect("text")
    }

    /// What stands at the terminal, one line after the other.
    fn lines(shown: &str) -> Vec<&str> {
        shown.split('\r').map(str::trim_end).filter(|line| !line.is_empty()).collect()
    }

    const PASS: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_terminal_is_told_how_much_how_fast_and_how_long_still() {
        let mut meter = Meter::begin();
        let mut frames = Vec::new();
        for done in 0..4_u64 {
            let shown = told(Some(80), |to| meter.show(to, "copying", (done << 20, 11 << 20)));
            frames.extend(lines(&shown).into_iter().map(str::to_owned));
            tokio::time::advance(PASS).await;
        }
        assert_eq!(
            frames,
            [
                "copying: 9 %, 1.0 MiB of 11.0 MiB, 1.0 MiB/s, 10 s left",
                "copying: 18 %, 2.0 MiB of 11.0 MiB, 1.0 MiB/s, 9 s left",
                "copying: 27 %, 3.0 MiB of 11.0 MiB, 1.0 MiB/s, 8 s left",
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn work_without_an_end_in_sight_tells_what_it_can() {
        let mut meter = Meter::begin();
        let mut begun = |done: u64| told(Some(80), |to| meter.show(to, "exporting", (done, 0)));
        begun(0);
        tokio::time::advance(PASS * 2).await;
        assert_eq!(lines(&begun(4 << 20)), ["exporting: 4.0 MiB, 2.0 MiB/s"]);
        let mut meter = Meter::begin();
        tokio::time::advance(PASS * 65).await;
        let waited = told(Some(80), |to| meter.wait(to, "waiting"));
        assert_eq!(lines(&waited), ["1 min 5 s  waiting"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_soon_over_is_not_told() {
        let mut meter = Meter::begin();
        let shown = told(Some(80), |to| {
            meter.show(to, "copying", (1, 2));
            meter.wait(to, "waiting");
        });
        assert_eq!(shown, "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipe_is_told_a_plain_line_now_and_then_and_only_of_much() {
        let much = WORTH_TELLING * 10;
        let mut meter = Meter::begin();
        let shown = told(None, |to| {
            for percent in 0..=100 {
                meter.show(to, "copying", (much / 100 * percent, much));
                meter.show(to, "copying", (percent, 100));
            }
        });
        let rows: Vec<String> = (1..10).map(|tenth| format!("copying: {tenth}0 %")).collect();
        assert_eq!(shown.lines().collect::<Vec<_>>(), rows);
    }
}
