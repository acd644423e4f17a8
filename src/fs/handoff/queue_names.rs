//! The names of a queue: which are taken, by a stored file or by a draft, and which are shown (spec 3.3, 4.3).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::error::{Error, Result};
use crate::fs::ctx::Ctx;
use crate::fs::handoff::state::Content;
use crate::fs::handoff::table::Files;
use crate::fs::ids::DirId;
use crate::fs::queue::cache::Queues;
use crate::names::{self, Slug, StampedName};
use crate::store::local::Area;
use crate::store::{Kind, first_free};

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
            // The cache may be outdated. That does no harm: if the name is taken, publishing takes the next suffix.
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

    /// The name that a handoff gets when it is consumed: neither a file nor a draft has the name, and no other pending handoff
    /// will get it.
    pub fn stays_as(&self, queues: &Queues, dir: DirId, name: &StampedName) -> StampedName {
        let taken = |name: &StampedName| {
            let listed = queues.get(dir, &name.to_os_string()).is_some();
            listed || self.is_reserved(dir, name)
        };
        let done = name.consumed();
        (1..)
            .map(|n| done.with_suffix(n))
            .find(|other| !taken(other) && (*other == done || !taken(&other.pending())))
            .unwrap_or(done.clone())
    }

    /// Calls `each` with every name that a queue shows to any session, its inode number and kind, in no order: stored files,
    /// drafts and scratch files; no aliases (spec 4.3), nothing that has expired (7.1), and not `pending.md`.
    pub fn each_name(
        &mut self,
        queues: &mut Queues,
        dir: DirId,
        mut each: impl FnMut(&OsStr, u64, Kind),
    ) -> Result<()> {
        queues.load(dir)?;
        queues.load_scratch(dir)?;
        let (ctx, path) = (queues.ctx.clone(), queues.path(dir)?);
        let mut uncached: HashMap<OsString, u64> = HashMap::new();
        for (name, meta) in ctx.local.list(Area::Scratch, &path)? {
            if meta.kind == Kind::File {
                uncached.insert(name, meta.ino);
            }
        }
        for (name, area) in queues.scratch.names(dir) {
            if let Ok(meta) = ctx.local.stat(area, &path, name) {
                uncached.insert(name.to_owned(), meta.ino);
            }
        }
        for file in self.drafts().filter(|file| file.dir == dir) {
            if let Content::New(draft) = &file.content {
                uncached.insert(file.name.to_os_string(), draft.ino);
            }
        }
        for (name, known) in queues.names(dir) {
            let is_shown = known.kind == Kind::Directory
                || match StampedName::parse(name) {
                    Some(stamped) => !ctx.is_expired(&stamped, known.mtime),
                    // A stray is shown once it is adopted (spec 3.7).
                    None => !queues.is_stray(dir, name),
                };
            if is_shown && name != names::PENDING && !uncached.contains_key(name) {
                each(name, known.ino, known.kind);
            }
        }
        uncached.remove(OsStr::new(names::PENDING));
        for (name, ino) in &uncached {
            each(name, *ino, Kind::File);
        }
        Ok(())
    }
}
