//! What is always local: the private directory `.handoff-fs/`, and files that are no handoffs.
//!
//! ```text
//! .handoff-fs/lock           held with flock(2) by the one daemon; holds its pid, and in a second line its supervisor's
//! .handoff-fs/first-mount    see first_mount
//! .handoff-fs/mountpoint     see mountpoint
//! .handoff-fs/drafts/…       new handoffs that are not published yet, under their queue's path and stamped name
//! .handoff-fs/edits/…        new content of a published handoff, likewise
//! .handoff-fs/scratch/…      scratch files that all sessions share (spec 4.6), under their queue's path
//! .handoff-fs/sessions/…     the other scratch files, under their session and then their queue's path
//! .handoff-fs/rewriting/…    what a write in place is replacing, until its writer closes: named as in replaced/
//! .handoff-fs/consuming/…    what is being consumed by a read that is not answered yet
//! .handoff-fs/removed/…      pending handoffs that were removed (spec 3.9), named likewise, under their queue's path
//! .handoff-fs/replaced/…     what a write replaced (spec 3.9): `<name>.<nanoseconds since 1970>`
//! ```

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use rustix::fs::{AtFlags, Mode};

pub use super::area::Area;
use super::dirfd::{self, Beneath, Dir};
use super::first_mount::FirstMount;
use super::open_error::OpenError;
use super::{Access, Kind, Meta, mountpoint, private};
use crate::error::{Error, Result};
use crate::names::{Archives, PRIVATE};

mod holds;
mod record;
mod removed;
mod replaced;
mod sessions;

pub use holds::Counts;
use record::Record;
pub use record::{FIRST_MOUNT, FirstLook};
pub use removed::Removed;
use replaced::unique_nanos;
pub use replaced::{Kept, version_of};

/// The local side of the backing directory.
#[derive(Debug)]
pub struct Local {
    root: Arc<Beneath>,
    durable: bool,
    archives: Archives,
    record: Mutex<Record>,
    /// The drafts' directory that was used last, by its queue: every handoff is begun there, and published from there.
    drafts: Mutex<Option<(PathBuf, Arc<OwnedFd>)>>,
    _lock: File,
}

impl Local {
    /// Takes the lock, prepares the private directory, and reads or makes the record of the first mount. With
    /// `durable`, names made here survive a power cut once [`Local::sync`] has returned.
    pub fn open(
        root: Arc<Beneath>,
        durable: bool,
        look: FirstLook<'_>,
    ) -> std::result::Result<Local, OpenError> {
        let private = root.make_dirs(Path::new(PRIVATE), durable)?;
        private::check(&root, &private)?;
        let lock = private::lock(&private)?;
        let (record, changed) = record::read(&root, &private, look)?;
        drop(private);
        let local = Local {
            root,
            durable,
            archives: look.archives.clone(),
            record: Mutex::new(record),
            drafts: Mutex::default(),
            _lock: lock,
        };
        if changed {
            local.write_record(&local.record.lock())?;
        }
        Ok(local)
    }

    /// Writes into the lock who supervises this daemon: who ends a mount must find the supervisor also while there is
    /// no daemon to ask.
    pub fn note_supervisor(&self, pid: Option<u32>) -> Result<()> {
        private::write_pids(&self.root.dir(Path::new(PRIVATE))?, pid)
    }

    /// Notes where this is about to be mounted, if that is a directory of its own (spec 3.7).
    pub fn note_mountpoint(&self, mountpoint: &Path) -> Result<()> {
        mountpoint::note(&self.root, mountpoint, self.durable)
    }

