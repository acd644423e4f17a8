//! The rules of opening, writing and closing.

use crate::kernel::{Fd, Result};
use crate::names::{Kind, Label, PENDING, Stamped, base, is_text, kind};
use crate::ops::{How, Who};
use crate::world::{At, Body, Doc, Found, Id, Open, State, World};

impl World {
    pub fn open(&mut self, fd: Fd, who: Who, at: &At, how: How) -> Result<()> {
        let writes = how != How::Read;
        let mut found = self.resolve(who, at);
        if writes && how != How::New && self.is_foreign(who, &found) {
            found = Found::Nothing;
        }
        let (doc, body) = match found {
            _ if !self.queues.contains(&at.0) => return Err(libc::ENOENT),
            Found::Nothing if !how.has(libc::O_CREAT) => return Err(libc::ENOENT),
            Found::Nothing => self.create(who, at),
            _ if how == How::New => return Err(libc::EEXIST),
            Found::File(key) if writes => self.write_file(who, at, self.files[&key], how),
            Found::File(key) => (None, self.files[&key]),
            Found::Merge => self.write_pending(who, at, how),
            Found::Doc(id, own) if !writes => (Some(id), self.content(id, own)),
            Found::Doc(id, false) => (Some(id), self.write_stamped(who, id, how)),
            Found::Doc(id, true) => self.write_own(who, at, id, how),
        };
        if let (Some(id), How::New) = (doc, how) {
            self.docs[id].exclusive = Some(who);
        }
        if how.has(libc::O_TRUNC) && !self.is_empty(body) {
            self.bodies[body].clear();
            self.written(doc, body);
        }
        // spec 4.5c: O_TRUNC counts as a write.
        let dirty = how.has(libc::O_TRUNC) && doc.is_some_and(|id| self.docs[id].published);
        let open = Open {
            who,
            doc,
            body,
            write: writes,
            append: how == How::Append,
            offset: 0,
            dirty,
            descriptors: 1,
        };
        self.opens.insert(fd, open);
        Ok(())
    }

    /// spec 3.2b, 4.1a: a free name makes a handoff of that name; spec 4.6a, 3.4b, 3.6a: or an ordinary file.
    fn create(&mut self, who: Who, at: &At) -> (Option<Id>, Body) {
        let body = self.body(Vec::new());
        if matches!(kind(&at.1), Kind::Scratch | Kind::Ordinary) {
            self.files.insert((at.clone(), World::owner(who, at)), body);
            return (None, body);
        }
        let labels = self.labels(who, at);
        let id = self.add(&at.0, labels, body);
        if kind(&at.1) == Kind::Stamped && self.resolve(who, at) == Found::Nothing {
            self.put(id, at);
        }
        self.set_name(who, at, id);
        (Some(id), body)
    }

    /// What a handoff that is written under this name may be called.
    pub fn labels(&mut self, who: Who, at: &At) -> Vec<Label> {
        // spec 4.5g: what a process retracted is pending again if it then makes that name.
        if let Some(id) = self.retracted.remove(&(who, at.clone()))
            && self.docs[id].is_consumed()
        {
            self.docs[id].states = vec![State::Pending];
        }
        match kind(&at.1) {
            Kind::Free(stamp, slug) => vec![(stamp.map(str::to_owned), slug.to_owned())],
            Kind::Backup(slug) => vec![(None, slug.to_owned())],
            Kind::Merge => vec![(None, "pending".to_owned())],
            // spec 3.4a: it is kept; spec 4.3c: its handoff was consumed, and the next one is new.
            _ => Stamped::parse(&at.1).map_or(Vec::new(), |it| {
                vec![
                    (None, it.slug.clone()),
                    (None, base(&it.slug).to_owned()),
                    it.label(),
                ]
            }),
        }
    }

