//! The end of a mount that is still in use (spec 8.2).

use std::fs::File;
use std::sync::Arc;

use crate::fs::ids::DocId;
use crate::fs::inode::handles::Open;
use crate::fs::state::Fs;

/// Who is waited for when a mount ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Whoever has a file open.
    OpenFiles,
    /// Whoever has a file open for writing.
    Writers,
}

impl Fs {
    /// Is there anybody who is to be waited for?
    pub fn is_in_use(&self, awaited: Awaited) -> bool {
        self.lock().handles.iter().any(|handle| match &handle.open {
            Open::Doc(open) => open.write || awaited == Awaited::OpenFiles,
            Open::Plain { write, .. } => *write || awaited == Awaited::OpenFiles,
            Open::Merge(_) => awaited == Awaited::OpenFiles,
            Open::Bytes(_) | Open::Dir(_) => false,
        })
    }

    /// Nobody goes on writing what is open now: keeps it as `…-partial`, as at the close of a writer that is killed
    /// (spec 4.9). What cannot be kept so stays with the drafts, and is recovered at the next mount.
    pub fn keep_unfinished(&self) {
        let mut open: Vec<(DocId, Arc<File>)> = Vec::new();
        for handle in self.lock().handles.iter() {
            if let Open::Doc(it) = &handle.open
                && it.write
                && !open.iter().any(|(_, file)| Arc::ptr_eq(file, &it.file))
            {
                open.push((it.doc, it.file.clone()));
            }
        }
        for (id, file) in open {
            if let Err(error) = self.commit(id, &file, true) {
                log::warn!(
                    "a handoff that is still being written cannot be kept as partial now ({error})"
                );
            }
        }
    }
}
