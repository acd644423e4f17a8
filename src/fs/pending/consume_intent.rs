//! A note on disk of the handoffs that a read is about to consume. If the daemon is killed before the reader is answered, the
//! next mount makes them pending again (spec 6.3, 6.4).

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use crate::fs::queue::snapshot::Snapshot;
use crate::fs::state::Fs;
use crate::store::local::Area;

/// Held until the read that consumes has been answered. Dropping it removes the note.
pub struct ConsumeIntent {
    fs: Arc<Fs>,
    name: OsString,
}

impl Drop for ConsumeIntent {
    fn drop(&mut self) {
        let area = Area::Consuming;
        if let Err(error) = self.fs.ctx.local.remove(area, Path::new(""), &self.name) {
            log::warn!(
                ".handoff-fs/consuming/{}: the note of a finished read cannot be removed ({error}); its handoffs may be \
                 delivered again at the next mount",
                self.name.display()
            );
        }
    }
}

impl Fs {
    /// Notes the handoffs that are about to be consumed. `None` if they are consumed already, or cannot be noted.
    pub(super) fn intent(self: &Arc<Self>, snapshot: &Arc<Snapshot>) -> Option<ConsumeIntent> {
        let mut note = Vec::new();
        {
            let state = self.lock();
            if !state.readers.holds(snapshot) {
                return None;
            }
            for entry in &snapshot.plan.entries {
                let path = state.queues.path(entry.dir).ok()?;
                for field in [path.as_os_str(), entry.file_name(), entry.stays_as()] {
                    note.extend_from_slice(field.as_bytes());
                    note.push(0);
                }
            }
        }
        let now = self.ctx.clock.now();
        match self.ctx.local.note(Area::Consuming, &note, now) {
            Ok(name) => Some(ConsumeIntent {
                fs: self.clone(),
                name,
            }),
            Err(error) => {
                log::warn!(
                    "the note of a read cannot be written ({error}); if the daemon is killed before the reader gets the \
                     bytes, the handoffs stay consumed"
                );
                None
            }
        }
    }
}
