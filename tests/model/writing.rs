//! The rules of opening, writing and closing.

use crate::client::{Fd, Result};
use crate::expected::{Content, Edit, Expected, Id, OpenFile, State, Target};
use crate::names::{Kind, Label, Stamped, is_text, kind, queue};
use crate::ops::{Caller, How};

/// Writing past the end leaves NULs.
fn pad(text: &mut String, len: usize) {
    text.extend(std::iter::repeat_n('\0', len.saturating_sub(text.len())));
}

impl Expected {
    /// Whether the contract does not say what this open does.
    pub fn is_open_unsaid(&self, caller: Caller, path: &str, how: How) -> bool {
        match self.resolve(caller, path) {
            Target::Merge => how == How::Read,
            _ if how == How::Read => false,
            // Whether the caller's own scratch file begins as a copy of another session's (4.6f).
            _ if self.is_foreign(caller, path) => {
                matches!(how, How::Write | How::Update)
            }
            Target::Alias(id) => caller.edits() && self.is_written(id),
            // Where the content of an ordinary text file is while it is edited (3.6e).
            Target::File(_) => is_text(path) && caller.edits(),
            Target::Handoff(_) | Target::Nothing => false,
        }
    }

    pub fn open(&mut self, fd: Fd, caller: Caller, path: &str, how: How) -> Result<()> {
        let mut target = self.resolve(caller, path);
        if !matches!(how, How::Read | How::New) && self.is_foreign(caller, path) {
            target = Target::Nothing;
        }
        let (handoff, content) = match target {
            Target::Nothing if !how.has(libc::O_CREAT) => return Err(libc::ENOENT),
            Target::Nothing => self.create(caller, path),
            _ if how == How::New => return Err(libc::EEXIST),
            // spec 3.6d, 3.6e: only an editor writes an ordinary text file. To other programs its name is free.
            Target::File(key) => match kind(path) {
                Kind::Free(..) if is_text(path) && how != How::Read && !caller.edits() => {
                    self.begin(caller, path, self.files[&key], how)
                }
                _ => (None, self.files[&key]),
            },
            // spec 4.7a: an append continues the session's own handoff, and all else makes one.
            Target::Merge => {
                let own = self.alias(caller, path);
                let own = own.filter(|id| self.handoffs[*id].is_pending());
                match own {
                    Some(id) if how == How::Append => (Some(id), self.newest(id)),
                    _ => self.create(caller, path),
                }
            }
            Target::Handoff(id) if how == How::Read => (Some(id), self.handoffs[id].content),
            Target::Alias(id) if how == How::Read => (Some(id), self.newest(id)),
            // spec 4.5b, 4.5d: O_TRUNC, or a program that edits, begins an edit unless somebody has the handoff open for
            // writing. Writers that come meanwhile share it; all others write in place.
            Target::Handoff(id) => {
                let edits = caller.edits() && how != How::Append;
                let content = match edits || how.has(libc::O_TRUNC) {
                    true if self.writers(id) == 0 => self.edit(id),
                    _ => self.newest(id),
                };
                (Some(id), content)
            }
            // spec 4.3b: `>>` appends; spec 4.4a: an editor edits; spec 4.1d: an empty handoff is reused; spec 4.1b: all else
            // makes a new handoff, which starts as a copy without O_TRUNC.
            Target::Alias(id) => {
                let is_unused = self.writers(id) == 0 || self.handoffs[id].maker == Some(caller);
                let is_reused = is_unused && self.is_empty(self.newest(id));
                match self.handoffs[id].is_pending() {
                    true if how == How::Append => (Some(id), self.newest(id)),
                    true if caller.edits() || is_reused => (Some(id), self.edit(id)),
                    _ => self.begin(caller, path, self.newest(id), how),
                }
            }
        };
        if let (Some(id), How::New) = (handoff, how) {
            self.handoffs[id].maker = Some(caller);
        }
        if how.has(libc::O_TRUNC) && !self.is_empty(content) {
            self.contents[content].clear();
            self.written(handoff, content);
        }
        // spec 4.5c: O_TRUNC counts as a write.
        let is_published = handoff.is_some_and(|id| self.handoffs[id].is_published);
        let file = OpenFile {
            caller,
            handoff,
            content,
            writes: how != How::Read,
            appends: how == How::Append,
            offset: 0,
            is_dirty: how.has(libc::O_TRUNC) && is_published,
        };
        self.open_files.insert(fd, file);
        Ok(())
    }

