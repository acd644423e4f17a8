//! The system calls of a case, and the processes that make them through the kernel.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::harness::Mount;
use crate::ops::Caller;

/// What a call answers, or its errno.
pub type Result<T> = std::result::Result<T, i32>;

/// An open file description, by a number of the case's own.
pub type Fd = usize;

/// A system call. `client.py` gets it in the form of Debug; paths are those in the mount.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "read through Debug")]
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
    List(&'a str),
}

/// The system under test: the kernel with the filesystem behind it, or the logic of the filesystem alone.
pub trait System: Default {
    /// Answers the bytes that were read, the names that were listed (with NULs between), or a number in decimal.
    fn call(&mut self, mount: &Mount, caller: Caller, call: Call<'_>) -> Result<Vec<u8>>;

    /// The last descriptor was closed. The kernel sends RELEASE by itself.
    fn release(&mut self, _mount: &Mount, _fd: Fd) {}

    /// Every name that is not in use is forgotten. The kernel does so when it likes.
    fn forget(&mut self, _mount: &Mount) {}

    /// The daemon ends. Answers whether that was possible with files open.
    fn end(&mut self) -> bool {
        false
    }
}

/// One process that calls.
struct Client {
    process: Child,
    answers: BufReader<ChildStdout>,
}

impl Client {
    fn start(caller: Caller) -> Client {
        let mut process = Command::new("python3")
            .args(["-S", "-c", include_str!("client.py"), caller.program()])
            .env("HANDOFF_SESSION", caller.session())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        let mut client = Client { process, answers };
        // The first answer tells that the process has its program's name.
        client.ask("/\tStat('')").unwrap();
        client
    }

    fn ask(&mut self, call: &str) -> Result<Vec<u8>> {
        writeln!(self.process.stdin.as_mut().unwrap(), "{call}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        match serde_json::from_str(&answer) {
            Ok((0, text)) => Ok(String::into_bytes(text)),
            Ok((errno, _)) => Err(errno),
            Err(error) => panic!("{call}: answered {answer:?}: {error}"),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The kernel. Its clients live from case to case, for a start takes longer than most cases.
#[derive(Default)]
pub struct Kernel(HashMap<Caller, Client>);

impl Kernel {
    fn client(&mut self, caller: Caller) -> &mut Client {
        self.0
            .entry(caller)
            .or_insert_with(|| Client::start(caller))
    }

    pub fn pid(&mut self, caller: Caller) -> u32 {
        self.client(caller).process.id()
    }
}

impl System for Kernel {
    fn call(&mut self, mount: &Mount, caller: Caller, call: Call<'_>) -> Result<Vec<u8>> {
        let line = format!("{}\t{call:?}", mount.at("").display());
        self.client(caller).ask(&line)
    }
}
