//! The table of regular files that somebody is interested in just now.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::fs::handoff::state::{Content, FileName, HandoffState, RegularFile, broken};
use crate::fs::ids::{DirId, FileId};
use crate::names::StampedName;
use crate::store::local::Area;

/// INVARIANT: `by_name[(f.dir, f.name)]` is `f` for every file `f` that is not gone.
#[derive(Debug, Default)]
pub struct Files {
    files: HashMap<FileId, RegularFile>,
    by_name: HashMap<(DirId, FileName), FileId>,
    /// All that were changed since [`Files::busy`] was asked last, and those that were busy then.
    maybe_busy: HashSet<FileId>,
    /// All new handoffs, and some that were new.
    new: HashSet<FileId>,
    /// When a draft was last left unpublished because publishing it failed.
    pub left: Option<std::time::Instant>,
    /// Incremented whenever a file may have been changed.
    generation: u64,
    last: u64,
}

impl Files {
    pub fn get(&self, id: FileId) -> Option<&RegularFile> {
        self.files.get(&id)
    }

    pub fn get_mut(&mut self, id: FileId) -> Option<&mut RegularFile> {
        self.generation += 1;
        self.maybe_busy.insert(id);
        self.files.get_mut(&id)
    }

    /// As [`Files::known_mut`], to note what no merge depends on.
    pub fn note_mut(&mut self, id: FileId) -> Result<&mut RegularFile> {
        self.maybe_busy.insert(id);
        self.files.get_mut(&id).ok_or_else(|| missing(id))
    }

    /// The file of an id that a node, a handle or a draft holds, so that it must be here.
    ///
    /// # Errors
    ///
    /// EIO, logged, where it is not.
    pub fn known(&self, id: FileId) -> Result<&RegularFile> {
        self.files.get(&id).ok_or_else(|| missing(id))
    }

    /// As [`Files::known`], to change the file.
    pub fn known_mut(&mut self, id: FileId) -> Result<&mut RegularFile> {
        self.get_mut(id).ok_or_else(|| missing(id))
    }

    /// The handoffs that somebody has open for writing, and those with a draft.
    pub fn busy(&mut self) -> impl Iterator<Item = &RegularFile> {
        let files = &self.files;
        let is_busy =
            |file: &RegularFile| file.is_handoff() && (file.writers > 0 || file.draft().is_some());
        self.maybe_busy
            .retain(|id| files.get(id).is_some_and(is_busy));
        self.maybe_busy.iter().filter_map(|id| files.get(id))
    }

    /// The handoff of this name.
    pub fn named(&self, dir: DirId, name: &StampedName) -> Option<FileId> {
        let key = (dir, FileName::Handoff(name.clone()));
        self.by_name.get(&key).copied()
    }

    /// Is this the name of a draft, which the store does not know of yet?
    pub fn is_reserved(&self, dir: DirId, name: &StampedName) -> bool {
        let file = self.named(dir, name).and_then(|id| self.get(id));
        file.is_some_and(RegularFile::is_new)
    }

    /// The ordinary or scratch file of this name.
    pub fn other_named(&self, area: Area, dir: DirId, name: &OsStr) -> Option<FileId> {
        let key = (dir, FileName::Other(area, name.to_owned()));
        self.by_name.get(&key).copied()
    }

    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Another number whenever a file may have been changed.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn iter(&self) -> impl Iterator<Item = (FileId, &RegularFile)> {
        self.files.iter().map(|(id, file)| (*id, file))
    }

    /// The handoffs that are not published yet.
    pub fn drafts(&mut self) -> impl Iterator<Item = &RegularFile> {
        let Files { files, new, .. } = self;
        new.retain(|id| files.get(id).is_some_and(RegularFile::is_new));
        new.iter().filter_map(|id| files.get(id))
    }

    /// A file that was not known so far. `pid` is who made it, `since` when.
    pub fn insert(
        &mut self,
        dir: DirId,
        name: FileName,
        content: Content,
        ino: u64,
        (pid, since): (u32, SystemTime),
    ) -> FileId {
        self.last += 1;
        let id = FileId(self.last);
        if matches!(content, Content::Reserved(_)) {
            self.new.insert(id);
        }
        self.by_name.insert((dir, name.clone()), id);
        self.maybe_busy.insert(id);
        let file = RegularFile {
            dir,
            name,
            content,
            ino,
            view: id.0,
            seen: None,
            writers: 0,
            times: None,
            flushed: None,
            pid,
            since,
            handoff: HandoffState::default(),
        };
        self.files.insert(id, file);
        id
    }

    /// The file of this name, which is stored with this inode number.
    ///
    /// A handoff that was replaced below the mount is still that handoff. Any other file is another one then, and the
    /// old one has no name any more, unless an edit of it is under way.
    pub fn stored(&mut self, dir: DirId, name: FileName, ino: u64) -> FileId {
        let known = self.by_name.get(&(dir, name.clone())).copied();
        if let Some(id) = known
            && let Some(file) = self.files.get_mut(&id)
        {
            if file.ino == ino || file.is_published_by_close() {
                file.ino = ino;
                return id;
            }
            self.gone(id);
        }
        let nobody = (0, SystemTime::UNIX_EPOCH);
        self.insert(dir, name, Content::Stored, ino, nobody)
    }

    /// The file has another name. A file that had this name has none any more.
    pub fn rename(&mut self, id: FileId, dir: DirId, name: FileName) {
        self.generation += 1;
        let key = (dir, name.clone());
        if let Some(old) = self.by_name.get(&key).copied().filter(|old| *old != id)
            && matches!(name, FileName::Other(..))
        {
            self.gone(old);
        }
        self.drop_name(id);
        if let Some(file) = self.files.get_mut(&id) {
            file.dir = dir;
            file.name = name;
            self.by_name.insert(key, id);
        }
    }

    /// The file has no name any more.
    pub fn gone(&mut self, id: FileId) {
        self.generation += 1;
        self.drop_name(id);
        if let Some(file) = self.files.get_mut(&id) {
            file.content = Content::Gone;
        }
    }

    fn drop_name(&mut self, id: FileId) {
        if let Some(file) = self.files.get(&id) {
            let key = (file.dir, file.name.clone());
            if self.by_name.get(&key) == Some(&id) {
                self.by_name.remove(&key);
            }
        }
    }

    /// Forgets a file.
    pub fn remove(&mut self, id: FileId) {
        self.drop_name(id);
        self.files.remove(&id);
    }
}

fn missing(id: FileId) -> Error {
    broken(&format!("{id:?} is not in the table of files"))
}

#[cfg(test)]
mod tests;
