//! The local side of the backing directory, and the files in its areas.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::found::{self, FirstLook, Record};
use super::kept_name::unique_nanos;
use crate::error::{Error, Result};
use crate::names::{Archives, PRIVATE};
use crate::store::area::{Area, AreaFile};
use crate::store::dirfd::{self, Beneath, Dir};
use crate::store::open_error::OpenResult;
use crate::store::types::{Access, Kind, Meta};
use crate::store::{mountpoint, private};

/// The local side of the backing directory.
#[derive(Debug)]
pub struct Local {
    pub(super) root: Arc<Beneath>,
    /// Names survive a power cut once [`Local::sync`] has returned.
    pub(super) durable: bool,
    pub(super) archives: Archives,
    pub(super) record: Mutex<Record>,
    /// The queue whose directory of drafts was used last, and that directory, kept open: every handoff is begun there, and
    /// published from there.
    drafts: Mutex<Option<(PathBuf, Dir)>>,
    _lock: File,
}

impl Local {
    /// Takes the lock, prepares the private directory, and reads or makes the record of the first mount. With
    /// `durable`, names made here survive a power cut once [`Local::sync`] has returned.
    pub fn open(root: Arc<Beneath>, durable: bool, look: FirstLook<'_>) -> OpenResult<Local> {
        let private = root.make_dirs(Path::new(PRIVATE), durable)?;
        private::check(&root, &private)?;
        let lock = private::lock(&private)?;
        let (record, changed) = found::read(&root, &private, look)?;
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

    /// Writes the supervisor's pid into the lock file, where `unmount` finds the pid while no daemon runs.
    pub fn note_supervisor(&self, pid: Option<u32>) -> Result<()> {
        private::write_pids(&self.root.dir(Path::new(PRIVATE))?, pid)
    }

    /// Notes the mountpoint of the next mount, a directory other than the backing directory (spec 3.7).
    pub fn note_mountpoint(&self, mountpoint: &Path) -> Result<()> {
        mountpoint::note(&self.root, mountpoint, self.durable)
    }

    /// Opens an area's directory for a queue, which must exist.
    pub fn dir(&self, area: Area, queue: &Path) -> Result<Dir> {
        if area == Area::Drafts
            && let Some((_, dir)) = self.drafts.lock().as_ref().filter(|(of, _)| of == queue)
        {
            return Ok(dir.clone());
        }
        let dir = self.root.dir(&area.path(queue))?;
        if area == Area::Drafts {
            *self.drafts.lock() = Some((queue.to_owned(), dir.clone()));
        }
        Ok(dir)
    }

    /// Closes the kept directory of drafts, because directories were renamed or removed.
    pub(super) fn forget_drafts(&self) {
        *self.drafts.lock() = None;
    }

    /// Opens an area's directory for a queue; makes the directory if it is missing.
    pub(super) fn make_dir(&self, area: Area, queue: &Path) -> Result<Dir> {
        match self.dir(area, queue) {
            Err(Error::NotFound) if area != Area::Backing => {
                self.root.make_dirs(&area.path(queue), self.durable)
            }
            dir => dir,
        }
    }

    /// Runs `act` in the directory that [`Local::make_dir`] opens. If another program has removed the kept directory of
    /// drafts, runs `act` again in a new directory.
    fn within<T>(&self, area: Area, queue: &Path, act: impl Fn(&Dir) -> Result<T>) -> Result<T> {
        match act(&self.make_dir(area, queue)?) {
            Err(Error::NotFound) if area == Area::Drafts => {
                self.forget_drafts();
                act(&self.make_dir(area, queue)?)
            }
            done => done,
        }
    }

    /// Makes a new file with these permission bits.
    pub fn create(&self, area: Area, queue: &Path, name: &OsStr, mode: u32) -> Result<File> {
        self.with_room(|| self.within(area, queue, |dir| dirfd::create(dir, name, mode)))
    }

    /// Makes and fills a file; calls `name` until a name is free. A power cut keeps the file if it keeps any later change.
    pub(super) fn create_filled(
        &self,
        area: Area,
        queue: &Path,
        name: impl Fn() -> OsString,
        mode: u32,
        fill: impl Fn(&File) -> Result<()>,
    ) -> Result<(File, OsString)> {
        let (file, name) = loop {
            let name = name();
            match self.create(area, queue, &name, mode) {
                Err(Error::Exists) => {}
                file => break (file?, name),
            }
        };
        let mut filled = fill(&file);
        if self.durable {
            filled = filled
                .and_then(|()| Ok(file.sync_all()?))
                .and_then(|()| self.sync(area, queue));
        }
        match filled {
            Ok(()) => Ok((file, name)),
            Err(error) => {
                // A later mount could not tell half a file from a whole file.
                let _ = self.remove(area, queue, &name);
                Err(error)
            }
        }
    }

    /// Writes a small file under a new name; returns the name. A power cut keeps the file if it keeps any later change.
    pub fn note(&self, area: Area, content: &[u8], now: SystemTime) -> Result<OsString> {
        let name = || unique_nanos(now).to_string().into();
        let fill = |file: &File| self.with_room(|| Ok(file.write_all_at(content, 0)?));
        let (_, name) = self.create_filled(area, Path::new(""), name, 0o600, fill)?;
        Ok(name)
    }

    /// Reads a small file.
    pub fn read_note(&self, area: Area, queue: &Path, name: &OsStr) -> Result<Vec<u8>> {
        private::read_file(&self.dir(area, queue)?, name)
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

    /// The stat(2) of a name.
    pub fn stat(&self, area: Area, queue: &Path, name: &OsStr) -> Result<Meta> {
        dirfd::stat(self.dir(area, queue)?, name)
    }

    /// All entries of an area's directory for a queue; none if there is no such directory.
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

    /// Renames a file, and replaces the file that has the new name.
    pub fn rename(&self, from: AreaFile<'_>, to: AreaFile<'_>) -> Result<()> {
        let old = self.dir(from.0, from.1)?;
        self.within(to.0, to.1, |new| dirfd::rename(&old, from.2, new, to.2))
    }

    /// Renames a file; [`Error::Exists`] if the new name is taken.
    pub fn rename_new(&self, from: AreaFile<'_>, to: AreaFile<'_>) -> Result<()> {
        let old = self.dir(from.0, from.1)?;
        self.within(to.0, to.1, |new| dirfd::rename_new(&old, from.2, new, to.2))
    }

    /// Gives a file a second name; [`Error::Exists`] if the name is taken.
    pub fn link(&self, from: AreaFile<'_>, to: AreaFile<'_>) -> Result<()> {
        let old = self.dir(from.0, from.1)?;
        self.within(to.0, to.1, |new| dirfd::link(&old, from.2, new, to.2))
    }

    /// Makes every change of names in an area's directory durable.
    pub fn sync(&self, area: Area, queue: &Path) -> Result<()> {
        Ok(rustix::fs::fsync(self.dir(area, queue)?)?)
    }

    /// Free space and inodes of the filesystem below.
    pub fn statvfs(&self) -> Result<rustix::fs::StatVfs> {
        Ok(rustix::fs::fstatvfs(self.root.dir(Path::new(""))?)?)
    }
}
