//! A store that fails on its Nth call.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use handoff_fs::error::{Error, Result};
use handoff_fs::names::StampedName;
use handoff_fs::programs::Role;
use handoff_fs::store::dir::DirStore;
use handoff_fs::store::dirfd::Beneath;
use handoff_fs::store::{Access, Changes, DraftFile, Entry, Meta, Store, Watch};
use parking_lot::Mutex;

use crate::cases::{CASES, Trial};
use crate::checker::check;
use crate::disks::Disk;
use crate::harness::Mount;
use crate::torture;

/// How a call fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    /// This one call, before it does anything.
    Once,
    /// This one and all that follow.
    FromThen,
    /// This one call, which has done what it was asked for.
    Done,
    /// This one call panics.
    Panic,
}

/// Which call is to fail.
#[derive(Clone, Copy, Debug)]
struct Plan {
    call: u64,
    manner: Manner,
    errno: i32,
}

/// What a failing store is told, and tells.
#[derive(Default)]
struct Switch {
    plan: Option<Plan>,
    calls: u64,
    failed: u64,
}

#[derive(Clone, Default)]
struct Faults(Arc<Mutex<Switch>>);

impl Faults {
    fn plan(&self, plan: Plan) {
        *self.0.lock() = Switch {
            plan: Some(plan),
            ..Switch::default()
        };
    }

    /// Answers how many calls failed.
    fn end(&self) -> u64 {
        let mut switch = self.0.lock();
        switch.plan = None;
        switch.failed
    }

    fn call<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let plan = {
            let mut switch = self.0.lock();
            switch.calls += 1;
            let calls = switch.calls;
            let due = switch.plan.filter(|plan| match plan.manner {
                Manner::FromThen => calls >= plan.call,
                Manner::Once | Manner::Done | Manner::Panic => calls == plan.call,
            });
            switch.failed += u64::from(due.is_some());
            due
        };
        match plan {
            None => work(),
            Some(plan) => {
                assert!(plan.manner != Manner::Panic, "this panic is part of a test");
                if plan.manner == Manner::Done {
                    work()?;
                }
                Err(Error::Os(plan.errno))
            }
        }
    }
}

struct Failing {
    store: DirStore,
    faults: Faults,
}

impl Store for Failing {
    fn list(&self, queue: &Path) -> Result<Vec<Entry>> {
        self.faults.call(|| self.store.list(queue))
    }
    fn stat(&self, queue: &Path, name: &OsStr) -> Result<Meta> {
        self.faults.call(|| self.store.stat(queue, name))
    }
    fn open(&self, queue: &Path, name: &OsStr, access: Access) -> Result<File> {
        self.faults.call(|| self.store.open(queue, name, access))
    }
    fn publish(
        &self,
        draft: DraftFile<'_>,
        queue: &Path,
        name: &StampedName,
    ) -> Result<StampedName> {
        self.faults.call(|| self.store.publish(draft, queue, name))
    }
    fn replace(&self, draft: DraftFile<'_>, queue: &Path, name: &OsStr) -> Result<()> {
        self.faults.call(|| self.store.replace(draft, queue, name))
    }
    fn rename(&self, from: (&Path, &OsStr), to: (&Path, &OsStr)) -> Result<()> {
        self.faults.call(|| self.store.rename(from, to))
    }
    fn consume(
        &self,
        queue: &Path,
        name: &StampedName,
        done: &StampedName,
        now: SystemTime,
    ) -> Result<StampedName> {
        self.faults
            .call(|| self.store.consume(queue, name, done, now))
    }
    fn remove(&self, queue: &Path, name: &OsStr) -> Result<()> {
        self.faults.call(|| self.store.remove(queue, name))
    }
    fn sync(&self, queue: &Path) -> Result<()> {
        self.faults.call(|| self.store.sync(queue))
    }
    fn watch(&self, queue: &Path) -> Option<Watch> {
        self.faults
            .call(|| Ok(self.store.watch(queue)))
            .ok()
            .flatten()
    }
    fn changes(&self) -> Changes {
        self.store.changes()
    }
}

