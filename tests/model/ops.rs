//! What a case does: operations as short as system calls, drawn at random and applied to model and filesystem alike.

use proptest::prelude::*;

/// One who calls. The numbers mean the same to both drivers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Who {
    /// A shell in a terminal.
    Shell,
    /// A shell in another terminal.
    OtherShell,
    /// An editor in a terminal of its own.
    Editor,
    /// An agent.
    Agent,
    /// A shell command of that agent: its session, but neither its process nor its program.
    AgentShell,
    /// Out of reach of `/proc`.
    Nobody,
    /// Looks, and does nothing: a session of its own.
    Observer,
    /// A bystander of a session, through whose eyes its aliases are checked.
    Eyes(Session),
}

/// Sessions that own aliases.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Session {
    A,
    B,
    Editor,
    Agent,
    Nobody,
    Observer,
}

impl Session {
    pub const ALL: [Session; 5] = [
        Session::A,
        Session::B,
        Session::Editor,
        Session::Agent,
        Session::Nobody,
    ];
}

impl Who {
    pub const ACTORS: [Who; 6] = [
        Who::Shell,
        Who::OtherShell,
        Who::Editor,
        Who::Agent,
        Who::AgentShell,
        Who::Nobody,
    ];

    pub fn session(self) -> Session {
        match self {
            Who::Shell => Session::A,
            Who::OtherShell => Session::B,
            Who::Editor => Session::Editor,
            Who::Agent | Who::AgentShell => Session::Agent,
            Who::Nobody => Session::Nobody,
            Who::Observer => Session::Observer,
            Who::Eyes(session) => session,
        }
    }
}

/// Names that mean something by themselves, one or two of every kind.
pub const FIXED: [&str; 17] = [
    "notes.md",
    "notes.txt",
    "a b",
    "plan.md",
    "data.json",
    "plan.md.tmp.12",
    ".hid",
    "notes.md~",
    "notes.md.bak",
    "2020-01-02_030405_old.md",
    "2020-01-02_030405_old.txt",
    "2020-01-02_030405_old_done.md",
    "pending.md",
    "notes_done.md",
    "notes.lock",
    "2020-01-02_030405_old.json",
    "other.tmp",
];

/// Queues, the root first.
pub const QUEUES: [&str; 4] = ["", "q", "q/r", "s"];

/// A name, chosen when the operation is applied.
#[derive(Clone, Copy, Debug)]
pub enum Name {
    /// One of [`FIXED`].
    Fixed(u8),
    /// A handoff that is there, under its stamped name.
    Stamped(u8),
    /// What it is called consumed, or pending again.
    Flipped(u8),
    /// What one of the root is called consumed, or pending again, wherever this is.
    Archived(u8),
}

/// A name in a queue.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub queue: u8,
    pub name: Name,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    pub access: Access,
    pub append: bool,
    pub truncate: bool,
    pub create: bool,
    pub exclusive: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    Read,
    Write,
    Both,
}

/// How `pending.md` is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taking {
    /// In pieces until a read returns nothing: consumed.
    Cat,
    /// With one read that ends exactly where the file does: consumed.
    Exactly,
    /// With one read that asks for more than there is, and no other: not consumed.
    Once,
    /// Only its beginning: not consumed.
    Sniff,
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub enum Op {
    Open(Who, Place, Mode),
    /// Writes some bytes of its own; with or without a final newline.
    Write(u8, bool),
    Seek(u8),
    Truncate(u8, u8),
    TruncatePath(Who, Place, u8),
    Dup(u8),
    Close(u8),
    /// Open, write, close: what `echo x > name` does.
    Echo(Who, Place, Mode, bool),
    /// The same, read back by another at once, before the RELEASE has come.
    EchoTake(Who, Place, Who),
    Read(Who, Place),
    Rename(Who, Place, Place),
    Unlink(Who, Place),
    Mkdir(u8),
    Rmdir(u8),
    RenameDir(u8, u8),
    Take(Who, u8, Taking),
    /// Opens `pending.md` and reads a little; goes on reading it with the second.
    Hold(Who, u8),
    GoOn(bool),
    Tick(u8),
    Week,
    Sweep,
    /// A file that turns up in the backing directory.
    Stray(u8, u8, bool),
    /// All files closed, unmounted, mounted again.
    Remount,
    /// The daemon dies with files open, and is started again.
    Crash,
    /// The kernel forgets every name that is not in use.
    DropCaches,
}

fn who() -> impl Strategy<Value = Who> {
    prop::sample::select(&Who::ACTORS[..])
}

fn name() -> impl Strategy<Value = Name> {
    prop_oneof![
        6 => prop::sample::select(&[0u8, 0, 0, 0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 11, 12, 12, 13, 14, 15, 16][..]).prop_map(Name::Fixed),
        2 => (0..8u8).prop_map(Name::Stamped),
        1 => (0..8u8).prop_map(Name::Flipped),
        1 => (0..8u8).prop_map(Name::Archived),
    ]
}

