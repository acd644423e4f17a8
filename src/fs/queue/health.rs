//! What is wrong with the backing directory, in words for a person: the path, the cause, the cure.

use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::{Access, AtFlags, StatVfsMountFlags};

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::store::local::Area;

/// How often it is looked for, at most.
const EVERY: Duration = Duration::from_secs(1);

/// What was found when it was last looked for.
#[derive(Debug, Default)]
pub(in crate::fs) struct Watcher {
    /// Where the backing directory was at the beginning, as the kernel says.
    place: Option<PathBuf>,
    last: Mutex<Option<(Instant, Option<String>)>>,
}

impl Fs {
    /// Passes an error on to its caller; and where the backing directory is to blame, that is logged, once.
    pub(in crate::fs) fn noticed<T>(&self, answer: Result<T>) -> Result<T> {
        if let Err(
            Error::NotFound
            | Error::AccessDenied
            | Error::NotPermitted
            | Error::Stale
            | Error::Os(_),
        ) = answer
        {
            self.look_for_trouble();
        }
        answer
    }

    pub(in crate::fs) fn look_for_trouble(&self) {
        let mut last = self.trouble.last.lock();
        let before = match &*last {
            Some((at, _)) if at.elapsed() < EVERY => return,
            Some((_, before)) => before.clone(),
            None => None,
        };
        let now = self.trouble();
        if let Some(text) = now.as_ref().filter(|_| now != before) {
            log::error!("{text}");
        }
        *last = Some((Instant::now(), now));
    }

    /// What is wrong just now, if anything is.
    pub(in crate::fs) fn trouble(&self) -> Option<String> {
        let name = self.options.backing_name.display();
        let root = self.local.dir(Area::Backing, Path::new("")).ok()?;
        let place = place(&root);
        if place.is_some() && place != self.trouble.place {
            let place = place?;
            let cure = "what is acknowledged from now on is where that is; to go on at the old place, put it back there \
                        and mount again";
            return Some(match place.to_string_lossy().strip_suffix(" (deleted)") {
                Some(_) => format!(
                    "{name}: the backing directory was removed, and nothing can be written; make it again, unmount and \
                     mount again"
                ),
                None => format!(
                    "{name}: the backing directory is not there any more, but at {} (it was moved, or its filesystem \
                     unmounted); {cure}",
                    place.display()
                ),
            });
        }
        match rustix::fs::fstatvfs(&root) {
            Err(errno) => {
                return Some(format!(
                    "{name}: the backing filesystem answers nothing but errors ({errno}); see dmesg, and mount again \
                     when it is repaired"
                ));
            }
            Ok(stat) if stat.f_flag.contains(StatVfsMountFlags::RDONLY) => {
                return Some(format!(
                    "{name}: the backing filesystem is mounted read-only; make it writable (mount -o remount,rw), \
                     nothing else is needed"
                ));
            }
            Ok(stat) if stat.f_blocks > 0 && stat.f_bavail == 0 => {
                return Some(format!(
                    "{name}: the backing filesystem is full; make room there"
                ));
            }
            Ok(stat) if stat.f_files > 0 && stat.f_ffree == 0 => {
                return Some(format!(
                    "{name}: the backing filesystem has no inode left; remove some files there"
                ));
            }
            Ok(_) => {}
        }
        let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
        let denied = rustix::fs::accessat(&root, ".", wanted, AtFlags::empty()).err()?;
        Some(format!(
            "{name}: the backing directory may not be written ({denied}); chmod u+rwx it, nothing else is needed"
        ))
    }
}

impl Watcher {
    /// Of the directory behind this descriptor.
    pub(in crate::fs) fn new(root: impl AsFd) -> Watcher {
        Watcher {
            place: place(&root),
            last: Mutex::default(),
        }
    }
}

/// Where the kernel says that a directory is. The name of the path cannot be asked: it may lead through the mount, back to us.
fn place(dir: &impl AsFd) -> Option<PathBuf> {
    let link = format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd());
    std::fs::read_link(link).ok()
}
