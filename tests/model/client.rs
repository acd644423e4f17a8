//! The processes that make the system calls of a case.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdout, Command, Stdio};

use crate::harness::KillOnDrop;
use crate::ops::Caller;

/// What a call answers, or its errno.
pub type Result<T> = std::result::Result<T, i32>;

/// The test's own number of an open file, above 0.
pub type Fd = usize;

struct Client {
    process: KillOnDrop,
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
        let process = KillOnDrop(process);
        Client { process, answers }
    }
}

/// One process for each caller. The processes are kept from case to case, because starting them takes long.
#[derive(Default)]
pub struct Clients(HashMap<Caller, Client>);

impl Clients {
    /// Has a caller evaluate an expression of Python with what `client.py` defines.
    pub fn call(&mut self, caller: Caller, call: &str) -> Result<String> {
        let start = || Client::start(caller);
        let client = self.0.entry(caller).or_insert_with(start);
        writeln!(client.process.0.stdin.as_mut().unwrap(), "{call}").unwrap();
        let mut answer = String::new();
        client.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{call}: {answer:?}: {error}"))
    }
}
