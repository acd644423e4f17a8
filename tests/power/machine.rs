//! A machine: the program over a disk, and those who use it. The logic is driven directly, in one thread, so that what
//! reaches the disk comes in one order, and what is told to whom between which operations; the disk is below the kernel.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use handoff_fs::clock::Clock;
use handoff_fs::error::Error;
use handoff_fs::fs::{Fs, HandleId, NodeId, OpenError, Options, Outcome, Request, SetAttr};
use handoff_fs::session::Proc;
use handoff_fs::store::dir::DirStore;
use handoff_fs::store::dirfd::Beneath;

use crate::disk::Disk;
use crate::mount::{Mounted, Step};
use crate::write_log::{HandoffId, WriteLog};

/// The thread of a caller.
pub type Who = u32;

pub const SHELL: Who = 100;
pub const EDITOR: Who = 101;
pub const AGENT: Who = 200;
pub const OTHER: Who = 300;

/// pid, parent, kernel session, terminal, name.
const PROCESSES: [(u32, u32, u32, u32, &str); 5] = [
    (1, 0, 1, 0, "init"),
    (SHELL, 1, SHELL, 1025, "bash"),
    (EDITOR, SHELL, SHELL, 1025, "vim"),
    (AGENT, 1, AGENT, 1026, "claude"),
    (OTHER, 1, OTHER, 1027, "bash"),
];

struct Procs;

impl Proc for Procs {
    fn read(&self, pid: u32, file: &'static str) -> io::Result<Vec<u8>> {
        let found = PROCESSES.into_iter().find(|process| process.0 == pid);
        let (pid, parent, session, tty, name) = found.ok_or(io::ErrorKind::NotFound)?;
        let content = match file {
            "stat" => format!(
                "{pid} ({name}) S {parent} {pid} {session} {tty} -1 0 0 0 0 0 1 2 3 4 20 0 1 0 {pid} 5 6 1 1 1 0 0 0 0 \
                 0 0 0 0 0 0 17 0 0 0 0 0 0 1 2 3 4 5 6 7 0\n"
            ),
            "statm" => "634 341 303 4 0 89 0\n".to_owned(),
            "status" => format!("Tgid:\t{pid}\n"),
            _ => String::new(),
        };
        Ok(content.into_bytes())
    }
}

/// Stands still until it is told to go.
#[derive(Clone)]
pub struct StoppedClock(Arc<Mutex<SystemTime>>);

impl StoppedClock {
    pub fn new() -> StoppedClock {
        StoppedClock(Arc::new(Mutex::new(SystemTime::now())))
    }
    /// Another one that stands where this one does.
    pub fn stopped_copy(&self) -> StoppedClock {
        StoppedClock(Arc::new(Mutex::new(self.now())))
    }
    pub fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

/// A file that is open.
pub struct Open {
    who: Who,
    handle: HandleId,
    node: NodeId,
}

fn request(who: Who) -> Request {
    Request {
        tid: who,
        uid: rustix::process::geteuid().as_raw(),
    }
}

/// A running program. Its files are closed before its disk is gone.
pub struct Machine {
    fs: Arc<Fs>,
    disk: Mounted,
    pub clock: StoppedClock,
    pub log: WriteLog,
}

impl Machine {
    /// Starts the program over a disk.
    pub fn start(disk: Mounted, clock: StoppedClock, sync: bool) -> Result<Machine, OpenError> {
        let options = Options {
            sync,
            utc: true,
            ..Options::default()
        };
        let root = Arc::new(Beneath::new(disk.open()));
        let store = Box::new(DirStore::new(root.clone()));
        let fs = Fs::with(
            root,
            store,
            options,
            Arc::new(clock.clone()),
            Box::new(Procs),
        )?;
        // As the daemon does at mount.
        fs.sweep();
        Ok(Machine {
            fs,
            disk,
            clock,
            log: WriteLog::default(),
        })
    }

    /// Makes everything durable that was done so far.
    pub fn settle(&self) {
        self.disk.settle();
    }

    /// The number of operations on the disk so far.
    pub fn now(&self) -> usize {
        self.disk.operations()
    }

    pub fn disk(&self) -> Disk {
        self.disk.disk()
    }

    pub fn steps(&self) -> Vec<Step> {
        self.disk.steps()
    }

