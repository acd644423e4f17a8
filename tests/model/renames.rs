//! The model, continued: names that change (4.5, 4.6, 4.7, 4.10), time, and what others do below the mount.

use std::ffi::OsStr;

use handoff_fs::clock::Zone;
use handoff_fs::names::{self, NameClass, Slug, StampedName};

use crate::model::{At, Content, Id, Model, Object, Plain, Vacated};
use crate::ops::Who;
use crate::sys::Result;

impl Model {
    pub fn rename(&mut self, who: Who, from: &At, to: &At) -> Result<()> {
        if !self.queues.contains(&from.0) || !self.queues.contains(&to.0) {
            return Err(libc::ENOENT);
        }
        let session = who.session();
        if from == to && self.resolve(session, from) != Object::Missing {
            // The kernel sees that.
            return Ok(());
        }
        let [source, target] = [from, to].map(|at| self.resolve_own(session, at));
        match (source, target) {
            (Object::Missing, _) => return Err(libc::ENOENT),
            (Object::Pending, _) => {}
            (Object::Plain, _) => self.rename_plain(who, from, to, target),
            (Object::Handoff { id, own }, Object::Handoff { id: other, .. }) if id == other => {
                let handoff = &self.handoffs[id];
                let is_another =
                    |name: StampedName| (&handoff.queue, &handoff.name) != (&to.0, &name);
                if StampedName::parse(OsStr::new(&to.1)).is_some_and(is_another) {
                    // `mv X_done.md X.md`, where it was found all the time (6.6).
                    self.rename_handoff(who, id, from, to, Object::Missing);
                }
                if own {
                    self.drop_alias(who, from);
                }
            }
            (Object::Handoff { id, own }, _) => {
                self.rename_handoff(who, id, from, to, target);
                if own {
                    self.drop_alias(who, from);
                }
            }
        }
        Ok(())
    }

    fn drop_alias(&mut self, who: Who, at: &At) {
        let key = (who.session(), at.clone());
        self.written.remove(&key);
        self.consumed.remove(&key);
    }

    fn alias_for(&mut self, who: Who, at: &At, id: Id) {
        if self.handoffs[id].unsettled || self.handoffs[id].name.to_string() != at.1 {
            self.set_alias(who, at, id);
        }
    }

    /// A plain file takes this name, over whatever plain file has it.
    fn put_plain(&mut self, who: Who, to: &At, plain: &Plain) {
        let own = names::classify(OsStr::new(&to.1)) == NameClass::Scratch;
        let owner = own.then_some(who.session());
        let plain = Plain { owner, ..*plain };
        if let Some(old) = self.add_plain(to, plain) {
            self.inodes[old.ino].acknowledged.clear();
        }
        // The name means to the renamer what was renamed.
        self.drop_alias(who, to);
    }

    fn rename_plain(&mut self, who: Who, from: &At, to: &At, target: Object) {
        let session = who.session();
        let plain = self.own_plain(session, from).unwrap().clone();
        let name = OsStr::new(&to.1);
        let class = names::classify(name);
        let stays = target == Object::Plain
            || !plain.scratch && target == Object::Missing && !names::is_adoptable(name);
        match class {
            NameClass::Backup | NameClass::Ordinary => {
                self.remove_plain(session, from);
                self.put_plain(
                    who,
                    to,
                    &Plain {
                        scratch: false,
                        ..plain
                    },
                );
            }
            NameClass::Scratch | NameClass::SharedScratch => {
                self.remove_plain(session, from);
                self.put_plain(
                    who,
                    to,
                    &Plain {
                        scratch: true,
                        ..plain
                    },
                );
            }
            NameClass::Unstamped if stays => {
                self.remove_plain(session, from);
                self.put_plain(
                    who,
                    to,
                    &Plain {
                        scratch: false,
                        ..plain
                    },
                );
            }
            _ => self.publish_plain(who, from, to, target),
        }
    }

    /// Does a rename onto this replace its content, rather than make a new handoff (4.1, 4.4, 4.5)?
    fn is_replaceable(&self, who: Who, id: Id, own: bool) -> bool {
        let handoff = &self.handoffs[id];
        let empty = self.inodes[handoff.ino].bytes.is_empty() && handoff.writers == 0;
        handoff.content == Content::Stored
            && (!own || handoff.name.is_pending() && (empty || self.edits(who, id)))
    }

