//! The account: acknowledged records, delivered records, and records on disk.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::mount::MountFlags;

use crate::clients::lines;
use crate::harness::{self, DAY, Mount};
use crate::records::{Records, client, documents, kind, records};
use crate::torture;

/// The beginning and the end of a read, in seconds.
type Span = (f64, f64);

/// All of it.
#[derive(Default)]
pub struct Accounting {
    acknowledged: HashSet<String>,
    /// Whole records by who was given them when.
    delivered: HashMap<String, Vec<Span>>,
    /// Whole records that are still pending.
    pending: HashSet<String>,
    /// Whole records that lie anywhere below.
    below: HashSet<String>,
    /// Where something is not whole that should be.
    torn: Vec<String>,
    /// Documents that a killed writer left, by their names.
    partial: HashSet<String>,
    errors: Vec<String>,
    killed: HashSet<String>,
    names: usize,
    reads: usize,
}

impl Accounting {
    /// Reads everything.
    pub fn take(mount: &Mount, killed: HashSet<String>) -> Accounting {
        let mut accounting = Accounting {
            killed,
            ..Accounting::default()
        };
        for (name, line) in lines(&mount.outside("acknowledged")) {
            let of_killed = accounting.killed.contains(&name);
            if let Some(record) = line.strip_prefix("ok ") {
                accounting.acknowledged.insert(record.to_owned());
            } else if !line.is_empty()
                && (!of_killed || line.contains("rror") || line.contains("annot"))
            {
                accounting.errors.push(format!("{name}: {line}"));
            }
        }
        for reader in fs::read_dir(mount.outside("read")).unwrap() {
            accounting.take_in_reader(&reader.unwrap().path());
        }
        let peeked = fs::read(mount.at(".peek.md")).unwrap();
        for (name, document) in documents(&peeked) {
            let found = records(&document);
            accounting.pending.extend(found.whole.iter().cloned());
            accounting.note_torn(&name, &found, "pending");
        }
        accounting.take_in_below(&mount.below(""));
        accounting
    }

