//! The same through a real mount: each caller is a process of its own, which makes the system calls it is told to.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fuser::{BackgroundSession, Config, MountOption};
use handoff_fs::fs::{Fs, Options};
use handoff_fs::fuse::Adapter;
use rustix::mount::UnmountFlags;
use tempfile::TempDir;

use crate::ops::Who;
use crate::sys::{Fd, Result, StoppedClock, Sys};

/// How long one case may take before its mount is aborted: a hang is a failure.
const WATCHDOG: Duration = Duration::from_secs(60);

/// How long a RELEASE may take to come.
const RELEASE: Duration = Duration::from_secs(5);

struct Client {
    child: Child,
    calls: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Client {
    fn new(who: Who) -> Client {
        let mut child = Command::new("python3")
            .args(["-S", "-c", include_str!("client.py")])
            // By this name, and by its session, it is known (spec 4.4, 5).
            .arg(match who {
                Who::Editor => "vim",
                Who::Agent => "claude",
                _ => "client",
            })
            .env("HANDOFF_SESSION", format!("{:?}", who.session()))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Client {
            calls: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    fn call(&mut self, call: &str) -> Result<String> {
        writeln!(self.calls, "{call}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        match answer
            .trim_end()
            .split_once(' ')
            .unwrap_or((answer.trim_end(), ""))
        {
            ("ok", answer) => Ok(answer.to_owned()),
            ("error", errno) => Err(errno.parse().unwrap()),
            _ => panic!("{call}: answered {answer:?}"),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Callers that wait for another case: starting them takes longer than most cases do.
static IDLE: Mutex<Vec<HashMap<Who, Client>>> = Mutex::new(Vec::new());

pub struct Kernel {
    clients: HashMap<Who, Client>,
    session: Option<BackgroundSession>,
    fs: Option<Arc<Fs>>,
    watchdog: Option<Sender<()>>,
    options: Options,
    clock: StoppedClock,
    below: OwnedFd,
    /// Whose each open file description is, and how many descriptors it has.
    files: HashMap<Fd, (Who, u32)>,
    last: Fd,
    dir: TempDir,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |i| u8::from_str_radix(&text[i..i + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn number(text: &str) -> u64 {
    u64::from_str_radix(text, 16).unwrap()
}

impl Kernel {
    pub fn new(clock: StoppedClock) -> Kernel {
        let dir = tempfile::Builder::new()
            .prefix("handoff-fs-model-")
            .tempdir()
            .unwrap();
        let options = Options {
            sync: false,
            utc: true,
            ..Options::default()
        };
        let mut kernel = Kernel {
            clients: IDLE.lock().unwrap().pop().unwrap_or_default(),
            session: None,
            fs: None,
            watchdog: None,
            options,
            clock,
            below: File::open(dir.path()).unwrap().into(),
            files: HashMap::new(),
            last: 0,
            dir,
        };
        kernel.mount();
        kernel
    }

    fn mount(&mut self) {
        let below = self.below.try_clone().unwrap();
        let clock = Arc::new(self.clock.clone());
        let fs = Fs::open(below, self.options.clone(), clock).unwrap();
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("handoff-fs-test".into())];
        config.n_threads = Some(2);
        config.clone_fd = true;
        let session = Adapter::new(fs.clone())
            .mount(self.dir.path(), &config)
            .unwrap();
        self.session = Some(session.spawn().unwrap());
        self.fs = Some(fs);
        self.watchdog = Some(watch(self.dir.path().to_owned()));
    }

    fn unmount(&mut self) {
        let _ = rustix::mount::unmount(self.dir.path(), UnmountFlags::DETACH);
        self.fs = None;
        if let Some(session) = self.session.take() {
            let _ = session.join();
        }
        self.watchdog = None;
    }

    fn call(&mut self, who: Who, call: &str) -> Result<String> {
        let client = self.clients.entry(who).or_insert_with(|| Client::new(who));
        client.call(call)
    }

    fn path(&self, path: &str) -> String {
        hex(self.dir.path().join(path).as_os_str().as_encoded_bytes())
    }

    fn on(&mut self, fd: Fd, call: &str, rest: &str) -> Result<String> {
        self.call(self.files[&fd].0, &format!("{call} {fd} {rest}"))
    }

    /// RELEASE comes when it likes; what it does is part of the step that closed.
    fn wait_for_releases(&self) {
        let since = Instant::now();
        while self.fs.as_ref().unwrap().handles() > self.files.len() {
            assert!(since.elapsed() < RELEASE, "no RELEASE came");
            thread::sleep(Duration::from_micros(50));
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // Those that have files open would keep the mount busy.
        let clients = std::mem::take(&mut self.clients);
        if self.files.is_empty() && !thread::panicking() {
            IDLE.lock().unwrap().push(clients);
        } else {
            drop(clients);
        }
        self.unmount();
    }
}

impl Sys for Kernel {
    fn open(&mut self, who: Who, path: &str, flags: i32) -> Result<Fd> {
        let fd = self.last + 1;
        let path = self.path(path);
        self.call(who, &format!("open {fd} {path} {flags}"))?;
        self.last = fd;
        self.files.insert(fd, (who, 1));
        Ok(fd)
    }

    fn open_racing(&mut self, who: Who, path: &str, _late: Fd) -> Result<Fd> {
        self.open(who, path, libc::O_RDONLY)
    }

    fn dup(&mut self, fd: Fd) {
        self.on(fd, "dup", "").unwrap();
        self.files.get_mut(&fd).unwrap().1 += 1;
    }

    fn close(&mut self, fd: Fd) -> Result<()> {
        self.close_late(fd)?;
        self.wait_for_releases();
        Ok(())
    }

    fn close_late(&mut self, fd: Fd) -> Result<()> {
        let closed = self.on(fd, "close", "");
        let file = self.files.get_mut(&fd).unwrap();
        file.1 -= 1;
        if file.1 == 0 {
            self.files.remove(&fd);
        }
        closed.map(drop)
    }

    fn read(&mut self, fd: Fd, len: usize) -> Result<Vec<u8>> {
        Ok(unhex(&self.on(fd, "read", &len.to_string())?))
    }

    fn write(&mut self, fd: Fd, data: &[u8]) -> Result<usize> {
        let written = self.on(fd, "write", &hex(data))?;
        Ok(usize::try_from(number(&written)).unwrap())
    }

    fn rewind(&mut self, fd: Fd) {
        self.on(fd, "rewind", "").unwrap();
    }

    fn ftruncate(&mut self, fd: Fd, len: u64) -> Result<()> {
        self.on(fd, "ftruncate", &len.to_string()).map(drop)
    }

    fn fstat_size(&mut self, fd: Fd) -> Result<u64> {
        Ok(number(&self.on(fd, "fstat", "")?))
    }

    fn truncate(&mut self, who: Who, path: &str, len: u64) -> Result<()> {
        let path = self.path(path);
        self.call(who, &format!("truncate {path} {len}")).map(drop)
    }

    fn rename(&mut self, who: Who, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.path(from), self.path(to));
        self.call(who, &format!("rename {from} {to}")).map(drop)
    }

    fn unlink(&mut self, who: Who, path: &str) -> Result<()> {
        let path = self.path(path);
        self.call(who, &format!("unlink {path}")).map(drop)
    }

    fn mkdir(&mut self, path: &str) -> Result<()> {
        let path = self.path(path);
        self.call(Who::Observer, &format!("mkdir {path}")).map(drop)
    }

    fn rmdir(&mut self, path: &str) -> Result<()> {
        let path = self.path(path);
        self.call(Who::Observer, &format!("rmdir {path}")).map(drop)
    }

    fn list(&mut self, path: &str) -> Result<Vec<String>> {
        let path = self.path(path);
        let listed = unhex(&self.call(Who::Observer, &format!("list {path}"))?);
        self.wait_for_releases();
        let listed = String::from_utf8(listed).unwrap();
        Ok(listed.split('\0').map(str::to_owned).collect())
    }

    fn stat_size(&mut self, who: Who, path: &str) -> Result<u64> {
        let path = self.path(path);
        Ok(number(&self.call(who, &format!("stat {path}"))?))
    }

    fn sweep(&mut self) {
        self.fs.as_ref().unwrap().sweep();
    }

    fn remount(&mut self) {
        assert!(self.files.is_empty());
        self.unmount();
        self.mount();
    }

    /// The kernel's are everybody's: left alone.
    fn drop_caches(&mut self) {}

    fn below(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.below.as_raw_fd()))
    }

    fn check_leaks(&mut self) {
        assert_eq!(self.fs.as_ref().unwrap().handles(), 0, "open handles");
    }
}

fn watch(mountpoint: PathBuf) -> Sender<()> {
    let (done, wait) = mpsc::channel();
    thread::spawn(move || {
        if wait.recv_timeout(WATCHDOG) == Err(RecvTimeoutError::Timeout) {
            abort(&mountpoint);
        }
    });
    done
}

/// Whoever hangs in it gets an error.
fn abort(mountpoint: &Path) {
    let _ = rustix::mount::unmount(mountpoint, UnmountFlags::FORCE);
}
