//! Looks at everything that can be seen, takes over what the contract leaves open, and judges the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::kernel::{Call, Sys};
use crate::names::{PEEK, PENDING, Stamped, base, stamp};
use crate::ops::Who;
use crate::run::{Run, path, place};
use crate::world::{At, Doc, Found, Id, RETENTION, State, contains};

/// Bytes for messages.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// spec 6.1a, 6.1b, 6.1c: an index of lines, then each handoff whole under a line of its own, the oldest first; spec 6.2a: of
/// such a size. Answers each one's path, content, and when it was written.
fn parse(merge: &[u8]) -> Vec<(String, Vec<u8>, String)> {
    let size = merge.len();
    assert!(
        size == 0 || !size.is_multiple_of(512),
        "pending.md has {size} bytes"
    );
    let mut items = Vec::new();
    let mut rest = merge;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = text(&rest[..end]);
        rest = &rest[end + 1..];
        assert!(line.starts_with("<!-- "), "not a header: {line}");
        let Some(header) = line.strip_prefix("<!-- handoff ") else {
            continue;
        };
        let fields: Vec<&str> = header.split(" | ").collect();
        let (_, path) = fields[0].split_once(": ").unwrap();
        let size: usize = fields[1].strip_suffix(" bytes").unwrap().parse().unwrap();
        let body = rest[..size].to_vec();
        rest = &rest[size..];
        if !body.ends_with(b"\n") {
            rest = rest.strip_prefix(b"\n").expect("a newline is put after it");
        }
        items.push((path.to_owned(), body, fields[2].to_owned()));
    }
    assert!(rest.is_empty(), "after the last handoff: {}", text(rest));
    let stamp = |it: &(String, _, _)| Stamped::parse(&place(&it.0).1).unwrap().stamp;
    assert!(
        items.is_sorted_by_key(stamp),
        "not the oldest first: {}",
        text(merge)
    );
    items
}

fn read_all(dir: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => read_all(&path, found),
            false => found.extend(fs::read(&path)),
        }
    }
}

impl<S: Sys> Run<S> {
    /// Reads every file under every name that is listed.
    pub fn look(&mut self) {
        self.world.seen.clear();
        for queue in self.world.queues.clone() {
            let Ok(listed) = self.call(Who::Watcher, Call::List(&queue)) else {
                continue;
            };
            let mut names: Vec<String> = text(&listed).split('\0').map(str::to_owned).collect();
            names.retain(|it| !["", ".", "..", PENDING].contains(&it.as_str()));
            let unique = BTreeSet::from_iter(&names).len();
            assert_eq!(unique, names.len(), "two of one name: {names:?}");
            for name in names {
                let at = (queue.clone(), name);
                match self.cat(Who::Watcher, &path(&at)) {
                    Ok(bytes) => drop(self.world.seen.insert(at, bytes)),
                    Err(libc::EISDIR) if self.world.queues.contains(&path(&at)) => {}
                    Err(errno) => panic!("{at:?} is listed, but errno {errno}"),
                }
            }
        }
    }

    /// Compares everything, after each step.
    pub fn judge(&mut self) {
        self.world.now = self.now();
        self.look();
        self.take_names();
        self.judge_files();
        for queue in self.world.queues.clone() {
            let merge = self.cat(Who::Watcher, &path(&(queue.clone(), PEEK.into())));
            let merge = merge.expect("read .peek.md");
            let at = path(&(queue.clone(), PENDING.into()));
            let size = self.size(Who::Watcher, Call::Stat(&at));
            if self.world.pending(&queue, false).is_empty() {
                assert_eq!(size, merge.len(), "st_size of {at}");
            }
            self.judge_merge(&queue, &merge, true);
        }
        self.judge_sessions();
        self.judge_promises();
    }

    /// spec 3.2a, 3.2b, 3.3: its stamp, its slug and any suffix, and its state.
    fn may_be_called(&self, doc: &Doc, done: bool, at: &At) -> bool {
        let Some(name) = Stamped::parse(&at.1) else {
            return false;
        };
        let now = stamp(self.step)..=stamp(self.now());
        let fits = |(stamp, slug): &(Option<String>, String)| {
            let in_time = stamp
                .as_ref()
                .map_or(now.contains(&name.stamp), |it| *it == name.stamp);
            in_time && base(&name.slug) == base(slug)
        };
        // spec 4.4a: what a program backed up and writes anew has the name that it had.
        let docs = &self.world.docs;
        let gone = docs
            .iter()
            .filter(|it| it.states == [State::Gone] && it.queue == doc.queue);
        let slug = |it: &Stamped| {
            doc.labels
                .iter()
                .any(|label| base(&label.1) == base(&it.slug))
        };
        let gone = gone.filter_map(Doc::parsed).filter(slug);
        let own = doc.parsed().into_iter().chain(gone).map(Stamped::label);
        let named = at.0 == doc.queue && (name.done == done || done && !doc.published);
        named && own.chain(doc.labels.iter().cloned()).any(|it| fits(&it))
    }

