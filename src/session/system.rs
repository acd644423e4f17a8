//! The kernel's `/proc`.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use parking_lot::Mutex;

use super::proc::Proc;

/// The kernel's `/proc`. The files of threads that called last stay open: to open and close a file costs more than to read
/// it.
///
/// An open file belongs to a thread, not to its number: after the thread has ended every read fails (ESRCH), even if another
/// thread reused the number. A process that executes another program keeps its files, which then show that program. If a
/// thread other than the leading one called execve(2), the files of that thread end, and the leading thread's files are
/// valid for it. `hidepid` is only checked at open: a process that executes a set-user-ID program may stay visible for
/// some time.
#[derive(Debug, Default)]
pub struct SystemProc {
    /// Thread, name, and file. The file that was read last is at the end.
    kept: Mutex<Vec<(u32, &'static str, File)>>,
}

impl SystemProc {
    /// At most this many files are kept open: two each of eight threads, and seldom more threads call in turns. The
    /// descriptors are among those that the program reserves for itself.
    const MAX_KEPT: usize = 16;

    fn take(&self, tid: u32, name: &'static str) -> Option<File> {
        let mut kept = self.kept.lock();
        let at = kept
            .iter()
            .rposition(|(of, file, _)| (*of, *file) == (tid, name))?;
        Some(kept.remove(at).2)
    }

    fn keep(&self, tid: u32, name: &'static str, file: File) {
        let mut kept = self.kept.lock();
        let oldest = (kept.len() >= Self::MAX_KEPT).then(|| kept.remove(0));
        kept.push((tid, name, file));
        // Closes the oldest file only after the lock is free.
        drop(kept);
        drop(oldest);
    }
}

impl Proc for SystemProc {
    fn read(&self, pid: u32, file: &'static str) -> io::Result<Vec<u8>> {
        read_all(&open(pid, file)?)
    }

    fn read_of_caller(&self, tid: u32, name: &'static str) -> io::Result<Vec<u8>> {
        // Two requests never read the same open file: the kernel lets one reader in at a time, and that reader may have to
        // wait for the process (see `Resolver::dying_by_signal`). A request that finds no kept file opens another.
        let kept = self.take(tid, name);
        let read = kept.and_then(|file| Some((read_all(&file).ok()?, file)));
        let (content, file) = match read {
            Some(read) => read,
            None => {
                let file = open(tid, name)?;
                (read_all(&file)?, file)
            }
        };
        self.keep(tid, name, file);
        Ok(content)
    }
}

fn open(pid: u32, name: &str) -> io::Result<File> {
    File::open(format!("/proc/{pid}/{name}"))
}

/// Reads a file of `/proc` from its start; the kernel generates the content anew for each such read. One read is enough for
/// all but a long environment or command line.
fn read_all(file: &File) -> io::Result<Vec<u8>> {
    /// More than an environment and a command line can have: the kernel's limit is 6 MiB for both.
    const MAX_LEN: u64 = 8 << 20;
    let mut content = vec![0; 2048];
    let read = file.read_at(&mut content, 0)?;
    content.truncate(read);
    if read == 2048 {
        content.clear();
        file.take(MAX_LEN).read_to_end(&mut content)?;
    }
    Ok(content)
}
