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
    /// An ordinary directory, or a directory below one: passed through unchanged (spec 3.6).
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
        let entry = self.entries.get(&dir);
        entry.map_or(DirKind::Queue, |entry| entry.kind)
    }

    /// The path from the root, which has the empty one. A directory that was removed has none.
    pub fn path(&self, dir: DirId) -> Result<PathBuf> {
        let mut names = Vec::new();
        for dir in self.up(dir).filter(|dir| *dir != DirId::ROOT) {
            names.push(self.name(dir).ok_or_else(|| self.missing(dir))?);
        }
        Ok(names.iter().rev().collect())
    }

    /// The name in the parent; `None` for the root, and for a directory that was removed.
    pub fn name(&self, dir: DirId) -> Option<&OsStr> {
        self.entries.get(&dir).map(|entry| entry.name.as_os_str())
    }

    pub fn parent(&self, dir: DirId) -> DirId {
        self.up(dir).nth(1).unwrap_or(DirId::ROOT)
    }

    /// This directory, its parent, and so on.
    fn up(&self, dir: DirId) -> impl Iterator<Item = DirId> {
        let parent = |dir: &DirId| self.entries.get(dir).map(|entry| entry.parent);
        std::iter::successors(Some(dir), parent)
    }

    /// The directory of this name and inode number, if it is known. If the number is another, the name was given to another
    /// directory below the mount.
    pub fn known(&self, parent: DirId, name: &OsStr, ino: u64) -> Option<DirId> {
        let dir = self.children.get(&(parent, name.to_owned()))?;
        let same = self.entries.get(dir).is_some_and(|entry| entry.ino == ino);
        same.then_some(*dir)
    }

    /// Adds a directory that is not known yet.
    pub fn add(&mut self, parent: DirId, name: &OsStr, ino: u64, kind: DirKind) -> DirId {
        self.last += 1;
        let dir = DirId(self.last);
        let name = name.to_owned();
        self.children.insert((parent, name.clone()), dir);
        let entry = DirEntry {
            parent,
            name,
            kind,
            ino,
        };
        self.entries.insert(dir, entry);
        dir
    }

    pub fn renamed(&mut self, dir: DirId, parent: DirId, name: &OsStr) {
        if let Some(mut entry) = self.remove(dir) {
            (entry.parent, entry.name) = (parent, name.to_owned());
            self.children.insert((parent, name.to_owned()), dir);
            self.entries.insert(dir, entry);
        }
    }

    /// Answers whether that is a change.
    pub fn set_kind(&mut self, dir: DirId, kind: DirKind) -> bool {
        let entry = self.entries.get_mut(&dir);
        entry.is_some_and(|entry| std::mem::replace(&mut entry.kind, kind) != kind)
    }

    /// This directory and all known ones below, each after its parent.
    pub fn below(&self, top: DirId) -> Vec<DirId> {
        let all = self.entries.keys().copied();
        let mut below: Vec<DirId> = all.filter(|dir| self.is_within(*dir, top)).collect();
        below.sort_by_cached_key(|dir| self.up(*dir).count());
        below
    }

    pub fn removed(&mut self, dir: DirId) {
        self.remove(dir);
    }

    fn remove(&mut self, dir: DirId) -> Option<DirEntry> {
        let entry = self.entries.remove(&dir)?;
        let key = (entry.parent, entry.name.clone());
        if self.children.get(&key) == Some(&dir) {
            self.children.remove(&key);
        }
        Some(entry)
    }

    /// Is `dir` the same as `above`, or below it?
    pub fn is_within(&self, dir: DirId, above: DirId) -> bool {
        self.up(dir).any(|dir| dir == above)
    }

    /// Why a directory is not in the table. Every number up to the last one was a directory's once.
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
