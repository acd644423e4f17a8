//! What time does: expiry, and forgetting sessions that have ended (spec 7.1, 4.3).

use std::collections::HashSet;

use super::dirs::DirId;
use super::docs::{Content, DocId};
use super::{Fs, State};
use crate::error::Result;
use crate::names::StampedName;
use crate::session::Session;
use crate::store::Kind;

impl Fs {
    /// Deletes what has expired and forgets what nobody can ask for any more. Called at mount and hourly.
    pub fn sweep(&self) {
        if let Err(error) = self.expire() {
            log::warn!(
                "expired handoffs could not all be deleted ({error}); the next sweep tries again"
            );
        }
        if let Err(error) = self.local.sweep(self.retention, self.clock.now()) {
            log::warn!(
                "expired scratch files and replaced versions could not all be deleted ({error}); the next sweep tries again"
            );
        }
        self.forget_sessions();
    }

    fn expire(&self) -> Result<()> {
        let queues = self.queues_below(&mut self.lock(), DirId::ROOT)?;
        for dir in queues {
            let mut guard = self.lock();
            let state = &mut *guard;
            let Some(path) = state.dirs.path(dir) else {
                continue;
            };
            let now = self.clock.now();
            let expired: Vec<_> = state
                .index
                .names(dir)
                .filter(|(name, known)| {
                    known.kind == Kind::File
                        && self.retention.expired(known.mtime, now)
                        && StampedName::parse(name).is_some_and(|name| {
                            let unused = |id| state.docs.get(id).is_none_or(|doc| doc.writers == 0);
                            if name.is_pending() {
                                // Not a byte was ever written to it (spec 4.8).
                                known.size == 0 && state.docs.named(dir, &name).is_none_or(unused)
                            } else {
                                true
                            }
                        })
                })
                .map(|(name, _)| name.clone())
                .collect();
            for name in expired {
                // What is deleted was looked at just now: its mtime may have been set meanwhile.
                let meta = self.store.stat(&path, &name)?;
                if self.retention.expired(meta.mtime, now)
                    && self
                        .local
                        .may_delete(&path.join(&name), self.retention, now)
                {
                    self.store.remove(&path, &name)?;
                    self.touch(state, dir, &name);
                }
            }
            self.publish_left(state);
        }
        Ok(())
    }

    /// Drafts that could not be published when they were closed: the disk may have room by now.
    fn publish_left(&self, state: &mut State) {
        let left: Vec<DocId> = state
            .docs
            .iter()
            .filter(|(_, doc)| {
                doc.writers == 0 && !doc.promised && doc.draft().is_some_and(|it| it.modified)
            })
            .map(|(id, _)| id)
            .collect();
        for id in left {
            self.last_writer_gone(state, id);
        }
    }

    fn forget_sessions(&self) {
        // Asking /proc who lives takes a while: without the lock.
        let sessions = self.lock().aliases.sessions();
        let alive: HashSet<Session> = sessions
            .into_iter()
            .filter(|session| self.resolver.session_alive(session))
            .collect();
        self.resolver.forget_dead();
        let mut guard = self.lock();
        let state = &mut *guard;
        let docs = &state.docs;
        state.aliases.sweep(
            |session| alive.contains(session),
            |doc| docs.get(doc).is_some_and(|doc| !doc.is_gone()),
        );
        let lonely: Vec<DocId> = state
            .docs
            .iter()
            .filter(|(id, doc)| {
                doc.aliased
                    && matches!(doc.content, Content::Stored | Content::Gone)
                    && !state.aliases.leads_to(*id)
            })
            .map(|(id, _)| id)
            .collect();
        for id in lonely {
            if let Some(doc) = state.docs.get_mut(id) {
                doc.aliased = false;
            }
            self.let_go_doc(state, id);
        }
        state
            .single_file
            .forget_dead(|process| self.resolver.is_alive(process));
    }
}
