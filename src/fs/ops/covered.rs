//! Files that were written under the mountpoint while nothing was mounted, where the backing directory is another one (spec
//! 3.7b).

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::AtFlags;

use crate::error::{Error, Result};
use crate::fs::ids::DirId;
use crate::fs::queue::strays::is_finished_at_mount;
use crate::fs::resolve::resolved::Resolved;
use crate::fs::state::{Fs, State};
use crate::names::{self, StampedName};
use crate::names::{is_hidden, is_stray};
use crate::store::dirfd::{self, Beneath, stat_file};
use crate::store::local::Area;
use crate::store::{Access, DraftFile, Kind, Meta};

/// How many of the files that stay are named in the log.
const NAMED: usize = 5;

/// The name of a copy that is under way from another filesystem. A scratch file expires if it is never finished.
const COPY: &str = "moving.part";

impl Fs {
    /// Notes a mountpoint other than the backing directory. To be called before the mount covers it.
    pub fn note_mountpoint(&self) -> Result<()> {
        self.ctx.local.note_mountpoint(&self.ctx.options.mountpoint)
    }

    /// Moves the handoffs in the directory under the mount into the backing directory. `covered` was opened before the mount.
    /// Files that cannot be moved, or are no handoffs by their names, stay there, and the log names them.
    pub fn take_in(&self, covered: OwnedFd) {
        let covered = Beneath::new(covered);
        let mut left = Vec::new();
        let mut dirs = vec![PathBuf::new()];
        let mut seen = 0;
        while let Some(dir) = dirs.get(seen).cloned() {
            seen += 1;
            let entries = covered.dir(&dir).and_then(dirfd::list);
            let entries = entries.unwrap_or_else(|error| {
                log::warn!("{}: cannot be read ({error})", self.shown(&dir));
                left.push(dir.clone());
                Vec::new()
            });
            for (name, meta) in entries {
                let path = dir.join(&name);
                let is_named = is_stray(&name) || StampedName::parse(&name).is_some();
                let is_moved = match meta.kind {
                    Kind::Directory if !is_hidden(&name) => {
                        dirs.push(path);
                        continue;
                    }
                    Kind::File if is_named => {
                        let moved = self.take_in_one(&covered, &dir, &name);
                        moved.unwrap_or_else(|error| {
                            let shown = self.shown(&path);
                            log::warn!(
                                "{shown}: cannot be moved into the backing directory ({error})"
                            );
                            false
                        })
                    }
                    Kind::File | Kind::Directory | Kind::Other => false,
                };
                if !is_moved {
                    left.push(path);
                }
            }
        }
        for dir in dirs.iter().skip(1).rev() {
            self.remove_emptied(&covered, dir);
        }
        self.say_what_is_left(&left);
    }

    /// Moves one file; false if the file stays for now.
    fn take_in_one(&self, covered: &Beneath, queue: &Path, name: &OsStr) -> Result<bool> {
        let from = covered.dir(queue)?;
        let (file, meta) = dirfd::open_known(&from, name, Access::READ)?;
        let is_finished =
            |meta: &Meta| is_finished_at_mount(&file, meta, Instant::now(), self.ctx.clock.now());
        if !is_finished(&meta) {
            log::info!(
                "{}: not moved to the backing directory, because a process may be writing the file",
                self.shown(&queue.join(name))
            );
            return Ok(false);
        }
        let mode = stat_file(&from)?.mode;
        let Some(dir) = self.queue_at(&mut self.lock(), queue, mode)? else {
            return Ok(false);
        };
        let stamp = self.ctx.zone.stamp(meta.mtime);
        let wanted = StampedName::parse(name).unwrap_or_else(|| names::adopted(name, stamp));
        let draft = DraftFile { dir: &from, name };
        let moved = match self.ctx.store.publish(draft, queue, &wanted) {
            Err(Error::Os(libc::EXDEV)) => {
                let is_whole = || {
                    let now = stat_file(&file)?;
                    Ok((now.size, now.mtime) == (meta.size, meta.mtime) && is_finished(&now))
                };
                let Some(copied) = self.copy_in(&file, &meta, queue, &wanted, is_whole)? else {
                    return Ok(false);
                };
                dirfd::unlink(&from, name)?;
                copied
            }
            moved => moved?,
        };
        if self.ctx.options.sync {
            self.ctx.store.sync(queue)?;
        }
        self.lock().queues.changed(dir, &moved.to_os_string());
        log::info!("moved {} to {moved}", self.shown(&queue.join(name)));
        Ok(true)
    }

