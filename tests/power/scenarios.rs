//! What is going on when the power goes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::disk::{Disk, Edit, Ino, ROOT};
use crate::ledger::{DocId, Ledger};
use crate::world::{AGENT, EDITOR, OTHER, SHELL, World};

/// From when on the power may go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The first mount ever.
    FirstMount,
    /// A later mount.
    Mount,
    /// A later mount, after a `kill -9`: what lies on the disk need not be durable.
    Killed,
    /// When it is mounted.
    Mounted,
}

pub struct Scenario {
    pub from: From,
    /// What lies on the disk before.
    pub prepare: fn(&mut Disk, &mut Ledger),
    pub act: fn(&mut World),
    /// Cut the power once more during each start after a cut, always.
    pub again: bool,
}

impl Scenario {
    /// Over an empty directory, mounted before.
    pub fn new(act: fn(&mut World)) -> Scenario {
        Scenario {
            from: From::Mounted,
            prepare: |_, _| {},
            act,
            again: false,
        }
    }
}

const DAY: u64 = 86_400;

/// Some text that no other is the beginning of.
pub fn body(what: &str) -> Vec<u8> {
    let mut body = format!("# {what}\n");
    for line in 0..6 {
        body.push_str(&format!("{what}, line {line}\n"));
    }
    body.into_bytes()
}

/// Puts a file on the disk, so many days old.
pub fn put(disk: &mut Disk, path: &str, body: &[u8], days: u64) -> Ino {
    let mut dir = ROOT;
    let path = Path::new(path);
    for name in path.parent().unwrap() {
        dir = disk
            .lookup(dir, name)
            .or_else(|_| disk.make(dir, name, true, 0o700))
            .unwrap();
    }
    let name = path.file_name().unwrap();
    let ino = disk.make(dir, name, false, 0o600).unwrap();
    disk.edit(ino, Edit::Write(0, Arc::from(body))).unwrap();
    let then = SystemTime::now() - Duration::from_secs(days * DAY);
    disk.set(ino, None, Some(then)).unwrap();
    ino
}

/// A handoff that was there before.
pub fn put_doc(disk: &mut Disk, ledger: &mut Ledger, path: &str, days: u64) -> DocId {
    put(disk, path, &body(path), days);
    let doc = ledger.old(&body(path));
    if path.ends_with("_done.md") {
        ledger.docs[doc].read = Ledger::span(0, 0);
        ledger.docs[doc].done = Ledger::span(0, 0);
    }
    doc
}

pub const WRITE: fn(&mut World) = |world| {
    for (who, name) in [
        (SHELL, "notes.md"),
        (OTHER, "notes.md"),
        (SHELL, "pending.md"),
    ] {
        let doc = world.ledger.doc();
        world.save(who, name, doc, &body(&format!("{name} of {who}")));
    }
};

pub const WRITE_STAMPED: fn(&mut World) = |world| {
    let doc = world.ledger.doc();
    world.save(SHELL, "2026-01-02_030405_by-hand.md", doc, &body("by hand"));
};

pub const APPEND: fn(&mut World) = |world| {
    let doc = world.ledger.doc();
    let (one, two) = (body("one"), body("two"));
    world.save(SHELL, "log.md", doc, &one);
    world.ledger.docs[doc].in_place = Some(one.clone());
    world.append(SHELL, "log.md", doc, &[one, two].concat());
};

pub const TEMP_AND_RENAME: fn(&mut World) = |world| {
    let (doc, other) = (world.ledger.doc(), world.ledger.doc());
    world.save_by_rename(AGENT, "plan.md", doc, &body("plan"), true);
    world.save_by_rename(SHELL, "careless.md", other, &body("careless"), false);
};

pub const TEMP_AND_LINK: fn(&mut World) = |world| {
    let doc = world.ledger.doc();
    let open = world.open(SHELL, "l.tmp", libc::O_WRONLY | libc::O_CREAT);
    world.write(&open, 0, &body("linked"));
    world.flush(&open);
    world.release(&open);
    let version = world.ledger.begin(doc, &body("linked"), world.now());
    world.link(SHELL, "l.tmp", "linked.md");
    world.ledger.answered(doc, version, world.now());
    world.unlink(SHELL, "l.tmp");
};

/// A scratch file that is renamed while it is written.
pub const WRITTEN_AFTER_RENAME: fn(&mut World) = |world| {
    let doc = world.ledger.doc();
    let (one, two) = (body("one"), body("two"));
    let open = world.open(SHELL, "w.tmp", libc::O_WRONLY | libc::O_CREAT);
    world.write(&open, 0, &one);
    let version = world.ledger.begin(doc, &one, world.now());
    world.ledger.docs[doc].in_place = Some(one.clone());
    world.rename(SHELL, "w.tmp", "w.md");
    world.ledger.answered(doc, version, world.now());
    let both = [&one[..], &two].concat();
    let version = world.ledger.begin(doc, &both, world.now());
    world.write(&open, one.len(), &two);
    world.flush(&open);
    world.ledger.answered(doc, version, world.now());
    world.release(&open);
};

