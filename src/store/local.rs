//! The files that are always local: the private directory `.handoff-fs/`, and files that are no handoffs.
//!
//! ```text
//! .handoff-fs/lock           locked with flock(2) by the daemon; the pids of the daemon and, in a second line, its supervisor
//! .handoff-fs/first-mount    see first_mount
//! .handoff-fs/mountpoint     see mountpoint
//! .handoff-fs/drafts/…       unpublished handoffs, as QUEUE/STAMPED-NAME
//! .handoff-fs/edits/…        new content of published handoffs, as QUEUE/STAMPED-NAME
//! .handoff-fs/scratch/…      scratch files that all sessions share (spec 4.6), as QUEUE/NAME
//! .handoff-fs/sessions/…     the other scratch files, as SESSION/QUEUE/NAME
//! .handoff-fs/replaced/…     replaced versions (spec 3.9), as QUEUE/NAME.NANOSECONDS-SINCE-1970
//! .handoff-fs/rewriting/…    copies of files that writers are changing in place, until they close; named as in replaced
//! .handoff-fs/removed/…      pending handoffs that were removed (spec 3.9), named as in replaced
//! .handoff-fs/consuming/…    notes about the handoffs that a read is consuming, until the read is answered
//! ```

mod files;
mod found;
mod keep;
mod kept_name;
mod queues;
mod record;
#[cfg(test)]
mod tests;

pub use super::area::Area;
pub use files::Local;
pub use found::{FIRST_MOUNT, FirstLook};
pub use kept_name::{Kept, version_of};
pub use queues::Counts;
