//! The logic driven directly, the way the kernel drives it: a cache of names that it believes for no time at all,
//! one more look-up after ESTALE, a FLUSH for each close and a RELEASE for the last, FORGET for what nobody uses.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use handoff_fs::error::Error;
use handoff_fs::fs::{Fs, HandleId, NodeId, Options, Outcome, Request, SetAttr};
use handoff_fs::store::Kind;
use handoff_fs::store::beneath::Beneath;
use handoff_fs::store::dir::DirStore;
use tempfile::TempDir;

use crate::ops::Who;
use crate::procs::{Procs, tid};
use crate::sys::{Fd, Result, StoppedClock, Sys};

/// An open file description.
struct OpenFile {
    who: Who,
    handle: HandleId,
    node: NodeId,
    offset: u64,
    append: bool,
    flush: bool,
    descriptors: u32,
}

pub struct Domain {
    fs: Option<Arc<Fs>>,
    options: Options,
    clock: StoppedClock,
    below: OwnedFd,
    /// What the kernel's cache of names holds. No negative entries: they are not believed either.
    dentries: HashMap<(NodeId, String), NodeId>,
    /// How often each node was answered to a look-up since it was last forgotten.
    lookups: HashMap<NodeId, u64>,
    files: HashMap<Fd, OpenFile>,
    last: Fd,
    _dir: TempDir,
}

