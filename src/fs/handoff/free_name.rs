//! Names that neither a draft nor a file has (spec 3.3).

use std::path::Path;

use crate::error::{Error, Result};
use crate::fs::ctx::Ctx;
use crate::fs::handoff::table::Files;
use crate::fs::ids::DirId;
use crate::fs::queue::cache::Queues;
use crate::names::{Slug, StampedName};
use crate::store::first_free;

/// How the name of a new handoff is found.
#[derive(Clone, Debug)]
pub enum Naming {
    /// The time now and this slug, with the next suffix if the name is taken.
    Stamp(Slug),
    /// Exactly this name, which the writer chose.
    Exactly(StampedName),
    /// This name, which the writer chose but for the extension, with the next suffix if the name is taken (spec 3.4).
    Nearly(StampedName),
}

impl Ctx {
    /// The name without a suffix, and whether the writer chose exactly that name.
    pub fn base_name(&self, naming: &Naming) -> (StampedName, bool) {
        match naming {
            Naming::Stamp(slug) => {
                let stamp = self.zone.stamp(self.clock.now());
                (StampedName::new(stamp, slug.clone()), false)
            }
            Naming::Exactly(name) => (name.clone(), true),
            Naming::Nearly(name) => (name.clone(), false),
        }
    }
}

impl Files {
    /// A name that no draft has reserved and no file has.
    pub fn free_name(&self, queues: &Queues, dir: DirId, naming: &Naming) -> Result<StampedName> {
        let path = queues.path(dir)?;
        let (base, exactly) = queues.ctx.base_name(naming);
        first_free(&base, |name| {
            match self.is_free(queues, dir, &path, name, exactly)? {
                true => Ok(()),
                false => Err(Error::Exists),
            }
        })
    }

    /// Has neither a draft nor a file this name? Unless the writer chose it `exactly`, the consumed name must be free, too.
    pub fn is_free(
        &self,
        queues: &Queues,
        dir: DirId,
        queue: &Path,
        name: &StampedName,
        exactly: bool,
    ) -> Result<bool> {
        let taken = |name: &StampedName| {
            if self.named(dir, name).is_some() {
                return Ok(true);
            }
            // The cache may be outdated. Publishing never replaces a file, and takes the next suffix then.
            if !exactly && queues.seems_to_lack(dir, name) {
                return Ok(false);
            }
            match queues.ctx.store.stat(queue, &name.to_os_string()) {
                Ok(_) => Ok(true),
                Err(error) if error.is_absence() => Ok(false),
                Err(error) => Err(error),
            }
        };
        Ok(!taken(name)? && (exactly || !taken(&name.consumed())?))
    }
}
