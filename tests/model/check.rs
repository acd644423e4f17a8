//! Comparing the model with the filesystem.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use handoff_fs::names::{self, StampedName};

use crate::model::{At, Content, Handoff, Id, Model, Object};
use crate::ops::{Session, Who};
use crate::run::{Run, join, path};

/// Bytes for messages.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The items of a merge: path and content (6.1).
fn parse(merge: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut items = Vec::new();
    let mut rest = merge;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = std::str::from_utf8(&rest[..end]).unwrap();
        rest = &rest[end + 1..];
        let Some(header) = line.strip_prefix("<!-- handoff ") else {
            assert!(line.starts_with("<!-- "), "not a header: {line}");
            continue;
        };
        let fields: Vec<&str> = header.split(" | ").collect();
        let path = fields[0].split_once(": ").unwrap().1.to_owned();
        let size: usize = fields[1].strip_suffix(" bytes").unwrap().parse().unwrap();
        let body = rest[..size].to_vec();
        rest = &rest[size..];
        if !body.ends_with(b"\n") {
            rest = rest.strip_prefix(b"\n").expect("a newline is put after it");
        }
        items.push((path, body));
    }
    assert!(rest.is_empty());
    items
}

fn contents(dir: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => contents(&path, found),
            false => found.extend(fs::read(&path)),
        }
    }
}

