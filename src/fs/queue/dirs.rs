//! Directories that the kernel or the queues know.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::fs::ids::DirId;

/// How a directory is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DirKind {
    /// Its files are handoffs, but for the exceptions of spec 3.6.
    Queue,
    /// An ordinary directory, and everything below one: passed through as it is (spec 3.6).
    Plain,
}

/// A name in a directory.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub dir: DirId,
    pub name: &'a OsStr,
}

#[derive(Debug)]
struct DirEntry {
    parent: DirId,
    name: OsString,
    kind: DirKind,
    ino: u64,
}

/// INVARIANT: `children[(d.parent, d.name)] == d` for every directory but the root and those that are gone.
#[derive(Debug, Default)]
pub struct Dirs {
    entries: HashMap<DirId, DirEntry>,
    children: HashMap<(DirId, OsString), DirId>,
    last: u32,
}

impl Dirs {
    /// How many directories are known besides the root.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn kind(&self, dir: DirId) -> DirKind {
        self.entries
            .get(&dir)
            .map_or(DirKind::Queue, |entry| entry.kind)
    }

    /// The path from the root, which has the empty one. A directory that was removed has none.
    pub fn path(&self, dir: DirId) -> Result<PathBuf> {
        let mut names = Vec::new();
        let mut at = dir;
        while at != DirId::ROOT {
            let entry = self.entries.get(&at).ok_or_else(|| self.missing(at))?;
            names.push(entry.name.as_os_str());
            at = entry.parent;
        }
        Ok(names.iter().rev().collect())
    }

    /// The name in the parent; `None` for the root, and for a directory that was removed.
    pub fn name(&self, dir: DirId) -> Option<&OsStr> {
        self.entries.get(&dir).map(|entry| entry.name.as_os_str())
    }

    pub fn parent(&self, dir: DirId) -> DirId {
        self.entries
            .get(&dir)
            .map_or(DirId::ROOT, |entry| entry.parent)
    }

    /// The directory of this name and inode number, if it is known. With another number the name was given to another directory
    /// below the mount.
    pub fn known(&self, parent: DirId, name: &OsStr, ino: u64) -> Option<DirId> {
        let dir = self.children.get(&(parent, name.to_owned()))?;
        let same = self.entries.get(dir).is_some_and(|entry| entry.ino == ino);
        same.then_some(*dir)
    }

    /// As [`Dirs::known`]; a directory that is not known yet becomes so.
    pub fn enter(&mut self, parent: DirId, name: &OsStr, ino: u64, kind: DirKind) -> DirId {
        if let Some(dir) = self.known(parent, name, ino) {
            return dir;
        }
        let key = (parent, name.to_owned());
        self.last += 1;
        let dir = DirId(self.last);
        self.children.insert(key, dir);
        self.entries.insert(
            dir,
            DirEntry {
                parent,
                name: name.to_owned(),
                kind,
                ino,
            },
        );
        dir
    }

    pub fn renamed(&mut self, dir: DirId, parent: DirId, name: &OsStr) {
        let Some(entry) = self.entries.get_mut(&dir) else {
            return;
        };
        let old = (
            entry.parent,
            std::mem::replace(&mut entry.name, name.to_owned()),
        );
        entry.parent = parent;
        if self.children.get(&old) == Some(&dir) {
            self.children.remove(&old);
        }
        self.children.insert((parent, name.to_owned()), dir);
    }

    /// Answers whether that is a change.
    pub fn set_kind(&mut self, dir: DirId, kind: DirKind) -> bool {
        let entry = self.entries.get_mut(&dir);
        entry.is_some_and(|entry| std::mem::replace(&mut entry.kind, kind) != kind)
    }

    /// This directory and all known ones below, each after its parent.
    pub fn below(&self, top: DirId) -> Vec<DirId> {
        let within = self.entries.keys().copied();
        let mut below: Vec<(usize, DirId)> = within
            .filter(|dir| self.is_within(*dir, top))
            .map(|dir| (self.depth(dir), dir))
            .collect();
        below.sort_unstable();
        below.into_iter().map(|(_, dir)| dir).collect()
    }

    fn depth(&self, dir: DirId) -> usize {
        let above = |entry: &&DirEntry| self.entries.get(&entry.parent);
        std::iter::successors(self.entries.get(&dir), above).count()
    }

    pub fn removed(&mut self, dir: DirId) {
        if let Some(entry) = self.entries.remove(&dir) {
            let key = (entry.parent, entry.name);
            if self.children.get(&key) == Some(&dir) {
                self.children.remove(&key);
            }
        }
    }

    /// Is `dir` the same as `above`, or below it?
    pub fn is_within(&self, dir: DirId, above: DirId) -> bool {
        let mut at = dir;
        loop {
            if at == above {
                return true;
            }
            match self.entries.get(&at) {
                Some(entry) => at = entry.parent,
                None => return false,
            }
        }
    }

    /// Why a directory is not in the table. Every number below the last one was a directory's once.
    fn missing(&self, dir: DirId) -> Error {
        if dir.0 <= self.last {
            return Error::NotFound;
        }
        log::error!(
            "BUG: there never was a directory {}; the request is answered EIO",
            dir.0
        );
        Error::Os(libc::EIO)
    }
}
