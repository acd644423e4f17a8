//! The operations of a case: as short as system calls, drawn at random, applied to the filesystem and to what is expected.

use proptest::prelude::*;
use proptest::sample::select;

use crate::names::{FIXED, join};

/// A process that calls.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Caller {
    Shell,
    /// A shell in another session.
    Other,
    /// An editor in a session of its own.
    Vim,
}

/// A session, by its HANDOFF_SESSION.
pub type Session = &'static str;

impl Caller {
    /// Each caller is the only process of its session.
    pub const ALL: [Caller; 3] = [Caller::Shell, Caller::Other, Caller::Vim];

    pub fn session(self) -> Session {
        match self {
            Caller::Shell => "a",
            Caller::Other => "b",
            Caller::Vim => "editor",
        }
    }

    /// The program's name (5.2).
    pub fn program(self) -> &'static str {
        if self.edits() { "vim" } else { "sh" }
    }

    /// An editor edits the handoff that it opens (4.4a).
    pub fn edits(self) -> bool {
        self == Caller::Vim
    }
}

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    Read,
    /// `> name`
    Over,
    /// `>> name`
    Append,
    /// For writing; created if missing.
    Write,
    /// For reading and writing, as it is.
    Update,
    /// Created, or EEXIST.
    New,
}

const HOWS: [How; 8] = {
    use How::*;
    [Read, Read, Over, Over, Append, Write, Update, New]
};

impl How {
    pub fn flags(self) -> i32 {
        match self {
            How::Read => libc::O_RDONLY,
            How::Over => libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC,
            How::Append => libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND,
            How::Write => libc::O_WRONLY | libc::O_CREAT,
            How::Update => libc::O_RDWR,
            How::New => libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL,
        }
    }

    pub fn has(self, flag: i32) -> bool {
        self.flags() & flag != 0
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    Open,
    Write,
    Close,
    /// Open, write or read to the end, close.
    Echo,
    Rename,
    Unlink,
    /// Opens `pending.md`, and reads its beginning. Each of the next four goes on with it, or opens it first.
    Hold,
    /// Reads the rest in pieces until a read returns nothing: consumed (6.3a).
    Cat,
    /// Reads exactly to its end, with one read: consumed.
    ReadAll,
    /// Asks for more than there is, with one read: not consumed.
    ReadOnce,
    /// Closes it without another read: not consumed.
    Leave,
    Tick,
    /// Eight days go by: longer than the retention time.
    Week,
    Sweep,
    /// All files are closed; unmounted, and mounted again.
    Remount,
}

const WHATS: &[What] = {
    use What::*;
    &[
        Open, Open, Open, Open, Open, Write, Write, Write, Write, Write, Close, Close, Close,
        Close, Close, Echo, Echo, Echo, Echo, Echo, Echo, Echo, Echo, Echo, Rename, Rename, Rename,
        Rename, Rename, Unlink, Unlink, Hold, Hold, Cat, Cat, Cat, ReadAll, ReadOnce, Leave, Tick,
        Tick, Week, Sweep, Remount,
    ]
};

/// What, by whom, a path, a second one, how, and a number: of bytes, of seconds, of one among several. Most use a part of it.
/// In a path `*3` is the third handoff that is there, wherever that is, and `!3` is its other name: consumed, or pending again.
pub type Op = (What, Caller, String, String, How, usize);

/// A case of at most `length` operations.
pub fn case(length: usize) -> impl Strategy<Value = Vec<Op>> {
    // Some names are drawn more often.
    let common = ["notes.md", "notes.md", "plan.md.tmp.12", "pending.md"].into_iter();
    let fixed: Vec<&str> = common.chain(FIXED.map(|row| row.0)).collect();
    let name = prop_oneof![
        6 => select(fixed).prop_map(str::to_owned),
        2 => (0..8).prop_map(|i| format!("*{i}")),
        2 => (0..8).prop_map(|i| format!("!{i}")),
    ];
    let queue = select(vec!["", "", "", "", "", "q", "q", "q/r", "s"]);
    let path = (queue, name).prop_map(|(queue, name)| join(queue, &name));
    let caller = select(&Caller::ALL[..]);
    let how = select(&HOWS[..]);
    let op = (select(WHATS), caller, path.clone(), path, how, 0..64usize);
    prop::collection::vec(op, 1..=length)
}
