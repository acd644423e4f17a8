//! A case: each operation is applied to the filesystem and to what is expected, and then everything is compared.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use handoff_fs::clock::Clock;

use crate::client::{Call, Clients, Fd, Result};
use crate::expected::{Expected, Id, OpenFile, State, Target};
use crate::harness::Mount;
use crate::names::{FIXED, Kind, OLD_FILES, PEEK, PENDING, QUEUES, join, kind, name, queue};
use crate::ops::{Caller, How, Op, What};

/// The clock begins so long before the machine's that files with the machine's time do not expire.
const START: Duration = Duration::from_secs(500 * 24 * 60 * 60);

const EIGHT_DAYS: Duration = Duration::from_secs(8 * 24 * 60 * 60);

/// How long a RELEASE may take to come.
const RELEASE: Duration = Duration::from_secs(5);

/// The file description of whoever reads `pending.md`.
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

fn same(what: &str, at: &str, answer: Result<String>, expected: Result<()>) {
    let answer = answer.map(drop);
    assert_eq!(
        answer, expected,
        "{what} {at:?}: errno (left), and expected"
    );
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
        self.close_all();
        self.check();
        self.remount();
        self.check();
        self.clients
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.mount.clock.now().into()
    }

    pub fn call(&mut self, caller: Caller, call: Call<'_>) -> Result<String> {
        let mount = self.mount.at("");
        self.clients.call(mount.to_str().unwrap(), caller, call)
    }

    pub fn number(&mut self, caller: Caller, call: Call<'_>) -> usize {
        self.call(caller, call).unwrap().parse().unwrap()
    }

    /// Waits for every RELEASE that is to come: the kernel sends it after close has returned.
    pub fn settle(&self) {
        let open = self.expected.open_files.len() + usize::from(self.snapshot.is_some());
        let since = Instant::now();
        while self.mount.fs().handles() > open {
            assert!(since.elapsed() < RELEASE, "no RELEASE came");
            thread::yield_now();
        }
    }

    /// The text of each file, or its errno.
    pub fn texts(&mut self, caller: Caller, paths: &[String]) -> Vec<Result<String>> {
        let answer = self.call(caller, Call::Texts(paths)).unwrap();
        self.settle();
        let texts: Vec<(i32, String)> = serde_json::from_str(&answer).unwrap();
        let texts = texts.into_iter();
        texts
            .map(|(errno, text)| if errno == 0 { Ok(text) } else { Err(errno) })
            .collect()
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

    fn text(&mut self, n: usize) -> String {
        self.writes += 1;
        let newline = if n.is_multiple_of(2) { "" } else { "\n" };
        format!("w{};{newline}", self.writes)
    }

    fn open(&mut self, caller: Caller, at: &str, how: How) -> Option<Fd> {
        if self.expected.is_open_unsaid(caller, at, how) {
            return None;
        }
        self.last += 1;
        let fd = self.last;
        let answer = self.call(caller, Call::Open(fd, at, how.flags()));
        let is_open = answer.is_ok();
        same("open", at, answer, self.expected.open(fd, caller, at, how));
        is_open.then_some(fd)
    }

    fn write(&mut self, fd: Fd, n: usize) {
        let text = self.text(n);
        let caller = self.expected.open_files[&fd].caller;
        let written = self.number(caller, Call::Write(fd, &text));
        assert_eq!(written, text.len(), "write");
        self.expected.write(fd, &text);
    }

    fn close(&mut self, fd: Fd) {
        let caller = self.expected.open_files[&fd].caller;
        self.call(caller, Call::Close(fd)).expect("close");
        self.expected.close(fd);
        self.settle();
    }

    fn close_all(&mut self) {
        self.finish(What::Leave);
        while let Some(fd) = self.expected.open_files.keys().next().copied() {
            self.close(fd);
            self.check();
        }
    }

    fn remount(&mut self) {
        self.mount.remount();
        self.expected.remount();
    }

    fn apply(&mut self, (what, caller, at, to, how, n): &Op) {
        let (at, to) = (self.path(at), self.path(to));
        let (what, caller, how, n) = (*what, *caller, *how, *n);
        // A handoff that was removed while it was open is not changed here, until the program keeps what is written then (3.9b).
        let is_changeable = |file: &OpenFile| {
            let is_there = |id: Id| self.expected.handoffs[id].states[0] != State::Gone;
            file.writes && file.handoff.is_none_or(is_there)
        };
        let changes = matches!(what, What::Write | What::Cut);
        let files = self.expected.open_files.iter();
        let files = files.filter(|file| !changes || is_changeable(file.1));
        let fds: Vec<Fd> = files.map(|file| *file.0).collect();
        let fd = n.checked_rem(fds.len()).map(|i| fds[i]);
        match (what, fd) {
            (What::Write | What::Cut | What::Close, None) => {}
            (What::Write, Some(fd)) => self.write(fd, n),
            (What::Cut, Some(fd)) => {
                let caller = self.expected.open_files[&fd].caller;
                self.call(caller, Call::Cut(fd, n % 6)).expect("ftruncate");
                self.expected.cut(fd, n % 6);
            }
            (What::Close, Some(fd)) => self.close(fd),
            (What::Open, _) => drop(self.open(caller, &at, how)),
            (What::Read, _) => {
                let Some(fd) = self.open(caller, &at, How::Read) else {
                    return;
                };
                let file = self.expected.open_files[&fd].clone();
                let text = self.call(caller, Call::Rest(fd)).unwrap();
                assert_eq!(text, self.expected.contents[file.content], "read {at:?}");
                if let Some(id) = file.handoff {
                    self.expected.handoffs[id].readers.insert(caller);
                }
                self.close(fd);
            }
            (What::Echo, _) => {
                if let Some(fd) = self.open(caller, &at, how) {
                    if how != How::Read {
                        self.write(fd, n);
                    }
                    self.close(fd);
                }
            }
            (What::Rename, _) => {
                if !self.expected.is_rename_unsaid(caller, &at, &to) {
                    let answer = self.call(caller, Call::Rename(&at, &to));
                    self.look();
                    same(
                        "rename",
                        &at,
                        answer,
                        self.expected.rename(caller, &at, &to),
                    );
                }
            }
            (What::Unlink, _) => {
                if !self.expected.is_foreign(caller, &at) {
                    let answer = self.call(caller, Call::Unlink(&at));
                    same("unlink", &at, answer, self.expected.unlink(caller, &at));
                    // spec 4.7c: to this thread, and for one look-up, `pending.md` is gone.
                    let _ = self.call(caller, Call::Stat(&at));
                }
            }
            (What::Hold, _) => self.hold(caller, queue(&at)),
            (What::Cat | What::ReadAll | What::ReadOnce | What::Leave, _) => {
                self.hold(caller, queue(&at));
                self.finish(what);
            }
            (What::Tick, _) => self.mount.clock.advance(Duration::from_secs(n as u64 % 8)),
            (What::Week, _) => self.mount.clock.advance(EIGHT_DAYS),
            (What::Sweep, _) => {
                self.mount.fs().sweep();
                self.expected.sweep();
            }
            (What::Stray, _) => self.stray(&join(queue(&at), FIXED[n % FIXED.len()].0), n),
            (What::Remount, _) => {
                self.close_all();
                self.remount();
            }
        }
    }

    /// spec 3.7a
    fn stray(&mut self, at: &str, n: usize) {
        let file = self.mount.below(at);
        // If an open draft has the name, it hides the stray until it is published under another one (3.3).
        let is_free =
            !file.exists() && self.expected.resolve(Caller::Watcher, at) == Target::Nothing;
        if is_free && kind(at) != Kind::Scratch {
            let text = self.text(n);
            fs::write(&file, &text).unwrap();
            let made = fs::File::options().write(true).open(&file).unwrap();
            made.set_modified(self.now().into()).unwrap();
            drop(made);
            self.expected.stray(at, text);
        }
    }

    /// Opens `pending.md`, unless somebody reads one.
    fn hold(&mut self, caller: Caller, queue: &str) {
        // Handoffs that are about to be closed would be waited for, and perhaps not shown.
        if self.snapshot.is_some() || !self.expected.pending(queue, true).is_empty() {
            return;
        }
        let peek = join(queue, PEEK);
        let text = self.texts(Caller::Watcher, &[peek]).remove(0).unwrap();
        let pending = join(queue, PENDING);
        let open = self.call(caller, Call::Open(SNAPSHOT, &pending, libc::O_RDONLY));
        open.expect("open pending.md");
        let begun = self.call(caller, Call::Read(SNAPSHOT, 10)).unwrap();
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

    /// Reads on in the open `pending.md`, and closes it. spec 6.2b: it has not changed; spec 6.3a: read to its end it is
    /// consumed; spec 6.4c: a handoff that changed since is delivered again.
    fn finish(&mut self, how: What) {
        let Some(snapshot) = self.snapshot.take() else {
            return;
        };
        let Snapshot {
            caller,
            text,
            items,
        } = snapshot;
        let size = self.number(caller, Call::Size(SNAPSHOT));
        assert_eq!(size, text.len(), "st_size of a snapshot");
        let rest = size.saturating_sub(10);
        let read = match how {
            What::Cat => self.call(caller, Call::Rest(SNAPSHOT)),
            What::ReadAll => self.call(caller, Call::Read(SNAPSHOT, rest)),
            What::ReadOnce => self.call(caller, Call::Read(SNAPSHOT, rest + 100)),
            _ => Ok(text[size - rest..].to_owned()),
        };
        assert_eq!(read.unwrap(), text[size - rest..], "the snapshot changed");
        for (id, at, changes) in items {
            let handoff = &self.expected.handoffs[id];
            let is_read = matches!(how, What::Cat | What::ReadAll);
            if is_read && handoff.is_pending() && handoff.changes == changes {
                let is_moved = !handoff.is_at(&at) || self.expected.is_written(id);
                self.expected.consume(caller, id, &at);
                if is_moved {
                    // Renamed, or opened to be written, it may be delivered again.
                    self.expected.handoffs[id].states.insert(0, State::Pending);
                }
            }
        }
        self.call(caller, Call::Close(SNAPSHOT)).unwrap();
        self.settle();
    }
}