    /// Finds each document in the listings, and takes over what is left open: suffixes, and states.
    fn take_names(&mut self) {
        let stamped = |at: &&At| Stamped::parse(&at.1).is_some();
        let mut free: BTreeSet<At> = self.world.seen.keys().filter(stamped).cloned().collect();
        let mut left: Vec<Id> = (0..self.world.docs.len()).collect();
        let docs = &self.world.docs;
        left.retain(|id| docs[*id].states.len() > 1 || self.world.is_visible(*id));
        // Those that keep their names; those that have one without a suffix; the others.
        for round in 0..3 {
            for id in std::mem::take(&mut left) {
                let doc = &self.world.docs[id];
                let fits = |done: bool, at: &At| {
                    let kept = doc.is_at(at);
                    let slug = Stamped::parse(&at.1).unwrap().slug;
                    let new = doc.is_unnamed()
                        && (round == 2 || base(&slug) == slug)
                        && self.world.seen[at] == self.world.bodies[doc.body];
                    (kept || round > 0 && new) && self.may_be_called(doc, done, at)
                };
                let found = doc.states.iter().filter(|state| **state != State::Gone);
                let mut found = found.filter_map(|state| {
                    let done = *state != State::Pending;
                    Some((*state, free.iter().find(|at| fits(done, at)).cloned()?))
                });
                match found.next() {
                    Some((state, at)) => {
                        free.remove(&at);
                        self.take_name(id, state, at);
                    }
                    None if round < 2 => left.push(id),
                    None if doc.states.contains(&State::Gone) => self.vanish(id),
                    None if doc.states == [State::Consumed(None)] => {
                        self.world.docs[id].states = vec![State::Gone];
                    }
                    None => panic!("not listed: {doc:?}\nof nobody: {free:?}"),
                }
            }
        }
        let docs = &self.world.docs;
        assert!(
            free.is_empty(),
            "nobody's, or not as it should be called: {free:?}\n{docs:?}"
        );
    }

    fn take_name(&mut self, id: Id, state: State, at: At) {
        let slug = |name: Stamped| base(&name.slug).to_owned();
        let name = Stamped::parse(&at.1).unwrap();
        if base(&name.slug) != name.slug && !self.world.docs[id].is_at(&at) {
            // spec 3.3: only where another has, or had, the name itself.
            let base = slug(name);
            let docs = self.world.docs.iter().filter(|doc| doc.queue == at.0);
            let mut same = docs
                .filter_map(Doc::parsed)
                .filter(|it| base == slug(it.clone()));
            assert!(same.next().is_some(), "a suffix for nothing: {at:?}");
        }
        let doc = &mut self.world.docs[id];
        doc.states = vec![state];
        if state == State::Pending {
            // A name that a document has means that document to everybody.
            self.world.names.retain(|(_, alias), _| *alias != at);
        }
        let edited = doc
            .edited()
            .is_some_and(|body| self.world.bodies[body].is_empty());
        let had = !self.world.bodies[doc.body].is_empty();
        let emptied = edited && had && self.world.seen[&at].is_empty();
        (doc.queue, doc.file) = (at.0, Some(at.1));
        if emptied {
            // A close that follows O_TRUNC alone may publish it, or not yet.
            self.world.end_edit(id);
        }
    }

    /// Nothing was written, and nothing is there: a session's name leads to what it led to before.
    fn vanish(&mut self, id: Id) {
        self.world.docs[id].states = vec![State::Gone];
        let names = &mut self.world.names;
        names
            .values_mut()
            .for_each(|ids| ids.retain(|it| *it != id));
        names.retain(|_, ids| !ids.is_empty());
    }

    /// What is listed, and what it holds to everybody (4.4, 4.6).
    fn judge_files(&mut self) {
        let world = &self.world;
        let mut expected: BTreeMap<At, Vec<usize>> = BTreeMap::new();
        for (key, body) in &world.files {
            expected.entry(key.0.clone()).or_default().push(*body);
        }
        for id in world.visible() {
            let doc = &world.docs[id];
            expected.insert(
                (doc.queue.clone(), doc.file.clone().unwrap()),
                vec![doc.body],
            );
        }
        let listed = BTreeSet::from_iter(world.seen.keys());
        assert_eq!(
            listed,
            BTreeSet::from_iter(expected.keys()),
            "listed (left), and expected"
        );
        for (at, bytes) in &world.seen {
            let may: Vec<_> = expected[at]
                .iter()
                .map(|body| text(&world.bodies[*body]))
                .collect();
            let is = text(bytes);
            assert!(
                may.contains(&is),
                "{at:?} holds {is:?}, not {may:?}\n{:?}",
                world.docs
            );
            let below = self.mount.below(path(at));
            let hidden = at.1 == ".hid";
            assert!(
                !hidden || below.exists(),
                "{at:?} is not there below the mount"
            );
        }
    }

