//! The open files of a process.

use std::path::PathBuf;

/// The files that `process` has open, each as its name in `/proc`: `/proc/PID/fd/N`. None where they cannot be seen.
/// A process is a pid, `PID/task/TID`, or `self`.
pub(super) fn of(process: &str) -> impl Iterator<Item = PathBuf> {
    let files = std::fs::read_dir(format!("/proc/{process}/fd"));
    files
        .into_iter()
        .flatten()
        .flatten()
        .map(|file| file.path())
}
