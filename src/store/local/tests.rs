//! The local side of a backing directory, without a mount.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::*;
use crate::error::Error;
use crate::names::Archives;
use crate::retention::Retention;
use crate::session::Session;
use crate::store::dirfd::Beneath;
use crate::store::first_mount::Adopt;
use crate::store::open_error::OpenError;

const ROOT: &str = "";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// Opens the local side of a directory, as a mount does.
fn open(dir: &TempDir, adopt: Adopt) -> Result<Local, OpenError> {
    let root = OwnedFd::from(File::open(dir.path()).unwrap());
    let look = FirstLook {
        adopt,
        archives: &Archives::default(),
        retention: Retention::default(),
        now: now(),
    };
    Local::open(Arc::new(Beneath::new(root)), true, look)
}

fn fresh() -> (TempDir, Local) {
    let dir = tempfile::tempdir().unwrap();
    let local = open(&dir, Adopt::Nothing).unwrap();
    (dir, local)
}

fn write(dir: &TempDir, name: &str, content: &str) {
    let path = dir.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// The names of an area's files, without the times of kept ones, sorted.
fn names(local: &Local, area: Area) -> Vec<String> {
    let files = local.list_all(area).unwrap();
    let name = |name: &OsStr| version_of(name).map_or(name, |it| it.0).to_owned();
    let names = files
        .iter()
        .map(|(queue, file, _)| queue.join(name(file)).display().to_string());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// spec 3.6a, 3.6c, 3.6j: the first mount leaves text files ordinary, and hides consumed handoffs that had expired
#[test]
fn what_the_first_mount_finds() {
    let dir = tempfile::tempdir().unwrap();
    let expired = "2020-01-01_000000_old_done.md";
    for name in [
        "notes.md",
        "q/notes.txt",
        "tool.json",
        expired,
        "2020-01-01_000000_x.md",
    ] {
        write(&dir, name, "x");
    }
    let before = File::open(dir.path().join(expired)).unwrap();
    before.set_modified(now() - 8 * DAY).unwrap();
    let local = open(&dir, Adopt::Nothing).unwrap();
    assert_eq!(local.first_mount(), (true, 0, 1));
    for name in ["notes.md", "q/notes.txt"] {
        assert!(local.is_ordinary(Path::new(name)), "{name}");
    }
    assert!(local.found_expired(Path::new(expired)));
    assert!(!local.is_ordinary(Path::new("2020-01-01_000000_x.md")));
    drop(local);
    assert_eq!(
        open(&dir, Adopt::Nothing).unwrap().first_mount(),
        (false, 0, 1)
    );
}

/// spec 3.6b: `--adopt` makes handoffs of text files in the root, and of no others; `pending.md` needs content
#[test]
fn what_the_first_mount_adopts() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in [("a.md", ""), ("b", "x"), ("c.json", "x"), ("q/d.md", "x")] {
        write(&dir, name, content);
    }
    write(&dir, "pending.md", "x");
    let local = open(&dir, Adopt::AtFirst).unwrap();
    assert_eq!(local.first_mount(), (true, 3, 0));
    assert!(!local.is_ordinary(Path::new("a.md")) && local.is_ordinary(Path::new("q/d.md")));
}

/// spec 3.6b: a later mount with `--adopt` makes handoffs of the text files that stayed ordinary
#[test]
fn a_later_mount_adopts() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "a.md", "x");
    drop(open(&dir, Adopt::Nothing).unwrap());
    assert!(
        open(&dir, Adopt::AtFirst)
            .unwrap()
            .is_ordinary(Path::new("a.md"))
    );
    let local = open(&dir, Adopt::Always).unwrap();
    assert_eq!(local.first_mount(), (false, 1, 0));
    assert!(!local.is_ordinary(Path::new("a.md")));
}

