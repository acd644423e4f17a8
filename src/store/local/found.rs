//! How a mount reads or makes the record of the first mount (spec 3.6).

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::names::{self, Archives, StampedName, is_hidden};
use crate::retention::Retention;
use crate::store::dir_kind::{self, Why};
use crate::store::dirfd::{self, Beneath, Dir};
use crate::store::first_mount::{Adopt, FirstMount, Read};
use crate::store::open_error::{OpenError, OpenResult};
use crate::store::private;
use crate::store::types::{Kind, Meta};

/// The file of the record in the private directory.
pub const FIRST_MOUNT: &str = "first-mount";

/// The options by which a mount judges the files that it finds.
#[derive(Clone, Copy, Debug)]
pub struct FirstLook<'a> {
    /// Do text files in the root become handoffs?
    pub adopt: Adopt,
    /// The names of archives.
    pub archives: &'a Archives,
    /// The time after which consumed handoffs are hidden.
    pub retention: Retention,
    /// The time of this mount.
    pub now: SystemTime,
}

/// The record of the first mount, in memory.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) now: FirstMount,
    /// This mount is the first one.
    pub(super) first: bool,
    /// The number of changes that are not on disk, because writing them failed or can wait.
    pub(super) unwritten: usize,
}

/// Reads the record of the first mount, or makes it if there is none. Returns true if the caller must write the record to disk.
pub(super) fn read(root: &Beneath, dir: &Dir, look: FirstLook<'_>) -> OpenResult<(Record, bool)> {
    let name = OsStr::new(FIRST_MOUNT);
    private::check_part(dir, name, Kind::File)?;
    let bytes = match private::read_file(dir, name) {
        Err(Error::NotFound) => None,
        bytes => Some(bytes?),
    };
    let first = bytes.is_none();
    let (mut record, made) = match bytes.map(|bytes| FirstMount::from_bytes(&bytes)) {
        None => (find(root, look)?, true),
        Some(Some(Read::Current(record))) => (record, false),
        Some(Some(Read::Version1(record))) => (upgrade(root, look.archives, &record)?, true),
        Some(None) => return Err(OpenError::Record),
    };
    // Any error but absence counts as "the file is there".
    let is_there = |path: &Path| !root.stat(path).is_err_and(Error::is_absence);
    let gone = !first && record.retain(is_there);
    let adopted = !first && look.adopt == Adopt::Always && adopt_root(root, &mut record)?;
    let record = Record {
        now: record,
        first,
        unwritten: 0,
    };
    Ok((record, made || gone || adopted))
}

/// The record of a first mount over the files that are there now.
fn find(root: &Beneath, look: FirstLook<'_>) -> Result<FirstMount> {
    let mut record = FirstMount::at(look.now);
    let visit = |record: &mut FirstMount, dir: &Path, files: &[(OsString, Meta)]| {
        let adopts = look.adopt != Adopt::Nothing && dir.as_os_str().is_empty();
        for (name, meta) in files {
            let done = StampedName::parse(name).is_some_and(|name| !name.is_pending());
            if done && look.retention.expired(meta.mtime, look.now) {
                record.find_expired(&dir.join(name));
            } else if name == names::PENDING {
                // A `pending.md` with content becomes a handoff, because the virtual file takes its name.
                record.adopted += u64::from(meta.size > 0);
            } else if names::is_adoptable(name) && adopts {
                record.adopted += 1;
            } else if names::is_adoptable(name) {
                record.make_ordinary(&dir.join(name));
            }
        }
        true
    };
    walk(
        root,
        look.archives,
        &mut record,
        vec![PathBuf::new()],
        visit,
    )?;
    log::info!(
        "first mount: {} files become handoffs, {} stay ordinary, {} consumed ones are hidden",
        record.adopted,
        record.len() - record.expired(),
        record.expired()
    );
    Ok(record)
}

/// Makes a record of this version from a record of version 1. Its ordinary directories become queues with ordinary files. A
/// directory with a handoff stays ordinary: the handoff would become pending, or would expire.
fn upgrade(root: &Beneath, archives: &Archives, old: &FirstMount) -> Result<FirstMount> {
    let is_directory = |path: &Path| root.stat(path).is_ok_and(|it| it.kind == Kind::Directory);
    let directories = old.ordinary().filter(|path| is_directory(path));
    let directories: Vec<PathBuf> = directories.map(Path::to_owned).collect();
    let mut record = old.clone();
    for path in &directories {
        record.adopt(path);
    }
    let is_handoff = |name: &OsStr| StampedName::parse(name).is_some() || name == names::PENDING;
    let visit = |record: &mut FirstMount, dir: &Path, files: &[(OsString, Meta)]| {
        if files.iter().any(|(name, _)| is_handoff(name)) {
            return false;
        }
        for (name, _) in files.iter().filter(|(name, _)| names::is_adoptable(name)) {
            record.make_ordinary(&dir.join(name));
        }
        true
    };
    walk(root, archives, &mut record, directories, visit)?;
    Ok(record)
}

/// Makes handoffs of the ordinary text files of the root, for `--adopt` at a later mount; true if there were any.
fn adopt_root(root: &Beneath, record: &mut FirstMount) -> Result<bool> {
    let before = record.adopted;
    for (name, meta) in dirfd::list(root.dir(Path::new(""))?)? {
        if meta.kind == Kind::File && names::is_adoptable(&name) && record.adopt(name.as_ref()) {
            record.adopted += 1;
        }
    }
    Ok(record.adopted > before)
}

/// Visits directories and the queues below them. `visit` gets the files of each directory, and returns whether the directory
/// is a queue. The record gets the directories that are ordinary for their content, or cannot be read.
fn walk(
    root: &Beneath,
    archives: &Archives,
    record: &mut FirstMount,
    mut left: Vec<PathBuf>,
    mut visit: impl FnMut(&mut FirstMount, &Path, &[(OsString, Meta)]) -> bool,
) -> Result<()> {
    while let Some(dir) = left.pop() {
        let listed = match dir_kind::why_ordinary(root, archives, &dir) {
            Ok(None) => root.dir(&dir).and_then(dirfd::list),
            Ok(Some(Why::Git)) => {
                record.make_ordinary(&dir);
                continue;
            }
            Ok(Some(_)) => continue,
            Err(error) => Err(error),
        };
        let entries = match listed {
            // A directory that cannot be read must not keep the others from being served.
            Err(error) if !dir.as_os_str().is_empty() => {
                log::warn!(
                    "{}: cannot be read ({error}); it stays an ordinary directory",
                    dir.display()
                );
                record.make_ordinary(&dir);
                continue;
            }
            entries => entries?,
        };
        let (files, others): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .partition(|(_, meta)| meta.kind == Kind::File);
        if !visit(record, &dir, &files) {
            record.make_ordinary(&dir);
            continue;
        }
        for (name, meta) in others {
            if meta.kind == Kind::Directory && !is_hidden(&name) {
                left.push(dir.join(name));
            }
        }
    }
    Ok(())
}
