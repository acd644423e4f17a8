//! The rules of names that change, of consuming, and of what comes by itself.

use crate::client::Result;
use crate::expected::{Content, Expected, Id, Key, State, Target};
use crate::names::{Kind, is_text, kind, name, queue};
use crate::ops::Caller;

impl Expected {
    /// Whether the contract does not say what this rename does: with or over a handoff that is being written, over an ordinary
    /// file, or with a file that all sessions share to a name of which each has its own.
    pub fn is_rename_unsaid(&self, caller: Caller, from: &str, to: &str) -> bool {
        let is_busy = |target: &Target| {
            let id = target.handoff();
            id.is_some_and(|id| self.writers(id) > 0 || !self.handoffs[id].is_published)
        };
        let is_unwritten = |target: &Target| {
            let handoff = target.handoff().map(|id| &self.handoffs[id]);
            handoff.is_some_and(|handoff| !handoff.is_published && handoff.changes == 0)
        };
        let becomes_file = matches!(kind(to), Kind::Scratch | Kind::Ordinary);
        let (source, target) = (self.resolve(caller, from), self.resolve(caller, to));
        match (&source, &target) {
            (Target::Merge | Target::Nothing, _) => false,
            (_, Target::Handoff(_) | Target::Alias(_)) => is_busy(&source) || is_busy(&target),
            (Target::File(key), _) => key.1.is_none() && kind(to) == Kind::Scratch,
            (_, Target::File(_)) => !becomes_file || is_busy(&source),
            // If nothing is written, the handoff comes to nothing, and what its new name means is open.
            _ => becomes_file && is_busy(&source) || is_unwritten(&source),
        }
    }

    pub fn rename(&mut self, caller: Caller, from: &str, to: &str) -> Result<()> {
        let (source, target) = (self.resolve(caller, from), self.resolve(caller, to));
        match source {
            Target::Nothing => return Err(libc::ENOENT),
            _ if self.is_foreign(caller, from) => return Err(libc::ENOENT),
            // spec 4.7c
            Target::Merge => {}
            _ if from == to => {}
            Target::File(key) => self.rename_file(caller, &key, to, &target),
            Target::Handoff(id) => self.rename_handoff(caller, id, to, &target),
            Target::Alias(id) => {
                // spec 4.5e
                let stem = name(from)
                    .rsplit_once('.')
                    .map_or(name(from), |split| split.0);
                let is_done = name(to) == format!("{stem}_done.md");
                match is_done && kind(to) != Kind::Stamped {
                    true => {
                        self.handoffs[id].states = vec![State::Consumed(Some(self.now))];
                        self.handoffs[id].queue = queue(to).to_owned();
                    }
                    false => self.rename_handoff(caller, id, to, &target),
                }
                self.drop_alias(caller, from);
            }
        }
        Ok(())
    }

    /// spec 4.6b: the rename publishes the file, as a new handoff or, where it replaces one, as its content.
    fn rename_file(&mut self, caller: Caller, key: &Key, to: &str, target: &Target) {
        let content = self.files.remove(key).unwrap();
        // Whether an ordinary file stays one or becomes a handoff, the contract leaves open.
        let was_scratch = kind(&key.0) == Kind::Scratch;
        let stays = match target {
            Target::File(_) => !is_text(to) || !was_scratch && self.listed.contains_key(to),
            Target::Nothing => !was_scratch && self.listed.contains_key(to),
            _ => false,
        };
        match kind(to) {
            Kind::Scratch | Kind::Ordinary => return self.put_file(caller, to, content),
            Kind::Free(..) if stays => return self.put_file(caller, to, content),
            _ => self.acknowledge(content),
        }
        let id = self.replaced(caller, target).unwrap_or_else(|| {
            let labels = self.labels(caller, to);
            self.add(queue(to), labels, content)
        });
        if *target == Target::Nothing && kind(to) == Kind::Stamped {
            self.set_stamped(id, to);
        }
        self.handoffs[id].content = content;
        self.handoffs[id].is_published = true;
        self.changed(id);
        self.set_alias(caller, to, id);
        self.reopen(content, Some(id));
    }

    fn put_file(&mut self, caller: Caller, to: &str, content: Content) {
        self.drop_alias(caller, to);
        self.files.insert(Expected::key(caller, to), content);
    }

    /// spec 4.5a: a rename replaces what has the stamped name; spec 4.4a: under an alias, if it edits.
    fn replaced(&self, caller: Caller, target: &Target) -> Option<Id> {
        match *target {
            Target::Handoff(id) => Some(id),
            Target::Alias(id) => {
                let handoff = &self.handoffs[id];
                let edits = caller.edits() || self.is_empty(handoff.content);
                (handoff.is_pending() && edits).then_some(id)
            }
            _ => None,
        }
    }