/// spec 3.6a, 3.7a: a path that is gone at the next mount is forgotten; a new file of that name is a stray
#[test]
fn a_path_that_is_gone_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "a.md", "x");
    write(&dir, "b.md", "x");
    drop(open(&dir, Adopt::Nothing).unwrap());
    fs::remove_file(dir.path().join("a.md")).unwrap();
    let local = open(&dir, Adopt::Nothing).unwrap();
    assert!(!local.is_ordinary(Path::new("a.md")) && local.is_ordinary(Path::new("b.md")));
}

/// spec 3.6f: in a record of version 1 a directory with ordinary files becomes a queue; one with handoffs stays ordinary
#[test]
fn a_record_of_version_1() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "q/notes.md", "x");
    write(&dir, "r/2020-01-01_000000_x.md", "x");
    drop(open(&dir, Adopt::Nothing).unwrap());
    let old = b"handoff-fs first mount 1\x001800000000\0a2\0oq\0or\0";
    fs::write(dir.path().join(".handoff-fs/first-mount"), old).unwrap();
    let local = open(&dir, Adopt::Nothing).unwrap();
    assert_eq!(local.first_mount(), (false, 2, 0));
    assert!(!local.is_ordinary(Path::new("q")) && local.is_ordinary(Path::new("q/notes.md")));
    assert!(local.is_ordinary(Path::new("r")));
}

/// spec 3.6g: a repository is noted as ordinary; other directories that are no queues are not even looked into
#[test]
fn directories_that_are_no_queues() {
    let dir = tempfile::tempdir().unwrap();
    for name in [
        "repo/.git/x",
        "repo/a.md",
        "x.lock/a.md",
        "done/a.md",
        ".hidden/a.md",
    ] {
        write(&dir, name, "x");
    }
    let local = open(&dir, Adopt::Nothing).unwrap();
    assert!(local.is_ordinary(Path::new("repo")));
    for name in ["repo/a.md", "x.lock/a.md", "done/a.md", ".hidden/a.md"] {
        assert!(!local.is_ordinary(Path::new(name)), "{name}");
    }
}

/// spec 8.2c: a second daemon is refused, with the pid of the first
#[test]
fn one_daemon_a_directory() {
    let (dir, local) = fresh();
    local.note_supervisor(Some(7)).unwrap();
    let refused = open(&dir, Adopt::Nothing).unwrap_err();
    let me = std::process::id();
    assert!(matches!(refused, OpenError::Locked { pid } if pid == Some(me)));
    drop(local);
    open(&dir, Adopt::Nothing).unwrap();
    let lock = fs::read_to_string(dir.path().join(".handoff-fs/lock")).unwrap();
    assert_eq!(lock, format!("{me}\n7\n"), "the supervisor's pid stays");
}

/// spec 8.1e, 8.4a: a part of the private directory that is a link is refused, and so is a damaged record
#[test]
fn a_damaged_private_directory() {
    let (dir, local) = fresh();
    drop(local);
    let private = dir.path().join(".handoff-fs");
    std::os::unix::fs::symlink("/tmp", private.join("drafts")).unwrap();
    let refused = open(&dir, Adopt::Nothing).unwrap_err();
    assert!(matches!(refused, OpenError::Part(name) if name == "drafts"));
    fs::remove_file(private.join("drafts")).unwrap();
    fs::write(private.join(FIRST_MOUNT), "half a rec").unwrap();
    assert!(matches!(open(&dir, Adopt::Nothing), Err(OpenError::Record)));
}

/// spec 8.4c: the private directory is its owner's alone, also if another program has opened it
#[test]
fn the_private_directory_is_closed_again() {
    let (dir, local) = fresh();
    drop(local);
    let private = dir.path().join(".handoff-fs");
    fs::set_permissions(&private, Permissions::from_mode(0o755)).unwrap();
    open(&dir, Adopt::Nothing).unwrap();
    assert_eq!(fs::metadata(private).unwrap().mode() & 0o777, 0o700);
}

