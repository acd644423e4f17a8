//! What the directory means: drafts, aliases, edits, scratch files, snapshots of `pending.md`, turns.
//!
//! No FUSE type comes in here; the adapter ([`crate::fuse`]) turns requests into calls of [`Fs`] and answers into
//! replies.
//!
//! # Rooms
//!
//! Each is to call only those below it in this table.
//!
//! | module | what it knows |
//! |---|---|
//! | `ops` | the requests of the kernel and of the daemon |
//! | `resolve` | what a name means to a caller, and what a write to it makes |
//! | `pending` | `pending.md`: its merge, its readers, what a read consumes |
//! | `session` | who calls, and under which names a session finds its handoffs |
//! | `handoff` | the life of a handoff: drafts, edits, publishing, kept versions |
//! | `queue` | what a directory holds, kept in step with the directory below |
//! | `inode` | what the kernel knows: nodes, handles, directories |
//! | `ids` | the numbers that stand for nodes, handles, directories and files |
//!
//! # What is what
//!
//! A `RegularFile` stands for a handoff, an ordinary or a scratch file for as long as it has a node, a handle, an alias or
//! a draft. Its `handoff::state::Content` says where its bytes are. A **node** is what the kernel calls an inode: one *view*
//! of one file below, for as long as the kernel remembers it. A handoff seen through an alias is another node than the
//! same handoff seen under its stamped name, because opening the one and the other mean different things. When the file
//! behind a name becomes another one, the name gets another node. So all handles of a node stand for one file below.
//!
//! # Locks
//!
//! There is one lock for what is not on disk, `Fs::state`. It is never held while `/proc` is read to tell who calls, which
//! can wait for a request of ours, nor while what a writer has written is made durable, which takes long, nor while what a
//! write in place is about to destroy is copied. What is made durable under it is small or rare: a directory that is made,
//! the record of the first mount, the name of what is made pending again, the copy of what is renamed to a backup or replaced
//! while somebody writes it, the mtime of what is consumed so late that its old one has it expire.
//!
//! All locks, in the order in which they are taken. A thread that holds one takes only later ones:
//!
//! | lock | of what | held with |
//! |---|---|---|
//! | `Fs::state` | everything else of `fs` | all below but the resolver's |
//! | `Snapshot::files` | the files of one snapshot | the state, when a file is pinned or consumed; alone, when it is read |
//! | `OpenMerge::ahead` | what is ready for one reader | nothing: it is let go before anything is read |
//! | `Local::record` | the record of the first mount | the state; it is written to disk meanwhile |
//! | `OpenMerge::delivered` | what one reader was given | nothing: it is let go before anything else is done |
//! | the resolver's cache | who is who | nothing: it is never held while `/proc` is read, nor taken under the state |
//! | the drafts' directory that is kept open, the store's watches, the last of the unique times, the suffixes last given, the supervisor, the clock a test has set | a number or two | whatever its caller holds; it takes none |
//!
//! `Fs::changed` is waited on with the state alone. The tests under load run with parking_lot's detection of deadlocks.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::clock::{Clock, Zone};
use crate::names::Archives;
use crate::programs::{Programs, Role};
use crate::retention::Retention;
use crate::session::{Caller, Proc, Process, Resolver, SystemProc};
use crate::store::Store;
use crate::store::dir::DirStore;
use crate::store::dirfd::Beneath;
use crate::store::local::{Area, FirstLook, Local};

pub use crate::store::first_mount::Adopt;
pub use crate::store::open_error::OpenError;
pub use ids::{Handle as HandleId, NodeId};
pub use inode::dentry_cache::Kernel;
pub use inode::listing::Listed;
pub use inode::listing::Listing;
pub use inode::types::{Attr, Created, Entry, LookedAt, Opened, SetAttr};
pub use ops::ending::Awaited;
pub use ops::status::Supervision;
pub use pending::consume::Answer;
pub use pending::turns::Outcome;
pub use pending::turns::Waiting;

mod handoff;
mod ids;
mod inode;
mod ops;
mod pending;
mod queue;
mod resolve;
mod session;

use handoff::state::RegularFile;
use handoff::table::Files;
use ids::DirId;
use inode::dirs::Dirs;
use inode::fd_limit::Descriptors;
use inode::handles::Handles;
use inode::table::Nodes;
use pending::merge_plan::Plans;
use pending::readers::Turns;
use pending::single_file::SingleFile;
use queue::cache::Index;
use queue::health::Watcher;
use queue::sync::Suffixes;
use resolve::scratch::table::Scratch;
use session::aliases::Aliases;
use session::callers::LookedUp;
use session::estale_replay::EstaleReplays;
use session::released_names::ReleasedNames;

