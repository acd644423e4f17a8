//! One open file of `pending.md`.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use parking_lot::Mutex;

use crate::delivery::Delivered;
use crate::fs::pending::read_ahead_buffer::Ahead;
use crate::fs::pending::snapshot::Snapshot;
use crate::session::{Process, Session};

/// One open file of a merge.
#[derive(Debug)]
pub(in crate::fs) struct OpenMerge {
    pub(in crate::fs) snapshot: Arc<Snapshot>,
    /// Whom it is consumed by; `None` where reading consumes nothing.
    pub(in crate::fs) consumer: Option<Consumer>,
    pub(in crate::fs) delivered: Mutex<Delivered>,
    /// The thread that was last seen to run a program that does not read in passing.
    pub(in crate::fs) reader: AtomicU32,
    /// What is ready for it that it has not asked for yet.
    pub(in crate::fs) ahead: Ahead,
}

/// Who consumes.
#[derive(Clone, Debug)]
pub(in crate::fs) struct Consumer {
    pub(in crate::fs) session: Session,
    pub(in crate::fs) process: Option<Process>,
    /// An agent program itself, which may be about to rewrite what it reads (spec 4.7).
    pub(in crate::fs) agent: bool,
}
