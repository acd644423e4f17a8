//! Workers that are timed where no tool does the same: writers, and the loop over a bare directory.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use crate::Result;

/// The content of a handoff: 2 KiB.
pub const SIZE: usize = 2048;

pub fn content() -> Vec<u8> {
    let line = b"What still needs work: the tests of the login form are red, see auth.\n";
    let mut text: Vec<u8> = line.iter().copied().cycle().take(SIZE - 1).collect();
    text.push(b'\n');
    text
}

/// Writes new files, one after the other. Returns the seconds that each file took.
///
/// # Errors
///
/// A file cannot be written.
pub fn write(directory: &Path, names: impl Iterator<Item = String>) -> Result<Vec<f64>> {
    let content = content();
    let paths: Vec<PathBuf> = names.map(|name| directory.join(name)).collect();
    let mut times = Vec::with_capacity(paths.len());
    for path in paths {
        let start = Instant::now();
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)?;
        file.write_all(&content)?;
        drop(file);
        times.push(start.elapsed().as_secs_f64());
    }
    Ok(times)
}

/// Writes new files durably, as a careful program does in a bare directory. Returns the seconds that each file took.
///
/// # Errors
///
/// A file cannot be written.
pub fn write_durably(directory: &Path, names: impl Iterator<Item = String>) -> Result<Vec<f64>> {
    let content = content();
    let opened = File::open(directory)?;
    let mut times = Vec::new();
    for name in names {
        let (temporary, path) = (directory.join(format!(".{name}.tmp")), directory.join(name));
        let start = Instant::now();
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)?;
        file.write_all(&content)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, &path)?;
        opened.sync_all()?;
        times.push(start.elapsed().as_secs_f64());
    }
    Ok(times)
}

/// Several processes write at once, `count` files each, each as a session of its own; all start at one moment. Returns the
/// seconds from the first start to the last end.
///
/// # Errors
///
/// A process failed.
pub fn write_at_once(directory: &Path, writers: usize, count: usize) -> Result<f64> {
    let (gate, opener) = std::io::pipe()?;
    let mut children = Vec::new();
    for writer in 0..writers {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(WRITER)
            .arg(directory)
            .arg(writer.to_string())
            .arg(count.to_string());
        command.env("HANDOFF_SESSION", format!("writer-{writer}"));
        command.stdin(gate.try_clone()?).stdout(Stdio::piped());
        children.push(command.spawn()?);
    }
    // All of them wait before the start is given.
    let mut outputs = Vec::new();
    for child in &mut children {
        let mut output = child.stdout.take().ok_or("a writer has no output")?;
        output.read_exact(&mut [0; 1])?;
        outputs.push(output);
    }
    drop(opener);
    let (mut first, mut last) = (f64::INFINITY, 0.0_f64);
    for (child, mut output) in children.iter_mut().zip(outputs) {
        let mut text = String::new();
        output.read_to_string(&mut text)?;
        let status = child.wait()?;
        let times: Vec<f64> = text
            .split_whitespace()
            .filter_map(|time| time.parse().ok())
            .collect();
        let [start, end] = times[..] else {
            return Err(format!("a writer ended with {status}").into());
        };
        (first, last) = (first.min(start), last.max(end));
    }
    Ok(last - first)
}

const WRITER: &str = "worker-write";
/// The loop over a bare directory: shows every file, then renames all of them.
pub const BARE_LOOP: &str = "worker-cat";

/// Runs this process as a worker if it was started as one, and returns how it ended. Called before the arguments are parsed, because
/// the start is timed, too.
pub fn started() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let kind = arguments.next()?;
    let rest: Vec<_> = arguments.collect();
    let result = if kind == WRITER {
        writer(&rest)
    } else if kind == BARE_LOOP {
        bare_loop(Path::new(rest.first()?))
    } else {
        return None;
    };
    Some(match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: worker: {error}");
            ExitCode::FAILURE
        }
    })
}

fn writer(arguments: &[impl AsRef<OsStr>]) -> Result<()> {
    let [directory, number, count] = arguments else {
        return Err("wrong arguments".into());
    };
    let number = number.as_ref().to_string_lossy();
    let count: usize = count.as_ref().to_string_lossy().parse()?;
    let names = (0..count).map(|turn| format!("session-{number}-{turn}.md"));
    println!();
    stdout().flush()?;
    stdin().read_to_end(&mut Vec::new())?;
    let start = now();
    write(Path::new(directory.as_ref()), names)?;
    println!("{start} {}", now());
    Ok(())
}

/// Seconds on a clock that all processes share.
#[allow(clippy::cast_precision_loss)]
fn now() -> f64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn bare_loop(directory: &Path) -> Result<()> {
    std::env::set_current_dir(directory)?;
    let mut names = Vec::new();
    for entry in fs::read_dir(".")? {
        let name = entry?
            .file_name()
            .into_string()
            .map_err(|_| "a name is not UTF-8")?;
        if name.ends_with(".md") && !name.ends_with("_done.md") {
            names.push(name);
        }
    }
    names.sort_unstable();
    let mut output = File::from(rustix::io::dup(stdout())?);
    let mut buffer = vec![0; 128 * 1024];
    for name in &names {
        let mut file = File::open(name)?;
        loop {
            let length = file.read(&mut buffer)?;
            output.write_all(&buffer[..length])?;
            // A read of a plain file is short only at its end.
            if length < buffer.len() {
                break;
            }
        }
    }
    for name in &names {
        let stem = name.strip_suffix(".md").unwrap_or(name);
        fs::rename(name, format!("{stem}_done.md"))?;
    }
    Ok(())
}
