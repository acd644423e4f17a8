//! The system calls of a case, as both drivers serve them, and the clock they share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use handoff_fs::clock::Clock;

use crate::ops::Who;

/// An errno, or what the call answers.
pub type Result<T> = std::result::Result<T, i32>;

/// An open file description; [`Sys::dup`] adds a descriptor to it.
pub type Fd = usize;

/// What a case asks of a filesystem.
pub trait Sys {
    fn open(&mut self, who: Who, path: &str, flags: i32) -> Result<Fd>;
    /// Opens for reading while every close so far that was [`Sys::close_late`] is released.
    fn open_racing(&mut self, who: Who, path: &str, late: Fd) -> Result<Fd>;
    fn dup(&mut self, fd: Fd);
    /// Closes one descriptor.
    fn close(&mut self, fd: Fd) -> Result<()>;
    /// Closes the only descriptor, but for the RELEASE, which [`Sys::open_racing`] brings.
    fn close_late(&mut self, fd: Fd) -> Result<()>;
    /// At the file's position, which moves.
    fn read(&mut self, fd: Fd, len: usize) -> Result<Vec<u8>>;
    fn write(&mut self, fd: Fd, data: &[u8]) -> Result<usize>;
    fn rewind(&mut self, fd: Fd);
    fn ftruncate(&mut self, fd: Fd, len: u64) -> Result<()>;
    fn fstat_size(&mut self, fd: Fd) -> Result<u64>;
    fn truncate(&mut self, who: Who, path: &str, len: u64) -> Result<()>;
    fn rename(&mut self, who: Who, from: &str, to: &str) -> Result<()>;
    fn unlink(&mut self, who: Who, path: &str) -> Result<()>;
    fn mkdir(&mut self, path: &str) -> Result<()>;
    fn rmdir(&mut self, path: &str) -> Result<()>;
    fn list(&mut self, path: &str) -> Result<Vec<String>>;
    fn stat_size(&mut self, who: Who, path: &str) -> Result<u64>;
    fn sweep(&mut self);
    /// Ends the daemon and starts it again; descriptors that are open are lost.
    fn remount(&mut self);
    fn drop_caches(&mut self);
    /// The backing directory.
    fn below(&self) -> PathBuf;
    /// Panics if anything is remembered that nobody refers to.
    fn check_leaks(&mut self);

    /// All of a file.
    fn cat(&mut self, who: Who, path: &str) -> Result<Vec<u8>> {
        let fd = self.open(who, path, libc::O_RDONLY)?;
        let mut bytes = Vec::new();
        loop {
            match self.read(fd, 4096) {
                Ok(piece) if piece.is_empty() => break,
                Ok(piece) => bytes.extend(piece),
                Err(errno) => {
                    let _ = self.close(fd);
                    return Err(errno);
                }
            }
        }
        self.close(fd)?;
        Ok(bytes)
    }
}

/// A clock that stands still until it is told to go.
#[derive(Clone)]
pub struct StoppedClock(Arc<Mutex<SystemTime>>);

impl StoppedClock {
    /// Stands at the machine's time, in whole seconds.
    pub fn new() -> StoppedClock {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
        StoppedClock(Arc::new(Mutex::new(now)))
    }

    pub fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }

    /// More than two minutes pass from one look to the next: the model knows no second look (6.7), which others test.
    fn monotonic(&self) -> Instant {
        static LOOKS: AtomicU64 = AtomicU64::new(1);
        let looks = LOOKS.fetch_add(1, Ordering::Relaxed);
        Instant::now() + Duration::from_secs(121 * looks)
    }
}