    fn rename_handoff(&mut self, caller: Caller, id: Id, to: &str, target: &Target) {
        let is_same = target.handoff() == Some(id);
        let replaced = self.replaced(caller, target).filter(|_| !is_same);
        match (kind(to), replaced) {
            (Kind::Stamped, _) if *target == Target::Handoff(id) => {}
            // The alias goes, and nothing else.
            (Kind::Free(..) | Kind::Merge, _) if is_same => {}
            // spec 4.5f: it stops being a handoff.
            (Kind::Scratch | Kind::Ordinary, _) => {
                let content = self.handoffs[id].content;
                self.handoffs[id].states = vec![State::Gone];
                self.forgive(content);
                self.put_file(caller, to, content);
                self.reopen(content, None);
            }
            // spec 4.5a, 3.9a: it takes the place of another handoff, whose content is kept.
            (_, Some(other)) => {
                self.handoffs[other].states = vec![State::Gone];
                let place = self.handoffs[other].path.clone().unwrap();
                let aliases = self.aliases.values_mut().flatten();
                for alias in aliases.chain(self.consumed.values_mut()) {
                    if *alias == other {
                        *alias = id;
                    }
                }
                self.set_stamped(id, &place);
                self.handoffs[id].changes += 1;
                self.set_alias(caller, to, id);
            }
            (Kind::Stamped, None) => self.set_stamped(id, to),
            // spec 4.5f: it keeps the stamp and changes the slug.
            (_, None) => {
                let (stamp, slug) = self.labels(caller, to).remove(0);
                let handoff = &mut self.handoffs[id];
                if stamp.is_some() {
                    handoff.states = vec![State::Pending];
                }
                let stamp = stamp.or_else(|| handoff.stamped().map(|name| name.stamp));
                (handoff.queue, handoff.path) = (queue(to).to_owned(), None);
                handoff.labels = vec![(stamp, slug)];
                self.set_alias(caller, to, id);
            }
        }
    }

    /// Whether the contract does not say what this unlink does: an ordinary text file may be back when the same process creates
    /// the name again (3.6d), and of several sessions' scratch files the one that goes is open.
    pub fn is_unlink_unsaid(&self, caller: Caller, path: &str) -> bool {
        let is_file = matches!(self.resolve(caller, path), Target::File(_));
        is_file && is_text(path) || self.is_foreign(caller, path)
    }

    pub fn unlink(&mut self, caller: Caller, path: &str) -> Result<()> {
        match self.resolve(caller, path) {
            Target::Nothing => return Err(libc::ENOENT),
            Target::Merge => {}
            Target::File(key) => {
                let content = self.files.remove(&key).unwrap();
                self.forgive(content);
            }
            Target::Handoff(id) => {
                // spec 3.9b: a pending handoff is kept.
                if !self.handoffs[id].is_pending() {
                    self.forgive(self.handoffs[id].content);
                }
                self.handoffs[id].states = vec![State::Gone];
            }
            // spec 4.5g: consumed undelivered, unless the same process creates the name again.
            Target::Alias(id) => {
                self.drop_alias(caller, path);
                let is_empty = self.is_empty(self.handoffs[id].content);
                let handoff = &mut self.handoffs[id];
                if handoff.is_pending() {
                    handoff.states = vec![State::Consumed(Some(self.now))];
                    if handoff.is_published && is_empty {
                        handoff.states.push(State::Gone);
                    }
                    self.unlinked.insert((caller, path.to_owned()), id);
                }
            }
        }
        Ok(())
    }

    /// spec 6.3a, 6.6b: it is consumed; its reader still finds it under its pending name.
    pub fn consume(&mut self, caller: Caller, id: Id, path: &str) {
        self.handoffs[id].states = vec![State::Consumed(Some(self.now))];
        let key = (caller.session(), path.to_owned());
        self.consumed.insert(key, id);
    }

    /// spec 4.8: an empty handoff goes with the retention time. Since when that counts is not followed here.
    pub fn sweep(&mut self) {
        for id in 0..self.handoffs.len() {
            let is_empty = self.is_empty(self.handoffs[id].content) && self.writers(id) == 0;
            if is_empty && self.handoffs[id].is_pending() {
                self.handoffs[id].states.push(State::Gone);
            }
        }
    }

    /// spec 4.3d: aliases end with the mount.
    pub fn remount(&mut self) {
        self.aliases.clear();
        self.consumed.clear();
        self.unlinked.clear();
        self.sweep();
    }
}
