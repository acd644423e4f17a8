//! Load: very many writers and readers at once, of every kind, some of which are killed; and afterwards
//! an account is taken: who wrote what, who was given what, what lies where.

// There is no crate outside that could reach anything.
#![allow(unreachable_pub)]

mod accounting;
mod clients;
mod deadlocks;
mod holder;
mod records;

#[path = "../kernel/harness.rs"]
#[allow(dead_code, reason = "made for the tests of the kernel's view")]
mod harness;
#[path = "../common/torture.rs"]
mod torture;

use std::thread;
use std::time::{Duration, Instant};

use handoff_fs::fs::Options;
use handoff_fs::programs::Role as Known;

use crate::accounting::Accounting;
use crate::clients::{Clients, Kind, Role, Session};
use crate::deadlocks::DeadlockWatch;
use crate::harness::Mount;

/// Letters: see `writer.py`.
const EVERYTHING: &str = "tsxnuakqmrp";

const fn writers(
    prefix: &'static str,
    count: usize,
    threads: usize,
    records: &'static str,
    session: Session,
) -> Kind {
    Kind {
        prefix,
        role: Role::Python(records, threads, session),
        count,
        pause: 500,
        mortal: true,
    }
}

const fn shells(count: usize, pause: u32) -> Kind {
    Kind {
        prefix: "shell",
        role: Role::Shell,
        count,
        pause,
        mortal: true,
    }
}

const fn readers(what: &'static str, count: usize, mortal: bool) -> Kind {
    Kind {
        prefix: what,
        role: Role::Reader(what),
        count,
        pause: 300,
        mortal,
    }
}

/// 64 writers (one a thread or a shell) and 16 readers. Killed are only readers that have given on what they were given
/// before they meet the end: of the others, a kill may take what was delivered with it.
const ALL: &[Kind] = &[
    writers("named", 12, 1, EVERYTHING, Session::Named),
    writers("kernel", 8, 1, EVERYTHING, Session::Kernel),
    writers("shared", 6, 1, "tsxkq", Session::Shared),
    writers("threads", 3, 4, "tsxnakqmrp", Session::Named),
    writers("agent", 10, 1, "ettnqa", Session::Agent),
    shells(16, 700),
    readers("cat", 5, true),
    readers("busybox", 2, false),
    readers("exactly", 2, false),
    readers("queue", 1, true),
    readers("by-hand", 1, false),
    readers("part", 2, true),
    readers("peek", 1, true),
    readers("list", 2, true),
];

/// A mount on which whoever runs these tests is nobody, so that sessions are what each client says or is.
pub fn mount() -> Mount {
    let mount = Mount::with(|options: &mut Options| {
        options.programs.amend(Known::Agent, "!*").unwrap();
        options.programs.amend(Known::Agent, "claude").unwrap();
    });
    std::fs::create_dir(mount.outside("read")).unwrap();
    mount
}

/// spec 4.1c, 4.2a, 4.2c, 4.3b, 4.9b, 6.1a, 6.3a, 6.4a, and the three rules: 64 writers and 16 readers of every kind, with
/// random pauses, many of them killed at random: every acknowledged record was delivered whole or is pending, whole; none is
/// torn; what was delivered twice was read by two at the same time, or written to again; `-partial` is only what killed writers
/// wrote; nobody met an error; nobody waits for ever; nothing is remembered for ever.
#[test]
fn sixty_four_writers_and_sixteen_readers() {
    let mut random = torture::random();
    let time = torture::time(Duration::from_secs(10), 30);
    let mut mount = mount();
    mount.allow(time + Duration::from_secs(300));
    let watch = DeadlockWatch::start();
    let before = accounting::memory();
    let mut clients = Clients::start(&mount, ALL, random.fork());
    let began = Instant::now();
    while began.elapsed() < time {
        thread::sleep(Duration::from_millis(random.u64(50..400)));
        clients.kill_one();
    }
    let hanging = clients.stop();
    assert!(hanging.is_empty(), "do not come to an end: {hanging:?}");
    let killed = std::mem::take(&mut clients.killed);
    drop(clients);
    drop(watch);

    let accounting = Accounting::take(&mount, killed);
    accounting.print("64 writers, 16 readers", time);
    accounting.check();
    accounting.check_memory(before);
    accounting::check_forgotten(&mount);
}
