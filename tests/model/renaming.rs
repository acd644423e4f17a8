//! The rules of names that change, of reading to the end, of time, and of a new daemon.

use crate::kernel::Result;
use crate::names::{Kind, base, is_text, kind};
use crate::ops::Who;
use crate::world::{At, Body, Found, Id, Key, State, World, is_within};

impl World {
    pub fn rename(&mut self, who: Who, from: &At, to: &At) -> Result<()> {
        if !self.queues.contains(&from.0) || !self.queues.contains(&to.0) {
            return Err(libc::ENOENT);
        }
        let (source, target) = (self.resolve(who, from), self.resolve(who, to));
        match source {
            Found::Nothing => return Err(libc::ENOENT),
            _ if self.is_foreign(who, &source) => return Err(libc::ENOENT),
            _ if from == to => {}
            Found::Merge => {}
            Found::File(key) => self.rename_file(who, &key, to, &target),
            Found::Doc(id, own) => {
                self.rename_doc(who, (id, own), from, to, &target);
                if own {
                    self.drop_name(who, from);
                }
            }
        }
        Ok(())
    }

    fn rename_file(&mut self, who: Who, key: &Key, to: &At, target: &Found) {
        let body = self.files.remove(key).unwrap();
        let is_file = matches!(target, Found::File(_));
        let replaces = is_file && !is_text(&to.1);
        // An ordinary file stays one or becomes a handoff: that is left open.
        let ordinary = kind(&key.0.1) != Kind::Scratch && self.seen.contains_key(to);
        let stays = ordinary && (is_file || *target == Found::Nothing);
        match kind(&to.1) {
            Kind::Scratch | Kind::Ordinary | Kind::Backup(_) => self.put_file(who, to, body),
            Kind::Free(..) if replaces || stays => self.put_file(who, to, body),
            _ => self.publish_file(who, body, to, target),
        }
    }

    fn put_file(&mut self, who: Who, to: &At, body: Body) {
        self.drop_name(who, to);
        self.files.insert((to.clone(), World::owner(who, to)), body);
    }

    /// spec 4.6b: renaming a scratch file publishes it; spec 4.4a, 4.5a: onto a stamped name, or by who edits, it replaces.
    fn publish_file(&mut self, who: Who, body: Body, to: &At, target: &Found) {
        self.promise(body);
        let free = *target == Found::Nothing && kind(&to.1) == Kind::Stamped;
        let id = match *target {
            Found::Doc(id, own) if self.is_replaced(who, id, own) => {
                self.docs[id].body = body;
                self.changed(id);
                id
            }
            _ => {
                let labels = self.labels(who, to);
                self.add(&to.0, labels, body)
            }
        };
        if free {
            self.put(id, to);
        }
        self.docs[id].published = true;
        self.set_name(who, to, id);
        self.reopen(body, Some(id));
    }

    fn is_replaced(&self, who: Who, id: Id, own: bool) -> bool {
        let doc = &self.docs[id];
        let edits = self.edits(who, Some(id)) || self.is_empty(doc.body) && self.writers(id) == 0;
        doc.published && (!own || doc.is_pending() && edits)
    }

    fn rename_doc(&mut self, who: Who, of: (Id, bool), from: &At, to: &At, target: &Found) {
        let (id, own) = of;
        let onto = match *target {
            Found::Doc(other, own) => Some((other, own, self.is_replaced(who, other, own))),
            _ => None,
        };
        let published = self.docs[id].published;
        match (kind(&to.1), onto) {
            // Renamed to a name that it has, an alias goes, and nothing else.
            (kind, Some((other, ..))) if other == id && kind != Kind::Stamped => {}
            (Kind::Stamped, _) if self.docs[id].is_at(to) => {}
            (Kind::Scratch | Kind::Ordinary | Kind::Backup(_), _) => self.unmake(who, id, to),
            (Kind::Stamped, Some((other, ..))) if other != id => {
                self.rename_over(who, id, other, to);
            }
            (Kind::Stamped, _) => self.put(id, to),
            (_, Some((other, true, true))) if published => self.rename_over(who, id, other, to),
            (kind, _) => {
                let stem = from.1.strip_suffix(".md").map(|it| format!("{it}_done.md"));
                if own && stem.as_ref() == Some(&to.1) {
                    return self.docs[id].states = vec![State::Consumed(Some(self.now))];
                }
                let doc = &mut self.docs[id];
                let (stamp, slug) = match kind {
                    Kind::Free(stamp, slug) => (stamp.map(str::to_owned), slug),
                    _ => (None, "pending"),
                };
                if stamp.is_some() {
                    doc.states = vec![State::Pending];
                }
                // spec 4.5f: it keeps the stamp and changes the slug.
                let stamp = stamp.or_else(|| doc.parsed().map(|it| it.stamp));
                (doc.queue, doc.file) = (to.0.clone(), None);
                doc.labels = vec![(stamp, slug.to_owned())];
                self.set_name(who, to, id);
            }
        }
    }

    /// spec 4.5a, 3.9a: it takes the other's place, whose content is kept.
    fn rename_over(&mut self, who: Who, id: Id, other: Id, to: &At) {
        let place = &self.docs[other];
        let place = (place.queue.clone(), place.file.clone().unwrap());
        self.docs[other].states = vec![State::Gone];
        for ids in self.names.values_mut() {
            ids.iter_mut()
                .filter(|it| **it == other)
                .for_each(|it| *it = id);
        }
        self.put(id, &place);
        let states = self.docs[id].states.clone();
        self.changed(id);
        self.docs[id].states = states;
        self.set_name(who, to, id);
    }

