//! The model, continued: opening, writing, publishing (4).

use std::collections::HashSet;
use std::ffi::OsStr;
use std::time::Duration;

use handoff_fs::clock::Zone;
use handoff_fs::names::{self, NameClass, Slug, StampedName};

use crate::model::{
    At, Content, Handoff, Id, Ino, Inode, Model, Object, Open, Plain, Target, Vacated,
};
use crate::ops::{Access, Mode, Who};
use crate::sys::Result;

impl Model {
    pub fn inode(&mut self, bytes: Vec<u8>) -> Ino {
        self.inodes.push(Inode {
            bytes,
            ..Inode::default()
        });
        self.inodes.len() - 1
    }

    pub fn add(&mut self, queue: &str, name: StampedName, content: Content, ino: Ino) -> Id {
        self.handoffs.push(Handoff {
            queue: queue.to_owned(),
            name,
            unsettled: false,
            content,
            ino,
            writers: 0,
            week: 0,
            read_by: HashSet::new(),
            copy_of: None,
            from_pending: false,
            retracted: false,
            maker: None,
            superseded: false,
            flushed: false,
        });
        self.handoffs.len() - 1
    }

    pub fn stamped_now(&self, slug: Slug) -> StampedName {
        StampedName::new(Zone::Utc.stamp(self.now), slug)
    }

    fn new_draft(&mut self, queue: &str, name: StampedName, exactly: bool) -> Id {
        let ino = self.inode(Vec::new());
        let id = self.add(queue, name, Content::New { modified: false }, ino);
        self.handoffs[id].unsettled = !exactly;
        id
    }

    pub fn edits(&self, who: Who, id: Id) -> bool {
        let has_read = self.handoffs[id].read_by.contains(&who);
        who == Who::Editor || who == Who::Agent && has_read
    }

    pub fn open(&mut self, who: Who, at: &At, mode: Mode) -> Result<usize> {
        if !self.queues.contains(&at.0) {
            return Err(libc::ENOENT);
        }
        let writes = mode.access != Access::Read;
        let (id, ino) = match self.resolve(who.session(), at) {
            Object::Missing if !mode.create => return Err(libc::ENOENT),
            Object::Missing => match self.create(who, at) {
                Some(id) => {
                    if mode.exclusive && who != Who::Nobody {
                        self.handoffs[id].maker = Some(who);
                    }
                    (id, self.seen(id, true))
                }
                None => {
                    let ino = self.make_plain(who, at, Vec::new());
                    return Ok(self.opened(Target::Plain, ino, mode));
                }
            },
            _ if mode.create && mode.exclusive => return Err(libc::EEXIST),
            Object::Plain => {
                let ino = match writes {
                    true => self.claim(who, at, !mode.truncate && !mode.append),
                    false => self.found_plain(who.session(), at).unwrap().ino,
                };
                if mode.truncate {
                    self.resize(ino, 0);
                    self.inodes[ino].acknowledged.clear();
                }
                return Ok(self.opened(Target::Plain, ino, mode));
            }
            Object::Pending => {
                let id = self.write_pending(who, at, mode);
                (id, self.seen(id, true))
            }
            Object::Handoff { id, own: false } => (id, self.seen(id, false)),
            Object::Handoff { id, own: true } if !writes => {
                if who == Who::Agent {
                    self.handoffs[id].read_by.insert(who);
                }
                (id, self.seen(id, true))
            }
            Object::Handoff { id, own: true } => {
                let id = self.write_alias(who, at, id, mode);
                (id, self.seen(id, true))
            }
        };
        if mode.truncate {
            self.resize(ino, 0);
            let handoff = &mut self.handoffs[id];
            handoff.read_by.clear();
            if handoff.ino == ino {
                handoff.week = 0;
            }
        }
        let fd = self.opened(Target::Handoff(id), ino, mode);
        if writes {
            self.handoffs[id].writers += 1;
            self.handoffs[id].flushed = false;
            let open = self.opens.get_mut(&fd).unwrap();
            open.flush = true;
            open.dirty = mode.truncate && self.handoffs[id].content == Content::Stored;
        }
        Ok(fd)
    }

    fn opened(&mut self, target: Target, ino: Ino, mode: Mode) -> usize {
        self.last += 1;
        let open = Open {
            target,
            ino,
            write: mode.access != Access::Read,
            append: mode.append,
            offset: 0,
            flush: false,
            dirty: false,
            descriptors: 1,
        };
        self.opens.insert(self.last, open);
        self.last
    }