    fn take_in_reader(&mut self, dir: &Path) {
        let reader = dir.file_name().unwrap().to_string_lossy().into_owned();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let whole = name.ends_with(".whole");
            if name == "errors" {
                let killed = self.killed.contains(&reader);
                for line in fs::read_to_string(&path).unwrap().lines() {
                    // A shell that is killed with its children may still tell of one.
                    if !killed || line.contains("rror:") {
                        self.errors.push(format!("{reader}: {line}"));
                    }
                }
            }
            if !whole && !name.ends_with(".part") {
                continue;
            }
            let mut words = name.split('.');
            let mut time = || {
                let seconds = words.by_ref().nth(usize::from(whole))?;
                seconds.parse::<f64>().ok()
            };
            // COUNT.SECONDS.MICROSECONDS.SECONDS.MICROSECONDS.whole
            let span = match (time(), time()) {
                (Some(from), Some(to)) if whole => (from, to + 1.0),
                _ => (0.0, f64::MAX),
            };
            self.reads += usize::from(whole);
            let read = fs::read(&path).unwrap();
            let documents = documents(&read);
            let last = documents.len().saturating_sub(1);
            for (i, (of, document)) in documents.iter().enumerate() {
                let found = records(document);
                for record in &found.whole {
                    self.delivered.entry(record.clone()).or_default().push(span);
                }
                // Of a reader that was killed the last one may be cut.
                if whole || i < last {
                    self.note_torn(of, &found, &format!("{reader} was given"));
                }
            }
        }
    }

    fn take_in_below(&mut self, dir: &Path) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.take_in_below(&path);
                continue;
            }
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let found = records(&fs::read(&path).unwrap());
            if path.components().all(|it| it.as_os_str() != ".handoff-fs") {
                self.names += 1;
                self.note_torn(&name, &found, "on disk");
                if name.contains("-partial") {
                    self.partial.insert(name);
                }
            }
            self.below.extend(found.whole);
        }
    }

    /// Is this a record of a writer that was killed? Its name itself may be cut.
    fn is_by_killed(&self, record: &str) -> bool {
        let cut = !record.contains('.');
        let begins = |killed: &String| killed.starts_with(record);
        self.killed.contains(client(record))
            || cut && (record == "?" || self.killed.iter().any(begins))
    }

    /// Only what a killed writer left may be torn, and is called so.
    fn note_torn(&mut self, name: &str, found: &Records, place: &str) {
        for record in &found.torn {
            if !(name.contains("-partial") && self.is_by_killed(record)) {
                self.torn.push(format!("{place}: {name}: {record}"));
            }
        }
        if name.contains("-partial") {
            let of = found.torn.iter().chain(&found.whole);
            let living = of.filter(|record| !self.is_by_killed(record));
            let said = |record| format!("{place}: {name}: {record}, whose writer lives");
            let said: Vec<String> = living.map(said).collect();
            self.torn.extend(said);
        }
    }

    fn twice(&self) -> impl Iterator<Item = (&String, &Vec<Span>)> {
        self.delivered.iter().filter(|(_, spans)| spans.len() > 1)
    }

    /// These records may be delivered twice, because they are written again: each version of an edit has all of the
    /// last one; a log that grew is delivered whole; a handoff that its writer removed while it was read is pending
    /// again when the same process makes the name anew (spec 4.5g), which may be much later.
    fn is_rewritten(record: &str) -> bool {
        ["a", "e", "r"].contains(&kind(record))
    }

    fn unexplained(&self) -> Vec<String> {
        let apart = |spans: &&Vec<Span>| {
            let mut spans = (*spans).clone();
            spans.sort_by(|a, b| a.0.total_cmp(&b.0));
            spans.windows(2).any(|pair| pair[1].0 > pair[0].1)
        };
        self.twice()
            .filter(|(record, spans)| !Accounting::is_rewritten(record) && apart(spans))
            .map(|(record, spans)| format!("{record}: {spans:?}"))
            .collect()
    }

    /// Acknowledged, and neither delivered nor pending, though its writer did not consume it itself.
    fn lost(&self) -> Vec<&String> {
        let by_writer = |record: &str| ["m", "r"].contains(&kind(record));
        self.acknowledged
            .iter()
            .filter(|record| !self.delivered.contains_key(*record))
            .filter(|record| !self.pending.contains(*record))
            .filter(|record| !(by_writer(record) && self.below.contains(*record)))
            .collect()
    }

    pub fn print(&self, of: &str, time: Duration) {
        let twice: Vec<_> = self.twice().collect();
        let rewritten = twice
            .iter()
            .filter(|it| Accounting::is_rewritten(it.0))
            .count();
        torture::figure(
            of,
            format_args!(
                "{} s; {} records acknowledged, {} names; {} reads to the end; {} records delivered, {} of them twice ({} of \
                 these in documents that were written again, {} to readers at the same time); {} pending; {} clients killed; \
                 {} partial documents; {} lost, {} torn",
                time.as_secs(),
                self.acknowledged.len(),
                self.names,
                self.reads,
                self.delivered.len(),
                twice.len(),
                rewritten,
                twice.len() - rewritten - self.unexplained().len(),
                self.pending.len(),
                self.killed.len(),
                self.partial.len(),
                self.lost().len(),
                self.torn.len(),
            ),
        );
    }

    pub fn check(&self) {
        let first = |list: &[String]| list.iter().take(20).cloned().collect::<Vec<_>>();
        let lost = self.lost();
        let where_is = |record: &&String| (record.to_string(), self.below.contains(*record));
        assert!(
            lost.is_empty(),
            "{} acknowledged and delivered to nobody (and whether it lies below): {:?}",
            lost.len(),
            lost.iter().take(20).map(where_is).collect::<Vec<_>>()
        );
        assert!(self.torn.is_empty(), "torn: {:#?}", first(&self.torn));
        assert!(
            self.errors.is_empty(),
            "{} errors: {:#?}",
            self.errors.len(),
            first(&self.errors)
        );
        let unexplained = self.unexplained();
        assert!(
            unexplained.is_empty(),
            "delivered twice, at times apart: {:#?}",
            first(&unexplained)
        );
        assert!(!self.acknowledged.is_empty() && !self.delivered.is_empty());
    }

    /// The daemon may remember the name of each handoff, and not much more.
    pub fn check_memory(&self, before: u64) {
        let rise = memory().saturating_sub(before);
        let limit = (64 << 10) + self.names as u64;
        torture::figure(
            "memory",
            format_args!("{rise} KiB more, with {} names", self.names),
        );
        assert!(rise < limit, "{rise} KiB more than before");
    }
}

/// The resident memory of this process, in KiB.
pub fn memory() -> u64 {
    harness::memory(std::process::id(), "VmRSS")
}

/// Eight days later, when the kernel has dropped its cache, nothing is remembered.
pub fn check_forgotten(mount: &Mount) {
    // All pending handoffs are consumed, so that they expire.
    mount.sh("last", "cat pending.md > /dev/null");
    mount.pass(8 * DAY);
    let left = mount.names();
    let deadline = Instant::now() + Duration::from_secs(30);
    let remembered = loop {
        mount.fs().sweep();
        // A remount makes the kernel drop all unused names of the mount.
        rustix::mount::mount_remount(mount.at(""), MountFlags::NOSUID | MountFlags::NODEV, "")
            .unwrap();
        let remembered: HashMap<_, _> = mount.fs().remembered().into();
        let stays = ["names", "queues"];
        let mut counts = remembered.iter();
        if counts.all(|(what, count)| stays.contains(what) || *count == 0)
            || Instant::now() > deadline
        {
            break remembered;
        }
    };
    torture::figure(
        "forgotten",
        format_args!("{remembered:?}; listed: {left:?}"),
    );
    for (what, count) in remembered {
        let queues = 3;
        let limit = match what {
            "queues" => 1 + queues,
            "names" => queues,
            _ => 0,
        };
        assert!(count <= limit, "{what}: {count} are remembered");
    }
}
