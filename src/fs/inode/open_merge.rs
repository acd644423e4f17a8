//! One open file of `pending.md` or `.peek.md`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::delivery::{Delivered, ReadSeen};
use crate::fs::queue::snapshot::Snapshot;
use crate::read_ahead::ReadAhead;
use crate::session::{Process, Session};

/// One open file of a merge.
#[derive(Debug)]
pub struct OpenMerge {
    pub snapshot: Arc<Snapshot>,
    /// The opener, for which a read to the end consumes; `None` where reading consumes nothing.
    pub consumer: Option<Consumer>,
    pub read_ahead: ReadAhead,
    delivered: Mutex<Delivered>,
    /// The last thread whose program is known not to read in passing (see [`Programs`](crate::programs::Programs)).
    checked_tid: AtomicU32,
}

/// The opener of a merge that a read to the end consumes.
#[derive(Clone, Debug)]
pub struct Consumer {
    pub session: Session,
    pub process: Option<Process>,
    /// An agent program itself, which may be about to rewrite what it reads (spec 4.7).
    pub is_agent: bool,
}

impl OpenMerge {
    /// `tid` is the opening thread, whose program was looked at; 0 if no program was.
    pub fn new(snapshot: Arc<Snapshot>, tid: u32, consumer: Option<Consumer>) -> OpenMerge {
        OpenMerge {
            snapshot,
            consumer,
            read_ahead: ReadAhead::default(),
            delivered: Mutex::default(),
            checked_tid: tid.into(),
        }
    }

    /// Must the program of the thread that got this answer be looked at before the answer is recorded? Only at the end of the
    /// snapshot, and where another thread reads than before. Never for a read through the page cache: that may be a page fault,
    /// which locks the address space that the program's name is read from.
    pub fn must_check(&self, tid: u32, seen: ReadSeen) -> bool {
        let checked = self.checked_tid.load(Ordering::Relaxed) == tid;
        !seen.cached && (!checked || self.delivered.lock().clone().record(seen, self.size()))
    }

    /// Records an answer. True if by now the snapshot was read to its end.
    pub fn record(&self, tid: u32, seen: ReadSeen) -> bool {
        if !seen.cached {
            self.checked_tid.store(tid, Ordering::Relaxed);
        }
        self.delivered.lock().record(seen, self.size())
    }

    fn size(&self) -> u64 {
        self.snapshot.plan.size()
    }
}
