//! Acknowledged handoffs are durable (spec 4.2a, 4.2b): the system calls of the daemon, and their order.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use handoff_fs::clock::ShiftedClock;
use handoff_fs::error::Result;
use handoff_fs::fs::{Fs, HandleId, NodeId, Options, Request};
use handoff_fs::names::StampedName;
use handoff_fs::session::SystemProc;
use handoff_fs::store::DraftFile;
use handoff_fs::store::dir::DirStore;
use handoff_fs::store::dirfd::Beneath;
use parking_lot::Mutex;
use rustix::fs::AtFlags;

use crate::actors::Disguise;
use crate::daemon_process::{Daemon, strace};
use crate::hooked_store::{HookedStore, Hooks};

/// One system call of the daemon.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Call {
    /// fsync or fdatasync of this path in the backing directory.
    Sync(String),
    /// A rename: the two paths.
    Rename(String, String),
    /// A file or directory was made.
    Made(String),
    /// A request was answered.
    Reply,
}

/// The calls of a daemon while `scripts` ran, one after the other, each by a shell in the mount. The calls of one
/// worker are together, because a worker serves one request after the other.
fn trace(durable: bool, scripts: &[(&str, &Path)]) -> Vec<Call> {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_str().unwrap().to_owned();
    let outside = tempfile::tempdir().unwrap();
    let log = outside.path().join("strace");
    let calls = "trace=fsync,fdatasync,sync,syncfs,renameat2,renameat,mkdirat,writev,write";
    let wrapper = strace(&log, calls, &["-y", "-s0"]);
    let daemon = Daemon::synced_over(dir, &wrapper, durable);
    for (script, shell) in scripts {
        let output = Command::new(shell)
            .args(["-c", script])
            .current_dir(daemon.at(""))
            .env("HANDOFF_SESSION", "s")
            .output()
            .unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
    }
    let text = daemon.end_traced(&log);
    let mut by_worker: Vec<(&str, Vec<Call>)> = Vec::new();
    for line in text.lines() {
        let (worker, line) = line.split_once(' ').unwrap();
        let Some(call) = parse(line.trim_start(), &root) else {
            continue;
        };
        match by_worker.iter_mut().find(|(of, _)| *of == worker) {
            Some((_, calls)) => calls.push(call),
            None => by_worker.push((worker, vec![call])),
        }
    }
    by_worker.into_iter().flat_map(|(_, calls)| calls).collect()
}

/// `<unfinished ...>` lines count, `resumed` ones do not: the order in one worker is that of the beginnings.
fn parse(line: &str, root: &str) -> Option<Call> {
    let (name, arguments) = line.split_once('(')?;
    let paths: Vec<&str> = arguments
        .split('<')
        .skip(1)
        .filter_map(|part| part.split_once('>').map(|(path, _)| path))
        .collect();
    let names: Vec<&str> = arguments.split('"').skip(1).step_by(2).collect();
    let below = |path: &str| {
        let path = path.strip_prefix(root).unwrap_or(path);
        path.trim_start_matches('/').to_owned()
    };
    let join = |dir: &str, name: &str| below(&format!("{dir}/{name}"));
    match name {
        "fsync" | "fdatasync" => Some(Call::Sync(below(paths.first()?))),
        "sync" | "syncfs" => Some(Call::Sync("everything".into())),
        "renameat2" | "renameat" => Some(Call::Rename(
            join(paths.first()?, names.first()?),
            join(paths.get(1)?, names.get(1)?),
        )),
        "mkdirat" => Some(Call::Made(join(paths.first()?, names.first()?))),
        "writev" | "write" if paths.first()?.contains("/dev/fuse") => Some(Call::Reply),
        _ => None,
    }
}

/// The calls of the one request that renamed something to a path that ends so.
fn request<'a>(calls: &'a [Call], renamed_to: &str) -> &'a [Call] {
    let mut found = calls.split(|call| *call == Call::Reply).filter(|request| {
        request
            .iter()
            .any(|call| matches!(call, Call::Rename(_, to) if to.ends_with(renamed_to)))
    });
    let request = found
        .next()
        .unwrap_or_else(|| panic!("{renamed_to}: {calls:#?}"));
    assert!(found.next().is_none(), "{renamed_to}: {calls:#?}");
    request
}

fn position(request: &[Call], what: impl Fn(&Call) -> bool) -> usize {
    let found = request.iter().position(what);
    found.unwrap_or_else(|| panic!("{request:#?}"))
}

