//! The command `unmount`.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::mounts::{Manner, Mount};
use super::process::{self, Process};
use super::{ending, mounted, mounts, preflight};
use crate::failure::Failure;
use crate::names::PRIVATE;
use crate::quote::quoted;

/// Files that a program had open for a moment only are closed within this time.
const MOMENT: Duration = Duration::from_millis(300);

/// How often a supervisor may have mounted again before `unmount` gives up.
const MOST_MOUNTS: usize = 10;

/// Unmounts. A mount in use is unmounted lazily, and its users are named. Returns when the daemon and its supervisor have ended,
/// or when the daemon only waits for open files.
///
/// # Errors
/// Nothing is mounted there, the mount is another user's, or the daemon does not end.
pub fn unmount(mountpoint: &Path) -> Result<(), Failure> {
    let mountpoint = preflight::resolve(mountpoint);
    let mut done = false;
    for _ in 0..MOST_MOUNTS {
        done |= mounted::clear_dead(&mountpoint)?;
        let mount = mounted::at(&mountpoint);
        if let Ok(mount) = &mount {
            let result = unmount_live(&mountpoint, mount);
            // After an error the mount may be gone: another process has unmounted, or the daemon has died.
            if result.is_ok() || mounted::at(&mountpoint).is_ok() {
                return result;
            }
        }
        if let Some(supervisor) = supervisor_without_daemon(&mountpoint) {
            supervisor.signal(Signal::TERM);
            must_end(&mountpoint, "supervisor", &supervisor)?;
            done = true;
        }
        if let Err(failure) = mount
            && mounted::at(&mountpoint).is_err()
        {
            return match done {
                true => Ok(()),
                false => Err(failure),
            };
        }
    }
    let cause = "is mounted again and again";
    let cure = "see the log, and end its supervisor: handoff-fs status names the pid";
    Err(Failure::new(&mountpoint, cause, cure))
}

/// This mount's supervisor, if the supervisor lives while nothing is mounted. The lock file of the last daemon names its pid. With
/// `--backing` the lock file is not found here.
fn supervisor_without_daemon(mountpoint: &Path) -> Option<Process> {
    let lock = mountpoint.join(PRIVATE).join("lock");
    let text = mounts::with_timeout(move || std::fs::read_to_string(lock))?.ok()?;
    let process = Process::open(text.lines().nth(1)?.parse().ok()?).ok()?;
    // The pid in an old lock file may belong to another process by now.
    let line = std::fs::read(format!("/proc/{}/cmdline", process.pid)).ok()?;
    let words: Vec<_> = line.split(|byte| *byte == 0).collect();
    let is_supervisor = words.contains(&b"--supervise".as_slice())
        && words.contains(&mountpoint.as_os_str().as_bytes());
    is_supervisor.then_some(process)
}

/// Waits for the end of the daemon or supervisor, named by `role`.
fn must_end(mountpoint: &Path, role: &str, process: &Process) -> Result<(), Failure> {
    if process.ends_within(ending::LONGEST) {
        return Ok(());
    }
    let pid = process.pid;
    let cause = format_args!("is unmounted, but its {role} (pid {pid}) has not ended");
    let cure = format_args!("see its log, or end it: kill {pid}");
    Err(Failure::new(mountpoint, cause, cure))
}

fn unmount_live(mountpoint: &Path, mount: &Mount) -> Result<(), Failure> {
    let status = mounted::ask(mountpoint).ok().map(|(_, status)| status);
    // Opened while the daemon answers and lives, so that neither pid can belong to a later process.
    let open = |pid: u32| Process::open(pid.cast_signed()).ok();
    let daemon = status.as_ref().and_then(|status| open(status.pid));
    let supervisor = status.and_then(|status| open(status.supervisor?.pid));

    match mounts::unmount(mountpoint, Manner::Plain) {
        Ok(()) => {
            if let Some(supervisor) = &supervisor {
                // A supervisor ends with its daemon. But if the daemon has just crashed, the supervisor would mount again.
                supervisor.signal(Signal::TERM);
            }
            for (role, process) in [("daemon", daemon), ("supervisor", supervisor)] {
                if let Some(process) = process {
                    must_end(mountpoint, role, &process)?;
                }
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            let holders = holders(mountpoint, daemon.as_ref().map(|daemon| daemon.pid));
            mounts::unmount(mountpoint, Manner::Lazy)
                .map_err(|error| not_unmounted(mountpoint, mount, &error))?;
            if let Some(daemon) = daemon.filter(|daemon| !daemon.ends_within(MOMENT)) {
                let _ = writeln!(
                    io::stderr(),
                    "handoff-fs: {}: unmounted, but still in use by {holders}; the daemon (pid {}) ends when they are done, and the next mount cuts them off",
                    quoted(mountpoint),
                    daemon.pid
                );
            }
            Ok(())
        }
        Err(error) => Err(not_unmounted(mountpoint, mount, &error)),
    }
}

fn not_unmounted(mountpoint: &Path, mount: &Mount, error: &io::Error) -> Failure {
    let user = rustix::process::geteuid().as_raw();
    if error.kind() == io::ErrorKind::ResourceBusy {
        let cause = format_args!("is in use by {}", holders(mountpoint, None));
        return Failure::new(mountpoint, cause, "end that use, and unmount again");
    }
    if mount.owner.is_some_and(|owner| owner != user && user != 0) {
        return mounted::not_ours(mountpoint, mount);
    }
    let cause = format_args!("cannot be unmounted ({error})");
    let cure = format_args!("as root: umount -l {}", quoted(mountpoint));
    Failure::new(mountpoint, cause, cure)
}

/// The users of a mount, in words: processes that have a file, their working directory or their root in the mount, as far as
/// this user may see them, and mounts below its root.
fn holders(mountpoint: &Path, daemon: Option<i32>) -> String {
    let mut found = BTreeSet::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // The daemon holds the covered directory open, whose path is that of the mount.
        if daemon == Some(pid) {
            continue;
        }
        let holds = ["cwd", "root", "exe"]
            .map(|name| process.path().join(name))
            .into_iter()
            .chain(process::open_files(&pid.to_string()))
            .any(|link| {
                std::fs::read_link(link).is_ok_and(|target| target.starts_with(mountpoint))
            });
        if holds {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            found.insert(format!("{} (pid {pid})", name.trim()));
        }
    }
    for mount in mounts::table().unwrap_or_default() {
        if mount.point != mountpoint && mount.point.starts_with(mountpoint) {
            found.insert(format!("the mount at {}", quoted(&mount.point)));
        }
    }
    match found.is_empty() {
        true => "a process that is not visible from here".to_owned(),
        false => Vec::from_iter(found).join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_holds_its_own_working_directory() {
        let here = std::env::current_dir().unwrap();
        assert!(holders(&here, None).contains(&format!("(pid {})", std::process::id())));
    }
}
