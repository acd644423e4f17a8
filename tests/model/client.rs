//! The processes that make the system calls of a case.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::ops::Caller;

/// What a call answers, or its errno.
pub type Result<T> = std::result::Result<T, i32>;

/// An open file description, by a number of the case's own; 0 is the client's.
pub type Fd = usize;

/// One or more system calls. `client.py` gets them in the form of Debug; paths are those in the mount.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "read through Debug")]
pub enum Call<'a> {
    Open(Fd, &'a str, i32),
    Close(Fd),
    Read(Fd, usize),
    /// Reads in pieces until a read returns nothing.
    Rest(Fd),
    Write(Fd, &'a str),
    Cut(Fd, usize),
    Size(Fd),
    Stat(&'a str),
    Rename(&'a str, &'a str),
    Unlink(&'a str),
    /// Opens, reads and closes each file.
    Texts(&'a [String]),
    /// Does so with each file that these directories list.
    List(&'a [&'a str]),
}

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
        Client { process, answers }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One process for each caller. They live from case to case, for a start takes longer than many a case.
#[derive(Default)]
pub struct Clients(HashMap<Caller, Client>);

impl Clients {
    /// Has a caller make a call in this mount. A number is answered in decimal.
    pub fn call(&mut self, mount: &str, caller: Caller, call: Call<'_>) -> Result<String> {
        let client = self
            .0
            .entry(caller)
            .or_insert_with(|| Client::start(caller));
        writeln!(client.process.stdin.as_mut().unwrap(), "{mount}\t{call:?}").unwrap();
        let mut answer = String::new();
        client.answers.read_line(&mut answer).unwrap();
        match serde_json::from_str(&answer) {
            Ok((0, text)) => Ok(text),
            Ok((errno, _)) => Err(errno),
            Err(error) => panic!("{call:?}: answered {answer:?}: {error}"),
        }
    }
}
