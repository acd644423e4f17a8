//! Looks at everything that can be seen, takes over the outcomes that the contract leaves open, and checks all else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::client::Result;
use crate::expected::{Handoff, Id, RETENTION, State, Target};
use crate::harness::{files, list};
use crate::names::{Label, PEEK, PENDING, QUEUES, Stamped, base, join, name, queue, stamp};
use crate::ops::Caller;
use crate::run::Run;

/// spec 6.1a, 6.1b, 6.1c: an index of lines, then each handoff whole under a line of its own, the oldest first; spec 6.2a: of
/// such a size. Answers the path and the content of each.
fn parse(merge: &str) -> Vec<(String, &str)> {
    let size = merge.len();
    assert!(size == 0 || !size.is_multiple_of(512), "{size} bytes");
    let mut items = Vec::new();
    let mut rest = merge;
    while let Some((line, after)) = rest.split_once('\n') {
        rest = after;
        assert!(line.starts_with("<!-- "), "not a header: {line}");
        let Some(header) = line.strip_prefix("<!-- handoff ") else {
            continue;
        };
        let fields: Vec<&str> = header.split(" | ").collect();
        let (_, path) = fields[0].split_once(": ").unwrap();
        let size = fields[1].strip_suffix(" bytes").unwrap();
        let (body, after) = rest.split_at(size.parse().unwrap());
        rest = match body.ends_with('\n') {
            true => after,
            false => after.strip_prefix('\n').expect("a final newline"),
        };
        items.push((path.to_owned(), body));
    }
    assert_eq!(rest, "", "after the last handoff");
    let stamp = |item: &(String, _)| Stamped::parse(&item.0).unwrap().stamp;
    assert!(items.is_sorted_by_key(stamp), "order: {merge}");
    items
}

impl Run {
    /// Reads every file that is listed; not `pending.md`, whose readers consume.
    pub fn look(&mut self) {
        self.expected.listed.clear();
        for queue in QUEUES {
            for name in list(&self.mount.at(queue)) {
                let path = join(queue, &name);
                if name == PENDING || QUEUES.contains(&path.as_str()) {
                    continue;
                }
                let text = self.mount.text(&path);
                let double = self.expected.listed.insert(path, text);
                assert_eq!(double, None, "two files are called {name}");
            }
        }
        self.settle();
    }

    pub fn check(&mut self) {
        self.expected.now = self.now();
        self.look();
        self.take_names();
        self.check_listing();
        for queue in QUEUES {
            let merge = self.mount.text(join(queue, PEEK));
            let pending = self.mount.at(join(queue, PENDING));
            let size = fs::metadata(&pending).unwrap().len();
            if self.expected.pending(queue, true).is_empty() {
                assert_eq!(size, merge.len() as u64, "st_size of {pending:?}");
            }
            self.check_merge(queue, &merge);
        }
        self.settle();
        self.check_sessions();
        self.check_acknowledged();
    }

    /// spec 3.2a, 3.2b, 3.3: a stamp, a slug with a suffix or without, and a state that are expected.
    fn may_be_called(&self, handoff: &Handoff, state: State, path: &str) -> bool {
        let Some(name) = Stamped::parse(path) else {
            return false;
        };
        let now = stamp(self.step)..=stamp(self.now());
        // spec 4.4a: a handoff that a program backed up and writes anew may have the name of the old one.
        let old = self.expected.handoffs.iter();
        let gone = old.filter(|old| old.states == [State::Gone]);
        let mut gone = gone.filter_map(Handoff::stamped);
        let is_new = now.contains(&name.stamp) || gone.any(|old| old.stamp == name.stamp);
        let is_label = |(stamp, slug): Label| {
            let is_stamp = stamp.map_or(is_new, |stamp| stamp == name.stamp);
            is_stamp && base(&name.slug) == base(&slug)
        };
        let own = handoff.stamped().map(Stamped::label).into_iter();
        let is_named = own.chain(handoff.labels.clone()).any(is_label);
        let is_state = match state {
            State::Pending => !name.done,
            _ => name.done || !handoff.is_published,
        };
        queue(path) == handoff.queue && is_named && is_state
    }

