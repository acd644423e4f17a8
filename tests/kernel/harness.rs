//! A mount for one test, with its backing directory and its clock. Dropping the mount unmounts and joins its workers.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use fuser::{BackgroundSession, Config, MountOption};
use handoff_fs::clock::ShiftedClock;
use handoff_fs::fs::{Fs, OpenError, Options};
use handoff_fs::fuse::Adapter;
use handoff_fs::programs::Role;
use handoff_fs::session::SystemProc;
use handoff_fs::store::Store;
use handoff_fs::store::dir::DirStore;
use handoff_fs::store::dirfd::Beneath;
use rustix::mount::UnmountFlags;
use tempfile::TempDir;

/// Waits until no other test of this process has a mount. A child that is spawned has copies of every open descriptor and
/// closes them; closing a copy of a file on a mount is a FLUSH that no test asked for.
pub fn one_at_a_time() -> MutexGuard<'static, ()> {
    static MOUNTED: Mutex<()> = Mutex::new(());
    MOUNTED.lock().unwrap_or_else(|broken| broken.into_inner())
}

/// After this time the mount of a test is aborted, so that a test that hangs fails.
const WATCHDOG: Duration = Duration::from_secs(120);

/// Makes the store of a mount.
type MakeStore = Box<dyn Fn(Arc<Beneath>) -> Box<dyn Store> + Send + Sync>;

/// A day; consumed handoffs are kept for seven of them.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A mounted filesystem. The order of the fields is the order in which they are dropped: the mount goes first.
pub struct Mount {
    session: Option<BackgroundSession>,
    fs: Option<Arc<Fs>>,
    watchdog: Option<Sender<()>>,
    below: OwnedFd,
    pub clock: ShiftedClock,
    store: MakeStore,
    options: Options,
    dir: TempDir,
    outside: TempDir,
    _serial: MutexGuard<'static, ()>,
}

impl Mount {
    /// Mounts over an empty directory, with fsyncs left out.
    pub fn new() -> Mount {
        Mount::filled(|_| {})
    }

    /// Mounts with other options.
    pub fn with(options: impl FnOnce(&mut Options)) -> Mount {
        Mount::over(|_| {}, options)
    }

    /// Mounts such that no program counts as an agent: the tests themselves may be run by one.
    pub fn without_agents() -> Mount {
        Mount::with(|options| options.programs.amend(Role::Agent, "!*").unwrap())
    }

    /// Mounts over a directory that `prepare` has filled.
    pub fn filled(prepare: impl FnOnce(&Path)) -> Mount {
        Mount::over(prepare, |_| {})
    }

    /// Mounts over a directory that `prepare` has filled, with other options.
    pub fn over(prepare: impl FnOnce(&Path), change: impl FnOnce(&mut Options)) -> Mount {
        Mount::stored(
            prepare,
            change,
            Box::new(|root| Box::new(DirStore::new(root))),
        )
    }

    /// The same with another store.
    pub fn stored(
        prepare: impl FnOnce(&Path),
        change: impl FnOnce(&mut Options),
        store: MakeStore,
    ) -> Mount {
        let serial = one_at_a_time();
        let dir = tempfile::Builder::new()
            .prefix("handoff-fs-test-")
            .tempdir()
            .unwrap();
        prepare(dir.path());
        let mut options = Options {
            sync: false,
            utc: true,
            backing_name: dir.path().into(),
            mountpoint: dir.path().into(),
            ..Options::default()
        };
        change(&mut options);
        let below = File::open(dir.path()).unwrap().into();
        let mut mount = Mount {
            session: None,
            fs: None,
            watchdog: None,
            below,
            clock: ShiftedClock::default(),
            store,
            options,
            dir,
            outside: tempfile::tempdir().unwrap(),
            _serial: serial,
        };
        mount.mount();
        mount
    }

    fn mount(&mut self) {
        let since = Instant::now();
        // A child of another test has a copy of the last mount's lock until it executes its program.
        while let Err(error) = self.try_mount() {
            let may_end = matches!(error, OpenError::Locked { .. }) && since.elapsed() < WATCHDOG;
            assert!(may_end, "{error}");
            thread::yield_now();
        }
    }

