//! What is always local: the private directory `.handoff-fs/`, and files that are no handoffs.
//!
//! ```text
//! .handoff-fs/lock           held with flock(2) by the one daemon; holds its pid
//! .handoff-fs/first-mount    see first_mount
//! .handoff-fs/drafts/…       new handoffs that are not published yet, under their queue's path and stamped name
//! .handoff-fs/edits/…        new content of a published handoff, likewise
//! .handoff-fs/scratch/…      scratch files (spec 4.6), likewise
//! .handoff-fs/consuming/…    what is being consumed by a read that is not answered yet
//! .handoff-fs/replaced/…     what a write replaced (spec 3.9): `<name>.<nanoseconds since 1970>`
//! ```

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::beneath::{self, Beneath, Dir};
use super::first_mount::{FirstMount, is_hidden};
use super::open_error::OpenError;
use super::{Access, Kind, Meta};
use crate::error::{Error, Result};
use crate::names::{PRIVATE, StampedName};
use crate::retention::Retention;

/// A part of the backing directory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Area {
    /// The backing directory itself: ordinary files and directories.
    Backing,
    /// New handoffs, unpublished.
    Drafts,
    /// New content of published handoffs.
    Edits,
    /// Scratch files.
    Scratch,
    /// What writes replaced.
    Replaced,
    /// What is being consumed by reads that have not been answered yet.
    Consuming,
}

impl Area {
    /// The areas whose directories follow when a queue is renamed. Replaced versions stay where they were kept.
    const FOLLOWING: [Area; 3] = [Area::Drafts, Area::Edits, Area::Scratch];

    fn path(self, queue: &Path) -> PathBuf {
        let part = match self {
            Area::Backing => return queue.to_owned(),
            Area::Drafts => "drafts",
            Area::Edits => "edits",
            Area::Scratch => "scratch",
            Area::Replaced => "replaced",
            Area::Consuming => "consuming",
        };
        Path::new(PRIVATE).join(part).join(queue)
    }
}

/// The local side of the backing directory.
#[derive(Debug)]
pub struct Local {
    root: Arc<Beneath>,
    durable: bool,
    record: Mutex<Record>,
    _lock: File,
}

/// The record of the first mount.
#[derive(Debug)]
struct Record {
    now: FirstMount,
    /// What is on disk is older, because writing it failed.
    unwritten: bool,
}

impl Local {
    /// Takes the lock, prepares the private directory, and reads or makes the record of the first mount. With
    /// `durable`, names made here survive a power cut once [`Local::sync`] has returned.
    pub fn open(
        root: Arc<Beneath>,
        durable: bool,
        adopt: bool,
        retention: Retention,
        now: SystemTime,
    ) -> std::result::Result<Local, OpenError> {
        let private = root.make_dirs(Path::new(PRIVATE), durable)?;
        let lock = lock(&private)?;
        let (record, changed) = match read_file(&private, OsStr::new("first-mount"))? {
            Some(bytes) => {
                let mut record = FirstMount::from_bytes(&bytes).ok_or(OpenError::Record)?;
                let gone = record.retain(|path| is_there(&root, path));
                let adopted = adopt && record.adopt_all();
                if adopted {
                    note_expired(&root, &mut record, retention, now)?;
                }
                (record, gone || adopted)
            }
            None => {
                let entries = beneath::list(root.dir(Path::new(""))?)?;
                let mut record = FirstMount::over(&entries, adopt, retention, now);
                if adopt {
                    note_expired(&root, &mut record, retention, now)?;
                }
                (record, true)
            }
        };
        drop(private);
        let local = Local {
            root,
            durable,
            record: Mutex::new(Record {
                now: record,
                unwritten: false,
            }),
            _lock: lock,
        };
        if changed {
            local.write_record(&local.record.lock().now)?;
        }
        Ok(local)
    }

    /// Was this path there before the first mount, and is it ordinary (spec 3.6)?
    pub fn is_ordinary(&self, path: &Path) -> bool {
        self.record.lock().now.is_ordinary(path)
    }

    /// See [`FirstMount::may_delete`].
    pub fn may_delete(&self, path: &Path, retention: Retention, now: SystemTime) -> bool {
        self.record.lock().now.may_delete(path, retention, now)
    }

    /// A name is ordinary from now on.
    pub fn ordinary_made(&self, path: &Path) -> Result<()> {
        self.change_record(|record| record.make_ordinary(path))
    }

    /// An ordinary directory is renamed, or a file.
    pub fn ordinary_renamed(&self, from: &Path, to: &Path) -> Result<()> {
        self.change_record(|record| record.renamed(from, to))
    }

