//! The table of handoffs and other files that somebody is interested in just now.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::time::SystemTime;

use crate::fs::handoff::state::{Content, Doc, Fate, Origin, Plain, PlainEdit, Version};
use crate::fs::ids::{DirId, DocId, PlainId};
use crate::names::StampedName;
use crate::store::local::Area;

/// INVARIANT: `by_name[(d.dir, d.name)] == d` for every doc that is not gone; `plain_by_name` likewise.
#[derive(Debug, Default)]
pub(in crate::fs) struct Docs {
    docs: HashMap<DocId, Doc>,
    by_name: HashMap<(DirId, StampedName), DocId>,
    /// At least those that somebody writes, and those with a draft: whatever may have been changed since it was last asked.
    maybe_busy: HashSet<DocId>,
    plain: HashMap<PlainId, Plain>,
    plain_by_name: HashMap<(Area, DirId, OsString), PlainId>,
    /// Those that are new, and some that were.
    new: HashSet<DocId>,
    last: u64,
}

impl Docs {
    pub(in crate::fs) fn get(&self, id: DocId) -> Option<&Doc> {
        self.docs.get(&id)
    }

    pub(in crate::fs) fn get_mut(&mut self, id: DocId) -> Option<&mut Doc> {
        self.maybe_busy.insert(id);
        self.docs.get_mut(&id)
    }

    /// Those that somebody has open for writing, and those with a draft. Every doc that ever had an alias may be there
    /// besides.
    pub(in crate::fs) fn busy(&mut self) -> impl Iterator<Item = &Doc> {
        let docs = &self.docs;
        let is_busy = |doc: &Doc| doc.writers > 0 || doc.draft().is_some();
        self.maybe_busy
            .retain(|id| docs.get(id).is_some_and(is_busy));
        self.maybe_busy.iter().filter_map(|id| docs.get(id))
    }

    pub(in crate::fs) fn named(&self, dir: DirId, name: &StampedName) -> Option<DocId> {
        self.by_name.get(&(dir, name.clone())).copied()
    }

    /// How many there are, plain files among them.
    pub(in crate::fs) fn len(&self) -> usize {
        self.docs.len() + self.plain.len()
    }

    pub(in crate::fs) fn iter(&self) -> impl Iterator<Item = (DocId, &Doc)> {
        self.docs.iter().map(|(id, doc)| (*id, doc))
    }

    /// Those that are not published yet.
    pub(in crate::fs) fn drafts(&mut self) -> impl Iterator<Item = &Doc> {
        let Docs { docs, new, .. } = self;
        new.retain(|id| docs.get(id).is_some_and(Doc::is_new));
        new.iter().filter_map(|id| docs.get(id))
    }

    pub(in crate::fs) fn insert(
        &mut self,
        dir: DirId,
        name: StampedName,
        content: Content,
        ino: u64,
        pid: u32,
        since: SystemTime,
    ) -> DocId {
        self.last += 1;
        let id = DocId(self.last);
        if matches!(content, Content::Reserved(_)) {
            self.new.insert(id);
        }
        self.by_name.insert((dir, name.clone()), id);
        self.maybe_busy.insert(id);
        self.docs.insert(
            id,
            Doc {
                dir,
                name,
                content,
                ino,
                view: id.0,
                writers: 0,
                read_by: HashSet::new(),
                aliased: false,
                origin: Origin::Created,
                fate: Fate::Publish,
                written: None,
                maker: None,
                unfinished: false,
                version: Version::Whole,
                rewrites: 0,
                last: None,
                times: None,
                flushed: None,
                pid,
                since,
            },
        );
        id
    }

    /// The doc of a stored file, made if nobody was interested in it so far.
    pub(in crate::fs) fn stored(&mut self, dir: DirId, name: StampedName, ino: u64) -> DocId {
        match self.named(dir, &name) {
            Some(id) => {
                if let Some(doc) = self.docs.get_mut(&id) {
                    doc.ino = ino;
                }
                id
            }
            None => self.insert(dir, name, Content::Stored, ino, 0, SystemTime::UNIX_EPOCH),
        }
    }

