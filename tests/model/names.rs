//! What the contract makes of the names that a case uses, as a table and not as a rule.

use chrono::{DateTime, Utc};

pub const PENDING: &str = "pending.md";
pub const PEEK: &str = ".peek.md";

/// A stamp, or that of the step, and a slug.
pub type Label = (Option<String>, String);

/// What a name is, before anybody looks whether it is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `pending.md` (4.7).
    Merge,
    /// Stamped exactly (3.4).
    Stamped,
    /// Writing it makes a handoff with this stamp, or that of the time, and this slug (3.2, 3.4).
    Free(Option<&'static str>, &'static str),
    /// The same, but a handoff that is renamed to it is one no more (4.5).
    Backup(&'static str),
    /// A temporary file, each session's own (4.6).
    Scratch,
    /// A file that all sessions share: a lock (4.6), hidden (3.6), stamped with another ending (3.4).
    Ordinary,
}

/// One or two of every kind; the first is written most.
pub const FIXED: [(&str, Kind); 17] = [
    ("notes.md", Kind::Free(None, "notes")),
    ("notes.txt", Kind::Free(None, "notes")),
    ("a b", Kind::Free(None, "a-b")),
    ("plan.md", Kind::Free(None, "plan")),
    ("data.json", Kind::Free(None, "data.json")),
    ("plan.md.tmp.12", Kind::Scratch),
    (".hid", Kind::Ordinary),
    ("notes.md~", Kind::Scratch),
    ("notes.md.bak", Kind::Backup("notes.md.bak")),
    ("2020-01-02_030405_old.md", Kind::Stamped),
    (
        "2020-01-02_030405_old.txt",
        Kind::Free(Some("2020-01-02_030405"), "old"),
    ),
    ("2020-01-02_030405_old_done.md", Kind::Stamped),
    (PENDING, Kind::Merge),
    ("notes_done.md", Kind::Free(None, "notes-done")),
    ("x.lock", Kind::Ordinary),
    ("2020-01-02_030405_state.json", Kind::Ordinary),
    ("HANDOFF.md", Kind::Free(None, "HANDOFF")),
];

/// Names of files that turn up below the mount (3.7).
pub const STRAYS: [(&str, Kind); 8] = [
    ("s.md", Kind::Free(None, "s")),
    ("s_done.md", Kind::Free(None, "s-done")),
    ("notes", Kind::Free(None, "notes")),
    ("plan.txt", Kind::Free(None, "plan")),
    ("data.csv", Kind::Ordinary),
    (PENDING, Kind::Free(None, "pending")),
    (
        "2021-02-03_040506_k.txt",
        Kind::Free(Some("2021-02-03_040506"), "k"),
    ),
    ("2021-02-03_040506_k.md", Kind::Stamped),
];

pub fn kind(name: &str) -> Kind {
    let mut table = FIXED.iter().chain(&STRAYS);
    let found = table.find(|it| it.0 == name).map(|it| it.1);
    let stamped = Stamped::parse(name).map(|_| Kind::Stamped);
    found.or(stamped).unwrap_or(Kind::Ordinary)
}

/// Text by its name (3.7).
pub fn is_text(name: &str) -> bool {
    name.ends_with(".md") || name.ends_with(".txt") || !name.contains('.')
}

/// A stamped name, taken apart (2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stamped {
    pub stamp: String,
    pub slug: String,
    pub done: bool,
}

impl Stamped {
    pub fn parse(name: &str) -> Option<Stamped> {
        let (stamp, rest) = name.split_at_checked(17)?;
        let shape = stamp.replace(|c: char| c.is_ascii_digit(), "0");
        let slug = rest.strip_prefix('_')?.strip_suffix(".md")?;
        let pending = slug.strip_suffix("_done");
        let (slug, done) = (pending.unwrap_or(slug).to_owned(), pending.is_some());
        let stamp = (shape == "0000-00-00_000000").then(|| stamp.to_owned())?;
        Some(Stamped { stamp, slug, done })
    }

    /// The same handoff's name, pending or consumed.
    pub fn called(&self, done: bool) -> String {
        let done = if done { "_done" } else { "" };
        format!("{}_{}{done}.md", self.stamp, self.slug)
    }

    pub fn label(self) -> Label {
        (Some(self.stamp), self.slug)
    }
}

/// The slug without the suffixes that tell handoffs of one name apart (3.3).
pub fn base(slug: &str) -> &str {
    match slug.rsplit_once('_') {
        Some((rest, n)) if n.parse::<u32>().is_ok_and(|n| n > 1) => base(rest),
        _ => slug,
    }
}

/// spec 3.2a: the stamp of a handoff that is made at this time.
pub fn stamp(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d_%H%M%S").to_string()
}
