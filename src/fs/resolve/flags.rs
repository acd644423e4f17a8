//! The flags of open(2), as far as they matter here.

use crate::store::Access;

/// How a file is opened, out of open(2)'s flags.
#[derive(Clone, Copy, Debug)]
pub struct Flags {
    pub read: bool,
    pub write: bool,
    pub append: bool,
    pub truncate: bool,
    pub exclusive: bool,
}

impl Flags {
    pub fn new(flags: i32) -> Flags {
        let mode = flags & libc::O_ACCMODE;
        let truncate = flags & libc::O_TRUNC != 0;
        Flags {
            read: mode != libc::O_WRONLY,
            write: mode != libc::O_RDONLY || truncate,
            append: flags & libc::O_APPEND != 0,
            truncate,
            exclusive: flags & libc::O_EXCL != 0,
        }
    }

    pub fn access(self) -> Access {
        Access {
            read: self.read,
            write: self.write,
        }
    }
}
