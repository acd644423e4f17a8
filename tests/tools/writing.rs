//! Runs one case of writing, and looks at what became of it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use handoff_fs::names::StampedName;

use crate::harness::{Mount, list};
use crate::place::{Place, Ran, Running};
use crate::writers::{Case, Does, Tool};

/// The name that is written, over and over.
const FILE: &str = "n.md";

/// The three words that edits replace with one another, and that the writers write.
const WORDS: [&str; 3] = ["one", "two", "six"];

/// The files of the mount.
struct Seen {
    pending: Vec<Vec<u8>>,
    done: usize,
    /// Files that are no handoffs, with their contents.
    others: BTreeMap<String, Vec<u8>>,
}

/// Runs a case twice in a row, in a mount and in a plain directory. Returns what the table shows of it; what went wrong is
/// told to `faults`.
pub fn run(case: &Case, tool: &Tool, faults: &mut Vec<String>) -> Vec<String> {
    let mount = Mount::new();
    let (mounted, plain) = (Place::mounted(&mount, "a"), Place::plain(&mount));
    let mut fault = |round: usize, what: String| {
        let round = ["once", "twice"][round];
        faults.push(format!("{}, {}, {round}: {what}", tool.name, case.case));
    };
    let mut versions = Vec::new();
    let (mut made, mut consumed, mut equal) = (Vec::new(), 0, true);
    for round in 0..2 {
        for place in [&mounted, &plain] {
            source(&place.out.join("src"), round);
            let first = matches!((case.does, round), (Does::Edits, 0) | (Does::Takes, _));
            if first {
                let script = format!("printf 'number {}\\n' > {FILE}", WORDS[round]);
                place.run(&script, &[]).ended(false).unwrap();
            }
        }
        let ran = [&mounted, &plain].map(|place| {
            let src = place.out.join("src");
            let variables = [
                ("f", Path::new(FILE)),
                ("src", &*src),
                ("text", Path::new(WORDS[round])),
                ("old", Path::new(WORDS[round])),
                ("new", Path::new(WORDS[round + 1])),
            ];
            place.start(tool.script, &variables)
        });
        let ran = ran.map(Running::end);
        if ran.iter().any(Ran::hung) {
            fault(round, "hangs".to_owned());
            return vec!["hangs".to_owned(); 4];
        }
        let refused = case.does == Does::Refuses && round == 1;
        if let Err(how) = ran[0].ended(refused) {
            fault(round, how);
        }
        if let Some(what) = ran[0].differs(&ran[1]) {
            fault(round, what);
        }

        // The tool finds its file under the written name, with the same mode.
        let again = [&mounted, &plain].map(|place| {
            let script = format!("cat {FILE}; stat -c '%a %s' {FILE}");
            place.start(&script, &[])
        });
        let again = again.map(Running::end);
        let taken = case.does == Does::Takes;
        if let Err(how) = again[0].ended(taken) {
            fault(round, format!("by its own name: {how}"));
        }
        if let Some(what) = again[0].differs(&again[1]) {
            fault(round, format!("by its own name: {what}"));
        }

        versions.push(fs::read(plain.at(FILE)).unwrap_or_default());
        let mut expected = match case.does {
            Does::New => versions.clone(),
            Does::Refuses | Does::Appends | Does::Edits => versions.split_off(versions.len() - 1),
            Does::Takes => Vec::new(),
        };
        expected.sort();
        // The open of `.peek.md` waits for closes that are under way.
        let mut delivered = delivered(&fs::read(mount.at(".peek.md")).unwrap());
        delivered.sort();
        let seen = look(&mount);
        let sizes = |bodies: &[Vec<u8>]| bodies.iter().map(Vec::len).collect::<Vec<_>>();
        if seen.pending != expected {
            equal = false;
            fault(
                round,
                format!(
                    "{} handoffs of {:?} bytes, not {} of {:?}",
                    seen.pending.len(),
                    sizes(&seen.pending),
                    expected.len(),
                    sizes(&expected)
                ),
            );
        }
        let done = if taken { round + 1 } else { 0 };
        if seen.done != done {
            fault(round, format!("{} consumed, not {done}", seen.done));
        }
        if delivered != seen.pending {
            equal = false;
            let sizes = sizes(&delivered);
            fault(round, format!("pending.md delivers {sizes:?} bytes"));
        }
        let others = others(&plain);
        if seen.others != others {
            let names =
                |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
            let (left, others) = (names(&seen.others), names(&others));
            fault(round, format!("leaves {left:?}, not {others:?}"));
        }
        made.push(seen.pending.len() + seen.done);
        consumed = seen.done;
    }
    if case.does != Does::Takes {
        // The writer still finds its file after it was delivered.
        mount.take("r");
        let again = mounted.run(&format!("cat {FILE}"), &[]);
        if let Some(what) = again.differs(&plain.run(&format!("cat {FILE}"), &[])) {
            fault(1, format!("by its own name, after it was consumed: {what}"));
        }
        if !mount.peek().is_empty() {
            fault(1, "some stay pending after pending.md was read".to_owned());
        }
    }
    let equal = if equal { "yes" } else { "NO" };
    vec![
        made[0].to_string(),
        made[1].to_string(),
        consumed.to_string(),
        equal.to_owned(),
    ]
}

/// The file that copies are made of: longer than some buffers, without a final newline, and old.
fn source(path: &Path, round: usize) {
    let line = format!("{} – zażółć \t\\n %s $HOME\n", WORDS[round]);
    let text = line.repeat(250 + round) + "the end";
    fs::write(path, text).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_100_000_000 + round as u64);
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

fn look(mount: &Mount) -> Seen {
    let mut seen = Seen {
        pending: Vec::new(),
        done: 0,
        others: BTreeMap::new(),
    };
    for name in mount.names() {
        let content = fs::read(mount.at(&name)).unwrap();
        match StampedName::parse(OsStr::new(&name)) {
            Some(_) if name.ends_with("_done.md") => seen.done += 1,
            Some(_) => seen.pending.push(content),
            None => {
                seen.others.insert(name, content);
            }
        }
    }
    seen.pending.sort();
    seen
}

/// The other files in the plain directory: backups.
fn others(plain: &Place) -> BTreeMap<String, Vec<u8>> {
    let names = list(&plain.at("")).into_iter();
    names
        .filter(|name| name != FILE)
        .map(|name| {
            let content = fs::read(plain.at(&name)).unwrap();
            (name, content)
        })
        .collect()
}

/// The bodies of a merge, byte for byte, by the lengths that their header lines tell.
fn delivered(mut merge: &[u8]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while let Some(end) = merge.iter().position(|&byte| byte == b'\n') {
        let line = String::from_utf8_lossy(&merge[..end]).into_owned();
        merge = &merge[end + 1..];
        if !line.starts_with("<!-- handoff ") {
            continue;
        }
        let size = line.split(" | ").nth(1).unwrap();
        let size: usize = size.strip_suffix(" bytes").unwrap().parse().unwrap();
        let (body, rest) = merge.split_at(size);
        bodies.push(body.to_vec());
        // A newline is put where one is missing.
        merge = if body.ends_with(b"\n") {
            rest
        } else {
            &rest[1..]
        };
    }
    bodies
}
