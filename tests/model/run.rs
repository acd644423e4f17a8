//! A case: each operation is applied to the filesystem and to what is expected, and then everything is compared.

use std::fs;
use std::time::Duration;

use chrono::{DateTime, Utc};

use handoff_fs::clock::Clock;

use crate::client::{Clients, Fd, Result};
use crate::expected::{Expected, Id, State};
use crate::harness::{DAY, Mount};
use crate::names::{OLD_FILES, PEEK, PENDING, QUEUES, join, name, queue};
use crate::ops::{Caller, How, Op, What};

/// The clock begins so long before the machine's that files with the machine's time do not expire.
const START: Duration = Duration::from_secs(500 * 24 * 60 * 60);

/// The open file of the session that reads `pending.md`.
const SNAPSHOT: Fd = 1;

/// A snapshot of `pending.md` that is being read: its text, and each handoff with its name and its number of changes.
struct Snapshot {
    caller: Caller,
    text: String,
    items: Vec<(Id, String, u32)>,
}

/// Fields are dropped in order: clients that have files open would keep the mount busy.
pub struct Run {
    clients: Clients,
    pub mount: Mount,
    pub expected: Expected,
    /// When this step began.
    pub step: DateTime<Utc>,
    last: Fd,
    snapshot: Option<Snapshot>,
    writes: u32,
}

impl Run {
    pub fn new(clients: Clients) -> Run {
        let prepare = |dir: &std::path::Path| {
            for queue in QUEUES {
                fs::create_dir_all(dir.join(queue)).unwrap();
            }
            for (name, content) in OLD_FILES {
                fs::write(dir.join(name), content).unwrap();
            }
        };
        let mount = Mount::over(prepare, |_| {});
        mount.clock.retreat(START);
        Run {
            clients,
            step: mount.clock.now().into(),
            mount,
            expected: Expected::at_first_mount(),
            last: SNAPSHOT,
            snapshot: None,
            writes: 0,
        }
    }

    /// The whole case; then all files are closed, and mounted anew. Answers the clients, for the next case.
    pub fn case(mut self, ops: &[Op]) -> Clients {
        for op in ops {
            self.step = self.now();
            self.expected.now = self.step;
            self.apply(op);
            self.check();
        }
        self.remount();
        self.check();
        self.clients
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.mount.clock.now().into()
    }

    fn call(&mut self, caller: Caller, call: &str) -> Result<String> {
        self.clients.call(caller, call)
    }

    /// Waits for every RELEASE that is due: the kernel sends it after close has returned.
    pub fn settle(&self) {
        let snapshots = usize::from(self.snapshot.is_some());
        self.mount
            .settle_to(self.expected.open_files.len() + snapshots);
    }

    /// The text of each file, or its errno.
    pub fn texts(&mut self, caller: Caller, paths: &[String]) -> Vec<Result<String>> {
        let paths: Vec<_> = paths.iter().map(|path| self.mount.at(path)).collect();
        let call = format!("json.dumps([answer(text, path) for path in {paths:?}])");
        let answer = self.call(caller, &call).unwrap();
        self.settle();
        serde_json::from_str(&answer).unwrap()
    }

    /// The path that an operation means; see [`Op`].
    fn path(&self, path: &str) -> String {
        let Some(i) = name(path).strip_prefix(['*', '!']) else {
            return path.to_owned();
        };
        let ids: Vec<Id> = self.expected.visible().collect();
        let Some(i) = i.parse::<usize>().unwrap().checked_rem(ids.len()) else {
            return join(queue(path), "notes.md");
        };
        let handoff = &self.expected.handoffs[ids[i]];
        let stamped = handoff.stamped().unwrap();
        match name(path).starts_with('!') {
            true => join(queue(path), &stamped.named(!stamped.done)),
            false => handoff.path.clone().unwrap(),
        }
    }

    fn open(&mut self, caller: Caller, at: &str, how: How) -> Option<Fd> {
        if self.expected.is_open_unsaid(caller, at, how) {
            return None;
        }
        self.last += 1;
        let fd = self.last;
        let path = self.mount.at(at);
        let call = format!("open_as({fd}, {path:?}, {})", how.flags());
        let answer = self.call(caller, &call).map(drop);
        let expected = self.expected.open(fd, caller, at, how);
        assert_eq!(answer, expected, "open {at:?}");
        answer.is_ok().then_some(fd)
    }

    fn write(&mut self, fd: Fd, n: usize) {
        self.writes += 1;
        let newline = if n.is_multiple_of(2) { "" } else { "\n" };
        let text = format!("w{};{newline}", self.writes);
        let caller = self.expected.open_files[&fd].caller;
        let written = self.call(caller, &format!("os.write(files[{fd}], {text:?}.encode())"));
        assert_eq!(written, Ok(text.len().to_string()), "write");
        self.expected.write(fd, &text);
    }

    fn read(&mut self, fd: Fd) {
        let file = &self.expected.open_files[&fd];
        let (caller, content) = (file.caller, file.content);
        let text = self.call(caller, &format!("read_to_end({fd})"));
        assert_eq!(text.unwrap(), self.expected.contents[content], "read");
    }

    fn close(&mut self, fd: Fd) {
        let caller = self.expected.open_files[&fd].caller;
        self.call(caller, &format!("os.close(files[{fd}])"))
            .expect("close");
        self.expected.close(fd);
        self.settle();
    }

    /// Closes all files, and mounts anew.
    fn remount(&mut self) {
        self.finish(What::Leave);
        self.check();
        while let Some(fd) = self.expected.open_files.keys().next().copied() {
            self.close(fd);
            self.check();
        }
        self.mount.remount();
        self.expected.remount();
    }

