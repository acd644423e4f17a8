//! READDIRPLUS: names together with their attributes, in one answer.
//!
//! This file and `queue/dentry_cache.rs` serve one row of the benchmark, "`ls -l` of 10,000". Without them, and with
//! READDIRPLUS switched off in the adapter, everything works, and the kernel sends a LOOKUP for every name that it lists.
//!
//! The kernel sends READDIRPLUS for the first names of a directory, and for further ones if a process has looked at one of
//! the names. So the first answer has one name of a large directory: a process that only lists gets the others without
//! attributes, and the kernel caches none of them; a process that looks at that one gets the others with theirs.

use std::time::{Duration, SystemTime};

use crate::error::Result;
use crate::fs::handoff::state::Content;
use crate::fs::ids::{DirId, Handle, NodeId};
use crate::fs::inode::listing::{Listed, Listing};
use crate::fs::inode::types::{Attr, Entry, LookedAt};
use crate::fs::queue::dentry_cache::{Kernel, TTL};
use crate::fs::resolve::resolved::Resolved;
use crate::fs::state::{Fs, State};
use crate::names::StampedName;
use crate::store::{Kind, Meta};

/// Smaller directories gain nothing.
const SMALL: usize = 64;

/// How many names are tried in search of one that the kernel may cache.
const TRIED: usize = 16;

impl Fs {
    /// Passes the names from this offset on to `add`, each with the answer to its LOOKUP, until `add` returns false because the
    /// name found no room. Every name but `.` and `..` counts as looked up.
    pub fn readdir_plus(
        &self,
        handle: Handle,
        offset: u64,
        mut add: impl FnMut(LookedAt<'_>) -> bool,
    ) -> Result<()> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let (dir, listing) = self.listed(state, handle, offset)?;
        let ttl = match listing.cacheable && state.nodes.dentries.lock().is_usable() {
            true => TTL,
            false => Duration::ZERO,
        };
        for (next, listed) in listing.from(offset) {
            if offset == 0 && next > listing.first {
                break;
            }
            let is_dot = next <= 2;
            let found = match is_dot {
                true => Some((dot(&listed), Duration::ZERO)),
                false => self.look_at(state, dir, &listed, ttl),
            };
            // The name may have gone since the directory was opened.
            let Some((entry, ttl)) = found else {
                continue;
            };
            if !ttl.is_zero() {
                state.nodes.dentries.lock().handed_out(handle);
            }
            let looked_at = LookedAt {
                name: listed.name,
                entry,
                ttl,
                next,
            };
            if !add(looked_at) {
                if !is_dot {
                    self.uncount(state, entry.node);
                }
                break;
            }
        }
        Ok(())
    }

    /// Gives or takes the way to the kernel, which caches names only while there is one.
    pub fn connect(&self, kernel: Option<Box<dyn Kernel>>) {
        self.lock().nodes.dentries.lock().connect(kernel);
    }

    /// Decides which names the first answer has: `.`, `..`, and in a large directory one that the kernel may cache.
    pub(super) fn choose_first(&self, listing: &mut Listing, state: &mut State, dir: DirId) {
        listing.first = 2;
        // A directory among the names will soon be known to the kernel, which then may cache none.
        listing.cacheable = dir == DirId::ROOT
            && listing.entries.len() > SMALL
            && state.nodes.dentries.lock().is_usable()
            && listing.from(2).all(|(_, it)| it.kind != Kind::Directory);
        if !listing.cacheable {
            return;
        }
        let suits = |(_, listed): (u64, Listed<'_>)| {
            let stamped = StampedName::parse(listed.name);
            stamped.is_some_and(|name| self.idle(state, dir, &listed, &name).is_some())
        };
        let first = listing.from(2).take(TRIED).position(suits);
        if let Some(at) = first {
            listing.entries.swap(2, 2 + at);
            listing.first = 3;
        }
    }

    /// The answer to a LOOKUP of a listed name, which counts as looked up, and how long the kernel may cache the answer.
    fn look_at(
        &self,
        state: &mut State,
        dir: DirId,
        listed: &Listed<'_>,
        ttl: Duration,
    ) -> Option<(Entry, Duration)> {
        if let Some(stamped) = StampedName::parse(listed.name)
            && let Some(meta) = self.idle(state, dir, listed, &stamped)
        {
            let file = state.files.named(dir, &stamped);
            let name = state.queues.queue(dir).key(listed.name).cloned();
            let name = name.unwrap_or_else(|| listed.name.into());
            if let Some(node) = state.nodes.list(dir, &name, meta.ino, file) {
                let ino = meta.ino;
                let attr = Attr { ino, meta };
                return Some((Entry { node, attr }, ttl));
            }
        }
        let mut entry = match state.resolve(dir, listed.name, None).ok()? {
            // A made-up node: the kernel sends a LOOKUP before it uses pending.md.
            Resolved::Pending => Entry {
                node: NodeId(listed.ino),
                attr: Attr::made_up(listed.ino, 0, 0o600, self.ctx.clock.now()),
            },
            object => self.enter(state, dir, listed.name, &object).ok()?,
        };
        // READDIRPLUS must return the inode number it lists. If another node owns that number, answer with that node; the next
        // LOOKUP corrects the entry. Not for directories: a process whose working directory is there would lose it.
        if entry.attr.meta.kind == Kind::File
            && let Some(node) = state.nodes.count(entry.node, entry.attr.meta.ino)
        {
            self.uncount(state, entry.node);
            entry.node = node;
        }
        Some((entry, Duration::ZERO))
    }

    /// Takes back a counted look-up: the node was not handed out after all.
    fn uncount(&self, state: &mut State, node: NodeId) {
        let gone = state.nodes.forget(node, 1);
        state.let_go(gone.as_ref());
    }

    /// stat(2) of a name, if the name is a handoff's that no process has open for writing or edits.
    fn idle(
        &self,
        state: &State,
        dir: DirId,
        listed: &Listed<'_>,
        stamped: &StampedName,
    ) -> Option<Meta> {
        if listed.kind != Kind::File || !state.queues.is_queue(dir) {
            return None;
        }
        let known = state.files.named(dir, stamped);
        let known = known.and_then(|id| state.files.get(id));
        let path = state.queues.path(dir).ok()?;
        let meta = self.ctx.store.stat(&path, listed.name).ok()?;
        // The kernel must ask again for a handoff that expires within the TTL, and for a file with a second name, which may be
        // another handoff.
        let soon = self.ctx.clock.now() + TTL;
        let lasts = stamped.is_pending() || !self.ctx.retention.expired(meta.mtime, soon);
        let idle = known.is_none_or(|file| {
            matches!(file.content, Content::Stored) && file.writers == 0 && file.ino == meta.ino
        });
        (meta.kind == Kind::File && meta.nlink == 1 && lasts && idle).then_some(meta)
    }
}

/// `.` or `..`: the kernel uses nothing but the name.
fn dot(listed: &Listed<'_>) -> Entry {
    let mut attr = Attr::made_up(listed.ino, 0, 0o700, SystemTime::UNIX_EPOCH);
    attr.meta.kind = Kind::Directory;
    Entry {
        node: NodeId(listed.ino),
        attr,
    }
}
