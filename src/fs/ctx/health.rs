//! What is wrong with the backing directory, in words for a person: the path, the cause, the cure.

use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::{Access, AtFlags, StatVfsMountFlags};

use crate::error::Error;

/// The shortest time between two looks at the backing directory.
const EVERY: Duration = Duration::from_secs(1);

/// The backing directory's path at the start, and the trouble with the directory at the last look.
#[derive(Debug)]
pub struct Health {
    /// The path at the start, as the kernel says.
    place: Option<PathBuf>,
    last: Mutex<Option<(Instant, Option<String>)>>,
}

/// May an error mean that something is wrong with the backing directory?
pub fn is_symptom(error: Error) -> bool {
    matches!(
        error,
        Error::NotFound | Error::AccessDenied | Error::NotPermitted | Error::Stale | Error::Os(_)
    )
}

impl Health {
    /// `root` is the backing directory.
    pub fn new(root: impl AsFd) -> Health {
        Health {
            place: place(&root),
            last: Mutex::default(),
        }
    }

    /// Logs the trouble that `find` finds; looks at most once a second, and logs no trouble twice in a row.
    pub fn look(&self, find: impl FnOnce() -> Option<String>) {
        let mut last = self.last.lock();
        let before = match &*last {
            Some((at, _)) if at.elapsed() < EVERY => return,
            Some((_, before)) => before.clone(),
            None => None,
        };
        let now = find();
        if let Some(text) = now.as_ref().filter(|_| now != before) {
            log::error!("{text}");
        }
        *last = Some((Instant::now(), now));
    }

    /// What is wrong now, if anything is. `name` is the backing directory's path for the message.
    pub fn trouble(&self, root: &impl AsFd, name: &Path) -> Option<String> {
        let name = name.display();
        let place = place(root);
        if place.is_some() && place != self.place {
            let place = place?;
            let cure = "new handoffs are written there; to go on at the old place, move the directory back and mount \
                        again";
            return Some(match place.to_string_lossy().strip_suffix(" (deleted)") {
                Some(_) => format!(
                    "{name}: the backing directory was removed, and nothing can be written; make it again, unmount and \
                     mount again"
                ),
                None => format!(
                    "{name}: the backing directory is not there any more, but at {} (the directory was moved, or its \
                     filesystem unmounted); {cure}",
                    place.display()
                ),
            });
        }
        match rustix::fs::fstatvfs(root) {
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
        let denied = rustix::fs::accessat(root, ".", wanted, AtFlags::empty()).err()?;
        Some(format!(
            "{name}: the backing directory may not be written ({denied}); chmod u+rwx it, nothing else is needed"
        ))
    }
}

/// A directory's path, as the kernel says. The path that the user gave cannot be looked up: it may lead back into the mount.
fn place(dir: &impl AsFd) -> Option<PathBuf> {
    let link = format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd());
    std::fs::read_link(link).ok()
}