pub const EDIT: fn(&mut World) = |world| {
    let doc = world.ledger.doc();
    world.save(SHELL, "edited.md", doc, &body("first"));
    world.save(EDITOR, "edited.md", doc, &body("second"));
    world.save(EDITOR, "edited.md", doc, &body("third"));
};

pub const AGENT_EDITS: fn(&mut World) = |world| {
    let doc = world.ledger.doc();
    world.save_by_rename(AGENT, "edited.md", doc, &body("first"), true);
    world.cat(AGENT, "edited.md", |bytes| assert_eq!(bytes, body("first")));
    world.save_by_rename(AGENT, "edited.md", doc, &body("second"), true);
    world.cat(AGENT, "edited.md", |bytes| {
        assert_eq!(bytes, body("second"));
    });
    world.save(AGENT, "edited.md", doc, &body("third"));
};

pub const EDIT_STAMPED: fn(&mut World) = |world| {
    let doc = world.ledger.doc();
    world.save(SHELL, "edited.md", doc, &body("first"));
    let name = world.stamped(b"# first");
    world.ledger.docs[doc].in_place = Some(Vec::new());
    world.save(OTHER, &name, doc, &body("second version"));
    world.save_by_rename(OTHER, &name, doc, &body("third"), true);
};

/// Several names, and back.
pub const RENAMES: Scenario = Scenario {
    from: From::Mounted,
    again: false,
    prepare: |disk, ledger| {
        put_doc(disk, ledger, "2026-01-01_000000_back_done.md", 1);
        put_doc(disk, ledger, "2026-01-02_000000_over.md", 1);
    },
    act: |world| {
        let begun = world.now();
        let back = "2026-01-01_000000_back.md";
        world.rename(OTHER, &back.replace(".md", "_done.md"), back);
        world.ledger.docs[0].back = Ledger::span(begun, world.now());
        renames(world);
    },
};

fn renames(world: &mut World) {
    let (doc, other) = (world.ledger.doc(), world.ledger.doc());
    world.save(SHELL, "x.md", doc, &body("x"));
    world.save(SHELL, "y.md", other, &body("y"));
    let name = world.stamped(b"# x");
    let done = name.replace(".md", "_done.md");
    let now = world.now();
    world.rename(OTHER, &name, &done);
    world.ledger.docs[doc].done = Ledger::span(now, world.now());
    let name = world.stamped(b"# y");
    world.rename(OTHER, &name, "2026-01-02_030405_other-name.md");
    world.rename(SHELL, "y.md", "z.md");
    // Over another one, which is kept.
    let name = world.stamped(b"# y");
    let over = "2026-01-02_000000_over.md";
    let version = world.ledger.begin(1, &body("y"), world.now());
    world.rename(OTHER, &name, over);
    world.ledger.answered(1, version, world.now());
}

pub const MOVES: fn(&mut World) = |world| {
    let doc = world.ledger.doc();
    world.mkdir(SHELL, "q");
    world.save(SHELL, "x.md", doc, &body("x"));
    let name = world.stamped(b"# x");
    world.rename(OTHER, &name, &format!("q/{name}"));
    world.rename(OTHER, &format!("q/{name}"), &name);
};

fn three(disk: &mut Disk, ledger: &mut Ledger) {
    for (n, days) in [(1, 0), (2, 3), (3, 30)] {
        put_doc(disk, ledger, &format!("2026-01-0{n}_000000_waits.md"), days);
    }
    put_doc(disk, ledger, "q/2026-01-04_000000_deep.md", 0);
}

/// Some wait, one of them for a month, and are read by one who asks for exactly what there is; another one by `cat`.
pub const CONSUME: Scenario = Scenario {
    from: From::Mounted,
    again: false,
    prepare: three,
    act: |world| {
        let docs = [0, 1, 2, 3];
        world.ledger.reading(&docs, world.now());
        let mut answered = 0;
        world.read_exactly(OTHER, "pending.md", |_| answered = world.now());
        world.ledger.read(&docs, answered);
        // Others write meanwhile: that makes the names durable.
        let doc = world.ledger.doc();
        world.save(SHELL, "later.md", doc, &body("later"));
        let mut answered = 0;
        world.ledger.reading(&[doc], world.now());
        world.cat(AGENT, "pending.md", |_| answered = world.now());
        world.ledger.read(&[doc], answered);
    },
};

