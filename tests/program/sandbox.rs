//! A place for one test of the program: directories, daemons, and the certainty that nothing of them is left.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::MutexGuard;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use rustix::mount::UnmountFlags;
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::harness::{bodies, one_at_a_time};

/// After this time the mounts of a test are aborted, so that a hang fails.
const WATCHDOG: Duration = Duration::from_secs(180);

/// See the [module](self). Dropping it unmounts everything in it and ends what it started.
pub struct Sandbox {
    program: PathBuf,
    prefix: Vec<String>,
    _watchdog: Sender<()>,
    dir: TempDir,
    _serial: MutexGuard<'static, ()>,
}

impl Sandbox {
    pub fn new() -> Sandbox {
        let serial = one_at_a_time();
        let dir = tempfile::Builder::new()
            .prefix("handoff-fs-program-")
            .tempdir()
            .unwrap();
        Sandbox {
            program: env!("CARGO_BIN_EXE_handoff-fs").into(),
            prefix: Vec::new(),
            _watchdog: watch(dir.path().to_owned(), WATCHDOG),
            dir,
            _serial: serial,
        }
    }

    /// Everything is run as this user from now on, by a copy of the program that the user can reach.
    pub fn become_user(&mut self, uid: u32) {
        use std::os::unix::fs::{PermissionsExt, chown};
        let copy = self.path("handoff-fs");
        fs::copy(&self.program, &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        chown(self.dir.path(), Some(uid), Some(uid)).unwrap();
        self.program = copy;
        self.prefix = setpriv(uid);
    }

    /// Aborts the mounts only after this time, counted from now.
    pub fn allow(&mut self, time: Duration) {
        self._watchdog = watch(self.dir.path().to_owned(), time);
    }

    /// Aborts the mounts after this time, unless the answer is dropped before.
    pub fn watch(&self, time: Duration) -> Sender<()> {
        watch(self.dir.path().to_owned(), time)
    }

    /// A path in the sandbox.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Any program, with this sandbox as its home and its working directory.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut words = self.prefix.iter().map(PathBuf::from).collect::<Vec<_>>();
        words.push(program.as_ref().to_owned());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .current_dir(self.dir.path())
            .env("HOME", self.dir.path())
            .env_remove("XDG_STATE_HOME")
            .env_remove("HANDOFF_LOG")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    /// handoff-fs with these arguments.
    pub fn handoff<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = self.command(&self.program);
        command.args(arguments);
        command
    }

    /// Runs handoff-fs; panics unless it succeeds. Returns what it printed.
    pub fn run<const N: usize>(&self, arguments: [&str; N]) -> String {
        let output = self.handoff(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs handoff-fs, which must fail with this code. Returns its one line of complaint, as [`complaint`] does.
    pub fn refused<const N: usize>(&self, arguments: [&str; N], code: i32) -> String {
        complaint(&self.handoff(arguments).output().unwrap(), code)
    }

    /// The output of `status --json` for this mountpoint.
    pub fn status(&self, mountpoint: &str) -> serde_json::Value {
        serde_json::from_str(&self.run(["status", "--json", mountpoint])).unwrap()
    }

    /// The bodies that `cat pending.md` delivers in the mount at `m`.
    pub fn take(&self) -> Vec<String> {
        bodies(&self.sh("cat m/pending.md"))
    }

    /// Runs a shell script in the sandbox; panics unless the script succeeds. Returns its output.
    pub fn sh(&self, script: &str) -> String {
        let output = self.command("bash").args(["-c", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Mounts at `m` in the foreground; returns when the mount is usable.
    pub fn mount(&self) -> Daemon {
        self.mount_with(|_| {})
    }

    /// The same with other options or another environment.
    pub fn mount_with(&self, change: impl FnOnce(&mut Command)) -> Daemon {
        let mut command = self.handoff(["mount", "--foreground", "--report-ready"]);
        change(&mut command);
        command.arg("--").arg(self.path("m"));
        started(&mut command)
    }

    /// The mounts in this sandbox, as the kernel lists them.
    pub fn mounts(&self) -> Vec<PathBuf> {
        mounts_in(self.dir.path())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for mount in self.mounts().iter().rev() {
            // A daemon ends with its mount.
            let _ = rustix::mount::unmount(mount, UnmountFlags::DETACH);
        }
    }
}

/// The beginning of a command that runs as another user.
pub fn setpriv(uid: u32) -> Vec<String> {
    let (user, group) = (format!("--reuid={uid}"), format!("--regid={uid}"));
    ["setpriv", &user, &group, "--clear-groups", "--"]
        .map(str::to_owned)
        .into()
}

/// A daemon in the foreground form; dropping it kills it.
pub struct Daemon {
    pub child: Child,
    errors: Option<thread::JoinHandle<String>>,
}

/// Starts a daemon and waits for its `ready`; otherwise answers its line and its errors.
pub fn start(command: &mut Command) -> Result<Daemon, (String, String)> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let errors = thread::spawn(move || {
        let mut text = Vec::new();
        let _ = stderr.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    if line.trim_end() == format!("ready {}", child.id()) {
        let errors = Some(errors);
        return Ok(Daemon { child, errors });
    }
    child.wait().unwrap();
    Err((line, errors.join().unwrap()))
}

/// Starts a daemon; panics unless it becomes ready.
pub fn started(command: &mut Command) -> Daemon {
    start(command).unwrap_or_else(|(line, errors)| panic!("not ready: {line:?} {errors}"))
}

impl Daemon {
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end; returns its status and what it wrote to standard error.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        (status, self.errors.take().unwrap().join().unwrap())
    }

    /// SIGKILL, and waits.
    pub fn kill(self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// SIGTERM; panics unless it ends well.
    pub fn stop(self) {
        self.signal(Signal::TERM);
        let (status, errors) = self.wait();
        assert!(status.success(), "{status}: {errors}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The one line on standard error of a command that must fail with this code.
pub fn complaint(output: &Output, code: i32) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 1, "one line: {text}");
    let line = lines[0]
        .strip_prefix("handoff-fs: ")
        .unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("; "), "a cure after the cause: {line}");
    line.to_owned()
}

fn mounts_in(dir: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    let points = points.map(|point| PathBuf::from(point.replace("\\040", " ")));
    points.filter(|point| point.starts_with(dir)).collect()
}

/// Aborts the connections of a test that takes too long: everybody who hangs in them gets an error.
fn watch(dir: PathBuf, patience: Duration) -> Sender<()> {
    let (done, wait) = mpsc::channel();
    thread::spawn(move || {
        if wait.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            for mount in mounts_in(&dir) {
                eprintln!("watchdog: {} is aborted", mount.display());
                let _ = rustix::mount::unmount(&mount, UnmountFlags::FORCE);
            }
        }
    });
    done
}
