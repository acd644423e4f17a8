//! What random operations found once: each shrunken case by its name.

use crate::ops::{How, Name, Op, Place, What, Who};

const fn fixed(i: usize) -> Place {
    Place(0, Name::Fixed(i))
}

/// The names of [`crate::names::FIXED`] that are used here.
const NOTES: Place = fixed(0);
const SCRATCH: Place = fixed(5);
const HIDDEN: Place = fixed(6);
const BACKUP: Place = fixed(8);
const OLD: Place = fixed(9);
const OLD_TXT: Place = fixed(10);
const OLD_DONE: Place = fixed(11);

/// A handoff that is there; the same consumed, or pending again; the same in another queue.
const STAMPED: Place = Place(0, Name::Stamped(0));
const FLIPPED: Place = Place(0, Name::Flipped(0));
const ARCHIVED: Place = Place(1, Name::Archived(0));

fn op(what: What, who: Who, at: Place, how: How) -> Op {
    Op(what, who, at, NOTES, how, 0)
}

fn open(who: Who, at: Place, how: How) -> Op {
    Op(What::Open, who, at, NOTES, how, 1)
}

fn echo(who: Who, at: Place) -> Op {
    op(What::Echo, who, at, How::Write)
}

/// Read by the shell (0) or by another session (1).
fn echo_cat(who: Who, at: Place, reader: usize) -> Op {
    Op(What::EchoCat, who, at, NOTES, How::Over, reader)
}

fn mv(who: Who, from: Place, to: Place) -> Op {
    Op(What::Rename, who, from, to, How::Read, 0)
}

/// Done by the shell, where that counts.
fn just(what: What, n: usize) -> Op {
    Op(
        what,
        Who::Shell,
        Place(1.min(n / 8), Name::Fixed(0)),
        NOTES,
        How::Read,
        n,
    )
}

/// Every case: the sections it checks, and the operations.
pub fn cases() -> Vec<(&'static str, Vec<Op>)> {
    let (shell, other, vim) = (Who::Shell, Who::Other, Who::Vim);
    vec![
        (
            "spec 3.3, 3.4a: a name stamped but for its extension takes the next suffix",
            vec![
                echo(shell, OLD),
                echo(shell, OLD_TXT),
                mv(other, OLD, OLD_TXT),
            ],
        ),
        (
            "spec 3.3, 3.7a: a stray keeps clear of an open draft's name",
            vec![open(shell, NOTES, How::Write), just(What::Stray, 2)],
        ),
        (
            "spec 3.3: what is consumed keeps clear of an open draft's name",
            vec![
                echo(shell, NOTES),
                just(What::Hold, 0),
                open(shell, FLIPPED, How::Write),
                just(What::GoOn, 1),
            ],
        ),
        (
            "spec 3.3, 6.1a: two handoffs are not promised one name",
            vec![
                echo_cat(shell, OLD, 0),
                echo(shell, OLD_TXT),
                echo_cat(other, OLD, 0),
            ],
        ),
        (
            "spec 3.9a: what one writer closed is kept when another overwrites it",
            vec![
                echo(shell, NOTES),
                open(shell, STAMPED, How::Write),
                echo(shell, STAMPED),
                just(What::Write, 0),
            ],
        ),
        (
            "spec 3.9a: nor is what a rename replaced destroyed by who has it open",
            vec![
                echo(shell, SCRATCH),
                echo(shell, NOTES),
                open(shell, STAMPED, How::Write),
                mv(shell, SCRATCH, STAMPED),
                just(What::Write, 0),
            ],
        ),
        (
            "spec 3.5a: what is consumed by a rename to another queue has its seven days",
            vec![
                just(What::Mkdir, 8),
                echo(shell, NOTES),
                just(What::Week, 0),
                mv(shell, STAMPED, ARCHIVED),
            ],
        ),
        (
            "spec 3.5a: and by a rename over a consumed one",
            vec![
                echo(shell, NOTES),
                just(What::Week, 0),
                echo(shell, OLD),
                mv(shell, OLD, OLD_DONE),
                mv(shell, NOTES, OLD_DONE),
            ],
        ),
        (
            "spec 4.4d: an edit is not published by another's close",
            vec![
                echo(vim, NOTES),
                open(vim, NOTES, How::Over),
                just(What::Write, 0),
                op(What::Echo, other, STAMPED, How::Append),
                just(What::Write, 1),
                just(What::Close, 0),
            ],
        ),
        (
            "spec 4.3a: a renamed file is what its renamer finds under the new name",
            vec![
                echo(shell, BACKUP),
                echo(shell, HIDDEN),
                mv(shell, HIDDEN, BACKUP),
            ],
        ),
        (
            "spec 6.6a: what was consumed comes back under the name where its reader finds it all the time",
            vec![echo_cat(shell, NOTES, 1), mv(other, STAMPED, FLIPPED)],
        ),
    ]
}
