//! Descriptors, signals, limits and directories that a process inherits, and that must not last as long as the mount.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::Mode;
use rustix::process::Resource;
use signal_hook::consts::SIGXFSZ;

use super::process::open_files;
use crate::failure::Failure;

/// Closes inherited descriptors but the standard three: a pipe or a lock of the caller's shell would otherwise stay open as long
/// as the mount. To be called before this process opens a file.
pub(super) fn close_inherited() {
    let inherited: Vec<i32> = open_files("self")
        .filter_map(|file| file.file_name()?.to_str()?.parse().ok())
        .filter(|descriptor| *descriptor > 2)
        .collect();
    for descriptor in inherited {
        // The listing had a descriptor of its own, which is closed already.
        let _ = nix::unistd::close(descriptor);
    }
}

/// Catches SIGXFSZ: a write past the file size limit of the mounting shell (`ulimit -f`) must fail with EFBIG for its writer
/// (spec 4.9), and not end this process. To be called before this process writes a file.
pub(super) fn survive_large_writes() {
    // Nothing reads the flag. The signal is caught and not ignored, because child processes would inherit that it is ignored.
    if let Err(error) = signal_hook::flag::register(SIGXFSZ, Arc::default()) {
        log::warn!("a write past the limit on file sizes will end this process ({error})");
    }
}

pub(super) fn no_signals(mountpoint: &Path, error: &io::Error) -> Failure {
    let cause = format_args!("signals cannot be caught ({error})");
    let cure = "raise the limit on open files: ulimit -n";
    Failure::new(mountpoint, cause, cure)
}

/// Leaves the caller's working directory, so that its file system can be unmounted, and drops the caller's umask and limit on
/// open files. None of these calls can fail.
pub(super) fn leave_caller() {
    let _ = rustix::process::chdir("/");
    // The kernel has applied the umask of each writer already.
    rustix::process::umask(Mode::empty());
    // This process opens a file for each file that a program has open in the mount.
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
}
