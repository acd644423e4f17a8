//! Cases that failed once, as short as they got.

use crate::ops::Op;

/// What each case checks, and below it its operations, some a line.
const CASES: &str = r#"
spec 3.3: a consumed handoff does not take the name of an open draft
    [["Echo", "Shell", "notes.md", "notes.md", "Write", 0], ["Hold", "Shell", "notes.md", "notes.md", "Write", 0]]
    [["Open", "Shell", "!0", "notes.md", "Write", 0], ["Cat", "Shell", "notes.md", "notes.md", "Write", 0]]
spec 3.9a: the text that one writer closed is kept when another overwrites it
    [["Echo", "Shell", "notes.md", "notes.md", "Write", 0], ["Open", "Shell", "*0", "notes.md", "Write", 0]]
    [["Echo", "Shell", "*0", "notes.md", "Write", 0], ["Write", "Shell", "notes.md", "notes.md", "Write", 0]]
spec 3.5a: a handoff that is consumed by a rename to another queue stays for seven days
    [["Echo", "Shell", "notes.md", "notes.md", "Write", 0], ["Week", "Shell", "notes.md", "notes.md", "Write", 0]]
    [["Rename", "Shell", "*0", "q/!0", "Write", 0]]
spec 3.5a: so does a handoff that is consumed by a rename over a consumed one
    [["Echo", "Shell", "notes.md", "notes.md", "Write", 0], ["Week", "Shell", "notes.md", "notes.md", "Write", 0]]
    [["Echo", "Shell", "2020-01-02_030405_old.md", "notes.md", "Write", 0]]
    [["Rename", "Shell", "2020-01-02_030405_old.md", "2020-01-02_030405_old_done.md", "Write", 0]]
    [["Rename", "Shell", "notes.md", "2020-01-02_030405_old_done.md", "Write", 0]]
spec 4.4d: an edit is not published by another writer's close
    [["Echo", "Vim", "notes.md", "notes.md", "Write", 0], ["Open", "Vim", "notes.md", "notes.md", "Over", 0]]
    [["Write", "Vim", "notes.md", "notes.md", "Write", 0], ["Echo", "Other", "*0", "notes.md", "Append", 0]]
    [["Write", "Vim", "notes.md", "notes.md", "Write", 1], ["Close", "Vim", "notes.md", "notes.md", "Write", 0]]
spec 4.3a: a renamed file is found under the new name by the session that renamed it
    [["Echo", "Shell", "data.json", "notes.md", "Write", 0], ["Echo", "Shell", ".hid", "notes.md", "Write", 0]]
    [["Rename", "Shell", ".hid", "data.json", "Write", 0]]
spec 6.6a: a consumed handoff comes back under the name where its reader still finds it
    [["Echo", "Shell", "notes.md", "notes.md", "Over", 0], ["Cat", "Other", "notes.md", "notes.md", "Write", 0]]
    [["Rename", "Other", "*0", "!0", "Write", 0]]
"#;

/// Each case: what it checks, and its operations.
pub fn cases() -> Vec<(&'static str, Vec<Op>)> {
    let mut cases: Vec<(&str, Vec<Op>)> = Vec::new();
    for line in CASES.lines().skip(1) {
        match serde_json::from_str::<Vec<Op>>(line) {
            Ok(ops) => cases.last_mut().unwrap().1.extend(ops),
            Err(_) => cases.push((line, Vec::new())),
        }
    }
    cases
}
