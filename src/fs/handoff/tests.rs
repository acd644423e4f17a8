//! Handoffs over a directory that nothing is mounted on.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use crate::clock::SystemClock;
use crate::error::Error;
use crate::fs::ctx::{Ctx, Options};
use crate::fs::handoff::below::{Handoffs, Pins};
use crate::fs::handoff::queue_names::Naming;
use crate::fs::handoff::state::{Fate, FileName};
use crate::fs::handoff::table::Files;
use crate::fs::ids::{DirId, FileId};
use crate::fs::inode::handles::Handles;
use crate::fs::inode::table::Nodes;
use crate::fs::inode::types::Request;
use crate::fs::queue::cache::Queues;
use crate::names::{Slug, StampedName};
use crate::store::Access;
use crate::store::dir::DirStore;
use crate::store::dirfd::Beneath;
use crate::store::local::Area;

const ROOT: DirId = DirId::ROOT;
const US: Request = Request { tid: 1, uid: 0 };
const A: &str = "2026-01-02_030405_a.md";
const A_2: &str = "2026-01-02_030405_a_2.md";
const A_DONE: &str = "2026-01-02_030405_a_done.md";
const PARTIAL: &str = "2026-01-02_030405_a-partial.md";

/// Counts the files that readers of snapshots are to go on reading.
#[derive(Default)]
struct Pinned(usize);

impl Pins for Pinned {
    fn pin(&mut self, _: u64, _: &Arc<File>) {
        self.0 += 1;
    }
}

/// A backing directory, and everything that handoffs may use.
struct Fixture {
    dir: TempDir,
    ctx: Arc<Ctx>,
    queues: Queues,
    nodes: Nodes,
    handles: Handles,
    files: Files,
    pinned: Pinned,
}

impl Fixture {
    /// These files are in the backing directory.
    fn with(files: &[(&str, &str)]) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(dir.path().join(name), content).unwrap();
        }
        let options = Options {
            sync: false,
            ..Options::default()
        };
        let directory: OwnedFd = File::open(dir.path()).unwrap().into();
        let root = Arc::new(Beneath::new(directory));
        let store = Box::new(DirStore::new(root.clone()));
        let ctx = Arc::new(Ctx::open(root, store, options, Arc::new(SystemClock)).unwrap());
        let nodes = Nodes::default();
        let mut queues = Queues::new(ctx.clone(), nodes.dentries.clone());
        queues.load(ROOT).unwrap();
        Fixture {
            dir,
            ctx,
            queues,
            nodes,
            handles: Handles::default(),
            files: Files::default(),
            pinned: Pinned::default(),
        }
    }

    fn handoffs(&mut self) -> Handoffs<'_> {
        Handoffs {
            ctx: &self.ctx,
            queues: &mut self.queues,
            nodes: &mut self.nodes,
            handles: &self.handles,
            files: &mut self.files,
            readers: &mut self.pinned,
        }
    }

    /// Begins a new handoff of this very name.
    fn begin(&mut self, name: &str) -> FileId {
        let naming = Naming::Exactly(stamped(name));
        let mut handoffs = self.handoffs();
        handoffs.new_draft(US, ROOT, &naming, 0o600).unwrap()
    }

    /// The file that is stored under this name.
    fn stored(&mut self, name: FileName) -> FileId {
        let store = &self.ctx.store;
        let meta = store.stat(Path::new(""), &name.to_os_string()).unwrap();
        self.files.stored(ROOT, name, meta.ino)
    }

    /// Writes to a draft.
    fn write(&mut self, id: FileId, content: &str) {
        let draft = self.files.known_mut(id).unwrap().draft_mut().unwrap();
        draft.progress.change();
        draft.file.write_all_at(content.as_bytes(), 0).unwrap();
    }

    fn publish(&mut self, id: FileId) {
        assert_eq!(self.handoffs().publish(id).unwrap().unwrap(), Path::new(""));
    }

    /// A draft's write fails.
    fn damage(&mut self, id: FileId) {
        self.handoffs().unfinished(id).unwrap();
    }

    /// What the backing directory shows: names and contents.
    fn shown(&self) -> BTreeMap<String, String> {
        let entries = fs::read_dir(self.dir.path()).unwrap().map(Result::unwrap);
        let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
        files
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read_to_string(entry.path()).unwrap())
            })
            .collect()
    }

    /// The contents of an area of the private directory.
    fn contents(&self, area: Area) -> Vec<String> {
        let files = self.ctx.local.list_all(area).unwrap();
        let mut contents: Vec<String> = files
            .iter()
            .map(|(queue, name, _)| {
                let local = &self.ctx.local;
                let mut file = local.open_file(area, queue, name, Access::READ).unwrap();
                let mut content = String::new();
                file.read_to_string(&mut content).unwrap();
                content
            })
            .collect();
        contents.sort();
        contents
    }

    /// Puts a file into an area, as a daemon that died has left it.
    fn leave(&self, area: Area, name: &str, content: &str) {
        let local = &self.ctx.local;
        let file = local.create(area, Path::new(""), OsStr::new(name), 0o600);
        file.unwrap().write_all_at(content.as_bytes(), 0).unwrap();
    }

    /// Keeps the content that a write in place is about to destroy; returns whether there was anything to keep.
    fn keep_version(&mut self, id: FileId) -> bool {
        let Some(wanted) = self.handoffs().version_wanted(id).unwrap() else {
            return false;
        };
        let copied = self.ctx.copy_version(&wanted, Area::Rewriting).unwrap();
        self.handoffs().version_copied(id, &wanted, copied);
        true
    }

    fn name(&self, id: FileId) -> String {
        let name = self.files.known(id).unwrap().name.to_os_string();
        name.into_string().unwrap()
    }
}

