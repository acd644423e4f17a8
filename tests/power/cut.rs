//! The power goes: what is left of a disk.
//!
//! Everything that no fsync made durable may be left or not, each for itself and in no order. A change of names within
//! one directory is one thing. So is what rename(2) does to two directories, but that a file may be left under both of
//! its names, until its old directory has been synced as well: it is never left under neither, since that is what the
//! journals and logs of ext4, xfs, btrfs and f2fs are for (fsync(2) of one directory writes what it takes for that).
//! RENAME_EXCHANGE is one thing there, too. Bytes that are not durable may be there, all of them or the first few, or
//! missing, or zeros in a file that is as long as it was.
//!
//! Where there are no more than a certain number of disks that may be left, all are tried; else that many, drawn at
//! random, beside the typical ones: [`CORNERS`].

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::disk::{self, Disk, Inode, ROOT};

/// Chooses what happens at a power cut.
trait Fate {
    /// Of a change of names: not done, done, done at the new place only.
    fn of_names(&mut self, choices: usize) -> usize;
    /// Of bytes: not there, all there, zeros, the first few.
    fn of_bytes(&mut self, choices: usize) -> usize;
}

/// Nothing is left; everything; names without their bytes; bytes without their names; names with zeros for bytes; names
/// with half of their bytes; files under both of their names.
pub const CORNERS: [(usize, usize); 7] = [(0, 0), (1, 1), (1, 0), (0, 1), (1, 2), (1, 3), (2, 1)];

impl Fate for (usize, usize) {
    fn of_names(&mut self, choices: usize) -> usize {
        if self.0 < choices { self.0 } else { 1 }
    }
    fn of_bytes(&mut self, choices: usize) -> usize {
        if self.1 < choices { self.1 } else { 0 }
    }
}

/// Tries all choices, one after the other.
#[derive(Default)]
struct Every {
    chosen: Vec<(usize, usize)>,
    at: usize,
}

impl Every {
    fn choose(&mut self, choices: usize) -> usize {
        if self.at == self.chosen.len() {
            self.chosen.push((0, choices));
        }
        self.at += 1;
        self.chosen[self.at - 1].0
    }

    /// False when there are no more.
    fn next(&mut self) -> bool {
        self.at = 0;
        while let Some((chosen, choices)) = self.chosen.pop() {
            if chosen + 1 < choices {
                self.chosen.push((chosen + 1, choices));
                return true;
            }
        }
        false
    }
}

impl Fate for Every {
    fn of_names(&mut self, choices: usize) -> usize {
        self.choose(choices)
    }
    fn of_bytes(&mut self, choices: usize) -> usize {
        self.choose(choices)
    }
}

/// Draws, always the same for one seed.
impl Fate for fastrand::Rng {
    fn of_names(&mut self, choices: usize) -> usize {
        self.usize(..choices)
    }
    fn of_bytes(&mut self, choices: usize) -> usize {
        self.usize(..choices)
    }
}

/// The disks that may be left of this one, each once, and with how many choices: all, if they are at most `limit`.
pub fn left_of(disk: &Disk, limit: usize, seed: u64) -> Vec<Disk> {
    let mut seen = HashSet::new();
    let mut left = Vec::new();
    let mut add = |disk: Disk| {
        if seen.insert(fingerprint(&disk)) {
            left.push(disk);
        }
    };
    for mut corner in CORNERS {
        add(survivor(disk, &mut corner));
    }
    let mut every = Every::default();
    let mut all = Vec::new();
    loop {
        all.push(survivor(disk, &mut every));
        if !every.next() {
            all.into_iter().for_each(add);
            return left;
        }
        if all.len() >= limit {
            break;
        }
    }
    let mut drawn = fastrand::Rng::with_seed(seed);
    for _ in CORNERS.len()..limit {
        add(survivor(disk, &mut drawn));
    }
    left
}

/// One disk that may be left.
fn survivor(disk: &Disk, fate: &mut impl Fate) -> Disk {
    let mut left = disk.clone();
    let mut entries: BTreeMap<u64, _> = left
        .inodes
        .iter()
        .map(|(ino, inode)| (*ino, inode.durable_entries.clone()))
        .collect();
    for change in &disk.changes {
        let done = match (change.moves, &change.parts[..]) {
            (true, [coming, going]) if coming.durable => {
                [true, !going.durable && fate.of_names(2) == 1]
            }
            (true, _) => match fate.of_names(3) {
                0 => [false, false],
                1 => [true, true],
                _ => [true, false],
            },
            _ => [fate.of_names(2) == 1; 2],
        };
        for (part, done) in change.parts.iter().zip(done) {
            let Some(entries) = entries.get_mut(&part.dir).filter(|_| done && !part.durable) else {
                continue;
            };
            // A removal removes only the entry that it removed on the whole disk.
            if part.is.is_some() || entries.get(&part.name).copied() == part.was {
                disk::set(entries, part);
            }
        }
    }
    for (ino, entries) in entries {
        if let Some(inode) = left.inodes.get_mut(&ino) {
            inode.entries = entries;
        }
    }
    let mut reached = BTreeSet::from([ROOT]);
    let mut next = vec![ROOT];
    while let Some(dir) = next.pop() {
        let entries = left.inodes[&dir].entries.values();
        next.extend(entries.filter(|ino| reached.insert(**ino)));
    }
    left.inodes.retain(|ino, _| reached.contains(ino));
    for inode in left.inodes.values_mut().filter(|inode| !inode.is_dir) {
        inside(inode, fate);
    }
    left.settle();
    left
}

/// Chooses the content that is left of a file.
fn inside(inode: &mut Inode, fate: &mut impl Fate) {
    if inode.edits.is_empty() {
        if inode.now != inode.durable && fate.of_names(2) == 0 {
            inode.now = inode.durable.clone();
        }
        return;
    }
    let mut data = inode.durable.data.as_ref().clone();
    match fate.of_bytes(4) {
        0 => inode.now = inode.durable.clone(),
        1 => return,
        2 => data.resize(inode.now.data.len(), 0),
        _ => {
            let some = inode.edits.len().div_ceil(2);
            for edit in &inode.edits[..some - 1] {
                edit.apply(&mut data);
            }
            match &inode.edits[some - 1] {
                disk::Edit::Write(at, bytes) => {
                    disk::Edit::Write(*at, bytes[..bytes.len() / 2].into()).apply(&mut data);
                }
                length => length.apply(&mut data),
            }
        }
    }
    if inode.now != inode.durable {
        inode.now.data = Arc::new(data);
    }
}

/// A hash of each file and directory, by which equal disks are found.
pub fn fingerprint(disk: &Disk) -> Vec<u8> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hashes = Vec::new();
    for (ino, inode) in &disk.inodes {
        let mut hasher = DefaultHasher::new();
        (ino, inode.is_dir, &inode.entries).hash(&mut hasher);
        if !inode.is_dir {
            inode.now.hash(&mut hasher);
        }
        hashes.extend(hasher.finish().to_le_bytes());
    }
    hashes
}