    fn walk(&self, who: Who, path: &str) -> Result<(NodeId, String), Error> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut at = NodeId::ROOT;
        for name in dir.split('/').filter(|name| !name.is_empty()) {
            at = self.fs.lookup(request(who), at, OsStr::new(name))?.node;
        }
        Ok((at, name.to_owned()))
    }

    fn open_once(&self, who: Who, path: &str, flags: i32) -> Result<Open, Error> {
        let (dir, name) = self.walk(who, path)?;
        let name = OsStr::new(&name);
        let (node, handle) = match self.fs.lookup(request(who), dir, name) {
            Ok(entry) => match self
                .fs
                .open_node(request(who), entry.node, flags & !libc::O_CREAT)
            {
                Outcome::Ready(opened) => (entry.node, opened?.handle),
                Outcome::Later(waiting) => (entry.node, waiting.finish()?.handle),
            },
            Err(Error::NotFound) if flags & libc::O_CREAT != 0 => {
                let made = self.fs.create(request(who), dir, name, 0o600, flags)?;
                (made.entry.node, made.opened.handle)
            }
            Err(error) => return Err(error),
        };
        Ok(Open { who, handle, node })
    }

    pub fn open(&self, who: Who, path: &str, flags: i32) -> Open {
        let opened = match self.open_once(who, path, flags) {
            // The kernel tries once more.
            Err(Error::Stale) => self.open_once(who, path, flags),
            opened => opened,
        };
        opened.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Writes in three pieces.
    pub fn write(&self, open: &Open, at: usize, bytes: &[u8]) {
        let mut at = at as u64;
        for piece in bytes.chunks(bytes.len().div_ceil(3)) {
            let who = request(open.who);
            let written = self.fs.write(who, open.handle, at, piece, false).unwrap();
            assert_eq!(written as usize, piece.len());
            at += piece.len() as u64;
        }
    }

    pub fn fsync(&self, open: &Open) {
        self.fs.fsync(open.handle).unwrap();
    }

    /// close(2): what its caller waits for.
    pub fn flush(&self, open: &Open) {
        self.fs.flush(request(open.who), open.handle).unwrap();
    }

    /// The rest of close(2).
    pub fn release(&self, open: &Open) {
        self.fs.release(open.handle);
        self.fs.forget(open.node, 1);
    }

    /// Reads a file as `cat` does; calls `got` with all bytes before the read that meets the end.
    pub fn cat(&self, who: Who, path: &str, got: impl FnOnce(&[u8])) {
        let open = self.open(who, path, libc::O_RDONLY);
        let read = |at| {
            let read = self.fs.read(request(who), open.handle, at, 1 << 20, false);
            read.unwrap().bytes
        };
        let bytes = read(0);
        got(&bytes);
        assert!(read(bytes.len() as u64).is_empty(), "{path}");
        self.release(&open);
    }

    /// Reads a file with one read of exactly its size.
    pub fn read_exactly(&self, who: Who, path: &str, got: impl FnOnce(&[u8])) {
        let open = self.open(who, path, libc::O_RDONLY);
        let size = self.fs.getattr(open.node).unwrap().meta.size;
        let size = u32::try_from(size).unwrap();
        let answer = self.fs.read(request(who), open.handle, 0, size, false);
        let answer = answer.unwrap();
        got(&answer.bytes);
        drop(answer);
        self.release(&open);
    }

    pub fn rename(&self, who: Who, from: &str, to: &str) {
        let ((dir, name), (new_dir, new)) =
            (self.walk(who, from).unwrap(), self.walk(who, to).unwrap());
        let (name, new) = (OsStr::new(&name), OsStr::new(&new));
        let done = self.fs.rename(request(who), (dir, name), (new_dir, new), 0);
        done.unwrap_or_else(|error| panic!("{from} → {to}: {error}"));
    }

    pub fn link(&self, who: Who, from: &str, to: &str) {
        let ((dir, name), (new_dir, new)) =
            (self.walk(who, from).unwrap(), self.walk(who, to).unwrap());
        let entry = self
            .fs
            .lookup(request(who), dir, OsStr::new(&name))
            .unwrap();
        let done = self
            .fs
            .link(request(who), entry.node, new_dir, OsStr::new(&new));
        done.unwrap_or_else(|error| panic!("{from} → {to}: {error}"));
    }

    pub fn unlink(&self, who: Who, path: &str) {
        let (dir, name) = self.walk(who, path).unwrap();
        self.fs
            .unlink(request(who), dir, OsStr::new(&name))
            .unwrap();
    }

    /// fsync(2) of the top directory.
    pub fn fsync_dir(&self) {
        self.fs.fsyncdir(NodeId::ROOT).unwrap();
    }

    pub fn mkdir(&self, who: Who, path: &str) {
        let (dir, name) = self.walk(who, path).unwrap();
        self.fs
            .mkdir(request(who), dir, OsStr::new(&name), 0o700)
            .unwrap();
    }

    /// touch(1) with a time.
    pub fn touch(&self, who: Who, path: &str, mtime: SystemTime) {
        let (dir, name) = self.walk(who, path).unwrap();
        let entry = self
            .fs
            .lookup(request(who), dir, OsStr::new(&name))
            .unwrap();
        let set = SetAttr {
            mtime: Some(mtime),
            ..SetAttr::default()
        };
        self.fs
            .setattr(request(who), entry.node, None, set)
            .unwrap();
    }

    pub fn sweep(&self) {
        self.fs.sweep();
    }

    pub fn list(&self, path: &str) -> Vec<String> {
        let mut at = NodeId::ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            at = self
                .fs
                .lookup(request(OTHER), at, OsStr::new(name))
                .unwrap()
                .node;
        }
        let handle = self.fs.opendir(at).unwrap();
        let listed = self.fs.readdir(handle, 0).unwrap();
        self.fs.releasedir(handle);
        let names = listed
            .iter()
            .map(|it| it.name.to_string_lossy().into_owned());
        names.filter(|name| !name.starts_with('.')).collect()
    }