fn request(who: Who) -> Request {
    Request {
        tid: tid(who),
        uid: 1000,
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn errno<T>(result: std::result::Result<T, Error>) -> Result<T> {
    result.map_err(Error::errno)
}

/// The kernel walks a path again, once, when a filesystem says that it has changed.
fn again_if_stale<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    match attempt() {
        Err(libc::ESTALE) => attempt(),
        done => done,
    }
}

impl Domain {
    pub fn new(clock: StoppedClock) -> Domain {
        let dir = tempfile::Builder::new()
            .prefix("handoff-fs-model-")
            .tempdir()
            .unwrap();
        let options = Options {
            sync: false,
            utc: true,
            ..Options::default()
        };
        let mut domain = Domain {
            fs: None,
            options,
            clock,
            below: File::open(dir.path()).unwrap().into(),
            dentries: HashMap::new(),
            lookups: HashMap::new(),
            files: HashMap::new(),
            last: 0,
            _dir: dir,
        };
        domain.mount();
        domain
    }

    fn mount(&mut self) {
        let root = Arc::new(Beneath::new(self.below.try_clone().unwrap()));
        let store = Box::new(DirStore::new(root.clone()));
        let clock = Arc::new(self.clock.clone());
        let fs = Fs::with(root, store, self.options.clone(), clock, Box::new(Procs)).unwrap();
        self.fs = Some(fs);
    }

    fn fs(&self) -> Arc<Fs> {
        self.fs.clone().unwrap()
    }

    fn look_up(&mut self, who: Who, parent: NodeId, name: &str) -> Result<NodeId> {
        let fs = self.fs();
        let ask = || fs.lookup(request(who), parent, OsStr::new(name));
        let key = (parent, name.to_owned());
        if let Some(known) = self.dentries.get(&key).copied() {
            match ask() {
                Ok(entry) if entry.node == known => {
                    *self.lookups.entry(known).or_default() += 1;
                    return Ok(known);
                }
                Ok(entry) => fs.forget(entry.node, 1),
                Err(_) => {}
            }
            self.drop_dentry(&key);
        }
        let entry = errno(ask())?;
        *self.lookups.entry(entry.node).or_default() += 1;
        self.dentries.insert(key, entry.node);
        Ok(entry.node)
    }

    fn drop_dentry(&mut self, key: &(NodeId, String)) {
        if let Some(node) = self.dentries.remove(key) {
            self.forget_unused(node);
        }
    }

    fn forget_unused(&mut self, node: NodeId) {
        let named = self.dentries.values().any(|it| *it == node);
        if named || self.files.values().any(|file| file.node == node) {
            return;
        }
        let below = self.dentries.keys().filter(|key| key.0 == node);
        for key in below.cloned().collect::<Vec<_>>() {
            self.drop_dentry(&key);
        }
        if let Some(count) = self.lookups.remove(&node) {
            self.fs().forget(node, count);
        }
    }

    fn directory(&mut self, who: Who, path: &str) -> Result<NodeId> {
        let mut at = NodeId::ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            at = self.look_up(who, at, name)?;
            if !self.is_dir(at)? {
                return Err(libc::ENOTDIR);
            }
        }
        Ok(at)
    }

    fn is_dir(&self, node: NodeId) -> Result<bool> {
        Ok(errno(self.fs().getattr(node))?.meta.kind == Kind::Directory)
    }

    fn find(&mut self, who: Who, path: &str) -> Result<NodeId> {
        let (parent, name) = split(path);
        let parent = self.directory(who, parent)?;
        if name.is_empty() {
            return Ok(parent);
        }
        self.look_up(who, parent, name)
    }

    fn open_once(&mut self, who: Who, path: &str, flags: i32, late: Option<Fd>) -> Result<Fd> {
        let (parent, name) = split(path);
        let parent = self.directory(who, parent)?;
        let creates = flags & libc::O_CREAT != 0;
        let (node, opened) = match self.look_up(who, parent, name) {
            Ok(_) if creates && flags & libc::O_EXCL != 0 => return Err(libc::EEXIST),
            Ok(node) if self.is_dir(node)? => return Err(libc::EISDIR),
            Ok(node) => {
                let flags = flags & !(libc::O_CREAT | libc::O_EXCL);
                match self.fs().open_node(request(who), node, flags) {
                    Outcome::Ready(opened) => (node, errno(opened)?),
                    Outcome::Later(waiting) => {
                        let waiter = thread::spawn(move || waiting.finish());
                        if let Some(late) = late {
                            thread::sleep(Duration::from_millis(1));
                            self.release(late);
                        }
                        (node, errno(waiter.join().unwrap())?)
                    }
                }
            }
            Err(libc::ENOENT) if creates => {
                let made = self
                    .fs()
                    .create(request(who), parent, OsStr::new(name), 0o600, flags);
                let made = errno(made)?;
                let node = made.entry.node;
                *self.lookups.entry(node).or_default() += 1;
                self.dentries.insert((parent, name.to_owned()), node);
                (node, made.opened)
            }
            Err(errno) => return Err(errno),
        };
        self.last += 1;
        let file = OpenFile {
            who,
            handle: opened.handle,
            node,
            offset: 0,
            append: flags & libc::O_APPEND != 0,
            flush: opened.flush,
            descriptors: 1,
        };
        self.files.insert(self.last, file);
        Ok(self.last)
    }

    fn release(&mut self, fd: Fd) {
        if let Some(file) = self.files.remove(&fd) {
            self.fs().release(file.handle);
            self.forget_unused(file.node);
        }
    }

    /// Whatever is under this name is something else now.
    fn unname(&mut self, parent: NodeId, name: &str) {
        self.drop_dentry(&(parent, name.to_owned()));
    }

    fn set_size(&self, who: Who, node: NodeId, handle: Option<HandleId>, len: u64) -> Result<()> {
        let set = SetAttr {
            size: Some(len),
            ..SetAttr::default()
        };
        errno(self.fs().setattr(request(who), node, handle, set)).map(drop)
    }

    fn rename_once(&mut self, who: Who, from: &str, to: &str) -> Result<()> {
        let ((old_dir, old), (new_dir, new)) = (split(from), split(to));
        let old_dir = self.directory(who, old_dir)?;
        let new_dir = self.directory(who, new_dir)?;
        let source = self.look_up(who, old_dir, old)?;
        let moves_dir = self.is_dir(source)?;
        let target = match self.look_up(who, new_dir, new) {
            Ok(node) => Some(node),
            Err(libc::ENOENT) => None,
            Err(errno) => return Err(errno),
        };
        if target == Some(source) {
            return Ok(());
        }
        if let Some(target) = target {
            match (moves_dir, self.is_dir(target)?) {
                (true, false) => return Err(libc::ENOTDIR),
                (false, true) => return Err(libc::EISDIR),
                _ => {}
            }
        }
        let from = (old_dir, OsStr::new(old));
        let to = (new_dir, OsStr::new(new));
        errno(self.fs().rename(request(who), from, to, 0))?;
        self.unname(new_dir, new);
        if let Some(moved) = self.dentries.remove(&(old_dir, old.to_owned())) {
            self.dentries.insert((new_dir, new.to_owned()), moved);
        }
        Ok(())
    }

    fn unlink_once(&mut self, who: Who, path: &str) -> Result<()> {
        let (parent, name) = split(path);
        let parent = self.directory(who, parent)?;
        let node = self.look_up(who, parent, name)?;
        if self.is_dir(node)? {
            return Err(libc::EISDIR);
        }
        errno(self.fs().unlink(request(who), parent, OsStr::new(name)))?;
        self.unname(parent, name);
        Ok(())
    }
}

impl Sys for Domain {
    fn open(&mut self, who: Who, path: &str, flags: i32) -> Result<Fd> {
        again_if_stale(|| self.open_once(who, path, flags, None))
    }

    fn open_racing(&mut self, who: Who, path: &str, late: Fd) -> Result<Fd> {
        let opened = again_if_stale(|| self.open_once(who, path, libc::O_RDONLY, Some(late)));
        self.release(late);
        opened
    }

    fn dup(&mut self, fd: Fd) {
        self.files.get_mut(&fd).unwrap().descriptors += 1;
    }

