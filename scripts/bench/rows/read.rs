//! Reading and consuming all pending handoffs.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::rounds;
use crate::files::{self, program, stamped, time};
use crate::mounted::Mounted;
use crate::table::{Reference, Row, Series, Target, Unit, Who, grouped};
use crate::workers::{self, SIZE};
use crate::{Bench, Result};

/// What an agent that follows the old protocol runs.
const PROTOCOL: &str = r#"for f in *.md; do
    case $f in *_done.md) continue ;; esac
    cat "$f"
    mv "$f" "${f%.md}_done.md"
done"#;

pub fn cat(bench: &Bench) -> Result<Vec<Row>> {
    let count = bench.size(1000, 50);
    let [series] = rounds(bench, &bench.with(&[Who::Bare, Who::Shell]), |who| {
        let seconds = match who {
            Who::Bare | Who::Shell => without_mount(bench, who, count)?,
            _ => through_mount(bench, who, count)?,
        };
        Ok([seconds])
    })?;
    let what = format!(
        "`cat pending.md`, {} × 2 KiB, merged and consumed",
        grouped(count)
    );
    let row = |key, target, peer| {
        let kept = series
            .iter()
            .filter(|(who, _)| matches!(who, Who::Ours | Who::Before) || **who == peer);
        let kept: Series = kept.map(|(who, values)| (*who, values.clone())).collect();
        let target = Some(Target::AtMost(target));
        Row::new(
            key,
            what.clone(),
            Unit::Seconds,
            target,
            &kept,
            &Reference::Peer(peer),
        )
    };
    Ok(vec![
        row("cat", 1.3, Who::Bare),
        row("cat-shell", 1.0 / 150.0, Who::Shell),
    ])
}

fn through_mount(bench: &Bench, who: Who, count: usize) -> Result<f64> {
    let mounted = Mounted::fresh(bench, who, &[])?;
    workers::write(
        mounted.path(),
        (0..count).map(|turn| format!("session-{turn}.md")),
    )?;
    mounted.expect_pending(count)?;
    let seconds = take(bench, mounted.path(), count)?;
    mounted.end()?;
    Ok(seconds)
}

/// Reads `pending.md` with cat, and checks that it had so many handoffs and that they are consumed.
pub(super) fn take(bench: &Bench, directory: &Path, count: usize) -> Result<f64> {
    let (output, pending) = (bench.scratch.join("output"), directory.join("pending.md"));
    let seconds = time(program("cat", &[]).arg(&pending), &output)?;
    let text = fs::read_to_string(&output)?;
    let last = format!("<!-- handoff {count}/{count}: ");
    if !text.contains(&last) || text.len() < count * SIZE || fs::metadata(&pending)?.len() != 0 {
        return Err(format!("cat was not given {count} handoffs, or did not consume them").into());
    }
    Ok(seconds)
}

fn without_mount(bench: &Bench, who: Who, count: usize) -> Result<f64> {
    let directory = bench.directory()?;
    files::make(directory.path(), count, 0)?;
    // The others need about as long between the last write and the reading.
    thread::sleep(Duration::from_millis(20));
    let output = bench.scratch.join("output");
    let seconds = if who == Who::Bare {
        let mut command = program(std::env::current_exe()?, &[workers::BARE_LOOP]);
        time(command.arg(directory.path()), &output)?
    } else {
        let mut command = program("sh", &["-c", PROTOCOL]);
        time(command.current_dir(directory.path()), &output)?
    };
    let left = (0..count).any(|turn| directory.path().join(stamped(turn)).exists());
    if left || fs::metadata(&output)?.len() != (count * SIZE) as u64 {
        return Err(format!("{count} handoffs were not shown and renamed").into());
    }
    Ok(seconds)
}
