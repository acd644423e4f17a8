//! Other names under which a session finds a handoff (spec 4.3, 6.6).

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};

use crate::fs::ids::{DirId, DocId};
use crate::names::StampedName;
use crate::session::Session;

/// Sessions by what they own, so that a map can be swept.
type ByName<T> = HashMap<(DirId, OsString), Vec<(Session, T)>>;

/// What each session may call which handoff.
#[derive(Debug, Default)]
pub(in crate::fs) struct Aliases {
    /// A name that the session wrote.
    written: ByName<DocId>,
    /// The pending name of what the session consumed, and what it is called now.
    consumed: ByName<StampedName>,
}

impl Aliases {
    /// Does anybody have an alias of this name? Only then is it worth asking who calls (spec 5).
    pub(in crate::fs) fn any(&self, dir: DirId, name: &OsStr) -> bool {
        let key = (dir, name.to_owned());
        self.written.contains_key(&key) || self.consumed.contains_key(&key)
    }

    pub(in crate::fs) fn written(
        &self,
        dir: DirId,
        name: &OsStr,
        session: &Session,
    ) -> Option<DocId> {
        self.written
            .get(&(dir, name.to_owned()))?
            .iter()
            .find(|(of, _)| of == session)
            .map(|(_, doc)| *doc)
    }

    pub(in crate::fs) fn consumed(
        &self,
        dir: DirId,
        name: &OsStr,
        session: &Session,
    ) -> Option<&StampedName> {
        self.consumed
            .get(&(dir, name.to_owned()))?
            .iter()
            .find(|(of, _)| of == session)
            .map(|(_, done)| done)
    }

    /// Answers what the name led to before.
    pub(in crate::fs) fn write(
        &mut self,
        dir: DirId,
        name: &OsStr,
        session: &Session,
        doc: DocId,
    ) -> Option<DocId> {
        let before = self.written(dir, name, session);
        let of_name = self.written.entry((dir, name.to_owned())).or_default();
        of_name.retain(|(of, _)| of != session);
        of_name.push((*session, doc));
        before
    }

    pub(in crate::fs) fn consume(
        &mut self,
        dir: DirId,
        pending: OsString,
        session: &Session,
        done: StampedName,
    ) {
        let of_name = self.consumed.entry((dir, pending)).or_default();
        of_name.retain(|(of, _)| of != session);
        of_name.push((*session, done));
    }

    /// The session's alias is no more.
    pub(in crate::fs) fn remove(&mut self, dir: DirId, name: &OsStr, session: &Session) {
        let key = (dir, name.to_owned());
        remove(&mut self.written, &key, session);
        remove(&mut self.consumed, &key, session);
    }

    /// The handoff of this pending name is pending again: nobody needs another way to it.
    pub(in crate::fs) fn unconsumed(&mut self, dir: DirId, pending: &OsStr) {
        self.consumed.remove(&(dir, pending.to_owned()));
    }

    /// Every alias of the one doc leads to the other from now on.
    pub(in crate::fs) fn retarget(&mut self, from: DocId, to: DocId) {
        for (_, doc) in self.written.values_mut().flatten() {
            if *doc == from {
                *doc = to;
            }
        }
    }

    /// How many there are.
    pub(in crate::fs) fn len(&self) -> usize {
        let written = self.written.values().map(Vec::len);
        let consumed = self.consumed.values().map(Vec::len);
        written.chain(consumed).sum()
    }

    /// Every doc that an alias leads to.
    pub(in crate::fs) fn docs(&self) -> HashSet<DocId> {
        self.written
            .values()
            .flatten()
            .map(|(_, doc)| *doc)
            .collect()
    }

    /// Every alias that does not lead anywhere, or whose session has ended, is dropped.
    pub(in crate::fs) fn sweep(
        &mut self,
        alive: impl Fn(&Session) -> bool,
        leads: impl Fn(DocId) -> bool,
        is_there: impl Fn(DirId, &StampedName) -> bool,
    ) {
        self.written.retain(|_, of_name| {
            of_name.retain(|(session, doc)| alive(session) && leads(*doc));
            !of_name.is_empty()
        });
        self.consumed.retain(|(dir, _), of_name| {
            of_name.retain(|(session, done)| alive(session) && is_there(*dir, done));
            !of_name.is_empty()
        });
    }

    /// The sessions that have any alias.
    pub(in crate::fs) fn sessions(&self) -> Vec<Session> {
        let written = self.written.values().flatten().map(|(session, _)| session);
        let consumed = self.consumed.values().flatten().map(|(session, _)| session);
        let mut sessions: Vec<Session> = written.chain(consumed).cloned().collect();
        sessions.sort();
        sessions.dedup();
        sessions
    }
}

fn remove<T>(names: &mut ByName<T>, key: &(DirId, OsString), session: &Session) {
    if let Some(of_name) = names.get_mut(key) {
        of_name.retain(|(of, _)| of != session);
        if of_name.is_empty() {
            names.remove(key);
        }
    }
}
