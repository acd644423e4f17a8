//! The store that keeps handoffs as plain files in a local directory, in the form of the old protocol (spec 3.1).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::dirfd::{self, Beneath};
use super::{Access, Change, Changes, DraftFile, Entry, Meta, Store, Watch, What, first_free};
use crate::error::Result;
use crate::names::StampedName;

/// The store of a local directory.
#[derive(Debug)]
pub struct DirStore {
    root: Arc<Beneath>,
    /// `None` if the kernel grants no inotify instance.
    notify: Option<OwnedFd>,
}

impl DirStore {
    /// The store beneath `root`.
    pub fn new(root: Arc<Beneath>) -> DirStore {
        let notify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
            .inspect_err(|errno| {
                log::warn!("no inotify ({errno}): every listing reads the backing directory anew");
            })
            .ok();
        DirStore { root, notify }
    }
}

impl Store for DirStore {
    fn list(&self, queue: &Path) -> Result<Vec<Entry>> {
        dirfd::names(self.root.dir(queue)?)
    }

    fn stat(&self, queue: &Path, name: &OsStr) -> Result<Meta> {
        dirfd::stat(self.root.dir(queue)?, name)
    }

    fn open_known(&self, queue: &Path, name: &OsStr, access: Access) -> Result<(File, Meta)> {
        dirfd::open_known(self.root.dir(queue)?, name, access)
    }

    fn publish(
        &self,
        draft: DraftFile<'_>,
        queue: &Path,
        name: &StampedName,
    ) -> Result<StampedName> {
        let dir = self.root.dir(queue)?;
        first_free(name, |candidate| {
            dirfd::rename_new(draft.dir, draft.name, &dir, &candidate.to_os_string())
        })
    }

    fn replace(&self, draft: DraftFile<'_>, queue: &Path, name: &OsStr) -> Result<()> {
        let dir = self.root.dir(queue)?;
        if dirfd::exchange(draft.dir, draft.name, &dir, name)? {
            return Ok(());
        }
        // This filesystem cannot exchange two names. A link keeps the old version, and rename(2) is atomic, too.
        let aside = OsString::from(".handoff-fs-aside");
        let _ = dirfd::unlink(draft.dir, &aside);
        dirfd::link(&dir, name, draft.dir, &aside)?;
        dirfd::rename(draft.dir, draft.name, &dir, name)?;
        dirfd::rename(draft.dir, &aside, draft.dir, draft.name)
    }

    fn rename(&self, from: (&Path, &OsStr), to: (&Path, &OsStr)) -> Result<()> {
        dirfd::rename_new(self.root.dir(from.0)?, from.1, self.root.dir(to.0)?, to.1)
    }

    fn consume(
        &self,
        queue: &Path,
        name: &StampedName,
        done: &StampedName,
        now: SystemTime,
    ) -> Result<StampedName> {
        let dir = self.root.dir(queue)?;
        let name = name.to_os_string();
        // The times are set first: a `_done` file with an old mtime would expire too early. A crash between the two calls
        // leaves a pending handoff, which is delivered again.
        dirfd::set_times_of(&dir, &name, now)?;
        first_free(done, |candidate| {
            dirfd::rename_new(&dir, &name, &dir, &candidate.to_os_string())
        })
    }

    fn remove(&self, queue: &Path, name: &OsStr) -> Result<()> {
        dirfd::unlink(self.root.dir(queue)?, name)
    }

    fn sync(&self, queue: &Path) -> Result<()> {
        Ok(rustix::fs::fsync(self.root.dir(queue)?)?)
    }

    fn watch(&self, queue: &Path) -> Option<Watch> {
        let notify = self.notify.as_ref()?;
        let dir = self.root.dir(queue).ok()?;
        // The directory's own path leads into the mount; its descriptor's path in /proc leads below the mount.
        let path = format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd());
        let what = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::ONLYDIR;
        let watch = inotify::add_watch(notify, path, what).inspect_err(|errno| {
            log::warn!(
                "{}: cannot be watched ({errno}), so every listing reads it anew; \
                 raising fs.inotify.max_user_watches helps",
                queue.display()
            );
        });
        watch.ok().map(Watch)
    }

    fn changes(&self) -> Changes {
        let Some(notify) = &self.notify else {
            return Changes::These(Vec::new());
        };
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut reader = inotify::Reader::new(notify, &mut buffer);
        let mut changes: Vec<Change> = Vec::new();
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(_) => break,
            };
            let flags = event.events();
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                return Changes::Overflow;
            }
            let change = Change {
                watch: Watch(event.wd()),
                name: event
                    .file_name()
                    .map(|name| OsStr::from_bytes(name.to_bytes()).to_owned())
                    .unwrap_or_default(),
                what: if flags.intersects(ReadFlags::DELETE | ReadFlags::IGNORED) {
                    What::Removed
                } else {
                    What::Touched
                },
            };
            // A long append sends thousands of equal events.
            if changes.last() != Some(&change) {
                changes.push(change);
            }
        }
        Changes::These(changes)
    }
}
