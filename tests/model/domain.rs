//! The logic called directly, every method that the adapter has a twin of, the way the kernel calls it: a LOOKUP for
//! each name of each path, one more walk after ESTALE, a FLUSH for each close, a RELEASE for the last, and FORGET.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use handoff_fs::error::Error;
use handoff_fs::fs::{Entry, Fs, HandleId, NodeId, Outcome, Request, SetAttr};
use handoff_fs::store::Kind;

use crate::harness::Mount;
use crate::kernel::{Call, Fd, Kernel, Result, Sys};
use crate::ops::Who;

/// An open file description.
struct OpenFile {
    handle: HandleId,
    node: NodeId,
    offset: u64,
    append: bool,
    flush: bool,
}

#[derive(Default)]
pub struct Domain {
    files: HashMap<Fd, OpenFile>,
    /// How often each node was answered to a look-up since it was last forgotten.
    known: HashMap<NodeId, (u64, Kind)>,
    /// A RELEASE that comes late.
    late: Option<JoinHandle<()>>,
}

/// The processes in whose names it calls; they do nothing themselves.
static CLIENTS: LazyLock<Mutex<Kernel>> = LazyLock::new(Mutex::default);

/// One caller's requests.
struct Caller<'a> {
    fs: Arc<Fs>,
    request: Request,
    domain: &'a mut Domain,
}

fn errno<T>(result: std::result::Result<T, Error>) -> Result<T> {
    result.map_err(Error::errno)
}

fn is_dir(entry: &Entry) -> bool {
    entry.attr.meta.kind == Kind::Directory
}

