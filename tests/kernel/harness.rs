//! A mount for one test: above it, below it, its clock; dropping it unmounts and joins.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use fuser::{BackgroundSession, Config, MountOption};
use handoff_fs::clock::ShiftedClock;
use handoff_fs::fs::{Fs, OpenError, Options};
use handoff_fs::fuse::Adapter;
use handoff_fs::session::SystemProc;
use handoff_fs::store::Store;
use handoff_fs::store::dir::DirStore;
use handoff_fs::store::dirfd::Beneath;
use rustix::mount::UnmountFlags;
use tempfile::TempDir;

/// One mount at a time in this process: a child that is spawned closes copies of every descriptor that is open just
/// then, and a closed copy of a file on a mount is a FLUSH that its test did not ask for.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// How long a test may take before its mount is aborted, so that a hang is a failure and not a hang.
const WATCHDOG: Duration = Duration::from_secs(120);

/// Makes the store of a mount.
type MakeStore = Box<dyn Fn(Arc<Beneath>) -> Box<dyn Store> + Send + Sync>;

/// A mounted filesystem. Fields are dropped in order: unmounted first.
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
        Mount::over(|_| {}, |_| {})
    }

    /// Mounts with other options.
    pub fn with(options: impl FnOnce(&mut Options)) -> Mount {
        Mount::over(|_| {}, options)
    }

    /// Mounts over a directory that `prepare` has filled.
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
        let serial = ONE_AT_A_TIME
            .lock()
            .unwrap_or_else(|broken| broken.into_inner());
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
        // A child that another test is just starting has a copy of the last mount's lock, until it executes its program.
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
                // How the kernel says so to a worker that is just reading depends on who lets go last.
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

    /// Runs a shell script in the mount as one session, `name`; panics unless it succeeds. Answers its output.
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

    /// Runs a shell script in the mount as one session.
    pub fn run(&self, session: &str, script: &str) -> Output {
        self.command(session, "bash")
            .arg("-c")
            .arg(script)
            .output()
            .unwrap()
    }

    /// A program with the mount as its working directory, as one session.
    pub fn command(&self, session: &str, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.dir.path())
            .env("HANDOFF_SESSION", session)
            .stdin(Stdio::null());
        command
    }

    /// What the mount lists, sorted, without `pending.md`.
    pub fn names(&self) -> Vec<String> {
        let mut names = list(&self.at(""));
        names.retain(|name| name != "pending.md");
        names
    }

    /// The slugs of what is listed: stamped names without their stamp and extension.
    pub fn slugs(&self) -> Vec<String> {
        let mut slugs: Vec<String> = self.names().iter().map(|name| slug(name)).collect();
        slugs.sort();
        slugs
    }

    /// What lies in the backing directory, sorted, without the private directory.
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

    /// Writes a document under this name as one session.
    pub fn write(&self, session: &str, name: &str, content: &[u8]) {
        let mut cat = self.command(session, "sh");
        let cat = cat.args(["-c", "cat > \"$1\"", "sh", name]);
        let mut cat = cat.stdin(Stdio::piped()).spawn().unwrap();
        cat.stdin.take().unwrap().write_all(content).unwrap();
        assert!(cat.wait().unwrap().success(), "{session}: {name}");
    }

    /// Waits until every close has arrived: RELEASE is asynchronous, and until then somebody has the file open.
    pub fn settle(&self) {
        while self.fs().handles() > 0 {
            thread::yield_now();
        }
    }

    /// A path outside of the mount that is gone with it.
    pub fn outside(&self, name: &str) -> PathBuf {
        self.outside.path().join(name)
    }

    /// The bodies that reading `pending.md` to its end delivers, and so consumes, as session `session`.
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
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| String::from_utf8_lossy(entry.unwrap().file_name().as_bytes()).into_owned())
        .collect();
    names.sort();
    names
}

/// Unmounts, files that are open or not. An ordinary user may only by way of fusermount3, which knows no flag but lazily.
pub fn detach(mountpoint: &Path, how: UnmountFlags) {
    if rustix::mount::unmount(mountpoint, how).is_err() {
        let mut fusermount = Command::new("fusermount3");
        let _ = fusermount.args(["-u", "-z", "--"]).arg(mountpoint).output();
    }
}

/// Aborts the connection of a mount whose test takes too long: everybody who hangs in it gets an error.
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
