//! A directory beside the mount that no process may open.

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::harness::list;

const CONTENT: &str = "nobody's business\n";
const NAMES: [&str; 3] = [
    "file",
    "2026-01-02_030405_c_done.md",
    "2026-01-02_030405_p.md",
];

/// See the [module](self).
pub struct Canary {
    dir: PathBuf,
    events: OwnedFd,
}

impl Canary {
    /// Makes the directory, in which everybody has all rights.
    pub fn new(dir: PathBuf, owner: Option<u32>) -> Canary {
        fs::create_dir(&dir).unwrap();
        for name in NAMES {
            fs::write(dir.join(name), CONTENT).unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o666)).unwrap();
            chown(dir.join(name), owner, owner).unwrap();
        }
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        chown(&dir, owner, owner).unwrap();
        let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        // Without closes: a child of this process may close a copy of a descriptor from above.
        let closed = WatchFlags::CLOSE_WRITE | WatchFlags::CLOSE_NOWRITE;
        inotify::add_watch(&events, &dir, WatchFlags::ALL_EVENTS - closed).unwrap();
        Canary { dir, events }
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }

    fn touched(&self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        inotify::Reader::new(&self.events, &mut buffer)
            .next()
            .is_ok()
    }

    /// Panics if anything in it was opened, read, changed or removed.
    pub fn check(&self, said: &str) {
        assert!(
            !self.touched(),
            "{said}: somebody was in {}",
            self.dir.display()
        );
        assert_eq!(list(&self.dir), [NAMES[1], NAMES[2], NAMES[0]], "{said}");
        for name in NAMES {
            assert_eq!(
                fs::read_to_string(self.dir.join(name)).unwrap(),
                CONTENT,
                "{said}"
            );
        }
        assert!(self.touched(), "this would have been seen");
        while self.touched() {}
    }
}
