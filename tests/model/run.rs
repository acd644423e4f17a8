//! Applies a case to the model and to a filesystem, and has them compared after every step.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use handoff_fs::clock::Clock;

use crate::harness::Mount;
use crate::judge::text;
use crate::kernel::{Call, Fd, Result, Sys};
use crate::names::{FIXED, Kind, PEEK, PENDING, STRAYS, Stamped, kind};
use crate::ops::{How, Name, Op, Place, QUEUES, What, Who};
use crate::world::{At, Found, Id, State, World};

/// The clock starts so long before the machine's: what files have from the machine does not expire meanwhile.
const START: Duration = Duration::from_secs(500 * 24 * 60 * 60);

/// Nothing consumed before is left afterwards.
const WEEK: Duration = Duration::from_secs(8 * 24 * 60 * 60);

/// How long a reader waits for a writer that has closed (4.2), and how long a RELEASE may take to come.
const WAITS: Duration = Duration::from_millis(100);
const RELEASE: Duration = Duration::from_secs(5);

/// spec 3.6a: what lies there before the first mount.
const OLD: [(&str, &str); 2] = [("HANDOFF.md", "there\n"), ("s/plan.md", "there, too\n")];

/// A snapshot of `pending.md` that is being read: its bytes, and each document with its name and number of changes.
struct Held {
    who: Who,
    bytes: Vec<u8>,
    items: Vec<(Id, At, u32)>,
}

/// Fields are dropped in order: clients that have files open would keep the mount busy.
pub struct Run<S> {
    sys: S,
    pub(crate) mount: Mount,
    pub(crate) world: World,
    /// When this step began.
    pub(crate) step: DateTime<Utc>,
    last: Fd,
    held: Option<Held>,
    written: u32,
}

/// The file description of whoever reads `pending.md`.
const HELD: Fd = 0;

/// A path in the mount: its queue, and its name.
pub fn place(path: &str) -> At {
    let (queue, name) = path.rsplit_once('/').unwrap_or(("", path));
    (queue.to_owned(), name.to_owned())
}

pub fn path((queue, name): &At) -> String {
    format!("{queue}/{name}").trim_start_matches('/').to_owned()
}

fn same(what: &str, real: &Result<Vec<u8>>, model: Result<()>) {
    let real = real.as_ref().map(drop).map_err(|errno| *errno);
    assert_eq!(
        real, model,
        "{what}: errno (left the filesystem's, right the contract's)"
    );
}

