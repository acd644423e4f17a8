//! Attributes of nodes, and letting go of what they stood for.

use std::path::Path;

use crate::error::{Error, Result};
use crate::fs::handoff::state::Content;
use crate::fs::ids::{DirId, DocId, FIRST_VIEW, NodeId};
use crate::fs::inode::table::NodeTarget;
use crate::fs::inode::types::Attr;
use crate::fs::pending::snapshot::VIRTUAL_INO;
use crate::fs::resolve::resolved::Resolved;
use crate::fs::{Fs, State};
use crate::names::StampedName;
use crate::store::Meta;
use crate::store::dirfd::stat_file;
use crate::store::local::Area;

/// The inode numbers of a handoff seen through an alias differ from those seen under its stamped name: else mv would
/// refuse to rename the one to the other as «the same file» (spec 6.6). And they stay the same when opening to
/// write puts another file behind the name: vim refuses to write where the file that it opened is not the one that it
/// looked at.
const OWN_VIEW: u64 = FIRST_VIEW;

impl Fs {
    /// The attributes of a node.
    pub fn getattr(&self, id: NodeId) -> Result<Attr> {
        let mut guard = self.lock();
        let state = &mut *guard;
        if id == NodeId::ROOT {
            return self.attr_of(state, &NodeTarget::Dir(DirId::ROOT));
        }
        let what = self.known(state, id)?;
        if let Some(file) = state.nodes.get(id).and_then(|node| node.file()) {
            let meta = stat_file(&**file)?;
            return Ok(Attr {
                ino: state.ino_of(&what, meta.ino),
                meta,
            });
        }
        self.attr_of(state, &what)
    }

    /// What a node stands for, when something is done with it: what was only listed so far becomes a doc.
    pub(in crate::fs) fn known(&self, state: &mut State, id: NodeId) -> Result<NodeTarget> {
        if let Some(node) = state.nodes.get(id) {
            return Ok(node.what.clone());
        }
        let (dir, name) = state.nodes.listed(id).ok_or(Error::Stale)?;
        let name = StampedName::parse(name).ok_or(Error::Stale)?;
        // Who holds on to it without having opened it (O_PATH) holds the file, also when it was consumed since.
        for name in [name.clone(), name.consumed(), name.pending()] {
            let found = self.resolve(state, dir, &name.to_os_string(), None);
            let Ok(Resolved::Doc { doc, .. }) = found else {
                continue;
            };
            let what = self.view(state, doc, None)?;
            match what {
                NodeTarget::Doc { ino, .. } if NodeId::of_file(ino) == Some(id) => {
                    state.nodes.known_as(id, what.clone());
                    return Ok(what);
                }
                _ => self.let_go_doc(state, doc),
            }
        }
        Err(Error::Stale)
    }

    pub(in crate::fs) fn attr_of(&self, state: &mut State, what: &NodeTarget) -> Result<Attr> {
        let meta = match what {
            NodeTarget::Dir(dir) => match state.dirs.name(*dir) {
                // By its name: a directory that may not be read can be looked at all the same.
                Some(name) => {
                    let above = state
                        .dirs
                        .path(state.dirs.parent(*dir))
                        .ok_or(Error::NotFound)?;
                    self.local.stat(Area::Backing, &above, name)?
                }
                None if *dir == DirId::ROOT => {
                    stat_file(self.local.dir(Area::Backing, Path::new(""))?)?
                }
                None => return Err(Error::NotFound),
            },
            NodeTarget::Doc { doc, ino, .. } => self.doc_meta(state, *doc, *ino)?,
            NodeTarget::Plain(plain) => {
                let plain = state.docs.plain(*plain).ok_or(Error::NotFound)?;
                if plain.gone {
                    return Err(Error::NotFound);
                }
                let path = state.dirs.path(plain.dir).ok_or(Error::NotFound)?;
                self.local.stat(plain.area, &path, &plain.name)?
            }
            NodeTarget::Merge { plan, peek } => return Ok(plan.attr(*peek)),
            NodeTarget::Status(bytes) => {
                return Ok(Attr::made_up(
                    VIRTUAL_INO,
                    bytes.len() as u64,
                    0o400,
                    self.clock.now(),
                ));
            }
        };
        Ok(Attr {
            ino: state.ino_of(what, meta.ino),
            meta,
        })
    }

    /// What stat(2) says of a doc's file with this inode number.
    fn doc_meta(&self, state: &State, id: DocId, ino: u64) -> Result<Meta> {
        let doc = state.docs.get(id).ok_or(Error::NotFound)?;
        if let Some(draft) = doc.draft().filter(|draft| draft.ino == ino) {
            return stat_file(&*draft.file);
        }
        if doc.is_gone() {
            return Err(Error::NotFound);
        }
        let path = state.dirs.path(doc.dir).ok_or(Error::NotFound)?;
        self.store.stat(&path, &doc.name.to_os_string())
    }

    /// The kernel forgets look-ups of a node.
    pub fn forget(&self, id: NodeId, count: u64) {
        let mut guard = self.lock();
        let gone = guard.nodes.forget(id, count);
        self.let_go(&mut guard, gone.as_ref());
    }

    /// Drops what a node stood for, where nothing else refers to it.
    pub(in crate::fs) fn let_go(&self, state: &mut State, what: Option<&NodeTarget>) {
        match what {
            Some(NodeTarget::Doc { doc, .. }) => self.let_go_doc(state, *doc),
            // The kernel looks up twice what it is to open: an edit waits for that.
            Some(NodeTarget::Plain(plain)) if state.docs.edit_mut(*plain).is_none() => {
                state.docs.drop_plain(*plain);
            }
            _ => {}
        }
    }

    pub(in crate::fs) fn let_go_doc(&self, state: &mut State, id: DocId) {
        let idle = state.docs.get(id).is_some_and(|doc| {
            doc.writers == 0
                && match doc.content {
                    Content::Stored => !doc.aliased,
                    Content::Gone => true,
                    Content::New(_) | Content::Editing(_) => false,
                }
        });
        if idle && !state.nodes.has_doc(id) {
            state.docs.drop_doc(id);
        }
    }

    /// A doc's file is under no name any more.
    pub(in crate::fs) fn doc_gone(&self, state: &mut State, id: DocId) {
        state.nodes.detach_doc(id);
        state.docs.gone(id);
        self.let_go_doc(state, id);
    }
}

impl State {
    /// The inode number that stat(2) shows of a file whose own one is `ino`.
    fn ino_of(&self, what: &NodeTarget, ino: u64) -> u64 {
        match what {
            NodeTarget::Doc {
                doc,
                alias: Some(_),
                ..
            } => OWN_VIEW | self.docs.get(*doc).map_or(ino, |doc| doc.view),
            // Editors refuse to write if the file that they opened is not the one that they looked at.
            NodeTarget::Doc {
                doc, ino: viewed, ..
            } => {
                let edit = self.docs.get(*doc).filter(
                    |doc| matches!(&doc.content, Content::Editing(draft) if draft.ino == *viewed),
                );
                edit.map_or(ino, |doc| doc.ino)
            }
            NodeTarget::Plain(plain) => {
                let plain = self.docs.plain(*plain);
                plain.and_then(|plain| plain.seen).unwrap_or(ino)
            }
            _ => ino,
        }
    }
}