    /// An area's directory of a queue, which must exist.
    pub fn dir(&self, area: Area, queue: &Path) -> Result<Dir<'_>> {
        if area != Area::Drafts {
            return self.root.dir(&area.path(queue));
        }
        if let Some((_, dir)) = self.drafts.lock().as_ref().filter(|(of, _)| of == queue) {
            return Ok(Dir::Kept(dir.clone()));
        }
        self.keep_drafts(queue, self.root.dir(&area.path(queue))?)
    }

    fn keep_drafts<'a>(&self, queue: &Path, dir: Dir<'a>) -> Result<Dir<'a>> {
        let Dir::Sub(dir) = dir else { return Ok(dir) };
        let dir = Arc::new(dir);
        *self.drafts.lock() = Some((queue.to_owned(), dir.clone()));
        Ok(Dir::Kept(dir))
    }

    /// Directories have moved or gone: none that is kept open is to be believed.
    fn forget_drafts(&self) {
        *self.drafts.lock() = None;
    }

    /// An area's directory of a queue, made where missing.
    fn make_dir(&self, area: Area, queue: &Path) -> Result<Dir<'_>> {
        match area {
            Area::Backing => self.dir(area, queue),
            Area::Drafts => match self.dir(area, queue) {
                Err(Error::NotFound) => {
                    let dir = self.root.make_dirs(&area.path(queue), self.durable)?;
                    self.keep_drafts(queue, dir)
                }
                dir => dir,
            },
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
                    let file = file?;
                    let mut written = self.with_room(|| Ok(file.write_all_at(content, 0)?));
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
        self.with_room(|| self.within(area, queue, |dir| dirfd::create(dir, name, mode)))
    }

    /// Does something in an area's directory, made where missing; once more where the one that was kept open turns out to have
    /// been removed below the mount.
    fn within<T>(
        &self,
        area: Area,
        queue: &Path,
        act: impl Fn(&Dir<'_>) -> Result<T>,
    ) -> Result<T> {
        match act(&self.make_dir(area, queue)?) {
            Err(Error::NotFound) if area == Area::Drafts => {
                self.forget_drafts();
                act(&self.make_dir(area, queue)?)
            }
            done => done,
        }
    }

    /// Opens a file.
    pub fn open_file(
        &self,
        area: Area,
        queue: &Path,
        name: &OsStr,
        access: Access,
    ) -> Result<File> {
        dirfd::open(self.dir(area, queue)?, name, access)
    }

    /// What is known of a file.
    pub fn stat(&self, area: Area, queue: &Path, name: &OsStr) -> Result<Meta> {
        dirfd::stat(self.dir(area, queue)?, name)
    }

    /// Everything in an area's directory of a queue; nothing where there is no such directory.
    pub fn list(&self, area: Area, queue: &Path) -> Result<Vec<(OsString, Meta)>> {
        match self.dir(area, queue) {
            Ok(dir) => dirfd::list(dir),
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
        dirfd::unlink(self.dir(area, queue)?, name)
    }

    /// Renames a file, over whatever is there.
    pub fn rename(&self, from: (Area, &Path, &OsStr), to: (Area, &Path, &OsStr)) -> Result<()> {
        let old = self.dir(from.0, from.1)?;
        self.within(to.0, to.1, |new| dirfd::rename(&old, from.2, new, to.2))
    }

    /// Renames a file unless something is there.
    pub fn rename_new(&self, from: (Area, &Path, &OsStr), to: (Area, &Path, &OsStr)) -> Result<()> {
        let old = self.dir(from.0, from.1)?;
        self.within(to.0, to.1, |new| dirfd::rename_new(&old, from.2, new, to.2))
    }

    /// Gives a scratch file a second name as a draft.
    pub fn link(&self, from: (Area, &Path, &OsStr), to: (Area, &Path, &OsStr)) -> Result<()> {
        let old = self.dir(from.0, from.1)?;
        self.within(to.0, to.1, |new| {
            let flags = AtFlags::empty();
            Ok(rustix::fs::linkat(&old, from.2, new, to.2, flags)?)
        })
    }

    /// Makes every change of names in an area's directory durable.
    pub fn sync(&self, area: Area, queue: &Path) -> Result<()> {
        Ok(rustix::fs::fsync(self.dir(area, queue)?)?)
    }

    /// Makes a directory in the backing directory, durably: what is published in it depends on it.
    pub fn make_queue(&self, parent: &Path, name: &OsStr, mode: u32) -> Result<()> {
        let dir = self.dir(Area::Backing, parent)?;
        let mode = Mode::from_raw_mode(mode & 0o7777);
        self.with_room(|| Ok(rustix::fs::mkdirat(&dir, name, mode)?))?;
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
        self.forget_drafts();
        for area in self.following() {
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
            dirfd::rename(&old, from.1, &new, to.1)
        } else {
            dirfd::rename_new(&old, from.1, &new, to.1)
        };
        if let Err(error) = renamed {
            self.change_record(undo)?;
            return Err(error);
        }
        self.forget_drafts();
        for area in self.following() {
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

    /// Room and inodes of the filesystem below.
    pub fn statvfs(&self) -> Result<rustix::fs::StatVfs> {
        Ok(rustix::fs::fstatvfs(
            self.dir(Area::Backing, Path::new(""))?,
        )?)
    }
}

fn read_file(dir: &Dir<'_>, name: &OsStr) -> Result<Option<Vec<u8>>> {
    match dirfd::open(dir, name, Access::READ) {
        Ok(mut file) => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        }
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}
