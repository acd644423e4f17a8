//! The rules of opening, writing and closing.

use crate::client::{Fd, Result};
use crate::expected::{Content, Edit, Expected, Id, OpenFile, State, Target};
use crate::names::{At, Kind, Label, Stamped, is_text, kind};
use crate::ops::{Caller, How};

/// Writing past the end leaves NULs.
fn pad(text: &mut String, len: usize) {
    text.extend(std::iter::repeat_n('\0', len.saturating_sub(text.len())));
}

impl Expected {
    /// Whether the contract does not say what this open does.
    pub fn is_open_unsaid(&self, caller: Caller, at: &At, how: How) -> bool {
        match self.resolve(caller, at) {
            Target::Merge => how == How::Read,
            _ if how == How::Read => false,
            _ if !how.has(libc::O_CREAT) && self.is_foreign(caller, at) => true,
            // Whether a stream editor edits a stamped name that it has not read (4.5b).
            Target::Handoff(_) => caller == Caller::Perl && !how.has(libc::O_TRUNC),
            Target::Alias(id) => {
                let edits = self.edits(caller, Some(id)) && how != How::Append;
                edits && self.handoffs[id].is_published && self.is_written(id)
            }
            // Where an ordinary text file's content is while it is edited (3.6e).
            Target::File(_) => matches!(kind(&at.1), Kind::Free(..)) && self.edits(caller, None),
            Target::Nothing => false,
        }
    }

    pub fn open(&mut self, fd: Fd, caller: Caller, at: &At, how: How) -> Result<()> {
        let writes = how != How::Read;
        let mut target = self.resolve(caller, at);
        if writes && how != How::New && self.is_foreign(caller, at) {
            target = Target::Nothing;
        }
        let (handoff, content) = match target {
            Target::Nothing if !how.has(libc::O_CREAT) => return Err(libc::ENOENT),
            Target::Nothing => self.create(caller, at),
            _ if how == How::New => return Err(libc::EEXIST),
            Target::File(key) if writes => self.write_file(caller, at, self.files[&key], how),
            Target::File(key) => (None, self.files[&key]),
            Target::Merge => self.write_pending(caller, at, how),
            Target::Handoff(id) if !writes => (Some(id), self.handoffs[id].content),
            Target::Alias(id) if !writes => (Some(id), self.newest(id)),
            Target::Handoff(id) => (Some(id), self.write_stamped(caller, id, how)),
            Target::Alias(id) => self.write_alias(caller, at, id, how),
        };
        if let (Some(id), How::New) = (handoff, how) {
            self.handoffs[id].maker = Some(caller);
        }
        if how.has(libc::O_TRUNC) && !self.is_empty(content) {
            self.contents[content].clear();
            self.written(handoff, content);
        }
        // spec 4.5c: O_TRUNC counts as a write.
        let is_dirty =
            how.has(libc::O_TRUNC) && handoff.is_some_and(|id| self.handoffs[id].is_published);
        let file = OpenFile {
            caller,
            handoff,
            content,
            writes,
            appends: how == How::Append,
            offset: 0,
            is_dirty,
        };
        self.open_files.insert(fd, file);
        Ok(())
    }

    /// spec 3.2b, 4.1a: a free name makes a handoff; spec 3.4b, 3.6k, 4.6a: other names an ordinary file.
    fn create(&mut self, caller: Caller, at: &At) -> (Option<Id>, Content) {
        let content = self.content(String::new());
        if matches!(kind(&at.1), Kind::Scratch | Kind::Ordinary) {
            self.files.insert(Expected::key(caller, at), content);
            return (None, content);
        }
        let labels = self.labels(caller, at);
        let id = self.add(&at.0, labels, content);
        if kind(&at.1) == Kind::Stamped && self.resolve(caller, at) == Target::Nothing {
            self.set_stamped(id, at);
        }
        self.set_alias(caller, at, id);
        (Some(id), content)
    }

