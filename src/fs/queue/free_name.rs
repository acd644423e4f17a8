//! Renaming a stored file to a name that is free (spec 3.3).

use std::ffi::OsStr;

use crate::error::{Error, Result};
use crate::fs::ids::DirId;
use crate::fs::queue::cache::Queues;
use crate::names::StampedName;
use crate::store::first_free_after;
use crate::store::local::Area;

/// How many names have their last suffix remembered.
const MAX_SUFFIXES: usize = 1024;

impl Queues {
    /// Renames a stored file to a stamped name, or to its next suffix that neither a file nor a draft has.
    pub fn move_free(&mut self, dir: DirId, name: &OsStr, to: &StampedName) -> Result<StampedName> {
        let queue = self.path(dir)?;
        let key = (dir, to.clone());
        let last = self.suffixes.get(&key).copied().unwrap_or(0);
        let (got, n) = first_free_after(to, last, |candidate| {
            let candidate = candidate.to_os_string();
            // A draft keeps the name that it will be published under.
            match self.ctx.local.stat(Area::Drafts, &queue, &candidate) {
                Ok(_) => Err(Error::Exists),
                Err(_) => self.ctx.store.rename((&queue, name), (&queue, &candidate)),
            }
        })?;
        if self.suffixes.len() >= MAX_SUFFIXES {
            self.suffixes.clear();
        }
        if n > 1 {
            self.suffixes.insert(key, n.max(last));
        }
        Ok(got)
    }
}
