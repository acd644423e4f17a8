//! System calls, each announced before it is made, each on another thread than the one before, each with what it saw.

use std::fmt::Debug;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;

use rustix::fs::{self, Access, AtFlags, CWD, FileType, Mode, OFlags, Statx, StatxFlags};
use rustix::io::{self, Errno};

use super::play::Wire;

type Job = Box<dyn FnOnce() + Send>;

/// The calls of one process.
pub struct Calls {
    wire: Wire,
    threads: Vec<Sender<Job>>,
    turn: AtomicUsize,
}

/// An open file.
pub struct Fd(Arc<OwnedFd>);

/// The attributes of a file that statx(2) returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Meta {
    pub mode: u32,
    pub size: u64,
    pub mtime: (i64, u32),
    pub is_file: bool,
}

/// The result of a call. Every use says what the result must be.
#[must_use = "say what the call must see"]
pub struct Seen<T> {
    call: String,
    result: io::Result<T>,
}

impl<T> Seen<T> {
    /// The call must succeed.
    pub fn ok(self) -> T {
        self.result
            .unwrap_or_else(|error| panic!("{}: {error:?}", self.call))
    }

    /// The call must fail with this error.
    pub fn fails(self, expected: Errno) {
        match self.result {
            Err(error) if error == expected => {}
            Err(error) => panic!("{}: {error:?}, not {expected:?}", self.call),
            Ok(_) => panic!("{}: succeeds, not {expected:?}", self.call),
        }
    }

    /// The call must succeed, or fail with ENOENT.
    pub fn if_there(self) -> Option<T> {
        match self.result {
            Err(Errno::NOENT) => None,
            result => Some(result.unwrap_or_else(|error| panic!("{}: {error:?}", self.call))),
        }
    }

    /// The call must succeed if the file is there, and else fail with ENOENT.
    pub fn ok_if(self, there: bool) -> Option<T> {
        if there {
            return Some(self.ok());
        }
        self.fails(Errno::NOENT);
        None
    }
}

impl Calls {
    pub fn new(wire: Wire, threads: &str) -> Calls {
        Calls {
            wire,
            threads: (0..4).map(|_| worker(threads)).collect(),
            turn: AtomicUsize::new(0),
        }
    }

    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    fn call<T: Send + 'static>(
        &self,
        call: String,
        make: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Seen<T> {
        self.wire.announce(&call);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = mpsc::sync_channel(1);
        let job = Box::new(move || {
            let result = make();
            let _ = answer.send(result);
        });
        self.threads[turn % self.threads.len()].send(job).unwrap();
        let result = answered.recv().unwrap();
        Seen { call, result }
    }

