//! Changing attributes, and extended attributes.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use parking_lot::MutexGuard;
use rustix::fs::XattrFlags;

use crate::error::{Error, Result};
use crate::fs::handoff::state::Draft;
use crate::fs::ids::{FileId, Handle, NodeId};
use crate::fs::inode::handles::Open;
use crate::fs::inode::table::NodeTarget;
use crate::fs::inode::types::{Attr, Request, SetAttr};
use crate::fs::state::{Fs, State};
use crate::store::dirfd::{self, stat_file};
use crate::store::local::Area;
use crate::store::{Access, Meta};

impl Fs {
    /// Changes attributes of a node; `handle` is the open file, if the kernel names it.
    pub fn setattr(
        &self,
        request: Request,
        node: NodeId,
        handle: Option<Handle>,
        set: SetAttr,
    ) -> Result<Attr> {
        let max_size = self.ctx.options.max_size.unwrap_or(u64::MAX);
        if set.size.is_some_and(|size| size > max_size) {
            return Err(Error::TooLarge);
        }
        let by_path = handle.is_none();
        if let (Some(size), true) = (set.size, by_path)
            && let Some((file, ino)) = self.other_behind(node)?
        {
            if self.truncate_over(request, (file, ino), size)? {
                return self.getattr(node);
            }
            drop(self.claim(request, node, file, size > 0)?);
        }
        {
            let mut guard = self.lock();
            let target = guard.known(node)?;
            let state = &mut *guard;
            match target {
                // Every change of a virtual file succeeds and changes nothing (spec 4.7).
                NodeTarget::Merge { .. } | NodeTarget::Status(_) => {}
                NodeTarget::Dir(dir) => {
                    let path = state.queues.path(dir)?;
                    let dir = self.ctx.local.dir(Area::Backing, &path)?;
                    change(&File::from(dir.try_clone()?), &set)?;
                }
                NodeTarget::File { file, ino, alias } => {
                    let known = state.files.known(file)?;
                    let is_consumed = known.is_stored() && !known.name.is_pending();
                    if alias.is_some() && is_consumed && set.size.is_some() && by_path {
                        // Read-only through an alias (spec 4.3).
                        return Err(Error::AccessDenied);
                    }
                    self.set_file(&mut guard, request, (file, ino), node, handle, &set)?;
                }
            }
        }
        self.getattr(node)
    }

    /// The ordinary or scratch file that a node stands for, and its inode number; `None` for any other node.
    fn other_behind(&self, node: NodeId) -> Result<Option<(FileId, u64)>> {
        let mut guard = self.lock();
        match guard.known(node)? {
            NodeTarget::File { file, ino, .. } if !guard.files.known(file)?.is_handoff() => {
                Ok(Some((file, ino)))
            }
            _ => Ok(None),
        }
    }

    fn set_file(
        &self,
        guard: &mut MutexGuard<'_, State>,
        request: Request,
        (id, ino): (FileId, u64),
        node: NodeId,
        handle: Option<Handle>,
        set: &SetAttr,
    ) -> Result<()> {
        let file = match guard.file_of(node, handle, set) {
            Some(file) => file,
            None => {
                let access = match set.size {
                    Some(_) => Access::WRITE,
                    None => Access::NONE,
                };
                guard
                    .files
                    .known(id)?
                    .open_seen(&guard.queues, ino, access)?
            }
        };
        // truncate(2) by path is a whole change, as a write and a close are.
        let mut is_whole = false;
        if let Some(size) = set.size {
            let shrinks = size < stat_file(&*file)?.size;
            self.before_change(guard, id, &file, shrinks)?;
            if let Some(draft) = guard.files.known_mut(id)?.draft_mut().filter(|_| size == 0) {
                draft.progress.heal();
            }
            match handle {
                Some(handle) => guard.mark_dirty(handle, request.tid),
                None => is_whole = guard.files.known(id)?.writers == 0,
            }
        }
        let state = &mut **guard;
        // The descriptor of a draft may write even if the mode forbids that.
        let draft = state.files.known(id)?.draft();
        let draft = draft.filter(|draft| draft.ino == ino);
        let changed = change(draft.map_or(&file, |draft| &draft.file), set);
        if is_whole {
            state.handoffs().version_written(id);
        }
        changed?;
        let file = state.files.known_mut(id)?;
        let is_unchanged_draft = |draft: &Draft| !draft.progress.is_changed();
        if (set.atime.is_some() || set.mtime.is_some())
            && file.draft().is_some_and(is_unchanged_draft)
        {
            file.times = Some((set.atime, set.mtime));
        }
        if file.is_handoff() {
            let (dir, name) = (file.dir, file.name.to_os_string());
            state.queues.changed(dir, &name);
        }
        Ok(())
    }

