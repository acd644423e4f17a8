//! Scenarios in which the power goes while the program starts.

use crate::machine::SHELL;
use crate::scenarios::{From, Scenario, body, put, put_handoff};
use crate::write_log::Span;

pub const ADOPTION: Scenario = Scenario {
    from: From::Mount,
    again: false,
    prepare: |disk, log| {
        for name in ["stray.md", "other"] {
            put_handoff(disk, log, name, 1);
        }
        // These strays are pending whatever their names say: no reader can have read them.
        for path in ["login_done.md", "q/deep.txt"] {
            put(disk, path, &body(path), 1);
            log.old(&body(path));
        }
        log.once = true;
    },
    act: |machine| assert!(!machine.has("stray.md")),
};

pub const FIRST_MOUNT: Scenario = Scenario {
    from: From::FirstMount,
    again: false,
    prepare: |disk, log| {
        put_handoff(disk, log, "2026-01-01_000000_waits.md", 1);
        put_handoff(disk, log, "2026-01-02_000000_read_done.md", 1);
        for path in ["README.md", "old/notes.md", "2020-01-01_000000_old_done.md"] {
            put(disk, path, &body(path), 30);
            log.ordinary.push((vec![path.into()], body(path)));
        }
    },
    act: |machine| {
        let handoff = machine.log.handoff();
        machine.save(SHELL, "new.md", handoff, &body("new"));
        assert!(machine.has("2020-01-01_000000_old_done.md"));
    },
};

/// Ordinary files are renamed and removed.
pub const ORDINARY: Scenario = Scenario {
    from: From::FirstMount,
    again: false,
    prepare: |disk, log| {
        for path in ["README.md", "handoffs/notes.md", "bye.md"] {
            put(disk, path, &body(path), 1);
        }
        for paths in [
            ["README.md", "READ.md"],
            ["handoffs/notes.md", "new/notes.md"],
        ] {
            let paths = paths.map(String::from).to_vec();
            let body = body(&paths[0]);
            log.ordinary.push((paths, body));
        }
        // Deleted, so it may be gone; but then it is no handoff.
        log.deleted.push(("bye.md".into(), body("bye.md")));
        log.once = true;
    },
    act: |machine| {
        machine.rename(SHELL, "README.md", "READ.md");
        machine.rename(SHELL, "handoffs", "new");
        machine.unlink(SHELL, "bye.md");
    },
};

/// The files that a power cut or a `kill -9` leaves: drafts, half an edit, a note of an unanswered read.
pub const RECOVERY: Scenario = Scenario {
    from: From::Mount,
    again: true,
    prepare: |disk, log| {
        let edited = put_handoff(disk, log, "2026-01-01_000000_edited.md", 1);
        log.handoffs[edited].versions[0].at = Span::LONG_AGO;
        let draft = body("a draft");
        for (path, content) in [
            ("drafts/2026-01-02_000000_draft.md", &draft[..40]),
            ("drafts/q/2026-01-03_000000_deep.md", &body("deep")),
            ("drafts/2026-01-04_000000_empty.md", b""),
            ("edits/2026-01-01_000000_edited.md", &body("half an edit")),
        ] {
            put(disk, &format!(".handoff-fs/{path}"), content, 1);
        }
        log.old(&draft[..40]);
        log.old(&body("deep"));
        put(disk, "2026-01-05_000000_unread_done.md", &body("unread"), 1);
        log.old(&body("unread"));
        let note = b"\x002026-01-05_000000_unread.md\x002026-01-05_000000_unread_done.md\x00";
        put(disk, ".handoff-fs/consuming/1", note, 1);
    },
    act: |machine| assert!(machine.has("2026-01-05_000000_unread.md")),
};

/// The files that a `kill -9` leaves are recovered, and then the power goes.
pub const KILLED: Scenario = Scenario {
    from: From::Killed,
    again: false,
    prepare: |disk, log| {
        // The daemon makes directories durable when it makes them.
        let empty = ".handoff-fs/drafts/q/2026-01-01_000000_empty.md";
        put(disk, empty, b"", 1);
        put(disk, "q/2026-01-01_000000_x.md", &body("x"), 1);
        log.old(&body("x"));
        disk.settle();
        for path in [
            "drafts/2026-01-02_000000_a.md",
            "drafts/q/2026-01-03_000000_b.md",
        ] {
            put(disk, &format!(".handoff-fs/{path}"), &body(path), 0);
            let handoff = log.handoff();
            log.begin(handoff, &body(path), 0);
        }
    },
    act: |machine| {
        for handoff in [1, 2] {
            machine.log.answered(handoff, 0, machine.now());
        }
    },
};
