//! The store, the clock and the options, which every room may use.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::clock::{Clock, Zone};
use crate::error::Result;
use crate::fs::ctx::fd_limit::FdLimit;
use crate::fs::ctx::health::Health;
use crate::names::{Archives, StampedName};
use crate::programs::{Programs, Role};
use crate::retention::Retention;
use crate::session::Caller;
use crate::store::Store;
use crate::store::dirfd::Beneath;
use crate::store::first_mount::Adopt;
use crate::store::local::{Area, FirstLook, Local};
use crate::store::open_error::OpenError;

mod fd_limit;
mod health;

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
    /// Which text files that the first mount finds in the root become handoffs (spec 3.6).
    pub adopt: Adopt,
    /// Directories that are archives (spec 3.6).
    pub archives: Archives,
    /// Leave `pending.md` out of listings (spec 6.5).
    pub hide_pending: bool,
    /// The programs that are treated in a special way.
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

/// See the [module](self). After the start nothing here changes, except behind locks of its own.
pub struct Ctx {
    /// The published handoffs, in the queues' directories.
    pub store: Box<dyn Store>,
    /// The backing directory's other files, and the private directory.
    pub local: Local,
    pub clock: Arc<dyn Clock>,
    pub zone: Zone,
    pub retention: Retention,
    pub programs: Arc<Programs>,
    pub options: Options,
    fd_limit: FdLimit,
    health: Health,
}

impl Ctx {
    /// Takes the lock of the backing directory and notes what the first mount finds there (spec 3.6).
    pub fn open(
        root: Arc<Beneath>,
        store: Box<dyn Store>,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> std::result::Result<Ctx, OpenError> {
        let retention = Retention::new(options.retention);
        let look = FirstLook {
            adopt: options.adopt,
            archives: &options.archives,
            retention,
            now: clock.now(),
        };
        let local = Local::open(root, options.sync, look)?;
        let health = Health::new(local.dir(Area::Backing, Path::new(""))?);
        Ok(Ctx {
            store,
            local,
            clock,
            zone: if options.utc { Zone::Utc } else { Zone::Local },
            retention,
            programs: Arc::new(options.programs.clone()),
            options,
            fd_limit: FdLimit::default(),
            health,
        })
    }

    /// Is the calling program known for this role?
    pub fn plays(&self, caller: &Caller, role: Role) -> bool {
        caller.program.plays(&self.programs, role)
    }

    /// Is this a consumed handoff past the retention time (spec 7.1)?
    pub fn is_expired(&self, name: &StampedName, mtime: SystemTime) -> bool {
        !name.is_pending() && self.retention.expired(mtime, self.clock.now())
    }

    /// May a client hold this file open, which was just opened for the client?
    ///
    /// # Errors
    ///
    /// EMFILE, if clients hold too many files open.
    pub fn admit(&self, file: &File) -> Result<()> {
        self.fd_limit.admit(file, &self.options.mountpoint)
    }

    /// Passes an answer on. If the answer is an error that trouble with the backing directory may have caused, logs that trouble.
    pub fn noticed<T>(&self, answer: Result<T>) -> Result<T> {
        answer.inspect_err(|error| {
            if health::is_symptom(*error) {
                self.look_for_trouble();
            }
        })
    }

    /// Logs what is wrong with the backing directory, unless that was logged before.
    pub fn look_for_trouble(&self) {
        self.health.look(|| self.trouble());
    }

    /// What is wrong with the backing directory now, if anything is: the path, the cause, the cure.
    pub fn trouble(&self) -> Option<String> {
        let root = self.local.dir(Area::Backing, Path::new("")).ok()?;
        self.health.trouble(&root, &self.options.backing_name)
    }
}