fn stamped(name: &str) -> StampedName {
    StampedName::parse(OsStr::new(name)).unwrap()
}

fn handoff(name: &str) -> FileName {
    FileName::Handoff(stamped(name))
}

fn files<const N: usize>(files: [(&str, &str); N]) -> BTreeMap<String, String> {
    files
        .map(|(name, content)| (name.to_owned(), content.to_owned()))
        .into()
}

/// spec 3.3, 4.2a: publishing replaces no file, not even one that turned up after the name was reserved.
#[test]
fn publish_never_replaces() {
    let mut fixture = Fixture::with(&[]);
    let id = fixture.begin(A);
    fixture.write(id, "ours");
    assert_eq!(fixture.shown(), files([]), "a draft is not published yet");
    fs::write(fixture.dir.path().join(A), "theirs").unwrap();
    fixture.publish(id);
    assert_eq!(fixture.shown(), files([(A, "theirs"), (A_2, "ours")]));
    assert_eq!(fixture.name(id), A_2);
    assert!(fixture.contents(Area::Drafts).is_empty());
}

/// spec 3.4a: a name that its writer chose is taken as it is, or refused.
#[test]
fn a_chosen_name_that_is_taken() {
    let mut fixture = Fixture::with(&[(A, "theirs")]);
    let naming = |naming: fn(StampedName) -> Naming| naming(stamped(A));
    let exactly = naming(Naming::Exactly);
    let refused = fixture.handoffs().new_draft(US, ROOT, &exactly, 0o600);
    assert_eq!(refused, Err(Error::Exists));
    let nearly = naming(Naming::Nearly);
    let id = fixture.handoffs().new_draft(US, ROOT, &nearly, 0o600);
    assert_eq!(fixture.name(id.unwrap()), A_2);
    let free = fixture.files.free_name(&fixture.queues, ROOT, &nearly);
    assert_eq!(free, Ok(stamped("2026-01-02_030405_a_3.md")));
}

/// spec 4.5g: the draft whose alias was unlinked is published as consumed, and its own mtime is remembered.
#[test]
fn a_retracted_draft_is_published_as_consumed() {
    let mut fixture = Fixture::with(&[]);
    let id = fixture.begin(A);
    fixture.write(id, "retracted");
    fixture.files.known_mut(id).unwrap().handoff.fate = Fate::Consume;
    fixture.publish(id);
    assert_eq!(fixture.shown(), files([(A_DONE, "retracted")]));
    assert!(fixture.files.known(id).unwrap().handoff.written.is_some());
}

/// spec 3.9a, 4.4d: an edit replaces the content when it is published, and not before; the old version is kept, and
/// readers of a snapshot go on reading it.
#[test]
fn an_edit_keeps_the_old_version() {
    let mut fixture = Fixture::with(&[(A, "old")]);
    let id = fixture.stored(handoff(A));
    fixture.handoffs().begin_edit(id, false).unwrap();
    fixture.write(id, "new");
    assert_eq!(fixture.shown(), files([(A, "old")]));
    fixture.publish(id);
    assert_eq!(fixture.shown(), files([(A, "new")]));
    assert_eq!(fixture.contents(Area::Replaced), ["old"]);
    assert!(fixture.contents(Area::Edits).is_empty());
    assert_eq!(fixture.pinned.0, 1);
}

/// spec 3.6e: an edit of an ordinary file keeps the old version, and the file's name and inode number.
#[test]
fn an_edit_of_an_ordinary_file() {
    let mut fixture = Fixture::with(&[("notes.txt", "old")]);
    let id = fixture.stored(FileName::Other(Area::Backing, "notes.txt".into()));
    let ino = fixture.files.known(id).unwrap().ino;
    fixture.handoffs().begin_edit(id, true).unwrap();
    fixture.write(id, "new");
    fixture.publish(id);
    assert_eq!(fixture.shown(), files([("notes.txt", "new")]));
    assert_eq!(fixture.contents(Area::Replaced), ["old"]);
    assert_eq!(fixture.files.known(id).unwrap().seen, Some(ino));
}

