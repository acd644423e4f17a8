//! A merge as one reader finds it: planned at the LOOKUP, and unchanged from the open on (spec 6.1, 6.2).

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::error::Result;
use crate::fs::ids::DirId;
use crate::fs::queue::merge_entry::MergeEntry;
use crate::merge::{self, Entries, Layout, Piece};

/// All of a merge but the contents.
#[derive(Debug)]
pub struct Plan {
    pub queue: DirId,
    pub entries: Vec<Arc<MergeEntry>>,
    layout: Layout,
    /// Changes exactly when the content does.
    pub mtime: SystemTime,
    /// A file could not be read, or a writer has flushed and not closed yet. The next look may find another merge, of which no
    /// change of the store tells.
    pub provisional: bool,
}

impl Entries for [Arc<MergeEntry>] {
    fn count(&self) -> usize {
        self.len()
    }

    fn entry(&self, i: usize) -> merge::Entry<'_> {
        self[i].entry()
    }

    fn line_len(&self, i: usize) -> u64 {
        u64::from(self[i].line)
    }
}

impl Plan {
    pub fn new(
        queue: DirId,
        entries: Vec<Arc<MergeEntry>>,
        mtime: SystemTime,
        provisional: bool,
    ) -> Plan {
        let layout = Layout::new(&*entries);
        Plan {
            queue,
            entries,
            layout,
            mtime,
            provisional,
        }
    }

    /// The size of the merge, in bytes.
    pub fn size(&self) -> u64 {
        self.layout.size()
    }

    /// Would a reader see the same bytes?
    pub fn same(&self, other: &Plan) -> bool {
        std::ptr::eq(self, other) || self.entries == other.entries
    }

    /// The lines and the parts of bodies at `range`, in order.
    pub fn pieces(&self, range: Range<u64>) -> Vec<Piece> {
        self.layout.pieces(&*self.entries, range)
    }
}

/// A plan that is being read.
#[derive(Debug)]
pub struct Snapshot {
    pub plan: Arc<Plan>,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    /// The file that was read last, and its entry: readers go forward.
    last: Option<(usize, Arc<File>)>,
    /// The old files of entries that were changed or removed since.
    pinned: HashMap<usize, Arc<File>>,
    /// Entries whose bytes could not all be read. They are not consumed.
    spoiled: HashSet<usize>,
}

impl Snapshot {
    pub fn new(plan: Arc<Plan>) -> Snapshot {
        Snapshot {
            plan,
            files: Mutex::default(),
        }
    }

    /// The file with this inode number is about to change or to go: from now on its entry is read from `file`.
    pub fn pin(&self, ino: u64, file: &Arc<File>) {
        let mut files = self.files.lock();
        for (i, entry) in self.plan.entries.iter().enumerate() {
            if entry.ino == ino {
                files.last = files.last.take().filter(|(last, _)| *last != i);
                files.pinned.entry(i).or_insert_with(|| file.clone());
            }
        }
    }

    /// How many files are kept open that are not under their names any more.
    pub fn kept_open(&self) -> usize {
        self.files.lock().pinned.len()
    }

    /// Does the file still hold the bytes that the reader was shown for this entry? Size and mtime cannot tell: a later write
    /// may leave both as they were.
    pub fn is_current(&self, i: usize) -> bool {
        let files = self.files.lock();
        !files.spoiled.contains(&i) && !files.pinned.contains_key(&i)
    }

    /// The file of an entry, if it is open.
    pub fn open_file(&self, i: usize) -> Option<Arc<File>> {
        self.files.lock().open_file(i)
    }

    /// The open file of an entry: the pinned file, if the entry was pinned meanwhile, else `found`, the file with the entry's
    /// name. With `keep` the file stays open until another entry is read.
    pub fn opened(&self, i: usize, found: Result<File>, keep: bool) -> Result<Arc<File>> {
        let mut files = self.files.lock();
        if let Some(open) = files.open_file(i) {
            return Ok(open);
        }
        let file = Arc::new(found?);
        if keep {
            let last = files.last.replace((i, file.clone()));
            // Closing a file takes a while, and another thread may read.
            drop(files);
            drop(last);
        }
        Ok(file)
    }

    /// Was this the file to read? A writer pins the old file before it changes anything, so bytes that were read before the pin
    /// are right.
    pub fn is_right_file(&self, i: usize, file: &Arc<File>) -> bool {
        let files = self.files.lock();
        let pinned = files.pinned.get(&i);
        pinned.is_none_or(|pinned| Arc::ptr_eq(pinned, file))
    }

    /// The bytes of this entry could not be read: it is not consumed.
    pub fn spoil(&self, i: usize) {
        self.files.lock().spoiled.insert(i);
    }
}

impl Files {
    fn open_file(&self, i: usize) -> Option<Arc<File>> {
        let last = self.last.as_ref().filter(|(last, _)| *last == i);
        let pinned = self.pinned.get(&i);
        pinned.or(last.map(|(_, file)| file)).cloned()
    }
}
