//! Writes the figures into the README beside this file, its chart, and a file for programs.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::table::{Row, markdown};
use crate::{Bench, Result, chart, other_load};

const README: &str = "scripts/bench/README.md";
const CHART: &str = "scripts/bench/chart.svg";
const MARKS: [&str; 2] = ["<!-- bench -->\n", "<!-- /bench -->"];

/// The date and the machine of the measurement, and the table.
///
/// # Errors
///
/// The description of the machine cannot be read.
pub fn text(bench: &Bench, rows: &[Row]) -> Result<String> {
    Ok(format!("{}\n\n{}", heading(bench)?, markdown(rows)))
}

/// Writes the figures as JSON.
///
/// # Errors
///
/// The file cannot be written.
pub fn json(rows: &[Row], path: &Path) -> Result<()> {
    let rows: Vec<_> = rows.iter().map(Row::json).collect();
    fs::write(path, serde_json::to_string_pretty(&json!(rows))?)?;
    Ok(())
}

/// Puts the table into the README, and the chart beside it.
///
/// # Errors
///
/// A file cannot be written, or the README has no marks for the table.
pub fn write(bench: &Bench, rows: &[Row]) -> Result<()> {
    let readme = fs::read_to_string(README)?;
    let [open, close] = MARKS;
    let place = readme.split_once(open).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(close)?;
        Some((before, after))
    });
    let (before, after) = place.ok_or_else(|| format!("{README} has no place for the table"))?;
    let text = text(bench, rows)?;
    fs::write(README, format!("{before}{open}{text}{close}{after}"))?;
    fs::write(CHART, chart::svg(rows))?;
    Ok(())
}

fn heading(bench: &Bench) -> Result<String> {
    let date = chrono::Local::now().format("%Y-%m-%d");
    let cores = std::thread::available_parallelism()?;
    let field = |file: &str, name: &str| -> Result<String> {
        let text = fs::read_to_string(file)?;
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line
            .and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned());
        Ok(value.unwrap_or_default())
    };
    let model = field("/proc/cpuinfo", "model name")?;
    let memory: f64 = field("/proc/meminfo", "MemTotal")?
        .trim_end_matches(" kB")
        .parse()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let kernel = kernel.trim();
    let libfuse = said(&bench.passthrough, "-V")?;
    let versions = [
        said(&bench.ours, "--version")?,
        format!("passthrough_ll of libfuse {}", last_word(&libfuse)),
        format!("bindfs {}", last_word(&said(Path::new("bindfs"), "-V")?)),
        format!(
            "mergerfs {}",
            last_word(&said(Path::new("mergerfs"), "-V")?)
        ),
        said(Path::new("cat"), "--version")?.replace("cat (GNU coreutils)", "GNU coreutils"),
    ];
    let memory = memory / 1024.0 / 1024.0;
    Ok(format!(
        "{date}, {cores} cores of {model}, {memory:.0} GiB, Linux {kernel}; {}; {}{}.",
        versions.join(", "),
        match bench.rounds {
            1 => "1 round".to_owned(),
            more => format!("medians of {more} rounds"),
        },
        other_load::remark().map_or_else(String::new, |remark| format!("; {remark}")),
    ))
}

/// The first line of a program's output.
fn said(program: &Path, option: &str) -> Result<String> {
    let output = Command::new(program).arg(option).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn last_word(text: &str) -> &str {
    text.rsplit(' ').next().unwrap_or_default()
}