    /// spec 4.5f: it stops being a handoff.
    fn unmake(&mut self, who: Who, id: Id, to: &At) {
        let body = self.docs[id].body;
        self.docs[id].states = vec![State::Gone];
        self.forgive(body);
        self.put_file(who, to, body);
        self.reopen(body, None);
    }

    pub fn unlink(&mut self, who: Who, at: &At) -> Result<()> {
        match self.resolve(who, at) {
            _ if !self.queues.contains(&at.0) => return Err(libc::ENOENT),
            Found::Nothing => return Err(libc::ENOENT),
            Found::Merge => {}
            Found::File(key) => {
                let body = self.files.remove(&key).unwrap();
                self.forgive(body);
            }
            Found::Doc(id, false) => {
                // spec 3.9b: a pending one is kept.
                if !self.docs[id].is_pending() {
                    self.forgive(self.docs[id].body);
                }
                self.docs[id].states = vec![State::Gone];
            }
            Found::Doc(id, true) => self.retract(who, at, id),
        }
        Ok(())
    }

    /// spec 4.5g: consumed undelivered, unless the same process makes the name again.
    fn retract(&mut self, who: Who, at: &At, id: Id) {
        self.drop_name(who, at);
        let empty = self.is_empty(self.docs[id].body);
        let doc = &mut self.docs[id];
        if doc.is_pending() {
            doc.states = vec![State::Consumed(Some(self.now))];
            if doc.published && empty {
                doc.states.push(State::Gone);
            }
            self.retracted.insert((who, at.clone()), id);
        }
    }

    /// spec 4.10a
    pub fn mkdir(&mut self, queue: &str) -> Result<()> {
        let above = queue.rsplit_once('/').map_or("", |it| it.0);
        match self.queues.contains(above) {
            false => Err(libc::ENOENT),
            true if self.queues.insert(queue.to_owned()) => Ok(()),
            true => Err(libc::EEXIST),
        }
    }

    /// spec 4.10a: one that lists nothing is removed.
    pub fn rmdir(&mut self, queue: &str) -> Result<()> {
        let queues = self.queues.iter().filter(|it| *it != queue);
        let docs = self.visible().map(|id| &self.docs[id].queue);
        let files = self.files.keys().map(|key| &key.0.0);
        let lists = queues
            .chain(docs)
            .chain(files)
            .any(|it| is_within(it, queue));
        match self.queues.contains(queue) {
            false => return Err(libc::ENOENT),
            true if lists => return Err(libc::ENOTEMPTY),
            true => self.queues.remove(queue),
        };
        self.names.retain(|(_, at), _| at.0 != queue);
        Ok(())
    }

    /// spec 6.3a, 6.6b: what was read to the end is consumed; its reader goes on finding it under its pending name.
    pub fn consume(&mut self, who: Who, id: Id, at: &At) {
        self.docs[id].states = vec![State::Consumed(Some(self.now))];
        let ids = self.names.entry((who.session(), at.clone())).or_default();
        ids.push(id);
    }

    /// spec 3.7a: text that turns up is a pending handoff, all else is an ordinary file.
    pub fn stray(&mut self, at: &At, bytes: Vec<u8>, kind: Kind) {
        let body = self.body(bytes);
        let labels = match kind {
            Kind::Free(None, slug) => vec![(None, slug.to_owned())],
            Kind::Free(Some(stamp), slug) => {
                let unstamped = format!("{stamp}_{slug}");
                vec![(Some(stamp.to_owned()), slug.to_owned()), (None, unstamped)]
            }
            Kind::Stamped => Vec::new(),
            _ => {
                self.files.insert((at.clone(), None), body);
                return;
            }
        };
        let id = self.add(&at.0, labels, body);
        self.docs[id].published = true;
        if kind == Kind::Stamped {
            self.put(id, at);
        }
        self.promise(body);
    }

    /// spec 4.8: what has no byte goes with the retention time, which counts from when is not known here.
    pub fn sweep(&mut self) {
        for id in 0..self.docs.len() {
            let empty = self.is_empty(self.docs[id].body) && self.writers(id) == 0;
            if empty && self.docs[id].is_pending() {
                self.docs[id].states.push(State::Gone);
            }
        }
    }

    /// spec 4.3d: aliases end with the mount; spec 3.8: drafts are recovered, unfinished edits are not published.
    pub fn daemon_ends(&mut self) {
        for id in 0..self.docs.len() {
            let empty = self.is_empty(self.docs[id].body);
            let edited = self.docs[id]
                .edited()
                .filter(|body| empty && !self.is_empty(*body));
            let doc = &mut self.docs[id];
            doc.edit = None;
            let published = std::mem::replace(&mut doc.published, true);
            let Some(name) = doc.parsed() else { continue };
            let partial = (Some(name.stamp), format!("{}-partial", base(&name.slug)));
            if !published && doc.states[0] != State::Gone {
                doc.states = vec![if empty { State::Gone } else { State::Pending }];
                (doc.file, doc.labels) = (None, vec![partial]);
            } else if let Some(body) = edited {
                // Where it edits nothing, it may as well be a handoff.
                let queue = doc.queue.clone();
                let new = self.add(&queue, vec![partial], body);
                self.docs[new].published = true;
                self.docs[new].states = vec![State::Gone, State::Pending];
            }
        }
        self.names.clear();
        self.retracted.clear();
        self.opens.clear();
        self.sweep();
    }
}
