//! What the contract's reader keeps in mind: documents, each session's names for them, and ordinary files.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use crate::kernel::Fd;
use crate::names::{Kind, Label, PENDING, Stamped, kind};
use crate::ops::{Session, Who};

pub type Id = usize;
/// Bytes that names and open files lead to.
pub type Body = usize;
/// A queue and a name in it.
pub type At = (String, String);
/// A name of files, and whose it is where each session has its own (4.6).
pub type Key = (At, Option<Session>);

/// spec 7.1a
pub const RETENTION: TimeDelta = TimeDelta::days(7);

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum State {
    Pending,
    /// When, unless a write has set the machine's time since.
    Consumed(Option<DateTime<Utc>>),
    Gone,
}

#[derive(Clone, Default, Debug)]
pub struct Doc {
    pub queue: String,
    /// Its name as it was last seen; `None` until it is.
    pub file: Option<String>,
    /// What it may be called.
    pub labels: Vec<Label>,
    /// What may have become of it; one, once it was looked at.
    pub states: Vec<State>,
    pub body: Body,
    /// spec 4.4d: the content that takes the old one's place; was it written, and did the edit of it begin pending?
    pub edit: Option<(Body, bool, bool)>,
    /// Not a draft any more (4.2).
    pub published: bool,
    /// How often its content changed.
    pub changes: u32,
    /// Which processes have read it since (4.4).
    pub readers: BTreeSet<Who>,
    /// Who made it with O_EXCL (4.1).
    pub exclusive: Option<Who>,
    /// When it was written, as its header says.
    pub written: Option<String>,
}

/// An open file description.
#[derive(Clone, Debug)]
pub struct Open {
    pub who: Who,
    pub doc: Option<Id>,
    pub body: Body,
    pub write: bool,
    pub append: bool,
    pub offset: usize,
    /// Written since it was last closed (4.2).
    pub dirty: bool,
    pub descriptors: u32,
}

/// What a name means to a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    Nothing,
    Merge,
    /// Under its stamped name, or under one of the session's own.
    Doc(Id, bool),
    File(Key),
}

#[derive(Default)]
pub struct World {
    pub now: DateTime<Utc>,
    pub queues: BTreeSet<String>,
    pub docs: Vec<Doc>,
    pub bodies: Vec<Vec<u8>>,
    /// The documents that a session named so, the latest last (4.3); also the pending name of what it consumed (6.6).
    pub names: BTreeMap<(Session, At), Vec<Id>>,
    pub files: BTreeMap<Key, Body>,
    pub opens: BTreeMap<Fd, Open>,
    /// What a process unlinked, in case it makes the name anew (4.5).
    pub retracted: BTreeMap<(Who, At), Id>,
    /// Contents whose writers were told that they are safe, and until when each must be found.
    pub promised: Vec<(Vec<u8>, DateTime<Utc>)>,
    /// Every file that was seen in the last look, with its content.
    pub seen: BTreeMap<At, Vec<u8>>,
}

pub fn is_within(queue: &str, above: &str) -> bool {
    let rest = queue.strip_prefix(above);
    above.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|it| it == part)
}

impl Doc {
    pub fn is_pending(&self) -> bool {
        self.states[0] == State::Pending
    }

    pub fn is_consumed(&self) -> bool {
        matches!(self.states[0], State::Consumed(_))
    }

    pub fn is_at(&self, at: &At) -> bool {
        self.queue == at.0 && self.file.as_ref() == Some(&at.1)
    }

    pub fn parsed(&self) -> Option<Stamped> {
        Stamped::parse(self.file.as_deref()?)
    }

    pub fn edited(&self) -> Option<Body> {
        self.edit.map(|edit| edit.0)
    }
}

impl World {
    pub fn body(&mut self, bytes: Vec<u8>) -> Body {
        self.bodies.push(bytes);
        self.bodies.len() - 1
    }

    pub fn is_empty(&self, body: Body) -> bool {
        self.bodies[body].is_empty()
    }

    pub fn add(&mut self, queue: &str, labels: Vec<Label>, body: Body) -> Id {
        let states = vec![State::Pending];
        self.docs.push(Doc {
            queue: queue.to_owned(),
            labels,
            states,
            body,
            ..Doc::default()
        });
        self.docs.len() - 1
    }

    /// spec 3.4a, 4.5e: a stamped name is kept, and tells whether its document is consumed; spec 3.5a: since now.
    pub fn put(&mut self, id: Id, at: &At) {
        let doc = &mut self.docs[id];
        let stamped = Stamped::parse(&at.1).unwrap();
        if doc.is_consumed() && !stamped.done {
            // spec 3.5b: from now on it has its stamp's time.
            doc.written = None;
        }
        doc.states = vec![match doc.states[0] {
            _ if !stamped.done => State::Pending,
            consumed @ State::Consumed(_) => consumed,
            _ => State::Consumed(doc.published.then_some(self.now)),
        }];
        (doc.queue, doc.file) = (at.0.clone(), Some(at.1.clone()));
        doc.labels = vec![stamped.label()];
    }