    fn publish_plain(&mut self, who: Who, from: &At, to: &At, target: Object) {
        let plain = self.remove_plain(who.session(), from).unwrap();
        if to.1 == names::PENDING {
            self.note_pending_written(who);
        }
        let bytes = self.inodes[plain.ino].bytes.clone();
        if !bytes.is_empty() {
            self.inodes[plain.ino].acknowledged.push(bytes);
        }
        let id = match target {
            Object::Handoff { id, own } if self.is_replaceable(who, id, own) => {
                self.handoffs[id].ino = plain.ino;
                self.changed_handoff(id, plain.ino);
                id
            }
            _ => {
                let (name, exactly) = match names::classify(OsStr::new(&to.1)) {
                    NameClass::Stamped(name) => (name, target == Object::Missing),
                    _ => self.name_after_vacation(who, to),
                };
                let id = self.add(&to.0, name, Content::Stored, plain.ino);
                self.handoffs[id].unsettled =
                    !exactly || self.handoffs[id].name.to_string() != to.1;
                id
            }
        };
        self.alias_for(who, to, id);
        self.adopt_opens(plain.ino, id);
    }

    fn rename_handoff(&mut self, who: Who, id: Id, from: &At, to: &At, target: Object) {
        let class = names::classify(OsStr::new(&to.1));
        match (class, target) {
            (NameClass::Scratch | NameClass::SharedScratch, _) => {
                self.unmake(who, id, from, to, true);
            }
            (NameClass::Backup | NameClass::Ordinary, _) => self.unmake(who, id, from, to, false),
            (_, Object::Plain) => {
                let scratch = self.own_plain(who.session(), to).unwrap().scratch;
                self.unmake(who, id, from, to, scratch);
            }
            (NameClass::Stamped(_), Object::Handoff { id: other, .. }) => {
                self.rename_over(who, id, other, to);
            }
            (NameClass::Stamped(name), _) => {
                let exactly = name.to_string() == to.1;
                self.move_to(id, to, name, exactly);
                self.alias_for(who, to, id);
            }
            (_, target) => {
                if let Some(name) = self.marked(who, id, from, to) {
                    let handoff = &self.handoffs[id];
                    if (&handoff.queue, &handoff.name) != (&to.0, &name) {
                        self.move_to(id, to, name, false);
                    }
                    return self.alias_for(who, to, id);
                }
                if to.1 == names::PENDING {
                    self.note_pending_written(who);
                }
                let stored = self.handoffs[id].content == Content::Stored;
                if let Object::Handoff { id: other, own } = target
                    && stored
                    && self.is_replaceable(who, other, own)
                {
                    return self.rename_over(who, id, other, to);
                }
                let slug = Slug::from_written(OsStr::new(&to.1));
                let name = self.handoffs[id].name.clone();
                if *name.slug() != slug || self.handoffs[id].queue != to.0 {
                    self.move_to(id, to, name.with_slug(slug), false);
                }
                self.alias_for(who, to, id);
            }
        }
    }

    /// `mv notes.md notes_done.md` of an own alias consumes, and its way back makes pending (4.5).
    fn marked(&self, who: Who, id: Id, from: &At, to: &At) -> Option<StampedName> {
        let name = &self.handoffs[id].name;
        let own = Object::Handoff { id, own: true };
        if self.resolve(who.session(), from) != own {
            return None;
        }
        let [from, to] = [from, to].map(|at| OsStr::new(&at.1));
        if names::is_done_form(from, to) {
            return Some(name.consumed());
        }
        let written_so = name.slug().starts_with(&Slug::from_written(from));
        (names::is_done_form(to, from) && !written_so).then(|| name.pending())
    }

    fn move_to(&mut self, id: Id, to: &At, name: StampedName, exactly: bool) {
        let handoff = &mut self.handoffs[id];
        if handoff.name.is_pending() && !name.is_pending() {
            // The seven days count from now (3.5).
            handoff.week = self.week;
        }
        handoff.queue.clone_from(&to.0);
        handoff.unsettled = !exactly;
        handoff.name = name;
        if handoff.name.is_pending() {
            let at = (to.0.clone(), handoff.name.to_string());
            self.consumed.retain(|(_, of), _| *of != at);
        }
    }

