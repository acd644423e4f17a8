//! Queues over a directory that nothing is mounted on.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use crate::clock::SystemClock;
use crate::fs::ctx::{Ctx, Options};
use crate::fs::ids::DirId;
use crate::fs::queue::cache::Queues;
use crate::names::StampedName;
use crate::store::dir::DirStore;
use crate::store::dirfd::Beneath;
use crate::store::local::Area;

const ROOT: DirId = DirId::ROOT;
const A: &str = "2026-01-02_030405_a.md";

fn queues(backing: &Path) -> Queues {
    let options = Options {
        sync: false,
        ..Options::default()
    };
    let directory: OwnedFd = fs::File::open(backing).unwrap().into();
    let root = Arc::new(Beneath::new(directory));
    let store = Box::new(DirStore::new(root.clone()));
    let ctx = Ctx::open(root, store, options, Arc::new(SystemClock)).unwrap();
    Queues::new(Arc::new(ctx), Arc::default())
}

fn names(queues: &mut Queues, dir: DirId) -> Vec<String> {
    queues.load_names(dir).unwrap();
    let mut names: Vec<_> = queues
        .names(dir)
        .map(|(name, _)| name.to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// The queue of this name in the root.
fn enter(queues: &mut Queues, name: &str) -> DirId {
    queues.load(ROOT).unwrap();
    let ino = queues.get(ROOT, OsStr::new(name)).unwrap().ino;
    queues.enter_dir(ROOT, OsStr::new(name), ino).unwrap()
}

fn stamped(name: &str) -> StampedName {
    StampedName::parse(OsStr::new(name)).unwrap()
}

/// spec 3.1: a change by another program below the mount is seen at the next use.
#[test]
fn changes_below_are_seen() {
    let dir = tempfile::tempdir().unwrap();
    let mut queues = queues(dir.path());
    assert_eq!(names(&mut queues, ROOT), [""; 0]);
    fs::write(dir.path().join(A), "x").unwrap();
    assert_eq!(names(&mut queues, ROOT), [A]);
    let before = queues.generation;
    assert_eq!(names(&mut queues, ROOT), [A]);
    assert_eq!(queues.generation, before, "nothing has changed");
    fs::remove_file(dir.path().join(A)).unwrap();
    assert_eq!(names(&mut queues, ROOT), [""; 0]);
    assert_ne!(queues.generation, before);
}

/// spec 3.7a: a stray gets a stamped name, and is pending whatever its name says.
#[test]
fn a_stray_is_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let mut queues = queues(dir.path());
    queues.watch_all().unwrap();
    fs::write(dir.path().join("x_done.md"), "x").unwrap();
    fs::write(dir.path().join("x.json"), "{}").unwrap();
    let names = names(&mut queues, ROOT);
    assert_eq!(names.len(), 2);
    assert!(names[0].ends_with("_x-done.md"), "{names:?}");
    assert_eq!(names[1], "x.json");
}

/// spec 3.3: a file is renamed over neither another file nor a draft's name.
#[test]
fn a_free_name_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut queues = queues(dir.path());
    for name in [A, "2026-01-02_030405_b.md", "2026-01-02_030405_c.md"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    let draft = OsStr::new("2026-01-02_030405_a_2.md");
    let local = &queues.ctx.local;
    drop(
        local
            .create(Area::Drafts, Path::new(""), draft, 0o600)
            .unwrap(),
    );
    for (name, suffix) in [("b", "_3"), ("c", "_4")] {
        let name = format!("2026-01-02_030405_{name}.md");
        let got = queues
            .move_free(ROOT, OsStr::new(&name), &stamped(A))
            .unwrap();
        assert_eq!(got, stamped(&format!("2026-01-02_030405_a{suffix}.md")));
    }
    assert_eq!(fs::read_to_string(dir.path().join(A)).unwrap(), A);
}

/// spec 3.6g, 3.6h: which directories are queues, and which are ordinary.
#[test]
fn kinds_of_directories() {
    let dir = tempfile::tempdir().unwrap();
    let mut queues = queues(dir.path());
    for name in ["q", "archive", "x.lock", ".hidden", "repository/.git"] {
        fs::create_dir_all(dir.path().join(name)).unwrap();
    }
    let mut is_queue = |name| {
        let dir = enter(&mut queues, name);
        queues.is_queue(dir)
    };
    assert!(is_queue("q"));
    assert!(!is_queue("archive"));
    assert!(!is_queue("x.lock"));
    assert!(!is_queue(".hidden"));
    assert!(!is_queue("repository"));
}

/// spec 3.6g: a queue that is empty becomes ordinary when a `.git` turns up in it.
#[test]
fn a_repository_turns_up() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("q")).unwrap();
    let mut queues = queues(dir.path());
    let q = enter(&mut queues, "q");
    assert_eq!(names(&mut queues, q), [""; 0]);
    fs::create_dir(dir.path().join("q/.git")).unwrap();
    queues.load_names(q).unwrap();
    assert!(!queues.is_queue(q));
}

/// spec 4.10a: a queue is found under its new name, with the queues below.
#[test]
fn a_queue_is_renamed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("q/r")).unwrap();
    let mut queues = queues(dir.path());
    assert_eq!(queues.queues_below(ROOT).unwrap().len(), 3);
    let q = enter(&mut queues, "q");
    let r = {
        queues.load(q).unwrap();
        let ino = queues.get(q, OsStr::new("r")).unwrap().ino;
        queues.enter_dir(q, OsStr::new("r"), ino).unwrap()
    };
    fs::rename(dir.path().join("q"), dir.path().join("p")).unwrap();
    queues.dir_renamed(q, ROOT, OsStr::new("p"));
    assert_eq!(queues.path(r).unwrap(), Path::new("p/r"));
    queues.dirs.removed(r);
    assert!(
        queues.path(r).is_err(),
        "a directory that was removed has no path"
    );
}

/// stat(2) of a file that is not merged is called when a client lists the queue, and not before.
#[test]
fn only_a_listing_looks_at_every_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(A), "x").unwrap();
    let mut queues = queues(dir.path());
    queues.load_names(ROOT).unwrap();
    let looked = |queues: &Queues| queues.get(ROOT, OsStr::new(A)).unwrap().looked;
    assert!(!looked(&queues));
    queues.load(ROOT).unwrap();
    assert!(looked(&queues));
}

/// spec 4.2c: a file that is written below the mount is merged once it has no writer.
#[test]
fn a_file_that_is_being_written_below() {
    let dir = tempfile::tempdir().unwrap();
    let mut queues = queues(dir.path());
    queues.watch_all().unwrap();
    let writer = fs::File::create(dir.path().join(A)).unwrap();
    std::io::Write::write_all(&mut &writer, b"x").unwrap();
    queues.load_names(ROOT).unwrap();
    let names = [Arc::from(OsStr::new(A))];
    let mut unread = || {
        let none = std::collections::HashSet::new();
        let unread = queues.look_at_pending(ROOT, Path::new(""), &names, &none);
        unread.unwrap().len()
    };
    assert_eq!(unread(), 1);
    drop(writer);
    assert_eq!(unread(), 0);
}
