//! Nodes: what the kernel knows under a number, until it forgets it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::fs::ids::{DirId, FileId, NodeId};
use crate::fs::queue::dentry_cache::DentryCache;
use crate::fs::queue::snapshot::Plan;

/// A name under which a session finds a handoff.
pub type AliasName = (DirId, OsString);

/// What a node stands for.
#[derive(Clone, Debug)]
pub enum NodeTarget {
    /// A directory.
    Dir(DirId),
    /// The stored file or the draft of a regular file, whichever has this inode number; a handoff as seen under its
    /// stamped name or through an alias.
    File {
        file: FileId,
        alias: Option<Arc<AliasName>>,
        ino: u64,
    },
    /// `pending.md` or `.peek.md` as one look-up found it.
    Merge { plan: Arc<Plan>, peek: bool },
    /// `.status.json` as one look-up found it.
    Status(Arc<[u8]>),
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Key {
    Dir(DirId),
    File(FileId, Option<Arc<AliasName>>, u64),
}

/// A node and its use.
#[derive(Debug)]
pub struct Node {
    pub what: NodeTarget,
    lookups: u64,
    /// Handles that are open, all of them on one file below.
    opens: u32,
    /// That file, while any handle is open.
    file: Option<Arc<File>>,
}

impl Node {
    pub fn is_open(&self) -> bool {
        self.opens > 0
    }

    pub fn file(&self) -> Option<&Arc<File>> {
        self.file.as_ref()
    }
}

/// A stored handoff that was listed, and perhaps looked at, and nothing else. It gets a node of its own when anything is
/// done with it. There may be a hundred thousand of them.
#[derive(Debug)]
struct Listed {
    dir: DirId,
    lookups: u32,
    /// Shared with the cache of its queue, until it is consumed and has another name there.
    name: Arc<OsStr>,
}

/// INVARIANT: no number is both a node's and a listed handoff's. A key leads to the one node that a look-up of it answers;
/// nodes whose file is gone have no key.
#[derive(Debug, Default)]
pub struct Nodes {
    nodes: HashMap<NodeId, Node>,
    listed: HashMap<NodeId, Listed>,
    by_key: HashMap<Key, NodeId>,
    by_file: HashMap<FileId, Vec<NodeId>>,
    pub dentries: Arc<Mutex<DentryCache>>,
    last: u64,
}

/// Nodes that are not called by their inode number are numbered from here on.
const FIRST: u64 = 1 << 63;

impl Nodes {
    pub fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// The regular file that a node stands for now.
    pub fn file(&self, id: NodeId) -> Option<FileId> {
        match self.nodes.get(&id)?.what {
            NodeTarget::File { file, .. } => Some(file),
            _ => None,
        }
    }

    /// The node of what a look-up found, counted once more.
    pub fn look_up(&mut self, what: NodeTarget) -> NodeId {
        self.look_up_as(what, None)
    }

    /// The same, for a file below that was found under this name: its node is called by its inode number, unless that is
    /// another's node.
    pub fn look_up_file(&mut self, what: NodeTarget, ino: u64, name: (DirId, &OsStr)) -> NodeId {
        let id = NodeId::of_file(ino).filter(|id| match self.listed.get(id) {
            // While the kernel may use a name without asking, its node is what that name means.
            Some(old) => {
                !matches!(what, NodeTarget::Dir(_))
                    && ((old.dir, &*old.name) == name || !self.dentries.lock().may_hold_names())
            }
            None => !self.nodes.contains_key(id),
        });
        self.look_up_as(what, id)
    }

    fn look_up_as(&mut self, what: NodeTarget, wanted: Option<NodeId>) -> NodeId {
        let key = key_of(&what);
        if let Some(id) = key.as_ref().and_then(|key| self.by_key.get(key))
            && let Some(node) = self.nodes.get_mut(id)
        {
            node.lookups += 1;
            return *id;
        }
        let id = wanted.unwrap_or_else(|| self.next_id());
        self.insert(id, what);
        if let Some(key) = key {
            self.by_key.insert(key, id);
        }
        id
    }

    /// The node of a listed handoff, counted once more; `doc` is what is known of it. `None` if its look-up would answer
    /// another node than the one that has its inode number, or if that is open: fstat(2) must not use what a listing said.
    pub fn list(
        &mut self,
        dir: DirId,
        name: &Arc<OsStr>,
        ino: u64,
        doc: Option<FileId>,
    ) -> Option<NodeId> {
        let id = NodeId::of_file(ino)?;
        let known = doc.and_then(|doc| self.by_key.get(&Key::File(doc, None, ino)));
        if let Some(node) = self.nodes.get_mut(&id) {
            if known != Some(&id) || node.is_open() {
                return None;
            }
            node.lookups += 1;
        } else if known.is_some() {
            return None;
        } else if let Some(listed) = self.listed.get_mut(&id) {
            if (listed.dir, &listed.name) != (dir, name) {
                if self.dentries.lock().may_hold_names() {
                    return None;
                }
                (listed.dir, listed.name) = (dir, name.clone());
            }
            listed.lookups += 1;
        } else {
            let listed = Listed {
                dir,
                lookups: 1,
                name: name.clone(),
            };
            self.listed.insert(id, listed);
        }
        Some(id)
    }

    /// The node that is called by this inode number counted once more, if that is another one than `not`.
    pub fn count(&mut self, not: NodeId, ino: u64) -> Option<NodeId> {
        let id = NodeId::of_file(ino).filter(|id| *id != not)?;
        if let Some(listed) = self.listed.get_mut(&id) {
            listed.lookups += 1;
        } else {
            self.nodes.get_mut(&id)?.lookups += 1;
        }
        Some(id)
    }