impl Caller<'_> {
    fn knows(&mut self, entry: Entry) -> Entry {
        let first = (0, entry.attr.meta.kind);
        self.domain.known.entry(entry.node).or_insert(first).0 += 1;
        entry
    }

    fn look_up(&mut self, parent: NodeId, name: &str) -> Result<Entry> {
        let found = errno(self.fs.lookup(self.request, parent, OsStr::new(name)));
        found.map(|entry| self.knows(entry))
    }

    fn directory(&mut self, path: &str) -> Result<NodeId> {
        let mut at = NodeId::ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let entry = self.look_up(at, name)?;
            at = if is_dir(&entry) {
                entry.node
            } else {
                return Err(libc::ENOTDIR);
            };
        }
        Ok(at)
    }

    fn parent<'a>(&mut self, path: &'a str) -> Result<(NodeId, &'a str)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.directory(parent)?, name))
    }

    fn file(&mut self, path: &str) -> Result<NodeId> {
        let (parent, name) = self.parent(path)?;
        match self.look_up(parent, name)? {
            entry if is_dir(&entry) => Err(libc::EISDIR),
            entry => Ok(entry.node),
        }
    }

    fn file_of(&mut self, fd: Fd) -> &mut OpenFile {
        self.domain.files.get_mut(&fd).unwrap()
    }

    fn open(&mut self, fd: Fd, path: &str, flags: i32) -> Result<()> {
        let creates = flags & libc::O_CREAT != 0;
        let (node, opened) = match self.file(path) {
            Ok(_) if creates && flags & libc::O_EXCL != 0 => return Err(libc::EEXIST),
            Ok(node) => {
                let flags = flags & !(libc::O_CREAT | libc::O_EXCL);
                let opened = match self.fs.open_node(self.request, node, flags) {
                    Outcome::Ready(opened) => opened,
                    Outcome::Later(waiting) => waiting.finish(),
                };
                (node, errno(opened)?)
            }
            Err(libc::ENOENT) if creates => {
                let (parent, name) = self.parent(path)?;
                let name = OsStr::new(name);
                let made = errno(self.fs.create(self.request, parent, name, 0o600, flags))?;
                (self.knows(made.entry).node, made.opened)
            }
            Err(errno) => return Err(errno),
        };
        let (handle, flush) = (opened.handle, opened.flush);
        let append = flags & libc::O_APPEND != 0;
        let file = OpenFile {
            handle,
            node,
            offset: 0,
            append,
            flush,
        };
        self.domain.files.insert(fd, file);
        Ok(())
    }

    fn cut(&self, node: NodeId, handle: Option<HandleId>, len: usize) -> Result<()> {
        let size = Some(len as u64);
        let set = SetAttr {
            size,
            ..SetAttr::default()
        };
        errno(self.fs.setattr(self.request, node, handle, set)).map(drop)
    }

    fn size(&self, node: NodeId) -> Result<u64> {
        Ok(errno(self.fs.getattr(node))?.meta.size)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let (old, new) = (self.parent(from)?, self.parent(to)?);
        let source = self.look_up(old.0, old.1)?;
        match self.look_up(new.0, new.1) {
            Ok(target) if target.node == source.node => return Ok(()),
            Ok(target) if is_dir(&source) && !is_dir(&target) => return Err(libc::ENOTDIR),
            Ok(target) if !is_dir(&source) && is_dir(&target) => return Err(libc::EISDIR),
            Ok(_) | Err(libc::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        let (old, new) = ((old.0, OsStr::new(old.1)), (new.0, OsStr::new(new.1)));
        errno(self.fs.rename(self.request, old, new, 0))
    }

    fn call(&mut self, call: Call<'_>) -> Result<Vec<u8>> {
        let (fs, request) = (self.fs.clone(), self.request);
        match call {
            Call::Open(fd, path, flags) => self.open(fd, path, flags)?,
            Call::Dup(_) => {}
            Call::Close(fd) => {
                let file = self.file_of(fd);
                if file.flush {
                    errno(fs.flush(request, file.handle))?;
                }
            }
            Call::Read(fd, len) => {
                let file = self.file_of(fd);
                let len = u32::try_from(len).unwrap();
                let mut read = errno(fs.read(request, file.handle, file.offset, len, false))?;
                file.offset += read.bytes.len() as u64;
                return Ok(std::mem::take(&mut read.bytes));
            }
            Call::Write(fd, data) => {
                let file = self.file_of(fd);
                if file.append {
                    file.offset = errno(fs.getattr(file.node))?.meta.size;
                }
                let write = fs.write(request, file.handle, file.offset, data, file.append);
                let written = errno(write)?;
                file.offset += u64::from(written);
                return Ok(written.to_string().into());
            }
            Call::Cut(fd, len) => {
                let (node, handle) = (self.file_of(fd).node, self.file_of(fd).handle);
                self.cut(node, Some(handle), len)?;
            }
            Call::Size(fd) => {
                let node = self.file_of(fd).node;
                return Ok(self.size(node)?.to_string().into());
            }
            Call::Stat(path) => {
                let node = self.file(path)?;
                return Ok(self.size(node)?.to_string().into());
            }
            Call::Rename(from, to) => self.rename(from, to)?,
            Call::Unlink(path) => {
                self.file(path)?;
                let (parent, name) = self.parent(path)?;
                errno(fs.unlink(request, parent, OsStr::new(name)))?;
            }
            Call::Mkdir(path) => {
                let (parent, name) = self.parent(path)?;
                if self.look_up(parent, name).is_ok() {
                    return Err(libc::EEXIST);
                }
                let made = errno(fs.mkdir(request, parent, OsStr::new(name), 0o700))?;
                self.knows(made);
            }
            Call::Rmdir(path) => {
                self.directory(path)?;
                let (parent, name) = self.parent(path)?;
                errno(fs.rmdir(parent, OsStr::new(name)))?;
            }
            Call::List(path) => {
                let handle = errno(fs.opendir(self.directory(path)?))?;
                let listed = errno(fs.readdir(handle, 0))?;
                let names = listed
                    .iter()
                    .map(|it| it.name.to_string_lossy().into_owned());
                let names: Vec<String> = names.collect();
                fs.releasedir(handle);
                return Ok(names.join("\0").into());
            }
        }
        Ok(Vec::new())
    }
}

impl Sys for Domain {
    /// The kernel walks a path again, once, when a filesystem says that it has changed.
    fn call(&mut self, mount: &Mount, who: Who, call: Call<'_>) -> Result<Vec<u8>> {
        let tid = CLIENTS.lock().unwrap().pid(who);
        let request = Request { tid, uid: 0 };
        let fs = mount.fs().clone();
        let mut caller = Caller {
            fs,
            request,
            domain: self,
        };
        match caller.call(call) {
            Err(libc::ESTALE) => caller.call(call),
            done => done,
        }
    }

    fn release(&mut self, mount: &Mount, fd: Fd, late: bool) {
        let (fs, file) = (mount.fs().clone(), self.files.remove(&fd).unwrap());
        let release = move || fs.release(file.handle);
        if late {
            self.late = Some(thread::spawn(move || {
                thread::sleep(Duration::from_millis(1));
                release();
            }));
        } else {
            release();
            self.late.take().map(JoinHandle::join);
        }
    }

    /// An open file keeps the directories above it.
    fn forget(&mut self, mount: &Mount) {
        let files = &self.files;
        self.known.retain(|node, (count, kind)| {
            let used = files.values().any(|file| file.node == *node);
            let kept = used || *kind == Kind::Directory && !files.is_empty();
            if !kept {
                mount.fs().forget(*node, *count);
            }
            kept
        });
        let forgotten = self.known.is_empty();
        assert!(
            !forgotten || mount.fs().nodes() == 0,
            "nodes that nobody knows"
        );
    }

    fn ends(&mut self) -> bool {
        self.files.clear();
        self.known.clear();
        true
    }
}
