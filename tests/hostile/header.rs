//! A content cannot pass for the lines around it, nor a name.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;

use handoff_fs::merge::{Entries, Entry, Layout, Piece};
use handoff_fs::names::StampedName;

use crate::harness::Mount;
use crate::merge::{Handoff, parse};
use crate::{draw, torture};

struct Handoffs(Vec<Handoff>);

impl Entries for Handoffs {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn entry(&self, i: usize) -> Entry<'_> {
        let found = &self.0[i];
        Entry {
            path: &found.path,
            size: found.body.len() as u64,
            written: chrono::DateTime::UNIX_EPOCH.fixed_offset(),
            stays_as: &found.stays_as,
            ends_with_newline: found.body.ends_with(b"\n"),
        }
    }
}

fn merged(docs: &Handoffs) -> Vec<u8> {
    let mut text = Vec::new();
    for piece in Layout::new(docs).pieces(docs, 0..u64::MAX) {
        match piece {
            Piece::Text(piece) => text.extend(piece),
            Piece::Body { entry, offset, len } => {
                let offset = usize::try_from(offset).unwrap();
                let len = usize::try_from(len).unwrap();
                text.extend_from_slice(&docs.0[entry].body[offset..offset + len]);
            }
        }
    }
    text
}

/// spec 6.1b: the sizes in the header lines lead to exactly the merged handoffs, whatever the bodies and the names
/// contain.
#[test]
fn sizes_tell_contents_from_headers() {
    let mut random = torture::random();
    let cases = torture::count(3_000, 300_000);
    let mut longest = 0;
    for case in 0..cases {
        let docs = (0..random.usize(0..6)).map(|_| Handoff {
            path: draw::name(&mut random),
            stays_as: draw::stamped(&mut random),
            body: draw::body(&mut random),
        });
        let docs = Handoffs(docs.collect());
        let text = merged(&docs);
        longest = longest.max(text.len());
        let found = parse(&text).unwrap_or_else(|error| panic!("case {case}: {error}"));
        assert!(found == docs.0, "case {case}");
    }
    torture::figure(
        "hostile",
        format_args!(
            "{cases} merges of imitated header lines were taken apart, the longest of {longest} bytes"
        ),
    );
}

/// spec 6.1a, 6.1b, 6.2a, 3.4a: the same through the kernel, from files that somebody put below under stamped names of their own
/// choice, in queues of such names: what `.peek.md` and `pending.md` show is what lies there, and its size is right.
#[test]
fn through_the_kernel() {
    let mut random = torture::random();
    let cases = torture::count(25, 1_500);
    let mut mount = Mount::new();
    let mut merged = 0;
    for case in 0..cases {
        let mut written: Vec<(OsString, Vec<u8>)> = Vec::new();
        let mut taken: HashSet<OsString> = HashSet::new();
        for _ in 0..random.usize(1..8) {
            let name = draw::stamped(&mut random);
            let Some(stamped) = StampedName::parse(&name).filter(StampedName::is_pending) else {
                continue;
            };
            if taken.insert(stamped.consumed().to_os_string()) {
                let body = draw::body(&mut random);
                let place = match random.bool() {
                    true => mount.at(&name),
                    false => mount.below(&name),
                };
                fs::write(place, &body).unwrap_or_else(|error| panic!("{name:?}: {error}"));
                written.push((name, body));
            }
        }
        let size = fs::metadata(mount.at(".peek.md")).unwrap().len();
        let peek = fs::read(mount.at(".peek.md")).unwrap();
        assert_eq!(peek.len() as u64, size, "case {case}");
        let found = parse(&peek).unwrap_or_else(|error| panic!("case {case}: {error}"));
        let pairs = |found: &[Handoff]| {
            let mut pairs: Vec<_> = found
                .iter()
                .map(|it| (it.path.clone(), it.body.clone()))
                .collect();
            pairs.sort();
            pairs
        };
        written.sort();
        assert_eq!(pairs(&found), written, "case {case}");
        let taken = fs::read(mount.at("pending.md")).unwrap();
        assert_eq!(taken, peek, "case {case}");
        for it in &found {
            assert_eq!(
                fs::read(mount.below(&it.stays_as)).unwrap(),
                it.body,
                "{it:?}"
            );
            merged += 1;
        }
        assert_eq!(fs::metadata(mount.at("pending.md")).unwrap().len(), 0);
        for entry in fs::read_dir(mount.at("")).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() != OsStr::new("pending.md") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        if case % 8 == 7 {
            mount.remount();
        }
    }
    torture::figure(
        "hostile",
        format_args!(
            "{merged} handoffs of hostile names and contents were merged through the kernel and told apart"
        ),
    );
}
