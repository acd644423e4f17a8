//! Other names under which a session finds a handoff (spec 4.3, 6.6).

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};

use crate::fs::ids::{DirId, FileId};
use crate::names::StampedName;
use crate::session::Session;

/// By directory and name: which session means what by the name.
type ByName<T> = HashMap<(DirId, OsString), Vec<(Session, T)>>;

/// The aliases of every session.
#[derive(Debug, Default)]
pub struct Aliases {
    /// Names that the session wrote.
    written: ByName<FileId>,
    /// Pending names of handoffs that the session consumed, with the consumed name.
    consumed: ByName<StampedName>,
}

impl Aliases {
    /// Has any session an alias of this name? Only then does it matter which session asks (spec 5).
    pub fn any(&self, dir: DirId, name: &OsStr) -> bool {
        let key = (dir, name.to_owned());
        self.written.contains_key(&key) || self.consumed.contains_key(&key)
    }

    pub fn written(&self, dir: DirId, name: &OsStr, session: &Session) -> Option<FileId> {
        self.written
            .get(&(dir, name.to_owned()))?
            .iter()
            .find(|(of, _)| of == session)
            .map(|(_, doc)| *doc)
    }

    pub fn consumed(&self, dir: DirId, name: &OsStr, session: &Session) -> Option<&StampedName> {
        self.consumed
            .get(&(dir, name.to_owned()))?
            .iter()
            .find(|(of, _)| of == session)
            .map(|(_, done)| done)
    }

    /// Makes a name lead to a handoff; answers to which one it led before.
    pub fn write(
        &mut self,
        dir: DirId,
        name: &OsStr,
        session: &Session,
        doc: FileId,
    ) -> Option<FileId> {
        let before = self.written(dir, name, session);
        let of_name = self.written.entry((dir, name.to_owned())).or_default();
        of_name.retain(|(of, _)| of != session);
        of_name.push((*session, doc));
        before
    }

    pub fn consume(&mut self, dir: DirId, pending: OsString, session: &Session, done: StampedName) {
        let of_name = self.consumed.entry((dir, pending)).or_default();
        of_name.retain(|(of, _)| of != session);
        of_name.push((*session, done));
    }

    /// Drops what the name means to the session.
    pub fn remove(&mut self, dir: DirId, name: &OsStr, session: &Session) {
        let key = (dir, name.to_owned());
        remove(&mut self.written, &key, session);
        remove(&mut self.consumed, &key, session);
    }

    /// The handoff of this pending name is pending again: its name leads to it without an alias.
    pub fn unconsumed(&mut self, dir: DirId, pending: &OsStr) {
        self.consumed.remove(&(dir, pending.to_owned()));
    }

    /// Makes every alias of one handoff lead to another.
    pub fn retarget(&mut self, from: FileId, to: FileId) {
        for (_, doc) in self.written.values_mut().flatten() {
            if *doc == from {
                *doc = to;
            }
        }
    }

    /// How many aliases there are.
    pub fn len(&self) -> usize {
        let written = self.written.values().map(Vec::len);
        let consumed = self.consumed.values().map(Vec::len);
        written.chain(consumed).sum()
    }

    /// Every handoff to which an alias leads.
    pub fn files(&self) -> HashSet<FileId> {
        self.written
            .values()
            .flatten()
            .map(|(_, doc)| *doc)
            .collect()
    }

    /// Drops the aliases that lead nowhere, and those of sessions that have ended.
    pub fn sweep(
        &mut self,
        alive: impl Fn(&Session) -> bool,
        leads: impl Fn(FileId) -> bool,
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

    /// The sessions that have an alias.
    pub fn sessions(&self) -> Vec<Session> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const DIR: DirId = DirId::ROOT;
    const NAME: &str = "notes.md";

    fn session(name: &str) -> Session {
        let id = name.bytes().fold(0, |id, byte| id << 8 | u64::from(byte));
        Session::Named(id)
    }

    /// spec 4.3a: an alias is its session's own.
    #[test]
    fn each_session_has_its_own() {
        let (mut aliases, name) = (Aliases::default(), OsStr::new(NAME));
        let (a, b) = (session("a"), session("b"));
        assert!(!aliases.any(DIR, name));
        assert_eq!(aliases.write(DIR, name, &a, FileId(1)), None);
        assert_eq!(aliases.write(DIR, name, &b, FileId(2)), None);
        assert_eq!(aliases.write(DIR, name, &a, FileId(3)), Some(FileId(1)));
        assert_eq!(aliases.written(DIR, name, &a), Some(FileId(3)));
        aliases.remove(DIR, name, &a);
        assert_eq!(aliases.written(DIR, name, &a), None);
        assert_eq!(aliases.written(DIR, name, &b), Some(FileId(2)));
        assert!(aliases.any(DIR, name));
    }

    /// spec 6.6a: a handoff that is pending again is found under its own name by everybody.
    #[test]
    fn pending_again() {
        let mut aliases = Aliases::default();
        let name = OsStr::new("2026-01-02_030405_a.md");
        let done = StampedName::parse(name).unwrap().consumed();
        aliases.consume(DIR, name.to_owned(), &session("a"), done.clone());
        assert_eq!(aliases.consumed(DIR, name, &session("a")), Some(&done));
        assert_eq!(aliases.consumed(DIR, name, &session("b")), None);
        aliases.unconsumed(DIR, name);
        assert_eq!(aliases.len(), 0);
    }

    /// spec 4.3d: an alias ends with its session, or with its handoff.
    #[test]
    fn a_sweep_drops_what_leads_nowhere() {
        let (mut aliases, name) = (Aliases::default(), OsStr::new(NAME));
        for (session, doc) in [("ended", 1), ("lives", 2), ("gone", 3)] {
            aliases.write(DIR, name, &self::session(session), FileId(doc));
        }
        let alive = |session: &Session| *session != self::session("ended");
        aliases.sweep(alive, |doc| doc != FileId(3), |_, _| true);
        assert_eq!(aliases.sessions(), [session("lives")]);
        aliases.retarget(FileId(2), FileId(4));
        assert_eq!(aliases.files(), HashSet::from([FileId(4)]));
    }
}