    fn make_plain(&mut self, who: Who, at: &At, bytes: Vec<u8>) -> Ino {
        let ino = self.inode(bytes);
        let class = names::classify(OsStr::new(&at.1));
        let plain = Plain {
            owner: (class == NameClass::Scratch).then_some(who.session()),
            scratch: class != NameClass::Ordinary,
            ino,
        };
        self.add_plain(at, plain);
        ino
    }

    /// A plain file is about to be written: another session's scratch file stays as it is (4.6).
    fn claim(&mut self, who: Who, at: &At, copy: bool) -> Ino {
        if let Some(own) = self.own_plain(who.session(), at) {
            return own.ino;
        }
        let found = self.found_plain(who.session(), at).unwrap().ino;
        let bytes = match copy {
            true => self.inodes[found].bytes.clone(),
            false => Vec::new(),
        };
        self.make_plain(who, at, bytes)
    }

    /// A new handoff under this name (4.1); `None` for what makes an ordinary file (3.4, 4.6).
    fn create(&mut self, who: Who, at: &At) -> Option<Id> {
        let (queue, name) = at;
        let id = match names::classify(OsStr::new(name)) {
            NameClass::Scratch | NameClass::SharedScratch | NameClass::Ordinary => return None,
            NameClass::Stamped(stamped) => {
                let exact = stamped.to_os_string() == OsStr::new(name);
                let id = self.new_draft(queue, stamped, exact);
                if exact {
                    return Some(id);
                }
                id
            }
            _ => {
                let (stamped, exactly) = self.name_after_vacation(who, at);
                self.new_draft(queue, stamped, exactly)
            }
        };
        self.set_alias(who, at, id);
        Some(id)
    }

    /// What a process unlinked or backed up, it is about to write anew (4.5).
    pub fn name_after_vacation(&mut self, who: Who, at: &At) -> (StampedName, bool) {
        let fresh = self.stamped_now(Slug::from_written(OsStr::new(&at.1)));
        let found = self
            .vacated
            .iter()
            .rposition(|it| it.0 == who && it.1 == *at);
        match found.map(|i| self.vacated.remove(i).2) {
            Some(Vacated::Retracted(id)) => {
                let handoff = &mut self.handoffs[id];
                match handoff.content {
                    Content::New { .. } => handoff.retracted = false,
                    Content::Stored | Content::Editing { .. } if !handoff.name.is_pending() => {
                        self.give_back(id);
                    }
                    _ => {}
                }
            }
            Some(Vacated::BackedUp(name))
                if name.is_pending() && self.named(&at.0, &name).is_none() =>
            {
                return (name, true);
            }
            _ => {}
        }
        (fresh, false)
    }

    /// Opening `pending.md` to write (4.7).
    fn write_pending(&mut self, who: Who, at: &At, mode: Mode) -> Id {
        self.note_pending_written(who);
        let key = (who.session(), at.clone());
        let own = self.written.get(&key).copied();
        let own = own.filter(|id| {
            self.is_visible(&self.handoffs[*id]) && self.handoffs[*id].name.is_pending()
        });
        if let (Some(id), true, false) = (own, mode.append, mode.truncate) {
            return id;
        }
        let id = self.new_draft(&at.0, self.stamped_now(Slug::pending()), false);
        self.handoffs[id].from_pending = true;
        self.set_alias(who, at, id);
        id
    }

    /// An agent uses `pending.md` as one file for both (4.7).
    pub fn note_pending_written(&mut self, who: Who) {
        if who != Who::Agent {
            return;
        }
        self.single_file.insert(who);
        for (reader, at, taken) in std::mem::take(&mut self.recent) {
            let age = self.now.duration_since(at).unwrap();
            for (id, done) in taken {
                let still = self.handoffs[id].name == done && self.is_visible(&self.handoffs[id]);
                if reader == who && age <= Duration::from_secs(5) && still {
                    self.give_back(id);
                }
            }
        }
    }

    /// A consumed handoff is pending again.
    pub fn give_back(&mut self, id: Id) {
        let handoff = &mut self.handoffs[id];
        handoff.name = handoff.name.pending();
        handoff.unsettled = true;
        let (queue, name) = (handoff.queue.clone(), handoff.name.to_string());
        self.consumed
            .retain(|(_, at), _| *at != (queue.clone(), name.clone()));
    }