pub const EXPIRY: Scenario = Scenario {
    from: From::Mounted,
    again: false,
    prepare: |disk, ledger| {
        put_doc(disk, ledger, "2026-01-01_000000_fresh_done.md", 6);
        put_doc(disk, ledger, "2026-01-02_000000_waits.md", 60);
        for n in 3..5 {
            put_doc(disk, ledger, &format!("2026-01-0{n}_000000_old_done.md"), 6);
        }
    },
    act: |world| {
        for n in [3, 4] {
            let name = format!("2026-01-0{n}_000000_old_done.md");
            let past = SystemTime::now() - Duration::from_secs(8 * DAY);
            let begun = world.now();
            world.touch(SHELL, &name, past);
            world.ledger.docs[n - 1].removed = Ledger::span(begun, begun);
        }
        world.sweep();
        assert!(!world.has("2026-01-03_000000_old_done.md"));
        assert!(world.has("2026-01-01_000000_fresh_done.md"));
    },
};

/// A queue gets another name, with what is in it and what is being written in it.
pub const RENAME_QUEUE: fn(&mut World) = |world| {
    world.mkdir(SHELL, "q");
    let (doc, half) = (world.ledger.doc(), world.ledger.doc());
    world.save(SHELL, "q/notes.md", doc, &body("in a queue"));
    world.ledger.begin(half, &body("half"), world.now());
    let open = world.open(SHELL, "q/half.md", libc::O_WRONLY | libc::O_CREAT);
    world.write(&open, 0, &body("half"));
    let begun = world.now();
    world.fsync(&open);
    let synced = Ledger::span(begun, world.now()).unwrap();
    world.ledger.docs[half].synced = Some((body("half").len(), synced));
    world.rename(SHELL, "q", "r");
    world.flush(&open);
    world.ledger.answered(half, 0, world.now());
    world.release(&open);
};

/// As vim does with `backupcopy=no`.
pub const BACKUP: fn(&mut World) = |world| {
    let doc = world.ledger.doc();
    world.save(SHELL, "x.md", doc, &body("first"));
    world.ledger.deleted.push(("x.md~".into(), body("first")));
    let begun = world.now();
    world.rename(EDITOR, "x.md", "x.md~");
    world.ledger.docs[doc].unmade = Ledger::span(begun, world.now());
    let doc = world.ledger.doc();
    world.save(EDITOR, "x.md", doc, &body("second"));
    world.unlink(EDITOR, "x.md~");
};

pub const QUEUE: fn(&mut World) = |world| {
    world.mkdir(SHELL, "q");
    let (doc, other) = (world.ledger.doc(), world.ledger.doc());
    world.save(SHELL, "q/notes.md", doc, &body("in a queue"));
    world.mkdir(SHELL, "q/r");
    world.save_by_rename(AGENT, "q/r/plan.md", other, &body("in a queue of it"), true);
};

pub const REMOVE: fn(&mut World) = |world| {
    let (doc, other) = (world.ledger.doc(), world.ledger.doc());
    world.save(SHELL, "x.md", doc, &body("x"));
    world.save(SHELL, "y.md", other, &body("y"));
    let name = world.stamped(b"# x");
    let begun = world.now();
    world.unlink(OTHER, &name);
    world.ledger.docs[doc].removed = Ledger::span(begun, world.now());
    world.fsync_dir();
    world.ledger.docs[doc].gone = Ledger::span(begun, world.now());
    // Others write meanwhile.
    let last = world.ledger.doc();
    world.save(OTHER, "z.md", last, &body("z"));
};

/// fsync(2) without close(2): recoverable; of what a reader of it sees, nothing is promised.
pub const FSYNC: fn(&mut World) = |world| {
    world.mkdir(SHELL, "q");
    for path in ["half.md", "q/half.md"] {
        let doc = world.ledger.doc();
        let (one, two) = (body(path), body("and more"));
        let whole = [&one[..], &two].concat();
        world.ledger.begin(doc, &whole, world.now());
        let open = world.open(SHELL, path, libc::O_WRONLY | libc::O_CREAT);
        world.write(&open, 0, &one);
        let begun = world.now();
        world.fsync(&open);
        world.ledger.docs[doc].synced =
            Some((one.len(), Ledger::span(begun, world.now()).unwrap()));
        world.write(&open, one.len(), &two);
    }
};

/// Retracted by unlink, and written anew, as `install` does.
pub const UNLINK_AND_WRITE: fn(&mut World) = |world| {
    let doc = world.ledger.doc();
    world.save(SHELL, "x.md", doc, &body("first"));
    let begun = world.now();
    world.ledger.docs[doc].read = Ledger::span(begun, begun);
    world.unlink(SHELL, "x.md");
    let doc = world.ledger.doc();
    world.save(SHELL, "x.md", doc, &body("second"));
};
