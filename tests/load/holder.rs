//! A reader that holds `pending.md` open for ever.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::accounting::Accounting;
use crate::clients::{Clients, Kind, Session};
use crate::deadlocks::DeadlockWatch;
use crate::harness::KillOnDrop;
use crate::{mount, readers, shells, torture, writers};

/// Opens, reads one byte, says so, and never ends.
const HOLD: &str = "
import time
file = open('pending.md', 'rb', buffering=0)
print(len(file.read(1)), flush=True)
while True: time.sleep(1000)
";

const SOME: &[Kind] = &[
    writers("named", 4, 1, "tsxnaq", Session::Named),
    shells(2, 300),
    readers("cat", 2, true),
    readers("busybox", 1, false),
    readers("exactly", 1, false),
];

/// The size of all logs.
fn written(mount: &crate::harness::Mount) -> u64 {
    let logs = fs::read_dir(mount.outside("acknowledged")).unwrap();
    logs.map(|log| log.unwrap().metadata().unwrap().len()).sum()
}

/// spec 6.4a: one reader holds an unfinished snapshot for ever. Every other reader gets what is pending after a bounded
/// wait, and writers go on meanwhile.
#[test]
fn one_that_holds_on_for_ever_keeps_nobody() {
    let mut random = torture::random();
    let time = torture::time(Duration::from_secs(6), 5);
    let mut mount = mount();
    mount.allow(time + Duration::from_secs(300));
    let _watch = DeadlockWatch::start();
    mount.sh("first", "echo first > first.md");
    let mut command = mount.command("holder", "python3");
    let command = command.args(["-c", HOLD]).stdout(Stdio::piped());
    let mut holder = KillOnDrop(command.spawn().unwrap());
    let mut line = String::new();
    let mut said = BufReader::new(holder.0.stdout.take().unwrap());
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "1\n");
    // Not even who asks for it in vain keeps what it holds.
    let first = mount.take("second");
    assert_eq!(first, ["first"]);
    mount.sh("second", "rm *_first_done.md");

    let mut clients = Clients::start(&mount, SOME, random.fork());
    let began = Instant::now();
    let (mut waited, mut taken) = (Vec::new(), Vec::new());
    while began.elapsed() < time {
        let before = written(&mount);
        let from = Instant::now();
        let read = mount.sh("patient", "cat pending.md");
        waited.push(from.elapsed());
        taken.push(read);
        // Writers go on while readers wait.
        let deadline = Instant::now() + Duration::from_secs(60);
        while written(&mount) == before {
            assert!(Instant::now() < deadline, "the writers stand still");
            thread::yield_now();
        }
    }
    let hanging = clients.stop();
    assert!(hanging.is_empty(), "do not come to an end: {hanging:?}");
    drop(clients);
    let out = mount.outside("read/patient-0");
    fs::create_dir(&out).unwrap();
    for (i, read) in taken.iter().enumerate() {
        fs::write(out.join(format!("{i}.0.0.{}.0.whole", u32::MAX)), read).unwrap();
    }
    let accounting = Accounting::take(&mount, std::collections::HashSet::new());
    accounting.print("one reader holds on for ever", time);
    waited.sort();
    torture::figure(
        "one reader holds on for ever",
        format_args!(
            "another one's `cat` took {:?} at most, {:?} in the middle, of {} times",
            waited.last().unwrap(),
            waited[waited.len() / 2],
            waited.len()
        ),
    );
    accounting.check();
    // Two seconds, and whatever the machine needs for the rest.
    assert!(waited[0] < Duration::from_secs(10), "{waited:?}");
}
