//! The kernel's `/proc`.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use parking_lot::Mutex;

use super::proc::Proc;

/// The kernel's `/proc`. Of those who call, what is asked for at each call is kept open.
#[derive(Debug, Default)]
pub struct SystemProc {
    caller_stat: Kept,
    statm: Kept,
}

impl SystemProc {
    /// More than an environment or command line can have: the kernel's own limit is 6 MiB for both together.
    const MAX_LEN: u64 = 8 << 20;

    fn read(pid: u32, name: &str) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        open(pid, name)?
            .take(Self::MAX_LEN)
            .read_to_end(&mut content)?;
        Ok(content)
    }
}

impl Proc for SystemProc {
    fn stat(&self, pid: u32) -> io::Result<Vec<u8>> {
        read_at_once(&open(pid, "stat")?)
    }

    fn caller_stat(&self, tid: u32) -> io::Result<Vec<u8>> {
        self.caller_stat.read(tid, "stat")
    }

    fn statm(&self, pid: u32) -> io::Result<Vec<u8>> {
        self.statm.read(pid, "statm")
    }

    fn status(&self, pid: u32) -> io::Result<Vec<u8>> {
        read_at_once(&open(pid, "status")?)
    }

    fn environ(&self, pid: u32) -> io::Result<Vec<u8>> {
        Self::read(pid, "environ")
    }

    fn cmdline(&self, pid: u32) -> io::Result<Vec<u8>> {
        Self::read(pid, "cmdline")
    }
}

fn open(pid: u32, name: &str) -> io::Result<File> {
    File::open(format!("/proc/{pid}/{name}"))
}

/// Reads a file that the kernel writes anew for every read of its start, and whole into a buffer that is large enough: one
/// read is all it takes. Of a longer one what counts here comes first.
fn read_at_once(file: &File) -> io::Result<Vec<u8>> {
    let mut content = vec![0; 2048];
    let read = file.read_at(&mut content, 0)?;
    content.truncate(read);
    Ok(content)
}

/// One file of `/proc/TID`, kept open for the threads that were asked about last: to open and close it costs more than to
/// read it.
///
/// An open file is of a thread, not of its number: once the thread is gone no read of it succeeds (ESRCH), whoever has the
/// number by then. A process that runs another program keeps its files, and they tell of that program; where another thread
/// than the leading one has run it, that thread's files end, and the leading one's are its. Whether `hidepid` hides somebody
/// is looked at when a file is opened: who runs a set-user-ID program only then may be told of for some time yet.
#[derive(Debug, Default)]
struct Kept {
    /// The last one that was read is at the end.
    files: Mutex<Vec<(u32, File)>>,
}

impl Kept {
    /// More threads than that seldom call in turns. All these descriptors, of both files, come out of those that clients
    /// leave to the program itself.
    const MAX: usize = 8;

    fn read(&self, tid: u32, name: &str) -> io::Result<Vec<u8>> {
        // No two read the same open file: the kernel lets one in at a time, and the first may have to wait for the process
        // (see `Resolver::dying_by_signal`). Who finds none opens it for himself.
        let kept = self.take(tid).and_then(|file| {
            let content = read_at_once(&file).ok()?;
            Some((content, file))
        });
        let (content, file) = match kept {
            Some(read) => read,
            None => {
                let file = open(tid, name)?;
                (read_at_once(&file)?, file)
            }
        };
        self.keep(tid, file);
        Ok(content)
    }

    fn take(&self, tid: u32) -> Option<File> {
        let mut files = self.files.lock();
        let at = files.iter().rposition(|(of, _)| *of == tid)?;
        Some(files.remove(at).1)
    }

    fn keep(&self, tid: u32, file: File) {
        let mut files = self.files.lock();
        // Another read at the same time, and was done first: one is enough.
        if files.iter().any(|(of, _)| *of == tid) {
            return;
        }
        let oldest = (files.len() >= Self::MAX).then(|| files.remove(0));
        files.push((tid, file));
        // Closed when nobody waits for it.
        drop(files);
        drop(oldest);
    }
}
