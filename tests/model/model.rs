//! The contract restated: what a handful of sessions should find, as plain data. It knows nothing of nodes, drafts'
//! files, locks or the kernel. Sections are those of the contract.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::time::SystemTime;

use handoff_fs::names::{self, StampedName};

use crate::ops::{Session, Who};

pub type Id = usize;
pub type Ino = usize;

/// A directory and a name in it.
pub type At = (String, String);

/// What a reader consumed, under the names it got, and when.
pub type Taken = (Who, SystemTime, Vec<(Id, StampedName)>);

/// What became of a name that a process unlinked or renamed away (4.5).
#[derive(Clone, Debug)]
pub enum Vacated {
    Retracted(Id),
    BackedUp(StampedName),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// Being written for the first time.
    New {
        modified: bool,
    },
    Stored,
    /// An edit goes on: others see the old content (4.4).
    Editing {
        draft: Ino,
        modified: bool,
    },
    Gone,
}

#[derive(Clone, Debug)]
pub struct Handoff {
    pub queue: String,
    pub name: StampedName,
    /// Not yet seen which suffix it was given (3.3).
    pub unsettled: bool,
    pub content: Content,
    pub ino: Ino,
    pub writers: u32,
    /// The week in which its mtime is.
    pub week: u32,
    pub read_by: HashSet<Who>,
    /// It began as a copy of this one: if nothing is written its alias goes back.
    pub copy_of: Option<Id>,
    pub from_pending: bool,
    pub retracted: bool,
    /// Who made it with O_EXCL.
    pub maker: Option<Who>,
    /// Its session has opened another one under its alias.
    pub superseded: bool,
    /// Flushed since it was last written or opened to be written: its RELEASE may be on its way.
    pub flushed: bool,
}

#[derive(Clone, Debug)]
pub struct Plain {
    /// Whose it is, where each session has its own (4.6).
    pub owner: Option<Session>,
    pub scratch: bool,
    pub ino: Ino,
}

#[derive(Clone, Copy, Debug)]
pub enum Target {
    Handoff(Id),
    Plain,
}

#[derive(Clone, Debug)]
pub struct Open {
    pub target: Target,
    pub ino: Ino,
    pub write: bool,
    pub append: bool,
    pub offset: usize,
    /// A close of it sends FLUSH.
    pub flush: bool,
    /// Written since its last FLUSH.
    pub dirty: bool,
    pub descriptors: u32,
}

#[derive(Clone, Default, Debug)]
pub struct Inode {
    pub bytes: Vec<u8>,
    /// Counts changes.
    pub version: u64,
    /// Contents whose writers were told that they are safe.
    pub acknowledged: Vec<Vec<u8>>,
}

/// What a name means to a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Object {
    Missing,
    Handoff { id: Id, own: bool },
    Plain,
    Pending,
}

#[derive(Debug)]
pub struct Model {
    pub now: SystemTime,
    pub week: u32,
    pub queues: BTreeSet<String>,
    pub handoffs: Vec<Handoff>,
    /// The last of a name is the one that those read who have none of their own.
    pub plain: BTreeMap<At, Vec<Plain>>,
    pub inodes: Vec<Inode>,
    pub written: BTreeMap<(Session, At), Id>,
    /// The pending name of what a session consumed (6.6), and what that is called now.
    pub consumed: BTreeMap<(Session, At), (Id, StampedName)>,
    pub vacated: Vec<(Who, At, Vacated)>,
    /// Agents that use `pending.md` as one file for both, and what they took lately (4.7).
    pub single_file: HashSet<Who>,
    pub recent: Vec<Taken>,
    pub opens: HashMap<usize, Open>,
    pub last: usize,
}

impl Model {
    pub fn new(now: SystemTime) -> Model {
        Model {
            now,
            week: 0,
            queues: [String::new()].into(),
            handoffs: Vec::new(),
            plain: BTreeMap::new(),
            inodes: Vec::new(),
            written: BTreeMap::new(),
            consumed: BTreeMap::new(),
            vacated: Vec::new(),
            single_file: HashSet::new(),
            recent: Vec::new(),
            opens: HashMap::new(),
            last: 0,
        }
    }

    // What is there.

    /// Listed, and found by a look-up (7.1).
    pub fn is_visible(&self, handoff: &Handoff) -> bool {
        let stored = !matches!(handoff.content, Content::New { .. });
        let expired = stored && !handoff.name.is_pending() && self.week > handoff.week;
        handoff.content != Content::Gone && !expired
    }

    pub fn visible(&self) -> impl Iterator<Item = (Id, &Handoff)> {
        let all = self.handoffs.iter().enumerate();
        all.filter(|(_, handoff)| self.is_visible(handoff))
    }

