//! The table of regular files that have a node, a handle, an alias or a draft.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::time::{Instant, SystemTime};

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
    /// The files that were busy when [`Files::busy`] was last called, and those that may have changed since.
    maybe_busy: HashSet<FileId>,
    /// When publishing a draft last failed at the draft's last close.
    pub left: Option<Instant>,
    /// Incremented whenever a file may have changed.
    generation: u64,
    last: u64,
}

impl Files {
    pub fn get(&self, id: FileId) -> Option<&RegularFile> {
        self.files.get(&id)
    }

    /// As [`Files::get`], to change the file: every cached merge is outdated.
    pub fn get_mut(&mut self, id: FileId) -> Option<&mut RegularFile> {
        self.generation += 1;
        self.maybe_busy.insert(id);
        self.files.get_mut(&id)
    }

    /// As [`Files::known_mut`], for a change on which no merge depends.
    pub fn note_mut(&mut self, id: FileId) -> Result<&mut RegularFile> {
        self.maybe_busy.insert(id);
        self.files.get_mut(&id).ok_or_else(|| missing(id))
    }

    /// The file of an id that a node, a handle or a draft holds.
    ///
    /// # Errors
    ///
    /// EIO, logged, if the table has no such file.
    pub fn known(&self, id: FileId) -> Result<&RegularFile> {
        self.files.get(&id).ok_or_else(|| missing(id))
    }

    /// As [`Files::known`], to change the file.
    pub fn known_mut(&mut self, id: FileId) -> Result<&mut RegularFile> {
        self.get_mut(id).ok_or_else(|| missing(id))
    }

    /// The handoffs that are open for writing, and those with a draft.
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
        self.at(dir, FileName::Handoff(name.clone()))
    }

    /// Is this the name of a new draft, which the store does not have yet?
    pub fn is_reserved(&self, dir: DirId, name: &StampedName) -> bool {
        let file = self.named(dir, name).and_then(|id| self.get(id));
        file.is_some_and(RegularFile::is_new)
    }

    /// The ordinary or scratch file of this name.
    pub fn other_named(&self, area: Area, dir: DirId, name: &OsStr) -> Option<FileId> {
        self.at(dir, FileName::Other(area, name.to_owned()))
    }

    fn at(&self, dir: DirId, name: FileName) -> Option<FileId> {
        self.by_name.get(&(dir, name)).copied()
    }

    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Another number whenever a file may have changed.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn iter(&self) -> impl Iterator<Item = (FileId, &RegularFile)> {
        self.files.iter().map(|(id, file)| (*id, file))
    }

    /// The handoffs that are not published yet.
    pub fn drafts(&mut self) -> impl Iterator<Item = &RegularFile> {
        self.busy().filter(|file| file.is_new())
    }

    /// Adds a file. `pid` is the thread that made it, `since` the time.
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

    /// The stored file with this name and inode number.
    ///
    /// If the file of the name was replaced below the mount, a handoff is still the same handoff, and a file that is being
    /// edited the same file. Any other file is a new one, and the old file is gone.
    pub fn stored(&mut self, dir: DirId, name: FileName, ino: u64) -> FileId {
        if let Some(id) = self.at(dir, name.clone())
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

    /// The file has another name now. An ordinary or scratch file that had this name before is gone.
    pub fn rename(&mut self, id: FileId, dir: DirId, name: FileName) {
        self.generation += 1;
        if matches!(name, FileName::Other(..))
            && let Some(old) = self.at(dir, name.clone()).filter(|old| *old != id)
        {
            self.gone(old);
        }
        self.drop_name(id);
        if let Some(file) = self.files.get_mut(&id) {
            (file.dir, file.name) = (dir, name.clone());
            self.by_name.insert((dir, name), id);
        }
    }

    /// The file has no name any more, but may be open.
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