/// How the filesystem is to behave.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long consumed handoffs, replaced versions and scratch files stay (spec 7.1).
    pub retention: Duration,
    /// Stamps in UTC rather than local time (spec 3.2).
    pub utc: bool,
    /// Make data and names durable before a close returns (spec 4.2).
    pub sync: bool,
    /// The largest file that may be written, in bytes (spec 4.9).
    pub max_size: Option<u64>,
    /// Which text files of the root that were there before become handoffs (spec 3.6).
    pub adopt: Adopt,
    /// Directories that are archives (spec 3.6).
    pub archives: Archives,
    /// Leave `pending.md` out of listings (spec 6.5).
    pub hide_pending: bool,
    /// What programs are known for.
    pub programs: Programs,
    /// The backing directory, for messages.
    pub backing_name: PathBuf,
    /// The mountpoint, for messages.
    pub mountpoint: PathBuf,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            retention: Retention::default().duration(),
            utc: false,
            sync: true,
            max_size: None,
            adopt: Adopt::Nothing,
            archives: Archives::default(),
            hide_pending: false,
            programs: Programs::builtin(),
            backing_name: PathBuf::new(),
            mountpoint: PathBuf::new(),
        }
    }
}

/// Who sends a request: what FUSE says of it.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The calling *thread*; 0 for callers outside our PID namespace.
    pub tid: u32,
    /// The calling user.
    pub uid: u32,
}

/// The filesystem's logic.
pub struct Fs {
    store: Box<dyn Store>,
    local: Local,
    clock: Arc<dyn Clock>,
    resolver: Resolver,
    options: Options,
    descriptors: Descriptors,
    trouble: Watcher,
    programs: Arc<Programs>,
    zone: Zone,
    retention: Retention,
    started: SystemTime,
    state: Mutex<State>,
    /// For `status`. Locked after the state, and nothing after it.
    supervision: Mutex<Option<Supervision>>,
    suffixes: Mutex<Suffixes>,
    /// Rung when a reader's turn ends or a writer has let go: what a waiting open waits for.
    changed: Condvar,
}

/// Everything that is not on disk. Grouped by what it is about; see each type.
#[derive(Default)]
struct State {
    dirs: Dirs,
    files: Files,
    aliases: Aliases,
    scratch: Scratch,
    nodes: Nodes,
    handles: Handles,
    index: Index,
    plans: Plans,
    turns: Turns,
    single_file: SingleFile,
    replays: EstaleReplays,
    released: ReleasedNames,
    looked_up: LookedUp,
    /// Stream editors that have lately opened an ordinary text file for reading (spec 3.6, 4.4).
    ordinary_readers: VecDeque<(Process, DirId, OsString)>,
    /// When a draft was last left unpublished because publishing it failed.
    left: Option<Instant>,
}

impl Fs {
    /// Opens the backing directory: takes its lock, notes what the first mount finds, recovers drafts (spec 3.6, 3.8).
    ///
    /// `backing` must have been opened before anything was mounted over the directory.
    pub fn open(
        backing: OwnedFd,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Fs>, OpenError> {
        let root = Arc::new(Beneath::new(backing));
        let store = Box::new(DirStore::new(root.clone()));
        Fs::with(root, store, options, clock, Box::<SystemProc>::default())
    }

    /// As [`Fs::open`], with a store and a view of `/proc` of the caller's choice.
    pub fn with(
        root: Arc<Beneath>,
        store: Box<dyn Store>,
        options: Options,
        clock: Arc<dyn Clock>,
        proc: Box<dyn Proc>,
    ) -> Result<Arc<Fs>, OpenError> {
        let retention = Retention::new(options.retention);
        let now = clock.now();
        let look = FirstLook {
            adopt: options.adopt,
            archives: &options.archives,
            retention,
            now,
        };
        let local = Local::open(root, options.sync, look)?;
        let programs = Arc::new(options.programs.clone());
        let trouble = Watcher::new(local.dir(Area::Backing, Path::new(""))?);
        let fs = Fs {
            store,
            local,
            resolver: Resolver::new(proc, programs.clone()),
            programs,
            zone: if options.utc { Zone::Utc } else { Zone::Local },
            retention,
            started: now,
            clock,
            options,
            descriptors: Descriptors::default(),
            trouble,
            state: Mutex::default(),
            supervision: Mutex::default(),
            suffixes: Mutex::default(),
            changed: Condvar::new(),
        };
        fs.recover()?;
        fs.watch_all()?;
        Ok(Arc::new(fs))
    }

    /// The options it was opened with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn plays(&self, caller: &Caller, role: Role) -> bool {
        caller.program.plays(&self.programs, role)
    }

    /// May this caller edit a handoff in place of writing a new one (spec 4.4)?
    fn edits(&self, caller: &Caller, doc: &RegularFile) -> bool {
        let Some(process) = caller.process else {
            return false;
        };
        let has_read = || doc.handoff.read_by.contains(&process);
        self.plays(caller, Role::Editor)
            || ((self.plays(caller, Role::Agent) || self.plays(caller, Role::StreamEditor))
                && has_read())
    }
}