    /// Mounts after [`Mount::unmount`], unless the backing directory cannot be opened.
    pub fn try_mount(&mut self) -> Result<(), OpenError> {
        let root = Arc::new(Beneath::new(self.below.try_clone().unwrap()));
        let clock = Arc::new(self.clock.clone());
        let store = (self.store)(root.clone());
        let fs = Fs::with(
            root,
            store,
            self.options.clone(),
            clock,
            Box::<SystemProc>::default(),
        )?;
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName("handoff-fs-test".into()),
            MountOption::NoSuid,
        ];
        config.n_threads = Some(2);
        config.clone_fd = true;
        let session = Adapter::new(fs.clone())
            .mount(self.dir.path(), &config)
            .unwrap();
        self.session = Some(session.spawn().unwrap());
        self.fs = Some(fs);
        self.watchdog = Some(watch(self.dir.path().to_owned(), WATCHDOG));
        Ok(())
    }

    /// Aborts the mount only after this time, counted from now.
    #[allow(dead_code, reason = "for the programs that run longer")]
    pub fn allow(&mut self, time: Duration) {
        self.watchdog = Some(watch(self.dir.path().to_owned(), time));
    }

    /// Unmounts and waits for the workers. Panics when files are left open.
    pub fn unmount(&mut self) {
        if let Some(session) = self.session.take() {
            detach(self.dir.path(), UnmountFlags::DETACH);
            self.fs = None;
            match session.join() {
                // A worker that is reading a request while the connection ends may get this error instead of an end.
                Err(error) if error.raw_os_error() == Some(libc::ECONNABORTED) => {}
                ended => ended.unwrap(),
            }
        }
        self.watchdog = None;
    }

    /// Unmounts, and mounts again with other options.
    pub fn remount_with(&mut self, change: impl FnOnce(&mut Options)) {
        self.unmount();
        change(&mut self.options);
        self.mount();
    }

    /// Unmounts and mounts again.
    pub fn remount(&mut self) {
        self.remount_with(|_| {});
    }

    /// The logic behind the mount.
    pub fn fs(&self) -> &Arc<Fs> {
        self.fs.as_ref().unwrap()
    }

    /// A path on the mount.
    pub fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A path in the backing directory.
    pub fn below(&self, name: impl AsRef<Path>) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.below.as_raw_fd())).join(name)
    }

    /// Runs a shell script in the mount as this session; panics unless the script succeeds. Returns its output.
    pub fn sh(&self, session: &str, script: &str) -> String {
        let output = self.run(session, script);
        assert!(
            output.status.success(),
            "{session}: {script}\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a shell script in the mount as this session; panics unless the script fails.
    pub fn fails(&self, session: &str, script: &str) {
        let output = self.run(session, script);
        assert!(!output.status.success(), "{session}: {script}: succeeds");
    }

    /// Runs a shell script in the mount as this session.
    pub fn run(&self, session: &str, script: &str) -> Output {
        self.command(session, "bash")
            .arg("-c")
            .arg(script)
            .output()
            .unwrap()
    }

    /// A program with the mount as its working directory, as this session.
    pub fn command(&self, session: &str, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.dir.path())
            .env("HANDOFF_SESSION", session)
            .stdin(Stdio::null());
        command
    }

    /// The text of a file on the mount.
    pub fn text(&self, name: impl AsRef<Path>) -> String {
        fs::read_to_string(self.at(name)).unwrap()
    }

    /// The text of a file in the backing directory.
    pub fn text_below(&self, name: impl AsRef<Path>) -> String {
        fs::read_to_string(self.below(name)).unwrap()
    }

    /// What `.status.json` says.
    pub fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.text(".status.json")).unwrap()
    }

    /// The names that the mount lists, sorted, without `pending.md`.
    pub fn names(&self) -> Vec<String> {
        let mut names = list(&self.at(""));
        names.retain(|name| name != "pending.md");
        names
    }

    /// The slugs of the listed names, sorted: stamped names without their stamp and extension.
    pub fn slugs(&self) -> Vec<String> {
        sorted(self.names().iter().map(|name| slug(name)))
    }

    /// The names in the backing directory, sorted, without the private directory.
    pub fn names_below(&self) -> Vec<String> {
        let mut names = list(&self.below(""));
        names.retain(|name| name != ".handoff-fs");
        names
    }

    /// The one listed name with this slug (as [`Mount::slugs`] shows it).
    pub fn stamped(&self, wanted: &str) -> String {
        let names = self.names();
        let mut found = names.iter().filter(|name| slug(name) == wanted);
        let name = found
            .next()
            .unwrap_or_else(|| panic!("no {wanted} in {names:?}"));
        assert!(
            found.next().is_none(),
            "more than one {wanted} in {names:?}"
        );
        name.clone()
    }

    /// Runs a Python program in the mount as this session; panics unless the program succeeds. Returns its output.
    pub fn python(&self, session: &str, program: &str) -> String {
        succeeds(
            self.command(session, "/usr/bin/python3")
                .args(["-c", program]),
        )
    }

    /// A shell script, run by this shell in a kernel session of its own, without a named session.
    pub fn alone(&self, shell: impl AsRef<OsStr>, script: &str) -> Command {
        let mut command = self.command("", "setsid");
        command
            .env_remove("HANDOFF_SESSION")
            .arg("--wait")
            .arg(shell)
            .args(["-c", script]);
        command
    }

    /// A shell command on a terminal of its own, without a named session.
    pub fn on_terminal(&self, line: &str) -> Command {
        let mut command = self.command("", "script");
        command
            .env_remove("HANDOFF_SESSION")
            .env("SHELL", "/bin/bash");
        command.args(["-qec", line, "/dev/null"]);
        command
    }

    /// Writes a handoff under this name as this session.
    pub fn write(&self, session: &str, name: &str, content: &[u8]) {
        let mut cat = self.command(session, "sh");
        let cat = cat.args(["-c", "cat > \"$1\"", "sh", name]);
        let mut cat = cat.stdin(Stdio::piped()).spawn().unwrap();
        cat.stdin.take().unwrap().write_all(content).unwrap();
        assert!(cat.wait().unwrap().success(), "{session}: {name}");
    }

    /// Waits until no file is open: RELEASE is asynchronous, and arrives after close(2) has returned.
    pub fn settle(&self) {
        self.settle_to(0);
    }

    /// Waits until no more than so many files are open.
    pub fn settle_to(&self, open: usize) {
        while self.fs().handles() > open {
            thread::yield_now();
        }
    }

    /// Lets time pass, and deletes what has expired by then.
    pub fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.fs().sweep();
    }

    /// A path outside of the mount, in a directory that is removed with the mount.
    pub fn outside(&self, name: &str) -> PathBuf {
        self.outside.path().join(name)
    }

    /// The bodies that `cat pending.md` delivers, and so consumes, as this session.
    pub fn take(&self, session: &str) -> Vec<String> {
        bodies(&self.sh(session, "cat pending.md"))
    }

    /// The bodies that are pending, without consuming them.
    pub fn peek(&self) -> Vec<String> {
        bodies(&fs::read_to_string(self.at(".peek.md")).unwrap())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.unmount();
    }
}