    /// A name is ordinary no longer.
    pub fn ordinary_gone(&self, path: &Path) -> Result<()> {
        self.change_record(|record| record.forget(path))
    }

    /// Changes the record, and writes it. Where writing fails the change counts all the same, for as long as this program
    /// runs, and the next change or sweep writes it.
    fn change_record(&self, change: impl FnOnce(&mut FirstMount) -> bool) -> Result<()> {
        let mut record = self.record.lock();
        let changed = change(&mut record.now);
        if changed || record.unwritten {
            record.unwritten = true;
            self.write_record(&record.now)?;
            record.unwritten = false;
        }
        Ok(())
    }

    fn write_record(&self, record: &FirstMount) -> Result<()> {
        let private = self.root.dir(Path::new(PRIVATE))?;
        let temporary = OsStr::new("first-mount.new");
        let _ = beneath::unlink(&private, temporary);
        let mut file = beneath::create(&private, temporary, 0o600)?;
        file.write_all(&record.to_bytes())?;
        if self.durable {
            file.sync_all()?;
        }
        beneath::rename(&private, temporary, &private, OsStr::new("first-mount"))?;
        if self.durable {
            rustix::fs::fsync(&private)?;
        }
        Ok(())
    }

    /// An area's directory of a queue, which must exist.
    pub fn dir(&self, area: Area, queue: &Path) -> Result<Dir<'_>> {
        self.root.dir(&area.path(queue))
    }

    /// An area's directory of a queue, made where missing.
    fn make_dir(&self, area: Area, queue: &Path) -> Result<Dir<'_>> {
        match area {
            Area::Backing => self.dir(area, queue),
            _ => self.root.make_dirs(&area.path(queue), self.durable),
        }
    }

    /// Makes the directory of a queue, and its parents, where a recovered draft finds it gone.
    pub fn restore_queue(&self, queue: &Path) -> Result<()> {
        self.root.make_dirs(queue, self.durable).map(drop)
    }

    /// Writes a small file of a name that no other has.
    pub fn note(&self, area: Area, content: &[u8], now: SystemTime) -> Result<OsString> {
        loop {
            let name = OsString::from(unique_nanos(now).to_string());
            match self.create(area, Path::new(""), &name, 0o600) {
                Err(Error::Exists) => {}
                file => {
                    if let Err(error) = file?.write_all(content) {
                        // Half a note says what is not so.
                        self.remove(area, Path::new(""), &name)?;
                        return Err(error.into());
                    }
                    return Ok(name);
                }
            }
        }
    }

    /// Reads a small file.
    pub fn read_note(&self, area: Area, name: &OsStr) -> Result<Vec<u8>> {
        let dir = self.dir(area, Path::new(""))?;
        read_file(&dir, name)?.ok_or(Error::NotFound)
    }

    /// Makes a new file.
    pub fn create(&self, area: Area, queue: &Path, name: &OsStr, mode: u32) -> Result<File> {
        beneath::create(self.make_dir(area, queue)?, name, mode)
    }

    /// Opens a file.
    pub fn open_file(
        &self,
        area: Area,
        queue: &Path,
        name: &OsStr,
        access: Access,
    ) -> Result<File> {
        beneath::open(self.dir(area, queue)?, name, access)
    }

    /// What is known of a file.
    pub fn stat(&self, area: Area, queue: &Path, name: &OsStr) -> Result<Meta> {
        beneath::stat(self.dir(area, queue)?, name)
    }

    /// Everything in an area's directory of a queue; nothing where there is no such directory.
    pub fn list(&self, area: Area, queue: &Path) -> Result<Vec<(OsString, Meta)>> {
        match self.dir(area, queue) {
            Ok(dir) => beneath::list(dir),
            Err(Error::NotFound) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Every file of an area, with its queue.
    pub fn list_all(&self, area: Area) -> Result<Vec<(PathBuf, OsString, Meta)>> {
        let mut found = Vec::new();
        let mut queues = vec![PathBuf::new()];
        while let Some(queue) = queues.pop() {
            for (name, meta) in self.list(area, &queue)? {
                match meta.kind {
                    Kind::Directory => queues.push(queue.join(&name)),
                    Kind::File => found.push((queue.clone(), name, meta)),
                    Kind::Other => {}
                }
            }
        }
        Ok(found)
    }

    /// Removes a file.
    pub fn remove(&self, area: Area, queue: &Path, name: &OsStr) -> Result<()> {
        beneath::unlink(self.dir(area, queue)?, name)
    }

    /// Renames a file, over whatever is there.
    pub fn rename(&self, from: (Area, &Path, &OsStr), to: (Area, &Path, &OsStr)) -> Result<()> {
        let (old, new) = (self.dir(from.0, from.1)?, self.make_dir(to.0, to.1)?);
        beneath::rename(old, from.2, new, to.2)
    }

    /// Renames a file unless something is there.
    pub fn rename_new(&self, from: (Area, &Path, &OsStr), to: (Area, &Path, &OsStr)) -> Result<()> {
        let (old, new) = (self.dir(from.0, from.1)?, self.make_dir(to.0, to.1)?);
        beneath::rename_new(old, from.2, new, to.2)
    }

    /// Gives a scratch file a second name as a draft.
    pub fn link(&self, from: (Area, &Path, &OsStr), to: (Area, &Path, &OsStr)) -> Result<()> {
        let (old, new) = (self.dir(from.0, from.1)?, self.make_dir(to.0, to.1)?);
        Ok(rustix::fs::linkat(
            old,
            from.2,
            new,
            to.2,
            AtFlags::empty(),
        )?)
    }

    /// Makes every change of names in an area's directory durable.
    pub fn sync(&self, area: Area, queue: &Path) -> Result<()> {
        Ok(rustix::fs::fsync(self.dir(area, queue)?)?)
    }

    /// Makes a directory in the backing directory, durably: what is published in it depends on it.
    pub fn make_queue(&self, parent: &Path, name: &OsStr, mode: u32) -> Result<()> {
        let dir = self.dir(Area::Backing, parent)?;
        rustix::fs::mkdirat(&dir, name, Mode::from_raw_mode(mode & 0o7777))?;
        if self.durable
            && let Err(error) = rustix::fs::fsync(&dir)
        {
            // Who is told that it failed may try again.
            let _ = rustix::fs::unlinkat(&dir, name, AtFlags::REMOVEDIR);
            return Err(error.into());
        }
        Ok(())
    }

    /// Removes an empty directory, and what the private directory holds of it.
    pub fn remove_queue(&self, parent: &Path, name: &OsStr) -> Result<()> {
        let dir = self.dir(Area::Backing, parent)?;
        rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?;
        for area in Area::FOLLOWING {
            if let Ok(dir) = self.dir(area, parent) {
                let _ = rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR);
            }
        }
        Ok(())
    }

    /// Renames a directory; what the private directory holds of it follows. A crash between the two leaves
    /// drafts under the old path, which are recovered there.
    pub fn rename_queue(
        &self,
        from: (&Path, &OsStr),
        to: (&Path, &OsStr),
        replace: bool,
    ) -> Result<()> {
        let (old, new) = (
            self.dir(Area::Backing, from.0)?,
            self.dir(Area::Backing, to.0)?,
        );
        if replace {
            beneath::rename(&old, from.1, &new, to.1)?;
        } else {
            beneath::rename_new(&old, from.1, &new, to.1)?;
        }
        for area in Area::FOLLOWING {
            match self.rename((area, from.0, from.1), (area, to.0, to.1)) {
                Ok(()) | Err(Error::NotFound) => {}
                Err(error) => log::warn!(
                    "{}: its {area:?} could not follow the rename ({error}); they are recovered at the next mount",
                    from.0.join(from.1).display()
                ),
            }
        }
        self.ordinary_renamed(&from.0.join(from.1), &to.0.join(to.1))
    }

    /// Keeps what a write is about to replace: a copy of `file`.
    pub fn keep_copy(
        &self,
        file: &File,
        queue: &Path,
        name: &OsStr,
        now: SystemTime,
    ) -> Result<File> {
        let dir = self.make_dir(Area::Replaced, queue)?;
        let (kept, name) = loop {
            let name = replaced_name(name, unique_nanos(now));
            match beneath::create(&dir, &name, 0o600) {
                Err(Error::Exists) => {}
                kept => break (kept?, name),
            }
        };
        let copied = beneath::copy(file, &kept).and_then(|()| {
            if self.durable {
                kept.sync_all()?;
                rustix::fs::fsync(&dir)?;
            }
            Ok(())
        });
        match copied {
            Ok(()) => Ok(kept),
            Err(error) => {
                // Half a version is none, and takes room that is wanted.
                let _ = beneath::unlink(&dir, &name);
                Err(error)
            }
        }
    }

    /// Keeps a left-over of an area, of which nobody knows any more.
    pub fn keep(&self, area: Area, queue: &Path, name: &OsStr, now: SystemTime) -> Result<()> {
        self.keep_as((area, queue, name), queue, name, now)
    }

    /// Keeps what a write has replaced, the file itself, as a version of `name` in `queue`.
    pub fn keep_as(
        &self,
        file: (Area, &Path, &OsStr),
        queue: &Path,
        name: &OsStr,
        now: SystemTime,
    ) -> Result<()> {
        let (old, new) = (
            self.dir(file.0, file.1)?,
            self.make_dir(Area::Replaced, queue)?,
        );
        loop {
            match beneath::rename_new(&old, file.2, &new, &replaced_name(name, unique_nanos(now))) {
                Err(Error::Exists) => {}
                done => return done,
            }
        }
    }

    /// Removes replaced versions and scratch files past the retention time.
    pub fn sweep(&self, retention: Retention, now: SystemTime) -> Result<()> {
        self.change_record(|_| false)?;
        for (queue, name, _) in self.list_all(Area::Replaced)? {
            if replaced_at(&name).is_some_and(|at| retention.expired(at, now)) {
                self.remove(Area::Replaced, &queue, &name)?;
            }
        }
        for (queue, name, meta) in self.list_all(Area::Scratch)? {
            // Reading a file does not touch it; writing, renaming or changing it does.
            if retention.expired(meta.mtime.max(meta.ctime), now) {
                self.remove(Area::Scratch, &queue, &name)?;
            }
        }
        Ok(())
    }

    /// Room and inodes of the filesystem below.
    pub fn statvfs(&self) -> Result<rustix::fs::StatVfs> {
        Ok(rustix::fs::fstatvfs(
            self.dir(Area::Backing, Path::new(""))?,
        )?)
    }
}