    /// spec 3.2b, 4.1a: a free name makes a handoff; spec 3.4b, 3.6k, 4.6a: other names an ordinary file.
    fn create(&mut self, caller: Caller, path: &str) -> (Option<Id>, Content) {
        let content = self.content(String::new());
        if matches!(kind(path), Kind::Scratch | Kind::Ordinary) {
            self.files.insert(Expected::key(caller, path), content);
            return (None, content);
        }
        let labels = self.labels(caller, path);
        let id = self.add(queue(path), labels, content);
        if kind(path) == Kind::Stamped && self.resolve(caller, path) == Target::Nothing {
            self.set_stamped(id, path);
        }
        self.set_alias(caller, path, id);
        (Some(id), content)
    }

    /// A new handoff over an old one or over an old file; spec 3.6d: an append starts empty.
    fn begin(
        &mut self,
        caller: Caller,
        path: &str,
        old: Content,
        how: How,
    ) -> (Option<Id>, Content) {
        let (id, content) = self.create(caller, path);
        if !how.has(libc::O_TRUNC | libc::O_APPEND) {
            self.contents[content] = self.contents[old].clone();
        }
        (id, content)
    }

    /// The stamps and slugs that a handoff may get when it is written under this name.
    pub fn labels(&mut self, caller: Caller, path: &str) -> Vec<Label> {
        // spec 4.5g: a retracted handoff is pending again if the same process then creates the name.
        if let Some(id) = self.unlinked.remove(&(caller, path.to_owned()))
            && let State::Consumed(_) = self.handoffs[id].states[0]
        {
            self.handoffs[id].states = vec![State::Pending];
        }
        match kind(path) {
            Kind::Free(stamp, slug) => {
                let mut labels = vec![(stamp.map(str::to_owned), slug.to_owned())];
                // The session's next handoff of a stamped name may have a stamp of its own.
                if self.alias(caller, path).is_some() {
                    labels.push((None, slug.to_owned()));
                }
                labels
            }
            Kind::Merge => vec![(None, "pending".to_owned())],
            // spec 3.4a: the name is kept; spec 4.3c: if its handoff was consumed, the next one is new.
            _ => Stamped::parse(path).map_or(Vec::new(), |name| {
                vec![(None, name.slug.clone()), name.label()]
            }),
        }
    }

    /// The content that replaces the old one when it is closed; of a draft its only one.
    fn edit(&mut self, id: Id) -> Content {
        let handoff = &self.handoffs[id];
        if handoff.is_published && handoff.edit.is_none() {
            let began_pending = handoff.is_pending();
            let content = self.content(self.contents[handoff.content].clone());
            self.handoffs[id].edit = Some(Edit {
                content,
                is_written: false,
                began_pending,
            });
        }
        self.newest(id)
    }

    fn written(&mut self, handoff: Option<Id>, content: Content) {
        let Some(id) = handoff else { return };
        let handoff = &mut self.handoffs[id];
        if let Some(edit) = handoff.edit.as_mut().filter(|edit| edit.content == content) {
            edit.is_written = true;
        } else if handoff.content == content {
            self.changed(id);
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

    /// spec 4.2a: published before the close that follows a write returns; spec 4.2c: delivered when the last writer has closed.
    pub fn close(&mut self, fd: Fd) {
        let file = self.open_files.remove(&fd).unwrap();
        let Some(id) = file.handoff else { return };
        if self.handoffs[id].states == [State::Gone] {
            return;
        }
        let mut others = self.open_files.values();
        let is_shared = others.any(|other| other.writes && other.content == file.content);
        let is_empty = self.is_empty(file.content);
        let handoff = &mut self.handoffs[id];
        match handoff.edit {
            Some(edit) if edit.content == file.content => {
                // An empty edit may wait until its last writer is gone (4.5c).
                if file.is_dirty && !is_empty || !is_shared && edit.is_written {
                    self.end_edit(id);
                } else if file.writes && !is_shared {
                    handoff.edit = None;
                }
            }
            _ if handoff.is_published || handoff.content != file.content => {}
            _ if file.is_dirty && !is_empty => handoff.is_published = true,
            _ if file.writes && !is_shared => {
                handoff.is_published = true;
                // An unwritten copy is nothing. Nor need an empty handoff stay where its name led to another one.
                handoff.states.push(State::Gone);
            }
            _ => {}
        }
        if file.is_dirty {
            self.acknowledge(file.content);
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
            handoff.path = None;
            let consumed = self.consumed.values_mut();
            let consumed = consumed.filter(|consumed| **consumed == id);
            consumed.for_each(|consumed| *consumed = self.handoffs.len());
            self.handoffs.push(old);
        }
        self.changed(id);
    }
}
