//! What an idle daemon costs: memory, and wake-ups.

use std::fs;
use std::thread;
use std::time::Duration;

use super::rounds;
use crate::files::{self, program, time};
use crate::mounted::Mounted;
use crate::table::{Reference, Row, Target, Unit, grouped};
use crate::{Bench, Result, workers};

/// After this time the work that a mount or a listing has started is over.
const SETTLED: Duration = Duration::from_secs(2);

pub fn memory(bench: &Bench) -> Result<Vec<Row>> {
    let count = bench.size(100_000, 1000);
    let own = bench.directory()?;
    let full = own.path().join("full");
    files::make(&full, count / 2, count / 2)?;
    let output = bench.scratch.join("output");
    let [empty, supervisor, listed] = rounds(&bench.with_rounds(3), &bench.with(&[]), |who| {
        let mounted = Mounted::fresh(bench, who, &[])?;
        thread::sleep(bench.settle(SETTLED));
        let pids = mounted.pids();
        let (empty, supervisor) = (resident(pids.daemon)?, resident(pids.supervisor)?);
        mounted.end()?;
        let mounted = Mounted::over(bench, who, &full, &[])?;
        time(program("ls", &["-l"]).arg(mounted.path()), &output)?;
        let lines = fs::read_to_string(&output)?.lines().count();
        if lines <= count {
            return Err(format!("ls -l has {lines} lines for {count} files").into());
        }
        let listed = resident(mounted.pids().daemon)?;
        mounted.end()?;
        Ok([empty, supervisor, listed])
    })?;
    let row = |key, what: &str, target, series| {
        Row::new(
            key,
            what,
            Unit::Mebibytes,
            target,
            series,
            &Reference::Nothing,
        )
    };
    let what = format!(
        "the daemon's after `ls -l` of {}, half of them pending",
        grouped(count)
    );
    Ok(vec![
        row(
            "rss",
            "resident memory of the daemon over an empty directory",
            Some(Target::AtMost(8.0)),
            &empty,
        ),
        row("rss-supervisor", "its supervisor's", None, &supervisor),
        row("rss-listed", &what, Some(Target::AtMost(40.0)), &listed),
    ])
}

pub fn idle(bench: &Bench) -> Result<Vec<Row>> {
    let time = Duration::from_secs(bench.size(10, 1) as u64);
    let [series] = rounds(&bench.with_rounds(1), &bench.with(&[]), |who| {
        let mounted = Mounted::fresh(bench, who, &[])?;
        workers::write(
            mounted.path(),
            (0..3).map(|turn| format!("session-{turn}.md")),
        )?;
        mounted.expect_pending(3)?;
        super::read::take(bench, mounted.path(), 3)?;
        thread::sleep(SETTLED);
        let pids = mounted.pids();
        let woken = || Ok::<_, crate::Error>(switches(pids.daemon)? + switches(pids.supervisor)?);
        let before = woken()?;
        thread::sleep(time);
        let after = woken()?;
        mounted.end()?;
        #[allow(clippy::cast_precision_loss)]
        Ok([(after - before) as f64])
    })?;
    let what = format!("wake-ups of both in {} s, idle", time.as_secs());
    let target = Some(Target::AtMost(0.0));
    Ok(vec![Row::new(
        "idle",
        what,
        Unit::Times,
        target,
        &series,
        &Reference::Nothing,
    )])
}

/// A process's resident memory in MiB.
fn resident(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kibibytes: f64 = field(&status, "VmRSS:").ok_or("no VmRSS")?.parse()?;
    Ok(kibibytes / 1024.0)
}

/// How often a process was given a processor, all its threads together.
fn switches(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        for name in ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"] {
            sum += field(&status, name)
                .ok_or("no context switches")?
                .parse::<u64>()?;
        }
    }
    Ok(sum)
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()
}