/// Is anything called so? Where that cannot be told, it is.
fn is_there(root: &Beneath, path: &Path) -> bool {
    let found = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => root.dir(parent).and_then(|dir| beneath::stat(dir, name)),
        _ => return true,
    };
    !matches!(found, Err(Error::NotFound | Error::NotDirectory))
}

/// Notes the expired files in the directories that `--adopt` makes queues (spec 3.6).
fn note_expired(
    root: &Beneath,
    record: &mut FirstMount,
    retention: Retention,
    now: SystemTime,
) -> Result<()> {
    let mut left = vec![PathBuf::new()];
    while let Some(queue) = left.pop() {
        for (name, meta) in beneath::list(root.dir(&queue)?)? {
            let path = queue.join(&name);
            match meta.kind {
                Kind::Directory if !is_hidden(&name) => left.push(path),
                Kind::File => {
                    let done = StampedName::parse(&name).is_some_and(|name| !name.is_pending());
                    if done && retention.expired(meta.mtime, now) {
                        record.found_expired(&path);
                    }
                }
                Kind::Directory | Kind::Other => {}
            }
        }
    }
    Ok(())
}

fn replaced_name(name: &OsStr, nanos: u128) -> OsString {
    // 20 digits are enough until the year 5000; a dot and they must fit 255 bytes.
    let bytes = name.as_bytes();
    let mut kept = OsStr::from_bytes(&bytes[..bytes.len().min(230)]).to_owned();
    kept.push(format!(".{nanos}"));
    kept
}

