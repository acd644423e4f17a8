//! The rows of the table, in groups that are measured together.

mod idle;
mod list;
mod many;
mod read;
mod write;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::table::{Row, Series, Who};
use crate::{Bench, Result, other_load};

pub struct Group {
    pub name: &'static str,
    pub measure: fn(&Bench) -> Result<Vec<Row>>,
    /// The limit of time, in seconds. Nearly all groups take a quarter of it.
    pub limit: Duration,
}

const fn group(name: &'static str, seconds: u64, measure: fn(&Bench) -> Result<Vec<Row>>) -> Group {
    let limit = Duration::from_secs(seconds);
    Group {
        name,
        measure,
        limit,
    }
}

/// All groups, in the order of the table.
pub const GROUPS: &[Group] = &[
    group("write", 300, write::one_writer),
    group("durable", 300, write::durable),
    group("writers", 300, write::at_once),
    group("cat", 300, read::cat),
    group("ls", 300, list::ls),
    group("stat", 300, list::stat),
    group("many", 300, many::write),
    group("beside", 300, many::read),
    group("mount", 600, many::mount),
    group("rss", 300, idle::memory),
    group("idle", 120, idle::idle),
];

/// Measures every build and peer once a round; each round begins with another one. A measurement gives `N` values.
fn rounds<const N: usize>(
    bench: &Bench,
    who: &[Who],
    mut measure: impl FnMut(Who) -> Result<[f64; N]>,
) -> Result<[Series; N]> {
    let mut all = [const { BTreeMap::new() }; N];
    for round in 0..bench.rounds {
        for turn in 0..who.len() {
            let who = who[(turn + round) % who.len()];
            if !bench.quick {
                other_load::wait()?;
            }
            let values = measure(who).map_err(|error| format!("{}: {error}", who.name()))?;
            for (series, value) in all.iter_mut().zip(values) {
                let series: &mut Series = series;
                series.entry(who).or_default().push(value);
            }
        }
    }
    Ok(all)
}
