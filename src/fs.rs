//! The meaning of the directory: drafts, aliases, edits, scratch files, snapshots of `pending.md`, turns.
//!
//! No FUSE type comes in here. The adapter ([`crate::fuse`]) turns requests into calls of [`Fs`] and results into replies.
//!
//! # Rooms
//!
//! The folders of `fs` are its rooms. A room imports and calls only rooms above it in this list; `.ci/layers` checks that.
//!
//! | room | what it knows |
//! |---|---|
//! | `ids`, `ctx` | the numbers of nodes, handles, directories and files; the store, the clock and the options |
//! | `queue` | what a directory holds, kept in step with the directory below |
//! | `inode` | what the kernel knows: nodes, handles, listings |
//! | `handoff` | the life of a handoff: drafts, edits, publishing, kept versions |
//! | `session` | the names under which a session finds its handoffs |
//! | `state` | [`Fs`] and its lock; the rooms above know neither |
//! | `pending` | `pending.md`: its merge, its readers, what a read consumes |
//! | `resolve` | what a name means to a caller, and what a write to the name makes |
//! | `ops` | the requests of the kernel and of the daemon |
//!
//! # Files and nodes
//!
//! A `RegularFile` stands for a handoff, an ordinary or a scratch file for as long as it has a node, a handle, an alias or
//! a draft. Its `handoff::state::Content` says where its bytes are. A **node** is what the kernel calls an inode: one *view*
//! of one file below, for as long as the kernel remembers it. A handoff seen through an alias is another node than the
//! same handoff seen under its stamped name, because opening the one and the other mean different things. When the file
//! behind a name becomes another one, the name gets another node. So all handles of a node stand for one file below.
//!
//! # Locks
//!
//! One lock protects everything that is not on disk: that of `State`. No thread holds it while `/proc` is read to find the
//! caller (a process there may be waiting for an answer from this filesystem), while the content of a file is made durable, or
//! while the bytes that a write in place destroys are copied. Only small or rare things are made durable under it: a new
//! directory, the record of the first mount, a name that is made pending again, the mtime of a handoff that would expire as soon
//! as it is consumed, and the copy of a file that is renamed to a backup, or replaced or removed while a process writes it.
//!
//! All locks, in the order in which they are taken. A thread that holds one takes only later ones:
//!
//! | lock | protects | held with |
//! |---|---|---|
//! | `Fs::state` | everything else of `fs` | all below but the resolver's |
//! | `Snapshot::files` | the open files of one snapshot | the state, when a file is pinned or consumed; alone, when a file is read |
//! | `OpenMerge::read_ahead` | the bytes that are ready for one reader | nothing: it is released before a file is read |
//! | `Local::record` | the record of the first mount | the state; the record is written to disk under it |
//! | `OpenMerge::delivered` | what one reader was given | nothing: it is released at once |
//! | the resolver's cache | which process is which caller | nothing: never while `/proc` is read, nor under the state |
//! | `Nodes::dentries`, the open directory of the drafts, the store's watches, the last unique time, the supervisor, a test's clock | a number or two | whatever its caller holds; it takes none |
//!
//! `Fs::changed` is waited on with the state alone. The tests under load run with parking_lot's detection of deadlocks.

pub use ctx::Options;
pub use ids::{Handle as HandleId, NodeId};
pub use inode::listing::{Listed, Listing};
pub use inode::types::{Attr, Created, Entry, LookedAt, Opened, Request, SetAttr};
pub use ops::ending::Awaited;
pub(crate) use ops::status::{Found, Status};
pub use pending::consume::Answer;
pub use pending::turns::{Outcome, Waiting};
pub use queue::dentry_cache::Kernel;
pub use state::{Fs, Supervision};

pub use crate::store::first_mount::Adopt;
pub use crate::store::open_error::OpenError;

mod ctx;
mod ids;
mod state;
#[cfg(test)]
mod tests;

mod queue {
    //! What a directory holds, and how that is kept in step with the directory below (spec 3.1, 3.6, 3.7).

    pub mod cache;
    pub mod dentry_cache;
    pub mod dir_kind;
    pub mod dirs;
    pub mod entry;
    pub mod free_name;
    pub mod list;
    pub mod merge_entry;
    pub mod names;
    pub mod retry;
    pub mod scratch;
    pub mod snapshot;
    pub mod stat;
    pub mod strays;
    pub mod sync;
    pub mod tree;

    #[cfg(test)]
    mod tests;
}

mod inode {
    //! What the kernel knows: nodes, handles, directories, and the names it may use without asking.

    pub mod handles;
    pub mod listing;
    pub mod open_merge;
    pub mod table;
    pub mod types;
}

mod handoff {
    //! The life of a handoff: drafts, edits, publishing, kept versions, recovery (spec 3.8, 4.2, 4.4, 4.5).

    pub mod below;
    pub mod consumed;
    pub mod draft;
    pub mod expire;
    pub mod publish;
    pub mod queue_names;
    pub mod recover;
    pub mod state;
    pub mod stored;
    pub mod table;
    pub mod unanswered;
    pub mod versions;

    #[cfg(test)]
    mod tests;
}

mod session {
    //! The names under which a session finds its handoffs, and what a thread does next (spec 4.3, 4.5).

    pub mod aliases;
    pub mod estale_replay;
    pub mod looked_up;
    pub mod released_names;
}

mod pending {
    //! `pending.md`: its merge, its readers and their turns, and what a read consumes (spec 4.7, 6).

    pub mod consume;
    pub mod consume_intent;
    pub mod left;
    pub mod look_again;
    pub mod merge_plan;
    pub mod planning;
    pub mod read_snapshot;
    pub mod readers;
    pub mod second_look;
    pub mod single_file;
    pub mod turns;
    pub mod write_pending;

    #[cfg(test)]
    mod tests;
}

mod resolve {
    //! What a name means to a caller: which file, and whether a write edits it or makes a new handoff (spec 4.1, 4.4).

    pub mod alias;
    pub mod callers;
    pub mod flags;
    pub mod name;
    pub mod nodes;
    pub mod opened;
    pub mod ordinary;
    pub mod released;
    pub mod replay;
    pub mod resolved;
    pub mod scratch;
    pub mod stamped;
    pub mod writing;
}

mod ops {
    //! The requests of the kernel and of the daemon.

    pub mod covered;
    pub mod ending;
    pub mod io;
    pub mod lookup;
    pub mod open;
    pub mod readdir;
    pub mod readdirplus;
    pub mod remove;
    pub mod rename;
    pub mod setattr;
    pub mod status;
    pub mod sweep;
}
