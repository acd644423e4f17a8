//! What is ready for a reader of a long merge, and the thread that gets it ready.

use std::collections::VecDeque;
use std::thread::JoinHandle;

use parking_lot::Mutex;

/// What is ready for one open file, and who gets it ready.
#[derive(Debug, Default)]
pub(in crate::fs) struct Ahead(pub(super) Mutex<Progress>);

#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Where the next read begins if its reader goes straight on.
    pub(super) next: u64,
    /// What is ready and was not asked for yet, each with where it begins. INVARIANT: ascending, none overlapping.
    pub(super) ready: VecDeque<(u64, Vec<u8>)>,
    /// Where the helper goes on. All before that is ready, or is being read, or was asked for.
    pub(super) goes_on: u64,
    pub(super) helper: Option<JoinHandle<()>>,
    /// For good: its reader seeks or has closed, or something is amiss that only an answer can deal with.
    pub(super) off: bool,
}

impl Ahead {
    /// Its reader has closed. Waits for the helper to end: to be called with no lock held.
    pub(in crate::fs) fn close(&self) {
        let helper = {
            let mut progress = self.0.lock();
            progress.stop();
            progress.helper.take()
        };
        if let Some(helper) = helper {
            let _ = helper.join();
        }
    }
}

impl Progress {
    pub(super) fn stop(&mut self) {
        self.off = true;
        self.ready = VecDeque::new();
    }

    pub(super) fn is_helped(&self) -> bool {
        let helper = self.helper.as_ref();
        helper.is_some_and(|helper| !helper.is_finished())
    }

    /// Appends what is ready from `from` on, up to `end` at most; answers up to where that was.
    pub(super) fn take(&mut self, bytes: &mut Vec<u8>, mut from: u64, end: u64) -> u64 {
        while let Some((start, part)) = self.ready.front() {
            let part_end = start + part.len() as u64;
            if from < part_end {
                if from < *start || from >= end {
                    break;
                }
                let to = part_end.min(end);
                bytes.extend_from_slice(&part[(from - start) as usize..(to - start) as usize]);
                from = to;
            }
            if part_end > end {
                break;
            }
            self.ready.pop_front();
        }
        from
    }
}