impl Run<'_> {
    /// The merge that is expected, without order within one second: path from the queue, content.
    fn expected(&self, queue: &str, ids: Vec<Id>) -> BTreeSet<(String, String)> {
        let item = |id: Id| {
            let handoff = &self.model.handoffs[id];
            let path = join(&handoff.queue, &handoff.name.to_string());
            let path = path[queue.len()..].trim_start_matches('/').to_owned();
            (path, text(&self.model.inodes[handoff.ino].bytes))
        };
        ids.into_iter().map(item).collect()
    }

    /// Who reads to consume waits for what may be closing; who only `looks` may see it.
    pub fn check_merge(&self, queue: &str, merge: &[u8], looks: bool) {
        let items = parse(merge);
        let stamp = |path: &str| {
            let name = path.rsplit('/').next().unwrap();
            StampedName::parse(OsStr::new(name)).unwrap().stamp()
        };
        assert!(
            items.is_sorted_by_key(|(path, _)| stamp(path)),
            "oldest first"
        );
        assert!(merge.is_empty() || !merge.len().is_multiple_of(512));
        let mut items: BTreeSet<_> = items
            .into_iter()
            .map(|(path, body)| (path, text(&body)))
            .collect();
        if looks {
            let closing = self.expected(queue, self.model.closing(queue));
            items.retain(|item| !closing.contains(item));
        }
        let expected = self.expected(queue, self.model.deliverable(queue));
        assert_eq!(items, expected, "pending in {queue:?}");
    }

    /// Learns which suffixes were given: the names that nothing settled has (3.3).
    pub fn settle_all(&mut self) {
        let mut listed: HashMap<String, BTreeSet<String>> = HashMap::new();
        for queue in &self.model.queues {
            let names = self.sys.list(queue).expect("list");
            listed.insert(queue.clone(), names.into_iter().collect());
        }
        for (_, handoff) in self.model.visible().filter(|(_, it)| !it.unsettled) {
            listed
                .get_mut(&handoff.queue)
                .unwrap()
                .remove(&handoff.name.to_string());
        }
        let unsettled = |model: &Model| -> Vec<Id> {
            let found = model.visible().filter(|it| it.1.unsettled);
            found.map(|it| it.0).collect()
        };
        // Whose own name is free has it; then the suffixes.
        for suffixes in [1..2, 2..40] {
            for id in unsettled(&self.model) {
                let handoff = &self.model.handoffs[id];
                let free = listed.get_mut(&handoff.queue).unwrap();
                let mut names = suffixes.clone().map(|n| handoff.name.with_suffix(n));
                if let Some(name) = names.find(|name| free.remove(&name.to_string())) {
                    self.model.settle(id, &name);
                }
            }
        }
        if let Some(id) = unsettled(&self.model).first() {
            let Handoff { name, queue, .. } = &self.model.handoffs[*id];
            panic!("no {name} in {queue:?}, but {:?}", listed[queue]);
        }
    }

    /// Learns which of several sessions' scratch files of one name the others read (4.6).
    fn learn_plain(&mut self) {
        for (at, of_name) in &mut self.model.plain {
            if of_name.len() > 1 {
                let bytes = self.sys.cat(Who::Observer, &path(at)).unwrap();
                let inodes = &self.model.inodes;
                let found = of_name.iter().position(|it| inodes[it.ino].bytes == bytes);
                let found = of_name.remove(found.expect("one of them"));
                of_name.push(found);
            }
        }
    }

    pub fn check(&mut self) {
        self.settle_all();
        self.learn_plain();
        for queue in self.model.queues.clone() {
            self.check_listing(&queue);
            let merge = self
                .sys
                .cat(Who::Observer, &join(&queue, names::PEEK))
                .unwrap();
            let size = self
                .sys
                .stat_size(Who::Observer, &join(&queue, names::PENDING));
            if self.model.closing(&queue).is_empty() {
                assert_eq!(
                    size,
                    Ok(merge.len() as u64),
                    "st_size of pending.md in {queue:?}"
                );
            }
            self.check_merge(&queue, &merge, true);
        }
        self.check_aliases();
        self.check_nothing_lost();
    }

    fn check_listing(&mut self, queue: &str) {
        let mut expected: BTreeSet<String> = [names::PENDING.to_owned()].into();
        let mut files = Vec::new();
        for (id, handoff) in self.model.visible().filter(|(_, it)| it.queue == queue) {
            files.push((handoff.name.to_string(), self.model.seen(id, false)));
        }
        for (at, plain) in self.model.plain.iter().filter(|(at, _)| at.0 == queue) {
            files.extend(plain.last().map(|plain| (at.1.clone(), plain.ino)));
        }
        expected.extend(files.iter().map(|it| it.0.clone()));
        for child in &self.model.queues {
            let rest = child
                .strip_prefix(queue)
                .map(|rest| rest.trim_start_matches('/'));
            if let Some(rest) = rest.filter(|rest| !rest.is_empty() && !rest.contains('/')) {
                expected.insert(rest.to_owned());
            }
        }
        let listed = self.sys.list(queue).unwrap();
        let listed: BTreeSet<String> = listed
            .into_iter()
            .filter(|it| it != "." && it != "..")
            .collect();
        assert_eq!(
            listed, expected,
            "listing of {queue:?} (left the filesystem's, right the model's)"
        );
        for (name, ino) in files {
            let bytes = self.sys.cat(Who::Observer, &join(queue, &name));
            let bytes = bytes.unwrap_or_else(|errno| panic!("{name}: errno {errno}"));
            assert_eq!(
                text(&bytes),
                text(&self.model.inodes[ino].bytes),
                "{name} in {queue:?}"
            );
        }
    }

    /// spec 4.3: an alias resolves for its session alone.
    fn check_aliases(&mut self) {
        let mut names: BTreeSet<At> = self.model.written.keys().map(|key| key.1.clone()).collect();
        names.extend(self.model.consumed.keys().map(|key| key.1.clone()));
        names.extend(self.model.plain.keys().cloned());
        names.retain(|at| at.1 != names::PENDING && self.model.queues.contains(&at.0));
        for at in names {
            for session in Session::ALL {
                let expected = match self.model.resolve(session, &at) {
                    Object::Missing => Err(libc::ENOENT),
                    Object::Handoff { id, own } => Ok(self.model.seen(id, own)),
                    Object::Plain => Ok(self.model.found_plain(session, &at).unwrap().ino),
                    Object::Pending => continue,
                };
                let expected = expected.map(|ino| text(&self.model.inodes[ino].bytes));
                let real = self
                    .sys
                    .cat(Who::Eyes(session), &path(&at))
                    .map(|bytes| text(&bytes));
                assert_eq!(real, expected, "{at:?} to {session:?}");
            }
        }
    }

    /// Rule one: what a close acknowledged is somewhere, unless it was removed on purpose.
    fn check_nothing_lost(&mut self) {
        let mut found = Vec::new();
        contents(&self.sys.below(), &mut found);
        // What has expired is deleted as soon as somebody looks for it (7.1).
        let expired = |ino: usize| {
            let of = |it: &&Handoff| it.ino == ino && it.content == Content::Stored;
            let found = self.model.handoffs.iter().find(of);
            found.is_some_and(|it| !self.model.is_visible(it))
        };
        let inodes = self.model.inodes.iter().enumerate();
        let kept = inodes.filter(|(ino, _)| !expired(*ino));
        for bytes in kept.flat_map(|(_, it)| &it.acknowledged) {
            let there = |file: &Vec<u8>| file.windows(bytes.len()).any(|part| part == bytes);
            assert!(found.iter().any(there), "lost: {:?}", text(bytes));
        }
    }
}
