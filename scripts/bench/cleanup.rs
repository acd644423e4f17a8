//! Cleans up when the run ends, also by an error, a signal or a row that hangs: unmounts and ends all that the run started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// What the run has started and has not ended yet.
struct Undo {
    mounts: Vec<PathBuf>,
    daemons: Vec<u32>,
    directories: Vec<PathBuf>,
    /// The current row, and when it must have ended.
    limit: Option<(String, Instant)>,
    /// When the whole run must have ended.
    end: Option<Instant>,
}

static UNDO: Mutex<Undo> = Mutex::new(Undo {
    mounts: Vec::new(),
    daemons: Vec::new(),
    directories: Vec::new(),
    limit: None,
    end: None,
});

fn undo() -> MutexGuard<'static, Undo> {
    UNDO.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on a signal, or a limit of time that has passed, cleans up and ends the program.
///
/// # Errors
///
/// A signal handler or a thread could not be made.
pub fn start(whole: Duration) -> std::io::Result<()> {
    undo().end = Some(Instant::now() + whole);
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::Builder::new().spawn(move || {
        if let Some(signal) = signals.forever().next() {
            eprintln!("bench: ended by signal {signal}; unmounting");
            clean();
            std::process::exit(128 + signal);
        }
    })?;
    thread::Builder::new().spawn(|| {
        loop {
            thread::sleep(Duration::from_millis(200));
            let now = Instant::now();
            let late = {
                let undo = undo();
                let row = undo.limit.as_ref().filter(|(_, end)| *end < now);
                let whole = undo.end.filter(|end| *end < now);
                row.map(|(what, _)| what.clone())
                    .or_else(|| whole.map(|_| "the whole run".to_owned()))
            };
            if let Some(what) = late {
                eprintln!("bench: {what} takes too long, perhaps a mount hangs; unmounting");
                clean();
                std::process::exit(1);
            }
        }
    })?;
    Ok(())
}

/// Sets the limit of time of what comes next.
pub fn limit(what: &str, time: Duration) {
    undo().limit = Some((what.to_owned(), Instant::now() + time));
}

pub fn add_mount(point: &Path) {
    undo().mounts.push(point.to_owned());
}

pub fn forget_mount(point: &Path) {
    undo().mounts.retain(|mount| mount != point);
}

pub fn add_daemon(pid: u32) {
    undo().daemons.push(pid);
}

pub fn forget_daemon(pid: u32) {
    undo().daemons.retain(|daemon| *daemon != pid);
}

pub fn add_directory(path: &Path) {
    undo().directories.push(path.to_owned());
}

/// Ends the daemons, unmounts and removes the directories.
pub fn clean() {
    let mut undo = undo();
    // The daemons first: a supervisor would mount again.
    for pid in undo.daemons.drain(..) {
        kill(pid);
    }
    for point in undo.mounts.drain(..) {
        unmount(&point);
    }
    for directory in undo.directories.drain(..) {
        let _ = fs::remove_dir_all(directory);
    }
}

pub fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Whether a FUSE file system is mounted exactly here.
pub fn is_mounted(point: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().any(|line| {
        let Some((place, kind)) = line.split_once(" - ") else {
            return false;
        };
        kind.starts_with("fuse") && place.split(' ').nth(4).map(Path::new) == Some(point)
    })
}

/// Unmounts lazily, so that processes in the mount do not prevent it.
pub fn unmount(point: &Path) {
    for _ in 0..10 {
        if !is_mounted(point) {
            return;
        }
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("umount");
            command.arg("-l");
            command
        } else {
            let mut command = Command::new("fusermount3");
            command.args(["-u", "-z", "-q"]);
            command
        };
        let _ = command.arg(point).stderr(Stdio::null()).status();
    }
}
