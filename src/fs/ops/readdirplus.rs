//! Names with their attributes, in one answer (READDIRPLUS).
//!
//! The kernel asks in this way for the first names of a directory, and for more if it has looked at one that it got in
//! this way, or had to look one up. So the first answer has one name of a large directory: who only lists gets the others
//! without attributes, and the kernel caches none of them; who looks at that one gets the others with theirs.

use std::time::{Duration, SystemTime};

use crate::error::Result;
use crate::fs::ids::{DirId, Handle, NodeId};
use crate::fs::inode::dentry_cache::TTL;
use crate::fs::inode::listing::{Listed, Listing};
use crate::fs::inode::types::{Attr, Entry, LookedAt};
use crate::fs::resolve::resolved::Resolved;
use crate::fs::{Fs, State};
use crate::names::StampedName;
use crate::store::{Kind, Meta};

/// Directories with no more names than these are not worth it.
const SMALL: usize = 64;

/// How many names are tried for the first one.
const TRIED: usize = 16;

impl Fs {
    /// Answers names, from this offset on, with what a look-up of each would answer, until `add` answers false: that one
    /// has not found room. Every one is counted as a look-up, but for `.` and `..`.
    pub fn readdir_plus(
        &self,
        handle: Handle,
        offset: u64,
        mut add: impl FnMut(LookedAt<'_>) -> bool,
    ) -> Result<()> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let (dir, listing) = self.listed(state, handle, offset)?;
        let ttl = match listing.cacheable && state.nodes.dentries.is_usable() {
            true => TTL,
            false => Duration::ZERO,
        };
        for (next, listed) in listing.from(offset) {
            if offset == 0 && next > listing.first {
                break;
            }
            let dots = next <= 2;
            let found = if dots {
                Some((dot(&listed), Duration::ZERO))
            } else {
                self.look_at(state, dir, &listed, ttl)
            };
            // It has gone since the directory was opened.
            let Some((entry, ttl)) = found else {
                continue;
            };
            if !ttl.is_zero() {
                state.nodes.dentries.handed_out(handle);
            }
            let looked_at = LookedAt {
                name: listed.name,
                entry,
                ttl,
                next,
            };
            if !add(looked_at) {
                if !dots {
                    let gone = state.nodes.forget(entry.node, 1);
                    self.let_go(state, gone.as_ref());
                }
                break;
            }
        }
        Ok(())
    }

    /// Decides what the first answer has.
    pub(super) fn choose_first(&self, listing: &mut Listing, state: &mut State, dir: DirId) {
        listing.first = 2;
        // A directory among the names will soon be known to the kernel, which then may cache none.
        let directories = || listing.from(2).any(|(_, it)| it.kind == Kind::Directory);
        listing.cacheable = dir == DirId::ROOT
            && listing.entries.len() > SMALL
            && state.nodes.dentries.is_usable()
            && !directories();
        if !listing.cacheable {
            return;
        }
        let suits = |listed: Listed<'_>| {
            let stamped = StampedName::parse(listed.name);
            let meta = stamped.and_then(|name| self.idle(state, dir, &listed, &name));
            meta.is_some()
        };
        let first = listing
            .from(2)
            .take(TRIED)
            .map(|(_, listed)| listed)
            .position(suits);
        if let Some(at) = first {
            listing.entries.swap(2, 2 + at);
            listing.first = 3;
        }
    }

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
            let doc = state.files.named(dir, &stamped);
            let name = state.index.key(dir, listed.name);
            let name = name.unwrap_or_else(|| listed.name.into());
            if let Some(node) = state.nodes.list(dir, &name, meta.ino, doc) {
                let attr = Attr {
                    ino: meta.ino,
                    meta,
                };
                return Some((Entry { node, attr }, ttl));
            }
        }
        let entry = match self.resolve(state, dir, listed.name, None).ok()? {
            // A node of which nothing is known: it is looked up before anything is done with it.
            Resolved::Pending => Entry {
                node: NodeId(listed.ino),
                attr: Attr::made_up(listed.ino, 0, 0o600, self.clock.now()),
            },
            object => {
                let found = self.enter(state, dir, listed.name, &object).ok()?;
                // It has the number that is listed, of which a look-up will tell that it is another's node. Not so a
                // directory, which would be lost to who works in it.
                let of_file = (found.attr.meta.kind == Kind::File)
                    .then(|| state.nodes.count(found.node, found.attr.meta.ino));
                let node = of_file.flatten().unwrap_or(found.node);
                if node != found.node {
                    let gone = state.nodes.forget(found.node, 1);
                    self.let_go(state, gone.as_ref());
                }
                Entry { node, ..found }
            }
        };
        Some((entry, Duration::ZERO))
    }

    /// What stat(2) says of a name, if it is a handoff with which nobody does anything just now.
    fn idle(
        &self,
        state: &State,
        dir: DirId,
        listed: &Listed<'_>,
        stamped: &StampedName,
    ) -> Option<Meta> {
        if listed.kind != Kind::File || !state.is_queue(dir) {
            return None;
        }
        let doc = state.files.named(dir, stamped);
        let doc = doc.and_then(|id| state.files.get(id));
        let path = state.dirs.path(dir)?;
        let meta = self.store.stat(&path, listed.name).ok()?;
        // Not if it expires before the kernel asks again; nor if it has another name, which may be another handoff.
        let soon = self.clock.now() + TTL;
        let lasts = stamped.is_pending() || !self.retention.expired(meta.mtime, soon);
        let idle = doc.is_none_or(|doc| {
            doc.is_stored() && doc.draft().is_none() && doc.writers == 0 && doc.ino == meta.ino
        });
        (meta.kind == Kind::File && meta.nlink == 1 && lasts && idle).then_some(meta)
    }
}

/// The kernel makes nothing of these but the name.
fn dot(listed: &Listed<'_>) -> Entry {
    let mut attr = Attr::made_up(listed.ino, 0, 0o700, SystemTime::UNIX_EPOCH);
    attr.meta.kind = Kind::Directory;
    Entry {
        node: NodeId(listed.ino),
        attr,
    }
}
