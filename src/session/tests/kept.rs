//! The kernel's `/proc`, read through files that are kept open.

use std::time::{Duration, Instant};

use super::*;

fn sh(script: &str) -> Waiting {
    Waiting::start(Command::new("sh").args(["-c", script]))
}

/// Does the error say that the thread is gone? ESRCH comes from a thread that ended between open and read.
fn is_gone(content: &io::Result<Vec<u8>>) -> bool {
    content.as_ref().is_err_and(|error| {
        error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
    })
}

fn stat(proc: &SystemProc, tid: u32) -> Stat {
    let content = proc.read_of_caller(tid, "stat").expect("it is there");
    Stat::parse(&content).expect("all fields")
}

/// Lets a process that waits for a line go on, until it is called `name`.
fn goes_on_as(proc: &SystemProc, waiting: &mut Waiting, name: &[u8]) {
    let stdin = waiting.0.stdin.as_mut().expect("piped");
    stdin.write_all(b"\n").expect("it reads");
    let deadline = Instant::now() + Duration::from_secs(30);
    while *stat(proc, waiting.1[0]).comm != *name {
        assert!(Instant::now() < deadline, "{:?}", stat(proc, waiting.1[0]));
        thread::yield_now();
    }
}

/// spec 5.5: a process that has ended is found no more, however often it called before. Until its parent waits for it, the
/// process is a zombie, which has a name and no memory.
#[test]
fn an_ended_process_is_gone() {
    let proc = SystemProc::default();
    let mut waiting = sh("echo $$; read -r _; :");
    let pid = waiting.1[0];
    for _ in 0..2 {
        assert!(!stat(&proc, pid).is_dead());
        assert!(!proc::has_no_memory(
            &proc.read_of_caller(pid, "statm").expect("it is there")
        ));
    }
    drop(waiting.0.stdin.take());
    let deadline = Instant::now() + Duration::from_secs(30);
    while !stat(&proc, pid).is_dead() {
        assert!(Instant::now() < deadline);
        thread::yield_now();
    }
    assert!(proc::has_no_memory(
        &proc.read_of_caller(pid, "statm").expect("a zombie")
    ));
    drop(waiting);
    for _ in 0..2 {
        assert!(is_gone(&proc.read_of_caller(pid, "stat")));
        assert!(is_gone(&proc.read_of_caller(pid, "statm")));
    }
}

/// spec 5.2, 5.5: a process that runs another program has that program's name, and is the same process.
#[test]
fn another_program_in_the_process() {
    let proc = SystemProc::default();
    let mut waiting = sh("echo $$; read -r _; exec cat");
    let pid = waiting.1[0];
    let before = stat(&proc, pid);
    assert_eq!(*before.comm, *b"sh");
    goes_on_as(&proc, &mut waiting, b"cat");
    assert_eq!(stat(&proc, pid).start, before.start);
}

/// spec 5.2, 5.5: a thread that does not lead its process runs another program: from then on it leads, and its old number is
/// gone.
#[test]
fn another_program_run_by_a_thread() {
    let source = "
import os, sys, threading
def run():
    print(os.getpid(), threading.get_native_id(), flush=True)
    sys.stdin.readline()
    os.execvp('cat', ['cat'])
thread = threading.Thread(target=run)
thread.start()
thread.join()";
    let proc = SystemProc::default();
    let mut waiting = Waiting::start(Command::new("/usr/bin/python3").args(["-c", source]));
    let [pid, tid] = waiting.1[..] else {
        panic!("two numbers, not {:?}", waiting.1)
    };
    let before = [pid, tid].map(|tid| stat(&proc, tid));
    assert!(
        [pid, tid]
            .iter()
            .all(|tid| proc.read_of_caller(*tid, "statm").is_ok())
    );
    goes_on_as(&proc, &mut waiting, b"cat");
    assert!(is_gone(&proc.read_of_caller(tid, "stat")));
    assert!(is_gone(&proc.read_of_caller(tid, "statm")));
    assert_eq!(stat(&proc, pid).start, before[0].start);
    assert!(!proc::has_no_memory(
        &proc.read_of_caller(pid, "statm").expect("it is there")
    ));
}

/// spec 5.5: however many processes call, few of their files are kept open.
#[test]
fn few_are_kept() {
    let proc = SystemProc::default();
    let all: Vec<Waiting> = (0..30).map(|_| sh("echo $$; read -r _; :")).collect();
    let pids: Vec<u32> = all.iter().map(|waiting| waiting.1[0]).collect();
    let open = |pid: u32| {
        let files = std::fs::read_dir("/proc/self/fd").expect("/proc");
        let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        links
            .filter(|link| link.starts_with(format!("/proc/{pid}")))
            .count()
    };
    for pid in &pids {
        stat(&proc, *pid);
        assert!(proc.read_of_caller(*pid, "statm").is_ok());
        // The first process calls all the time.
        stat(&proc, pids[0]);
        assert!(proc.read(*pid, "stat").is_ok());
    }
    let kept: Vec<usize> = pids.iter().map(|pid| open(*pid)).collect();
    assert_eq!(kept.iter().sum::<usize>(), 16, "{kept:?}");
    assert_eq!(kept[0], 1, "{kept:?}");
    assert_eq!(kept[29], 2, "{kept:?}");
}

/// spec 5.5: several requests read about the same thread at once, and each gets the whole content.
#[test]
fn many_ask_about_one() {
    let proc = SystemProc::default();
    let pid = std::process::id();
    let start = stat(&proc, pid).start;
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    assert_eq!(stat(&proc, pid).start, start);
                    let statm = proc.read_of_caller(pid, "statm").expect("it is there");
                    assert_eq!(statm.split(|byte| *byte == b' ').count(), 7);
                }
            });
        }
    });
}
