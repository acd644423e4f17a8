//! Pending handoffs that were removed, kept for the retention time (spec 3.9). A full disk never drops them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::replaced::{replaced_at, replaced_name};
use super::{Area, Local, unique_nanos};
use crate::error::{Error, Result};
use crate::retention::Retention;

/// A pending handoff that was removed and is still kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Removed {
    /// The queue it was in, which may be gone.
    pub queue: PathBuf,
    /// Its name there.
    pub name: OsString,
    /// When it was removed.
    pub at: SystemTime,
    /// Its length in bytes.
    pub size: u64,
    /// Its file, in the directory that [`Area::Removed`] has of its queue.
    pub file: OsString,
}

/// The longest name that is kept whole, in bytes; a time is added to it.
const NAME_MAX: usize = 230;

impl Local {
    /// Keeps the file of a handoff that is removed.
    pub fn keep_pending(
        &self,
        area: Area,
        queue: &Path,
        name: &OsStr,
        now: SystemTime,
    ) -> Result<()> {
        let kept = shortened(name);
        loop {
            let file = replaced_name(&kept, unique_nanos(now));
            match self.rename_new((area, queue, name), (Area::Removed, queue, &file)) {
                Err(Error::Exists) => {}
                done => return done,
            }
        }
    }

    /// Everything that was removed and is kept, in no order. What never had a byte is left out.
    pub fn removed(&self) -> Result<Vec<Removed>> {
        let files = self.list_all(Area::Removed)?;
        let kept = files.into_iter().filter_map(|(queue, file, meta)| {
            let at = replaced_at(&file).filter(|_| meta.size > 0)?;
            let digits = file.as_bytes().rsplit(|byte| *byte == b'.').next()?.len();
            let name = file.as_bytes().get(..file.len() - digits - 1)?;
            Some(Removed {
                queue,
                name: OsString::from_vec(name.to_vec()),
                at,
                size: meta.size,
                file,
            })
        });
        Ok(kept.collect())
    }

    /// Deletes what was removed longer ago than the retention time.
    pub(super) fn sweep_removed(&self, retention: Retention, now: SystemTime) -> Result<()> {
        for (queue, file, _) in self.list_all(Area::Removed)? {
            if replaced_at(&file).is_some_and(|at| retention.expired(at, now)) {
                self.remove(Area::Removed, &queue, &file)?;
            }
        }
        Ok(())
    }
}

/// A name that has room for a time, and is a handoff's still.
fn shortened(name: &OsStr) -> OsString {
    const EXTENSION: &[u8] = b".md";
    match name.as_bytes().get(..NAME_MAX) {
        Some(whole) if whole.len() < name.len() => {
            let mut short = whole[..NAME_MAX - EXTENSION.len()].to_vec();
            short.extend_from_slice(EXTENSION);
            OsString::from_vec(short)
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::StampedName;

    /// spec 3.9b: whatever its name, it is a pending handoff's again when it comes back.
    #[test]
    fn long_names() {
        for length in [10, 209, 210, 234] {
            let name = format!("2026-01-02_030405_{}.md", "x".repeat(length));
            let short = shortened(OsStr::new(&name));
            assert!(short.len() <= NAME_MAX);
            assert_eq!(short == *name, name.len() <= NAME_MAX, "{length}");
            let parsed = StampedName::parse(&short).unwrap();
            assert!(parsed.is_pending());
        }
    }
}
