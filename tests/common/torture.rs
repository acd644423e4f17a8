//! How much of a proof is run, and from which seed.
//!
//! An ordinary test run does a short fixed share of each proof, from a fixed seed. `scripts/torture.sh` asks for the whole
//! of it, from a seed that it prints, and collects the figures.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::env;
use std::time::Duration;

/// Set to the minutes that proofs without a natural end may take, all together.
const MINUTES: &str = "HANDOFF_TORTURE_MINUTES";

/// Set to the seed to run from.
const SEED: &str = "HANDOFF_TORTURE_SEED";

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    let number = value.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable}={value}: is no number")))
}

/// Where random choices come from: the same ones in the same order for the same seed.
pub fn random() -> fastrand::Rng {
    let seed = number(SEED).unwrap_or(1);
    println!("{SEED}={seed}");
    fastrand::Rng::with_seed(seed)
}

/// A count: this many in an ordinary run, that many in a whole one.
pub fn count(ordinary: u64, whole: u64) -> u64 {
    if number(MINUTES).is_some() {
        whole
    } else {
        ordinary
    }
}

/// For how long to go on: this long in an ordinary run, or `percent` of the time that there is.
pub fn time(ordinary: Duration, percent: u32) -> Duration {
    match number(MINUTES) {
        Some(minutes) => Duration::from_secs(minutes * 60) * percent / 100,
        None => ordinary,
    }
}

/// Prints one result for the summary of `scripts/torture.sh`.
pub fn figure(of: &str, what: std::fmt::Arguments<'_>) {
    println!("figure | {of} | {what}");
}
