//! Nodes: what the kernel knows under a number, until the kernel forgets the number.

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

/// The thing that a node stands for.
#[derive(Clone, Debug)]
pub enum NodeTarget {
    /// A directory.
    Dir(DirId),
    /// The stored file or the draft of a regular file, whichever has this inode number. A handoff is seen through `alias`, or
    /// under its stamped name.
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
    /// Open handles, all of the same file below.
    opens: u32,
    /// The file below, while any handle is open.
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

/// A stored handoff that was listed, and perhaps looked at, and not used otherwise. It gets a [`Node`] when a request uses it.
/// There may be a hundred thousand of them.
#[derive(Debug)]
struct ListedNode {
    dir: DirId,
    lookups: u32,
    /// Shared with the cache of its queue, until the handoff is consumed and has another name there.
    name: Arc<OsStr>,
}

/// INVARIANT: a number is in `nodes` or in `listed`, never in both. A key leads to the one node that a look-up answers.
#[derive(Debug, Default)]
pub struct Nodes {
    nodes: HashMap<NodeId, Node>,
    listed: HashMap<NodeId, ListedNode>,
    by_key: HashMap<Key, NodeId>,
    /// How many nodes stand for each file.
    of_file: HashMap<FileId, usize>,
    pub dentries: Arc<Mutex<DentryCache>>,
    last: u64,
}

/// Nodes whose number is not an inode number are numbered from here on.
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

    /// The node of the thing that a look-up found, counted once more.
    pub fn look_up(&mut self, what: NodeTarget) -> NodeId {
        self.look_up_as(what, None)
    }

    /// The same, for a file below that was found under this name. A new node is numbered by the inode number, unless another
    /// node has that.
    pub fn look_up_file(&mut self, what: NodeTarget, ino: u64, name: (DirId, &OsStr)) -> NodeId {
        let id = NodeId::of_file(ino).filter(|id| match self.listed.get(id) {
            // While the kernel may use a name without asking, the node of that name must not change.
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
        self.insert(id, what, key, 1);
        id
    }

    /// The node of a listed handoff, counted once more; `file` is its entry in the table of files, if it has one. `None` if a
    /// look-up would answer another node than the one with this inode number, or if that node is open: fstat(2) must not answer
    /// the attributes of a listing.
    pub fn list(
        &mut self,
        dir: DirId,
        name: &Arc<OsStr>,
        ino: u64,
        file: Option<FileId>,
    ) -> Option<NodeId> {
        let id = NodeId::of_file(ino)?;
        let known = file.and_then(|file| self.by_key.get(&Key::File(file, None, ino)));
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
            let listed = ListedNode {
                dir,
                lookups: 1,
                name: name.clone(),
            };
            self.listed.insert(id, listed);
        }
        Some(id)
    }

    /// The node whose number is this inode number, counted once more; `None` if there is none, or it is `not`.
    pub fn count(&mut self, not: NodeId, ino: u64) -> Option<NodeId> {
        let id = NodeId::of_file(ino).filter(|id| *id != not)?;
        if let Some(listed) = self.listed.get_mut(&id) {
            listed.lookups += 1;
        } else {
            self.nodes.get_mut(&id)?.lookups += 1;
        }
        Some(id)
    }

    /// The directory and name under which a handoff was listed that has no [`Node`] yet.
    pub fn listed(&self, id: NodeId) -> Option<(DirId, &OsStr)> {
        let listed = self.listed.get(&id)?;
        Some((listed.dir, &listed.name))
    }

    /// A listed handoff is used: it gets a [`Node`]. That is no look-up.
    pub fn known_as(&mut self, id: NodeId, what: NodeTarget) {
        let key = key_of(&what);
        self.insert(id, what, key, 0);
    }

    /// Does the kernel know this directory?
    pub fn knows_dir(&self, dir: DirId) -> bool {
        self.by_key.contains_key(&Key::Dir(dir))
    }

    /// A node that no other look-up answers.
    pub fn look_up_alone(&mut self, what: NodeTarget) -> NodeId {
        let id = self.next_id();
        self.insert(id, what, None, 1);
        id
    }

    fn next_id(&mut self) -> NodeId {
        self.last += 1;
        NodeId(FIRST + self.last)
    }

    /// A new node, which look-ups of `key` answer. The look-ups that were counted while it was only listed are added.
    fn insert(&mut self, id: NodeId, what: NodeTarget, key: Option<Key>, lookups: u64) {
        if let Some(key) = key {
            self.by_key.entry(key).or_insert(id);
        }
        let listed = self.listed.remove(&id).map_or(0, |listed| listed.lookups);
        match &what {
            NodeTarget::File { file, .. } => *self.of_file.entry(*file).or_default() += 1,
            NodeTarget::Dir(_) => self.dentries.lock().directory_known(),
            _ => {}
        }
        let node = Node {
            what,
            lookups: lookups + u64::from(listed),
            opens: 0,
            file: None,
        };
        self.nodes.insert(id, node);
    }

    /// The kernel forgets `count` look-ups. Answers the target of the node if the node is gone now.
    pub fn forget(&mut self, id: NodeId, count: u64) -> Option<NodeTarget> {
        if let Some(listed) = self.listed.get_mut(&id) {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            listed.lookups = listed.lookups.saturating_sub(count);
            if listed.lookups == 0 {
                self.listed.remove(&id);
                // They come and go by the ten thousand.
                if self.listed.len() < self.listed.capacity() / 4 {
                    self.listed.shrink_to_fit();
                }
            }
            return None;
        }
        let node = self.nodes.get_mut(&id)?;
        node.lookups = node.lookups.saturating_sub(count);
        self.drop_unused(id)
    }

    pub fn opened(&mut self, id: NodeId, file: Option<&Arc<File>>) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.opens += 1;
            if let Some(file) = file {
                node.file = Some(file.clone());
            }
        }
    }

    /// A handle is closed. Answers the target of the node if the node is gone now.
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
        let what = self.nodes.remove(&id)?.what;
        if let NodeTarget::Dir(_) = what {
            self.dentries.lock().directory_forgotten();
        }
        self.drop_target(id, &what);
        Some(what)
    }

    /// Makes a node stand for another file. Does nothing and returns false if the node has an open handle.
    pub fn redirect(&mut self, id: NodeId, what: NodeTarget) -> bool {
        let Some(node) = self.nodes.get_mut(&id).filter(|node| !node.is_open()) else {
            return false;
        };
        let key = key_of(&what);
        let old = std::mem::replace(&mut node.what, what);
        self.drop_target(id, &old);
        if let Some(key) = key
            && let Key::File(file, alias, _) = &key
        {
            *self.of_file.entry(*file).or_default() += 1;
            // Look-ups of a name without an alias answer this node from now on.
            if alias.is_none() {
                self.by_key.insert(key, id);
            }
        }
        true
    }

    /// A node does not stand for this any more.
    fn drop_target(&mut self, id: NodeId, what: &NodeTarget) {
        if let NodeTarget::File { file, .. } = what
            && let Some(nodes) = self.of_file.get_mut(file)
        {
            *nodes -= 1;
            if *nodes == 0 {
                self.of_file.remove(file);
            }
        }
        if let Some(key) = key_of(what)
            && self.by_key.get(&key) == Some(&id)
        {
            self.by_key.remove(&key);
        }
    }

    /// Does any node stand for this file?
    pub fn has_file(&self, file: FileId) -> bool {
        self.of_file.contains_key(&file)
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