    /// spec 6.1a, 4.2c: everything that is pending, and nothing else. Who only `looks`, and does not wait, may see what
    /// is about to be closed. Answers each document and its pending name.
    pub fn judge_merge(&mut self, queue: &str, merge: &[u8], looks: bool) -> Vec<(Id, At)> {
        let mut due = self.world.pending(queue, true);
        let closing = self.world.pending(queue, false);
        let mut found = Vec::new();
        for (item, body, written) in parse(merge) {
            let at = place(&path(&(queue.to_owned(), item)));
            let is = |id: &&Id| {
                let doc = &self.world.docs[**id];
                let named =
                    doc.is_at(&at) || doc.file.is_none() && self.may_be_called(doc, false, &at);
                named && self.world.bodies[doc.body] == body
            };
            let mut may = due.iter().chain(closing.iter().filter(|_| looks));
            let Some(id) = may.find(is).copied() else {
                panic!(
                    "not pending: {at:?}: {}\n{:?}",
                    text(&body),
                    self.world.docs
                );
            };
            due.retain(|it| *it != id);
            let before = self.world.docs[id].written.replace(written.clone());
            let same = before.is_none_or(|before| before == written);
            assert!(same, "{at:?} is now {written}");
            found.push((id, at));
        }
        let missing: Vec<&Doc> = due.iter().map(|id| &self.world.docs[*id]).collect();
        assert!(
            missing.is_empty(),
            "pending, and not in {queue:?}: {missing:?}"
        );
        found
    }

    /// spec 4.3a: a name leads its session to its document, and no other session anywhere.
    fn judge_sessions(&mut self) {
        let mut names: BTreeSet<At> = self.world.names.keys().map(|key| key.1.clone()).collect();
        names.extend(self.world.files.keys().map(|key| key.0.clone()));
        names.retain(|at| at.1 != PENDING && self.world.queues.contains(&at.0));
        for (at, who) in names.iter().flat_map(|at| Who::EYES.map(|who| (at, who))) {
            let found = self.world.resolve(who, at);
            let real = self.cat(who, &path(at)).map(|bytes| text(&bytes));
            let may = match &found {
                Found::Doc(id, own) => self.world.content(*id, *own),
                // Of several sessions' files this one may be any.
                Found::File(_) if self.world.is_foreign(who, &found) && real.is_ok() => continue,
                Found::File(key) => self.world.files[key],
                _ => {
                    assert_eq!(real, Err(libc::ENOENT), "{at:?} to {who:?}");
                    continue;
                }
            };
            if real == Err(libc::ENOENT) && self.was_renamed(&found, at) {
                self.world.drop_name(who, at);
                continue;
            }
            let may = text(&self.world.bodies[may]);
            assert_eq!(
                real,
                Ok(may),
                "{at:?} to {who:?}: {found:?}\n{:?}",
                self.world.docs
            );
        }
    }

    /// What was consumed under a name, and then renamed, may be found under it or not.
    fn was_renamed(&self, found: &Found, at: &At) -> bool {
        let Found::Doc(id, true) = found else {
            return false;
        };
        let done = Stamped::parse(&at.1).map(|it| (at.0.clone(), it.called(true)));
        done.is_some_and(|done| !self.world.docs[*id].is_at(&done))
    }

    /// Rule one: what was acknowledged is found for as long as it is pending, and for the retention time from then.
    fn judge_promises(&mut self) {
        let mut promised = std::mem::take(&mut self.world.promised);
        let world = &self.world;
        let docs = world.visible().map(|id| &world.docs[id]);
        let pending = docs.filter(|doc| doc.is_pending());
        let pending: Vec<_> = pending.map(|doc| &world.bodies[doc.body]).collect();
        let mut below = Vec::new();
        read_all(&self.mount.below(""), &mut below);
        let now = world.now;
        promised.retain_mut(|(bytes, until)| {
            if pending.iter().any(|it| contains(it, bytes)) {
                *until = now + RETENTION;
            }
            let found = below.iter().any(|it| contains(it, bytes));
            assert!(found || now >= *until, "lost: {:?}", text(bytes));
            now < *until
        });
        self.world.promised = promised;
    }
}
