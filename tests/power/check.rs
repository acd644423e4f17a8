//! The machine comes back: what is found, and whether that is what was promised.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use handoff_fs::clock::Clock;
use handoff_fs::names::StampedName;

use crate::disk::Disk;
use crate::machine::{Machine, OTHER, StoppedClock};
use crate::mount::{Mounted, Rack, Step};
use crate::write_log::{Handoff, Moment, WriteLog};

/// spec 7.1a
const RETENTION: Duration = Duration::from_secs(7 * 86_400);

/// A file of the backing directory.
pub struct File {
    pub path: PathBuf,
    pub name: Option<StampedName>,
    pub body: Vec<u8>,
    /// Consumed long ago: it is deleted some day, and not listed.
    pub expired: bool,
}

impl File {
    fn is_pending(&self) -> bool {
        self.name.as_ref().is_some_and(StampedName::is_pending)
    }

    fn is_partial(&self) -> bool {
        let slug = self.name.as_ref().map(|name| name.to_string());
        slug.is_some_and(|slug| slug.contains("-partial"))
    }
}

/// The files and faults after the program was started again.
#[derive(Default)]
pub struct Recovered {
    files: Vec<File>,
    /// The kept versions. Until a version is moved there, it may be where the new one was.
    kept: Vec<Vec<u8>>,
    /// Faults that need no log of writes.
    wrong: Vec<String>,
}

/// Starts the program over what is left of a disk; returns what is found, and what the start did to the disk.
pub fn recover(
    rack: &Arc<Rack>,
    disk: Disk,
    clock: &StoppedClock,
    sync: bool,
) -> (Recovered, Vec<Step>) {
    let mut found = Recovered::default();
    let machine = match Machine::start(Mounted::new(rack, disk), clock.stopped_copy(), sync) {
        Ok(machine) => machine,
        Err(error) => {
            found.wrong.push(format!("cannot be mounted: {error}"));
            return (found, Vec::new());
        }
    };
    let steps = machine.steps();
    let disk = machine.disk();
    for (path, inode) in disk.files() {
        let body = inode.now.data.as_ref().clone();
        if inode.is_dir {
            continue;
        }
        let kept = ["replaced", "scratch", "sessions"];
        if kept
            .iter()
            .any(|part| path.starts_with(Path::new(".handoff-fs").join(part)))
        {
            found.kept.push(body);
        } else if !path.starts_with(".handoff-fs") {
            let name = path.file_name().and_then(StampedName::parse);
            let age = clock.now().duration_since(inode.now.mtime);
            let done = name.as_ref().is_some_and(|name| !name.is_pending());
            let expired = done && age.is_ok_and(|age| age >= RETENTION);
            found.files.push(File {
                path,
                name,
                body,
                expired,
            });
        }
    }
    let mut merge = Vec::new();
    machine.cat(OTHER, ".peek.md", |bytes| merge = bytes.to_vec());
    let mut listings: HashMap<PathBuf, Vec<String>> = HashMap::new();
    for file in &found.files {
        if file.is_pending() && !contains(&merge, &file.body) {
            let wrong = format!("{} is pending and not delivered", file.path.display());
            found.wrong.push(wrong);
        }
        let (dir, name) = (file.path.parent().unwrap(), file.path.file_name().unwrap());
        let listed = listings
            .entry(dir.to_owned())
            .or_insert_with(|| machine.list(dir.to_str().unwrap()));
        if listed.iter().any(|listed| name == listed.as_str()) == file.expired {
            let wrong = format!("{} is expired and listed, or neither", file.path.display());
            found.wrong.push(wrong);
        }
    }
    serves_on(machine, &mut found);
    (found, steps)
}

