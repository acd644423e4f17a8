//! A read lease shows whether any process has a file open for writing (spec 3.7).
//!
//! The kernel refuses a read lease while any process has the file open for writing. A granted lease is given back at once,
//! so that no writer has to wait.
#![allow(unsafe_code)] // Neither rustix nor nix has F_SETLEASE; this is the only unsafe call of the program.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use libc::c_int;

/// Has any process a file open for writing?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Writers {
    /// No process has.
    None,
    /// At least one process has.
    Some,
    /// The filesystem, or the file's owner, allows no lease.
    Unknown,
}

/// Missing in libc for most targets; the number is the same on all of them.
const F_SETSIG: c_int = 10;

/// Filesystems that also refuse a lease while no process writes, because their server grants no delegation: NFS, CIFS, SMB2.
/// `f_type` of statfs(2).
const REMOTE: [u32; 3] = [0x6969, 0xff53_4d42, 0xfe53_4d42];

/// Asks whether any process, this one included, has this file open for writing. `file` is open for reading only.
pub fn writers(file: &File) -> Writers {
    // A process that opens the file for writing during the lease waits until the lease is given back, and the kernel sends
    // this process a signal. SIGIO, the default signal, would end this process; SIGURG is ignored.
    if fcntl(file, F_SETSIG, libc::SIGURG).is_err() {
        return Writers::Unknown;
    }
    match fcntl(file, libc::F_SETLEASE, libc::F_RDLCK) {
        Ok(()) => {
            if let Err(error) = fcntl(file, libc::F_SETLEASE, libc::F_UNLCK) {
                // Closing the file gives the lease back, too.
                log::debug!("a lease cannot be given back before its file is closed ({error})");
            }
            Writers::None
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && !is_remote(file) => {
            Writers::Some
        }
        Err(_) => Writers::Unknown,
    }
}

fn is_remote(file: &File) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|fs| REMOTE.contains(&(fs.f_type as u32)))
}

fn fcntl(file: &File, command: c_int, argument: c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open as long as `file` is borrowed, and no command here has a pointer as argument.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, argument) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    /// spec 3.7c: refused exactly while a process has the file open for writing.
    #[test]
    fn refused_while_a_process_writes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let writer = File::create(&path).unwrap();
        let file = File::open(&path).unwrap();
        assert_eq!(writers(&file), Writers::Some);
        let reader = File::open(&path).unwrap();
        drop(writer);
        assert_eq!(writers(&file), Writers::None);
        let adder = OpenOptions::new().append(true).open(&path).unwrap();
        assert_eq!(writers(&reader), Writers::Some);
        drop(adder);
        assert_eq!(writers(&reader), Writers::None);
    }

    /// spec 3.7c: a process that opens the file for writing during the lease neither waits for long nor ends this process.
    #[test]
    fn a_writer_during_the_lease() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        File::create(&path).unwrap();
        let file = File::open(&path).unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    OpenOptions::new().append(true).open(&path).unwrap();
                }
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                writers(&file);
            }
        });
        assert_eq!(writers(&file), Writers::None);
    }
}