    fn apply(&mut self, (what, caller, at, to, how, n): &Op) {
        let (at, to) = (self.path(at), self.path(to));
        let (what, caller, how, n) = (*what, *caller, *how, *n);
        let files = self.expected.open_files.iter();
        let files = files.filter(|file| what != What::Write || file.1.writes);
        let fds: Vec<Fd> = files.map(|file| *file.0).collect();
        let fd = n.checked_rem(fds.len()).map(|i| fds[i]);
        match (what, fd) {
            (What::Write | What::Close, None) => {}
            (What::Write, Some(fd)) => self.write(fd, n),
            (What::Close, Some(fd)) => self.close(fd),
            (What::Open, _) => drop(self.open(caller, &at, how)),
            (What::Echo, _) => {
                if let Some(fd) = self.open(caller, &at, how) {
                    match how {
                        How::Read => self.read(fd),
                        _ => self.write(fd, n),
                    }
                    self.close(fd);
                }
            }
            (What::Rename, _) => {
                if !self.expected.is_rename_unsaid(caller, &at, &to) {
                    let (old, new) = (self.mount.at(&at), self.mount.at(&to));
                    let answer = self.call(caller, &format!("os.rename({old:?}, {new:?})"));
                    self.look();
                    let expected = self.expected.rename(caller, &at, &to);
                    assert_eq!(answer.map(drop), expected, "rename {at:?} to {to:?}");
                }
            }
            (What::Unlink, _) => {
                if !self.expected.is_unlink_unsaid(caller, &at) {
                    let path = self.mount.at(&at);
                    let answer = self.call(caller, &format!("os.unlink({path:?})"));
                    let expected = self.expected.unlink(caller, &at);
                    assert_eq!(answer.map(drop), expected, "unlink {at:?}");
                    // spec 4.7c: for one look-up of this thread, `pending.md` is gone.
                    let _ = self.call(caller, &format!("os.stat({path:?})"));
                }
            }
            (What::Hold, _) => self.hold(caller, queue(&at)),
            (What::Cat | What::ReadAll | What::ReadOnce | What::Leave, _) => {
                self.hold(caller, queue(&at));
                self.finish(what);
            }
            (What::Tick, _) => self.mount.clock.advance(Duration::from_secs(n as u64 % 8)),
            (What::Week, _) => self.mount.clock.advance(8 * DAY),
            (What::Sweep, _) => {
                self.mount.fs().sweep();
                self.expected.sweep();
            }
            (What::Remount, _) => self.remount(),
        }
    }

    /// Opens `pending.md`, unless somebody reads one.
    fn hold(&mut self, caller: Caller, queue: &str) {
        // Handoffs that are about to be closed would be waited for, and perhaps not shown.
        if self.snapshot.is_some() || !self.expected.pending(queue, true).is_empty() {
            return;
        }
        let text = fs::read_to_string(self.mount.at(join(queue, PEEK))).unwrap();
        self.settle();
        let pending = self.mount.at(join(queue, PENDING));
        let open = format!("open_as({SNAPSHOT}, {pending:?}, os.O_RDONLY)");
        self.call(caller, &open).expect("open pending.md");
        let read = format!("os.read(files[{SNAPSHOT}], 10).decode()");
        let begun = self.call(caller, &read).unwrap();
        assert!(text.starts_with(&begun), "{begun}");
        let items = self.check_merge(queue, &text).into_iter();
        let changes = |(id, at): (Id, String)| (id, at, self.expected.handoffs[id].changes);
        let items = items.map(changes).collect();
        self.snapshot = Some(Snapshot {
            caller,
            text,
            items,
        });
    }

    /// Reads on in the open `pending.md`, and closes it. spec 6.2b: its content has not changed; spec 6.3a: a reader that
    /// reads to the end consumes; spec 6.4c: a handoff that changed since is delivered again.
    fn finish(&mut self, how: What) {
        let Some(snapshot) = self.snapshot.take() else {
            return;
        };
        let (caller, text) = (snapshot.caller, snapshot.text);
        let size = self.call(caller, &format!("os.fstat(files[{SNAPSHOT}]).st_size"));
        assert_eq!(size, Ok(text.len().to_string()), "st_size of a snapshot");
        let unread = &text[text.len().min(10)..];
        let read = |size: usize| format!("os.read(files[{SNAPSHOT}], {size}).decode()");
        let read = match how {
            What::Cat => self.call(caller, &format!("read_to_end({SNAPSHOT})")),
            What::ReadAll => self.call(caller, &read(unread.len())),
            What::ReadOnce => self.call(caller, &read(unread.len() + 100)),
            _ => Ok(unread.to_owned()),
        };
        assert_eq!(read.unwrap(), unread, "the snapshot changed");
        let consumes = matches!(how, What::Cat | What::ReadAll);
        for (id, at, changes) in snapshot.items {
            let handoff = &self.expected.handoffs[id];
            if consumes && handoff.is_pending() && handoff.changes == changes {
                let is_moved = !handoff.is_at(&at) || self.expected.is_written(id);
                self.expected.consume(caller, id, &at);
                if is_moved {
                    // Renamed, or opened for writing, the handoff may be delivered again.
                    self.expected.handoffs[id].states.insert(0, State::Pending);
                }
            }
        }
        self.call(caller, &format!("os.close(files[{SNAPSHOT}])"))
            .unwrap();
        self.settle();
    }
}
