//! Starts this program again as another part of the mount, and waits until that process reports how its start went.
//!
//! Written here, because a fork without exec needs `unsafe`, and crates that do it, such as daemonize, are no longer maintained.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::process::Process;
use crate::config::{Config, Part};
use crate::failure::Failure;

/// Writes a line to the process that started this one: `ready PID`, `waiting TEXT`, or `error TEXT`.
///
/// # Errors
/// No process reads the line any more.
pub(super) fn report(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(format!("{line}\n").as_bytes())?;
    stdout.flush()
}

/// Reads the lines of [`report`] from a starting process, until its mount is usable. Each `waiting` line goes to `announce`.
///
/// # Errors
/// The failure that the process reports, or none if the process died without a report.
pub(super) fn await_mount(
    output: Option<impl Read>,
    announce: impl Fn(&str),
) -> Result<(), Option<Failure>> {
    let lines = output
        .into_iter()
        .flat_map(|output| BufReader::new(output).lines());
    for line in lines.map_while(Result::ok) {
        match line.split_once(' ') {
            Some(("ready", _)) => return Ok(()),
            Some(("waiting", _)) => announce(&line),
            Some(("error", text)) => return Err(Some(Failure::from_text(text))),
            _ => break,
        }
    }
    Err(None)
}

/// Starts this program as this part of the mount.
pub(super) fn start(
    config: &Config,
    part: Part,
    stdout: Stdio,
    stderr: Stdio,
) -> Result<Process, Failure> {
    let program = own_program();
    let child = limit_memory(&mut Command::new(&program))
        .args(config.arguments_as(part))
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn();
    child.and_then(Process::of_child).map_err(|error| {
        let cause = format_args!("cannot be started ({error})");
        let cure = "put the handoff-fs program back there and run it again";
        Failure::new(&program, cause, cure)
    })
}

/// Variables of the environment that glibc's allocator reads (mallopt(3)): two sizes in bytes, and a number of heaps.
///
/// By default the allocator keeps large blocks that were freed, and gives every thread a heap of its own. This program lists
/// a hundred thousand names once and then runs for weeks, so it returns such blocks to the system. The blocks of a request are
/// below the first limit and cost no system call. Measured after mounting 100,000 handoffs: 18 MiB instead of 43.
const SETTINGS: [(&str, &str); 3] = [
    ("MALLOC_MMAP_THRESHOLD_", "2097152"),
    ("MALLOC_TRIM_THRESHOLD_", "1048576"),
    ("MALLOC_ARENA_MAX", "1"),
];

/// Makes the program, and every program that it starts, return unused memory to the system. Variables that the user has set stay.
fn limit_memory(command: &mut Command) -> &mut Command {
    let unset = |name: &&(&str, &str)| std::env::var_os(name.0).is_none();
    command.envs(SETTINGS.iter().filter(unset).copied())
}

/// This program's file, or the running program itself after an update has replaced the file.
fn own_program() -> PathBuf {
    match std::env::current_exe() {
        Ok(path) if path.exists() => path,
        _ => PathBuf::from("/proc/self/exe"),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn lines_of_a_starting_process() {
        let announced = RefCell::new(String::new());
        let start = |lines: &'static str| {
            await_mount(Some(lines.as_bytes()), |line| {
                *announced.borrow_mut() += line;
            })
        };
        assert_eq!(start("waiting up to 10 s\nready 7\n"), Ok(()));
        assert_eq!(*announced.borrow(), "waiting up to 10 s");
        let failure = Failure::from_text("/m: is taken; move it");
        assert_eq!(start("error /m: is taken; move it\n"), Err(Some(failure)));
        assert_eq!(start(""), Err(None));
        assert_eq!(start("nonsense\nready 7\n"), Err(None));
    }
}
