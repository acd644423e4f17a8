//! The cache holds what a fresh listing finds, whatever happens in the mount and below it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::clock::SystemClock;
use crate::fs::ctx::Options;
use crate::fs::ids::{DirId, NodeId};
use crate::fs::inode::types::Request;
use crate::fs::pending::merge_plan::Plans;
use crate::fs::state::{Fs, State};
use crate::store::Kind;

const US: Request = Request { tid: 0, uid: 0 };

fn open(backing: &Path) -> Arc<Fs> {
    let options = Options {
        sync: false,
        ..Options::default()
    };
    let directory: OwnedFd = fs::File::open(backing).unwrap().into();
    Fs::open(directory, options, Arc::new(SystemClock)).unwrap()
}

/// Everything that is cached of the queues below the root, and of their merge.
fn cached(fs: &Fs) -> Vec<String> {
    let mut guard = fs.lock();
    let state = &mut *guard;
    let plan = fs.settled_plan(state, DirId::ROOT).unwrap();
    let queues = state.queues.queues_below(DirId::ROOT).unwrap();
    let mut lines = Vec::new();
    for dir in queues {
        state.queues.load(dir).unwrap();
        let path = state.queues.path(dir).unwrap();
        let names: BTreeMap<_, _> = state.queues.names(dir).collect();
        for (name, it) in names {
            let path = path.join(name);
            // Of a directory only the inode number is used.
            let facts = (it.kind != Kind::Directory).then_some((it.size, it.mtime));
            let known = (it.kind, it.ino, facts);
            lines.push(format!("{} {known:?}", path.display()));
        }
    }
    for entry in &plan.entries {
        lines.push(format!("{entry:?}"));
    }
    lines.push(format!("{} bytes", plan.size()));
    lines
}

/// The same, with an empty cache.
fn fresh(fs: &Fs) -> Vec<String> {
    {
        let mut guard = fs.lock();
        let state = &mut *guard;
        for dir in state.queues.queues_below(DirId::ROOT).unwrap() {
            state.queues.drop_queue(dir);
        }
        state.plans = Plans::default();
    }
    cached(fs)
}

/// Changes one name in a queue, mostly below the mount.
fn change(random: &mut fastrand::Rng, fs: &Fs, backing: &Path) {
    let queue = backing.join(["", "", "q", "q/r"][random.usize(..4)]);
    let name = |random: &mut fastrand::Rng| {
        let (second, slug, done) = (random.u8(..3), random.u8(..3), random.bool());
        let done = if done { "_done" } else { "" };
        format!("2026-01-02_03040{second}_{slug}{done}.md")
    };
    let (at, to) = (queue.join(name(random)), queue.join(name(random)));
    let text = ["", "x", "x\n", "long\n"][random.usize(..4)];
    match random.u8(..12) {
        0..3 => drop(fs::write(&at, text)),
        3 => drop(fs::write(
            queue.join(["a.md", "b", "c.json"][random.usize(..3)]),
            text,
        )),
        4 | 5 => drop(fs::rename(&at, &to)),
        6 => drop(fs::remove_file(&at)),
        7 => {
            let time = SystemTime::now() - Duration::from_secs(random.u64(..3));
            let file = fs::File::options().write(true).open(&at);
            drop(file.and_then(|file| file.set_modified(time)));
        }
        8 => drop(fs::rename(backing.join("q"), backing.join("p"))),
        9 => drop(fs::rename(backing.join("p"), backing.join("q"))),
        10 => {
            let (from, to) = (at.file_name().unwrap(), to.file_name().unwrap());
            let _ = fs.rename(US, (NodeId::ROOT, from), (NodeId::ROOT, to), 0);
        }
        _ => {
            let flags = libc::O_WRONLY | libc::O_CREAT;
            let new = at.file_name().unwrap();
            if let Ok(made) = fs.create(US, NodeId::ROOT, new, 0o600, flags) {
                let handle = made.opened.handle;
                fs.write(US, handle, 0, text.as_bytes(), false).unwrap();
                fs.flush(US, handle).unwrap();
                fs.release(handle);
            }
        }
    }
}

/// spec 3.1, 6.1a: the cache is never wrong, and a merge that was changed bit by bit is the same as one that is made anew.
#[test]
fn the_cache_is_what_a_listing_finds() {
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let dir = tempfile::tempdir().unwrap();
        let fs = open(dir.path());
        for queue in ["q", "q/r"] {
            fs::create_dir(dir.path().join(queue)).unwrap();
        }
        for step in 0..80 {
            for _ in 0..random.u8(1..4) {
                change(&mut random, &fs, dir.path());
            }
            let before = cached(&fs);
            if random.u8(..3) == 0 {
                assert_eq!(before, fresh(&fs), "seed {seed}, step {step}");
            }
        }
        assert_eq!(cached(&fs), fresh(&fs), "seed {seed}");
    }
}

/// Files that are not merged are listed only; stat(2) is called when a client lists the queue.
#[test]
fn consumed_ones_are_not_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let fs = open(dir.path());
    let names = ["2026-01-02_030405_a.md", "2026-01-02_030405_b_done.md"];
    for name in names {
        fs::write(dir.path().join(name), "x\n").unwrap();
    }
    drop(fs);
    let fs = open(dir.path());
    let mut state = fs.lock();
    fs.plan(&mut state, DirId::ROOT).unwrap();
    let looked = |state: &State| {
        names.map(|name| {
            state
                .queues
                .get(DirId::ROOT, OsStr::new(name))
                .unwrap()
                .looked
        })
    };
    assert_eq!(looked(&state), [true, false]);
    state.queues.load(DirId::ROOT).unwrap();
    assert_eq!(looked(&state), [true, true]);
}

/// One changed file among many has one merge entry made anew.
#[test]
fn unchanged_entries_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let fs = open(dir.path());
    let name = |i: u8| format!("2026-01-02_0304{i:02}_x.md");
    for i in 0..50 {
        fs::write(dir.path().join(name(i)), "x\n").unwrap();
    }
    let plan = || fs.plan(&mut fs.lock(), DirId::ROOT).unwrap();
    let before = plan();
    fs::write(dir.path().join(name(7)), "longer\n").unwrap();
    let after = plan();
    let mut both = before.entries.iter().zip(&after.entries);
    let same: Vec<bool> = both.by_ref().map(|(a, b)| Arc::ptr_eq(a, b)).collect();
    assert_eq!(same.len(), 50);
    assert_eq!(same.iter().position(|same| !same), Some(7));
    assert_eq!(same.iter().filter(|same| !**same).count(), 1);
}