/// These texts in the order of their bytes.
pub fn sorted(texts: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut texts: Vec<String> = texts.into_iter().collect();
    texts.sort();
    texts
}

/// The number of the system's error that a call must have failed with.
pub fn errno<T: Debug>(result: io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap()
}

/// Runs a command; panics unless it succeeds. Returns its output.
#[track_caller]
pub fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The path of Python itself. The first `python3` in `PATH` may be a wrapper that chooses one.
pub fn python() -> PathBuf {
    let output = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable, end='')"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().into()
}

/// How much memory a process has, in KiB: `VmRSS` is what it has now, `VmHWM` the most that it ever had.
pub fn memory(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let size = line.unwrap().trim_start_matches(':').trim();
    size.trim_end_matches(" kB").parse().unwrap()
}

/// A child process that is killed, and waited for, when this is dropped.
pub struct KillOnDrop(pub Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The bodies of one or more merges, each without its final newline.
pub fn bodies(merge: &str) -> Vec<String> {
    let mut bodies: Vec<String> = Vec::new();
    for line in merge.lines() {
        let index = line.starts_with("<!-- handoffs: ") || line.starts_with("<!-- index ");
        if line.starts_with("<!-- handoff ") {
            bodies.push(String::new());
        } else if let (false, Some(body)) = (index, bodies.last_mut()) {
            if !body.is_empty() {
                body.push('\n');
            }
            body.push_str(line);
        }
    }
    bodies
}

/// A stamped name without stamp and extension; any other name as it is.
pub fn slug(name: &str) -> String {
    let stamped = handoff_fs::names::StampedName::parse(OsStr::new(name));
    match stamped {
        Some(_) => name["YYYY-MM-DD_HHMMSS_".len()..name.len() - ".md".len()].to_owned(),
        None => name.to_owned(),
    }
}

/// The names in a directory, sorted.
pub fn list(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir)
        .unwrap()
        .map(|entry| String::from_utf8_lossy(entry.unwrap().file_name().as_bytes()).into_owned());
    sorted(names)
}

/// Every file in a directory and below, sorted; none where there is no such directory. Symbolic links are not followed.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// Unmounts, also with files open. An ordinary user needs fusermount3 for that, which unmounts lazily whatever `how` is.
pub fn detach(mountpoint: &Path, how: UnmountFlags) {
    if rustix::mount::unmount(mountpoint, how).is_err() {
        let mut fusermount = Command::new("fusermount3");
        let _ = fusermount.args(["-u", "-z", "--"]).arg(mountpoint).output();
    }
}

/// Aborts the connection of a mount whose test takes too long: every process that hangs in the mount gets an error.
fn watch(mountpoint: PathBuf, limit: Duration) -> Sender<()> {
    let (done, wait) = mpsc::channel();
    thread::spawn(move || {
        if wait.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            eprintln!("watchdog: {} is aborted", mountpoint.display());
            detach(&mountpoint, UnmountFlags::FORCE);
        }
    });
    done
}
