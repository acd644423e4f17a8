//! What the contract expects to be there: handoffs, each session's aliases of them, and ordinary files. Where the contract
//! leaves an outcome open, each outcome is kept until the filesystem has been looked at.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::client::Fd;
use crate::names::{Kind, Label, OLD_FILES, PENDING, Stamped, kind, name, queue};
use crate::ops::{Caller, Session};

/// A handoff, by its index.
pub type Id = usize;
/// Bytes that names and open files lead to, by their index.
pub type Content = usize;
/// A file's path, and the session that owns it where each session has its own (4.6f).
pub type Key = (String, Option<Session>);

/// spec 7.1a
pub const RETENTION: TimeDelta = TimeDelta::days(7);

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum State {
    Pending,
    /// When it was consumed, unless a write has set the machine's time since.
    Consumed(Option<DateTime<Utc>>),
    Gone,
}

/// An edit that is not published yet (4.4d).
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    pub content: Content,
    pub is_written: bool,
    pub began_pending: bool,
}

#[derive(Clone, Default, Debug)]
pub struct Handoff {
    pub queue: String,
    /// The path that it was last seen under; `None` until it is seen.
    pub path: Option<String>,
    /// The stamps and slugs that it may have.
    pub labels: Vec<Label>,
    /// The states that it may be in: one, once it was looked at.
    pub states: Vec<State>,
    pub content: Content,
    pub edit: Option<Edit>,
    /// No draft any more.
    pub is_published: bool,
    /// How often its content changed.
    pub changes: u32,
    /// The process that made it with O_EXCL (4.1d).
    pub maker: Option<Caller>,
}

/// An open file description.
#[derive(Clone, Debug)]
pub struct OpenFile {
    pub caller: Caller,
    pub handoff: Option<Id>,
    pub content: Content,
    pub writes: bool,
    pub appends: bool,
    pub offset: usize,
    /// Written, or truncated (4.2a).
    pub is_dirty: bool,
}

/// What a name means to a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    Nothing,
    Merge,
    Handoff(Id),
    /// A handoff under an alias.
    Alias(Id),
    File(Key),
}

#[derive(Default)]
pub struct Expected {
    pub now: DateTime<Utc>,
    pub handoffs: Vec<Handoff>,
    pub contents: Vec<String>,
    /// The handoffs that a written alias leads to, the latest last.
    pub aliases: BTreeMap<(Session, String), Vec<Id>>,
    /// The handoffs that a session consumed, by the names under which it did (6.6b).
    pub consumed: BTreeMap<(Session, String), Id>,
    pub files: BTreeMap<Key, Content>,
    pub open_files: BTreeMap<Fd, OpenFile>,
    /// The aliases that a process unlinked, in case it creates the name again (4.5g).
    pub unlinked: BTreeMap<(Caller, String), Id>,
    /// Contents that writers were told to be safe, and until when each must be found.
    pub acknowledged: Vec<(String, DateTime<Utc>)>,
    /// Every file that was listed at the last look, with its content.
    pub listed: BTreeMap<String, String>,
}

impl Handoff {
    pub fn is_pending(&self) -> bool {
        self.states[0] == State::Pending
    }

    pub fn is_at(&self, path: &str) -> bool {
        self.path.as_deref() == Some(path)
    }

    pub fn stamped(&self) -> Option<Stamped> {
        Stamped::parse(self.path.as_deref()?)
    }
}

impl Target {
    pub fn handoff(&self) -> Option<Id> {
        match self {
            Target::Handoff(id) | Target::Alias(id) => Some(*id),
            _ => None,
        }
    }
}

impl Expected {
    pub fn at_first_mount() -> Expected {
        let mut expected = Expected::default();
        for (path, content) in OLD_FILES {
            let content = expected.content(content.into());
            expected.files.insert((path.to_owned(), None), content);
        }
        expected
    }

    pub fn content(&mut self, text: String) -> Content {
        self.contents.push(text);
        self.contents.len() - 1
    }

    pub fn is_empty(&self, content: Content) -> bool {
        self.contents[content].is_empty()
    }

    pub fn add(&mut self, queue: &str, labels: Vec<Label>, content: Content) -> Id {
        self.handoffs.push(Handoff {
            queue: queue.to_owned(),
            labels,
            states: vec![State::Pending],
            content,
            ..Handoff::default()
        });
        self.handoffs.len() - 1
    }

    /// spec 3.4a, 4.5e: a stamped name is kept, and tells whether its handoff is consumed; spec 3.5a: from now on.
    pub fn set_stamped(&mut self, id: Id, path: &str) {
        let handoff = &mut self.handoffs[id];
        let stamped = Stamped::parse(path).unwrap();
        handoff.states = vec![match handoff.states[0] {
            _ if !stamped.done => State::Pending,
            consumed @ State::Consumed(_) => consumed,
            _ => State::Consumed(handoff.is_published.then_some(self.now)),
        }];
        (handoff.queue, handoff.path) = (queue(path).to_owned(), Some(path.to_owned()));
        handoff.labels = vec![stamped.label()];
        if handoff.is_pending() {
            // spec 6.6a: it is found under its own name again.
            self.consumed
                .retain(|key, consumed| key.1 != path || *consumed != id);
        }
    }