fn replaced_at(name: &OsStr) -> Option<SystemTime> {
    let digits = name.as_bytes().rsplit(|byte| *byte == b'.').next()?;
    let nanos: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanos))
}

/// Nanoseconds since 1970, never the same twice in one process, whatever the clock does.
fn unique_nanos(now: SystemTime) -> u128 {
    static LAST: Mutex<u128> = Mutex::new(0);
    let now = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let mut last = LAST.lock();
    *last = if *last >= now && *last - now < 1_000_000 {
        *last + 1
    } else {
        now
    };
    *last
}

fn lock(private: &Dir<'_>) -> std::result::Result<File, OpenError> {
    let open = |access: OFlags| {
        let flags = access | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(private, "lock", flags, Mode::RUSR | Mode::WUSR)
            .map(File::from)
            .map_err(|errno| OpenError::Private(errno.into()))
    };
    let exclusive = FlockOperation::NonBlockingLockExclusive;
    // What is held for as long as the mount lives is open for reading only: a file open for writing would keep the disk from
    // being made read-only. Network filesystems that know other locks only want it otherwise.
    let mut file = open(OFlags::RDONLY)?;
    let mut locked = rustix::fs::flock(&file, exclusive);
    if locked == Err(Errno::BADF) {
        file = open(OFlags::RDWR)?;
        locked = rustix::fs::flock(&file, exclusive);
    }
    match locked {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            return Err(OpenError::Locked {
                pid: pid.trim().parse().ok(),
            });
        }
        Err(errno) => return Err(OpenError::Private(errno.into())),
    }
    let mut written = open(OFlags::RDWR)?;
    written.set_len(0).map_err(Error::from)?;
    writeln!(written, "{}", process::id()).map_err(Error::from)?;
    Ok(file)
}

fn read_file(dir: &Dir<'_>, name: &OsStr) -> Result<Option<Vec<u8>>> {
    match beneath::open(dir, name, Access::READ) {
        Ok(mut file) => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        }
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}
