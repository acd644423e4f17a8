//! The record of the first mount while this program runs, and its file (spec 3.6).

use std::ffi::OsStr;
use std::path::Path;

use super::files::Local;
use super::found::{FIRST_MOUNT, Record};
use crate::error::{Error, Result};
use crate::names::PRIVATE;
use crate::store::area::Area;
use crate::store::dir_kind::{self, Why};
use crate::store::first_mount::FirstMount;
use crate::store::private;

/// The record is written when at least one change for each this many listed paths is unwritten.
const FORGOTTEN: usize = 64;

impl Drop for Local {
    fn drop(&mut self) {
        if let Err(error) = self.write_changes(&mut self.record.lock()) {
            log::warn!("the record of the first mount cannot be written ({error})");
        }
    }
}

impl Local {
    /// Is this path ordinary, because it was there before the first mount (spec 3.6)?
    pub fn is_ordinary(&self, path: &Path) -> bool {
        self.record.lock().now.is_ordinary(path)
    }

    /// See [`FirstMount::found_expired`].
    pub fn found_expired(&self, path: &Path) -> bool {
        self.record.lock().now.found_expired(path)
    }

    /// Is this the first mount? The number of files that the first mount adopted, and of consumed handoffs that it found
    /// expired and that are still there.
    pub fn first_mount(&self) -> (bool, u64, usize) {
        let record = self.record.lock();
        (record.first, record.now.adopted, record.now.expired())
    }

    /// See `dir_kind::why_ordinary`.
    pub fn why_ordinary(&self, path: &Path) -> Result<Option<Why>> {
        dir_kind::why_ordinary(&self.root, &self.archives, path)
    }

    /// Records that a path is ordinary from now on.
    pub fn ordinary_made(&self, path: &Path) -> Result<()> {
        self.change_record(|record| record.make_ordinary(path))
    }

    /// Records that a path, and all paths below it, are gone. The removal is made durable first: a power cut that undid the
    /// removal, but not the change of the record, would make a stray of the file.
    pub fn ordinary_gone(&self, path: &Path) -> Result<()> {
        if !self.record.lock().now.lists(path) {
            return Ok(());
        }
        self.sync_name(path)?;
        let mut record = self.record.lock();
        record.now.forget(path);
        // The removal of thousands of files must not write a long record thousands of times. A path that is still listed is
        // a problem only if a new file of that name turns up before the next mount.
        record.unwritten += 1;
        match record.unwritten * FORGOTTEN >= record.now.len() {
            true => self.write_changes(&mut record),
            false => Ok(()),
        }
    }

    /// As [`Local::ordinary_gone`], for a path that was renamed.
    pub fn ordinary_moved(&self, from: &Path, to: &Path) -> Result<()> {
        if self.record.lock().now.lists(from) {
            self.sync_name(to)?;
        }
        self.ordinary_gone(from)
    }

    /// Makes the entry of a path in its directory durable.
    fn sync_name(&self, path: &Path) -> Result<()> {
        if !self.durable {
            return Ok(());
        }
        match self.sync(Area::Backing, path.parent().unwrap_or(Path::new(""))) {
            // The directory was removed with all its entries.
            Err(Error::NotFound) => Ok(()),
            synced => synced,
        }
    }

    /// Changes the record, and writes all changes that are not on disk. If the write fails, the change still counts while
    /// this program runs, and the next change or sweep writes the record.
    pub(super) fn change_record(&self, change: impl FnOnce(&mut FirstMount) -> bool) -> Result<()> {
        let mut record = self.record.lock();
        if change(&mut record.now) {
            record.unwritten += 1;
        }
        self.write_changes(&mut record)
    }

    pub(super) fn write_changes(&self, record: &mut Record) -> Result<()> {
        if record.unwritten > 0 {
            self.with_room(|| self.write_record(record))?;
            record.unwritten = 0;
        }
        Ok(())
    }

    pub(super) fn write_record(&self, record: &Record) -> Result<()> {
        let private = self.root.dir(Path::new(PRIVATE))?;
        let bytes = record.now.to_bytes();
        private::write_file(&private, OsStr::new(FIRST_MOUNT), &bytes, self.durable)
    }
}
