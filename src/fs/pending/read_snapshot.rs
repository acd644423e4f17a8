//! Reading a snapshot: lines from the plan, bodies from the files (spec 6.1, 6.2, 6.4).

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::queue::snapshot::Snapshot;
use crate::fs::state::Fs;
use crate::merge::Piece;
use crate::read_ahead::{Purpose, Source};
use crate::store::Access;

/// A snapshot and the filesystem that has its files.
#[derive(Clone)]
pub(super) struct SnapshotSource {
    pub(super) fs: Arc<Fs>,
    pub(super) snapshot: Arc<Snapshot>,
}

impl Source for SnapshotSource {
    fn size(&self) -> u64 {
        self.snapshot.plan.size()
    }

    fn read(&self, range: Range<u64>, bytes: &mut Vec<u8>, purpose: Purpose) -> Result<()> {
        for piece in self.snapshot.plan.pieces(range) {
            match piece {
                Piece::Text(text) => bytes.extend_from_slice(&text),
                Piece::Body { entry, offset, len } => {
                    let start = bytes.len();
                    bytes.resize(start + usize::try_from(len).unwrap_or(0), b' ');
                    let body = &mut bytes[start..];
                    let read = self.read_body(entry, offset, body, purpose);
                    match (read, purpose) {
                        (Ok(()), _) => {}
                        // No reader has asked for these bytes yet.
                        (Err(error), Purpose::Ahead)
                        // The file is intact: the daemon was short of descriptors or memory, and the reader may try again.
                        | (Err(error @ Error::Os(libc::EMFILE | libc::ENFILE | libc::ENOMEM)), _) => {
                            return Err(error);
                        }
                        (Err(error), Purpose::Answer) => self.blank(entry, offset, body, error),
                    }
                }
            }
        }
        Ok(())
    }
}

impl SnapshotSource {
    /// Fills `body` from the file of an entry.
    fn read_body(&self, i: usize, offset: u64, body: &mut [u8], purpose: Purpose) -> Result<()> {
        loop {
            let file = self.file(i, purpose)?;
            let read = file.read_exact_at(body, offset);
            if self.snapshot.is_right_file(i, &file) {
                return Ok(read?);
            }
        }
    }

    /// The bytes of an entry cannot be read any more, but the merge must keep its size: the reader gets blanks, and the next
    /// entry begins a line.
    fn blank(&self, i: usize, offset: u64, body: &mut [u8], error: Error) {
        let entry = &self.snapshot.plan.entries[i];
        let shown = entry.shown().display();
        if error == Error::NotFound {
            log::warn!("{shown}: changed below the mount while it was read; it stays pending");
        } else {
            log::error!(
                "{shown}: cannot be read ({error}); its reader got blanks, and it stays pending"
            );
        }
        body.fill(b' ');
        let is_end = offset + body.len() as u64 == entry.size;
        if let (Some(last), true) = (body.last_mut(), is_end && entry.newline) {
            *last = b'\n';
        }
        self.snapshot.spoil(i);
    }

    /// The file of an entry, under its pending or its consumed name.
    fn file(&self, i: usize, purpose: Purpose) -> Result<Arc<File>> {
        if let Some(file) = self.snapshot.open_file(i) {
            return Ok(file);
        }
        // If the helper kept its file, too, reader and helper would close each other's file in turn.
        let keep = purpose == Purpose::Answer;
        self.snapshot.opened(i, self.find_file(i), keep)
    }

    fn find_file(&self, i: usize) -> Result<File> {
        let entry = &self.snapshot.plan.entries[i];
        let path = self.fs.lock().queues.path(entry.dir)?;
        let mut missing = Error::NotFound;
        for name in [entry.file_name(), entry.stays_as()] {
            match self.fs.ctx.store.open_known(&path, name, Access::READ) {
                Ok((file, meta)) if meta.ino == entry.ino => return Ok(file),
                Err(error) if !error.is_absence() => missing = error,
                _ => {}
            }
        }
        Err(missing)
    }
}