    /// Publishes a copy of a file that lies on another filesystem, durably; `None` if the file has changed meanwhile.
    fn copy_in(
        &self,
        file: &File,
        meta: &Meta,
        queue: &Path,
        wanted: &StampedName,
        is_whole: impl Fn() -> Result<bool>,
    ) -> Result<Option<StampedName>> {
        let (local, store) = (&self.ctx.local, &self.ctx.store);
        let (scratch, part) = (Area::Scratch, OsStr::new(COPY));
        let _ = local.remove(scratch, queue, part);
        let copy = local.create(scratch, queue, part, meta.mode)?;
        let publish = || {
            dirfd::copy(file, &copy)?;
            dirfd::set_times(&copy, Some(meta.atime), Some(meta.mtime))?;
            copy.sync_all()?;
            if !is_whole()? {
                return Ok(None);
            }
            let dir = local.dir(scratch, queue)?;
            let draft = DraftFile {
                dir: &dir,
                name: part,
            };
            let published = store.publish(draft, queue, wanted)?;
            // Durable before the original is removed.
            store.sync(queue)?;
            Ok(Some(published))
        };
        let published = publish();
        if !matches!(published, Ok(Some(_))) {
            let _ = local.remove(scratch, queue, part);
        }
        published
    }

    /// The queue at a path, which is made if it is missing; `None` if something else has the path.
    fn queue_at(&self, state: &mut State, path: &Path, mode: u32) -> Result<Option<DirId>> {
        let mut dir = DirId::ROOT;
        for name in path {
            let found = match state.resolve(dir, name, None) {
                Err(Error::NotFound) => {
                    let above = state.queues.path(dir)?;
                    self.ctx.local.make_queue(&above, name, mode)?;
                    state.queues.changed(dir, name);
                    state.resolve(dir, name, None)?
                }
                found => found?,
            };
            match found {
                Resolved::Dir(child) if state.queues.is_queue(child) => dir = child,
                _ => return Ok(None),
            }
        }
        Ok(Some(dir))
    }

    /// Removes a directory of which everything was moved.
    fn remove_emptied(&self, covered: &Beneath, dir: &Path) {
        let (Some(above), Some(name)) = (dir.parent(), dir.file_name()) else {
            return;
        };
        let moved = self.ctx.local.stat(Area::Backing, above, name);
        if moved.is_ok_and(|meta| meta.kind == Kind::Directory)
            && let Ok(above) = covered.dir(above)
        {
            // The kernel refuses a directory that is not empty.
            let _ = rustix::fs::unlinkat(above, name, AtFlags::REMOVEDIR);
        }
    }

    fn say_what_is_left(&self, left: &[PathBuf]) {
        if left.is_empty() {
            return;
        }
        let named = left.iter().take(NAMED);
        let mut names: Vec<String> = named.map(|path| format!("{path:?}")).collect();
        if left.len() > NAMED {
            names.push(format!("{} more", left.len() - NAMED));
        }
        log::warn!(
            "{}: the mount hides these files, where nobody sees them: {}; unmount, and move them to {}",
            self.ctx.options.mountpoint.display(),
            names.join(", "),
            self.ctx.options.backing_name.display()
        );
    }

    fn shown(&self, path: &Path) -> String {
        format!("{:?}", self.ctx.options.mountpoint.join(path))
    }
}