/// The content of `data` was made durable before the rename to `to`, and all of `dirs` after it.
fn check(calls: &[Call], data: &str, to: &str, dirs: &[&str]) {
    let request = request(calls, to);
    let renamed = position(
        request,
        |call| matches!(call, Call::Rename(_, of) if of.ends_with(to)),
    );
    let synced = position(
        request,
        |call| matches!(call, Call::Sync(of) if of.contains(data)),
    );
    assert!(synced < renamed, "{request:#?}");
    for dir in dirs {
        let after = request[renamed..].contains(&Call::Sync((*dir).into()));
        assert!(after, "{dir}: {request:#?}");
    }
}

const WRITES: &str = "echo x > n.md; mkdir -p q/r; echo x > q/r/deep.md; echo x > s.tmp; mv s.tmp s.md; \
    echo x > 2026-01-02_030405_edited.md; cat 2026-01-02_030405_edited.md; \
    echo x > l.tmp; ln l.tmp l.md; echo x > .hidden; mv .hidden h.md; mkdir .d; echo x > .d/passed; mv .d/passed p.md";

const MOVES: &str = "mv q/r/*deep.md 2026-01-02_030405_moved.md; mv 2026-01-02_030405_moved.md q/";

/// spec 4.2a: data, then the name, then the reply; and the directories that were made for it before.
#[test]
fn data_then_name_then_reply_needs_root() {
    let vim = Disguise::bash("vim");
    let sh = Path::new("bash");
    let calls = trace(
        true,
        &[
            (WRITES, sh),
            ("echo old > e.md", sh),
            ("echo new > e.md", &vim.path()),
            (MOVES, sh),
        ],
    );
    check(&calls, "drafts/", "_n.md", &[""]);
    check(&calls, "drafts/q/r/", "_deep.md", &["q/r"]);
    check(&calls, "sessions/", "_s.md", &[""]);
    check(&calls, "sessions/", "_l.md", &[""]);
    check(&calls, ".hidden", "_h.md", &[""]);
    check(&calls, ".d/passed", "_p.md", &[""]);
    for made in ["q", "q/r", ".handoff-fs/drafts/q/r"] {
        let parent = Path::new(made).parent().unwrap().to_str().unwrap();
        let at = position(&calls, |call| *call == Call::Made(made.into()));
        assert_eq!(calls[at + 1], Call::Sync(parent.into()), "{made}");
    }
}

/// spec 4.2a: an edit too; and a handoff that moves to another queue is in one of them after a power cut.
#[test]
fn edits_and_moves_needs_root() {
    let vim = Disguise::bash("vim");
    let sh = Path::new("bash");
    let calls = trace(
        true,
        &[
            (WRITES, sh),
            ("echo old > e.md", sh),
            ("echo new > e.md", &vim.path()),
            (MOVES, sh),
        ],
    );
    let edit = calls.split(|call| *call == Call::Reply).find(|request| {
        let edited = |call: &Call| matches!(call, Call::Rename(from, _) if from.contains("edits/"));
        request.iter().any(edited)
    });
    let edit = edit.unwrap_or_else(|| panic!("{calls:#?}"));
    assert!(
        matches!(&edit[0], Call::Sync(data) if data.contains("edits/")),
        "{edit:#?}"
    );
    let kept = position(
        edit,
        |call| matches!(call, Call::Rename(_, to) if to.contains("replaced/")),
    );
    for dir in ["", ".handoff-fs/replaced"] {
        assert!(
            edit[kept..].contains(&Call::Sync(dir.into())),
            "{dir}: {edit:#?}"
        );
    }
    for (from, to, dirs) in [
        ("q/r/", "2026-01-02_030405_moved.md", ["q/r", ""]),
        ("2026", "q/2026-01-02_030405_moved.md", ["", "q"]),
    ] {
        let moves = |call: &Call| matches!(call, Call::Rename(old, new) if old.starts_with(from) && new == to);
        let mut requests = calls.split(|call| *call == Call::Reply);
        let request = requests.find(|request| request.iter().any(moves));
        let request = request.unwrap_or_else(|| panic!("{calls:#?}"));
        let renamed = position(request, moves);
        for dir in dirs {
            let synced = request[renamed..].contains(&Call::Sync(dir.into()));
            assert!(synced, "{dir}: {request:#?}");
        }
    }
}