    fn on_path<T: Send + 'static>(
        &self,
        name: &str,
        path: &Path,
        make: impl FnOnce(PathBuf) -> io::Result<T> + Send + 'static,
    ) -> Seen<T> {
        let at = path.to_owned();
        self.call(format!("{name}({})", path.display()), || make(at))
    }

    fn on_fd<T: Send + 'static>(
        &self,
        name: &str,
        fd: &Fd,
        make: impl FnOnce(&OwnedFd) -> io::Result<T> + Send + 'static,
    ) -> Seen<T> {
        let fd = fd.0.clone();
        self.call(format!("{name}({fd:?})"), move || make(&fd))
    }

    pub fn statx(&self, path: &Path) -> Seen<Meta> {
        self.on_path("statx", path, |path| {
            fs::statx(CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS).map(Meta::of)
        })
    }

    pub fn lstat(&self, path: &Path) -> Seen<Meta> {
        self.on_path("lstat", path, |path| {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            fs::statx(CWD, path, flags, StatxFlags::BASIC_STATS).map(Meta::of)
        })
    }

    pub fn fstat(&self, fd: &Fd) -> Seen<Meta> {
        self.on_fd("fstat", fd, |fd| {
            fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).map(Meta::of)
        })
    }

    pub fn access(&self, path: &Path) -> Seen<()> {
        self.on_path("access", path, |path| fs::access(path, Access::EXISTS))
    }

    pub fn readlink(&self, path: &Path) -> Seen<()> {
        self.on_path("readlink", path, |path| {
            fs::readlink(path, Vec::new()).map(drop)
        })
    }

    pub fn mkdir(&self, path: &Path) -> Seen<()> {
        self.on_path("mkdir", path, |path| fs::mkdir(path, Mode::from(0o777)))
    }

    pub fn open(&self, path: &Path, flags: OFlags) -> Seen<Fd> {
        let how = match flags {
            _ if flags.contains(OFlags::PATH) => "path",
            _ if flags.contains(OFlags::WRONLY) => "write",
            _ => "read",
        };
        self.on_path(&format!("open to {how}"), path, move |path| {
            let fd = fs::open(path, flags | OFlags::CLOEXEC, Mode::from(0o666))?;
            Ok(Fd(Arc::new(fd)))
        })
    }

    pub fn pread(&self, fd: &Fd, len: usize, offset: u64) -> Seen<Vec<u8>> {
        self.on_fd("pread", fd, move |fd| {
            let mut buffer = vec![0; len];
            let read = io::pread(fd, &mut buffer, offset)?;
            buffer.truncate(read);
            Ok(buffer)
        })
    }

    pub fn read(&self, fd: &Fd, len: usize) -> Seen<Vec<u8>> {
        self.on_fd("read", fd, move |fd| {
            let mut buffer = vec![0; len];
            let read = io::read(fd, &mut buffer)?;
            buffer.truncate(read);
            Ok(buffer)
        })
    }

    pub fn write(&self, fd: &Fd, text: &str) -> Seen<()> {
        let text = text.to_owned();
        self.on_fd("write", fd, move |fd| {
            let written = io::write(fd, text.as_bytes())?;
            assert_eq!(written, text.len(), "short write");
            Ok(())
        })
    }

    pub fn fsync(&self, fd: &Fd) -> Seen<()> {
        self.on_fd("fsync", fd, |fd| fs::fsync(fd))
    }

    pub fn fchmod(&self, fd: &Fd, mode: u32) -> Seen<()> {
        self.on_fd("fchmod", fd, move |fd| fs::fchmod(fd, Mode::from(mode)))
    }

    pub fn ftruncate(&self, fd: &Fd, size: usize) -> Seen<()> {
        self.on_fd("ftruncate", fd, move |fd| fs::ftruncate(fd, size as u64))
    }

    pub fn close(&self, fd: Fd) -> Seen<()> {
        let call = format!("close({:?})", fd.0);
        // INVARIANT: every call that had a share in it has been answered, and so has given it back.
        let fd = Arc::into_inner(fd.0).unwrap();
        self.call(call, || {
            nix::unistd::close(fd).map_err(|error| Errno::from_raw_os_error(error as i32))
        })
    }

    pub fn rename(&self, from: &Path, to: &Path) -> Seen<()> {
        let to = to.to_owned();
        self.on_path("rename", from, |from| fs::rename(from, to))
    }

    pub fn unlink(&self, path: &Path) -> Seen<()> {
        self.on_path("unlink", path, fs::unlink)
    }

    /// Node's recursive mkdir: from the far end, and back to it once its parent is there.
    pub fn mkdir_p(&self, path: &Path) {
        let made = self.mkdir(path);
        match made.result {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(Errno::NOENT) => {
                self.mkdir_p(path.parent().unwrap());
                self.mkdir(path).ok();
            }
            Err(error) => panic!("{}: {error:?}", made.call),
        }
    }

    /// open, everything, and the read that meets the end.
    pub fn read_all(&self, path: &Path) -> String {
        let fd = self.open(path, OFlags::RDONLY).ok();
        self.read_to_end(fd)
    }

    /// Everything, the read that meets the end, and close.
    pub fn read_to_end(&self, fd: Fd) -> String {
        let size = self.fstat(&fd).ok().size;
        let mut all = Vec::new();
        loop {
            let some = self.read(&fd, 512 * 1024).ok();
            if some.is_empty() {
                break;
            }
            all.extend(some);
        }
        self.close(fd).ok();
        assert_eq!(all.len() as u64, size, "st_size");
        String::from_utf8(all).unwrap()
    }

    /// A look at the beginning.
    pub fn sniff(&self, path: &Path, len: usize) {
        let fd = self.open(path, OFlags::RDONLY).ok();
        self.pread(&fd, len, 0).ok();
        self.close(fd).ok();
    }
}

impl Meta {
    fn of(statx: Statx) -> Meta {
        Meta {
            mode: u32::from(statx.stx_mode) & 0o7777,
            size: statx.stx_size,
            mtime: (statx.stx_mtime.tv_sec, statx.stx_mtime.tv_nsec),
            is_file: FileType::from_raw_mode(statx.stx_mode.into()) == FileType::RegularFile,
        }
    }
}

fn worker(name: &str) -> Sender<Job> {
    let (sender, jobs) = mpsc::channel::<Job>();
    let thread = thread::Builder::new().name(name.to_owned());
    thread
        .spawn(move || jobs.into_iter().for_each(|job| job()))
        .unwrap();
    sender
}

/// The directory of a path, as a tool asks for it.
pub fn dir_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    }
}