/// Checks that the program delivers what is written, and consumes what is read to the end.
fn serves_on(mut machine: Machine, found: &mut Recovered) {
    let handoff = machine.log.handoff();
    let body = b"after the power cut\n";
    machine.save(OTHER, "after.md", handoff, body);
    let mut merge = Vec::new();
    machine.cat(OTHER, "pending.md", |bytes| merge = bytes.to_vec());
    if !contains(&merge, body) {
        found.wrong.push("what is written is not delivered".into());
    }
    // A file that is left under two names is consumed under the one and has changed, by that, under the other.
    for _ in 0..3 {
        machine.cat(OTHER, "pending.md", |bytes| merge = bytes.to_vec());
    }
    if !merge.is_empty() {
        found.wrong.push("what was read is not consumed".into());
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}

/// The first bytes of `body`, or zeros where one of them is missing.
fn is_part_of(bytes: &[u8], body: &[u8]) -> bool {
    let mut pairs = bytes.iter().zip(body);
    bytes.len() <= body.len() && pairs.all(|(found, meant)| found == meant || *found == 0)
}

/// The promises that are broken if the power went at this moment.
pub fn verify(log: &WriteLog, found: &Recovered, moment: Moment) -> Vec<String> {
    let mut wrong = found.wrong.clone();
    for (id, handoff) in log.handoffs.iter().enumerate() {
        verify_handoff(id, handoff, found, moment, &mut wrong);
    }
    for (paths, body) in &log.ordinary {
        let there = found.files.iter().any(|file| {
            file.body == *body && paths.iter().any(|path| file.path == Path::new(path))
        });
        if !there {
            wrong.push(format!("{paths:?}, an ordinary file, is gone"));
        }
    }
    for file in &found.files {
        verify_file(file, log, moment, &mut wrong);
    }
    if log.once {
        for (i, file) in found.files.iter().enumerate() {
            if found.files[..i].iter().any(|other| other.body == file.body) {
                wrong.push(format!("{} is there twice", file.path.display()));
            }
        }
    }
    wrong
}

fn verify_handoff(
    id: usize,
    handoff: &Handoff,
    found: &Recovered,
    moment: Moment,
    wrong: &mut Vec<String>,
) {
    let newest = handoff
        .versions
        .iter()
        .rposition(|it| moment.answered(&it.at));
    if handoff.gone.is_some_and(|span| moment.answered(&span)) {
        // The name of a draft may still be there.
        let mut files = found.files.iter().filter(|file| !file.is_partial());
        if files.any(|file| {
            handoff
                .versions
                .iter()
                .any(|version| version.body == file.body)
        }) {
            wrong.push(format!("handoff {id} was removed and is there"));
        }
    }
    if handoff.removed.is_some_and(|span| moment.begun(&span)) {
        return;
    }
    let anywhere = |body: &[u8]| {
        let files = found.files.iter().map(|file| &file.body);
        files.chain(&found.kept).any(|it| it.starts_with(body))
    };
    if let Some((len, span)) = handoff.synced
        && moment.answered(&span)
        && !anywhere(&handoff.versions[0].body[..len])
    {
        wrong.push(format!("handoff {id}: its {len} bytes of fsync are lost"));
    }
    let Some(newest) = newest else {
        return;
    };
    // spec 3.9a
    for (n, version) in handoff.versions[..=newest].iter().enumerate() {
        if !anywhere(&version.body) {
            wrong.push(format!(
                "handoff {id}: version {n} was answered and is lost"
            ));
        }
    }
    let newer = handoff.versions[newest..].iter();
    let allowed: Vec<_> = newer.filter(|it| moment.begun(&it.at)).collect();
    let half_written = handoff.in_place.is_some() && allowed.len() > 1;
    let mut holders = found.files.iter().filter(|file| {
        let whole = allowed.iter().any(|version| version.body == file.body);
        file.name.is_some() && (whole || half_written && in_place(handoff, file, moment))
    });
    if handoff.unmade.is_some_and(|span| moment.begun(&span)) {
        return;
    }
    let back = handoff.back.is_some_and(|span| moment.answered(&span));
    let unread = back
        || handoff.read.is_none_or(|span| !moment.answered(&span))
            && handoff.done.is_none_or(|span| !moment.begun(&span));
    let done = handoff.done.is_some_and(|span| moment.answered(&span)) && handoff.back.is_none();
    let held = match (unread, done) {
        (true, _) => holders.any(File::is_pending),
        (_, true) => holders.any(|file| !file.is_pending()),
        _ => holders.next().is_some(),
    };
    if !held {
        let what = if unread { "pending" } else { "there" };
        wrong.push(format!("handoff {id}: version {newest} is not {what}"));
    }
}

/// Is this a handoff that was being written in place just then? It begins as it should, and after that has bytes of any
/// version, or zeros.
fn in_place(handoff: &Handoff, file: &File, moment: Moment) -> bool {
    let mut versions = handoff.versions.iter().map(|version| &version.at);
    let open = versions.any(|at| moment.begun(at) && !moment.answered(at));
    let Some(start) = handoff.in_place.as_ref().filter(|_| open) else {
        return false;
    };
    let mut bytes = file.body.iter().enumerate();
    let longest = handoff
        .versions
        .iter()
        .map(|version| version.body.len())
        .max();
    file.body.starts_with(start)
        && Some(file.body.len()) <= longest
        && bytes.all(|(i, byte)| {
            let mut versions = handoff.versions.iter();
            *byte == 0 || versions.any(|version| version.body.get(i) == Some(byte))
        })
}

/// Nothing is under a final name that was not written so, all of it.
fn verify_file(file: &File, log: &WriteLog, moment: Moment, wrong: &mut Vec<String>) {
    if log.ordinary.iter().any(|(_, body)| *body == file.body) {
        return;
    }
    let mut deleted = log.deleted.iter();
    if deleted.any(|(path, body)| file.path == Path::new(path) && file.body == *body) {
        return;
    }
    if file.name.is_none() {
        wrong.push(format!("{}: what is this?", file.path.display()));
        return;
    }
    let handoffs = log.handoffs.iter();
    let mut versions = handoffs.flat_map(|handoff| {
        handoff
            .versions
            .iter()
            .map(move |version| (handoff, version))
    });
    let known = versions.any(|(handoff, version)| {
        moment.begun(&version.at)
            && (version.body == file.body
                || file.is_partial() && is_part_of(&file.body, &version.body)
                || in_place(handoff, file, moment))
    });
    if !known {
        wrong.push(format!(
            "{}: nobody wrote this: {:?}",
            file.path.display(),
            String::from_utf8_lossy(&file.body)
        ));
    }
}
