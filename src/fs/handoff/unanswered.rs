//! Recovery of reads that the last daemon did not answer: the handoffs that they consumed are pending again (spec 6.3, 6.4).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::fs::ctx::Ctx;
use crate::names::StampedName;
use crate::store::first_free;
use crate::store::local::Area;

impl Ctx {
    /// Makes handoffs pending again that the last daemon consumed for readers that may not have got the answer: a handoff that
    /// is delivered twice is better than one that is lost.
    pub fn recover_unanswered(&self) -> Result<()> {
        for (queue, note, _) in self.local.list_all(Area::Consuming)? {
            if let Err(error) = self.recover_note(&queue, &note) {
                log::error!(
                    "the note {} of a read that was not answered cannot be carried out ({error}); the handoffs that the read \
                     consumed stay consumed, and the next mount tries again",
                    queue.join(&note).display()
                );
            }
        }
        Ok(())
    }

    fn recover_note(&self, queue: &Path, note: &OsStr) -> Result<()> {
        let bytes = self.local.read_note(Area::Consuming, queue, note)?;
        let fields: Vec<&OsStr> = bytes
            .split(|byte| *byte == 0)
            .map(OsStr::from_bytes)
            .collect();
        let mut renamed = BTreeSet::new();
        for entry in fields.chunks_exact(3) {
            // Only names of the program's own form are used: any other could lead out of the directory.
            let queue = Path::new(entry[0]);
            let name = match [entry[1], entry[2]].map(StampedName::parse) {
                [Some(name), Some(done)] if name.is_pending() && !done.is_pending() => name,
                _ => return Err(Error::Invalid),
            };
            // Another handoff may have taken the pending name since.
            let renamed_to = first_free(&name, |name| {
                let name = name.to_os_string();
                self.store.rename((queue, entry[2]), (queue, &name))
            });
            match renamed_to {
                Ok(name) => {
                    self.pending_again(queue, &name);
                    log::warn!(
                        "{}: was being read when the last daemon ended; it is delivered again",
                        queue.join(name.to_os_string()).display()
                    );
                    renamed.insert(queue);
                }
                // The daemon ended before it consumed the handoff, or somebody has renamed the handoff since.
                Err(Error::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        if self.options.sync {
            // A power cut must not remove the note and undo the renames.
            for queue in renamed {
                self.store.sync(queue)?;
            }
        }
        self.local.remove(Area::Consuming, queue, note)
    }
}
