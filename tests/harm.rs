//! What must not be lost: the real daemon dies at every named place, at random moments, with the power, and on a full disk;
//! one judge looks at what is left.
//!
//! `just crash-loop` and `just powercut` run many rounds; here run few. A failure prints its seed and leaves the folder.

#[path = "support/asking.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod asking;
#[path = "harm/disk.rs"]
mod disk;
#[path = "harm/full.rs"]
mod full;
#[path = "harm/http.rs"]
mod http;
#[path = "harm/judge.rs"]
mod judge;
#[path = "harm/killed.rs"]
mod killed;
#[path = "harm/load.rs"]
mod load;
#[path = "harm/places.rs"]
mod places;
#[path = "harm/powercut.rs"]
mod powercut;
#[path = "harm/restored.rs"]
mod restored;
#[path = "harm/rounds.rs"]
mod rounds;
#[expect(dead_code, reason = "shared with other tests")]
mod support;
#[path = "harm/world.rs"]
mod world;

use std::io::Write;

/// A generator of numbers that is the same in every run.
#[derive(Clone, Debug)]
struct Dice(u64);

impl Dice {
    fn of(seed: u64) -> Self {
        // Small seeds are near each other; their first numbers must not be.
        let mut dice = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        dice.below(2);
        dice
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What whoever runs the tests asks for: rounds, seeds.
#[expect(clippy::disallowed_methods, reason = "a test has no other way to be told")]
fn asked<T: std::str::FromStr>(name: &str, otherwise: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Says something of a test that passes, also when its output is kept back.
fn say(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