    /// spec 3.6d, 3.6e: text is overwritten by who edits alone; to others its name is free, `>>` starts with nothing, and
    /// another open without O_TRUNC with a copy.
    fn write_file(&mut self, who: Who, at: &At, body: Body, how: How) -> (Option<Id>, Body) {
        let is_text = matches!(kind(&at.1), Kind::Free(..)) && is_text(&at.1);
        if !is_text || self.edits(who, None) {
            return (None, body);
        }
        self.begin(who, at, body, how)
    }

    /// A handoff of its own; without O_TRUNC it starts as a copy (4.1).
    fn begin(&mut self, who: Who, at: &At, old: Body, how: How) -> (Option<Id>, Body) {
        let (new, body) = self.create(who, at);
        if !how.has(libc::O_TRUNC | libc::O_APPEND) {
            self.bodies[body] = self.bodies[old].clone();
        }
        (new, body)
    }

    /// spec 4.7a: writing `pending.md` makes a handoff; append continues the session's own.
    fn write_pending(&mut self, who: Who, at: &At, how: How) -> (Option<Id>, Body) {
        let own = self.named(who, at).filter(|id| self.docs[*id].is_pending());
        match own {
            Some(id) if how == How::Append => (Some(id), self.content(id, true)),
            _ => self.create(who, at),
        }
    }

    /// spec 4.5b, 4.5d: O_TRUNC, or an editor's open, begins an edit unless somebody has it open for writing; writers that
    /// come meanwhile share it; all others write in place.
    fn write_stamped(&mut self, who: Who, id: Id, how: How) -> Body {
        let edits = self.edits(who, Some(id)) && how != How::Append;
        let edits = edits || how.has(libc::O_TRUNC);
        match edits && self.docs[id].published && self.writers(id) == 0 {
            true => self.edit(id),
            false => self.content(id, true),
        }
    }

    /// spec 4.1b, 4.1d, 4.3b, 4.4a: `>>` appends, an editor edits, an empty one is used; all else makes a handoff of its own.
    fn write_own(&mut self, who: Who, at: &At, id: Id, how: How) -> (Option<Id>, Body) {
        let body = self.content(id, true);
        let doc = &self.docs[id];
        let unused = self.writers(id) == 0 || doc.exclusive == Some(who);
        let edits = self.edits(who, Some(id)) || unused && self.is_empty(body);
        match doc.is_pending() {
            true if how == How::Append || edits && !doc.published => (Some(id), body),
            true if edits => (Some(id), self.edit(id)),
            _ => self.begin(who, at, body, how),
        }
    }

    /// spec 4.4a, 4.4b: an editor; or a stream editor that has read it.
    pub fn edits(&self, who: Who, id: Option<Id>) -> bool {
        let has_read = id.is_none_or(|id| self.docs[id].readers.contains(&who));
        who == Who::Vim || who == Who::Perl && has_read
    }

    fn edit(&mut self, id: Id) -> Body {
        self.docs[id].edited().unwrap_or_else(|| {
            let body = self.body(self.bodies[self.docs[id].body].clone());
            let doc = &mut self.docs[id];
            doc.edit = Some((body, false, doc.is_pending()));
            body
        })
    }

    /// Somebody changed this content, as that of a document or of an ordinary file.
    fn written(&mut self, doc: Option<Id>, body: Body) {
        let Some(id) = doc else { return };
        let doc = &mut self.docs[id];
        if let Some(edit) = doc.edit.as_mut().filter(|edit| edit.0 == body) {
            edit.1 = true;
            doc.readers.clear();
        } else if doc.body == body {
            self.changed(id);
        }
    }

    pub fn write(&mut self, fd: Fd, data: &[u8]) {
        let open = self.opens.get_mut(&fd).unwrap();
        let bytes = &mut self.bodies[open.body];
        let from = if open.append {
            bytes.len()
        } else {
            open.offset
        };
        (open.offset, open.dirty) = (from + data.len(), true);
        bytes.resize(bytes.len().max(open.offset), 0);
        bytes[from..open.offset].copy_from_slice(data);
        let (doc, body) = (open.doc, open.body);
        self.written(doc, body);
    }

