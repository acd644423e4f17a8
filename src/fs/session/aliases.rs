//! Other names under which a session finds a handoff (spec 4.3, 6.6).

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};

use crate::fs::ids::{DirId, FileId};
use crate::names::StampedName;
use crate::session::Session;

/// By directory and name: what the name means to each session.
type ByName<T> = HashMap<(DirId, OsString), HashMap<Session, T>>;

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

    /// The handoff that the session wrote under this name.
    pub fn written(&self, dir: DirId, name: &OsStr, session: &Session) -> Option<FileId> {
        let sessions = self.written.get(&(dir, name.to_owned()))?;
        sessions.get(session).copied()
    }

    /// The consumed name of the handoff that the session consumed under this pending name.
    pub fn consumed(&self, dir: DirId, name: &OsStr, session: &Session) -> Option<&StampedName> {
        let sessions = self.consumed.get(&(dir, name.to_owned()))?;
        sessions.get(session)
    }

    /// Makes a name lead to a handoff; returns the handoff to which the name led before.
    pub fn write(
        &mut self,
        dir: DirId,
        name: &OsStr,
        session: &Session,
        file: FileId,
    ) -> Option<FileId> {
        let sessions = self.written.entry((dir, name.to_owned())).or_default();
        sessions.insert(*session, file)
    }

    /// The session has consumed the handoff of this pending name, which is called `done` now.
    pub fn consume(&mut self, dir: DirId, pending: OsString, session: &Session, done: StampedName) {
        let sessions = self.consumed.entry((dir, pending)).or_default();
        sessions.insert(*session, done);
    }

    /// Drops what the name means to the session.
    pub fn remove(&mut self, dir: DirId, name: &OsStr, session: &Session) {
        let key = (dir, name.to_owned());
        remove(&mut self.written, &key, session);
        remove(&mut self.consumed, &key, session);
    }

    /// The handoff of this pending name is pending again: its name leads to the handoff without an alias.
    pub fn unconsumed(&mut self, dir: DirId, pending: &OsStr) {
        self.consumed.remove(&(dir, pending.to_owned()));
    }

    /// Makes every alias of one handoff lead to another.
    pub fn retarget(&mut self, from: FileId, to: FileId) {
        for file in self.written.values_mut().flat_map(HashMap::values_mut) {
            if *file == from {
                *file = to;
            }
        }
    }

    /// How many aliases there are.
    pub fn len(&self) -> usize {
        let written = self.written.values().map(HashMap::len);
        let consumed = self.consumed.values().map(HashMap::len);
        written.chain(consumed).sum()
    }

    /// Every handoff to which an alias leads.
    pub fn files(&self) -> HashSet<FileId> {
        let files = self.written.values().flat_map(HashMap::values);
        files.copied().collect()
    }

    /// Drops the aliases that lead nowhere, and those of sessions that have ended.
    pub fn sweep(
        &mut self,
        alive: impl Fn(&Session) -> bool,
        leads: impl Fn(FileId) -> bool,
        is_there: impl Fn(DirId, &StampedName) -> bool,
    ) {
        self.written.retain(|_, sessions| {
            sessions.retain(|session, file| alive(session) && leads(*file));
            !sessions.is_empty()
        });
        self.consumed.retain(|(dir, _), sessions| {
            sessions.retain(|session, done| alive(session) && is_there(*dir, done));
            !sessions.is_empty()
        });
    }

    /// The sessions that have an alias.
    pub fn sessions(&self) -> HashSet<Session> {
        let written = self.written.values().flat_map(HashMap::keys);
        let consumed = self.consumed.values().flat_map(HashMap::keys);
        written.chain(consumed).copied().collect()
    }
}

fn remove<T>(names: &mut ByName<T>, key: &(DirId, OsString), session: &Session) {
    if let Some(sessions) = names.get_mut(key) {
        sessions.remove(session);
        if sessions.is_empty() {
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
        for (session, file) in [("ended", 1), ("lives", 2), ("gone", 3)] {
            aliases.write(DIR, name, &self::session(session), FileId(file));
        }
        let alive = |session: &Session| *session != self::session("ended");
        aliases.sweep(alive, |file| file != FileId(3), |_, _| true);
        assert_eq!(aliases.sessions(), HashSet::from([session("lives")]));
        aliases.retarget(FileId(2), FileId(4));
        assert_eq!(aliases.files(), HashSet::from([FileId(4)]));
    }
}