    /// Finds each handoff in the listing, and takes over the outcomes that were open: suffixes and states.
    fn take_names(&mut self) {
        let mut free = self.expected.listed.clone();
        free.retain(|path, _| Stamped::parse(path).is_some());
        let mut left: Vec<Id> = (0..self.expected.handoffs.len()).collect();
        left.retain(|id| {
            self.expected.is_visible(*id) || self.expected.handoffs[*id].states.len() > 1
        });
        // First the handoffs that keep their names, then the others.
        for keeps in [true, false] {
            for id in std::mem::take(&mut left) {
                let handoff = &self.expected.handoffs[id];
                let content = &self.expected.contents[handoff.content];
                let fits = |state: State, path: &str, text: &String| {
                    let is_it = handoff.is_at(path) || !keeps && text == content;
                    is_it && self.may_be_called(handoff, state, path)
                };
                let states = handoff.states.iter().filter(|state| **state != State::Gone);
                let mut found = states.filter_map(|state| {
                    let fitting = free.iter().filter(|file| fits(*state, file.0, file.1));
                    Some((*state, fitting.min_by_key(|file| file.0.len())?.0.clone()))
                });
                match found.next() {
                    Some((state, path)) => {
                        free.remove(&path);
                        self.take_name(id, state, path);
                    }
                    None if keeps => left.push(id),
                    None if handoff.states.contains(&State::Gone) => self.vanish(id),
                    None if handoff.states == [State::Consumed(None)] => {
                        self.expected.handoffs[id].states = vec![State::Gone];
                    }
                    None => panic!("not listed: {handoff:?}\nunexpected: {free:?}"),
                }
            }
        }
        let handoffs = &self.expected.handoffs;
        assert!(free.is_empty(), "unexpected: {free:?}\n{handoffs:?}");
    }

    fn take_name(&mut self, id: Id, state: State, path: String) {
        let is_empty = self.expected.listed[&path].is_empty();
        let handoff = &mut self.expected.handoffs[id];
        handoff.states = vec![state];
        let had_bytes = !self.expected.contents[handoff.content].is_empty();
        let edit = handoff.edit;
        handoff.path = Some(path);
        if edit.is_some_and(|edit| self.expected.is_empty(edit.content)) && had_bytes && is_empty {
            // spec 4.5c: an empty edit is published sooner or later.
            self.expected.end_edit(id);
        }
    }

    /// Nothing was written, and nothing is there: an alias leads to the handoff that it led to before.
    fn vanish(&mut self, id: Id) {
        self.expected.handoffs[id].states = vec![State::Gone];
        self.expected.aliases.retain(|_, ids| {
            ids.retain(|alias| *alias != id);
            !ids.is_empty()
        });
    }

    /// spec 4.4d, 4.6a: the names that are listed, and the texts that they have for everybody.
    fn check_listing(&self) {
        let expected = &self.expected;
        let mut texts: BTreeMap<&String, Vec<&String>> = BTreeMap::new();
        for (key, content) in &expected.files {
            let text = &expected.contents[*content];
            texts.entry(&key.0).or_default().push(text);
        }
        for handoff in expected.visible().map(|id| &expected.handoffs[id]) {
            let path = handoff.path.as_ref().unwrap();
            let text = &expected.contents[handoff.content];
            texts.entry(path).or_default().push(text);
        }
        let listed = &expected.listed;
        let is_same = texts.keys().copied().eq(listed.keys());
        assert!(is_same, "listed: {listed:?}\nexpected: {texts:?}");
        for (path, text) in listed {
            assert!(texts[path].contains(&text), "{path} holds {text:?}");
        }
    }

