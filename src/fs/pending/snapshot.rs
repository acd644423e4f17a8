//! What a reader of `pending.md` is given: fixed when it is looked up, streamed when it is read (spec 6.1, 6.2).

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::fs::ids::DirId;
use crate::fs::queue::merge_entry::MergeEntry;
use crate::fs::state::Fs;
use crate::merge::{self, Layout, Piece};
use crate::store::Access;

/// The inode number of every `pending.md`.
pub(in crate::fs) const PENDING_INO: u64 = (1 << 63) - 1;

/// All of a merge but the contents.
#[derive(Debug)]
pub(in crate::fs) struct Plan {
    pub(in crate::fs) queue: DirId,
    pub(in crate::fs) items: Vec<Arc<MergeEntry>>,
    layout: Layout,
    /// Changes exactly when the content does.
    pub(in crate::fs) mtime: SystemTime,
    /// A writer has flushed but not let go yet: the next look may find it otherwise, and nothing tells.
    pub(in crate::fs) provisional: bool,
}

struct Items<'a>(&'a [Arc<MergeEntry>]);

impl merge::Entries for Items<'_> {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn entry(&self, i: usize) -> merge::Entry<'_> {
        self.0[i].entry()
    }

    fn line_len(&self, i: usize) -> u64 {
        u64::from(self.0[i].line)
    }
}

impl Plan {
    pub(in crate::fs) fn new(
        queue: DirId,
        items: Vec<Arc<MergeEntry>>,
        mtime: SystemTime,
        provisional: bool,
    ) -> Plan {
        let layout = Layout::new(&Items(&items));
        Plan {
            queue,
            items,
            layout,
            mtime,
            provisional,
        }
    }

    pub(in crate::fs) fn size(&self) -> u64 {
        self.layout.size()
    }

    /// Would a reader see the same bytes?
    pub(in crate::fs) fn same(&self, other: &Plan) -> bool {
        std::ptr::eq(self, other) || self.items == other.items
    }
}

/// A plan that is being read.
#[derive(Debug)]
pub(in crate::fs) struct Snapshot {
    pub(in crate::fs) plan: Arc<Plan>,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    /// The file that was read last: readers go forward.
    last: Option<(usize, Arc<File>)>,
    /// Files that have been changed or removed under their names since: what they were.
    kept: HashMap<usize, Arc<File>>,
    /// Items whose bytes could not all be had. They are not consumed.
    spoiled: HashSet<usize>,
}

impl Snapshot {
    pub(in crate::fs) fn new(plan: Arc<Plan>) -> Snapshot {
        Snapshot {
            plan,
            files: Mutex::default(),
        }
    }

    /// The file with this inode number is about to change or to go: from now on read it here.
    pub(in crate::fs) fn pin(&self, ino: u64, file: &Arc<File>) {
        let mut files = self.files.lock();
        for (i, item) in self.plan.items.iter().enumerate() {
            if item.ino == ino {
                files.last = files.last.take().filter(|(last, _)| *last != i);
                files.kept.entry(i).or_insert_with(|| file.clone());
            }
        }
    }

    /// How many files are open for it that are under their names no more.
    pub(in crate::fs) fn kept_open(&self) -> usize {
        self.files.lock().kept.len()
    }

    /// Was the reader shown this item as it is? One that was written to since may have the same size and even the same
    /// mtime.
    pub(in crate::fs) fn is_current(&self, item: usize) -> bool {
        let files = self.files.lock();
        !files.spoiled.contains(&item) && !files.kept.contains_key(&item)
    }
}

/// What bytes of a snapshot are read for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    /// To answer a read: what cannot be had is blank, and stays pending.
    Now,
    /// For a read that may come.
    Later,
}

impl Fs {
    /// The bytes of a snapshot, short only at its end.
    pub(in crate::fs) fn read_snapshot(
        &self,
        snapshot: &Snapshot,
        offset: u64,
        len: u64,
    ) -> Result<Vec<u8>> {
        let left = snapshot.plan.size().saturating_sub(offset).min(len);
        let mut bytes = Vec::with_capacity(usize::try_from(left).unwrap_or(0));
        self.read_into(
            snapshot,
            offset..offset.saturating_add(len),
            &mut bytes,
            Wanted::Now,
        )?;
        Ok(bytes)
    }

