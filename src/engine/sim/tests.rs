//! Seeds, a year in each zone, and the simulation's own honesty.

use super::generate;
use super::shrink::shrink;
use super::story::Story;
use super::world::{Told, tell};

/// Seeds that every run of the tests tells.
const SEEDS: std::ops::Range<u64> = 0..100;

/// Tells a story; a panic anywhere in it is what is wrong with it.
fn told(story: &Story) -> Result<Told, String> {
    let told = std::panic::catch_unwind(|| tell(story));
    told.unwrap_or_else(|panic| Err(format!("panicked: {}", crate::task::words(&*panic))))
}

fn run(seeds: std::ops::Range<u64>) -> Told {
    let mut all = Told::default();
    for seed in seeds {
        if std::env::var("SIM_TRACE").is_ok() { eprintln!("seed {seed}"); }
        let story = generate::story(seed);
        match told(&story) {
            Ok(one) => {
                all.events += one.events;
                all.decided += one.decided;
                all.starts += one.starts;
            }
            Err(why) => {
                let small = shrink(story, |story| told(story).is_err());
                let why = told(&small).err().unwrap_or(why);
                panic!("seed {seed}: {why}\n\n{small}\nagain: SIM_FROM={seed} SIM_SEEDS=1 just sim");
            }
        }
    }
    all
}

/// `just sim` asks for it.
#[test]
#[ignore = "as many seeds as SIM_SEEDS says, from SIM_FROM on"]
#[expect(clippy::disallowed_methods, reason = "whoever runs it says how many by a variable")]
fn as_many_seeds_as_asked_for() {
    let number = |name: &str, otherwise: u64| {
        std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
    };
    let (from, count) = (number("SIM_FROM", 0), number("SIM_SEEDS", 1_000));
    let all = run(from..from + count);
    println!("seeds {from} to {}: {all:?}", from + count - 1);
}

#[test]
fn a_fixed_set_of_seeds() {
    let all = run(SEEDS);
    println!("{all:?}");
}