    fn rename_over(&mut self, who: Who, id: Id, other: Id, to: &At) {
        let (queue, name) = (
            self.handoffs[other].queue.clone(),
            self.handoffs[other].name.clone(),
        );
        let both = [id, other].map(|id| self.handoffs[id].content);
        if both != [Content::Stored; 2] {
            // One of them is being written: neither may be lost.
            self.move_to(id, to, name, false);
            return self.alias_for(who, to, id);
        }
        self.retarget(other, id);
        self.handoffs[other].content = Content::Gone;
        self.move_to(id, &(queue, name.to_string()), name, true);
        self.handoffs[id].unsettled = self.handoffs[other].unsettled;
        let ino = self.handoffs[id].ino;
        let week = self.handoffs[id].week;
        self.changed_handoff(id, ino);
        self.handoffs[id].week = week;
        self.alias_for(who, to, id);
    }

    /// It stops being a handoff (4.5).
    fn unmake(&mut self, who: Who, id: Id, from: &At, to: &At, scratch: bool) {
        let handoff = &mut self.handoffs[id];
        handoff.content = Content::Gone;
        let plain = Plain {
            owner: None,
            scratch,
            ino: handoff.ino,
        };
        let name = handoff.name.clone();
        if who != Who::Nobody {
            self.vacated
                .push((who, from.clone(), Vacated::BackedUp(name)));
        }
        self.put_plain(who, to, &plain);
    }

    pub fn unlink(&mut self, who: Who, at: &At) -> Result<()> {
        if !self.queues.contains(&at.0) {
            return Err(libc::ENOENT);
        }
        match self.resolve_own(who.session(), at) {
            Object::Missing if self.remove_left(at) => {}
            Object::Missing => return Err(libc::ENOENT),
            Object::Pending => {}
            Object::Plain => {
                let plain = self.remove_plain(who.session(), at).unwrap();
                self.inodes[plain.ino].acknowledged.clear();
            }
            Object::Handoff { id, own: false } => self.delete(id),
            Object::Handoff { id, own: true } => {
                self.drop_alias(who, at);
                let stored = self.handoffs[id].ino;
                let handoff = &mut self.handoffs[id];
                match handoff.content {
                    Content::New { .. } => handoff.retracted = true,
                    Content::Gone => {}
                    _ if !handoff.name.is_pending() => {}
                    _ if self.inodes[stored].bytes.is_empty() => {
                        self.delete(id);
                        return Ok(());
                    }
                    _ => {
                        handoff.name = handoff.name.consumed();
                        handoff.unsettled = true;
                        handoff.week = self.week;
                    }
                }
                if who != Who::Nobody {
                    self.vacated.push((who, at.clone(), Vacated::Retracted(id)));
                }
            }
        }
        Ok(())
    }

    /// Other sessions' scratch files that nobody has touched lately go; their times are as in [`Model::sweep`].
    fn remove_left(&mut self, at: &At) -> bool {
        let (opens, week) = (&self.opens, self.week);
        let Some(of_name) = self.plain.get_mut(at).filter(|_| week > 0) else {
            return false;
        };
        let before = of_name.len();
        of_name.retain(|plain| opens.values().any(|open| open.ino == plain.ino));
        let removed = of_name.len() < before;
        if of_name.is_empty() {
            self.plain.remove(at);
        }
        removed
    }

    fn delete(&mut self, id: Id) {
        let ino = self.handoffs[id].ino;
        self.handoffs[id].content = Content::Gone;
        self.inodes[ino].acknowledged.clear();
    }

    pub fn mkdir(&mut self, queue: &str) -> Result<()> {
        let above = queue.rsplit_once('/').map_or("", |it| it.0);
        if !self.queues.contains(above) {
            return Err(libc::ENOENT);
        }
        if !self.queues.insert(queue.to_owned()) {
            return Err(libc::EEXIST);
        }
        Ok(())
    }

    fn lists_anything(&self, queue: &str) -> bool {
        self.visible()
            .any(|(_, it)| Model::is_within(&it.queue, queue))
            || self.plain.keys().any(|at| Model::is_within(&at.0, queue))
            || self
                .queues
                .iter()
                .any(|it| it != queue && Model::is_within(it, queue))
    }

