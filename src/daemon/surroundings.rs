//! What a process that runs for weeks does about the descriptors, signals, limits and directories that it inherits.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::Mode;
use rustix::process::Resource;
use signal_hook::consts::SIGXFSZ;

use super::process::open_files;
use crate::failure::Failure;

/// Closes descriptors that were not opened for this process: a pipe or a lock of the caller's shell would otherwise stay open
/// as long as the mount. To be called before anything is opened here.
pub(super) fn close_inherited() {
    let inherited: Vec<i32> = open_files("self")
        .filter_map(|file| file.file_name()?.to_str()?.parse().ok())
        .filter(|descriptor| *descriptor > 2)
        .collect();
    for descriptor in inherited {
        // The descriptor of the listing itself is closed already.
        let _ = nix::unistd::close(descriptor);
    }
}

/// A write past the limit on file sizes of the shell that mounts (`ulimit -f`) must fail with EFBIG for its writer (spec 4.9),
/// and not end the process. To be called before anything is written.
pub(super) fn survive_large_writes() {
    // The flag is not read. The signal is caught, because programs that are started here would inherit that it is ignored.
    if let Err(error) = signal_hook::flag::register(SIGXFSZ, Arc::default()) {
        log::warn!("a write past the limit on file sizes will end this process ({error})");
    }
}

pub(super) fn no_signals(mountpoint: &Path, error: &io::Error) -> Failure {
    let cause = format_args!("signals cannot be caught ({error})");
    Failure::new(
        mountpoint,
        cause,
        "raise the limit on open files: ulimit -n",
    )
}

/// Leaves the caller's directory, so that its file system can be unmounted.
pub(super) fn leave_directory() {
    if let Err(error) = rustix::process::chdir("/") {
        log::debug!("chdir /: {error}");
    }
}

/// Drops the caller's umask, and its limit on open files as far as allowed.
pub(super) fn drop_limits() {
    // The kernel has applied the umask of each writer already.
    rustix::process::umask(Mode::empty());
    // Every file that a process has open in the mount is open here too.
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, limit) {
        log::debug!("limit on open files: {error}");
    }
}