impl<S: Sys> Run<S> {
    pub fn new(sys: S) -> Run<S> {
        let prepare = |dir: &std::path::Path| {
            for (name, content) in OLD {
                let file = dir.join(name);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, content).unwrap();
            }
        };
        let mount = Mount::over(prepare, |_| {});
        mount.clock.retreat(START);
        let step = mount.clock.now().into();
        let mut world = World::default();
        world.queues.insert(String::new());
        for (name, content) in OLD {
            let body = world.body((*content).into());
            world.queues.insert(place(name).0);
            world.files.insert((place(name), None), body);
        }
        let (last, held, written) = (HELD, None, 0);
        Run {
            sys,
            mount,
            world,
            step,
            last,
            held,
            written,
        }
    }

    /// The whole case; then everything closed, forgotten, and mounted anew.
    pub fn case(mut self, ops: &[Op]) -> S {
        for op in ops {
            self.step(op);
        }
        self.close_all();
        self.judge();
        self.sys.forget(&self.mount);
        assert_eq!(self.mount.fs().handles(), 0, "open handles");
        self.remount();
        self.judge();
        self.sys
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.mount.clock.now().into()
    }

    pub fn call(&mut self, who: Who, call: Call<'_>) -> Result<Vec<u8>> {
        self.sys.call(&self.mount, who, call)
    }

    pub fn size(&mut self, who: Who, call: Call<'_>) -> usize {
        text(&self.call(who, call).unwrap()).parse().unwrap()
    }

    /// RELEASE comes when it likes; what it does is part of the step that closed.
    fn release(&mut self, fd: Fd) {
        self.sys.release(&self.mount, fd, false);
        let open = self.world.opens.len() + usize::from(self.held.is_some());
        let since = Instant::now();
        while self.mount.fs().handles() > open {
            assert!(since.elapsed() < RELEASE, "no RELEASE came");
            thread::sleep(Duration::from_micros(50));
        }
    }

    /// Reads a file to its end.
    fn rest(&mut self, who: Who, fd: Fd) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            match self.call(who, Call::Read(fd, 300))? {
                piece if piece.is_empty() => return Ok(bytes),
                piece => bytes.extend(piece),
            }
        }
    }

    pub fn cat(&mut self, who: Who, path: &str) -> Result<Vec<u8>> {
        self.last += 1;
        let fd = self.last;
        self.call(who, Call::Open(fd, path, libc::O_RDONLY))?;
        let bytes = self.rest(who, fd);
        self.call(who, Call::Close(fd))?;
        self.release(fd);
        bytes
    }

    fn step(&mut self, op: &Op) {
        self.step = self.now();
        self.world.now = self.step;
        self.apply(op);
        self.judge();
    }

    fn at(&self, Place(queue, name): Place) -> At {
        let queue = QUEUES[queue].to_owned();
        let pick = |queue: &str, i: usize| {
            let docs = self.world.visible().map(|id| &self.world.docs[id]);
            let here: Vec<_> = docs.filter(|doc| doc.queue == queue).collect();
            here[i.checked_rem(here.len())?].parsed()
        };
        let flipped = |name: Stamped| name.called(!name.done);
        let name = match name {
            Name::Fixed(i) => Err(i),
            Name::Stamped(i) => pick(&queue, i).map(|it| it.called(it.done)).ok_or(0),
            Name::Flipped(i) => pick(&queue, i).map(flipped).ok_or(1),
            Name::Archived(i) => pick("", i).map(flipped).ok_or(11),
        };
        let name = name.unwrap_or_else(|i| FIXED[i].0.to_owned());
        (queue, name)
    }

    /// Does the contract not say what opening this does?
    fn is_unsaid(&self, who: Who, at: &At, how: How) -> bool {
        let world = &self.world;
        let found = world.resolve(who, at);
        if how == How::Read {
            return found == Found::Merge;
        }
        match found {
            // Of another session's scratch file it is said only that nobody else writes it.
            _ if !how.has(libc::O_CREAT) && self.is_foreign(who, at) => true,
            Found::Doc(id, own) => {
                let doc = &world.docs[id];
                let edits = world.edits(who, Some(id)) && how != How::Append;
                match own {
                    // Whether a stream editor edits a stamped name that it has not read, 4.5 leaves open.
                    false if who == Who::Perl && !how.has(libc::O_TRUNC) => true,
                    false => false,
                    true => doc.published && world.is_written(id) && edits,
                }
            }
            // An editor's edit of an ordinary text file is not followed while it goes on.
            Found::File(_) => matches!(kind(&at.1), Kind::Free(..)) && world.edits(who, None),
            _ => false,
        }
    }

    /// Is it not said what this rename does: with or over what is being written, or over an ordinary file?
    fn is_rename_unsaid(&self, who: Who, from: &At, to: &At) -> bool {
        let world = &self.world;
        let is_busy = |id: Id| {
            let doc = &world.docs[id];
            world.writers(id) > 0 || !doc.published || doc.edit.is_some()
        };
        let becomes_file = !matches!(kind(&to.1), Kind::Free(..) | Kind::Stamped | Kind::Merge);
        match (world.resolve(who, from), world.resolve(who, to)) {
            (Found::Doc(id, _), Found::Doc(other, own)) => {
                let empty = world.is_empty(world.docs[other].body);
                let replaces = !own || world.edits(who, Some(other)) || empty;
                id != other && replaces && (is_busy(id) || is_busy(other))
            }
            (Found::Doc(id, _), Found::File(_)) => !becomes_file || is_busy(id),
            (Found::Doc(id, _), _) => becomes_file && is_busy(id),
            (Found::File(_), Found::Doc(other, _)) => {
                let doc = &world.docs[other];
                !doc.published || doc.edit.is_some()
            }
            _ => false,
        }
    }

    fn is_foreign(&self, who: Who, at: &At) -> bool {
        self.world.is_foreign(who, &self.world.resolve(who, at))
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        self.written += 1;
        let newline = if n.is_multiple_of(2) { "" } else { "\n" };
        format!("w{};{newline}", self.written).into_bytes()
    }

    fn open(&mut self, who: Who, at: &At, how: How) -> Option<Fd> {
        if self.is_unsaid(who, at, how) {
            return None;
        }
        self.last += 1;
        let fd = self.last;
        let real = self.call(who, Call::Open(fd, &path(at), how.flags()));
        let model = self.world.open(fd, who, at, how);
        same(&format!("open {at:?}"), &real, model);
        real.ok().map(|_| fd)
    }

    fn write(&mut self, fd: Fd, n: usize) {
        let bytes = self.bytes(n);
        let who = self.world.opens[&fd].who;
        assert_eq!(
            self.size(who, Call::Write(fd, &bytes)),
            bytes.len(),
            "write"
        );
        self.world.write(fd, &bytes);
    }

    fn close(&mut self, fd: Fd) {
        let who = self.world.opens[&fd].who;
        same("close", &self.call(who, Call::Close(fd)), Ok(()));
        if self.world.close(fd) {
            self.release(fd);
        }
    }

    fn close_all(&mut self) {
        self.go_on(false);
        while let Some(fd) = self.world.opens.keys().next().copied() {
            self.close(fd);
            self.judge();
        }
    }

    fn remount(&mut self) {
        self.mount.remount();
        self.sys.ends();
        self.world.daemon_ends();
    }

    fn apply(&mut self, &Op(what, who, from, to, how, n): &Op) {
        let (at, to) = (self.at(from), self.at(to));
        let fds: Vec<Fd> = match what {
            What::Write | What::Cut => {
                let writing = self.world.opens.iter().filter(|it| it.1.write);
                writing.map(|it| *it.0).collect()
            }
            _ => self.world.opens.keys().copied().collect(),
        };
        let fd = n.checked_rem(fds.len()).map_or(HELD, |i| fds[i]);
        let opener = self.world.opens.get(&fd).map_or(who, |open| open.who);
        let queue = at.0.as_str();
        match what {
            What::Write | What::Cut | What::Dup | What::Close if fds.is_empty() => {}
            What::Write => self.write(fd, n),
            What::Cut => {
                same(
                    "ftruncate",
                    &self.call(opener, Call::Cut(fd, n % 6)),
                    Ok(()),
                );
                self.world.cut(fd, n % 6);
            }
            What::Dup => {
                same("dup", &self.call(opener, Call::Dup(fd)), Ok(()));
                self.world.opens.get_mut(&fd).unwrap().descriptors += 1;
            }
            What::Close => self.close(fd),
            What::Open if n % 4 == 0 => drop(self.open(who, &at, How::Read)),
            What::Open => drop(self.open(who, &at, how)),
            What::Read => {
                let Some(fd) = self.open(who, &at, How::Read) else {
                    return;
                };
                let open = self.world.opens[&fd].clone();
                let bytes = self.rest(who, fd).unwrap();
                assert_eq!(
                    text(&bytes),
                    text(&self.world.bodies[open.body]),
                    "read {at:?}"
                );
                if let Some(id) = open.doc {
                    self.world.docs[id].readers.insert(who);
                }
                self.close(fd);
            }
            What::Echo => {
                if let Some(fd) = self.open(who, &at, how) {
                    self.write(fd, n);
                    self.close(fd);
                }
            }
            What::EchoCat => self.echo_cat(who, &at, Who::ACTORS[n % 4]),
            What::Rename if self.is_rename_unsaid(who, &at, &to) => {}
            What::Rename => {
                let real = self.call(who, Call::Rename(&path(&at), &path(&to)));
                self.look();
                same(
                    &format!("rename {at:?} {to:?}"),
                    &real,
                    self.world.rename(who, &at, &to),
                );
            }
            What::Unlink if self.is_foreign(who, &at) => {}
            What::Unlink => {
                let real = self.call(who, Call::Unlink(&path(&at)));
                same(
                    &format!("unlink {at:?}"),
                    &real,
                    self.world.unlink(who, &at),
                );
                // spec 4.7c: to this thread, and for one look-up, `pending.md` is gone.
                let _ = self.call(who, Call::Stat(&path(&at)));
            }
            What::Mkdir if !queue.is_empty() => {
                let real = self.call(who, Call::Mkdir(queue));
                same(&format!("mkdir {queue}"), &real, self.world.mkdir(queue));
            }
            What::Rmdir if !queue.is_empty() => {
                let real = self.call(who, Call::Rmdir(queue));
                same(&format!("rmdir {queue}"), &real, self.world.rmdir(queue));
            }
            What::Mkdir | What::Rmdir => {}
            What::Cat | What::ReadAll | What::ReadOnce | What::Sniff => {
                if self.held.is_none() && self.world.queues.contains(queue) {
                    self.open_merge(who, queue);
                    self.read_merge(who, queue, what);
                }
            }
            What::Hold => self.hold(who, queue),
            What::GoOn => self.go_on(n % 2 == 1),
            What::Tick => self.mount.clock.advance(Duration::from_secs(n as u64 % 8)),
            What::Week | What::Sweep => {
                if what == What::Week {
                    self.mount.clock.advance(WEEK);
                    self.judge();
                }
                self.mount.fs().sweep();
                self.world.sweep();
            }
            What::Stray => self.stray(queue, STRAYS[n % STRAYS.len()], n),
            What::Crash if self.sys.ends() => {
                self.held = None;
                self.remount();
            }
            What::Remount | What::Crash => {
                self.close_all();
                self.remount();
            }
            What::Forget => self.sys.forget(&self.mount),
        }
    }

    /// spec 3.7a
    fn stray(&mut self, queue: &str, (name, kind): (&str, Kind), n: usize) {
        let at = (queue.to_owned(), name.to_owned());
        let file = self.mount.below(path(&at));
        if self.world.queues.contains(queue) && !file.exists() {
            let bytes = self.bytes(n);
            fs::write(&file, &bytes).unwrap();
            let made = fs::File::options().write(true).open(&file).unwrap();
            made.set_modified(self.now().into()).unwrap();
            drop(made);
            self.world.stray(&at, bytes, kind);
        }
    }

    fn open_merge(&mut self, who: Who, queue: &str) {
        let path = path(&(queue.to_owned(), PENDING.to_owned()));
        let open = self.call(who, Call::Open(HELD, &path, libc::O_RDONLY));
        same("open pending.md", &open, Ok(()));
    }

    /// spec 6.3a
    fn read_merge(&mut self, who: Who, queue: &str, how: What) {
        let size = self.size(who, Call::Size(HELD));
        let len = match how {
            What::ReadAll => size.max(1),
            What::ReadOnce => size + 100,
            _ => 10,
        };
        let merge = match how {
            What::Cat => self.rest(who, HELD),
            _ => self.call(who, Call::Read(HELD, len)),
        };
        let merge = merge.expect("read pending.md");
        if how != What::Sniff {
            assert_eq!(merge.len(), size, "st_size, and what was read of it");
            let items = self.judge_merge(queue, &merge, false);
            for (id, at) in items.iter().filter(|_| how != What::ReadOnce) {
                self.world.consume(who, *id, at);
            }
        }
        self.call(who, Call::Close(HELD)).unwrap();
        self.release(HELD);
    }

    /// spec 4.2c: `echo x > n.md; cat pending.md` shows `x`, also when the RELEASE comes after the open.
    fn echo_cat(&mut self, who: Who, at: &At, reader: Who) {
        if self.held.is_some() || !self.world.queues.contains(&at.0) {
            return;
        }
        let Some(fd) = self.open(who, at, How::Over) else {
            return;
        };
        self.write(fd, 1);
        let closing = Instant::now();
        same("close", &self.call(who, Call::Close(fd)), Ok(()));
        self.world.close(fd);
        self.sys.release(&self.mount, fd, true);
        self.open_merge(reader, "");
        // On a machine so busy that it took longer than a reader waits, `x` may be there or not.
        let busy = closing.elapsed() >= WAITS;
        self.read_merge(reader, "", if busy { What::Sniff } else { What::Cat });
    }

    fn hold(&mut self, who: Who, queue: &str) {
        let closing = !self.world.pending(queue, false).is_empty();
        if self.held.is_some() || closing || !self.world.queues.contains(queue) {
            return;
        }
        let peek = path(&(queue.to_owned(), PEEK.to_owned()));
        let bytes = self.cat(Who::Watcher, &peek).unwrap();
        self.open_merge(who, queue);
        let begun = self.call(who, Call::Read(HELD, 10)).unwrap();
        assert!(bytes.starts_with(&begun), "{}", text(&begun));
        let items = self.judge_merge(queue, &bytes, true).into_iter();
        let items = items
            .map(|(id, at)| (id, at, self.world.docs[id].changes))
            .collect();
        self.held = Some(Held { who, bytes, items });
    }

    /// spec 6.2b: an unchanging snapshot; spec 6.4c: a document that changed after it is delivered again.
    fn go_on(&mut self, finish: bool) {
        let Some(held) = self.held.take() else { return };
        if finish {
            let size = self.size(held.who, Call::Size(HELD));
            assert_eq!(size, held.bytes.len(), "st_size of a snapshot");
            let mut bytes = held.bytes[..size.min(10)].to_vec();
            bytes.extend(self.rest(held.who, HELD).unwrap());
            assert_eq!(text(&bytes), text(&held.bytes), "the snapshot changed");
            for (id, at, changes) in held.items {
                let doc = &self.world.docs[id];
                if doc.is_pending() && doc.changes == changes {
                    let twice = !doc.is_at(&at) || self.world.is_written(id);
                    self.world.consume(held.who, id, &at);
                    if twice {
                        // Renamed or opened meanwhile, it may be delivered again.
                        self.world.docs[id].states.insert(0, State::Pending);
                    }
                }
            }
        }
        self.call(held.who, Call::Close(HELD)).unwrap();
        self.release(HELD);
    }
}
