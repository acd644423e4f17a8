//! The model, continued: what reading consumes (6), and what ends with the daemon (3.8, 4.3).

use handoff_fs::names::StampedName;

use crate::model::{At, Content, Id, Model};
use crate::ops::Who;

impl Model {
    pub fn consume(&mut self, who: Who, ids: &[Id]) {
        let mut taken = Vec::new();
        for &id in ids {
            let handoff = &mut self.handoffs[id];
            let at = (handoff.queue.clone(), handoff.name.to_string());
            handoff.name = handoff.name.consumed();
            handoff.unsettled = true;
            handoff.week = self.week;
            let done = handoff.name.clone();
            self.consumed
                .insert((who.session(), at), (id, done.clone()));
            taken.push((id, done));
        }
        if who == Who::Agent {
            self.recent.push((who, self.now, taken));
        }
    }

    /// It was seen which suffix a handoff was given (3.3).
    pub fn settle(&mut self, id: Id, name: &StampedName) {
        let old = std::mem::replace(&mut self.handoffs[id].name, name.clone());
        self.handoffs[id].unsettled = false;
        let taken = self.recent.iter_mut().flat_map(|it| &mut it.2);
        for (of, done) in self.consumed.values_mut().chain(taken) {
            if *of == id && *done == old {
                *done = name.clone();
            }
        }
    }

    /// What ends with the daemon: sessions' names, and every open file (4.3, 3.8).
    pub fn daemon_ends(&mut self) {
        self.opens.clear();
        self.written.clear();
        self.consumed.clear();
        self.vacated.clear();
        self.single_file.clear();
        self.recent.clear();
        for id in 0..self.handoffs.len() {
            self.handoffs[id].writers = 0;
            if let Some(kept) = self.handoffs[id].kept.take() {
                self.put_back(id, kept);
            }
            let (ino, name) = (self.handoffs[id].ino, self.handoffs[id].name.clone());
            let partial = name.pending().with_slug(name.slug().partial());
            match self.handoffs[id].content {
                Content::New { .. } if self.inodes[ino].bytes.is_empty() => {
                    self.handoffs[id].content = Content::Gone;
                }
                Content::New { .. } => {
                    let handoff = &mut self.handoffs[id];
                    handoff.content = Content::Stored;
                    handoff.name = partial;
                    handoff.unsettled = true;
                }
                Content::Editing { draft, .. } => {
                    // Nothing is left to be edited (3.8); what expired was deleted.
                    let expired = !self.is_visible(&self.handoffs[id]);
                    self.handoffs[id].content = Content::Stored;
                    let nothing = expired || self.inodes[ino].bytes.is_empty();
                    if nothing && !self.inodes[draft].bytes.is_empty() {
                        let queue = self.handoffs[id].queue.clone();
                        let new = self.add(&queue, partial, Content::Stored, draft);
                        self.handoffs[new].unsettled = true;
                    }
                }
                _ => {}
            }
        }
    }

    /// What is empty because rewriting it was cut short gets its content back (3.9).
    fn put_back(&mut self, id: Id, (at, bytes): (At, Vec<u8>)) {
        let handoff = &self.handoffs[id];
        let same = (&handoff.queue, &handoff.name.to_string()) == (&at.0, &at.1);
        let there = matches!(handoff.content, Content::Stored | Content::Editing { .. });
        if same && there && self.inodes[handoff.ino].bytes.is_empty() && !bytes.is_empty() {
            self.handoffs[id].ino = self.inode(bytes);
        }
    }
}
