//! The system calls of a case, and who makes them: through the kernel, each caller a process of its own.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::harness::Mount;
use crate::ops::Who;

/// An errno, or what the call answers.
pub type Result<T> = std::result::Result<T, i32>;

/// An open file description, by a number of the case's own.
pub type Fd = usize;

/// A system call, as it is told to `client.py`. Paths are those in the mount.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "told by Debug")]
pub enum Call<'a> {
    Open(Fd, &'a str, i32),
    Dup(Fd),
    Close(Fd),
    Read(Fd, usize),
    Write(Fd, &'a [u8]),
    Cut(Fd, usize),
    Size(Fd),
    Stat(&'a str),
    Rename(&'a str, &'a str),
    Unlink(&'a str),
    Mkdir(&'a str),
    Rmdir(&'a str),
    List(&'a str),
}

/// What serves a case: the kernel, or the logic alone.
pub trait Sys {
    /// Answers what was read, listed (with NULs between) or counted (in decimal).
    fn call(&mut self, mount: &Mount, who: Who, call: Call<'_>) -> Result<Vec<u8>>;
    /// The last descriptor was closed: RELEASE, now or `late`.
    fn release(&mut self, mount: &Mount, fd: Fd, late: bool);
    /// Every name that is not in use is forgotten.
    fn forget(&mut self, mount: &Mount);
    /// The daemon is about to end; can it, with files open?
    fn ends(&mut self) -> bool;
}

/// A process that calls.
pub struct Client {
    child: Child,
    calls: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Client {
    fn new(who: Who) -> Client {
        let mut child = Command::new("python3")
            .args(["-S", "-c", include_str!("client.py"), who.program()])
            .env("HANDOFF_SESSION", who.session())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let calls = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Client {
            child,
            calls,
            answers,
        }
    }

    fn ask(&mut self, call: &str) -> Result<Vec<u8>> {
        writeln!(self.calls, "{call}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        match answer.trim_end_matches('\n').split_once(' ') {
            Some(("ok", hex)) => {
                let byte = |i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
                Ok((0..hex.len()).step_by(2).map(byte).collect())
            }
            Some(("error", errno)) => Err(errno.parse().unwrap()),
            _ => panic!("{call}: answered {answer:?}"),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Its clients live for as long as their test: to start them takes longer than most cases do.
#[derive(Default)]
pub struct Kernel(HashMap<Who, Client>);

impl Kernel {
    fn client(&mut self, who: Who) -> &mut Client {
        self.0.entry(who).or_insert_with(|| Client::new(who))
    }

    /// A client's pid, once it has its program's name.
    pub fn pid(&mut self, who: Who) -> u32 {
        if !self.0.contains_key(&who) {
            let _ = self.client(who).ask("/\tStat('')");
        }
        self.client(who).child.id()
    }
}

impl Sys for Kernel {
    fn call(&mut self, mount: &Mount, who: Who, call: Call<'_>) -> Result<Vec<u8>> {
        let line = format!("{}\t{call:?}", mount.at("").display());
        self.client(who).ask(&line)
    }

    /// The kernel sends it when it likes.
    fn release(&mut self, _mount: &Mount, _fd: Fd, _late: bool) {}

    fn forget(&mut self, _mount: &Mount) {}

    fn ends(&mut self) -> bool {
        false
    }
}
