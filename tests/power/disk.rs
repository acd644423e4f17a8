//! The content of a disk: as programs see it now, and the part of it that is durable.
//!
//! Data and names are made durable apart, as POSIX has it: fsync(2) of a file its bytes and attributes, fsync(2) of a
//! directory its entries. What was changed since is kept as a list, from which [`crate::cut`] takes what it likes.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

pub type Ino = u64;

/// An errno.
pub type Result<T> = std::result::Result<T, i32>;

pub const ROOT: Ino = 1;

/// The part of a file that fsync(2) makes durable.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Inside {
    pub data: Arc<Vec<u8>>,
    pub mode: u32,
    pub mtime: SystemTime,
}

/// A change of a file's bytes since its last fsync.
#[derive(Clone)]
pub enum Edit {
    Write(u64, Arc<[u8]>),
    Length(u64),
}

impl Edit {
    pub fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Edit::Length(len) => data.resize(*len as usize, 0),
            Edit::Write(at, bytes) => {
                let (at, end) = (*at as usize, *at as usize + bytes.len());
                data.resize(data.len().max(end), 0);
                data[at..end].copy_from_slice(bytes);
            }
        }
    }
}

#[derive(Clone)]
pub struct Inode {
    pub is_dir: bool,
    pub now: Inside,
    pub durable: Inside,
    pub ctime: SystemTime,
    /// Between `durable` and `now`.
    pub edits: Vec<Edit>,
    pub entries: BTreeMap<OsString, Ino>,
    pub durable_entries: BTreeMap<OsString, Ino>,
}

/// One entry of a directory that a call changes.
#[derive(Clone)]
pub struct Part {
    pub dir: Ino,
    pub name: OsString,
    pub was: Option<Ino>,
    pub is: Option<Ino>,
    pub durable: bool,
}

/// The entries that one call changes, and that are not all durable yet.
#[derive(Clone)]
pub struct Change {
    pub parts: Vec<Part>,
    /// A file moves from one directory to another: the second part, its going, is never durable without the first, its
    /// coming, but the other way round may be.
    pub moves: bool,
}

#[derive(Clone)]
pub struct Disk {
    pub inodes: BTreeMap<Ino, Inode>,
    pub changes: Vec<Change>,
    next: Ino,
}

impl Inode {
    pub fn new(is_dir: bool, mode: u32) -> Inode {
        let now = SystemTime::now();
        let inside = Inside {
            data: Arc::default(),
            mode: mode & 0o7777,
            mtime: now,
        };
        Inode {
            is_dir,
            now: inside.clone(),
            durable: inside,
            ctime: now,
            edits: Vec::new(),
            entries: BTreeMap::new(),
            durable_entries: BTreeMap::new(),
        }
    }
}

fn part(dir: Ino, name: &OsStr, was: Option<Ino>, is: Option<Ino>) -> Part {
    Part {
        dir,
        name: name.to_owned(),
        was,
        is,
        durable: false,
    }
}

impl Disk {
    /// An empty directory.
    pub fn new() -> Disk {
        Disk {
            inodes: [(ROOT, Inode::new(true, 0o700))].into(),
            changes: Vec::new(),
            next: ROOT + 1,
        }
    }

    pub fn get(&self, ino: Ino) -> Result<&Inode> {
        self.inodes.get(&ino).ok_or(libc::ESTALE)
    }

    fn get_mut(&mut self, ino: Ino) -> Result<&mut Inode> {
        self.inodes.get_mut(&ino).ok_or(libc::ESTALE)
    }

    pub fn lookup(&self, dir: Ino, name: &OsStr) -> Result<Ino> {
        let dir = self.get(dir)?;
        if !dir.is_dir {
            return Err(libc::ENOTDIR);
        }
        dir.entries.get(name).copied().ok_or(libc::ENOENT)
    }

    pub fn links(&self, ino: Ino) -> u32 {
        let entries = self.inodes.values().flat_map(|dir| dir.entries.values());
        let links = entries.filter(|entry| **entry == ino).count() as u32;
        links + if self.inodes[&ino].is_dir { 1 } else { 0 }
    }