/// spec 4.2a: data written through the descriptor of a scratch file, after that was renamed to a handoff, is durable at
/// the close.
#[test]
fn written_after_the_rename_needs_root() {
    let script = "exec 3> t.tmp; echo one >&3; mv t.tmp t.md; echo two >&3; exec 3>&-";
    let calls = trace(true, &[(script, Path::new("bash"))]);
    let synced = |call: &Call| matches!(call, Call::Sync(of) if of.ends_with("_t.md"));
    assert!(calls.iter().any(synced), "{calls:#?}");
}

/// spec 4.2b: `--no-sync` leaves out the fsyncs, nothing else.
#[test]
fn no_sync_needs_root() {
    let sh = Path::new("bash");
    let calls = trace(false, &[(WRITES, sh), (MOVES, sh)]);
    assert!(
        !calls.iter().any(|call| matches!(call, Call::Sync(_))),
        "{calls:#?}"
    );
    for to in ["_n.md", "_deep.md", "_s.md"] {
        request(&calls, to);
    }
}

/// Says when names are to be made durable, and waits to be told to go on.
struct SlowSync {
    asked: Mutex<Sender<()>>,
    go: Mutex<Receiver<()>>,
}

impl Hooks for SlowSync {
    fn before_sync(&self) {
        let _ = self.asked.lock().send(());
        let _ = self.go.lock().recv();
    }
}

/// Publishes by link(2) and unlink(2), as where renameat2(2) knows no flags, in this backing directory.
struct PublishByLink(PathBuf);

impl Hooks for PublishByLink {
    fn publish(
        &self,
        _store: &DirStore,
        draft: DraftFile<'_>,
        queue: &Path,
        name: &StampedName,
    ) -> Result<StampedName> {
        let (from, to) = (draft.dir, File::open(self.0.join(queue)).unwrap());
        let flags = AtFlags::empty();
        rustix::fs::linkat(from, draft.name, to, name.to_os_string(), flags).unwrap();
        rustix::fs::unlinkat(from, draft.name, flags).unwrap();
        Ok(name.clone())
    }
}

/// The filesystem over a directory, without a mount; and a caller.
fn unmounted(dir: &Path, hooks: impl Hooks + 'static) -> (Arc<Fs>, Request) {
    let root = Arc::new(Beneath::new(File::open(dir).unwrap().into()));
    let store = HookedStore {
        store: DirStore::new(root.clone()),
        hooks,
    };
    let options = Options {
        utc: true,
        ..Options::default()
    };
    let clock = Arc::new(ShiftedClock::default());
    let proc = Box::<SystemProc>::default();
    let caller = Request {
        tid: std::process::id(),
        uid: 0,
    };
    let fs = Fs::with(root, Box::new(store), options, clock, proc).unwrap();
    (fs, caller)
}

/// Creates `n.md` and writes to it.
fn write_new(fs: &Fs, who: Request) -> HandleId {
    let name = OsStr::new("n.md");
    let made = fs
        .create(who, NodeId::ROOT, name, 0o600, libc::O_WRONLY)
        .unwrap();
    let handle = made.opened.handle;
    fs.write(who, handle, 0, b"x", false).unwrap();
    handle
}

/// spec 4.2a: two processes share one open file: the close of neither succeeds before the data is durable.
#[test]
fn two_closes_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (asked, is_asked) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    let hooks = SlowSync {
        asked: Mutex::new(asked),
        go: Mutex::new(wait),
    };
    let (fs, who) = unmounted(dir.path(), hooks);
    let handle = write_new(&fs, who);
    let (closed, is_closed) = mpsc::channel();
    for _ in 0..2 {
        let (fs, closed) = (fs.clone(), closed.clone());
        thread::spawn(move || {
            fs.flush(who, handle).unwrap();
            closed.send(()).unwrap();
        });
    }
    is_asked.recv().unwrap();
    let early = is_closed.recv_timeout(Duration::from_millis(300));
    drop(go);
    assert!(
        early.is_err(),
        "a close was answered before the name was durable"
    );
    is_closed.recv().unwrap();
    is_closed.recv().unwrap();
}

/// spec 4.2a, 4.2c: a handoff is delivered also where publishing links the draft and then removes its first name, which
/// inotify reports like the beginning of a write.
#[test]
fn published_by_link() {
    let dir = tempfile::tempdir().unwrap();
    let (fs, who) = unmounted(dir.path(), PublishByLink(dir.path().into()));
    let handle = write_new(&fs, who);
    fs.flush(who, handle).unwrap();
    fs.release(handle);
    for _ in 0..2 {
        let found = fs.lookup(who, NodeId::ROOT, OsStr::new("pending.md"));
        assert!(found.unwrap().attr.meta.size > 0);
    }
}