fn place() -> impl Strategy<Value = Place> {
    let queue = prop::sample::select(&[0u8, 0, 0, 0, 0, 1, 1, 2, 3][..]);
    (queue, name()).prop_map(|(queue, name)| Place { queue, name })
}

fn mode() -> impl Strategy<Value = Mode> {
    let access =
        prop::sample::select(&[Access::Read, Access::Write, Access::Write, Access::Both][..]);
    let rare = prop::bool::weighted(0.1);
    let often = prop::bool::weighted(0.8);
    (
        access,
        prop::bool::weighted(0.3),
        any::<bool>(),
        often,
        rare,
    )
        .prop_map(|(access, append, truncate, create, exclusive)| Mode {
            access,
            append,
            truncate: truncate && access != Access::Read,
            create: create && access != Access::Read,
            exclusive: exclusive && create && access != Access::Read,
        })
}

fn writing() -> impl Strategy<Value = Mode> {
    mode().prop_map(|mode| Mode {
        access: match mode.access {
            Access::Read => Access::Write,
            access => access,
        },
        ..mode
    })
}

fn taking() -> impl Strategy<Value = Taking> {
    prop::sample::select(
        &[
            Taking::Cat,
            Taking::Cat,
            Taking::Exactly,
            Taking::Once,
            Taking::Sniff,
        ][..],
    )
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (who(), place(), mode()).prop_map(|(a, b, c)| Op::Open(a, b, c)),
        10 => (any::<u8>(), any::<bool>()).prop_map(|(a, b)| Op::Write(a, b)),
        1 => any::<u8>().prop_map(Op::Seek),
        2 => (any::<u8>(), 0..6u8).prop_map(|(a, b)| Op::Truncate(a, b)),
        1 => (who(), place(), 0..6u8).prop_map(|(a, b, c)| Op::TruncatePath(a, b, c)),
        2 => any::<u8>().prop_map(Op::Dup),
        8 => any::<u8>().prop_map(Op::Close),
        12 => (who(), place(), writing(), any::<bool>()).prop_map(|(a, b, c, d)| Op::Echo(a, b, c, d)),
        2 => (who(), place(), who()).prop_map(|(a, b, c)| Op::EchoTake(a, b, c)),
        3 => (who(), place()).prop_map(|(a, b)| Op::Read(a, b)),
        8 => (who(), place(), place()).prop_map(|(a, b, c)| Op::Rename(a, b, c)),
        3 => (who(), place()).prop_map(|(a, b)| Op::Unlink(a, b)),
        2 => (1..4u8).prop_map(Op::Mkdir),
        1 => (1..4u8).prop_map(Op::Rmdir),
        1 => (1..4u8, 1..4u8).prop_map(|(a, b)| Op::RenameDir(a, b)),
        4 => (who(), 0..4u8, taking()).prop_map(|(a, b, c)| Op::Take(a, b, c)),
        2 => (who(), 0..4u8).prop_map(|(a, b)| Op::Hold(a, b)),
        3 => any::<bool>().prop_map(Op::GoOn),
        3 => (1..8u8).prop_map(Op::Tick),
        1 => Just(Op::Week),
        1 => Just(Op::Sweep),
        2 => (0..4u8, 0..8u8, any::<bool>()).prop_map(|(a, b, c)| Op::Stray(a, b, c)),
        1 => Just(Op::Remount),
        1 => Just(Op::Crash),
        1 => Just(Op::DropCaches),
    ]
}

impl Op {
    /// The same without what a real mount cannot play in one process: callers out of reach of `/proc`, and a daemon
    /// that dies alone.
    pub fn on_a_mount(self) -> Op {
        let seen = |who: Who| match who {
            Who::Nobody => Who::OtherShell,
            who => who,
        };
        match self {
            Op::Open(who, a, b) => Op::Open(seen(who), a, b),
            Op::TruncatePath(who, a, b) => Op::TruncatePath(seen(who), a, b),
            Op::Echo(who, a, b, c) => Op::Echo(seen(who), a, b, c),
            Op::EchoTake(who, a, reader) => Op::EchoTake(seen(who), a, seen(reader)),
            Op::Read(who, a) => Op::Read(seen(who), a),
            Op::Rename(who, a, b) => Op::Rename(seen(who), a, b),
            Op::Unlink(who, a) => Op::Unlink(seen(who), a),
            Op::Take(who, a, b) => Op::Take(seen(who), a, b),
            Op::Hold(who, a) => Op::Hold(seen(who), a),
            Op::Crash => Op::Remount,
            op => op,
        }
    }
}

/// A case of at most `length` operations.
pub fn case(length: usize) -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 1..=length)
}
