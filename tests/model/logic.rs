//! The logic called directly, every method that has a twin in the adapter, the way the kernel calls it: a LOOKUP for each name
//! of a path, one more walk after ESTALE, a FLUSH for each close, a RELEASE for the last, and FORGET.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::{Arc, LazyLock, Mutex};

use handoff_fs::error::{Error, Result};
use handoff_fs::fs::{Entry, Fs, NodeId, Opened, Outcome, Request, SetAttr};
use handoff_fs::store::Kind;

use crate::client::{self, Call, Fd, Kernel, System};
use crate::harness::Mount;
use crate::ops::Caller;

/// An open file description.
struct OpenFile {
    opened: Opened,
    node: NodeId,
    offset: u64,
    append: bool,
}

#[derive(Default)]
pub struct Logic {
    files: HashMap<Fd, OpenFile>,
    /// How often each node was the answer to a LOOKUP since it was last forgotten.
    lookups: HashMap<NodeId, (u64, Kind)>,
}

/// The processes in whose names the requests come; they do nothing themselves.
static CLIENTS: LazyLock<Mutex<Kernel>> = LazyLock::new(Mutex::default);

/// The requests of one caller.
struct Requests<'a> {
    fs: &'a Arc<Fs>,
    request: Request,
    logic: &'a mut Logic,
}

impl Requests<'_> {
    fn count(&mut self, entry: Entry) -> Entry {
        let new = (0, entry.attr.meta.kind);
        self.logic.lookups.entry(entry.node).or_insert(new).0 += 1;
        entry
    }

    fn lookup(&mut self, parent: NodeId, name: &OsStr) -> Result<Entry> {
        let entry = self.fs.lookup(self.request, parent, name)?;
        Ok(self.count(entry))
    }

    /// The node at the end of a path, with a LOOKUP for each name.
    fn walk(&mut self, path: &str) -> Result<NodeId> {
        let mut node = NodeId::ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            node = self.lookup(node, OsStr::new(name))?.node;
        }
        Ok(node)
    }

    fn parent<'p>(&mut self, path: &'p str) -> Result<(NodeId, &'p OsStr)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.walk(parent)?, OsStr::new(name)))
    }

    fn open(&mut self, path: &str, flags: i32) -> Result<(NodeId, Opened)> {
        let creates = flags & libc::O_CREAT != 0;
        match self.walk(path) {
            Ok(_) if creates && flags & libc::O_EXCL != 0 => Err(Error::Exists),
            Ok(node) => {
                let flags = flags & !(libc::O_CREAT | libc::O_EXCL);
                let opened = match self.fs.open_node(self.request, node, flags) {
                    Outcome::Ready(opened) => opened,
                    Outcome::Later(waiting) => waiting.finish(),
                };
                Ok((node, opened?))
            }
            Err(Error::NotFound) if creates => {
                let (parent, name) = self.parent(path)?;
                let created = self.fs.create(self.request, parent, name, 0o600, flags)?;
                Ok((self.count(created.entry).node, created.opened))
            }
            Err(error) => Err(error),
        }
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let (old, new) = (self.parent(from)?, self.parent(to)?);
        let source = self.lookup(old.0, old.1)?;
        match self.lookup(new.0, new.1) {
            Ok(target) if target.node == source.node => Ok(()),
            Ok(_) | Err(Error::NotFound) => self.fs.rename(self.request, old, new, 0),
            Err(error) => Err(error),
        }
    }

    fn call(&mut self, call: Call<'_>) -> Result<Vec<u8>> {
        let (fs, request) = (self.fs, self.request);
        let number = |number: u64| Ok(number.to_string().into());
        match call {
            Call::Open(fd, path, flags) => {
                let (node, opened) = self.open(path, flags)?;
                let append = flags & libc::O_APPEND != 0;
                let file = OpenFile {
                    opened,
                    node,
                    offset: 0,
                    append,
                };
                self.logic.files.insert(fd, file);
            }
            Call::Dup(_) => {}
            Call::Close(fd) => {
                let opened = self.logic.files[&fd].opened;
                if opened.flush {
                    fs.flush(request, opened.handle)?;
                }
            }
            Call::Read(fd, len) => {
                let file = self.logic.files.get_mut(&fd).unwrap();
                let len = u32::try_from(len).unwrap();
                let mut read = fs.read(request, file.opened.handle, file.offset, len, false)?;
                file.offset += read.bytes.len() as u64;
                return Ok(std::mem::take(&mut read.bytes));
            }
            Call::Write(fd, data) => {
                let file = self.logic.files.get_mut(&fd).unwrap();
                if file.append {
                    file.offset = fs.getattr(file.node)?.meta.size;
                }
                let (handle, offset) = (file.opened.handle, file.offset);
                let written = fs.write(request, handle, offset, data, file.append)?;
                file.offset += u64::from(written);
                return number(written.into());
            }
            Call::Cut(fd, len) => {
                let file = &self.logic.files[&fd];
                let set = SetAttr {
                    size: Some(len as u64),
                    ..SetAttr::default()
                };
                fs.setattr(request, file.node, Some(file.opened.handle), set)?;
            }
            Call::Size(fd) => return number(fs.getattr(self.logic.files[&fd].node)?.meta.size),
            Call::Stat(path) => return number(fs.getattr(self.walk(path)?)?.meta.size),
            Call::Rename(from, to) => self.rename(from, to)?,
            Call::Unlink(path) => {
                self.walk(path)?;
                let (parent, name) = self.parent(path)?;
                fs.unlink(request, parent, name)?;
            }
            Call::List(path) => {
                let handle = fs.opendir(self.walk(path)?)?;
                let listing = fs.readdir(handle, 0)?;
                let names = listing.iter().map(|entry| entry.name.to_string_lossy());
                let names: Vec<_> = names.collect();
                fs.releasedir(handle);
                return Ok(names.join("\0").into());
            }
        }
        Ok(Vec::new())
    }
}

impl System for Logic {
    fn call(&mut self, mount: &Mount, caller: Caller, call: Call<'_>) -> client::Result<Vec<u8>> {
        let tid = CLIENTS.lock().unwrap().pid(caller);
        let mut requests = Requests {
            fs: mount.fs(),
            request: Request { tid, uid: 0 },
            logic: self,
        };
        let answer = match requests.call(call) {
            // The kernel walks a path once more when the filesystem says that it has changed.
            Err(Error::Stale) => requests.call(call),
            answer => answer,
        };
        answer.map_err(Error::errno)
    }

    fn release(&mut self, mount: &Mount, fd: Fd) {
        let file = self.files.remove(&fd).unwrap();
        mount.fs().release(file.opened.handle);
    }

    fn forget(&mut self, mount: &Mount) {
        let files = &self.files;
        self.lookups.retain(|node, (count, kind)| {
            // An open file keeps the directories above it.
            let is_kept = files.values().any(|file| file.node == *node)
                || *kind == Kind::Directory && !files.is_empty();
            if !is_kept {
                mount.fs().forget(*node, *count);
            }
            is_kept
        });
        if self.lookups.is_empty() {
            assert_eq!(mount.fs().nodes(), 0, "nodes that the kernel has forgotten");
        }
    }

    fn end(&mut self) -> bool {
        self.files.clear();
        self.lookups.clear();
        true
    }
}
