//! The filesystem's logic, and all of its state that is not on disk.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::{Condvar, Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::fs::ctx::{Ctx, Options};
use crate::fs::handoff::below::Handoffs;
use crate::fs::handoff::table::Files;
use crate::fs::ids::{DirId, FileId};
use crate::fs::inode::handles::Handles;
use crate::fs::inode::table::Nodes;
use crate::fs::inode::types::Request;
use crate::fs::pending::merge_plan::Plans;
use crate::fs::pending::readers::Readers;
use crate::fs::pending::single_file::SingleFile;
use crate::fs::queue::cache::Queues;
use crate::fs::session::aliases::Aliases;
use crate::fs::session::estale_replay::EstaleReplays;
use crate::fs::session::looked_up::LookedUp;
use crate::fs::session::released_names::ReleasedNames;
use crate::session::{Caller, Proc, Process, Resolver, SystemProc};
use crate::store::Store;
use crate::store::dir::DirStore;
use crate::store::dirfd::Beneath;
use crate::store::open_error::OpenError;

/// Which supervisor mounts again when this daemon dies (spec 8.3).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Supervision {
    /// The supervisor's process id.
    pub pid: u32,
    /// How many daemons of this mount have died so far.
    pub restarts: u64,
    /// How the last of them died.
    pub last_death: Option<String>,
}

/// The filesystem's logic.
pub struct Fs {
    pub(in crate::fs) ctx: Arc<Ctx>,
    pub(in crate::fs) resolver: Resolver,
    pub(in crate::fs) started: SystemTime,
    state: Mutex<State>,
    /// For `status`. This lock may be taken with the state locked; no lock is taken after it.
    pub(in crate::fs) supervision: Mutex<Option<Supervision>>,
    /// Notified when a reader's turn ends or a writer has closed: an open of `pending.md` may wait for either.
    pub(in crate::fs) changed: Condvar,
}

/// All state that is not on disk; see each type.
pub(in crate::fs) struct State {
    pub ctx: Arc<Ctx>,
    pub queues: Queues,
    pub nodes: Nodes,
    pub handles: Handles,
    pub files: Files,
    pub aliases: Aliases,
    pub plans: Plans,
    pub readers: Readers,
    pub single_file: SingleFile,
    pub replays: EstaleReplays,
    pub released: ReleasedNames,
    pub looked_up: LookedUp,
    /// Stream editors that have lately opened an ordinary text file for reading (spec 3.6, 4.4).
    pub ordinary_readers: VecDeque<(Process, DirId, OsString)>,
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
        let ctx = Arc::new(Ctx::open(root, store, options, clock)?);
        let nodes = Nodes::default();
        let state = State {
            ctx: ctx.clone(),
            queues: Queues::new(ctx.clone(), nodes.dentries.clone()),
            nodes,
            handles: Handles::default(),
            files: Files::default(),
            aliases: Aliases::default(),
            plans: Plans::default(),
            readers: Readers::default(),
            single_file: SingleFile::default(),
            replays: EstaleReplays::default(),
            released: ReleasedNames::default(),
            looked_up: LookedUp::default(),
            ordinary_readers: VecDeque::default(),
        };
        let fs = Fs {
            resolver: Resolver::new(proc, ctx.programs.clone()),
            started: ctx.clock.now(),
            state: Mutex::new(state),
            supervision: Mutex::default(),
            changed: Condvar::new(),
            ctx,
        };
        fs.ctx.recover()?;
        fs.lock().queues.watch_all()?;
        Ok(Arc::new(fs))
    }

    /// The options with which the filesystem was opened.
    pub fn options(&self) -> &Options {
        &self.ctx.options
    }

    /// The process that sends a request, and its session. Reads `/proc`: never called with the state locked.
    pub(in crate::fs) fn caller(&self, request: Request) -> Caller {
        self.resolver.caller(request.tid, request.uid)
    }

    pub(in crate::fs) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    /// The handoffs, and the state that they may change.
    pub fn handoffs(&mut self) -> Handoffs<'_> {
        Handoffs {
            ctx: &self.ctx,
            queues: &mut self.queues,
            nodes: &mut self.nodes,
            handles: &self.handles,
            files: &mut self.files,
            readers: &mut self.readers,
        }
    }

    /// The path of a file from the root, for messages; empty if the file is gone.
    pub fn path(&self, id: FileId) -> PathBuf {
        let file = self.files.get(id);
        let path = file.and_then(|file| self.queues.join(file.dir, &file.name.to_os_string()).ok());
        path.unwrap_or_default()
    }

    /// The key of every cached merge: another number whenever a file or a name has changed.
    pub fn generation(&self) -> u64 {
        self.queues.generation + self.files.generation()
    }
}
