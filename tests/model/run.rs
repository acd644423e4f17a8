//! Applies a case to the model and to a filesystem, and compares them after every step.

use std::fs;
use std::time::{Duration, Instant};

use handoff_fs::clock::Clock;
use handoff_fs::names::{self, StampedName};

use crate::check::text;
use crate::model::{At, Handoff, Id, Model};
use crate::ops::{Access, FIXED, Mode, Name, Op, Place, QUEUES, Taking, Who};
use crate::sys::{Fd, Result, StoppedClock, Sys};

/// How long a week is here: nothing consumed in the one is left in the next.
const WEEK: Duration = Duration::from_secs(8 * 24 * 60 * 60);

/// Names of files that turn up.
const STRAYS: [&str; 8] = [
    "s.md",
    "s_done.md",
    "notes",
    "plan.txt",
    "data.csv",
    "pending.md",
    "2021-02-03_040506_k.txt",
    "2021-02-03_040506_k.md",
];

/// How long a reader waits for a writer that has closed (spec 4.2).
const RELEASE: Duration = Duration::from_millis(100);

/// A snapshot of `pending.md` that is being read.
struct Held {
    who: Who,
    fd: Fd,
    bytes: Vec<u8>,
    items: Vec<(Id, String, StampedName, usize, u64)>,
}

pub struct Run<'a> {
    pub(crate) model: Model,
    pub(crate) sys: &'a mut dyn Sys,
    clock: StoppedClock,
    /// Open files, by the model's number.
    fds: Vec<(usize, Fd)>,
    held: Option<Held>,
    written: u32,
}

pub fn path(at: &At) -> String {
    join(&at.0, &at.1)
}

pub fn join(queue: &str, name: &str) -> String {
    match queue {
        "" => name.to_owned(),
        queue => format!("{queue}/{name}"),
    }
}

fn flags(mode: Mode) -> i32 {
    let access = match mode.access {
        Access::Read => libc::O_RDONLY,
        Access::Write => libc::O_WRONLY,
        Access::Both => libc::O_RDWR,
    };
    let with = |yes: bool, flag: i32| if yes { flag } else { 0 };
    access
        | with(mode.append, libc::O_APPEND)
        | with(mode.truncate, libc::O_TRUNC)
        | with(mode.create, libc::O_CREAT)
        | with(mode.create && mode.exclusive, libc::O_EXCL)
}

/// `echo > name`.
const REDIRECT: Mode = Mode {
    access: Access::Write,
    append: false,
    truncate: true,
    create: true,
    exclusive: false,
};