    /// spec 7.1a: listed, and found by a look-up.
    pub fn is_visible(&self, id: Id) -> bool {
        match self.docs[id].states[0] {
            State::Gone => false,
            State::Consumed(Some(at)) if self.docs[id].published => self.now < at + RETENTION,
            _ => true,
        }
    }

    pub fn visible(&self) -> impl Iterator<Item = Id> {
        (0..self.docs.len()).filter(|id| self.is_visible(*id))
    }

    /// spec 4.3a, 6.6b: stamped names are everybody's, aliases their session's.
    pub fn resolve(&self, who: Who, at: &At) -> Found {
        if at.1 == PENDING {
            return Found::Merge;
        }
        if let Some(id) = self.visible().find(|id| self.docs[*id].is_at(at)) {
            return Found::Doc(id, false);
        }
        match self.named(who, at) {
            Some(id) if self.is_visible(id) => Found::Doc(id, true),
            _ => self
                .file(who.session(), at)
                .map_or(Found::Nothing, Found::File),
        }
    }

    /// What this session wrote, or consumed, under a name.
    pub fn named(&self, who: Who, at: &At) -> Option<Id> {
        self.names
            .get(&(who.session(), at.clone()))?
            .last()
            .copied()
    }

    /// spec 4.6e, 4.6f: the session's own; else one that is everybody's; else, to read it, another's.
    fn file(&self, session: Session, at: &At) -> Option<Key> {
        let rank = |key: &&Key| (key.1 != Some(session), key.1.is_some());
        let all = self.files.keys().filter(|key| key.0 == *at);
        all.min_by_key(rank).cloned()
    }

    /// Whose a file is that is made under this name (4.6).
    pub fn owner(who: Who, at: &At) -> Option<Session> {
        (kind(&at.1) == Kind::Scratch).then_some(who.session())
    }

    /// May this process change the file, or only read it (4.6)?
    pub fn is_foreign(&self, who: Who, found: &Found) -> bool {
        matches!(found, Found::File((_, Some(owner))) if *owner != who.session())
    }

    /// spec 4.4d: who edits finds the new content, everybody else the old.
    pub fn content(&self, id: Id, own: bool) -> Body {
        let doc = &self.docs[id];
        doc.edited().filter(|_| own).unwrap_or(doc.body)
    }

    /// How many open files write this document.
    pub fn writers(&self, id: Id) -> usize {
        let write = |open: &&Open| open.write && open.doc == Some(id);
        self.opens.values().filter(write).count()
    }

    /// Is it open for writing, but for an edit, which leaves it whole until it is done (4.4)?
    pub fn is_written(&self, id: Id) -> bool {
        let edit = self.docs[id].edited();
        let in_place = |open: &Open| open.write && open.doc == Some(id) && Some(open.body) != edit;
        self.opens.values().any(in_place)
    }

    /// What `pending.md` of a queue holds (6.1, 4.8); delivered, or not before its last writer has closed (4.2).
    pub fn pending(&self, queue: &str, delivered: bool) -> Vec<Id> {
        let is = |id: &Id| {
            let doc = &self.docs[*id];
            let whole = doc.published && doc.is_pending() && !self.is_empty(doc.body);
            whole && is_within(&doc.queue, queue) && delivered != self.is_written(*id)
        };
        self.visible().filter(is).collect()
    }

    /// The session finds the document under this name from now on.
    pub fn set_name(&mut self, who: Who, at: &At, id: Id) {
        if self.docs[id].file.as_ref() != Some(&at.1) {
            let ids = self.names.entry((who.session(), at.clone())).or_default();
            ids.retain(|it| *it != id);
            ids.push(id);
        }
    }

    pub fn drop_name(&mut self, who: Who, at: &At) {
        self.names.remove(&(who.session(), at.clone()));
    }

    /// Who has this content open has that document open, or an ordinary file.
    pub fn reopen(&mut self, body: Body, doc: Option<Id>) {
        let of = self.opens.values_mut().filter(|open| open.body == body);
        of.for_each(|open| open.doc = doc);
    }

    /// A writer was told that this is safe.
    pub fn promise(&mut self, body: Body) {
        let until = self.now + RETENTION;
        self.promised.push((self.bodies[body].clone(), until));
    }

    /// Somebody threw this away on purpose: nobody is owed it any more.
    pub fn forgive(&mut self, body: Body) {
        let bytes = &self.bodies[body];
        self.promised.retain(|it| !contains(bytes, &it.0));
    }

    pub fn changed(&mut self, id: Id) {
        let doc = &mut self.docs[id];
        doc.changes += 1;
        doc.readers.clear();
        doc.written = None;
        if doc.is_consumed() {
            doc.states = vec![State::Consumed(None)];
        }
    }
}