    /// Appends the bytes of a snapshot at `range`.
    pub(super) fn read_into(
        &self,
        snapshot: &Snapshot,
        range: Range<u64>,
        bytes: &mut Vec<u8>,
        wanted: Wanted,
    ) -> Result<()> {
        let items = Items(&snapshot.plan.items);
        let len = range.end.saturating_sub(range.start);
        for piece in snapshot.plan.layout.pieces(&items, range.start, len) {
            match piece {
                Piece::Text(text) => bytes.extend_from_slice(&text),
                Piece::Body { entry, offset, len } => {
                    let start = bytes.len();
                    bytes.resize(start + usize::try_from(len).unwrap_or(0), b' ');
                    self.read_body(snapshot, entry, offset, &mut bytes[start..], wanted)?;
                }
            }
        }
        Ok(())
    }

    fn read_body(
        &self,
        snapshot: &Snapshot,
        i: usize,
        offset: u64,
        body: &mut [u8],
        wanted: Wanted,
    ) -> Result<()> {
        let read = loop {
            let file = match self.body(snapshot, i, wanted) {
                Ok(file) => file,
                Err(error) => break Err(error),
            };
            let read = file.read_exact_at(body, offset);
            let read = read.map_err(Error::from);
            // A writer pins what it is about to destroy before it does: what was read before that is whole.
            if snapshot
                .files
                .lock()
                .kept
                .get(&i)
                .is_none_or(|kept| Arc::ptr_eq(kept, &file))
            {
                break read;
            }
        };
        match (read, wanted) {
            (Ok(()), _) => Ok(()),
            // It may never be asked for.
            (Err(error), Wanted::Later)
            // Nothing is wrong with this one: its reader tries again.
            | (Err(error @ Error::Os(libc::EMFILE | libc::ENFILE | libc::ENOMEM)), _) => Err(error),
            (Err(error), Wanted::Now) => {
                let shown = snapshot.plan.items[i].shown().display();
                if error == Error::NotFound {
                    log::warn!(
                        "{shown}: changed below the mount while it was read; it stays pending"
                    );
                } else {
                    log::error!(
                        "{shown}: cannot be read ({error}); its reader got blanks, and it stays pending"
                    );
                }
                // The size was promised: what cannot be read any more is made up for, and the next one begins a line.
                body.fill(b' ');
                let item = &snapshot.plan.items[i];
                let is_end = offset + body.len() as u64 == item.size;
                if let (Some(last), true) = (body.last_mut(), is_end && item.newline) {
                    *last = b'\n';
                }
                snapshot.files.lock().spoiled.insert(i);
                Ok(())
            }
        }
    }

    /// The file of an item, wherever it is by now.
    fn body(&self, snapshot: &Snapshot, i: usize, wanted: Wanted) -> Result<Arc<File>> {
        if let Some(file) = snapshot.files.lock().held(i) {
            return Ok(file);
        }
        let item = &snapshot.plan.items[i];
        let path = self.lock().queues.path(item.dir)?;
        let mut found = Err(Error::NotFound);
        for name in [item.file_name(), item.stays_as()] {
            match self.ctx.store.open_known(&path, name, Access::READ) {
                Ok((file, meta)) if meta.ino == item.ino => {
                    found = Ok(file);
                    break;
                }
                Err(error) if !error.is_absence() => found = Err(error),
                _ => {}
            }
        }
        let mut files = snapshot.files.lock();
        // It may have been pinned since we looked.
        if let Some(file) = files.held(i) {
            return Ok(file);
        }
        let file = Arc::new(found?);
        if wanted == Wanted::Later {
            // Two threads would take it from each other in turn.
            return Ok(file);
        }
        let last = files.last.replace((i, file.clone()));
        // Closing a file takes a while, and another thread may read.
        drop(files);
        drop(last);
        Ok(file)
    }
}

impl Files {
    fn held(&self, i: usize) -> Option<Arc<File>> {
        let last = self
            .last
            .as_ref()
            .filter(|(last, _)| *last == i)
            .map(|(_, file)| file);
        self.kept.get(&i).or(last).cloned()
    }
}