    /// The stamps and slugs that a handoff may get when it is written under this name.
    pub fn labels(&mut self, caller: Caller, at: &At) -> Vec<Label> {
        // spec 4.5g: a retracted handoff is pending again if the same process then creates the name.
        if let Some(id) = self.unlinked.remove(&(caller, at.clone()))
            && let State::Consumed(_) = self.handoffs[id].states[0]
        {
            self.handoffs[id].states = vec![State::Pending];
        }
        match kind(&at.1) {
            Kind::Free(stamp, slug) => vec![(stamp.map(str::to_owned), slug.to_owned())],
            Kind::Backup(slug) => vec![(None, slug.to_owned())],
            Kind::Merge => vec![(None, "pending".to_owned())],
            // spec 3.4a: the name is kept; spec 4.3c: if its handoff was consumed, the next one is new.
            _ => Stamped::parse(&at.1).map_or(Vec::new(), |name| {
                vec![(None, name.slug.clone()), name.label()]
            }),
        }
    }

    /// spec 3.6d, 3.6e: only an editor writes an ordinary text file. To other programs its name is free.
    fn write_file(
        &mut self,
        caller: Caller,
        at: &At,
        content: Content,
        how: How,
    ) -> (Option<Id>, Content) {
        let is_text = matches!(kind(&at.1), Kind::Free(..)) && is_text(&at.1);
        if !is_text || self.edits(caller, None) {
            return (None, content);
        }
        self.begin(caller, at, content, how)
    }

    /// spec 4.1b: a new handoff, which starts as a copy without O_TRUNC; spec 3.6d: an append to an old file starts empty.
    fn begin(&mut self, caller: Caller, at: &At, old: Content, how: How) -> (Option<Id>, Content) {
        let (id, content) = self.create(caller, at);
        if !how.has(libc::O_TRUNC | libc::O_APPEND) {
            self.contents[content] = self.contents[old].clone();
        }
        (id, content)
    }

    /// spec 4.7a: writing `pending.md` makes a handoff; an append continues the session's own.
    fn write_pending(&mut self, caller: Caller, at: &At, how: How) -> (Option<Id>, Content) {
        let own = self.alias(caller, at);
        match own.filter(|id| self.handoffs[*id].is_pending()) {
            Some(id) if how == How::Append => (Some(id), self.newest(id)),
            _ => self.create(caller, at),
        }
    }

    /// spec 4.5b, 4.5d: O_TRUNC, or a program that edits, begins an edit unless somebody has the handoff open for writing.
    /// Writers that come meanwhile share it; all others write in place.
    fn write_stamped(&mut self, caller: Caller, id: Id, how: How) -> Content {
        let edits = self.edits(caller, Some(id)) && how != How::Append || how.has(libc::O_TRUNC);
        match edits && self.handoffs[id].is_published && self.writers(id) == 0 {
            true => self.edit(id),
            false => self.newest(id),
        }
    }

    /// spec 4.3b: `>>` appends; spec 4.4a: a program that edits edits; spec 4.1d: an empty handoff is reused; spec 4.1b: all
    /// else makes a new handoff.
    fn write_alias(&mut self, caller: Caller, at: &At, id: Id, how: How) -> (Option<Id>, Content) {
        let content = self.newest(id);
        let handoff = &self.handoffs[id];
        let is_unused = self.writers(id) == 0 || handoff.maker == Some(caller);
        let edits = self.edits(caller, Some(id)) || is_unused && self.is_empty(content);
        match handoff.is_pending() {
            true if how == How::Append || edits && !handoff.is_published => (Some(id), content),
            true if edits => (Some(id), self.edit(id)),
            _ => self.begin(caller, at, content, how),
        }
    }

    /// spec 4.4a, 4.4b: an editor, or a stream editor that has read the handoff.
    pub fn edits(&self, caller: Caller, id: Option<Id>) -> bool {
        let has_read = id.is_none_or(|id| self.handoffs[id].readers.contains(&caller));
        caller == Caller::Vim || caller == Caller::Perl && has_read
    }