/// spec 3.9a: a kept copy has the bytes, the times and the mode of the file
#[test]
fn a_copy_is_whole() {
    let (dir, local) = fresh();
    write(&dir, "a.md", "old");
    let mut file = File::options()
        .read(true)
        .append(true)
        .open(dir.path().join("a.md"))
        .unwrap();
    file.set_modified(now() - DAY).unwrap();
    file.set_permissions(Permissions::from_mode(0o640)).unwrap();
    let (queue, name) = (Path::new(ROOT), OsStr::new("a.md"));
    let (copy, kept) = local
        .keep_copy(&file, Area::Rewriting, queue, name, now())
        .unwrap();
    file.write_all(b" and new").unwrap();
    let meta = copy.metadata().unwrap();
    assert_eq!((meta.len(), meta.mode() & 0o777), (3, 0o640));
    assert_eq!(meta.modified().unwrap(), now() - DAY);
    local.keep_rewritten(&kept).unwrap();
    assert_eq!(names(&local, Area::Rewriting), Vec::<String>::new());
    assert_eq!(
        local.read_note(Area::Replaced, queue, &kept.name).unwrap(),
        b"old"
    );
}

/// spec 3.9d: of one handoff the 16 latest versions are kept, and all removed handoffs
#[test]
fn sixteen_versions_are_kept() {
    let (_dir, local) = fresh();
    let queue = Path::new(ROOT);
    for i in 0..20 {
        for (name, area) in [("a.md", Area::Edits), ("b.md", Area::Drafts)] {
            let file = local.create(area, queue, OsStr::new(name), 0o600).unwrap();
            rustix::io::write(&file, &[i]).unwrap();
        }
        let (name, now) = (OsStr::new("a.md"), now() + u32::from(i) * DAY);
        local.keep(Area::Edits, queue, name, now).unwrap();
        local
            .keep_pending(Area::Drafts, queue, OsStr::new("b.md"), now)
            .unwrap();
    }
    let mut versions = local.list_all(Area::Replaced).unwrap();
    versions.sort_by(|a, b| a.1.cmp(&b.1));
    assert_eq!(
        (versions.len(), names(&local, Area::Removed).len()),
        (16, 20)
    );
    let oldest = local
        .read_note(Area::Replaced, queue, &versions[0].1)
        .unwrap();
    assert_eq!(oldest, [4]);
}

/// spec 3.9d: a full disk drops the oldest replaced versions, and never a removed handoff
#[test]
fn a_full_disk_drops_replaced_versions() {
    let (_dir, local) = fresh();
    let queue = Path::new(ROOT);
    for (i, name) in ["a", "b", "c"].into_iter().enumerate() {
        let name = OsStr::new(name);
        local.create(Area::Edits, queue, name, 0o600).unwrap();
        local.create(Area::Drafts, queue, name, 0o600).unwrap();
        let now = now() + DAY * u32::try_from(i).unwrap();
        local.keep(Area::Edits, queue, name, now).unwrap();
        local.keep_pending(Area::Drafts, queue, name, now).unwrap();
    }
    let mut tried = 0;
    let full = local.with_room(|| {
        tried += 1;
        Err::<(), _>(Error::Os(libc::ENOSPC))
    });
    assert_eq!(
        full,
        Err(Error::Os(libc::ENOSPC)),
        "nothing is left to drop"
    );
    assert_eq!(
        tried, 2,
        "all three are dropped at once, because they are small"
    );
    assert_eq!(names(&local, Area::Replaced), Vec::<String>::new());
    assert_eq!(names(&local, Area::Removed), ["a", "b", "c"]);
}