    pub fn rmdir(&mut self, queue: &str) -> Result<()> {
        if !self.queues.contains(queue) {
            return Err(libc::ENOENT);
        }
        if self.lists_anything(queue) {
            return Err(libc::ENOTEMPTY);
        }
        self.queues.remove(queue);
        self.written.retain(|(_, at), _| at.0 != queue);
        self.consumed.retain(|(_, at), _| at.0 != queue);
        self.vacated.retain(|it| it.1.0 != queue);
        Ok(())
    }

    pub fn rename_dir(&mut self, from: &str, to: &str) -> Result<()> {
        let above = to.rsplit_once('/').map_or("", |it| it.0);
        if !self.queues.contains(from) || !self.queues.contains(above) {
            return Err(libc::ENOENT);
        }
        if from == to {
            return Ok(());
        }
        if Model::is_within(to, from) {
            return Err(libc::EINVAL);
        }
        if self.queues.contains(to) {
            self.rmdir(to)?;
        }
        let moved = |queue: &String| match Model::is_within(queue, from) {
            true => format!("{to}{}", &queue[from.len()..]),
            false => queue.clone(),
        };
        let at = |at: &At| (moved(&at.0), at.1.clone());
        self.queues = self.queues.iter().map(moved).collect();
        for handoff in &mut self.handoffs {
            handoff.queue = moved(&handoff.queue);
        }
        self.plain = self.plain.iter().map(|(k, v)| (at(k), v.clone())).collect();
        self.written = self
            .written
            .iter()
            .map(|(k, v)| ((k.0, at(&k.1)), *v))
            .collect();
        self.consumed = self
            .consumed
            .iter()
            .map(|(k, v)| ((k.0, at(&k.1)), v.clone()))
            .collect();
        for vacated in &mut self.vacated {
            vacated.1 = at(&vacated.1);
        }
        Ok(())
    }

    /// A file turns up below (3.7), with the clock's time as its mtime.
    pub fn stray(&mut self, at: &At, bytes: Vec<u8>) {
        let name = OsStr::new(&at.1);
        let ino = self.inode(bytes.clone());
        let stamp = Zone::Utc.stamp(self.now);
        let exact = StampedName::parse(name);
        if exact.is_none() && !names::is_adoptable(name) && at.1 != names::PENDING {
            let plain = Plain {
                owner: None,
                scratch: false,
                ino,
            };
            self.add_plain(at, plain);
            return;
        }
        self.inodes[ino].acknowledged.push(bytes);
        let exactly = exact.is_some();
        let adopted = exact.unwrap_or_else(|| names::adopted(name, stamp));
        let id = self.add(&at.0, adopted, Content::Stored, ino);
        self.handoffs[id].unsettled = !exactly;
        self.handoffs[id].week = self.week;
    }

    /// What has expired is deleted (7.1, 4.8, 4.6, 3.9).
    pub fn sweep(&mut self) {
        let due = |week: u32| self.week > week;
        for handoff in &mut self.handoffs {
            let empty = self.inodes[handoff.ino].bytes.is_empty();
            let unused = handoff.content == Content::Stored && handoff.writers == 0;
            let nothing = handoff.name.is_pending() && empty && unused;
            let stored = !matches!(handoff.content, Content::New { .. });
            if stored && due(handoff.week) && (nothing || !handoff.name.is_pending()) {
                handoff.content = Content::Gone;
            }
        }
        if self.week > 0 {
            // The files below have the machine's time, which stands before the first week.
            let opens = &self.opens;
            let is_open = |ino| opens.values().any(|open| open.ino == ino);
            self.plain.retain(|_, of_name| {
                of_name.retain(|plain| !plain.scratch || is_open(plain.ino));
                !of_name.is_empty()
            });
        }
        let live: Vec<_> = self.visible().map(|(_, it)| it.ino).collect();
        let plain: Vec<_> = self.plain.values().flatten().map(|it| it.ino).collect();
        for (ino, inode) in self.inodes.iter_mut().enumerate() {
            let there = live.contains(&ino) || plain.contains(&ino);
            // Replaced versions go too.
            let bytes = inode.bytes.clone();
            inode
                .acknowledged
                .retain(|old| there && bytes.windows(old.len()).any(|it| it == old));
        }
    }
}