    /// spec 7.1a: listed, and found by a look-up.
    pub fn is_visible(&self, id: Id) -> bool {
        match self.handoffs[id].states[0] {
            State::Gone => false,
            State::Consumed(Some(at)) if self.handoffs[id].is_published => {
                self.now < at + RETENTION
            }
            _ => true,
        }
    }

    pub fn visible(&self) -> impl Iterator<Item = Id> {
        (0..self.handoffs.len()).filter(|id| self.is_visible(*id))
    }

    /// spec 4.3a, 6.6b: stamped names are everybody's, aliases their session's.
    pub fn resolve(&self, caller: Caller, path: &str) -> Target {
        if name(path) == PENDING {
            return Target::Merge;
        }
        if let Some(id) = self.visible().find(|id| self.handoffs[*id].is_at(path)) {
            return Target::Handoff(id);
        }
        let consumed = self.consumed.get(&(caller.session(), path.to_owned()));
        let written = self.alias(caller, path).into_iter();
        let mut aliases = written.chain(consumed.copied());
        if let Some(id) = aliases.find(|id| self.is_visible(*id)) {
            return Target::Alias(id);
        }
        // spec 4.6e, 4.6f: the session's own scratch file; else a shared file; else another session's.
        let mine = |key: &&Key| (key.1 != Some(caller.session()), key.1.is_some());
        let named = self.files.keys().filter(|key| key.0 == path);
        let first = named.min_by_key(mine).cloned();
        first.map_or(Target::Nothing, Target::File)
    }

    pub fn alias(&self, caller: Caller, path: &str) -> Option<Id> {
        let ids = self.aliases.get(&(caller.session(), path.to_owned()))?;
        ids.last().copied()
    }

    pub fn set_alias(&mut self, caller: Caller, path: &str, id: Id) {
        if self.handoffs[id].path.as_deref().map(name) != Some(name(path)) {
            let key = (caller.session(), path.to_owned());
            let ids = self.aliases.entry(key).or_default();
            ids.retain(|old| *old != id);
            ids.push(id);
        }
    }

    pub fn drop_alias(&mut self, caller: Caller, path: &str) {
        let key = (caller.session(), path.to_owned());
        self.aliases.remove(&key);
        self.consumed.remove(&key);
    }

    /// The name of an ordinary file that this caller makes.
    pub fn key(caller: Caller, path: &str) -> Key {
        let owner = (kind(path) == Kind::Scratch).then_some(caller.session());
        (path.to_owned(), owner)
    }

    /// Whether a name leads to another session's scratch file, which this caller can only read (4.6f).
    pub fn is_foreign(&self, caller: Caller, path: &str) -> bool {
        let target = self.resolve(caller, path);
        matches!(target, Target::File((_, Some(owner))) if owner != caller.session())
    }

    /// spec 4.4d: the unpublished content of an edit, which its writers find; everybody else finds the old one.
    pub fn newest(&self, id: Id) -> Content {
        let handoff = &self.handoffs[id];
        handoff.edit.map_or(handoff.content, |edit| edit.content)
    }

    pub fn writers(&self, id: Id) -> usize {
        let writes = |file: &&OpenFile| file.writes && file.handoff == Some(id);
        self.open_files.values().filter(writes).count()
    }

    /// Whether it is open for writing in place; an edit leaves it whole.
    pub fn is_written(&self, id: Id) -> bool {
        let edit = self.handoffs[id].edit.map(|edit| edit.content);
        let mut files = self.open_files.values();
        files.any(|file| file.writes && file.handoff == Some(id) && Some(file.content) != edit)
    }

    /// spec 6.1a, 4.8: what is pending in a queue and below, and has a byte; spec 4.2c: what is `written` is not delivered.
    pub fn pending(&self, queue: &str, written: bool) -> Vec<Id> {
        let is_pending = |id: &Id| {
            let handoff = &self.handoffs[*id];
            let is_whole = handoff.is_published && !self.is_empty(handoff.content);
            let below = format!("{}/", handoff.queue);
            let is_below = queue.is_empty() || below.starts_with(&format!("{queue}/"));
            is_whole && handoff.is_pending() && is_below && written == self.is_written(*id)
        };
        self.visible().filter(is_pending).collect()
    }

    /// The open files of this content become open files of that handoff, or of an ordinary file.
    pub fn reopen(&mut self, content: Content, handoff: Option<Id>) {
        for file in self.open_files.values_mut() {
            if file.content == content {
                file.handoff = handoff;
            }
        }
    }

    /// A writer was told that this content is safe.
    pub fn acknowledge(&mut self, content: Content) {
        let until = self.now + RETENTION;
        let text = self.contents[content].clone();
        self.acknowledged.push((text, until));
    }

    /// Somebody removed this content on purpose, and it was not pending.
    pub fn forgive(&mut self, content: Content) {
        let text = &self.contents[content];
        self.acknowledged.retain(|part| !text.contains(&part.0));
    }

    pub fn changed(&mut self, id: Id) {
        let handoff = &mut self.handoffs[id];
        handoff.changes += 1;
        if let State::Consumed(_) = handoff.states[0] {
            handoff.states = vec![State::Consumed(None)];
        }
    }
}
