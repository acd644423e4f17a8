//! Directories that the kernel or the index knows.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// A directory, for as long as this program runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub(super) struct DirId(u32);

impl DirId {
    /// The root queue.
    pub(super) const ROOT: DirId = DirId(0);
}

/// What a directory is to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DirKind {
    /// A queue: the root, and every directory that is neither hidden nor a lock nor was there before the first mount.
    Queue,
    /// A hidden or ordinary directory, or one called `*.lock`, and everything below one: passed through as it is (spec 3.6).
    Plain,
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
pub(super) struct Dirs {
    entries: HashMap<DirId, DirEntry>,
    children: HashMap<(DirId, OsString), DirId>,
    last: u32,
}

impl Dirs {
    /// How many are known.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn kind(&self, dir: DirId) -> DirKind {
        self.entries
            .get(&dir)
            .map_or(DirKind::Queue, |entry| entry.kind)
    }

    /// The path from the root queue; the root's is empty. `None` for a directory that is gone.
    pub(super) fn path(&self, dir: DirId) -> Option<PathBuf> {
        let mut names = Vec::new();
        let mut at = dir;
        while at != DirId::ROOT {
            let entry = self.entries.get(&at)?;
            names.push(entry.name.as_os_str());
            at = entry.parent;
        }
        Some(names.iter().rev().collect())
    }

    /// Its name in its parent; `None` for the root, and for a directory that is gone.
    pub(super) fn name(&self, dir: DirId) -> Option<&OsStr> {
        self.entries.get(&dir).map(|entry| entry.name.as_os_str())
    }

    pub(super) fn parent(&self, dir: DirId) -> DirId {
        self.entries
            .get(&dir)
            .map_or(DirId::ROOT, |entry| entry.parent)
    }

    /// The directory of this name whose inode number is `ino`. A directory that was replaced from outside is
    /// another one.
    pub(super) fn enter(&mut self, parent: DirId, name: &OsStr, ino: u64, kind: DirKind) -> DirId {
        let key = (parent, name.to_owned());
        if let Some(dir) = self.children.get(&key)
            && self.entries.get(dir).is_some_and(|entry| entry.ino == ino)
        {
            return *dir;
        }
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

    /// Answers the directories that are of another kind now: this one and all below it, or none.
    pub(super) fn renamed(
        &mut self,
        dir: DirId,
        parent: DirId,
        name: &OsStr,
        kind: DirKind,
    ) -> Vec<DirId> {
        let Some(entry) = self.entries.get_mut(&dir) else {
            return Vec::new();
        };
        let old = (
            entry.parent,
            std::mem::replace(&mut entry.name, name.to_owned()),
        );
        entry.parent = parent;
        let changes = entry.kind != kind;
        if self.children.get(&old) == Some(&dir) {
            self.children.remove(&old);
        }
        self.children.insert((parent, name.to_owned()), dir);
        if !changes {
            return Vec::new();
        }
        let below: Vec<DirId> = self
            .entries
            .keys()
            .copied()
            .filter(|it| self.is_within(*it, dir))
            .collect();
        for dir in &below {
            if let Some(entry) = self.entries.get_mut(dir) {
                entry.kind = kind;
            }
        }
        below
    }

    pub(super) fn removed(&mut self, dir: DirId) {
        if let Some(entry) = self.entries.remove(&dir) {
            let key = (entry.parent, entry.name);
            if self.children.get(&key) == Some(&dir) {
                self.children.remove(&key);
            }
        }
    }

    /// Is `dir` the same as `above`, or below it?
    pub(super) fn is_within(&self, dir: DirId, above: DirId) -> bool {
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

    /// A path of a file in `dir`.
    pub(super) fn join(&self, dir: DirId, name: &OsStr) -> Option<PathBuf> {
        self.path(dir).map(|path| Path::new(&path).join(name))
    }
}