    fn edit(&mut self, id: Id) -> Content {
        if self.handoffs[id].edit.is_none() {
            let content = self.content(self.contents[self.handoffs[id].content].clone());
            self.handoffs[id].edit = Some(Edit {
                content,
                is_written: false,
                began_pending: self.handoffs[id].is_pending(),
            });
        }
        self.newest(id)
    }

    fn written(&mut self, handoff: Option<Id>, content: Content) {
        let Some(id) = handoff else { return };
        let handoff = &mut self.handoffs[id];
        match &mut handoff.edit {
            Some(edit) if edit.content == content => {
                edit.is_written = true;
                handoff.readers.clear();
            }
            _ if handoff.content == content => self.changed(id),
            _ => {}
        }
    }

    pub fn write(&mut self, fd: Fd, data: &str) {
        let file = self.open_files.get_mut(&fd).unwrap();
        let text = &mut self.contents[file.content];
        if file.appends {
            file.offset = text.len();
        }
        let end = file.offset + data.len();
        pad(text, end);
        text.replace_range(file.offset..end, data);
        (file.offset, file.is_dirty) = (end, true);
        let (handoff, content) = (file.handoff, file.content);
        self.written(handoff, content);
    }

    pub fn cut(&mut self, fd: Fd, len: usize) {
        let file = self.open_files.get_mut(&fd).unwrap();
        file.is_dirty = true;
        let (handoff, content) = (file.handoff, file.content);
        self.contents[content].truncate(len);
        pad(&mut self.contents[content], len);
        self.written(handoff, content);
    }

    /// spec 4.2a, 4.2c: published before the close that follows a write returns, delivered when the last writer has closed.
    pub fn close(&mut self, fd: Fd) {
        let file = self.open_files.remove(&fd).unwrap();
        let Some(id) = file.handoff else { return };
        if file.is_dirty {
            self.publish(id, file.content);
            if self.handoffs[id].states[0] != State::Gone {
                self.acknowledge(file.content);
            }
        }
        let mut others = self.open_files.values();
        let is_shared = others.any(|other| other.writes && other.content == file.content);
        if file.writes && !is_shared {
            self.last_writer_gone(id, file.content);
        }
    }

    fn publish(&mut self, id: Id, content: Content) {
        // `> name` closes once before anything is written.
        if self.is_empty(content) {
            return;
        }
        let handoff = &mut self.handoffs[id];
        match handoff.edit {
            Some(edit) if edit.content == content => self.end_edit(id),
            None if handoff.content == content => handoff.is_published = true,
            _ => {}
        }
    }

    /// spec 4.4d: the new content takes the old one's place, whole.
    pub fn end_edit(&mut self, id: Id) {
        let handoff = &mut self.handoffs[id];
        let Some(edit) = handoff.edit.take() else {
            return;
        };
        let old = handoff.clone();
        handoff.content = edit.content;
        if edit.began_pending && !old.is_pending() {
            // spec 6.4c: the old content was consumed meanwhile, and stays so; the new one is delivered.
            handoff.states = vec![State::Pending];
            handoff.labels = vec![old.stamped().unwrap().label()];
            handoff.name = None;
            self.handoffs.push(old);
        }
        self.changed(id);
    }

    fn last_writer_gone(&mut self, id: Id, content: Content) {
        let is_empty = self.is_empty(content);
        let handoff = &mut self.handoffs[id];
        match handoff.edit {
            Some(edit) if edit.content == content && edit.is_written => self.end_edit(id),
            Some(edit) if edit.content == content => handoff.edit = None,
            _ if handoff.is_published || handoff.content != content => {}
            _ => {
                handoff.is_published = true;
                // An unwritten copy is nothing. Nor need an empty handoff stay, where its name led to another one.
                if is_empty || handoff.changes == 0 {
                    handoff.states.push(State::Gone);
                }
            }
        }
    }
}
