//! The operations of a case: as short as system calls, drawn at random, applied to the filesystem and to what is expected.

use std::fmt::Debug;

use proptest::prelude::*;
use proptest::sample::select;

use crate::names::FIXED;

/// A process that calls.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Caller {
    Shell,
    /// A stream editor in the shell's session.
    Perl,
    /// A shell in another session.
    Other,
    /// An editor in a session of its own.
    Vim,
    /// Only looks, in a session of its own.
    Watcher,
}

/// A session, by its HANDOFF_SESSION.
pub type Session = &'static str;

impl Caller {
    const ACTORS: [Caller; 4] = [Caller::Shell, Caller::Other, Caller::Perl, Caller::Vim];
    /// One process of each session.
    pub const SESSIONS: [Caller; 4] = [Caller::Shell, Caller::Other, Caller::Vim, Caller::Watcher];

    pub fn session(self) -> Session {
        match self {
            Caller::Shell | Caller::Perl => "a",
            Caller::Other => "b",
            Caller::Vim => "editor",
            Caller::Watcher => "watcher",
        }
    }

    /// The program's name (5.2).
    pub fn program(self) -> &'static str {
        match self {
            Caller::Perl => "perl",
            Caller::Vim => "vim",
            _ => "sh",
        }
    }
}

/// A name, chosen when the operation is applied.
#[derive(Clone, Copy, Debug)]
pub enum Name {
    Fixed(&'static str),
    /// A handoff that is there, wherever that is.
    Stamped(usize),
    /// The other name of such a handoff: consumed, or pending again.
    Flipped(usize),
}

/// A queue, and a name in it.
#[derive(Clone, Copy, Debug)]
pub struct Place(pub &'static str, pub Name);

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
    /// The same, emptied.
    Empty,
    /// Created, or EEXIST.
    New,
}

const HOWS: [How; 9] = {
    use How::*;
    [Read, Read, Over, Over, Append, Write, Update, Empty, New]
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

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    Open,
    /// Opens a file to read it to its end, and closes it.
    Read,
    Write,
    /// ftruncate(2)
    Cut,
    Close,
    /// Open, write, close.
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
    /// A stray appears (3.7a).
    Stray,
    /// All files are closed; unmounted, and mounted again.
    Remount,
}

const WHATS: &[What] = {
    use What::*;
    &[
        Open, Open, Open, Open, Open, Open, Open, Open, Write, Write, Write, Write, Write, Write,
        Write, Write, Write, Write, Cut, Cut, Close, Close, Close, Close, Close, Close, Close,
        Close, Echo, Echo, Echo, Echo, Echo, Echo, Echo, Echo, Echo, Echo, Echo, Echo, Read, Read,
        Read, Rename, Rename, Rename, Rename, Rename, Rename, Rename, Rename, Unlink, Unlink,
        Unlink, Hold, Hold, Hold, Cat, Cat, Cat, Cat, ReadAll, ReadOnce, Leave, Leave, Tick, Tick,
        Tick, Week, Sweep, Stray, Stray, Remount,
    ]
};

/// What, by whom, a place, a second one, how, and a number: of bytes, of seconds, of one among several. Most use a part of it.
pub type Op = (What, Caller, Place, Place, How, usize);

/// A case of at most `length` operations.
pub fn case(length: usize) -> impl Strategy<Value = Vec<Op>> {
    // Some names are drawn more often.
    let common = ["notes.md", "notes.md", "plan.md.tmp.12", "pending.md"].into_iter();
    let fixed: Vec<&str> = common.chain(FIXED.map(|row| row.0)).collect();
    let name = prop_oneof![
        6 => select(fixed).prop_map(Name::Fixed),
        2 => (0..8usize).prop_map(Name::Stamped),
        2 => (0..8usize).prop_map(Name::Flipped),
    ];
    let queue = select(vec!["", "", "", "", "", "q", "q", "q/r", "s"]);
    let place = (queue, name).prop_map(|(queue, name)| Place(queue, name));
    let caller = select(&Caller::ACTORS[..]);
    let how = select(&HOWS[..]);
    let op = (select(WHATS), caller, place.clone(), place, how, 0..64usize);
    prop::collection::vec(op, 1..=length)
}

/// Reads an operation from words: what, caller, then places, how and number as far as they matter. The name `*` is a handoff
/// that is there, and `!` its other name.
pub fn parse(line: &'static str) -> Op {
    fn find<T: Copy + Debug>(all: &[T], word: &str) -> Option<T> {
        all.iter().copied().find(|one| format!("{one:?}") == word)
    }
    let mut words = line.split_whitespace();
    let what = find(WHATS, words.next().unwrap()).unwrap();
    let caller = find(&Caller::ACTORS, words.next().unwrap()).unwrap();
    let (mut how, mut n, mut places) = (How::Write, 0, Vec::new());
    for word in words {
        let (queue, name) = word.rsplit_once('/').unwrap_or(("", word));
        let name = match name {
            "*" => Name::Stamped(0),
            "!" => Name::Flipped(0),
            name => Name::Fixed(name),
        };
        match (find(&HOWS, word), word.parse()) {
            (Some(word), _) => how = word,
            (_, Ok(number)) => n = number,
            _ => places.push(Place(queue, name)),
        }
    }
    let at = *places
        .first()
        .unwrap_or(&Place("", Name::Fixed("notes.md")));
    (what, caller, at, *places.get(1).unwrap_or(&at), how, n)
}
