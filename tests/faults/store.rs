//! A store that fails on its Nth call.

use std::path::Path;
use std::sync::Arc;

use handoff_fs::error::{Error, Result};
use handoff_fs::fs::Options;
use handoff_fs::programs::Role;
use handoff_fs::store::Store;
use handoff_fs::store::dir::DirStore;
use handoff_fs::store::dirfd::Beneath;
use parking_lot::Mutex;

use crate::cases::{CASES, Trial, own_name};
use crate::checker::check;
use crate::harness::Mount;
use crate::hooked_store::{HookedStore, Hooks};
use crate::tmpfs::Tmpfs;
use crate::torture;

/// The way in which a call fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    /// This one call, before it does anything.
    Once,
    /// This one and all that follow.
    FromThen,
    /// This one call, after it has done its work.
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

/// The plan of a failing store, and its counts.
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

    /// Returns how many calls failed.
    fn end(&self) -> u64 {
        let mut switch = self.0.lock();
        switch.plan = None;
        switch.failed
    }
}

impl Hooks for Faults {
    fn call<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
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
        let Some(plan) = plan else {
            return call();
        };
        assert!(plan.manner != Manner::Panic, "this panic is part of a test");
        if plan.manner == Manner::Done {
            call()?;
        }
        Err(Error::Os(plan.errno))
    }
}

impl Faults {
    /// A mount whose store fails as this says.
    fn mount(&self, prepare: impl FnOnce(&Path), change: impl FnOnce(&mut Options)) -> Mount {
        let hooks = self.clone();
        let store = move |root: Arc<Beneath>| {
            let store = DirStore::new(root);
            let hooks = hooks.clone();
            Box::new(HookedStore { store, hooks }) as Box<dyn Store>
        };
        Mount::stored(prepare, change, Box::new(store))
    }
}

const ERRNOS: [i32; 5] = [
    libc::EIO,
    libc::ENOSPC,
    libc::EDQUOT,
    libc::EROFS,
    libc::EMFILE,
];

/// spec 4.2a, 4.9a, 6.3a, 7.1a, 3.7a, 3.8: any call of the store may fail, in any operation: acknowledged handoffs are
/// kept, nothing is consumed that was not read, and afterwards everything works, with and without a restart.
#[test]
fn every_call_of_every_operation() {
    let faults = Faults::default();
    let mut disk = None;
    let mut mount = faults.mount(
        |dir| disk = Some(Tmpfs::over(dir, "size=64m")),
        |options| {
            options.programs.amend(Role::Editor, &own_name()).unwrap();
            options.sync = true;
        },
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
                    // An ordinary run takes the errnos by turns.
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
    let faults = Faults::default();
    let mount = faults.mount(|_| {}, |_| {});
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
        // If a LOOKUP of a known name fails, the kernel asks once more, and the caller may not see the error.
        if let Err(error) = read {
            assert_eq!(error.raw_os_error(), Some(libc::EIO));
            told += 1;
        }
    }
    assert!(told > 0);
    assert_eq!(mount.peek(), ["text"]);
}
