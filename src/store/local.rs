//! Everything that is always local: the private directory `.handoff-fs/`, and files that are no handoffs.
//!
//! ```text
//! .handoff-fs/lock           locked with flock(2) by the one daemon; holds its pid, and in a second line its supervisor's
//! .handoff-fs/first-mount    see first_mount
//! .handoff-fs/mountpoint     see mountpoint
//! .handoff-fs/drafts/…       new handoffs that are not published yet, under their queue's path and stamped name
//! .handoff-fs/edits/…        new content of published handoffs, likewise
//! .handoff-fs/scratch/…      scratch files that all sessions share (spec 4.6), under their queue's path
//! .handoff-fs/sessions/…     the other scratch files, under their session and then their queue's path
//! .handoff-fs/replaced/…     replaced versions (spec 3.9), under their queue's path: `<name>.<nanoseconds since 1970>`
//! .handoff-fs/rewriting/…    what a write in place is replacing, until its writer closes; named likewise
//! .handoff-fs/removed/…      pending handoffs that were removed (spec 3.9), named likewise
//! .handoff-fs/consuming/…    what a read is consuming, until the read is answered
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