    pub fn cut(&mut self, fd: Fd, len: usize) {
        let open = self.opens.get_mut(&fd).unwrap();
        open.dirty = true;
        let (doc, body) = (open.doc, open.body);
        self.bodies[body].resize(len, 0);
        self.written(doc, body);
    }

    /// spec 4.2a, 4.2c: published before the close that follows a write returns; delivered when the last writer has closed.
    /// Answers whether this was the last descriptor.
    pub fn close(&mut self, fd: Fd) -> bool {
        let open = self.opens.get_mut(&fd).unwrap();
        open.descriptors -= 1;
        let dirty = std::mem::take(&mut open.dirty);
        let open = open.clone();
        if let (Some(id), true) = (open.doc, dirty) {
            self.publish(id, open.body);
            if self.docs[id].states[0] != State::Gone {
                self.promise(open.body);
            }
        }
        if open.descriptors == 0 {
            self.opens.remove(&fd);
            let mut writers = self
                .opens
                .values()
                .filter(|it| it.write && it.body == open.body);
            if let (Some(id), true, None) = (open.doc, open.write, writers.next()) {
                self.last_writer_gone(id, open.body);
            }
        }
        open.descriptors == 0
    }

    fn publish(&mut self, id: Id, body: Body) {
        // `> name` closes once before anything is written: nothing need be published then.
        let empty = self.is_empty(body);
        let doc = &mut self.docs[id];
        match doc.edit {
            Some((edit, ..)) if edit == body && !empty => self.end_edit(id),
            None if doc.body == body && !empty => doc.published = true,
            _ => {}
        }
    }

    /// spec 4.4d: the new content takes the old one's place, whole.
    pub fn end_edit(&mut self, id: Id) {
        let doc = &mut self.docs[id];
        let Some((body, _, was_pending)) = doc.edit.take() else {
            return;
        };
        let old = doc.clone();
        doc.body = body;
        if was_pending && old.is_consumed() {
            // spec 6.4c: consumed meanwhile; the new content is one more handoff.
            let (stamp, slug) = old.parsed().unwrap().label();
            let plain = base(&slug).to_owned();
            doc.states = vec![State::Pending];
            doc.labels = vec![(stamp.clone(), slug), (stamp, plain)];
            doc.file = None;
            self.docs.push(old);
        }
        self.changed(id);
    }

    fn last_writer_gone(&mut self, id: Id, body: Body) {
        let empty = self.is_empty(body);
        let owed = self.is_owed(id);
        let doc = &mut self.docs[id];
        match doc.edit {
            Some((edit, true, _)) if edit == body => self.end_edit(id),
            Some((edit, ..)) if edit == body => doc.edit = None,
            _ if doc.published || doc.body != body => {}
            _ => {
                doc.published = true;
                if empty && !owed || !empty && doc.changes == 0 {
                    doc.states.push(State::Gone);
                }
            }
        }
    }

    /// spec 4.8: an empty handoff is listed under the name it was written as, `touch x.md`; one that its session
    /// retracted, replaced, or began as `pending.md` need not be.
    fn is_owed(&self, id: Id) -> bool {
        let mut names = self.names.iter().filter(|it| it.1.contains(&id));
        let mut named = names.clone().filter(|it| it.0.1.1 != PENDING);
        self.docs[id].is_pending() && (named.any(|it| *it.1 == [id]) || names.next().is_none())
    }
}

impl Doc {
    /// May it change its name, or has it none yet?
    pub fn is_unnamed(&self) -> bool {
        let done = self.is_consumed();
        let fits = |name: Stamped| name.done == done || done && !self.published;
        self.states.len() > 1 || !self.parsed().is_some_and(fits)
    }
}