    /// A file to read or change the extended attributes of; `None` for a directory and for a virtual file, which have none.
    fn xattr_file(&self, node: NodeId) -> Result<Option<Arc<File>>> {
        let mut guard = self.lock();
        let state = &mut *guard;
        if let Some(file) = state.nodes.get(node).and_then(|node| node.file()) {
            return Ok(Some(file.clone()));
        }
        match &state.known(node)? {
            NodeTarget::File { file, ino, .. } => {
                let file = state.files.known(*file)?;
                file.open_seen(&state.queues, *ino, Access::READ).map(Some)
            }
            NodeTarget::Dir(_) | NodeTarget::Merge { .. } | NodeTarget::Status(_) => Ok(None),
        }
    }

    /// One extended attribute.
    pub fn getxattr(&self, node: NodeId, name: &OsStr) -> Result<Vec<u8>> {
        check_xattr(name)?;
        let file = self.xattr_file(node)?.ok_or(Error::NoAttribute)?;
        let mut value = vec![0; 1 << 16];
        let n = rustix::fs::fgetxattr(&*file, name, &mut value[..])?;
        value.truncate(n);
        Ok(value)
    }

    /// The names of all extended attributes, each ended by NUL.
    pub fn listxattr(&self, node: NodeId) -> Result<Vec<u8>> {
        let Some(file) = self.xattr_file(node)? else {
            return Ok(Vec::new());
        };
        let mut names = vec![0; 1 << 16];
        let n = rustix::fs::flistxattr(&*file, &mut names[..])?;
        names.truncate(n);
        let known = names
            .split_inclusive(|byte| *byte == 0)
            .filter(|name| check_xattr(OsStr::from_bytes(name)).is_ok());
        Ok(known.flatten().copied().collect())
    }

    /// Sets an extended attribute; `flags` as in setxattr(2).
    pub fn setxattr(&self, node: NodeId, name: &OsStr, value: &[u8], flags: i32) -> Result<()> {
        check_xattr(name)?;
        let file = self.xattr_file(node)?.ok_or(Error::NotSupported)?;
        let flags = XattrFlags::from_bits(flags.cast_unsigned()).ok_or(Error::Invalid)?;
        Ok(rustix::fs::fsetxattr(&*file, name, value, flags)?)
    }

    /// Removes an extended attribute.
    pub fn removexattr(&self, node: NodeId, name: &OsStr) -> Result<()> {
        check_xattr(name)?;
        let file = self.xattr_file(node)?.ok_or(Error::NoAttribute)?;
        Ok(rustix::fs::fremovexattr(&*file, name)?)
    }

    /// access(2): may the owner do this, as the mode below says? `mask` as there.
    pub fn access(&self, node: NodeId, mask: i32) -> Result<()> {
        let Meta { mode, .. } = self.getattr(node)?.meta;
        // Root may do anything, but executes only files that have an execute bit.
        let root = rustix::process::geteuid().is_root();
        let wanted = (mask & 0o7).cast_unsigned();
        let allowed = if root {
            0o6 | (mode | mode >> 3 | mode >> 6) & 0o1
        } else {
            mode >> 6 & 0o7
        };
        if wanted & !allowed != 0 {
            return Err(Error::AccessDenied);
        }
        Ok(())
    }
}

impl State {
    /// The open file behind a handle; or behind a node, where any will do: fchmod(2) and futimens(3) come without their
    /// handle, and the file may be under no name any more.
    fn file_of(&self, node: NodeId, handle: Option<Handle>, set: &SetAttr) -> Option<Arc<File>> {
        let open = handle.and_then(|handle| self.handles.get(handle));
        match open.map(|handle| &handle.open) {
            Some(Open::File(open)) => Some(open.file.clone()),
            _ if set.size.is_none() => self.nodes.get(node)?.file().cloned(),
            _ => None,
        }
    }
}

fn change(file: &File, set: &SetAttr) -> Result<()> {
    if let Some(size) = set.size {
        file.set_len(size)?;
    }
    // The mode may forbid to open the file, so that it was opened with O_PATH. Such a descriptor takes no fchmod(2); its
    // name in /proc takes chmod(2).
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    if let Some(mode) = set.mode {
        std::fs::set_permissions(&name, Permissions::from_mode(mode & 0o7777))?;
    }
    if set.uid.is_some() || set.gid.is_some() {
        std::os::unix::fs::chown(&name, set.uid, set.gid)?;
    }
    if set.atime.is_some() || set.mtime.is_some() {
        dirfd::set_times(file, set.atime, set.mtime)?;
    }
    Ok(())
}

/// Access control lists are not supported: they would have to follow modes and aliases.
fn check_xattr(name: &OsStr) -> Result<()> {
    let name = name.as_encoded_bytes();
    // Until ENOTSUP tells that there are no labels, `ls -l` asks for the label of every file.
    if name.starts_with(b"system.posix_acl") || name.starts_with(b"security.") {
        return Err(Error::NotSupported);
    }
    Ok(())
}
