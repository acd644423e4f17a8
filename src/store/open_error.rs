//! The reasons why a backing directory cannot be served, as messages for the user.

use std::ffi::OsString;
use std::fmt;

use crate::error::Error;
use crate::names::PRIVATE;

/// The result of opening a backing directory.
pub(super) type OpenResult<T> = std::result::Result<T, OpenError>;

/// Why the backing directory cannot be used. Displays as one line with the cause and the cure.
#[derive(Debug)]
pub enum OpenError {
    /// Another daemon serves the directory.
    Locked {
        /// The other daemon's pid, as its lock file says.
        pid: Option<u32>,
    },
    /// The private directory cannot be made or used.
    Private(Error),
    /// A part of the private directory is neither a file nor a directory of this program, such as a link or a fifo.
    Part(OsString),
    /// The private directory belongs to another user.
    Foreign {
        /// That user's id.
        uid: u32,
    },
    /// The record of the first mount is damaged.
    Record,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Locked { pid } => {
                let other = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
                write!(
                    f,
                    "it is served by another handoff-fs{other} already; use that mount, or end it with \
                     `handoff-fs unmount` first"
                )
            }
            OpenError::Private(Error::Os(libc::EROFS)) => write!(
                f,
                "its filesystem is mounted read-only; remount it read-write or choose another --backing directory"
            ),
            OpenError::Private(Error::Os(errno @ (libc::ENOSPC | libc::EDQUOT))) => write!(
                f,
                "{}; make room there or choose another --backing directory",
                std::io::Error::from_raw_os_error(*errno)
            ),
            OpenError::Private(error @ (Error::AccessDenied | Error::NotPermitted)) => write!(
                f,
                "{PRIVATE}/ in it cannot be written ({error}); make the directory yours (chown, chmod u+rwx) or \
                 choose another --backing directory"
            ),
            OpenError::Private(error) => write!(
                f,
                "{PRIVATE}/ in it cannot be used ({error}); see that it is a directory of yours, or move it aside"
            ),
            OpenError::Part(name) => write!(
                f,
                "{PRIVATE}/{} in it is not what handoff-fs makes there; move it aside, and mount again",
                name.display()
            ),
            OpenError::Foreign { uid } => write!(
                f,
                "{PRIVATE}/ in it belongs to uid {uid}, who could change what is written; move it aside, and mount again"
            ),
            OpenError::Record => write!(
                f,
                "{PRIVATE}/first-mount in it is damaged; remove that one file, and the next mount is a first mount again"
            ),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<Error> for OpenError {
    fn from(error: Error) -> OpenError {
        OpenError::Private(error)
    }
}
