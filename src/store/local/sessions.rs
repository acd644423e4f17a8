//! Scratch files that belong to one session each (spec 4.6).

use std::ffi::OsStr;
use std::path::Path;

use rustix::fs::AtFlags;

use super::{Area, Local};
use crate::error::{Error, Result};
use crate::names::PRIVATE;
use crate::store::Kind;
use crate::store::area::SESSIONS;
use crate::store::dirfd::{self, Beneath};

impl Local {
    /// The areas of all sessions that have, or had, scratch files.
    pub fn owned(&self) -> Result<Vec<Area>> {
        let sessions = match self.root.dir(&Path::new(PRIVATE).join(SESSIONS)) {
            Err(Error::NotFound) => return Ok(Vec::new()),
            dir => dirfd::names(dir?)?,
        };
        let owner = |name: &OsStr| name.to_str()?.parse().ok();
        let owners = sessions.iter().filter_map(|entry| owner(&entry.name));
        Ok(owners.map(Area::Own).collect())
    }

    /// The areas whose directories follow when a queue is renamed. Replaced versions stay where they were kept.
    pub(super) fn following(&self) -> Vec<Area> {
        let owned = self.owned().inspect_err(|error| {
            log::warn!("the scratch files of sessions cannot be listed ({error}); they stay under their queue's old name");
        });
        let shared = [Area::Drafts, Area::Edits, Area::Scratch];
        shared
            .into_iter()
            .chain(owned.unwrap_or_default())
            .collect()
    }

    /// Removes the directories of an area of which nothing is left.
    pub fn remove_empty_dirs(&self, area: Area) -> Result<()> {
        fn remove_below(root: &Beneath, path: &Path) -> Result<()> {
            for entry in dirfd::names(root.dir(path)?)? {
                if entry.kind == Kind::Directory {
                    remove_below(root, &path.join(&*entry.name))?;
                }
            }
            match (path.parent(), path.file_name()) {
                (Some(above), Some(name)) => {
                    // Whatever is in it still keeps it.
                    let _ = rustix::fs::unlinkat(root.dir(above)?, name, AtFlags::REMOVEDIR);
                    Ok(())
                }
                _ => Ok(()),
            }
        }
        remove_below(&self.root, &area.path(Path::new("")))
    }
}