    pub fn named(&self, queue: &str, name: &StampedName) -> Option<Id> {
        self.visible()
            .find(|(_, it)| it.queue == queue && it.name == *name)
            .map(|(id, _)| id)
    }

    /// The file that a view of a handoff shows: who edits it sees the new one, everybody else the old (4.4).
    pub fn seen(&self, id: Id, own: bool) -> Ino {
        match self.handoffs[id].content {
            Content::Editing { draft, .. } if own => draft,
            _ => self.handoffs[id].ino,
        }
    }

    pub fn resolve(&self, session: Session, (queue, name): &At) -> Object {
        if name == names::PENDING {
            return Object::Pending;
        }
        let exact = StampedName::parse(OsStr::new(name));
        if let Some(id) = exact.and_then(|name| self.named(queue, &name)) {
            return Object::Handoff { id, own: false };
        }
        let key = (session, (queue.clone(), name.clone()));
        let written = self.written.get(&key).copied();
        if let Some(id) = written.filter(|id| self.is_visible(&self.handoffs[*id])) {
            return Object::Handoff { id, own: true };
        }
        let consumed = self.consumed.get(&key);
        if let Some(id) = consumed.and_then(|(_, done)| self.named(queue, done)) {
            return Object::Handoff { id, own: true };
        }
        match self.plain.contains_key(&key.1) {
            true => Object::Plain,
            false => Object::Missing,
        }
    }

    /// The same to who changes it: another session's scratch file is not there (4.6).
    pub fn resolve_own(&self, session: Session, at: &At) -> Object {
        match self.resolve(session, at) {
            Object::Plain if self.own_plain(session, at).is_none() => Object::Missing,
            object => object,
        }
    }

    pub fn own_plain(&self, session: Session, at: &At) -> Option<&Plain> {
        let mut of_name = self.plain.get(at).into_iter().flatten();
        of_name.find(|it| it.owner.is_none_or(|owner| owner == session))
    }

    /// The plain file that a session finds.
    pub fn found_plain(&self, session: Session, at: &At) -> Option<&Plain> {
        let own = self.own_plain(session, at);
        own.or_else(|| self.plain.get(at)?.last())
    }

    /// Gives a plain file a name; answers the one whose place it takes.
    pub fn add_plain(&mut self, at: &At, plain: Plain) -> Option<Plain> {
        let of_name = self.plain.entry(at.clone()).or_default();
        let old = of_name.iter().position(|it| it.owner == plain.owner);
        let old = old.map(|i| of_name.remove(i));
        of_name.push(plain);
        old
    }

    pub fn remove_plain(&mut self, session: Session, at: &At) -> Option<Plain> {
        let owner = self.own_plain(session, at)?.owner;
        let of_name = self.plain.get_mut(at)?;
        let i = of_name.iter().position(|it| it.owner == owner)?;
        let plain = of_name.remove(i);
        if of_name.is_empty() {
            self.plain.remove(at);
        }
        Some(plain)
    }

    pub fn is_within(queue: &str, above: &str) -> bool {
        let rest = queue.strip_prefix(above);
        above.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// What `pending.md` of a queue holds (6.1, 4.2, 4.8).
    pub fn deliverable(&self, queue: &str) -> Vec<Id> {
        self.pending(queue, |id| !self.is_written(id))
    }

    /// What may be in it as well to who only looks: nobody can tell whether its writers are about to close (4.2).
    pub fn closing(&self, queue: &str) -> Vec<Id> {
        self.pending(queue, |id| self.is_written(id) && self.handoffs[id].flushed)
    }

    /// May what others see of it be changed by a file that is open? An edit leaves it whole until it is done (4.4).
    fn is_written(&self, id: Id) -> bool {
        let edits = |open: &Open| match self.handoffs[id].content {
            Content::Editing { draft, .. } => open.ino == draft,
            _ => false,
        };
        self.opens.values().any(|open| {
            let same = matches!(open.target, Target::Handoff(of) if of == id);
            open.write && same && !edits(open)
        })
    }

    fn pending(&self, queue: &str, written: impl Fn(Id) -> bool) -> Vec<Id> {
        let ready = |id: Id, it: &Handoff| {
            let stored = !matches!(it.content, Content::New { .. } | Content::Gone);
            stored && written(id) && it.name.is_pending() && !self.inodes[it.ino].bytes.is_empty()
        };
        self.visible()
            .filter(|(id, it)| Model::is_within(&it.queue, queue) && ready(*id, it))
            .map(|(id, _)| id)
            .collect()
    }
}