    /// Every file with its path, and every directory that holds nothing.
    pub fn files(&self) -> Vec<(PathBuf, &Inode)> {
        let mut found = Vec::new();
        let mut left = vec![(PathBuf::new(), ROOT)];
        while let Some((path, dir)) = left.pop() {
            for (name, ino) in &self.inodes[&dir].entries {
                let inode = &self.inodes[ino];
                if inode.is_dir {
                    left.push((path.join(name), *ino));
                }
                if !inode.is_dir || inode.entries.is_empty() {
                    found.push((path.join(name), inode));
                }
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    /// Where a name is, for people.
    pub fn describe(&self, dir: Ino, name: &OsStr) -> String {
        let mut path = PathBuf::from(name);
        let mut at = dir;
        while at != ROOT {
            let above = self.inodes.iter().find_map(|(above, inode)| {
                let mut entries = inode.entries.iter();
                let (name, _) = entries.find(|(_, ino)| **ino == at)?;
                Some((*above, name))
            });
            let Some((above, name)) = above else {
                break;
            };
            path = Path::new(name).join(path);
            at = above;
        }
        path.display().to_string()
    }

    /// A name of an inode, for people.
    pub fn describe_inode(&self, ino: Ino) -> String {
        let dir = self.inodes.iter().find_map(|(dir, inode)| {
            let mut entries = inode.entries.iter();
            let (name, _) = entries.find(|(_, entry)| **entry == ino)?;
            Some((*dir, name))
        });
        match dir {
            Some((dir, name)) => self.describe(dir, name),
            None if ino == ROOT => "the backing directory".into(),
            None => format!("inode {ino}, which has no name"),
        }
    }

    fn change(&mut self, parts: Vec<Part>, moves: bool) {
        for part in &parts {
            let Some(dir) = self.inodes.get_mut(&part.dir) else {
                continue;
            };
            set(&mut dir.entries, part);
            dir.now.mtime = SystemTime::now();
            for ino in [part.was, part.is].into_iter().flatten() {
                if let Some(inode) = self.inodes.get_mut(&ino) {
                    inode.ctime = SystemTime::now();
                }
            }
        }
        self.changes.push(Change { parts, moves });
    }

    pub fn make(&mut self, dir: Ino, name: &OsStr, is_dir: bool, mode: u32) -> Result<Ino> {
        if self.lookup(dir, name).is_ok() {
            return Err(libc::EEXIST);
        }
        let ino = self.next;
        self.next += 1;
        self.inodes.insert(ino, Inode::new(is_dir, mode));
        self.change(vec![part(dir, name, None, Some(ino))], false);
        Ok(ino)
    }

    pub fn link(&mut self, ino: Ino, dir: Ino, name: &OsStr) -> Result<()> {
        if self.lookup(dir, name).is_ok() {
            return Err(libc::EEXIST);
        }
        self.change(vec![part(dir, name, None, Some(ino))], false);
        Ok(())
    }

    pub fn remove(&mut self, dir: Ino, name: &OsStr, is_dir: bool) -> Result<()> {
        let ino = self.lookup(dir, name)?;
        let inode = self.get(ino)?;
        match (inode.is_dir, is_dir) {
            (true, false) => return Err(libc::EISDIR),
            (false, true) => return Err(libc::ENOTDIR),
            (true, true) if !inode.entries.is_empty() => return Err(libc::ENOTEMPTY),
            _ => {}
        }
        self.change(vec![part(dir, name, Some(ino), None)], false);
        Ok(())
    }

    /// renameat2(2).
    pub fn rename(&mut self, from: (Ino, &OsStr), to: (Ino, &OsStr), flags: u32) -> Result<()> {
        let source = self.lookup(from.0, from.1)?;
        let target = self.lookup(to.0, to.1).ok();
        let moves = from.0 != to.0 && !self.get(source)?.is_dir;
        let coming = part(to.0, to.1, target, Some(source));
        if flags == libc::RENAME_EXCHANGE {
            let target = target.ok_or(libc::ENOENT)?;
            let back = part(from.0, from.1, Some(source), Some(target));
            self.change(vec![coming, back], false);
            return Ok(());
        }
        if flags & !libc::RENAME_NOREPLACE != 0 {
            return Err(libc::EINVAL);
        }
        if let Some(target) = target {
            if flags == libc::RENAME_NOREPLACE {
                return Err(libc::EEXIST);
            }
            if target == source {
                return Ok(());
            }
            if self.get(target)?.is_dir {
                return Err(libc::EISDIR);
            }
        }
        let going = part(from.0, from.1, Some(source), None);
        self.change(vec![coming, going], moves);
        Ok(())
    }

    pub fn edit(&mut self, ino: Ino, edit: Edit) -> Result<()> {
        let inode = self.get_mut(ino)?;
        edit.apply(Arc::make_mut(&mut inode.now.data));
        inode.edits.push(edit);
        inode.now.mtime = SystemTime::now();
        inode.ctime = SystemTime::now();
        Ok(())
    }

    pub fn set(&mut self, ino: Ino, mode: Option<u32>, mtime: Option<SystemTime>) -> Result<()> {
        let inode = self.get_mut(ino)?;
        if let Some(mode) = mode {
            inode.now.mode = mode & 0o7777;
        }
        if let Some(mtime) = mtime {
            inode.now.mtime = mtime;
        }
        inode.ctime = SystemTime::now();
        Ok(())
    }

    /// fsync(2) of a file or of a directory.
    pub fn sync(&mut self, ino: Ino) -> Result<()> {
        let inode = self.get_mut(ino)?;
        inode.durable = inode.now.clone();
        inode.edits.clear();
        if !inode.is_dir {
            return Ok(());
        }
        for i in 0..self.changes.len() {
            let change = &self.changes[i];
            let here = |part: &Part| part.dir == ino;
            if !change.parts.iter().any(here) {
                continue;
            }
            // A file that was moved here may still be in its old directory, too. Any other call is one transaction of
            // the filesystem.
            let whole = !change.moves || here(&change.parts[1]);
            for p in 0..self.changes[i].parts.len() {
                if whole || self.changes[i].parts[p].dir == ino {
                    self.make_durable(i, p);
                }
            }
        }
        self.changes
            .retain(|change| change.parts.iter().any(|part| !part.durable));
        Ok(())
    }

    fn make_durable(&mut self, change: usize, part: usize) {
        let made = &mut self.changes[change].parts[part];
        if made.durable {
            return;
        }
        made.durable = true;
        let made = made.clone();
        if let Some(dir) = self.inodes.get_mut(&made.dir) {
            set(&mut dir.durable_entries, &made);
        }
        // Earlier entries of this name cannot come back.
        for earlier in self.changes[..change].iter_mut() {
            for part in &mut earlier.parts {
                part.durable |= (part.dir, &part.name) == (made.dir, &made.name);
            }
        }
    }

    /// sync(2), and some time.
    pub fn settle(&mut self) {
        for inode in self.inodes.values_mut() {
            inode.durable = inode.now.clone();
            inode.edits.clear();
            inode.durable_entries = inode.entries.clone();
        }
        self.changes.clear();
    }
}

pub fn set(entries: &mut BTreeMap<OsString, Ino>, part: &Part) {
    match part.is {
        Some(ino) => entries.insert(part.name.clone(), ino),
        None => entries.remove(&part.name),
    };
}