    /// Where a handoff is, or was, that was only listed so far.
    pub fn listed(&self, id: NodeId) -> Option<(DirId, &OsStr)> {
        let listed = self.listed.get(&id)?;
        Some((listed.dir, &listed.name))
    }

    /// What was only listed so far is known to be this.
    pub fn known_as(&mut self, id: NodeId, what: NodeTarget) {
        let key = key_of(&what);
        self.insert(id, what);
        if let Some(node) = self.nodes.get_mut(&id) {
            // Nobody looked it up now.
            node.lookups -= 1;
        }
        if let Some(key) = key {
            self.by_key.entry(key).or_insert(id);
        }
    }

    /// Does the kernel know this directory?
    pub fn knows_dir(&self, dir: DirId) -> bool {
        self.by_key.contains_key(&Key::Dir(dir))
    }

    /// A node that no other look-up of the same thing finds.
    pub fn look_up_alone(&mut self, what: NodeTarget) -> NodeId {
        let id = self.next_id();
        self.insert(id, what);
        id
    }

    fn next_id(&mut self) -> NodeId {
        self.last += 1;
        NodeId(FIRST + self.last)
    }

    /// A node that was looked up once; besides as often as it was listed before.
    fn insert(&mut self, id: NodeId, what: NodeTarget) {
        let listed = self.listed.remove(&id).map_or(0, |listed| listed.lookups);
        match &what {
            NodeTarget::File { file, .. } => self.by_file.entry(*file).or_default().push(id),
            NodeTarget::Dir(_) => self.dentries.lock().directory_known(),
            _ => {}
        }
        self.nodes.insert(
            id,
            Node {
                what,
                lookups: 1 + u64::from(listed),
                opens: 0,
                file: None,
            },
        );
    }

    /// The kernel forgets `count` look-ups; answers what the node stood for if it is gone now.
    pub fn forget(&mut self, id: NodeId, count: u64) -> Option<NodeTarget> {
        if let Some(listed) = self.listed.get_mut(&id) {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            listed.lookups = listed.lookups.saturating_sub(count);
            if listed.lookups == 0 {
                self.drop_listed(id);
            }
            return None;
        }
        let node = self.nodes.get_mut(&id)?;
        node.lookups = node.lookups.saturating_sub(count);
        self.drop_unused(id)
    }

    fn drop_listed(&mut self, id: NodeId) {
        self.listed.remove(&id);
        // They come and go by the ten thousand.
        if self.listed.len() < self.listed.capacity() / 4 {
            self.listed.shrink_to_fit();
        }
    }

    pub fn opened(&mut self, id: NodeId, file: Option<&Arc<File>>) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.opens += 1;
            if let Some(file) = file {
                node.file = Some(file.clone());
            }
        }
    }

    /// A handle is closed; answers what the node stood for if it is gone now.
    pub fn closed(&mut self, id: NodeId) -> Option<NodeTarget> {
        let node = self.nodes.get_mut(&id)?;
        node.opens = node.opens.saturating_sub(1);
        if node.opens == 0 {
            node.file = None;
        }
        self.drop_unused(id)
    }

    fn drop_unused(&mut self, id: NodeId) -> Option<NodeTarget> {
        let node = self.nodes.get(&id)?;
        if node.lookups > 0 || node.opens > 0 {
            return None;
        }
        let node = self.nodes.remove(&id)?;
        if let NodeTarget::Dir(_) = node.what {
            self.dentries.lock().directory_forgotten();
        }
        self.unlist(id, &node.what);
        Some(node.what)
    }

    /// Lets a node that nobody has open stand for something else; false where somebody has.
    pub fn redirect(&mut self, id: NodeId, what: NodeTarget) -> bool {
        let Some(node) = self.nodes.get_mut(&id).filter(|node| !node.is_open()) else {
            return false;
        };
        let (file, key) = match &what {
            // Look-ups of a name without an alias find this node from now on.
            NodeTarget::File { file, alias, .. } => {
                (Some(*file), key_of(&what).filter(|_| alias.is_none()))
            }
            _ => (None, None),
        };
        let old = std::mem::replace(&mut node.what, what);
        self.unlist(id, &old);
        if let Some(file) = file {
            self.by_file.entry(file).or_default().push(id);
        }
        if let Some(key) = key {
            self.by_key.insert(key, id);
        }
        true
    }

    fn unlist(&mut self, id: NodeId, what: &NodeTarget) {
        if let NodeTarget::File { file, .. } = what
            && let Some(nodes) = self.by_file.get_mut(file)
        {
            nodes.retain(|node| *node != id);
            if nodes.is_empty() {
                self.by_file.remove(file);
            }
        }
        if let Some(key) = key_of(what)
            && self.by_key.get(&key) == Some(&id)
        {
            self.by_key.remove(&key);
        }
    }

    /// This file is under no name any more: its nodes are found no more.
    pub fn detach_file(&mut self, file: FileId) {
        for id in self.by_file.get(&file).into_iter().flatten() {
            if let Some(key) = self.nodes.get(id).and_then(|node| key_of(&node.what)) {
                self.by_key.remove(&key);
            }
        }
    }

    /// Does any node stand for this file?
    pub fn has_file(&self, file: FileId) -> bool {
        self.by_file.contains_key(&file)
    }

    /// How many nodes there are besides the root, for tests of leaks.
    pub fn len(&self) -> usize {
        self.nodes.len() + self.listed.len()
    }
}

fn key_of(what: &NodeTarget) -> Option<Key> {
    match what {
        NodeTarget::Dir(dir) => Some(Key::Dir(*dir)),
        NodeTarget::File { file, alias, ino } => Some(Key::File(*file, alias.clone(), *ino)),
        NodeTarget::Merge { .. } | NodeTarget::Status(_) => None,
    }
}
