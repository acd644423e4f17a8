//! Cases that failed once, as short as they got.

use crate::ops::{Op, parse};

/// What each case checks, and below it the operations, in the words of [`parse`].
const CASES: &str = "
spec 3.3, 3.4a: a name that is stamped but for its extension takes the next suffix
    Echo Shell 2020-01-02_030405_old.md
    Echo Shell 2020-01-02_030405_old.txt
    Rename Other 2020-01-02_030405_old.md 2020-01-02_030405_old.txt
spec 3.3, 3.7a: a stray does not take the name of an open draft
    Open Shell notes.md Write
    Stray Shell 2
spec 3.3: a consumed handoff does not take the name of an open draft
    Echo Shell notes.md
    Hold Shell
    Open Shell ! Write
    Cat Shell
spec 3.3, 6.1a: two handoffs never share a name, consumed or pending
    Echo Shell 2020-01-02_030405_old.md Over
    Cat Shell
    Echo Shell 2020-01-02_030405_old.txt
    Echo Other 2020-01-02_030405_old.md Over
    Cat Shell
spec 3.9a: the text that one writer closed is kept when another overwrites it
    Echo Shell notes.md
    Open Shell * Write
    Echo Shell * Write
    Write Shell
spec 3.9a: the text that a rename replaced is kept when a writer who has it open changes it
    Echo Shell plan.md.tmp.12
    Echo Shell notes.md
    Open Shell * Write
    Rename Shell plan.md.tmp.12 *
    Write Shell
spec 3.5a: a handoff that is consumed by a rename to another queue stays for seven days
    Echo Shell notes.md
    Week Shell
    Rename Shell * q/!
spec 3.5a: so does a handoff that is consumed by a rename over a consumed one
    Echo Shell notes.md
    Week Shell
    Echo Shell 2020-01-02_030405_old.md
    Rename Shell 2020-01-02_030405_old.md 2020-01-02_030405_old_done.md
    Rename Shell notes.md 2020-01-02_030405_old_done.md
spec 4.4d: an edit is not published by another writer's close
    Echo Vim notes.md
    Open Vim notes.md Over
    Write Vim
    Echo Other * Append
    Write Vim 1
    Close Vim
spec 4.3a: a renamed file is found under the new name by the session that renamed it
    Echo Shell data.json
    Echo Shell .hid
    Rename Shell .hid data.json
spec 6.6a: a consumed handoff comes back under the name where its reader still finds it
    Echo Shell notes.md Over
    Cat Other
    Rename Other * !
spec 3.6d: an old file that is opened to append, and not written, leaves no handoff
    Open Shell HANDOFF.md Append
";

/// Each case: what it checks, and its operations.
pub fn cases() -> Vec<(&'static str, Vec<Op>)> {
    let mut cases: Vec<(&str, Vec<Op>)> = Vec::new();
    for line in CASES.lines().skip(1) {
        match line.strip_prefix("    ") {
            Some(line) => cases.last_mut().unwrap().1.push(parse(line)),
            None => cases.push((line, Vec::new())),
        }
    }
    cases
}
