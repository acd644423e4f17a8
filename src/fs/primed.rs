//! Names that the kernel may use without asking, and what it is told when they change.
//!
//! Nothing is cached by the kernel, with one exception. Who lists a large directory and looks at each name (`ls -l`) is
//! given the names together with what stat(2) says of them, and the kernel believes that for [`TTL`]: the look at it
//! follows at once, and looking each name up would take ten times as long. Such names are *primed*. They are remembered
//! here for longer than the kernel can use them, so that when one comes to mean something else the kernel can be told:
//! before the read that consumed it, or the close that published an edit of it, returns; and right after the answer to
//! what holds the directory's lock in the kernel (rename, unlink), which the kernel needs to be told anything. What
//! others change below the mount is seen after [`TTL`] at most.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::ffi::{OsStr, OsString};
use std::hash::BuildHasher;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::dirs::DirId;
use super::types::NodeId;
use super::{Fs, State};

/// How long the kernel may use what a listing told it. It is looked at within a few milliseconds.
pub const TTL: Duration = Duration::from_millis(100);

/// For at least so long a primed name is remembered. The kernel counts [`TTL`] from when it has taken the answer in,
/// which on a busy machine is later than when it was given.
const REMEMBERED: Duration = Duration::from_secs(2);

/// The primed names, by the hash of each: a name taken for another one costs a message to the kernel and nothing else.
#[derive(Debug, Default)]
pub(super) struct Primed {
    /// Primed since `since`; and whether it was looked up after that, which ends it.
    young: HashMap<u32, bool>,
    /// Primed before, and not long ago.
    old: HashMap<u32, bool>,
    since: Option<Instant>,
    hasher: RandomState,
}

impl Primed {
    pub(super) fn note(&mut self, dir: DirId, name: &OsStr) {
        self.grow_old();
        self.since.get_or_insert_with(Instant::now);
        let hash = self.hash(dir, name);
        self.young.insert(hash, false);
    }

    /// May the kernel still use this name without asking?
    pub(super) fn has(&self, dir: DirId, name: &OsStr) -> bool {
        if self.is_empty() {
            return false;
        }
        let hash = self.hash(dir, name);
        self.young.contains_key(&hash) || self.old.contains_key(&hash)
    }

    /// Is the kernel to be answered ESTALE, on which it asks for the name and does again what it was about to do? Once
    /// only: who holds the file by a descriptor that is not open (O_PATH) has no name to ask for.
    pub(super) fn must_ask(&mut self, dir: DirId, name: &OsStr) -> bool {
        self.get(dir, name)
            .is_some_and(|asked| !mem::replace(asked, true))
    }

    /// The kernel asks for this name. It stays here: its answer and that of a listing may cross on their way.
    pub(super) fn asked(&mut self, dir: DirId, name: &OsStr) {
        if let Some(asked) = self.get(dir, name) {
            *asked = true;
        }
    }

    /// The kernel is told that it may not use this name any more; false where it cannot.
    fn take(&mut self, dir: DirId, name: &OsStr) -> bool {
        if self.is_empty() {
            return false;
        }
        let hash = self.hash(dir, name);
        let young = self.young.remove(&hash).is_some();
        self.old.remove(&hash).is_some() || young
    }

    fn get(&mut self, dir: DirId, name: &OsStr) -> Option<&mut bool> {
        if self.is_empty() {
            return None;
        }
        self.grow_old();
        let hash = self.hash(dir, name);
        self.young.get_mut(&hash).or(self.old.get_mut(&hash))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.since.is_none()
    }

    #[allow(clippy::cast_possible_truncation, reason = "half a hash is one too")]
    fn hash(&self, dir: DirId, name: &OsStr) -> u32 {
        self.hasher.hash_one((dir, name)) as u32
    }

    fn grow_old(&mut self) {
        let age = self.since.map(|since| since.elapsed());
        if age.is_some_and(|age| age >= REMEMBERED) {
            self.old = mem::take(&mut self.young);
            self.since = (!self.old.is_empty()).then(Instant::now);
            if age.is_some_and(|age| age >= 2 * REMEMBERED) {
                self.old = HashMap::new();
                self.since = None;
            }
        }
    }
}

/// A name that the kernel must not use any more without asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stale {
    /// The directory.
    pub parent: NodeId,
    /// The name in it.
    pub name: OsString,
    /// The node that it was: its attributes may have changed.
    pub node: Option<NodeId>,
}

/// What the kernel is still to be told.
#[derive(Debug, Default)]
pub struct Untold {
    names: Mutex<Vec<Stale>>,
    count: AtomicUsize,
}

impl Untold {
    /// Is there nothing that the kernel must be told, or is being told just now?
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Hands over what the kernel must be told; who else asks waits until `tell` is done. Each name counts until it is
    /// [`Untold::told`].
    pub fn take(&self, tell: impl FnOnce(Vec<Stale>)) {
        let mut names = self.names.lock();
        if !names.is_empty() {
            tell(mem::take(&mut *names));
        }
    }

    /// So many names are dealt with.
    pub fn told(&self, count: usize) {
        self.count.fetch_sub(count, Ordering::AcqRel);
    }

    fn push(&self, stale: Stale) {
        self.count.fetch_add(1, Ordering::AcqRel);
        self.names.lock().push(stale);
    }
}

impl Fs {
    /// What the kernel is to be told. To be asked for after every request.
    pub fn untold(&self) -> &Arc<Untold> {
        &self.untold
    }

    /// What this name means, or what stat(2) says of it, has changed or is about to. `ino` is that of the file that it was.
    pub(super) fn outdated(&self, state: &mut State, dir: DirId, name: &OsStr, ino: Option<u64>) {
        if !state.nodes.primed.take(dir, name) {
            return;
        }
        // A directory that the kernel does not know has no names there.
        let Some(parent) = state.nodes.of_dir(dir) else {
            return;
        };
        self.untold.push(Stale {
            parent,
            name: name.to_owned(),
            node: ino.and_then(NodeId::of_file),
        });
    }
}