/// spec 6.4c: a handoff that was consumed during its edit stays consumed, and the new content is another handoff.
#[test]
fn a_handoff_is_consumed_during_its_edit() {
    let mut fixture = Fixture::with(&[(A, "old")]);
    let id = fixture.stored(handoff(A));
    fixture.handoffs().begin_edit(id, false).unwrap();
    fixture.write(id, "new");
    fs::rename(fixture.dir.path().join(A), fixture.dir.path().join(A_DONE)).unwrap();
    fixture.handoffs().moved(id, ROOT, handoff(A_DONE));
    fixture.publish(id);
    assert_eq!(fixture.shown(), files([(A_DONE, "old"), (A, "new")]));
    assert_eq!(fixture.name(id), A);
}

/// spec 4.1b: a copy that nobody has written to is dropped, and the alias goes back to the handoff that was copied.
#[test]
fn an_unwritten_copy_is_dropped() {
    let mut fixture = Fixture::with(&[(A, "old")]);
    let old = fixture.stored(handoff(A));
    let slug = Slug::from_written(OsStr::new("notes.md"));
    let copy = fixture.handoffs().fork(US, ROOT, slug, old, true).unwrap();
    assert_eq!(fixture.contents(Area::Drafts), ["old"]);
    fixture.files.known_mut(copy).unwrap().claimed();
    assert_eq!(fixture.handoffs().last_writer_gone(copy, false), Some(old));
    assert!(fixture.contents(Area::Drafts).is_empty());
    assert!(fixture.files.get(copy).is_none());
    assert_eq!(fixture.shown(), files([(A, "old")]));
}

/// spec 4.8: a name that was created and never written is published, empty.
#[test]
fn an_empty_handoff_is_published() {
    let mut fixture = Fixture::with(&[]);
    let id = fixture.begin(A);
    assert_eq!(fixture.handoffs().last_writer_gone(id, false), None);
    assert_eq!(fixture.shown(), files([(A, "")]));
}

/// spec 4.5b: the draft of an edit that waits for its open outlives other writers, and is dropped when nobody comes.
#[test]
fn an_edit_that_waits_for_its_open() {
    let mut fixture = Fixture::with(&[(A, "old")]);
    let id = fixture.stored(handoff(A));
    fixture.handoffs().begin_edit(id, true).unwrap();
    fixture.handoffs().last_writer_gone(id, true);
    assert_eq!(fixture.contents(Area::Edits), ["old"]);
    fixture.handoffs().last_writer_gone(id, false);
    assert!(fixture.contents(Area::Edits).is_empty());
    assert_eq!(fixture.shown(), files([(A, "old")]));
}

/// spec 4.9a: after a failed write the written part is published as partial, and an empty draft is dropped.
#[test]
fn a_failed_write_makes_a_partial_handoff() {
    let mut fixture = Fixture::with(&[]);
    let id = fixture.begin(A);
    fixture.write(id, "part");
    fixture.damage(id);
    fixture.publish(id);
    assert_eq!(fixture.shown(), files([(PARTIAL, "part")]));
    let empty = fixture.begin("2026-01-02_030405_b.md");
    fixture.damage(empty);
    fixture.publish(empty);
    fixture.handoffs().last_writer_gone(empty, false);
    assert_eq!(fixture.shown(), files([(PARTIAL, "part")]));
    assert!(fixture.contents(Area::Drafts).is_empty());
}

/// spec 4.9a, 4.9b: a failed edit leaves the old content, and the part of the new one is another handoff.
#[test]
fn a_failed_edit_leaves_the_old_content() {
    let mut fixture = Fixture::with(&[(A, "old")]);
    let id = fixture.stored(handoff(A));
    fixture.handoffs().begin_edit(id, false).unwrap();
    fixture.write(id, "part");
    fixture.damage(id);
    fixture.publish(id);
    assert_eq!(fixture.shown(), files([(A, "old"), (PARTIAL, "part")]));
    assert_eq!(fixture.name(id), A);
}

/// spec 6.1b: the name under which a handoff stays is neither a file's nor a draft's.
#[test]
fn stays_as_avoids_names_that_are_taken() {
    let mut fixture = Fixture::with(&[(A, "x")]);
    let stays_as = |fixture: &Fixture| {
        let name = fixture.files.stays_as(&fixture.queues, ROOT, &stamped(A));
        name.to_string()
    };
    assert_eq!(stays_as(&fixture), A_DONE);
    let draft = fixture.begin(A_DONE);
    assert_eq!(stays_as(&fixture), "2026-01-02_030405_a_2_done.md");
    fixture.begin(A_2);
    assert_eq!(stays_as(&fixture), "2026-01-02_030405_a_3_done.md");
    fixture.handoffs().drop_draft(draft);
    assert_eq!(stays_as(&fixture), A_DONE);
}