    /// spec 6.1a, 4.2c: everything that is pending, and nothing else; a handoff that is open for writing may be there, for
    /// `.peek.md` does not wait. Answers each handoff with its name.
    pub fn check_merge(&mut self, queue: &str, merge: &str) -> Vec<(Id, String)> {
        let mut due = self.expected.pending(queue, false);
        let written = self.expected.pending(queue, true);
        let mut items = Vec::new();
        for (path, body) in parse(merge) {
            let path = join(queue, &path);
            let is_item = |id: &&Id| {
                let handoff = &self.expected.handoffs[**id];
                handoff.is_at(&path) && self.expected.contents[handoff.content] == body
            };
            let id = due.iter().chain(&written).find(is_item).copied();
            let id = id.unwrap_or_else(|| panic!("not pending: {path}: {body}"));
            due.retain(|other| *other != id);
            items.push((id, path));
        }
        let missing: Vec<_> = due.iter().map(|id| &self.expected.handoffs[*id]).collect();
        assert!(missing.is_empty(), "pending, not in {queue:?}: {missing:?}");
        items
    }

    /// spec 4.3a: an alias leads its session to its handoff, and no other session anywhere.
    fn check_sessions(&mut self) {
        let consumed = self.expected.consumed.keys();
        let aliases = self.expected.aliases.keys().chain(consumed);
        let aliases = aliases.map(|key| &key.1);
        let files = self.expected.files.keys().map(|key| &key.0);
        let paths = aliases.chain(files).filter(|path| name(path) != PENDING);
        let paths = Vec::from_iter(BTreeSet::from_iter(paths.cloned()));
        for caller in Caller::ALL {
            let answers = self.texts(caller, &paths);
            for (path, answer) in paths.iter().zip(answers) {
                self.check_name(caller, path, &answer);
            }
        }
    }

    fn check_name(&mut self, caller: Caller, path: &str, answer: &Result<String>) {
        let target = self.expected.resolve(caller, path);
        let content = match &target {
            Target::Handoff(id) => Some(self.expected.handoffs[*id].content),
            Target::Alias(id) => {
                // A consumed handoff that was renamed since may be found under its old name or not.
                let done = Stamped::parse(path).map(|name| join(queue(path), &name.named(true)));
                let is_renamed = done.is_some_and(|done| !self.expected.handoffs[*id].is_at(&done));
                if *answer == Err(libc::ENOENT) && is_renamed {
                    let key = (caller.session(), path.to_owned());
                    self.expected.consumed.remove(&key);
                    return;
                }
                Some(self.expected.newest(*id))
            }
            // Which one of several sessions' files is read, the contract leaves open.
            Target::File(_) if self.expected.is_foreign(caller, path) && answer.is_ok() => return,
            Target::File(key) => Some(self.expected.files[key]),
            _ => None,
        };
        let text = content.map(|content| self.expected.contents[content].clone());
        let text = text.ok_or(libc::ENOENT);
        assert_eq!(*answer, text, "{path} to {caller:?}: {target:?}");
    }

    /// Rule one: an acknowledged text is found for as long as it is pending, and for the retention time from then (3.9).
    fn check_acknowledged(&mut self) {
        let below: Vec<String> = files(&self.mount.below(""))
            .iter()
            .filter_map(|path| fs::read_to_string(path).ok())
            .collect();
        let expected = &mut self.expected;
        let handoffs = expected.visible().map(|id| &expected.handoffs[id]);
        let pending = handoffs.filter(|handoff| handoff.is_pending());
        let texts = pending.map(|handoff| &expected.contents[handoff.content]);
        let pending = Vec::from_iter(texts);
        expected.acknowledged.retain_mut(|(part, until)| {
            if pending.iter().any(|text| text.contains(&*part)) {
                *until = expected.now + RETENTION;
            }
            let is_found = below.iter().any(|text| text.contains(&*part));
            assert!(is_found || expected.now >= *until, "lost: {part:?}");
            expected.now < *until
        });
    }
}