impl<'a> Run<'a> {
    pub fn new(sys: &'a mut dyn Sys, clock: StoppedClock) -> Run<'a> {
        Run {
            model: Model::new(clock.now()),
            sys,
            clock,
            fds: Vec::new(),
            held: None,
            written: 0,
        }
    }

    /// The whole case; then everything closed, forgotten, and mounted anew.
    pub fn case(&mut self, ops: &[Op]) {
        for op in ops {
            self.apply(op);
            self.check();
        }
        self.go_on(false);
        self.close_all();
        self.check();
        self.sys.check_leaks();
        self.apply(&Op::Remount);
        self.check();
    }

    fn at(&self, place: Place) -> At {
        let queue = QUEUES[usize::from(place.queue) % QUEUES.len()].to_owned();
        let pick = |queue: &str, i: u8| {
            let of = |it: &(Id, &Handoff)| it.1.queue == queue;
            let visible: Vec<_> = self.model.visible().filter(of).collect();
            let i = usize::from(i).checked_rem(visible.len())?;
            Some(visible[i].1.name.clone())
        };
        let flipped = |name: StampedName| match name.is_pending() {
            true => name.consumed(),
            false => name.pending(),
        };
        let name = match place.name {
            Name::Fixed(i) => None.ok_or(FIXED[usize::from(i) % FIXED.len()]),
            Name::Stamped(i) => pick(&queue, i).ok_or(FIXED[0]),
            Name::Flipped(i) => pick(&queue, i).map(flipped).ok_or(FIXED[1]),
            Name::Archived(i) => pick("", i).map(flipped).ok_or(FIXED[11]),
        };
        let name = name.map_or_else(str::to_owned, |name| name.to_string());
        (queue, name)
    }

    fn same<T>(&self, what: &str, model: &Result<T>, real: &Result<Fd>) {
        let (model, real) = (model.as_ref().err(), real.as_ref().err());
        assert_eq!(
            real, model,
            "{what}: errno (left the filesystem's, right the model's)"
        );
    }

    fn bytes(&mut self, newline: bool) -> Vec<u8> {
        self.written += 1;
        format!("w{};{}", self.written, if newline { "\n" } else { "" }).into_bytes()
    }

    fn open(&mut self, who: Who, at: &At, mode: Mode) -> Option<usize> {
        let reads_pending = at.1 == names::PENDING && mode.access == Access::Read;
        if reads_pending {
            return None;
        }
        let real = self.sys.open(who, &path(at), flags(mode));
        let model = self.model.open(who, at, mode);
        self.same("open", &model, &real);
        let (model, real) = (model.ok()?, real.ok()?);
        self.fds.push((model, real));
        Some(model)
    }

    fn pick(&self, i: u8, write: bool) -> Option<(usize, Fd)> {
        let fits = |fd: &&(usize, Fd)| !write || self.model.opens[&fd.0].write;
        let fits: Vec<_> = self.fds.iter().filter(fits).collect();
        let i = usize::from(i).checked_rem(fits.len())?;
        Some(*fits[i])
    }

    fn write(&mut self, (model, real): (usize, Fd), newline: bool) {
        let bytes = self.bytes(newline);
        let written = self.sys.write(real, &bytes);
        assert_eq!(written, Ok(bytes.len()), "write");
        self.model.write(model, &bytes);
    }

    fn close(&mut self, (model, real): (usize, Fd)) {
        assert_eq!(self.sys.close(real), Ok(()), "close");
        self.model.close(model);
        let opens = &self.model.opens;
        self.fds.retain(|fd| opens.contains_key(&fd.0));
    }

    fn close_all(&mut self) {
        while let Some(fd) = self.fds.first().copied() {
            self.close(fd);
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Open(who, place, mode) => {
                let at = self.at(place);
                self.open(who, &at, mode);
            }
            Op::Write(i, newline) => {
                if let Some(fd) = self.pick(i, true) {
                    self.write(fd, newline);
                }
            }
            Op::Seek(i) => {
                if let Some((model, real)) = self.pick(i, false) {
                    self.sys.rewind(real);
                    self.model.rewind(model);
                }
            }
            Op::Truncate(i, len) => {
                if let Some((model, real)) = self.pick(i, true) {
                    assert_eq!(
                        self.sys.ftruncate(real, u64::from(len)),
                        Ok(()),
                        "ftruncate"
                    );
                    self.model.ftruncate(model, usize::from(len));
                }
            }
            Op::TruncatePath(who, place, len) => {
                let at = self.at(place);
                let real = self.sys.truncate(who, &path(&at), u64::from(len));
                let model = self.model.truncate(who, &at, usize::from(len));
                assert_eq!(real, model, "truncate");
            }
            Op::Dup(i) => {
                if let Some((model, real)) = self.pick(i, false) {
                    self.sys.dup(real);
                    self.model.dup(model);
                }
            }
            Op::Close(i) => {
                if let Some(fd) = self.pick(i, false) {
                    self.close(fd);
                }
            }
            Op::Echo(who, place, mode, newline) => {
                let at = self.at(place);
                if let Some(fd) = self.open(who, &at, mode) {
                    let fd = *self.fds.iter().find(|it| it.0 == fd).unwrap();
                    self.write(fd, newline);
                    self.close(fd);
                }
            }
            Op::EchoTake(who, place, reader) => self.echo_take(who, place, reader),
            Op::Read(who, place) => {
                let at = self.at(place);
                let mode = Mode {
                    access: Access::Read,
                    truncate: false,
                    create: false,
                    ..REDIRECT
                };
                if let Some(fd) = self.open(who, &at, mode) {
                    let fd = *self.fds.iter().find(|it| it.0 == fd).unwrap();
                    let bytes = self.sys.read(fd.1, 4096).unwrap();
                    let ino = self.model.opens[&fd.0].ino;
                    assert_eq!(text(&bytes), text(&self.model.inodes[ino].bytes), "read");
                    self.close(fd);
                }
            }
            Op::Rename(who, from, to) => {
                let (from, to) = (self.at(from), self.at(to));
                let real = self.sys.rename(who, &path(&from), &path(&to));
                let model = self.model.rename(who, &from, &to);
                assert_eq!(real, model, "rename {from:?} {to:?}");
            }
            Op::Unlink(who, place) => {
                let at = self.at(place);
                let real = self.sys.unlink(who, &path(&at));
                let model = self.model.unlink(who, &at);
                assert_eq!(real, model, "unlink {at:?}");
                if at.1 == names::PENDING {
                    // To this thread, and for one look-up, the name is free (4.7).
                    let _ = self.sys.stat_size(who, &path(&at));
                }
            }
            Op::Mkdir(i) => {
                let queue = QUEUES[usize::from(i)];
                assert_eq!(
                    self.sys.mkdir(queue),
                    self.model.mkdir(queue),
                    "mkdir {queue}"
                );
            }
            Op::Rmdir(i) => {
                let queue = QUEUES[usize::from(i)];
                assert_eq!(
                    self.sys.rmdir(queue),
                    self.model.rmdir(queue),
                    "rmdir {queue}"
                );
            }
            Op::RenameDir(i, j) => {
                let (from, to) = (QUEUES[usize::from(i)], QUEUES[usize::from(j)]);
                if self.held.is_none() && (from == to || !Model::is_within(from, to)) {
                    let real = self.sys.rename(Who::Observer, from, to);
                    assert_eq!(real, self.model.rename_dir(from, to), "rename {from} {to}");
                }
            }
            Op::Take(who, queue, how) => {
                let queue = QUEUES[usize::from(queue)];
                if self.held.is_none() && self.model.queues.contains(queue) {
                    let fd = self
                        .sys
                        .open(who, &join(queue, names::PENDING), libc::O_RDONLY);
                    self.take(who, queue, fd.expect("open pending.md"), how);
                }
            }
            Op::Hold(who, queue) => self.hold(who, QUEUES[usize::from(queue)]),
            Op::GoOn(finish) => self.go_on(finish),
            Op::Tick(seconds) => self.advance(Duration::from_secs(seconds.into())),
            Op::Week => {
                self.advance(WEEK);
                self.model.week += 1;
                self.check();
                self.sys.sweep();
                self.model.sweep();
            }
            Op::Sweep => {
                self.sys.sweep();
                self.model.sweep();
            }
            Op::Stray(queue, name, newline) => self.stray(queue, name, newline),
            Op::Remount => {
                self.go_on(false);
                self.close_all();
                self.sys.remount();
                self.model.daemon_ends();
            }
            Op::Crash => {
                self.held = None;
                self.fds.clear();
                self.sys.remount();
                self.model.daemon_ends();
            }
            Op::DropCaches => self.sys.drop_caches(),
        }
    }

    fn advance(&mut self, by: Duration) {
        self.clock.advance(by);
        self.model.now += by;
    }

    fn stray(&mut self, queue: u8, name: u8, newline: bool) {
        let queue = QUEUES[usize::from(queue)].to_owned();
        let at = (queue, STRAYS[usize::from(name)].to_owned());
        let file = self.sys.below().join(path(&at));
        if !self.model.queues.contains(&at.0) || file.exists() {
            return;
        }
        let bytes = self.bytes(newline);
        let made = fs::File::create_new(&file).unwrap();
        std::io::Write::write_all(&mut &made, &bytes).unwrap();
        made.set_modified(self.model.now).unwrap();
        drop(made);
        self.model.stray(&at, bytes);
    }

    // Reading pending.md.

    fn take(&mut self, who: Who, queue: &str, fd: Fd, how: Taking) {
        let size = usize::try_from(self.sys.fstat_size(fd).unwrap()).unwrap();
        let mut merge = Vec::new();
        match how {
            Taking::Cat => loop {
                let piece = self.sys.read(fd, 100).unwrap();
                if piece.is_empty() {
                    break;
                }
                merge.extend(piece);
            },
            Taking::Exactly => merge = self.sys.read(fd, size.max(1)).unwrap(),
            Taking::Once => merge = self.sys.read(fd, size + 100).unwrap(),
            Taking::Sniff => merge = self.sys.read(fd, 10).unwrap(),
        }
        if how != Taking::Sniff {
            assert_eq!(merge.len(), size, "st_size");
            self.check_merge(queue, &merge, self.model.single_file.contains(&who));
        }
        let consumes = matches!(how, Taking::Cat | Taking::Exactly);
        if consumes && !self.model.single_file.contains(&who) {
            let ids = self.model.deliverable(queue);
            self.model.consume(who, &ids);
        }
        self.sys.close(fd).unwrap();
    }

    /// spec 4.2: `echo x > n.md; cat pending.md` shows `x`, also when the RELEASE comes after the open.
    fn echo_take(&mut self, who: Who, place: Place, reader: Who) {
        let at = self.at(place);
        if self.held.is_some() || !self.model.queues.contains(&at.0) {
            return;
        }
        let Some(model) = self.open(who, &at, REDIRECT) else {
            return;
        };
        let (model, real) = *self.fds.iter().find(|it| it.0 == model).unwrap();
        self.write((model, real), true);
        let closing = Instant::now();
        self.sys.close_late(real).unwrap();
        self.model.close(model);
        self.fds.retain(|fd| fd.0 != model);
        self.settle_all();
        let fd = self.sys.open_racing(reader, names::PENDING, real);
        let fd = fd.expect("open pending.md");
        // On a machine so busy that it took longer than a reader waits it may be there, or not.
        let how = match closing.elapsed() < RELEASE {
            true => Taking::Cat,
            false => Taking::Sniff,
        };
        self.take(reader, "", fd, how);
    }

    fn hold(&mut self, who: Who, queue: &str) {
        let closing = !self.model.closing(queue).is_empty();
        if self.held.is_some() || closing || !self.model.queues.contains(queue) {
            return;
        }
        let bytes = self
            .sys
            .cat(Who::Observer, &join(queue, names::PEEK))
            .unwrap();
        let fd = self
            .sys
            .open(who, &join(queue, names::PENDING), libc::O_RDONLY)
            .unwrap();
        let begun = self.sys.read(fd, 10).unwrap();
        assert!(bytes.starts_with(&begun));
        let items = self.model.deliverable(queue).into_iter().map(|id| {
            let it = &self.model.handoffs[id];
            (
                id,
                it.queue.clone(),
                it.name.clone(),
                it.ino,
                self.model.inodes[it.ino].version,
            )
        });
        let items = items.collect();
        self.held = Some(Held {
            who,
            fd,
            bytes,
            items,
        });
    }

    /// spec 6.2: an unchanging snapshot; spec 6.4: what changed after it is delivered again.
    fn go_on(&mut self, finish: bool) {
        let Some(held) = self.held.take() else {
            return;
        };
        if finish {
            assert_eq!(self.sys.fstat_size(held.fd), Ok(held.bytes.len() as u64));
            let mut bytes = held.bytes[..held.bytes.len().min(10)].to_vec();
            loop {
                let piece = self.sys.read(held.fd, 64).unwrap();
                if piece.is_empty() {
                    break;
                }
                bytes.extend(piece);
            }
            assert_eq!(text(&bytes), text(&held.bytes), "the snapshot changed");
            if !self.model.single_file.contains(&held.who) {
                let unchanged =
                    |(id, queue, name, ino, version): &(Id, String, StampedName, usize, u64)| {
                        let it = &self.model.handoffs[*id];
                        self.model.is_visible(it)
                            && (&it.queue, &it.name, it.ino) == (queue, name, *ino)
                            && it.writers == 0
                            && self.model.inodes[*ino].version == *version
                    };
                let ids: Vec<Id> = held
                    .items
                    .iter()
                    .filter(|it| unchanged(it))
                    .map(|it| it.0)
                    .collect();
                self.model.consume(held.who, &ids);
            }
        }
        self.sys.close(held.fd).unwrap();
    }
}
