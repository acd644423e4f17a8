//! The flags of open(2) that matter here.

use crate::store::Access;

/// How a file is to be opened.
#[derive(Clone, Copy, Debug)]
pub struct Flags {
    pub read: bool,
    pub write: bool,
    pub append: bool,
    pub truncate: bool,
    pub exclusive: bool,
}

impl Flags {
    /// The flags as open(2) takes them. O_TRUNC opens for writing, too.
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

    /// Does the writer only add bytes to the old ones?
    pub fn only_appends(self) -> bool {
        self.append && !self.truncate
    }

    /// Must another file that the writer is given begin with the old bytes? Neither after a truncation, nor for an append, which
    /// reads none of them.
    pub fn needs_old_bytes(self) -> bool {
        !self.truncate && !self.append
    }

    /// How the file below is opened. O_APPEND and O_TRUNC are done by this daemon.
    pub fn access(self) -> Access {
        Access {
            read: self.read,
            write: self.write,
        }
    }
}

#[cfg(test)]
mod tests {
    use libc::{O_APPEND, O_RDONLY, O_TRUNC, O_WRONLY};

    use super::*;

    /// spec 3.6d, 4.1b, 4.3b: which opens write, which only append, and which need the old bytes.
    #[test]
    fn what_an_open_asks_for() {
        for (flags, write, only_appends, needs_old_bytes) in [
            (O_RDONLY, false, false, true),
            (O_RDONLY | O_TRUNC, true, false, false),
            (O_WRONLY, true, false, true),
            (O_WRONLY | O_APPEND, true, true, false),
            (O_WRONLY | O_APPEND | O_TRUNC, true, false, false),
        ] {
            let open = Flags::new(flags);
            let asked = (open.write, open.only_appends(), open.needs_old_bytes());
            assert_eq!(asked, (write, only_appends, needs_old_bytes), "{flags:#o}");
        }
    }
}
