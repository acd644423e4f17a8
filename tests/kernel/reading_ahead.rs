//! Long merges: the daemon reads ahead of the reader (spec 6.2b, 6.3b, 6.4c).

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use handoff_fs::error::{Error, Result};
use handoff_fs::store::Store;
use handoff_fs::store::dir::DirStore;
use parking_lot::Mutex;

use crate::harness::{Mount, slug};
use crate::hooked_store::{HookedStore, Hooks};

/// How many handoffs there are, and how long each is, in bytes.
const COUNT: usize = 400;
const LENGTH: usize = 3000;

/// How much the tests read at a time, in bytes, as tools do.
const LARGE: usize = 128 << 10;

/// The limit of time for events that are awaited.
const PATIENCE: Duration = Duration::from_secs(60);

/// The name of the thread that reads ahead, by which the store knows it.
const HELPER: &str = "ahead";

/// Called for each file that the helper opens.
type Opened = Box<dyn FnMut(&OsStr) -> Result<()> + Send>;

/// Tells which files the helper opens.
struct TellOpened(Arc<Mutex<Opened>>);

impl Hooks for TellOpened {
    fn opened(&self, name: &OsStr) -> Result<()> {
        match thread::current().name() {
            Some(HELPER) => (self.0.lock())(name),
            _ => Ok(()),
        }
    }
}

/// Many handoffs, what reading them is to deliver, and their names in that order.
struct Long {
    mount: Mount,
    merge: Vec<u8>,
    names: Vec<String>,
    opened: Arc<Mutex<Opened>>,
    /// How many files were opened since the helper was told to wait.
    count: Arc<AtomicUsize>,
}

impl Long {
    fn new() -> Long {
        let opened: Arc<Mutex<Opened>> = Arc::new(Mutex::new(Box::new(|_| Ok(()))));
        let told = opened.clone();
        let store = move |root| {
            let store = DirStore::new(root);
            let hooks = TellOpened(told.clone());
            Box::new(HookedStore { store, hooks }) as Box<dyn Store>
        };
        let mount = Mount::stored(|_| {}, |_| {}, Box::new(store));
        for i in 0..COUNT {
            let line = format!("{i:03} is all that handoff {i} says\n");
            let content = &line.repeat(LENGTH / line.len());
            fs::write(mount.at(format!("n{i}.md")), content).unwrap();
        }
        let merge = in_small_reads(&mount.at(".peek.md"));
        let text = String::from_utf8(merge.clone()).unwrap();
        let headers = text
            .lines()
            .filter(|line| line.starts_with("<!-- handoff "));
        let names = headers.map(|line| {
            let rest = line.split_once(": ").unwrap().1;
            rest.split_once(" | ").unwrap().0.to_owned()
        });
        let names: Vec<String> = names.collect();
        assert_eq!(names.len(), COUNT);
        Long {
            mount,
            merge,
            names,
            opened,
            count: Arc::default(),
        }
    }

    /// Notes what the helper opens from now on.
    fn note_opened(&self) -> Arc<Mutex<Vec<String>>> {
        let noted = Arc::new(Mutex::new(Vec::new()));
        let note = noted.clone();
        *self.opened.lock() = Box::new(move |name| {
            note.lock().push(name.to_str().unwrap().to_owned());
            Ok(())
        });
        noted
    }

    /// The helper waits where it has opened the `nth` file from now on: it tells which, and goes on when it is told to.
    fn hold(&self, nth: usize) -> (Receiver<String>, Sender<()>) {
        let (tell, told) = mpsc::channel();
        let (go, wait) = mpsc::channel();
        let count = self.count.clone();
        count.store(0, Ordering::Relaxed);
        *self.opened.lock() = Box::new(move |name| {
            if count.fetch_add(1, Ordering::Relaxed) + 1 == nth {
                tell.send(name.to_str().unwrap().to_owned()).unwrap();
                let _ = wait.recv_timeout(PATIENCE);
            }
            Ok(())
        });
        (told, go)
    }

    /// Opens `pending.md` and reads the first of it, such that some of the next is got ready.
    fn begin(&self) -> (File, Vec<u8>) {
        let mut file = File::open(self.mount.at("pending.md")).unwrap();
        let mut read = vec![0; 2 * LARGE];
        for part in read.chunks_mut(LARGE) {
            assert_eq!(file.read(part).unwrap(), LARGE);
        }
        (file, read)
    }

    fn go_on(mut file: &File, read: &mut Vec<u8>) {
        let mut part = vec![0; LARGE];
        loop {
            match file.read(&mut part).unwrap() {
                0 => return,
                n => read.extend_from_slice(&part[..n]),
            }
        }
    }

    fn consumed(&self) -> usize {
        let names = self.mount.names_below();
        names
            .iter()
            .filter(|name| slug(name).ends_with("_done"))
            .count()
    }
}

/// In parts that are too small for anything to be got ready.
fn in_small_reads(path: &Path) -> Vec<u8> {
    let mut file = File::open(path).unwrap();
    let mut read = Vec::new();
    let mut part = [0; 4096];
    loop {
        match file.read(&mut part).unwrap() {
            0 => return read,
            n => read.extend_from_slice(&part[..n]),
        }
    }
}

/// Waits until this is so.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::yield_now();
    }
}