    pub(in crate::fs) fn rename(&mut self, id: DocId, dir: DirId, name: StampedName) {
        if let Some(doc) = self.docs.get_mut(&id) {
            let old = (doc.dir, std::mem::replace(&mut doc.name, name.clone()));
            doc.dir = dir;
            if self.by_name.get(&old) == Some(&id) {
                self.by_name.remove(&old);
            }
            self.by_name.insert((dir, name), id);
        }
    }

    /// The doc has no file under a name any more.
    pub(in crate::fs) fn gone(&mut self, id: DocId) {
        if let Some(doc) = self.docs.get_mut(&id) {
            doc.content = Content::Gone;
            let key = (doc.dir, doc.name.clone());
            if self.by_name.get(&key) == Some(&id) {
                self.by_name.remove(&key);
            }
        }
    }

    pub(in crate::fs) fn drop_doc(&mut self, id: DocId) {
        self.gone(id);
        self.docs.remove(&id);
    }

    pub(in crate::fs) fn plain(&self, id: PlainId) -> Option<&Plain> {
        self.plain.get(&id)
    }

    pub(in crate::fs) fn plain_mut(&mut self, id: PlainId) -> Option<&mut Plain> {
        self.plain.get_mut(&id)
    }

    /// The unpublished edit that this plain file is.
    pub(in crate::fs) fn edit_mut(&mut self, id: PlainId) -> Option<&mut PlainEdit> {
        self.plain.get_mut(&id)?.edit.as_mut()
    }

    /// The plain file of this name, if anybody was interested in it.
    pub(in crate::fs) fn plain_named(
        &self,
        area: Area,
        dir: DirId,
        name: &OsStr,
    ) -> Option<PlainId> {
        let key = (area, dir, name.to_owned());
        self.plain_by_name.get(&key).copied()
    }

    /// The plain file of this name whose inode number is `ino`.
    pub(in crate::fs) fn enter_plain(
        &mut self,
        area: Area,
        dir: DirId,
        name: &OsStr,
        ino: u64,
    ) -> PlainId {
        let key = (area, dir, name.to_owned());
        if let Some(id) = self.plain_by_name.get(&key) {
            match self.plain.get(id) {
                Some(plain) if plain.ino == ino => return *id,
                _ => {}
            }
        }
        if let Some(old) = self.plain_by_name.get(&key).copied() {
            self.plain_gone(old);
        }
        self.last += 1;
        let id = PlainId(self.last);
        self.plain_by_name.insert(key, id);
        self.plain.insert(
            id,
            Plain {
                area,
                dir,
                name: name.to_owned(),
                ino,
                seen: None,
                edit: None,
                gone: false,
            },
        );
        id
    }

    pub(in crate::fs) fn plain_renamed(
        &mut self,
        id: PlainId,
        area: Area,
        dir: DirId,
        name: &OsStr,
    ) {
        let key = (area, dir, name.to_owned());
        if let Some(old) = self.plain_by_name.get(&key).copied()
            && old != id
        {
            self.plain_gone(old);
        }
        if let Some(plain) = self.plain.get_mut(&id) {
            self.plain_by_name
                .remove(&(plain.area, plain.dir, std::mem::take(&mut plain.name)));
            plain.area = area;
            plain.dir = dir;
            plain.name = name.to_owned();
            self.plain_by_name.insert(key, id);
        }
    }

    /// The plain file has no name any more; open handles still hold it.
    pub(in crate::fs) fn plain_gone(&mut self, id: PlainId) {
        if let Some(plain) = self.plain.get_mut(&id) {
            plain.gone = true;
            let key = (plain.area, plain.dir, plain.name.clone());
            if self.plain_by_name.get(&key) == Some(&id) {
                self.plain_by_name.remove(&key);
            }
        }
    }

    pub(in crate::fs) fn drop_plain(&mut self, id: PlainId) {
        self.plain_gone(id);
        self.plain.remove(&id);
    }
}