    /// The name of the one file in the backing directory that begins with these bytes.
    pub fn stamped(&self, body: &[u8]) -> String {
        let disk = self.disk();
        let files = disk.files().into_iter();
        let mut found = files.filter(|(path, inode)| {
            !path.starts_with(".handoff-fs") && !inode.is_dir && inode.now.data.starts_with(body)
        });
        let path = found.next().unwrap().0;
        assert!(found.next().is_none());
        path.to_string_lossy().into_owned()
    }

    /// Writes a version of a handoff, all of it, under this name: `> path`.
    pub fn save(&mut self, who: Who, path: &str, handoff: HandoffId, body: &[u8]) {
        let version = self.log.begin(handoff, body, self.now());
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC;
        let open = self.open(who, path, flags);
        self.write(&open, 0, body);
        self.flush(&open);
        self.log.answered(handoff, version, self.now());
        self.release(&open);
        self.clock.advance(Duration::from_secs(1));
    }

    /// `>> path`; `body` is what the handoff is then.
    pub fn append(&mut self, who: Who, path: &str, handoff: HandoffId, body: &[u8]) {
        let from = self.log.newest(handoff).len();
        let version = self.log.begin(handoff, body, self.now());
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND;
        let open = self.open(who, path, flags);
        self.write(&open, from, &body[from..]);
        self.flush(&open);
        self.log.answered(handoff, version, self.now());
        self.release(&open);
        self.clock.advance(Duration::from_secs(1));
    }

    /// Writes a temporary file and renames it onto `path`; with `sync`, as the careful do.
    pub fn save_by_rename(
        &mut self,
        who: Who,
        path: &str,
        handoff: HandoffId,
        body: &[u8],
        sync: bool,
    ) {
        let temporary = format!("{path}.tmp.4711.0123456789ab");
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
        let open = self.open(who, &temporary, flags);
        self.write(&open, 0, body);
        if sync {
            self.fsync(&open);
        }
        self.flush(&open);
        self.release(&open);
        let version = self.log.begin(handoff, body, self.now());
        self.rename(who, &temporary, path);
        self.log.answered(handoff, version, self.now());
        self.clock.advance(Duration::from_secs(1));
    }

    /// Whether a file lies on the disk.
    pub fn has(&self, path: &str) -> bool {
        let disk = self.disk();
        disk.files()
            .iter()
            .any(|(found, _)| found == Path::new(path))
    }
}
