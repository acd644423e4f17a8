//! Consuming a handoff and making a consumed handoff pending again: names and times (spec 3.5, 4.5).

use std::ffi::OsStr;
use std::path::Path;
use std::time::SystemTime;

use crate::error::Result;
use crate::fs::ctx::Ctx;
use crate::names::StampedName;
use crate::store::Access;

impl Ctx {
    /// Gives a pending handoff, last changed at `mtime`, its consumed name, for seven days from `now` on (spec 3.5).
    pub fn consume_as(
        &self,
        queue: &Path,
        name: &StampedName,
        done: &StampedName,
        mtime: SystemTime,
        now: SystemTime,
    ) -> Result<StampedName> {
        if self.options.sync && self.retention.expired(mtime, now) {
            self.seven_days_from_now(queue, &name.to_os_string())?;
        }
        self.store.consume(queue, name, done, now)
    }

    /// Sets the times of a pending handoff before the rename that consumes it: with an old mtime it would expire at once. If the old
    /// mtime had expired, the new one is made durable: a power cut could leave the consumed name with the old mtime.
    pub fn seven_days_from_now(&self, queue: &Path, name: &OsStr) -> Result<()> {
        let now = self.clock.now();
        let mtime = self.store.stat(queue, name)?.mtime;
        self.store.set_times(queue, name, now)?;
        if self.options.sync && self.retention.expired(mtime, now) {
            self.store.open(queue, name, Access::READ)?.sync_all()?;
        }
        Ok(())
    }

    /// Gives a handoff that was made pending again its stamp's time as mtime (spec 3.5). If that time has expired, the pending
    /// name is made durable first: a power cut could leave the consumed name with the old mtime.
    pub fn pending_again(&self, queue: &Path, name: &StampedName) {
        let written = self.zone.time(name.stamp());
        let set_times = || {
            if self.options.sync && self.retention.expired(written, self.clock.now()) {
                self.store.sync(queue)?;
            }
            self.store.set_times(queue, &name.to_os_string(), written)
        };
        if let Err(error) = set_times() {
            log::warn!(
                "{}: is pending again, but keeps the time at which it was consumed ({error})",
                queue.join(name.to_os_string()).display()
            );
        }
    }
}
