//! What random operations found once: each shrunken case by its name.

use crate::ops::{Access, Mode, Name, Op, Place, Who};

/// `notes.md` in the root; others as in [`crate::ops::FIXED`].
const NOTES: Place = fixed(0);

const fn fixed(i: u8) -> Place {
    Place {
        queue: 0,
        name: Name::Fixed(i),
    }
}

const STAMPED: Place = Place {
    queue: 0,
    name: Name::Stamped(0),
};

/// The same handoff consumed, or pending again.
const FLIPPED: Place = Place {
    queue: 0,
    name: Name::Flipped(0),
};

/// The same in another queue.
const ARCHIVED: Place = Place {
    queue: 1,
    name: Name::Archived(0),
};

const WRITE: Mode = Mode {
    access: Access::Write,
    append: false,
    truncate: false,
    create: true,
    exclusive: false,
};

const REWRITE: Mode = Mode {
    truncate: true,
    ..WRITE
};

const APPEND: Mode = Mode {
    append: true,
    ..WRITE
};

fn echo(who: Who, place: Place) -> Op {
    Op::Echo(who, place, WRITE, false)
}

/// Every case: the sections it checks, and the operations.
pub fn cases() -> Vec<(&'static str, Vec<Op>)> {
    vec![
        (
            "spec 3.3, 3.4: a name stamped but for its extension takes the next suffix",
            vec![
                echo(Who::Shell, fixed(9)),
                echo(Who::Shell, fixed(10)),
                Op::Rename(Who::OtherShell, fixed(9), fixed(10)),
            ],
        ),
        (
            "spec 3.3, 3.7: a stray keeps clear of an open draft's name",
            vec![Op::Open(Who::Shell, NOTES, WRITE), Op::Stray(0, 2, false)],
        ),
        (
            "spec 3.3: what is consumed keeps clear of an open draft's name",
            vec![
                echo(Who::Shell, NOTES),
                Op::Hold(Who::Shell, 0),
                Op::Open(Who::Shell, FLIPPED, WRITE),
                Op::GoOn(true),
            ],
        ),
        (
            "spec 3.3, 6.1: two handoffs are not promised one name",
            vec![
                Op::EchoTake(Who::Shell, fixed(9), Who::Shell),
                echo(Who::Shell, fixed(10)),
                Op::EchoTake(Who::OtherShell, fixed(9), Who::Shell),
            ],
        ),
        (
            "spec 3.9: what one writer closed is kept when another overwrites it",
            vec![
                echo(Who::Shell, NOTES),
                Op::Open(Who::Shell, STAMPED, WRITE),
                echo(Who::Shell, STAMPED),
                Op::Write(0, false),
            ],
        ),
        (
            "spec 3.9: nor is what a rename replaced destroyed by who has it open",
            vec![
                echo(Who::Shell, fixed(5)),
                echo(Who::Shell, NOTES),
                Op::Open(Who::Shell, STAMPED, WRITE),
                Op::Rename(Who::Shell, fixed(5), STAMPED),
                Op::Write(0, false),
            ],
        ),
        (
            "spec 3.5: what is consumed by a rename to another queue has its seven days",
            vec![
                Op::Mkdir(1),
                echo(Who::Shell, NOTES),
                Op::Week,
                Op::Rename(Who::Shell, STAMPED, ARCHIVED),
            ],
        ),
        (
            "spec 3.5: and by a rename over a consumed one",
            vec![
                echo(Who::Shell, NOTES),
                Op::Week,
                echo(Who::Shell, fixed(9)),
                Op::Rename(Who::Shell, fixed(9), fixed(11)),
                Op::Rename(Who::Shell, NOTES, fixed(11)),
            ],
        ),
        (
            "spec 4.5: whoever writes while an edit goes on shares it, whatever name it was begun under",
            vec![
                echo(Who::Editor, NOTES),
                Op::Open(Who::Editor, NOTES, REWRITE),
                Op::Write(0, false),
                Op::Echo(Who::OtherShell, STAMPED, APPEND, true),
                Op::Write(0, true),
                Op::Close(0),
            ],
        ),
        (
            "spec 4.5: what is emptied under a consumed name stays consumed",
            vec![
                Op::EchoTake(Who::Shell, NOTES, Who::Shell),
                Op::Open(
                    Who::Shell,
                    STAMPED,
                    Mode {
                        append: true,
                        create: false,
                        ..REWRITE
                    },
                ),
            ],
        ),
        (
            "spec 4.7: what an agent has begun to read when it writes pending.md is not consumed",
            vec![
                echo(Who::Shell, NOTES),
                Op::Hold(Who::Agent, 0),
                echo(Who::Agent, fixed(12)),
                Op::GoOn(true),
            ],
        ),
        (
            "spec 4.3: a renamed file is what its renamer finds under the new name",
            vec![
                echo(Who::Shell, fixed(8)),
                echo(Who::Shell, fixed(6)),
                Op::Rename(Who::Shell, fixed(6), fixed(8)),
            ],
        ),
        (
            "spec 6.6: what was consumed comes back under the name where its reader finds it all the time",
            vec![
                Op::EchoTake(Who::Shell, NOTES, Who::Agent),
                Op::Rename(Who::Agent, STAMPED, FLIPPED),
            ],
        ),
    ]
}
