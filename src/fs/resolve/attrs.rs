//! Attributes of nodes, and letting go of what they stood for.

use std::path::Path;

use crate::error::{Error, Result};
use crate::fs::handoff::state::Content;
use crate::fs::ids::{DirId, FIRST_VIEW, NodeId};
use crate::fs::inode::table::NodeTarget;
use crate::fs::inode::types::Attr;
use crate::fs::inode::types::VIRTUAL_INO;
use crate::fs::resolve::resolved::Resolved;
use crate::fs::state::{Fs, State};
use crate::names::StampedName;
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

    /// What a node stands for, when something is done with it: a handoff that was only listed so far enters the table of files.
    pub(in crate::fs) fn known(&self, state: &mut State, id: NodeId) -> Result<NodeTarget> {
        if id == NodeId::ROOT {
            return Ok(NodeTarget::Dir(DirId::ROOT));
        }
        if let Some(node) = state.nodes.get(id) {
            return Ok(node.what.clone());
        }
        let (dir, name) = state.nodes.listed(id).ok_or(Error::Stale)?;
        let name = StampedName::parse(name).ok_or(Error::Stale)?;
        // A descriptor of O_PATH still stands for the file when that was consumed since.
        for name in [name.clone(), name.consumed(), name.pending()] {
            let found = self.resolve(state, dir, &name.to_os_string(), None);
            let Ok(Resolved::Handoff { doc, .. }) = found else {
                continue;
            };
            let what = self.view(state, doc, None)?;
            match what {
                NodeTarget::File { ino, .. } if NodeId::of_file(ino) == Some(id) => {
                    state.nodes.known_as(id, what.clone());
                    return Ok(what);
                }
                _ => state.handoffs().let_go_file(doc),
            }
        }
        Err(Error::Stale)
    }

    pub(in crate::fs) fn attr_of(&self, state: &mut State, what: &NodeTarget) -> Result<Attr> {
        let meta = match what {
            NodeTarget::Dir(dir) => match state.queues.dirs.name(*dir) {
                // By its name, because stat(2) of a directory needs no right to read that.
                Some(name) => {
                    let above = state.queues.path(state.queues.dirs.parent(*dir))?;
                    self.ctx.local.stat(Area::Backing, &above, name)?
                }
                None if *dir == DirId::ROOT => {
                    stat_file(self.ctx.local.dir(Area::Backing, Path::new(""))?)?
                }
                None => return Err(Error::NotFound),
            },
            NodeTarget::File { file, ino, .. } => {
                state.files.known(*file)?.stat_seen(&state.queues, *ino)?
            }
            NodeTarget::Merge { plan, peek } => return Ok(Attr::of_merge(plan, *peek)),
            NodeTarget::Status(bytes) => {
                return Ok(Attr::made_up(
                    VIRTUAL_INO,
                    bytes.len() as u64,
                    0o400,
                    self.ctx.clock.now(),
                ));
            }
        };
        Ok(Attr {
            ino: state.ino_of(what, meta.ino),
            meta,
        })
    }

    /// The kernel forgets look-ups of a node.
    pub fn forget(&self, id: NodeId, count: u64) {
        let mut guard = self.lock();
        let gone = guard.nodes.forget(id, count);
        self.let_go(&mut guard, gone.as_ref());
    }

    /// Drops what a node stood for, where nothing else refers to it.
    pub(in crate::fs) fn let_go(&self, state: &mut State, what: Option<&NodeTarget>) {
        if let Some(NodeTarget::File { file, .. }) = what {
            state.handoffs().let_go_file(*file);
        }
    }
}

impl State {
    /// The inode number that stat(2) shows of a file whose own one is `ino`.
    fn ino_of(&self, what: &NodeTarget, ino: u64) -> u64 {
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
        // Editors refuse to write if the file that they opened is not the one that they looked at.
        let edited = matches!(&file.content, Content::Editing(draft) if draft.ino == *viewed);
        file.seen.unwrap_or(if edited { file.ino } else { ino })
    }
}
