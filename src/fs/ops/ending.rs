//! The end of a mount that is still in use (spec 8.2).

use std::fs::File;
use std::sync::Arc;

use crate::fs::handoff::state::RegularFile;
use crate::fs::ids::FileId;
use crate::fs::inode::handles::Open;
use crate::fs::state::Fs;

/// The processes that the end of a mount waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Processes that have a file open.
    OpenFiles,
    /// Processes that have a file open for writing.
    Writers,
}

impl Fs {
    /// Is there such a process?
    pub fn is_in_use(&self, awaited: Awaited) -> bool {
        self.lock().handles.iter().any(|handle| match &handle.open {
            Open::File(open) => open.write || awaited == Awaited::OpenFiles,
            Open::Merge(_) => awaited == Awaited::OpenFiles,
            Open::Bytes(_) | Open::Dir(_) => false,
        })
    }

    /// Keeps every file that is still being written as `…-partial`, as at the close of a writer that is killed (spec 4.9).
    /// Drafts for which this fails are recovered at the next mount.
    pub fn keep_unfinished(&self) {
        let mut open: Vec<(FileId, Arc<File>)> = Vec::new();
        {
            let state = self.lock();
            for it in state.handles.files().filter(|it| it.write) {
                let file = state.files.get(it.id);
                if file.is_some_and(RegularFile::is_published_by_close)
                    && !open.iter().any(|(_, file)| Arc::ptr_eq(file, &it.file))
                {
                    open.push((it.id, it.file.clone()));
                }
            }
        }
        for (id, file) in open {
            if let Err(error) = self.publish_written(id, &file, true) {
                log::warn!(
                    "{}: is still being written and cannot be published as …-partial ({error}); the next mount recovers drafts",
                    self.lock().path(id).display()
                );
            }
        }
    }
}