    /// Opening one's own alias to write (4.1, 4.3, 4.4); answers what is written.
    fn write_alias(&mut self, who: Who, at: &At, id: Id, mode: Mode) -> Id {
        let handoff = &self.handoffs[id];
        let is_new = matches!(handoff.content, Content::New { .. });
        let seen = self.inodes[self.seen(id, true)].bytes.clone();
        if is_new || handoff.name.is_pending() {
            let reopened = handoff.maker == Some(who);
            let reused = seen.is_empty() && (handoff.writers == 0 || reopened);
            if mode.append && !mode.truncate {
                return id;
            }
            if reused || self.edits(who, id) {
                let in_place = reused && handoff.writers > 0;
                if self.handoffs[id].content == Content::Stored && !in_place {
                    let draft = self.inode(seen);
                    let modified = mode.truncate;
                    self.handoffs[id].content = Content::Editing { draft, modified };
                }
                return id;
            }
        }
        let slug = match names::classify(OsStr::new(&at.1)) {
            NameClass::Stamped(stamped) => stamped.slug().clone(),
            _ => Slug::from_written(OsStr::new(&at.1)),
        };
        let new = self.new_draft(&at.0, self.stamped_now(slug), false);
        if !mode.truncate && !mode.append {
            self.inodes[self.handoffs[new].ino].bytes = seen;
            self.handoffs[new].copy_of = Some(id);
        }
        self.set_alias(who, at, new);
        new
    }

    /// A name of a session leads to this one; what it led to, and is open still, comes to nothing if it stays empty.
    pub fn set_alias(&mut self, who: Who, at: &At, id: Id) {
        let before = self.written.insert((who.session(), at.clone()), id);
        let before = before.filter(|before| *before != id);
        if let Some(before) = before.filter(|_| self.handoffs[id].copy_of != before) {
            self.handoffs[before].superseded = true;
        }
    }

    pub fn resize(&mut self, ino: Ino, len: usize) {
        self.inodes[ino].bytes.resize(len, 0);
        self.inodes[ino].version += 1;
    }

    fn changed(&mut self, fd: usize) {
        let (target, ino) = (self.opens[&fd].target, self.opens[&fd].ino);
        self.inodes[ino].version += 1;
        match target {
            Target::Handoff(id) => {
                self.opens.get_mut(&fd).unwrap().dirty = true;
                self.changed_handoff(id, ino);
            }
            // An ordinary file, and nobody's promise.
            Target::Plain => self.inodes[ino].acknowledged.clear(),
        }
    }

    pub fn changed_handoff(&mut self, id: Id, ino: Ino) {
        let handoff = &mut self.handoffs[id];
        handoff.read_by.clear();
        handoff.flushed = false;
        match &mut handoff.content {
            Content::New { modified } => *modified = true,
            Content::Editing { draft, modified } if *draft == ino => *modified = true,
            _ if handoff.ino == ino => handoff.week = 0,
            _ => {}
        }
    }

    pub fn write(&mut self, fd: usize, data: &[u8]) {
        let open = self.opens.get_mut(&fd).unwrap();
        let bytes = &mut self.inodes[open.ino].bytes;
        let from = if open.append {
            bytes.len()
        } else {
            open.offset
        };
        open.offset = from + data.len();
        bytes.resize(bytes.len().max(open.offset), 0);
        bytes[from..open.offset].copy_from_slice(data);
        self.changed(fd);
    }

    pub fn rewind(&mut self, fd: usize) {
        self.opens.get_mut(&fd).unwrap().offset = 0;
    }

    pub fn ftruncate(&mut self, fd: usize, len: usize) {
        self.resize(self.opens[&fd].ino, len);
        self.changed(fd);
    }

    pub fn truncate(&mut self, who: Who, at: &At, len: usize) -> Result<()> {
        if !self.queues.contains(&at.0) {
            return Err(libc::ENOENT);
        }
        match self.resolve(who.session(), at) {
            Object::Missing => return Err(libc::ENOENT),
            Object::Pending => {}
            Object::Plain => {
                let ino = self.claim(who, at, len > 0);
                self.resize(ino, len);
                self.inodes[ino].acknowledged.clear();
            }
            Object::Handoff { id, own } => {
                let it = &self.handoffs[id];
                let stored = !matches!(it.content, Content::New { .. });
                if own && stored && !it.name.is_pending() {
                    return Err(libc::EACCES);
                }
                let ino = self.seen(id, own);
                self.resize(ino, len);
                self.changed_handoff(id, ino);
            }
        }
        Ok(())
    }

