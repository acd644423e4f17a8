//! The error type of the filesystem's logic, and its only mapping to errno.

use std::{fmt, io};

/// Why an operation failed.
///
/// The logic returns or checks the named variants. All other errors of system calls are [`Error::Os`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// No such file for this caller.
    NotFound,
    /// The name is taken.
    Exists,
    /// The directory to be removed or replaced is not empty. Expired files, which are not listed, do not count.
    NotEmpty,
    /// A component is not a directory.
    NotDirectory,
    /// A directory where a file was wanted.
    IsDirectory,
    /// Allowed to no caller: symbolic links, special files, hard links to handoffs.
    NotPermitted,
    /// Not allowed to this caller.
    AccessDenied,
    /// A name over 255 bytes.
    NameTooLong,
    /// The name now means another file than this node; the kernel looks the name up again and retries.
    Stale,
    /// Not supported at all.
    NotSupported,
    /// No such extended attribute.
    NoAttribute,
    /// Arguments that make no sense together.
    Invalid,
    /// Past `--max-size`.
    TooLarge,
    /// A handle that was not opened for this operation.
    BadHandle,
    /// Any other error of a system call, by its errno.
    Os(i32),
}

/// The result of every operation of the logic.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The errno that the calling program gets.
    pub fn errno(self) -> i32 {
        match self {
            Error::NotFound => libc::ENOENT,
            Error::Exists => libc::EEXIST,
            Error::NotEmpty => libc::ENOTEMPTY,
            Error::NotDirectory => libc::ENOTDIR,
            Error::IsDirectory => libc::EISDIR,
            Error::NotPermitted => libc::EPERM,
            Error::AccessDenied => libc::EACCES,
            Error::NameTooLong => libc::ENAMETOOLONG,
            Error::Stale => libc::ESTALE,
            Error::NotSupported => libc::EOPNOTSUPP,
            Error::NoAttribute => libc::ENODATA,
            Error::Invalid => libc::EINVAL,
            Error::TooLarge => libc::EFBIG,
            Error::BadHandle => libc::EBADF,
            Error::Os(errno) => errno,
        }
    }

    /// Does this error mean that there is no such file? After any other error, such as EIO or EMFILE, the file may exist.
    pub fn is_absence(self) -> bool {
        matches!(self, Error::NotFound | Error::NotDirectory)
    }

    fn from_errno(errno: i32) -> Error {
        match errno {
            libc::ENOENT => Error::NotFound,
            libc::EEXIST => Error::Exists,
            libc::ENOTEMPTY => Error::NotEmpty,
            libc::ENOTDIR => Error::NotDirectory,
            libc::EISDIR => Error::IsDirectory,
            libc::EPERM => Error::NotPermitted,
            libc::EACCES => Error::AccessDenied,
            libc::ENAMETOOLONG => Error::NameTooLong,
            libc::ENODATA => Error::NoAttribute,
            libc::EOPNOTSUPP => Error::NotSupported,
            libc::EINVAL => Error::Invalid,
            libc::EFBIG => Error::TooLarge,
            // The name is a symbolic link. Links are neither shown nor followed (spec 3.6l).
            libc::ELOOP => Error::NotFound,
            errno => Error::Os(errno),
        }
    }
}

impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Error {
        Error::from_errno(errno.raw_os_error())
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::from_errno(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from_raw_os_error(self.errno()).fmt(f)
    }
}

impl std::error::Error for Error {}
