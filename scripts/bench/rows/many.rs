//! The cost of very many files that are present and not used.

use std::fs;

use super::{read, rounds};
use crate::files::{self, program, time};
use crate::mounted::Mounted;
use crate::table::{Reference, Row, Series, Target, Unit, Who, grouped, percentile};
use crate::workers;
use crate::{Bench, Result};

/// A build's mounts over very many files and over few.
struct Both {
    who: Who,
    many: Mounted,
    few: Mounted,
}

impl Both {
    fn mount(
        bench: &Bench,
        place: &std::path::Path,
        many: [usize; 2],
        few: [usize; 2],
    ) -> Result<Vec<Both>> {
        let mut all = Vec::new();
        for who in bench.with(&[]) {
            let mount = |name: &str, [pending, done]: [usize; 2]| {
                let files = place.join(format!("{who:?}-{name}"));
                files::make(&files, pending, done)?;
                Mounted::over(bench, who, &files, &[])
            };
            let (many, few) = (mount("many", many)?, mount("few", few)?);
            all.push(Both { who, many, few });
        }
        Ok(all)
    }
}

fn of(all: &[Both], who: Who) -> Result<&Both> {
    Ok(all
        .iter()
        .find(|both| both.who == who)
        .ok_or("not mounted")?)
}

fn end(all: Vec<Both>) -> Result<()> {
    for both in all {
        both.many.end()?;
        both.few.end()?;
    }
    Ok(())
}

/// The latency of writing: half of what is there is pending.
pub fn write(bench: &Bench) -> Result<Vec<Row>> {
    let count = bench.size(100_000, 1000);
    let batch = bench.size(100, 10);
    let batches = bench.size(10, 2);
    let own = bench.directory()?;
    let all = Both::mount(bench, own.path(), [count / 2; 2], [5; 2])?;
    let mut turn = 0;
    let [many, few, many_p99, few_p99] = rounds(bench, &bench.with(&[]), |who| {
        let both = of(&all, who)?;
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..batches {
            for (mounted, times) in [&both.many, &both.few].into_iter().zip(&mut times) {
                let names = (turn..turn + batch).map(|turn| format!("session-{turn}.md"));
                times.extend(workers::write(mounted.path(), names)?);
            }
            turn += batch;
        }
        let [many, few] = times;
        Ok([(&many, 0.5), (&few, 0.5), (&many, 0.99), (&few, 0.99)]
            .map(|(times, rank)| percentile(times, rank)))
    })?;
    end(all)?;
    let what = format!(
        "create + write 2 KiB + close with {} files there, p50",
        grouped(count)
    );
    let target = Some(Target::AtMost(1.2));
    Ok(vec![
        own_ratio("many", &what, target, &many, &few, "the same with 10"),
        own_ratio(
            "many-p99",
            "the same, p99",
            None,
            &many_p99,
            &few_p99,
            "the same with 10",
        ),
    ])
}

/// Reading three that are pending, beside very many that were consumed.
pub fn read(bench: &Bench) -> Result<Vec<Row>> {
    let count = bench.size(100_000, 1000);
    let times_a_round = bench.size(15, 2);
    let own = bench.directory()?;
    let all = Both::mount(bench, own.path(), [0, count], [0, 0])?;
    let mut turn = 0;
    let [many, few] = rounds(bench, &bench.with(&[]), |who| {
        let both = of(&all, who)?;
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..times_a_round {
            for (mounted, times) in [&both.many, &both.few].into_iter().zip(&mut times) {
                let names = (turn..turn + 3).map(|turn| format!("session-{turn}.md"));
                workers::write(mounted.path(), names)?;
                mounted.expect_pending(3)?;
                times.push(read::take(bench, mounted.path(), 3)?);
            }
            turn += 3;
        }
        Ok(times.map(|times| percentile(&times, 0.5)))
    })?;
    end(all)?;
    let what = format!(
        "`cat pending.md` of 3 with {} consumed beside, p50",
        grouped(count)
    );
    let target = Some(Target::AtMost(1.5));
    Ok(vec![own_ratio(
        "beside",
        &what,
        target,
        &many,
        &few,
        "the same with none beside",
    )])
}

/// From the start of `handoff-fs mount` until a stat of `pending.md` has been answered.
pub fn mount(bench: &Bench) -> Result<Vec<Row>> {
    let count = bench.size(100_000, 1000);
    let output = bench.scratch.join("output");
    let mut rows = Vec::new();
    for (halves, pending) in [(false, 10), (true, count / 2)] {
        let own = bench.directory()?;
        for who in bench.with(&[]) {
            let files = own.path().join(format!("{who:?}"));
            files::make(&files, pending, count - pending)?;
            Mounted::over(bench, who, &files, &[])?.end()?;
        }
        let [again, first, listing] = rounds(bench, &bench.with(&[]), |who| {
            let files = own.path().join(format!("{who:?}"));
            let seconds = || -> Result<f64> {
                let mounted = Mounted::over(bench, who, &files, &[])?;
                let seconds = mounted.usable_after.as_secs_f64();
                mounted.expect_pending(pending)?;
                mounted.end()?;
                Ok(seconds)
            };
            let listing = time(program("ls", &["-U"]).arg(&files), &output)?;
            let again = seconds()?;
            fs::remove_dir_all(files.join(".handoff-fs"))?;
            let first = seconds()?;
            Ok([again, first, listing])
        })?;
        let ls = "`ls -U` of the same";
        if halves {
            let what = "the same, half of them pending";
            rows.push(own_ratio("mount-pending", what, None, &again, &listing, ls));
        } else {
            let what = format!(
                "mounting over {}, 10 of them pending, until usable",
                grouped(count)
            );
            rows.push(own_ratio(
                "mount",
                &what,
                Some(Target::AtMost(3.0)),
                &again,
                &listing,
                ls,
            ));
            rows.push(own_ratio(
                "mount-first",
                "the same, mounted there for the first time",
                None,
                &first,
                &listing,
                ls,
            ));
        }
    }
    Ok(rows)
}

fn own_ratio(
    key: &'static str,
    what: &str,
    target: Option<Target>,
    series: &Series,
    reference: &Series,
    name: &'static str,
) -> Row {
    Row::new(
        key,
        what,
        Unit::Seconds,
        target,
        series,
        &Reference::Own(reference, name),
    )
}
