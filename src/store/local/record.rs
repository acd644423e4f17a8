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

/// The record is written once the names that were forgotten are one in so many.
const FORGOTTEN: usize = 64;

impl Drop for Local {
    fn drop(&mut self) {
        if let Err(error) = self.change_record(|_| false) {
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

    /// Whether this is the first mount, how many files the first one adopted, and how many consumed handoffs it found
    /// expired that are there still.
    pub fn first_mount(&self) -> (bool, u64, usize) {
        let record = self.record.lock();
        (record.first, record.now.adopted, record.now.expired())
    }

    /// See `dir_kind::why_ordinary`.
    pub fn why_ordinary(&self, path: &Path) -> Result<Option<Why>> {
        dir_kind::why_ordinary(&self.root, &self.archives, path)
    }

    /// Notes that a path is ordinary from now on.
    pub fn ordinary_made(&self, path: &Path) -> Result<()> {
        self.change_record(|record| record.make_ordinary(path))
    }

    /// Notes that a path, and everything below it, is gone. Its removal is made durable first: after a power cut a path that
    /// is back, and that the record does not know, would be a stray.
    pub fn ordinary_gone(&self, path: &Path) -> Result<()> {
        if !self.record.lock().now.knows(path) {
            return Ok(());
        }
        self.sync_name(path)?;
        let mut record = self.record.lock();
        record.now.forget(path);
        // Removing thousands of files must not take as many writes of a long record. A name that is forgotten too late does
        // harm only if a file of that name turns up before the next mount.
        record.unwritten += 1;
        match record.unwritten * FORGOTTEN >= record.now.len() {
            true => self.write_changes(&mut record),
            false => Ok(()),
        }
    }

    /// As [`Local::ordinary_gone`], of a path that was renamed.
    pub fn ordinary_moved(&self, from: &Path, to: &Path) -> Result<()> {
        if self.record.lock().now.knows(from) {
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
            // The directory is gone with all its entries.
            Err(Error::NotFound) => Ok(()),
            synced => synced,
        }
    }

    /// Changes the record, and writes all changes that are not on disk. If writing fails, the change still counts while this
    /// program runs, and the next change or sweep writes it.
    pub(super) fn change_record(&self, change: impl FnOnce(&mut FirstMount) -> bool) -> Result<()> {
        let mut record = self.record.lock();
        if change(&mut record.now) {
            record.unwritten += 1;
        }
        self.write_changes(&mut record)
    }

    fn write_changes(&self, record: &mut Record) -> Result<()> {
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
