//! The scenarios in which the power goes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::disk::{Disk, Edit, Ino, ROOT};
use crate::machine::{AGENT, EDITOR, Machine, OTHER, SHELL};
use crate::write_log::{HandoffId, WriteLog};

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
    /// The content of the disk before.
    pub prepare: fn(&mut Disk, &mut WriteLog),
    pub act: fn(&mut Machine),
    /// Cut the power once more during each start after a cut, always.
    pub again: bool,
}

impl Scenario {
    /// Over an empty directory, mounted before.
    pub fn new(act: fn(&mut Machine)) -> Scenario {
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
pub fn put_handoff(disk: &mut Disk, log: &mut WriteLog, path: &str, days: u64) -> HandoffId {
    put(disk, path, &body(path), days);
    let handoff = log.old(&body(path));
    if path.ends_with("_done.md") {
        log.handoffs[handoff].read = WriteLog::span(0, 0);
        log.handoffs[handoff].done = WriteLog::span(0, 0);
    }
    handoff
}

pub const WRITE: fn(&mut Machine) = |machine| {
    for (who, name) in [
        (SHELL, "notes.md"),
        (OTHER, "notes.md"),
        (SHELL, "pending.md"),
    ] {
        let handoff = machine.log.handoff();
        machine.save(who, name, handoff, &body(&format!("{name} of {who}")));
    }
};

pub const WRITE_STAMPED: fn(&mut Machine) = |machine| {
    let handoff = machine.log.handoff();
    machine.save(
        SHELL,
        "2026-01-02_030405_by-hand.md",
        handoff,
        &body("by hand"),
    );
};

pub const APPEND: fn(&mut Machine) = |machine| {
    let handoff = machine.log.handoff();
    let (one, two) = (body("one"), body("two"));
    machine.save(SHELL, "log.md", handoff, &one);
    machine.log.handoffs[handoff].in_place = Some(one.clone());
    machine.append(SHELL, "log.md", handoff, &[one, two].concat());
};

pub const TEMP_AND_RENAME: fn(&mut Machine) = |machine| {
    let (handoff, other) = (machine.log.handoff(), machine.log.handoff());
    machine.save_by_rename(AGENT, "plan.md", handoff, &body("plan"), true);
    machine.save_by_rename(SHELL, "careless.md", other, &body("careless"), false);
};

pub const TEMP_AND_LINK: fn(&mut Machine) = |machine| {
    let handoff = machine.log.handoff();
    let open = machine.open(SHELL, "l.tmp", libc::O_WRONLY | libc::O_CREAT);
    machine.write(&open, 0, &body("linked"));
    machine.flush(&open);
    machine.release(&open);
    let version = machine.log.begin(handoff, &body("linked"), machine.now());
    machine.link(SHELL, "l.tmp", "linked.md");
    machine.log.answered(handoff, version, machine.now());
    machine.unlink(SHELL, "l.tmp");
};

/// A scratch file that is renamed while it is written.
pub const WRITTEN_AFTER_RENAME: fn(&mut Machine) = |machine| {
    let handoff = machine.log.handoff();
    let (one, two) = (body("one"), body("two"));
    let open = machine.open(SHELL, "w.tmp", libc::O_WRONLY | libc::O_CREAT);
    machine.write(&open, 0, &one);
    let version = machine.log.begin(handoff, &one, machine.now());
    machine.log.handoffs[handoff].in_place = Some(one.clone());
    machine.rename(SHELL, "w.tmp", "w.md");
    machine.log.answered(handoff, version, machine.now());
    let both = [&one[..], &two].concat();
    let version = machine.log.begin(handoff, &both, machine.now());
    machine.write(&open, one.len(), &two);
    machine.flush(&open);
    machine.log.answered(handoff, version, machine.now());
    machine.release(&open);
};

pub const EDIT: fn(&mut Machine) = |machine| {
    let handoff = machine.log.handoff();
    machine.save(SHELL, "edited.md", handoff, &body("first"));
    machine.save(EDITOR, "edited.md", handoff, &body("second"));
    machine.save(EDITOR, "edited.md", handoff, &body("third"));
};

pub const AGENT_EDITS: fn(&mut Machine) = |machine| {
    let handoff = machine.log.handoff();
    machine.save_by_rename(AGENT, "edited.md", handoff, &body("first"), true);
    machine.cat(AGENT, "edited.md", |bytes| assert_eq!(bytes, body("first")));
    machine.save_by_rename(AGENT, "edited.md", handoff, &body("second"), true);
    machine.cat(AGENT, "edited.md", |bytes| {
        assert_eq!(bytes, body("second"));
    });
    machine.save(AGENT, "edited.md", handoff, &body("third"));
};

pub const EDIT_STAMPED: fn(&mut Machine) = |machine| {
    let handoff = machine.log.handoff();
    machine.save(SHELL, "edited.md", handoff, &body("first"));
    let name = machine.stamped(b"# first");
    machine.log.handoffs[handoff].in_place = Some(Vec::new());
    machine.save(OTHER, &name, handoff, &body("second version"));
    machine.save_by_rename(OTHER, &name, handoff, &body("third"), true);
};

/// Several names, and back.
pub const RENAMES: Scenario = Scenario {
    from: From::Mounted,
    again: false,
    prepare: |disk, log| {
        put_handoff(disk, log, "2026-01-01_000000_back_done.md", 1);
        put_handoff(disk, log, "2026-01-02_000000_over.md", 1);
    },
    act: |machine| {
        let begun = machine.now();
        let back = "2026-01-01_000000_back.md";
        machine.rename(OTHER, &back.replace(".md", "_done.md"), back);
        machine.log.handoffs[0].back = WriteLog::span(begun, machine.now());
        renames(machine);
    },
};

fn renames(machine: &mut Machine) {
    let (handoff, other) = (machine.log.handoff(), machine.log.handoff());
    machine.save(SHELL, "x.md", handoff, &body("x"));
    machine.save(SHELL, "y.md", other, &body("y"));
    let name = machine.stamped(b"# x");
    let done = name.replace(".md", "_done.md");
    let now = machine.now();
    machine.rename(OTHER, &name, &done);
    machine.log.handoffs[handoff].done = WriteLog::span(now, machine.now());
    let name = machine.stamped(b"# y");
    machine.rename(OTHER, &name, "2026-01-02_030405_other-name.md");
    machine.rename(SHELL, "y.md", "z.md");
    // Over another one, which is kept.
    let name = machine.stamped(b"# y");
    let over = "2026-01-02_000000_over.md";
    let version = machine.log.begin(1, &body("y"), machine.now());
    machine.rename(OTHER, &name, over);
    machine.log.answered(1, version, machine.now());
}

pub const MOVES: fn(&mut Machine) = |machine| {
    let handoff = machine.log.handoff();
    machine.mkdir(SHELL, "q");
    machine.save(SHELL, "x.md", handoff, &body("x"));
    let name = machine.stamped(b"# x");
    machine.rename(OTHER, &name, &format!("q/{name}"));
    machine.rename(OTHER, &format!("q/{name}"), &name);
};

fn three(disk: &mut Disk, log: &mut WriteLog) {
    for (n, days) in [(1, 0), (2, 3), (3, 30)] {
        put_handoff(disk, log, &format!("2026-01-0{n}_000000_waits.md"), days);
    }
    put_handoff(disk, log, "q/2026-01-04_000000_deep.md", 0);
}

/// Some wait, one of them for a month, and are read by one who asks for exactly what there is; another one by `cat`.
pub const CONSUME: Scenario = Scenario {
    from: From::Mounted,
    again: false,
    prepare: three,
    act: |machine| {
        let handoffs = [0, 1, 2, 3];
        machine.log.reading(&handoffs, machine.now());
        let mut answered = 0;
        machine.read_exactly(OTHER, "pending.md", |_| answered = machine.now());
        machine.log.read(&handoffs, answered);
        // Others write meanwhile: that makes the names durable.
        let handoff = machine.log.handoff();
        machine.save(SHELL, "later.md", handoff, &body("later"));
        let mut answered = 0;
        machine.log.reading(&[handoff], machine.now());
        machine.cat(AGENT, "pending.md", |_| answered = machine.now());
        machine.log.read(&[handoff], answered);
    },
};

pub const EXPIRY: Scenario = Scenario {
    from: From::Mounted,
    again: false,
    prepare: |disk, log| {
        put_handoff(disk, log, "2026-01-01_000000_fresh_done.md", 6);
        put_handoff(disk, log, "2026-01-02_000000_waits.md", 60);
        for n in 3..5 {
            put_handoff(disk, log, &format!("2026-01-0{n}_000000_old_done.md"), 6);
        }
    },
    act: |machine| {
        for n in [3, 4] {
            let name = format!("2026-01-0{n}_000000_old_done.md");
            let past = SystemTime::now() - Duration::from_secs(8 * DAY);
            let begun = machine.now();
            machine.touch(SHELL, &name, past);
            machine.log.handoffs[n - 1].removed = WriteLog::span(begun, begun);
        }
        machine.sweep();
        assert!(!machine.has("2026-01-03_000000_old_done.md"));
        assert!(machine.has("2026-01-01_000000_fresh_done.md"));
    },
};

/// A queue gets another name, with what is in it and what is being written in it.
pub const RENAME_QUEUE: fn(&mut Machine) = |machine| {
    machine.mkdir(SHELL, "q");
    let (handoff, half) = (machine.log.handoff(), machine.log.handoff());
    machine.save(SHELL, "q/notes.md", handoff, &body("in a queue"));
    machine.log.begin(half, &body("half"), machine.now());
    let open = machine.open(SHELL, "q/half.md", libc::O_WRONLY | libc::O_CREAT);
    machine.write(&open, 0, &body("half"));
    let begun = machine.now();
    machine.fsync(&open);
    let synced = WriteLog::span(begun, machine.now()).unwrap();
    machine.log.handoffs[half].synced = Some((body("half").len(), synced));
    machine.rename(SHELL, "q", "r");
    machine.flush(&open);
    machine.log.answered(half, 0, machine.now());
    machine.release(&open);
};

/// As vim does with `backupcopy=no`.
pub const BACKUP: fn(&mut Machine) = |machine| {
    let handoff = machine.log.handoff();
    machine.save(SHELL, "x.md", handoff, &body("first"));
    machine.log.deleted.push(("x.md~".into(), body("first")));
    let begun = machine.now();
    machine.rename(EDITOR, "x.md", "x.md~");
    machine.log.handoffs[handoff].unmade = WriteLog::span(begun, machine.now());
    let handoff = machine.log.handoff();
    machine.save(EDITOR, "x.md", handoff, &body("second"));
    machine.unlink(EDITOR, "x.md~");
};

pub const QUEUE: fn(&mut Machine) = |machine| {
    machine.mkdir(SHELL, "q");
    let (handoff, other) = (machine.log.handoff(), machine.log.handoff());
    machine.save(SHELL, "q/notes.md", handoff, &body("in a queue"));
    machine.mkdir(SHELL, "q/r");
    machine.save_by_rename(AGENT, "q/r/plan.md", other, &body("in a queue of it"), true);
};

pub const REMOVE: fn(&mut Machine) = |machine| {
    let (handoff, other) = (machine.log.handoff(), machine.log.handoff());
    machine.save(SHELL, "x.md", handoff, &body("x"));
    machine.save(SHELL, "y.md", other, &body("y"));
    let name = machine.stamped(b"# x");
    let begun = machine.now();
    machine.unlink(OTHER, &name);
    machine.log.handoffs[handoff].removed = WriteLog::span(begun, machine.now());
    machine.fsync_dir();
    machine.log.handoffs[handoff].gone = WriteLog::span(begun, machine.now());
    // Others write meanwhile.
    let last = machine.log.handoff();
    machine.save(OTHER, "z.md", last, &body("z"));
};

/// fsync(2) without close(2): recoverable; of what a reader of it sees, nothing is promised.
pub const FSYNC: fn(&mut Machine) = |machine| {
    machine.mkdir(SHELL, "q");
    for path in ["half.md", "q/half.md"] {
        let handoff = machine.log.handoff();
        let (one, two) = (body(path), body("and more"));
        let whole = [&one[..], &two].concat();
        machine.log.begin(handoff, &whole, machine.now());
        let open = machine.open(SHELL, path, libc::O_WRONLY | libc::O_CREAT);
        machine.write(&open, 0, &one);
        let begun = machine.now();
        machine.fsync(&open);
        machine.log.handoffs[handoff].synced =
            Some((one.len(), WriteLog::span(begun, machine.now()).unwrap()));
        machine.write(&open, one.len(), &two);
    }
};

/// Retracted by unlink, and written anew, as `install` does.
pub const UNLINK_AND_WRITE: fn(&mut Machine) = |machine| {
    let handoff = machine.log.handoff();
    machine.save(SHELL, "x.md", handoff, &body("first"));
    let begun = machine.now();
    machine.log.handoffs[handoff].read = WriteLog::span(begun, begun);
    machine.unlink(SHELL, "x.md");
    let handoff = machine.log.handoff();
    machine.save(SHELL, "x.md", handoff, &body("second"));
};