/// spec 3.9a: between two closes, writes in place keep one copy of the old content.
#[test]
fn a_version_is_kept_once_between_two_closes() {
    let mut fixture = Fixture::with(&[(A, "old")]);
    let id = fixture.stored(handoff(A));
    assert!(fixture.keep_version(id));
    assert!(!fixture.keep_version(id));
    assert_eq!(fixture.contents(Area::Rewriting), ["old"]);
    fs::write(fixture.dir.path().join(A), "new").unwrap();
    fixture.handoffs().version_written(id);
    assert_eq!(fixture.contents(Area::Replaced), ["old"]);
    assert!(fixture.keep_version(id));
    fixture.handoffs().version_left(id);
    assert_eq!(fixture.contents(Area::Replaced), ["new", "old"]);
    assert!(fixture.contents(Area::Rewriting).is_empty());
}

/// spec 3.9a: a copy that was overtaken by another writer's copy may be torn, and is not kept.
#[test]
fn a_copy_that_came_too_late() {
    let mut fixture = Fixture::with(&[(A, "old")]);
    let id = fixture.stored(handoff(A));
    let late = fixture.handoffs().version_wanted(id).unwrap().unwrap();
    assert!(fixture.keep_version(id));
    let copied = fixture.ctx.copy_version(&late, Area::Rewriting).unwrap();
    fixture.handoffs().version_copied(id, &late, copied);
    assert_eq!(fixture.contents(Area::Rewriting), ["old"]);
}

/// spec 4.5d, 3.9e: a handoff that its writer has emptied in place and never written gets its content back.
#[test]
fn a_rewriting_is_cut_short() {
    let mut fixture = Fixture::with(&[(A, "old")]);
    let id = fixture.stored(handoff(A));
    assert!(fixture.keep_version(id));
    fixture.files.known_mut(id).unwrap().handoff.unfinished = true;
    fs::write(fixture.dir.path().join(A), "").unwrap();
    fixture.damage(id);
    fixture.handoffs().version_left(id);
    assert_eq!(fixture.shown(), files([(A, "old")]));
    assert!(fixture.contents(Area::Rewriting).is_empty());
    assert!(fixture.contents(Area::Replaced).is_empty());
}

/// spec 3.5b, 6.6a: a handoff that is pending again has its stamp's time, and never another handoff's name.
#[test]
fn a_consumed_handoff_is_pending_again() {
    let mut fixture = Fixture::with(&[(A_DONE, "read"), (A, "other")]);
    let id = fixture.stored(handoff(A_DONE));
    let (_, name) = fixture.handoffs().unconsume(id).unwrap();
    assert_eq!(fixture.shown(), files([(A, "other"), (A_2, "read")]));
    let meta = fixture.files.known(id).unwrap().stat(&fixture.queues);
    assert_eq!(meta.unwrap().mtime, fixture.ctx.zone.time(name.stamp()));
}

/// spec 3.8: recovery publishes new drafts as partial, keeps unfinished edits, and drops empty drafts.
#[test]
fn drafts_are_recovered() {
    let fixture = Fixture::with(&[("2026-01-02_030405_b.md", "old")]);
    fixture.leave(Area::Drafts, A, "part");
    fixture.leave(Area::Drafts, "2026-01-02_030405_empty.md", "");
    fixture.leave(Area::Edits, "2026-01-02_030405_b.md", "unfinished");
    fixture.ctx.recover().unwrap();
    let shown = files([("2026-01-02_030405_b.md", "old"), (PARTIAL, "part")]);
    assert_eq!(fixture.shown(), shown);
    assert_eq!(fixture.contents(Area::Replaced), ["unfinished"]);
    assert!(fixture.contents(Area::Drafts).is_empty());
    assert!(fixture.contents(Area::Edits).is_empty());
}

/// spec 3.9e: recovery puts kept content back into an empty file, and never over content.
#[test]
fn rewrites_are_recovered() {
    let fixture = Fixture::with(&[(A, ""), (A_2, "new")]);
    fixture.leave(Area::Rewriting, &format!("{A}.1763821381000000000"), "old");
    fixture.leave(
        Area::Rewriting,
        &format!("{A_2}.1763821381000000001"),
        "before",
    );
    fixture.ctx.recover().unwrap();
    assert_eq!(fixture.shown(), files([(A, "old"), (A_2, "new")]));
    assert_eq!(fixture.contents(Area::Replaced), ["before"]);
    assert!(fixture.contents(Area::Rewriting).is_empty());
}