/// spec 3.9a, 3.9b: kept files go with the retention time, counted from when they were replaced or removed
#[test]
fn kept_files_expire() {
    let (dir, local) = fresh();
    let queue = Path::new("q");
    fs::create_dir(dir.path().join(queue)).unwrap();
    for (name, age) in [("old.md", 8), ("young.md", 6)] {
        let name = OsStr::new(name);
        local.create(Area::Drafts, queue, name, 0o600).unwrap();
        let then = now() - age * DAY;
        local.keep_pending(Area::Drafts, queue, name, then).unwrap();
        write(&dir, &format!("q/{}", name.display()), "x");
        local.keep_ordinary_removed(queue, name, then).unwrap();
    }
    local.sweep(Retention::default(), now()).unwrap();
    assert_eq!(names(&local, Area::Removed), ["q/young.md"]);
    assert_eq!(names(&local, Area::Replaced), ["q/young.md"]);
}

/// spec 3.6f: a directory in which a handoff was begun is marked as a queue, for as long as the mark is not taken off
#[test]
fn a_queue_is_marked() {
    let (dir, local) = fresh();
    let handoff = "q/below/2020-01-01_000000_x_done.md";
    write(&dir, handoff, "x");
    let queue = Path::new("q");
    assert!(
        !local.holds_handoffs(queue, Counts::All).unwrap(),
        "no mark"
    );
    local.mark_queue(queue).unwrap();
    local.mark_queue(&queue.join("below")).unwrap();
    assert!(local.holds_handoffs(queue, Counts::All).unwrap());
    assert!(!local.holds_handoffs(queue, Counts::Pending).unwrap());
    local.unmark_queue(queue);
    assert!(!local.holds_handoffs(queue, Counts::All).unwrap());
}

/// spec 3.6a, 4.10a: drafts, scratch files and the record follow a queue that is renamed
#[test]
fn areas_follow_a_renamed_queue() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "q/notes.md", "x");
    let local = open(&dir, Adopt::Nothing).unwrap();
    let (root, queue) = (Path::new(ROOT), Path::new("q"));
    let own = Area::Own(Session::Anonymous { uid: 7 });
    for area in [Area::Drafts, Area::Scratch, own] {
        local.create(area, queue, OsStr::new("x"), 0o600).unwrap();
    }
    assert_eq!(local.owned().unwrap(), [own]);
    let (from, to) = ((root, OsStr::new("q")), (root, OsStr::new("r")));
    local.rename_queue(from, to, false).unwrap();
    for area in [Area::Drafts, Area::Scratch, own] {
        assert_eq!(names(&local, area), ["r/x"], "{area:?}");
    }
    assert!(local.is_ordinary(Path::new("r/notes.md")));
    assert!(!local.is_ordinary(Path::new("q/notes.md")));
    // The directory `s` does not exist, so nothing changes.
    let to = (Path::new("s"), OsStr::new("r"));
    assert!(
        local
            .rename_queue((root, OsStr::new("r")), to, false)
            .is_err()
    );
    assert!(local.is_ordinary(Path::new("r/notes.md")));
}

/// spec 3.8: drafts can be begun again in a directory that another program has removed below the mount
#[test]
fn a_removed_directory_of_drafts() {
    let (dir, local) = fresh();
    let queue = Path::new(ROOT);
    local
        .create(Area::Drafts, queue, OsStr::new("a"), 0o600)
        .unwrap();
    fs::remove_dir_all(dir.path().join(".handoff-fs/drafts")).unwrap();
    local
        .create(Area::Drafts, queue, OsStr::new("b"), 0o600)
        .unwrap();
    assert_eq!(names(&local, Area::Drafts), ["b"]);
}

/// spec 4.2a: a note is written whole under a name of its own
#[test]
fn notes_have_names_of_their_own() {
    let (_dir, local) = fresh();
    let notes = [b"a", b"b"].map(|note| local.note(Area::Consuming, note, now()).unwrap());
    let read = notes.map(|name| {
        local
            .read_note(Area::Consuming, Path::new(ROOT), &name)
            .unwrap()
    });
    assert_eq!(read, [b"a", b"b"]);
}
