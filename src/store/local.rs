//! What is always local: the private directory `.handoff-fs/`, and files that are no handoffs.
//!
//! ```text
//! .handoff-fs/lock           held with flock(2) by the one daemon; holds its pid, and in a second line its supervisor's
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
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustix::fs::{AtFlags, Mode};

use super::beneath::{self, Beneath, Dir};
use super::first_mount::{FirstMount, is_hidden};
use super::open_error::OpenError;
use super::{Access, Kind, Meta, private};
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
    /// Those in the private directory.
    pub(super) const PRIVATE: [Area; 5] = [
        Area::Drafts,
        Area::Edits,
        Area::Scratch,
        Area::Replaced,
        Area::Consuming,
    ];

    /// The areas whose directories follow when a queue is renamed. Replaced versions stay where they were kept.
    const FOLLOWING: [Area; 3] = [Area::Drafts, Area::Edits, Area::Scratch];

    pub(super) fn path(self, queue: &Path) -> PathBuf {
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
        private::check(&root, &private)?;
        let lock = private::lock(&private)?;
        let first_mount = OsStr::new("first-mount");
        match beneath::stat(&private, first_mount) {
            Ok(meta) if meta.kind != Kind::File => {
                return Err(OpenError::Part(first_mount.to_owned()));
            }
            _ => {}
        }
        let (record, changed) = match read_file(&private, first_mount)? {
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

    /// Writes into the lock who supervises this daemon: who ends a mount must find the supervisor also while there is
    /// no daemon to ask.
    pub fn note_supervisor(&self, pid: Option<u32>) -> Result<()> {
        private::write_pids(&self.root.dir(Path::new(PRIVATE))?, pid)
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

    /// A name is ordinary no longer: what had it is gone. After a power cut it must not be there again and the record
    /// not know it: it would be taken for a stray.
    pub fn ordinary_gone(&self, path: &Path) -> Result<()> {
        if self.record.lock().now.knows(path) {
            self.sync_name(path)?;
        }
        self.change_record(|record| {
            let known = record.knows(path);
            record.forget(path);
            known
        })
    }

    /// As [`Local::ordinary_gone`], of what has another name now.
    pub fn ordinary_moved(&self, from: &Path, to: &Path) -> Result<()> {
        if self.record.lock().now.knows(from) {
            self.sync_name(to)?;
        }
        self.ordinary_gone(from)
    }

    /// Makes durable what a path means.
    fn sync_name(&self, path: &Path) -> Result<()> {
        let parent = path.parent().unwrap_or(Path::new(""));
        if !self.durable {
            return Ok(());
        }
        match self.sync(Area::Backing, parent) {
            // It is gone with all that was in it.
            Err(Error::NotFound) => Ok(()),
            synced => synced,
        }
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

    /// Writes a small file of a name that no other has. It survives a power cut before anything that is done after it
    /// can.
    pub fn note(&self, area: Area, content: &[u8], now: SystemTime) -> Result<OsString> {
        loop {
            let name = OsString::from(unique_nanos(now).to_string());
            match self.create(area, Path::new(""), &name, 0o600) {
                Err(Error::Exists) => {}
                file => {
                    let mut file = file?;
                    let mut written = file.write_all(content).map_err(Error::from);
                    if self.durable {
                        written = written
                            .and_then(|()| Ok(file.sync_all()?))
                            .and_then(|()| self.sync(area, Path::new("")));
                    }
                    if let Err(error) = written {
                        // Half a note says what is not so.
                        self.remove(area, Path::new(""), &name)?;
                        return Err(error);
                    }
                    return Ok(name);
                }
            }
        }
    }

    /// Reads a small file.
    pub fn read_note(&self, area: Area, queue: &Path, name: &OsStr) -> Result<Vec<u8>> {
        let dir = self.dir(area, queue)?;
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
        let (from_path, to_path) = (from.0.join(from.1), to.0.join(to.1));
        // First, or a crash would leave what was ordinary under a name that is not.
        let before = self.record.lock().now.clone();
        let undo = |record: &mut FirstMount| std::mem::replace(record, before.clone()) != before;
        if let Err(error) = self.change_record(|record| record.renaming(&from_path, &to_path)) {
            let _ = self.change_record(undo);
            return Err(error);
        }
        let renamed = if replace {
            beneath::rename(&old, from.1, &new, to.1)
        } else {
            beneath::rename_new(&old, from.1, &new, to.1)
        };
        if let Err(error) = renamed {
            self.change_record(undo)?;
            return Err(error);
        }
        for area in Area::FOLLOWING {
            match self.rename((area, from.0, from.1), (area, to.0, to.1)) {
                Ok(()) | Err(Error::NotFound) => {}
                Err(error) => log::warn!(
                    "{}: its {area:?} could not follow the rename ({error}); they are recovered at the next mount",
                    from_path.display()
                ),
            }
        }
        if let Err(error) = self.ordinary_moved(&from_path, &to_path) {
            log::warn!(
                "{}: it cannot be noted that it is not there ({error}); the next sweep tries again",
                from_path.display()
            );
        }
        Ok(())
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
        let entries = match root.dir(&queue).and_then(beneath::list) {
            // It must not shut the others.
            Err(error) if !queue.as_os_str().is_empty() => {
                log::warn!(
                    "{}: cannot be read ({error}); what has expired in it is not noted",
                    queue.display()
                );
                continue;
            }
            entries => entries?,
        };
        for (name, meta) in entries {
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
