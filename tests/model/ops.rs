//! What a case does: operations as short as system calls, drawn at random and applied to model and filesystem alike.

use proptest::prelude::*;
use proptest::sample::select;

use crate::names::FIXED;

/// A process that calls.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Who {
    Shell,
    /// A stream editor in the shell's session.
    Perl,
    /// A shell in another session.
    Other,
    /// An editor, in a session of its own.
    Vim,
    /// Looks, and does nothing.
    Watcher,
}

/// What HANDOFF_SESSION says.
pub type Session = &'static str;

impl Who {
    pub const ACTORS: [Who; 4] = [Who::Shell, Who::Other, Who::Perl, Who::Vim];
    /// One process of each session, through whose eyes its names are checked.
    pub const EYES: [Who; 4] = [Who::Shell, Who::Other, Who::Vim, Who::Watcher];

    pub fn session(self) -> Session {
        match self {
            Who::Shell | Who::Perl => "a",
            Who::Other => "b",
            Who::Vim => "editor",
            Who::Watcher => "watcher",
        }
    }

    /// The name of its program, by which it is known (4.4).
    pub fn program(self) -> &'static str {
        match self {
            Who::Perl => "perl",
            Who::Vim => "vim",
            _ => "sh",
        }
    }
}

/// Queues, the root first.
pub const QUEUES: [&str; 4] = ["", "q", "q/r", "s"];

/// A name, chosen when the operation is applied.
#[derive(Clone, Copy, Debug)]
pub enum Name {
    /// One of [`crate::names::FIXED`].
    Fixed(usize),
    /// A handoff that is there, under its stamped name.
    Stamped(usize),
    /// What it is called consumed, or pending again.
    Flipped(usize),
    /// What one of the root is called consumed, or pending again, wherever this is.
    Archived(usize),
}

/// A queue and a name in it.
#[derive(Clone, Copy, Debug)]
pub struct Place(pub usize, pub Name);

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    Read,
    /// `> name`
    Over,
    /// `>> name`
    Append,
    /// For writing, made if need be.
    Write,
    /// For reading and writing, as it is.
    Update,
    /// The same, emptied.
    Empty,
    /// Made, or EEXIST.
    New,
}

const WRITING: [How; 7] = {
    use How::*;
    [Over, Over, Append, Write, Update, Empty, New]
};

impl How {
    pub fn flags(self) -> i32 {
        match self {
            How::Read => libc::O_RDONLY,
            How::Over => libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC,
            How::Append => libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND,
            How::Write => libc::O_WRONLY | libc::O_CREAT,
            How::Update => libc::O_RDWR,
            How::Empty => libc::O_RDWR | libc::O_TRUNC,
            How::New => libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL,
        }
    }

    pub fn has(self, flag: i32) -> bool {
        self.flags() & flag != 0
    }
}

/// What is done. A number says which of the open files, how many bytes, how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    Open,
    /// Opens a file only to read it, and closes it.
    Read,
    /// Writes some bytes of its own, of an odd number with a final newline.
    Write,
    Cut,
    Dup,
    Close,
    /// Open, write, close: what `echo x > name` does.
    Echo,
    /// The same, and `pending.md` is read by another at once, before the RELEASE has come.
    EchoCat,
    Rename,
    Unlink,
    Mkdir,
    Rmdir,
    /// Reads `pending.md` in pieces until a read returns nothing: consumed.
    Cat,
    /// With one read that ends exactly where the file does: consumed.
    ReadAll,
    /// With one read that asks for more than there is, and no other: not consumed.
    ReadOnce,
    /// Only its beginning: not consumed.
    Sniff,
    /// Opens `pending.md` and reads a little; reads the rest of it, or (an even number) only closes it.
    Hold,
    GoOn,
    Tick,
    Week,
    Sweep,
    /// A file turns up in the backing directory.
    Stray,
    /// All files closed, unmounted, mounted again.
    Remount,
    /// The daemon dies with files open, and is started again.
    Crash,
    /// The kernel forgets every name that is not in use.
    Forget,
}

const DRAWN: &[What] = {
    use What::*;
    &[
        Open, Open, Open, Open, Open, Open, Open, Open, Write, Write, Write, Write, Write, Write,
        Write, Write, Write, Write, Cut, Cut, Dup, Dup, Close, Close, Close, Close, Close, Close,
        Close, Close, Echo, Echo, Echo, Echo, Echo, Echo, Echo, Echo, Echo, Echo, Echo, Echo,
        EchoCat, EchoCat, Read, Read, Read, Rename, Rename, Rename, Rename, Rename, Rename, Rename,
        Rename, Unlink, Unlink, Unlink, Mkdir, Mkdir, Rmdir, Cat, Cat, ReadAll, ReadOnce, Sniff,
        Hold, Hold, GoOn, GoOn, GoOn, Tick, Tick, Tick, Week, Sweep, Stray, Stray, Remount, Crash,
        Forget, Forget,
    ]
};

/// One operation. Most use a part of it.
#[derive(Clone, Debug)]
pub struct Op(pub What, pub Who, pub Place, pub Place, pub How, pub usize);

/// A case of at most `length` operations.
pub fn case(length: usize) -> impl Strategy<Value = Vec<Op>> {
    // The names that are met most, and each of the others.
    let fixed: Vec<usize> = [0, 0, 0, 5, 12].into_iter().chain(0..FIXED.len()).collect();
    let name = prop_oneof![
        6 => select(fixed).prop_map(Name::Fixed),
        2 => (0..8usize).prop_map(Name::Stamped),
        1 => (0..8usize).prop_map(Name::Flipped),
        1 => (0..8usize).prop_map(Name::Archived),
    ];
    let queue = select(vec![0usize, 0, 0, 0, 0, 1, 1, 2, 3]);
    let place = (queue, name).prop_map(|(queue, name)| Place(queue, name));
    let place = place.boxed();
    let (what, who, how) = (
        select(DRAWN),
        select(&Who::ACTORS[..]),
        select(&WRITING[..]),
    );
    let op = (what, who, place.clone(), place, how, 0..64usize);
    let op = op.prop_map(|(what, who, at, to, how, n)| Op(what, who, at, to, how, n));
    prop::collection::vec(op, 1..=length)
}
