//! The periodic sweep: deletes expired files and forgets sessions that have ended (spec 7.1, 4.3).

use std::collections::HashSet;
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::fs::handoff::state::{Content, RegularFile};
use crate::fs::handoff::table::Files;
use crate::fs::ids::{DirId, FileId};
use crate::fs::state::{Fs, State};
use crate::names::StampedName;
use crate::session::{Process, Session};

/// How many names are checked before other requests get the lock.
const BATCH: usize = 256;

impl Fs {
    /// Deletes expired files, and forgets sessions that have ended. Called at mount, and every half hour.
    pub fn sweep(&self) {
        let (retention, now) = (self.ctx.retention, self.ctx.clock.now());
        for (files, swept) in [
            ("handoffs", self.delete_expired()),
            (
                "replaced versions and removed handoffs",
                self.ctx.local.sweep(retention, now),
            ),
            ("scratch files", self.sweep_scratch()),
        ] {
            if let Err(error) = swept {
                log::warn!(
                    "expired {files} could not all be deleted ({error}); the next sweep tries again"
                );
            }
        }
        self.forget_sessions();
    }

    fn delete_expired(&self) -> Result<()> {
        let queues = self.lock().queues.queues_below(DirId::ROOT)?;
        for dir in queues {
            // In batches: other requests must not wait for a hundred thousand names.
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
                    // The cache may have no more than the name: then only stat(2) can tell.
                    let may_be_expired = known.is_none_or(|known| {
                        (!stamped.is_pending() || known.size == 0)
                            && self
                                .ctx
                                .retention
                                .expired(known.mtime, self.ctx.clock.now())
                    });
                    if !may_be_expired {
                        continue;
                    }
                    match self.expire_one(&mut self.lock(), dir, &stamped) {
                        Ok(()) | Err(Error::NotFound) => {}
                        // The sweep goes on with the other files.
                        Err(error) => log::warn!(
                            "{}: has expired and cannot be deleted ({error}); the next sweep tries again",
                            path.join(&*name).display()
                        ),
                    }
                }
            }
        }
        let mut state = self.lock();
        state.drop_expired_replays();
        self.publish_left(&mut state);
        Ok(())
    }

    /// Deletes a handoff if it has expired. Its mtime may have been set since the cache was filled.
    fn expire_one(&self, state: &mut State, dir: DirId, name: &StampedName) -> Result<()> {
        let path = state.queues.path(dir)?;
        let file = name.to_os_string();
        let meta = self.ctx.store.stat(&path, &file)?;
        if state.files.may_delete(&state.queues, dir, name, &meta)? {
            self.pin_file(state, &path, &file);
            self.ctx.store.remove(&path, &file)?;
            state.queues.changed(dir, &file);
        }
        Ok(())
    }

    /// Forgets sessions and readers that have ended, and files that no node, handle or alias needs any more.
    fn forget_sessions(&self) {
        let (sessions, agents) = {
            let mut state = self.lock();
            let looks = &mut state.readers.second_looks;
            looks.drop_expired(self.ctx.clock.monotonic());
            let mut sessions: Vec<Session> = looks.sessions().cloned().collect();
            sessions.extend(state.aliases.sessions());
            (sessions, state.single_file.agents())
        };
        // Reading /proc takes long, so the lock is not held. The next sweep covers sessions that begin meanwhile.
        let ended = |session: &Session| !self.resolver.session_alive(session);
        let ended: HashSet<Session> = sessions.into_iter().filter(ended).collect();
        let dead = |agent: &Process| !self.resolver.is_alive(*agent);
        let dead: HashSet<Process> = agents.into_iter().filter(dead).collect();
        self.resolver.forget_dead();
        let mut guard = self.lock();
        let state = &mut *guard;
        state.queues.take_changes();
        state.readers.forget_missing(Instant::now());
        // A session named by HANDOFF_SESSION never ends, so its aliases go once their handoffs have expired.
        let queues = &state.queues;
        let is_gone = |file: &RegularFile| {
            matches!(file.content, Content::Stored)
                && file.writers == 0
                && file
                    .stamped_if_handoff()
                    .is_some_and(|name| queues.lacks(file.dir, name))
        };
        for id in ids(&state.files, is_gone) {
            state.handoffs().file_gone(id);
        }
        let (files, queues) = (&state.files, &state.queues);
        state.aliases.sweep(
            |session| !ended.contains(session),
            |id| files.get(id).is_some_and(|file| !file.is_gone()),
            |dir, done| !queues.lacks(dir, done),
        );
        let looks = &mut state.readers.second_looks;
        looks.keep_sessions(|session| !ended.contains(session));
        state.single_file.forget(&dead);
        let aliased = state.aliases.files();
        let may_be_idle =
            |file: &RegularFile| matches!(file.content, Content::Stored | Content::Gone);
        for id in ids(&state.files, may_be_idle) {
            if let Some(file) = state.files.get_mut(id) {
                file.handoff.aliased = aliased.contains(&id);
            }
            state.handoffs().let_go_file(id);
        }
    }
}

/// The files of which this is true.
fn ids(files: &Files, is_wanted: impl Fn(&RegularFile) -> bool) -> Vec<FileId> {
    let wanted = files.iter().filter(|(_, file)| is_wanted(file));
    wanted.map(|(id, _)| id).collect()
}
