//! The names that the operations use, and what the contract makes of each: a table, and not a rule.

use chrono::{DateTime, Utc};

pub const PENDING: &str = "pending.md";
pub const PEEK: &str = ".peek.md";

/// A stamp (`None`: the time of the step) and a slug.
pub type Label = (Option<String>, String);

/// What a name means before anybody looks whether a file has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `pending.md` (4.7a).
    Merge,
    /// A stamped name (2).
    Stamped,
    /// Writing the name makes a handoff with this stamp, or the time's, and this slug (3.2, 3.4a).
    Free(Option<&'static str>, &'static str),
    /// A scratch file, of which each session has its own (4.6f).
    Scratch,
    /// An ordinary file that all sessions share: a lock (4.6e), hidden (3.6k), or stamped with another ending (3.4b).
    Ordinary,
}

const OLD: Option<&str> = Some("2020-01-02_030405");

/// One or two names of every kind.
pub const FIXED: [(&str, Kind); 16] = [
    ("notes.md", Kind::Free(None, "notes")),
    ("notes.txt", Kind::Free(None, "notes")),
    ("a b", Kind::Free(None, "a-b")),
    ("plan.md", Kind::Free(None, "plan")),
    ("data.json", Kind::Free(None, "data.json")),
    ("plan.md.tmp.12", Kind::Scratch),
    (".hid", Kind::Ordinary),
    ("notes.md~", Kind::Scratch),
    ("2020-01-02_030405_old.md", Kind::Stamped),
    ("2020-01-02_030405_old.txt", Kind::Free(OLD, "old")),
    ("2020-01-02_030405_old_done.md", Kind::Stamped),
    (PENDING, Kind::Merge),
    ("notes_done.md", Kind::Free(None, "notes-done")),
    ("x.lock", Kind::Ordinary),
    ("2020-01-02_030405_state.json", Kind::Ordinary),
    ("HANDOFF.md", Kind::Free(None, "HANDOFF")),
];

/// The queues; all but the root are there before the first mount (3.6f).
pub const QUEUES: [&str; 4] = ["", "q", "q/r", "s"];

/// What lies there before the first mount (3.6a).
pub const OLD_FILES: [(&str, &str); 2] = [("HANDOFF.md", "there\n"), ("s/plan.md", "there, too\n")];

/// The queue that a path in the mount lies in.
pub fn queue(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |split| split.0)
}

pub fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |split| split.1)
}

/// A path, from a queue and a name or path below it.
pub fn join(queue: &str, name: &str) -> String {
    format!("{queue}/{name}").trim_start_matches('/').to_owned()
}

pub fn kind(path: &str) -> Kind {
    match FIXED.iter().find(|row| row.0 == name(path)) {
        Some(row) => row.1,
        None if Stamped::parse(path).is_some() => Kind::Stamped,
        None => Kind::Ordinary,
    }
}

/// Whether a file is text by its name (3.7a).
pub fn is_text(path: &str) -> bool {
    path.ends_with(".md") || path.ends_with(".txt") || !path.contains('.')
}

/// A stamped name, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stamped {
    pub stamp: String,
    pub slug: String,
    pub done: bool,
}

impl Stamped {
    pub fn parse(path: &str) -> Option<Stamped> {
        let (stamp, rest) = name(path).split_at_checked(17)?;
        let shape = stamp.replace(|c: char| c.is_ascii_digit(), "0");
        let slug = rest.strip_prefix('_')?.strip_suffix(".md")?;
        let pending = slug.strip_suffix("_done");
        (shape == "0000-00-00_000000").then(|| Stamped {
            stamp: stamp.to_owned(),
            slug: pending.unwrap_or(slug).to_owned(),
            done: pending.is_some(),
        })
    }

    /// The name of the same handoff, pending or consumed.
    pub fn named(&self, done: bool) -> String {
        let done = if done { "_done" } else { "" };
        format!("{}_{}{done}.md", self.stamp, self.slug)
    }

    pub fn label(self) -> Label {
        (Some(self.stamp), self.slug)
    }
}

/// A slug without the suffixes that keep names apart (3.3).
pub fn base(slug: &str) -> &str {
    match slug.rsplit_once('_') {
        Some((rest, n)) if n.parse::<u32>().is_ok_and(|n| n > 1) => base(rest),
        _ => slug,
    }
}

/// The stamp of a handoff that is made at this time (3.2a).
pub fn stamp(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d_%H%M%S").to_string()
}