    fn close(&mut self, fd: Fd) -> Result<()> {
        let flushed = self.close_late(fd);
        if self.files[&fd].descriptors == 0 {
            self.release(fd);
        }
        flushed
    }

    fn close_late(&mut self, fd: Fd) -> Result<()> {
        let file = self.files.get_mut(&fd).unwrap();
        file.descriptors -= 1;
        let (who, handle, flush) = (file.who, file.handle, file.flush);
        if flush {
            errno(self.fs().flush(request(who), handle))?;
        }
        Ok(())
    }

    fn read(&mut self, fd: Fd, len: usize) -> Result<Vec<u8>> {
        let fs = self.fs();
        let file = self.files.get_mut(&fd).unwrap();
        let len = u32::try_from(len).unwrap();
        let read = fs.read(request(file.who), file.handle, file.offset, len, false);
        let bytes = std::mem::take(&mut errno(read)?.bytes);
        file.offset += bytes.len() as u64;
        Ok(bytes)
    }

    fn write(&mut self, fd: Fd, data: &[u8]) -> Result<usize> {
        let fs = self.fs();
        let file = self.files.get_mut(&fd).unwrap();
        if file.append {
            file.offset = errno(fs.getattr(file.node))?.meta.size;
        }
        let who = request(file.who);
        let written = errno(fs.write(who, file.handle, file.offset, data, file.append))?;
        file.offset += u64::from(written);
        Ok(written as usize)
    }

    fn rewind(&mut self, fd: Fd) {
        self.files.get_mut(&fd).unwrap().offset = 0;
    }

    fn ftruncate(&mut self, fd: Fd, len: u64) -> Result<()> {
        let file = &self.files[&fd];
        self.set_size(file.who, file.node, Some(file.handle), len)
    }

    fn fstat_size(&mut self, fd: Fd) -> Result<u64> {
        Ok(errno(self.fs().getattr(self.files[&fd].node))?.meta.size)
    }

    fn truncate(&mut self, who: Who, path: &str, len: u64) -> Result<()> {
        again_if_stale(|| {
            let node = self.find(who, path)?;
            if self.is_dir(node)? {
                return Err(libc::EISDIR);
            }
            self.set_size(who, node, None, len)
        })
    }

    fn rename(&mut self, who: Who, from: &str, to: &str) -> Result<()> {
        again_if_stale(|| self.rename_once(who, from, to))
    }

    fn unlink(&mut self, who: Who, path: &str) -> Result<()> {
        again_if_stale(|| self.unlink_once(who, path))
    }

    fn mkdir(&mut self, path: &str) -> Result<()> {
        let (parent, name) = split(path);
        let parent = self.directory(Who::Observer, parent)?;
        if self.look_up(Who::Observer, parent, name).is_ok() {
            return Err(libc::EEXIST);
        }
        let who = request(Who::Observer);
        let made = errno(self.fs().mkdir(who, parent, OsStr::new(name), 0o700))?;
        *self.lookups.entry(made.node).or_default() += 1;
        self.dentries.insert((parent, name.to_owned()), made.node);
        Ok(())
    }

    fn rmdir(&mut self, path: &str) -> Result<()> {
        let (parent, name) = split(path);
        let parent = self.directory(Who::Observer, parent)?;
        let node = self.look_up(Who::Observer, parent, name)?;
        if !self.is_dir(node)? {
            return Err(libc::ENOTDIR);
        }
        errno(self.fs().rmdir(parent, OsStr::new(name)))?;
        self.unname(parent, name);
        Ok(())
    }

    fn list(&mut self, path: &str) -> Result<Vec<String>> {
        let fs = self.fs();
        let node = self.directory(Who::Observer, path)?;
        let handle = errno(fs.opendir(node))?;
        let listed = errno(fs.readdir(handle, 0));
        fs.releasedir(handle);
        let names = listed?
            .iter()
            .map(|it| it.name.to_string_lossy().into_owned())
            .collect();
        Ok(names)
    }

    fn stat_size(&mut self, who: Who, path: &str) -> Result<u64> {
        let node = self.find(who, path)?;
        Ok(errno(self.fs().getattr(node))?.meta.size)
    }

    fn sweep(&mut self) {
        self.fs().sweep();
    }

    fn remount(&mut self) {
        self.dentries.clear();
        self.lookups.clear();
        self.files.clear();
        self.fs = None;
        self.mount();
    }

    fn drop_caches(&mut self) {
        for key in self.dentries.keys().cloned().collect::<Vec<_>>() {
            self.drop_dentry(&key);
        }
    }

    fn below(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.below.as_raw_fd()))
    }

    fn check_leaks(&mut self) {
        assert!(self.files.is_empty());
        self.drop_caches();
        assert_eq!(self.fs().nodes(), 0, "nodes that everybody has forgotten");
    }
}
