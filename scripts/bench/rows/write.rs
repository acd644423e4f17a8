//! Writing new handoffs.

use super::rounds;
use crate::files::stamped;
use crate::mounted::Mounted;
use crate::table::{Reference, Row, Series, Target, Unit, Who, percentile};
use crate::{Bench, Result, other_load, workers};

/// Without fsync, which the peers do not call; another row measures fsync.
const NO_SYNC: &[&str] = &["--no-sync"];

pub fn one_writer(bench: &Bench) -> Result<Vec<Row>> {
    let count = bench.size(2000, 100);
    let p50 = |who, warm: fn(usize) -> String, name: fn(usize) -> String| -> Result<[f64; 1]> {
        let mounted = Mounted::fresh(bench, who, NO_SYNC)?;
        let before = count / 20;
        workers::write(mounted.path(), (0..before).map(warm))?;
        let times = workers::write(mounted.path(), (before..before + count).map(name))?;
        mounted.expect_pending(before + count)?;
        mounted.end()?;
        Ok([percentile(&times, 0.5)])
    };
    let plain = |turn| format!("session-{turn}.md");
    let everybody = bench.with(&[Who::Passthrough, Who::Bindfs, Who::Mergerfs, Who::Bare]);
    let [series] = rounds(bench, &everybody, |who| p50(who, plain, plain))?;
    let [by_hand] = rounds(bench, &bench.with(&[Who::Passthrough]), |who| {
        p50(who, stamped, stamped)
    })?;

    let what = "create + write 2 KiB + close, p50, `--no-sync`";
    let row = |key, what: &str, target, series: &Series, peer| {
        Row::new(
            key,
            what,
            Unit::Seconds,
            target,
            series,
            &Reference::Peer(peer),
        )
    };
    let only = |peer| {
        let kept = series
            .iter()
            .filter(|(who, _)| matches!(who, Who::Ours | Who::Before) || **who == peer);
        kept.map(|(who, values)| (*who, values.clone()))
            .collect::<Series>()
    };
    let mut against_passthrough = series.clone();
    against_passthrough.remove(&Who::Bindfs);
    Ok(vec![
        row(
            "write",
            what,
            Some(Target::AtMost(0.75)),
            &against_passthrough,
            Who::Passthrough,
        ),
        row(
            "write-bindfs",
            what,
            Some(Target::AtMost(0.45)),
            &only(Who::Bindfs),
            Who::Bindfs,
        ),
        row(
            "write-stamped",
            "the same, under a name that is stamped already",
            None,
            &by_hand,
            Who::Passthrough,
        ),
    ])
}

pub fn durable(bench: &Bench) -> Result<Vec<Row>> {
    let batch = bench.size(20, 5);
    let batches = bench.size(10, 2);
    let everybody = bench.with(&[Who::Bare]);
    // In small batches by turns, because the speed of a disk changes over time.
    let mut mounted = Vec::new();
    for &who in &everybody {
        let files = bench.disk.join(format!("{who:?}"));
        std::fs::create_dir(&files)?;
        mounted.push((who, Mounted::over(bench, who, &files, &[])?));
    }
    let mut all = Series::new();
    let mut turn = 0;
    for _ in 0..bench.rounds {
        if !bench.quick {
            other_load::wait()?;
        }
        let mut times = Series::new();
        for number in 0..batches {
            for place in 0..mounted.len() {
                let (who, mounted) = &mounted[(place + number) % mounted.len()];
                let names = (turn..turn + batch).map(|turn| format!("session-{turn}.md"));
                let taken = if *who == Who::Bare {
                    workers::write_durably(mounted.path(), names)?
                } else {
                    workers::write(mounted.path(), names)?
                };
                times.entry(*who).or_default().extend(taken);
            }
            turn += batch;
        }
        for (who, times) in times {
            all.entry(who).or_default().push(percentile(&times, 0.5));
        }
    }
    for (_, mounted) in mounted {
        mounted.expect_pending(turn)?;
        mounted.end()?;
    }
    let what = "create + write 2 KiB + close, p50, durable, on the disk";
    let target = Some(Target::AtMost(1.15));
    Ok(vec![Row::new(
        "durable",
        what,
        Unit::Seconds,
        target,
        &all,
        &Reference::Peer(Who::Bare),
    )])
}

pub fn at_once(bench: &Bench) -> Result<Vec<Row>> {
    const WRITERS: usize = 8;
    let each = bench.size(400, 20);
    let everybody = bench.with(&[Who::Passthrough, Who::Bindfs, Who::Mergerfs, Who::Bare]);
    #[allow(clippy::cast_precision_loss)]
    let [series] = rounds(bench, &everybody, |who| {
        let mounted = Mounted::fresh(bench, who, NO_SYNC)?;
        let seconds = workers::write_at_once(mounted.path(), WRITERS, each)?;
        mounted.expect_pending(WRITERS * each)?;
        mounted.end()?;
        Ok([(WRITERS * each) as f64 / seconds])
    })?;
    let what = "8 writers at once, handoffs a second, `--no-sync`";
    let target = Some(Target::AtLeast(1.3));
    let reference = Reference::Peer(Who::Passthrough);
    Ok(vec![Row::new(
        "writers",
        what,
        Unit::PerSecond,
        target,
        &series,
        &reference,
    )])
}
