use std::ffi::OsString;
use std::fs::File;
use std::sync::Arc;

use super::*;
use crate::fs::handoff::state::{Draft, Progress};

const NOBODY: (u32, SystemTime) = (0, SystemTime::UNIX_EPOCH);

fn stamped(name: &str) -> StampedName {
    StampedName::parse(OsStr::new(name)).unwrap()
}

fn handoff(name: &str) -> FileName {
    FileName::Handoff(stamped(name))
}

fn ordinary(name: &str) -> FileName {
    FileName::Other(Area::Backing, OsString::from(name))
}

fn draft() -> Draft {
    let file = Arc::new(File::open("/dev/null").unwrap());
    Draft::new(file, 7, Progress::Untouched)
}

/// spec 4.5a: a handoff that was replaced below the mount is still the handoff of its name.
#[test]
fn a_replaced_handoff_keeps_its_id() {
    let mut files = Files::default();
    let name = handoff("2026-01-02_030405_x.md");
    let id = files.stored(DirId::ROOT, name.clone(), 10);
    assert_eq!(files.stored(DirId::ROOT, name, 11), id);
    assert_eq!(files.known(id).unwrap().ino, 11);
}

/// spec 3.6e: another ordinary file of the name is another file, but an edit that is under way goes on.
#[test]
fn a_replaced_ordinary_file_is_gone() {
    let mut files = Files::default();
    let old = files.stored(DirId::ROOT, ordinary("notes.txt"), 10);
    let new = files.stored(DirId::ROOT, ordinary("notes.txt"), 11);
    assert_ne!(new, old);
    assert!(files.known(old).unwrap().is_gone());
    files.known_mut(new).unwrap().content = Content::Editing(draft());
    assert_eq!(files.stored(DirId::ROOT, ordinary("notes.txt"), 12), new);
}

/// spec 4.6f: a file that is renamed over another has the new name alone, and leaves the old name free.
#[test]
fn renaming_over_another_file() {
    let mut files = Files::default();
    let over = files.stored(DirId::ROOT, ordinary("b"), 10);
    let moved = files.stored(DirId::ROOT, ordinary("a"), 11);
    files.rename(moved, DirId::ROOT, ordinary("b"));
    let named = |name| files.other_named(Area::Backing, DirId::ROOT, OsStr::new(name));
    assert_eq!((named("a"), named("b")), (None, Some(moved)));
    assert!(files.known(over).unwrap().is_gone());
}

/// spec 4.2d: a draft is listed from its creation, and one that waits for its open is not.
#[test]
fn reserved_drafts() {
    let mut files = Files::default();
    let name = handoff("2026-01-02_030405_x.md");
    let content = Content::Reserved(draft());
    let id = files.insert(DirId::ROOT, name, content, 7, NOBODY);
    assert!(files.drafts().all(RegularFile::is_reserved));
    files.known_mut(id).unwrap().claimed();
    assert_eq!(files.drafts().filter(|file| !file.is_reserved()).count(), 1);
    files.gone(id);
    assert_eq!(files.drafts().count(), 0);
}

/// spec 6.1a: changing a file invalidates every cached merge; noting who has read it does not.
#[test]
fn changes_are_counted() {
    let mut files = Files::default();
    let id = files.stored(DirId::ROOT, handoff("2026-01-02_030405_x.md"), 10);
    let before = files.generation;
    files.note_mut(id).unwrap();
    assert_eq!(files.generation, before);
    files.known_mut(id).unwrap();
    assert_ne!(files.generation, before);
}

/// An id that the table does not have is a fault of the program, and never answered "no such file".
#[test]
fn an_unknown_id() {
    let error = Files::default().known(FileId(1)).unwrap_err();
    assert_eq!(error.errno(), libc::EIO);
}

/// spec 4.9a: a failed write makes a partial handoff, unless nothing was written or all of it was cut away again.
#[test]
fn progress() {
    let after = |steps: &[fn(&mut Progress)]| {
        let mut progress = Progress::Untouched;
        steps.iter().for_each(|step| step(&mut progress));
        progress
    };
    let (change, damage, heal) = (Progress::change, Progress::damage, Progress::heal);
    assert_eq!(after(&[change]), Progress::Written);
    assert_eq!(after(&[damage]), Progress::Refused);
    assert_eq!(after(&[damage, change]), Progress::Damaged);
    assert_eq!(after(&[change, damage]), Progress::Damaged);
    assert_eq!(after(&[change, damage, heal]), Progress::Written);
    assert_eq!(after(&[damage, heal]), Progress::Untouched);
}