/// Waits until no helper is left.
fn alone() {
    wait_until("a thread is left behind", || {
        let mut tasks = fs::read_dir("/proc/self/task").unwrap();
        !tasks.any(|task| {
            // The thread may end meanwhile.
            let name = fs::read_to_string(task.unwrap().path().join("comm"));
            name.is_ok_and(|name| name.trim_end() == HELPER)
        })
    });
}

/// Waits until the helper has read ahead and has ended. Returns the names that it opened.
fn settled(opened: &Mutex<Vec<String>>) -> Vec<String> {
    wait_until("nothing is got ready", || !opened.lock().is_empty());
    alone();
    opened.lock().clone()
}

/// spec 6.2b, 6.4c: files that are rewritten, emptied, added to, replaced or removed while a reader has read a part,
/// before the helper has read them, after it, or in between: the reader gets them as they were, and changed files stay
/// pending.
#[test]
fn changes_between_reads() {
    let long = Long::new();
    let noted = long.note_opened();
    let (file, mut read) = long.begin();
    let ready = settled(&noted);
    let first = long.names.iter().position(|name| *name == ready[0]);
    let last = long
        .names
        .iter()
        .position(|name| name == ready.last().unwrap());
    // From before what is ready to behind it, the one that is ready in part included.
    let changed = &long.names[first.unwrap() - 2..last.unwrap() + 20];
    let changes = [
        "echo other > $f",
        "echo other | dd of=$f conv=notrunc",
        "truncate -s 7 $f",
        "echo more >> $f",
        "echo new > .x.tmp; mv .x.tmp $f",
        "rm $f",
    ];
    let mut script = String::from("set -e\n");
    for (name, change) in changed.iter().zip(changes.iter().cycle()) {
        script += &format!("f={name}; {change}\n");
    }
    long.mount.sh("w", &script);
    Long::go_on(&file, &mut read);
    assert!(read == long.merge);
    assert_eq!(long.consumed(), COUNT - changed.len());
    drop(file);
    alone();
}

/// spec 6.2b, 6.4c: the same, while it is being got ready.
#[test]
fn changed_while_it_is_got_ready() {
    let long = Long::new();
    let (told, go) = long.hold(20);
    let (file, mut read) = long.begin();
    let name = told.recv_timeout(PATIENCE).unwrap();
    // In place, so that the helper finds the new bytes in its open file.
    let script = format!(
        "head -c {LENGTH} /dev/zero | tr '\\0' x | dd of={name} conv=notrunc bs={LENGTH} iflag=fullblock"
    );
    long.mount.sh("w", &script);
    go.send(()).unwrap();
    // The helper does not read again what it has read.
    alone();
    Long::go_on(&file, &mut read);
    assert!(read == long.merge);
    assert_eq!(long.consumed(), COUNT - 1);
    drop(file);
    assert_eq!(long.mount.take("r"), ["x".repeat(LENGTH)]);
}

/// spec 6.3b: reading ahead does not count as reading, and leaves nothing behind.
#[test]
fn stops_in_the_middle() {
    let mut long = Long::new();
    let noted = long.note_opened();
    let (file, read) = long.begin();
    assert!(read == long.merge[..read.len()]);
    // The helper does not wait, and reads only a little ahead.
    let got_ready = settled(&noted).len();
    assert!((1..200).contains(&got_ready), "{got_ready}");
    drop(file);
    assert_eq!(long.consumed(), 0);
    assert!(in_small_reads(&long.mount.at(".peek.md")) == long.merge);

    // The reader closes while the helper reads ahead.
    let (told, go) = long.hold(3);
    let (file, _) = long.begin();
    told.recv_timeout(PATIENCE).unwrap();
    drop(file);
    wait_until("it was not closed", || long.mount.fs().handles() == 0);
    go.send(()).unwrap();
    alone();
    let count = long.count.load(Ordering::Relaxed);
    assert!(count < 50, "{count} of {got_ready}");
    assert_eq!(long.consumed(), 0);

    long.mount.remount();
    assert!(in_small_reads(&long.mount.at("pending.md")) == long.merge);
    assert_eq!(long.consumed(), COUNT);
}

/// spec 6.2b: a reader may read anywhere, and any amount.
#[test]
fn seeks_around() {
    let long = Long::new();
    let size = long.merge.len();
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..30 {
        let file = File::open(long.mount.at(".peek.md")).unwrap();
        let mut at = 0;
        for _ in 0..12 {
            // Mostly straight on, so that there is something ready, in parts that end anywhere.
            let len = random.usize(64 * 1024..128 * 1024);
            if random.u8(0..7) == 0 {
                at = random.usize(..size);
            }
            let mut part = vec![0; len];
            let n = file.read_at(&mut part, at as u64).unwrap();
            assert_eq!(n, len.min(size - at));
            assert!(part[..n] == long.merge[at..at + n], "{len} at {at}");
            at += n;
        }
    }
    alone();
    assert_eq!(long.consumed(), 0);
}

/// spec 6.2b, 6.3a: a file that only the helper fails to read is read when it is asked for, and consumed.
#[test]
fn helper_in_trouble() {
    let long = Long::new();
    let mut count = 0;
    *long.opened.lock() = Box::new(move |_| {
        count += 1;
        match count {
            ..30 => Ok(()),
            _ => Err(Error::Os(libc::EIO)),
        }
    });
    let (file, mut read) = long.begin();
    Long::go_on(&file, &mut read);
    assert!(read == long.merge);
    assert_eq!(long.consumed(), COUNT);
    drop(file);
    alone();
}
