//! Nodes for what was found, and their attributes.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::handoff::state::Content;
use crate::fs::ids::{DirId, FIRST_VIEW, FileId, NodeId};
use crate::fs::inode::table::NodeTarget;
use crate::fs::inode::types::{Attr, Entry, VIRTUAL_INO};
use crate::fs::queue::dirs::Place;
use crate::fs::resolve::resolved::Resolved;
use crate::fs::state::State;
use crate::names::StampedName;
use crate::store::dirfd::stat_file;
use crate::store::local::Area;

/// A handoff has another inode number under an alias than under its stamped name: mv refuses to rename one name to another
/// of «the same file» (spec 6.6). The number stays when a write puts a new handoff behind the alias, because vim refuses
/// to write a file whose number has changed.
const OWN_VIEW: u64 = FIRST_VIEW;

impl State {
    /// The directory that a node stands for.
    pub fn dir(&self, id: NodeId) -> Result<DirId> {
        if id == NodeId::ROOT {
            return Ok(DirId::ROOT);
        }
        match &self.nodes.get(id).ok_or(Error::Stale)?.what {
            NodeTarget::Dir(dir) => Ok(*dir),
            _ => Err(Error::NotDirectory),
        }
    }

    /// What a node stands for. A handoff that was only listed so far enters the table of files.
    pub fn known(&mut self, id: NodeId) -> Result<NodeTarget> {
        if id == NodeId::ROOT {
            return Ok(NodeTarget::Dir(DirId::ROOT));
        }
        if let Some(node) = self.nodes.get(id) {
            return Ok(node.what.clone());
        }
        let (dir, name) = self.nodes.listed(id).ok_or(Error::Stale)?;
        let name = StampedName::parse(name).ok_or(Error::Stale)?;
        // The handoff may have been consumed since, and a descriptor of O_PATH still stands for it.
        for name in [name.clone(), name.consumed(), name.pending()] {
            let found = self.resolve(dir, &name.to_os_string(), None);
            let Ok(Resolved::Handoff { doc: file, .. }) = found else {
                continue;
            };
            let what = self.view(file, None)?;
            if let NodeTarget::File { ino, .. } = what
                && NodeId::of_file(ino) == Some(id)
            {
                self.nodes.known_as(id, what.clone());
                return Ok(what);
            }
            self.handoffs().let_go_file(file);
        }
        Err(Error::Stale)
    }

    /// What a node of this file stands for, under an alias or under the file's own name.
    pub fn view(&self, id: FileId, alias: Option<Place<'_>>) -> Result<NodeTarget> {
        Ok(NodeTarget::File {
            file: id,
            ino: self.files.known(id)?.ino_seen(alias.is_some()),
            alias: alias.map(|alias| Arc::new((alias.dir, alias.name.to_owned()))),
        })
    }

    /// A node for a target that was found at this place, counted as looked up once.
    pub fn enter_target(&mut self, place: Place<'_>, what: NodeTarget) -> Result<Entry> {
        let attr = self.attr_of(&what)?;
        let node = match &what {
            NodeTarget::Dir(_) | NodeTarget::File { alias: None, .. } => {
                let name = (place.dir, place.name);
                self.nodes.look_up_file(what, attr.meta.ino, name)
            }
            _ => self.nodes.look_up(what),
        };
        Ok(Entry { node, attr })
    }

    /// A node for a handoff under an alias.
    pub fn enter_alias(&mut self, id: FileId, alias: Place<'_>) -> Result<Entry> {
        let what = self.view(id, Some(alias))?;
        self.enter_target(alias, what)
    }

    /// A node for the draft of an edit, under its file's own name.
    pub fn enter_edit(&mut self, id: FileId) -> Result<Entry> {
        let file = self.files.known(id)?;
        let what = NodeTarget::File {
            file: id,
            alias: None,
            ino: file.ino_seen(true),
        };
        let (dir, name) = (file.dir, file.name.to_os_string());
        self.enter_target(Place { dir, name: &name }, what)
    }

    /// The attributes of what a node stands for.
    pub fn attr_of(&self, what: &NodeTarget) -> Result<Attr> {
        let meta = match what {
            NodeTarget::Dir(DirId::ROOT) => {
                stat_file(self.ctx.local.dir(Area::Backing, Path::new(""))?)?
            }
            NodeTarget::Dir(dir) => {
                // stat(2) by name, because opening the directory needs the right to read it.
                let name = self.queues.dirs.name(*dir).ok_or(Error::NotFound)?;
                let above = self.queues.path(self.queues.dirs.parent(*dir))?;
                self.ctx.local.stat(Area::Backing, &above, name)?
            }
            NodeTarget::File { file, ino, .. } => {
                self.files.known(*file)?.stat_seen(&self.queues, *ino)?
            }
            NodeTarget::Merge { plan, peek } => return Ok(Attr::of_merge(plan, *peek)),
            NodeTarget::Status(bytes) => {
                let (size, now) = (bytes.len() as u64, self.ctx.clock.now());
                return Ok(Attr::made_up(VIRTUAL_INO, size, 0o400, now));
            }
        };
        Ok(Attr {
            ino: self.ino_of(what, meta.ino),
            meta,
        })
    }

    /// The inode number that stat(2) shows of a file below that has the number `ino`.
    pub fn ino_of(&self, what: &NodeTarget, ino: u64) -> u64 {
        let NodeTarget::File {
            file,
            alias,
            ino: viewed,
        } = what
        else {
            return ino;
        };
        let Some(file) = self.files.get(*file) else {
            return ino;
        };
        if alias.is_some() {
            return OWN_VIEW | file.view;
        }
        // During an edit, stat(2) shows the stored file's inode number: editors refuse to write if the number has changed
        // since they looked.
        let edited = matches!(&file.content, Content::Editing(draft) if draft.ino == *viewed);
        file.seen.unwrap_or(if edited { file.ino } else { ino })
    }

    /// Forgets the file that a node stood for, unless something else refers to the file.
    pub fn let_go(&mut self, what: Option<&NodeTarget>) {
        if let Some(NodeTarget::File { file, .. }) = what {
            self.handoffs().let_go_file(*file);
        }
    }
}
