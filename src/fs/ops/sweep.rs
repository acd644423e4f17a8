//! What time does: expiry, and forgetting sessions that have ended (spec 7.1, 4.3).

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::fs::handoff::state::Content;
use crate::fs::ids::{DirId, FileId};
use crate::fs::state::{Fs, State};
use crate::names::StampedName;
use crate::session::{Process, Session};
use crate::store::{Kind, Meta};

/// How many names are looked at in one go.
const BATCH: usize = 256;

impl Fs {
    /// Deletes what has expired and forgets what nobody can ask for any more. Called at mount and hourly.
    pub fn sweep(&self) {
        if let Err(error) = self.expire() {
            log::warn!(
                "expired handoffs could not all be deleted ({error}); the next sweep tries again"
            );
        }
        if let Err(error) = self
            .ctx
            .local
            .sweep(self.ctx.retention, self.ctx.clock.now())
        {
            log::warn!(
                "expired replaced versions and removed handoffs could not all be deleted ({error}); the next sweep tries again"
            );
        }
        if let Err(error) = self.sweep_scratch() {
            log::warn!(
                "expired scratch files could not all be deleted ({error}); the next sweep tries again"
            );
        }
        self.forget_sessions();
    }

    fn expire(&self) -> Result<()> {
        let queues = self.lock().queues.queues_below(DirId::ROOT)?;
        for dir in queues {
            // A few at a time, so that nobody waits while a hundred thousand names are looked at.
            let mut last: Option<Arc<OsStr>> = None;
            loop {
                let (path, batch) = {
                    let state = self.lock();
                    let path = state.queues.path(dir);
                    (path, state.queues.queue(dir).after(last.as_deref(), BATCH))
                };
                let (Ok(path), Some((end, _))) = (path, batch.last()) else {
                    break;
                };
                last = Some(end.clone());
                for (name, known) in batch {
                    let Some(stamped) = StampedName::parse(&name) else {
                        continue;
                    };
                    let (mtime, size) = match known {
                        Some(known) => (known.mtime, known.size),
                        None => match self.ctx.store.stat(&path, &name) {
                            Ok(meta) => (meta.mtime, meta.size),
                            Err(_) => continue,
                        },
                    };
                    let may_go = !stamped.is_pending() || size == 0;
                    if may_go && self.ctx.retention.expired(mtime, self.ctx.clock.now()) {
                        self.expire_one(&mut self.lock(), dir, &name);
                    }
                }
            }
        }
        let mut state = self.lock();
        self.drop_expired_replays(&mut state);
        self.publish_left(&mut state);
        Ok(())
    }

    /// Deletes a handoff that has expired, if it may go.
    fn expire_one(&self, state: &mut State, dir: DirId, name: &OsStr) {
        let (Ok(path), Some(stamped)) = (state.queues.path(dir), StampedName::parse(name)) else {
            return;
        };
        // Its mtime may have been set since it was listed, so it is looked at again.
        let deleted = match self.ctx.store.stat(&path, name) {
            Ok(meta) if self.may_delete(state, dir, &path, &stamped, &meta) => {
                self.pin_file(state, &path, name);
                self.ctx.store.remove(&path, name)
            }
            stat => stat.map(drop),
        };
        match deleted {
            Ok(()) | Err(Error::NotFound) => {}
            // A file that cannot be deleted must not keep the sweep from deleting the others.
            Err(error) => log::warn!(
                "{}: has expired and cannot be deleted ({error}); the next sweep tries again",
                path.join(name).display()
            ),
        }
        state.queues.changed(dir, name);
    }

    /// May handoff-fs delete this file of its own accord? A consumed handoff past its time (spec 7.1) or one without a byte
    /// (4.8), which nobody is writing; never one that the first mount found expired (3.6). Nothing else decides that.
    pub(in crate::fs) fn may_delete(
        &self,
        state: &State,
        dir: DirId,
        queue: &Path,
        name: &StampedName,
        meta: &Meta,
    ) -> bool {
        let known = state
            .files
            .named(dir, name)
            .and_then(|id| state.files.get(id));
        meta.kind == Kind::File
            && (!name.is_pending() || meta.size == 0)
            && known.is_none_or(|doc| doc.writers == 0)
            && self.ctx.retention.expired(meta.mtime, self.ctx.clock.now())
            && !self
                .ctx
                .local
                .found_expired(&queue.join(name.to_os_string()))
    }

    fn forget_sessions(&self) {
        let (sessions, agents) = {
            let mut state = self.lock();
            let looks = &mut state.readers.second_looks;
            looks.drop_expired(self.ctx.clock.monotonic());
            let mut sessions: Vec<Session> = looks.sessions().cloned().collect();
            sessions.extend(state.aliases.sessions());
            (sessions, state.single_file.agents())
        };
        // Reading /proc takes a while, so the lock is not held. Sessions that begin meanwhile are asked about next time.
        let ended = |session: &Session| !self.resolver.session_alive(session);
        let ended: HashSet<Session> = sessions.into_iter().filter(ended).collect();
        let dead: HashSet<Process> = agents
            .into_iter()
            .filter(|agent| !self.resolver.is_alive(*agent))
            .collect();
        self.resolver.forget_dead();
        let mut guard = self.lock();
        let state = &mut *guard;
        state.queues.take_changes();
        state.readers.forget_missing(Instant::now());
        // A session that HANDOFF_SESSION names never ends, but aliases of expired handoffs go.
        let gone: Vec<FileId> = state
            .files
            .iter()
            .filter(|(_, doc)| matches!(doc.content, Content::Stored) && doc.writers == 0)
            .filter(|(_, doc)| {
                let name = doc.stamped_if_handoff();
                name.is_some_and(|name| state.queues.lacks(doc.dir, name))
            })
            .map(|(id, _)| id)
            .collect();
        for id in gone {
            state.handoffs().file_gone(id);
        }
        let (files, index) = (&state.files, &state.queues);
        state.aliases.sweep(
            |session| !ended.contains(session),
            |id| files.get(id).is_some_and(|file| !file.is_gone()),
            |dir, done| !index.lacks(dir, done),
        );
        let looks = &mut state.readers.second_looks;
        looks.keep_sessions(|session| !ended.contains(session));
        state.single_file.forget(&dead);
        let idle: Vec<FileId> = state
            .files
            .iter()
            .filter(|(_, doc)| matches!(doc.content, Content::Stored | Content::Gone))
            .map(|(id, _)| id)
            .collect();
        let aliased = state.aliases.files();
        for id in idle {
            if let Some(doc) = state.files.get_mut(id) {
                doc.handoff.aliased = aliased.contains(&id);
            }
            state.handoffs().let_go_file(id);
        }
    }
}