const ERRNOS: [i32; 5] = [
    libc::EIO,
    libc::ENOSPC,
    libc::EDQUOT,
    libc::EROFS,
    libc::EMFILE,
];

/// spec 4.2a, 4.9a, 6.3a, 7.1a, 3.7a, 3.8: whatever call of the store fails, in whatever operation: what was acknowledged is
/// there, nothing is consumed that was not read, and afterwards everything works, with and without a restart.
#[test]
fn every_call_of_every_operation() {
    let _alone = crate::alone();
    let faults = Faults::default();
    let of_mount = faults.clone();
    let mut disk = None;
    let mut mount = Mount::stored(
        |dir| disk = Some(Disk::over(dir, "size=64m")),
        |options| {
            let own = std::env::current_exe().unwrap();
            let own = own.file_name().unwrap().to_str().unwrap();
            options.programs.amend(Role::Editor, own).unwrap();
            options.sync = true;
        },
        Box::new(move |root: Arc<Beneath>| {
            Box::new(Failing {
                store: DirStore::new(root),
                faults: of_mount.clone(),
            })
        }),
    );
    let errnos = torture::count(1, ERRNOS.len() as u64) as usize;
    let (mut id, mut calls, mut total, mut told) = (0, 0, 0, 0);
    for case in CASES {
        let manners = [Manner::Once, Manner::FromThen, Manner::Done];
        for manner in &manners[..torture::count(2, 3) as usize] {
            let manner = *manner;
            for call in 1.. {
                let mut failed = 0;
                for n in 0..errnos {
                    id += 1;
                    // One after the other in an ordinary run, so that each has its turn.
                    let errno = ERRNOS[(id + n) % ERRNOS.len()];
                    let plan = Plan {
                        call,
                        manner,
                        errno,
                    };
                    let mut trial = Trial {
                        mount: &mut mount,
                        id: format!("c{id}"),
                        what: format!("{}: {plan:?}", case.name),
                    };
                    (case.prepare)(&mut trial);
                    faults.plan(plan);
                    let outcome = (case.run)(&mut trial);
                    failed = faults.end();
                    check(&mut trial, case, &outcome, (failed > 0).then_some(errno));
                    total += u64::from(failed > 0);
                    told += u64::from(outcome.is_err());
                }
                calls += u64::from(failed > 0);
                if failed == 0 {
                    break;
                }
            }
        }
    }
    torture::figure(
        "store",
        format_args!(
            "{} operations, {calls} calls (once, from then on; in a whole run also after having done it) x {errnos} errnos: {total} faults, \
             {told} told to the caller, 0 lost",
            CASES.len()
        ),
    );
}

/// spec 8.3c: a panic in a request is EIO for its caller, and for nobody else.
#[test]
fn a_request_that_panics() {
    let _alone = crate::alone();
    let faults = Faults::default();
    let of_mount = faults.clone();
    let mount = Mount::stored(
        |_| {},
        |_| {},
        Box::new(move |root: Arc<Beneath>| {
            Box::new(Failing {
                store: DirStore::new(root),
                faults: of_mount.clone(),
            })
        }),
    );
    let name = mount.at("2026-01-02_030405_x.md");
    std::fs::write(&name, "text\n").unwrap();
    let mut told = 0;
    for call in 1.. {
        faults.plan(Plan {
            call,
            manner: Manner::Panic,
            errno: 0,
        });
        let read = std::fs::read(&name);
        if faults.end() == 0 {
            assert_eq!(read.unwrap(), b"text\n");
            break;
        }
        // Where it was a LOOKUP of a name that the kernel knows, the kernel asks once more.
        if let Err(error) = read {
            assert_eq!(error.raw_os_error(), Some(libc::EIO));
            told += 1;
        }
    }
    assert!(told > 0);
    assert_eq!(mount.peek(), ["text"]);
}
