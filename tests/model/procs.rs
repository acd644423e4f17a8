//! The process tree in which the callers of [`crate::domain`] live.

use std::io;

use handoff_fs::session::Proc;

use crate::ops::{Session, Who};

/// The thread that calls; 0 cannot be looked up.
pub fn tid(who: Who) -> u32 {
    match who {
        Who::Shell => 100,
        Who::OtherShell => 200,
        Who::Editor => 301,
        Who::Agent => 400,
        Who::AgentShell => 410,
        Who::Nobody | Who::Eyes(Session::Nobody) => 0,
        Who::Observer | Who::Eyes(Session::Observer) => 500,
        Who::Eyes(Session::A) => 101,
        Who::Eyes(Session::B) => 201,
        Who::Eyes(Session::Editor) => 302,
        Who::Eyes(Session::Agent) => 411,
    }
}

/// pid, parent, kernel session, terminal, name.
const PROCESSES: [(u32, u32, u32, u32, &str); 12] = [
    (1, 0, 1, 0, "init"),
    (100, 1, 100, 1025, "bash"),
    (101, 100, 100, 1025, "cat"),
    (200, 1, 200, 1026, "bash"),
    (201, 200, 200, 1026, "cat"),
    (300, 1, 300, 1027, "bash"),
    (301, 300, 300, 1027, "vim"),
    (302, 300, 300, 1027, "cat"),
    (400, 1, 400, 1028, "claude"),
    // Agents run commands in kernel sessions of their own, without a terminal (spec 5).
    (410, 400, 410, 0, "bash"),
    (411, 410, 410, 0, "cat"),
    (500, 1, 500, 1029, "cat"),
];

pub struct Procs;

fn find(pid: u32) -> io::Result<(u32, u32, u32, u32, &'static str)> {
    let found = PROCESSES.into_iter().find(|process| process.0 == pid);
    found.ok_or_else(|| io::ErrorKind::NotFound.into())
}

impl Proc for Procs {
    fn stat(&self, pid: u32) -> io::Result<Vec<u8>> {
        let (pid, parent, session, tty, name) = find(pid)?;
        let stat = format!(
            "{pid} ({name}) S {parent} {pid} {session} {tty} -1 0 0 0 0 0 1 2 3 4 20 0 1 0 {pid} 5 6 1 1 1 0 0 0 0 0 0 \
             0 0 0 0 17 0 0 0 0 0 0 1 2 3 4 5 6 7 0\n"
        );
        Ok(stat.into_bytes())
    }

    fn statm(&self, _pid: u32) -> io::Result<Vec<u8>> {
        Ok(b"634 341 303 4 0 89 0\n".to_vec())
    }

    fn status(&self, pid: u32) -> io::Result<Vec<u8>> {
        let (pid, .., name) = find(pid)?;
        Ok(format!("Name:\t{name}\nTgid:\t{pid}\n").into_bytes())
    }

    fn environ(&self, pid: u32) -> io::Result<Vec<u8>> {
        find(pid).map(|_| Vec::new())
    }

    fn cmdline(&self, pid: u32) -> io::Result<Vec<u8>> {
        let (.., name) = find(pid)?;
        Ok(format!("{name}\0").into_bytes())
    }
}