    pub fn dup(&mut self, fd: usize) {
        self.opens.get_mut(&fd).unwrap().descriptors += 1;
    }

    /// FLUSH and, for the last descriptor, RELEASE (4.2).
    pub fn close(&mut self, fd: usize) {
        let open = self.opens.get_mut(&fd).unwrap();
        open.descriptors -= 1;
        let open = open.clone();
        if let (Target::Handoff(id), true, true) = (open.target, open.flush, open.dirty) {
            self.opens.get_mut(&fd).unwrap().dirty = false;
            self.publish(id, open.ino);
            let inode = &mut self.inodes[open.ino];
            if !inode.bytes.is_empty() && self.handoffs[id].content != Content::Gone {
                inode.acknowledged.push(inode.bytes.clone());
            }
        }
        if let (Target::Handoff(id), true) = (open.target, open.flush) {
            self.handoffs[id].flushed = true;
        }
        if open.descriptors > 0 {
            return;
        }
        self.opens.remove(&fd);
        if let (Target::Handoff(id), true) = (open.target, open.write) {
            self.handoffs[id].writers -= 1;
            if self.handoffs[id].writers == 0 {
                self.last_writer_gone(id);
            }
        }
    }

    fn publish(&mut self, id: Id, by: Ino) {
        if self.comes_to_nothing(id) {
            return;
        }
        let handoff = &mut self.handoffs[id];
        match handoff.content {
            Content::New { .. } => {
                handoff.content = Content::Stored;
                handoff.week = 0;
                if handoff.retracted {
                    handoff.name = handoff.name.consumed();
                    handoff.week = self.week;
                    handoff.unsettled = true;
                }
            }
            // An edit is published by its own writer, whole (4.4).
            Content::Editing { draft, .. } if draft == by => {
                if !handoff.name.is_pending() {
                    // Consumed meanwhile: the new content is a handoff of its own.
                    let old = Handoff {
                        content: Content::Stored,
                        writers: 0,
                        ..handoff.clone()
                    };
                    handoff.name = handoff.name.pending();
                    handoff.unsettled = true;
                    self.handoffs.push(old);
                }
                let handoff = &mut self.handoffs[id];
                handoff.content = Content::Stored;
                handoff.ino = draft;
                handoff.week = 0;
                handoff.read_by.clear();
            }
            _ => {}
        }
    }

    /// `pending.md` was truncated, and nothing else.
    fn comes_to_nothing(&self, id: Id) -> bool {
        let handoff = &self.handoffs[id];
        matches!(handoff.content, Content::New { .. })
            && handoff.from_pending
            && self.inodes[handoff.ino].bytes.is_empty()
    }

    fn last_writer_gone(&mut self, id: Id) {
        let handoff = &self.handoffs[id];
        let nothing = handoff.from_pending
            || handoff.retracted
            || handoff.superseded
            || handoff.copy_of.is_some();
        match handoff.content {
            Content::New { modified } if !modified && nothing || self.comes_to_nothing(id) => {
                if let Some(old) = handoff.copy_of {
                    self.retarget(id, old);
                }
                self.handoffs[id].content = Content::Gone;
            }
            Content::New { .. } => self.publish(id, handoff.ino),
            Content::Editing {
                draft,
                modified: true,
            } => self.publish(id, draft),
            Content::Editing { .. } => self.handoffs[id].content = Content::Stored,
            _ => {}
        }
    }

    /// Every alias of the one leads to the other.
    pub fn retarget(&mut self, from: Id, to: Id) {
        for id in self.written.values_mut().filter(|id| **id == from) {
            *id = to;
        }
    }

    /// What was open as a plain file is open as a handoff from now on (4.6).
    pub fn adopt_opens(&mut self, ino: Ino, id: Id) {
        for open in self.opens.values_mut() {
            if let (Target::Plain, true) = (open.target, open.ino == ino) {
                open.target = Target::Handoff(id);
                self.handoffs[id].writers += u32::from(open.write);
            }
        }
    }
}
