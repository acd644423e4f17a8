//! Listing and looking up names among very many handoffs.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use super::rounds;
use crate::files::{self, program, time};
use crate::mounted::Mounted;
use crate::table::{Reference, Row, Target, Unit, Who, grouped, percentile};
use crate::{Bench, Result};

/// `ls -l` right after mounting, when neither the kernel nor a daemon has been asked for anything, and once more.
pub fn ls(bench: &Bench) -> Result<Vec<Row>> {
    let count = bench.size(10_000, 300);
    let everybody = bench.with(&[Who::Passthrough, Who::Bindfs, Who::Mergerfs, Who::Bare]);
    let own = bench.directory()?;
    for &who in &everybody {
        files::make(&own.path().join(format!("{who:?}")), count, 0)?;
    }
    let output = bench.scratch.join("output");
    let [first, again] = rounds(bench, &everybody, |who| {
        let mounted = Mounted::over(bench, who, &own.path().join(format!("{who:?}")), &[])?;
        let mut times = [0.0; 2];
        for seconds in &mut times {
            *seconds = time(program("ls", &["-l"]).arg(mounted.path()), &output)?;
            let lines = fs::read_to_string(&output)?.lines().count();
            if lines <= count {
                return Err(format!("ls -l has {lines} lines for {count} files").into());
            }
        }
        mounted.end()?;
        Ok(times)
    })?;
    let reference = Reference::Peer(Who::Passthrough);
    let what = format!("`ls -l` of {}, the first after mounting", grouped(count));
    let target = Some(Target::AtMost(0.4));
    Ok(vec![
        Row::new("ls", what, Unit::Seconds, target, &first, &reference),
        Row::new(
            "ls-again",
            "the same once more",
            Unit::Seconds,
            None,
            &again,
            &reference,
        ),
    ])
}

/// The program `stat`, and then the bare system call.
pub fn stat(bench: &Bench) -> Result<Vec<Row>> {
    let count = bench.size(10_000, 300);
    let programs = bench.size(100, 5);
    let calls = bench.size(2000, 100);
    let everybody = bench.with(&[Who::Passthrough, Who::PassthroughUncached, Who::Bare]);
    let own = bench.directory()?;
    let mut mounted = Vec::new();
    for &who in &everybody {
        let files = own.path().join(format!("{who:?}"));
        files::make(&files, count, 0)?;
        mounted.push((who, Mounted::over(bench, who, &files, &[])?));
    }
    let output = bench.scratch.join("output");
    let [by_program, by_call] = rounds(bench, &everybody, |who| {
        let (_, mounted) = mounted
            .iter()
            .find(|(mounted, _)| *mounted == who)
            .ok_or("not mounted")?;
        let path: PathBuf = match who {
            Who::Ours | Who::Before => mounted.path().join("pending.md"),
            _ => mounted.path().join(files::stamped(count / 2)),
        };
        if fs::metadata(&path)?.len() == 0 {
            return Err("nothing is pending".into());
        }
        let mut times = Vec::new();
        for _ in 0..programs {
            times.push(time(program("stat", &[]).arg(&path), &output)?);
        }
        let mut direct = Vec::new();
        for _ in 0..calls {
            let start = Instant::now();
            fs::metadata(&path)?;
            direct.push(start.elapsed().as_secs_f64());
        }
        Ok([percentile(&times, 0.5), percentile(&direct, 0.5)])
    })?;
    for (_, mounted) in mounted {
        mounted.end()?;
    }
    let what = format!(
        "`stat pending.md` with {} pending (peers: a plain file), p50",
        grouped(count)
    );
    let default = Reference::Peer(Who::Passthrough);
    let uncached = Reference::Peer(Who::PassthroughUncached);
    let target = Some(Target::AtMost(1.5));
    let call = "the system call statx of it, p50";
    Ok(vec![
        Row::new("stat", what, Unit::Seconds, target, &by_program, &default),
        Row::new("statx", call, Unit::Seconds, None, &by_call, &default),
        Row::new(
            "statx-uncached",
            call,
            Unit::Seconds,
            None,
            &by_call,
            &uncached,
        ),
    ])
}
