//! The test's side: it starts agents, and tells them what to do.

use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde::Serialize;
use tempfile::TempDir;

use super::{ALL, Event, Order, Profile};
use crate::harness::{KillOnDrop, Mount};

/// How long an agent may say nothing.
const SILENCE: Duration = Duration::from_secs(60);

/// A running agent. Dropping it kills it.
pub struct Agent {
    profile: &'static Profile,
    child: KillOnDrop,
    wire: BufReader<UnixStream>,
    _program: TempDir,
}

impl Agent {
    /// Starts one with the mount as its working directory.
    pub fn start(mount: &Mount, profile: &'static Profile) -> Agent {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join(profile.comm);
        symlink(std::env::current_exe().unwrap(), &program).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(SILENCE)).unwrap();
        let mut command = profile.command(program);
        // Whoever runs these tests may be an agent.
        for (name, _) in ALL.iter().flat_map(|profile| profile.shell) {
            command.env_remove(name);
        }
        command
            .env_remove("HANDOFF_SESSION")
            .current_dir(mount.at(""))
            .stdin(OwnedFd::from(theirs));
        Agent {
            profile,
            child: KillOnDrop(command.spawn().unwrap()),
            wire: BufReader::new(ours),
            _program: dir,
        }
    }

    #[track_caller]
    pub fn write(&mut self, path: &str, text: &str) {
        self.does(&write(path, text));
    }

    #[track_caller]
    pub fn read(&mut self, path: &str) -> String {
        self.does(&Order::Read { path: path.into() })
    }

    #[track_caller]
    pub fn edit(&mut self, path: &str, old: &str, new: &str) {
        self.does(&edit(path, old, new));
    }

    /// Has its user mention a path. Returns the size of what is there.
    #[track_caller]
    pub fn mention(&mut self, path: &str) -> String {
        self.does(&Order::Mention { path: path.into() })
    }

    #[track_caller]
    pub fn bash(&mut self, command: impl Into<String>) -> String {
        let command = command.into();
        self.does(&Order::Bash { command })
    }

    #[track_caller]
    pub fn hook(&mut self, command: impl Into<String>) -> String {
        let command = command.into();
        self.does(&Order::Hook { command })
    }

    /// Carries out an order from its first call to its last one.
    #[track_caller]
    pub fn does(&mut self, order: &Order) -> String {
        self.begins(order).finish()
    }

    /// Has it begin to carry out an order, and wait before its first call.
    #[track_caller]
    pub fn begins(&mut self, order: &Order) -> Steps<'_> {
        self.say(order);
        let at = self.hear();
        Steps { agent: self, at }
    }

    fn say(&mut self, what: &impl Serialize) {
        let line = serde_json::to_string(what).unwrap() + "\n";
        self.wire.get_mut().write_all(line.as_bytes()).unwrap();
    }

    #[track_caller]
    fn hear(&mut self) -> Event {
        let mut line = String::new();
        let heard = self.wire.read_line(&mut line);
        assert!(heard.is_ok(), "{}: says nothing", self.profile.name);
        assert!(!line.is_empty(), "{}: has ended", self.profile.name);
        serde_json::from_str(&line).unwrap()
    }

    /// Ends it as its user would.
    pub fn end(mut self) {
        self.wire.get_ref().shutdown(Shutdown::Both).unwrap();
        assert!(self.child.0.wait().unwrap().success());
    }

    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }
}

/// A shell that an agent has left in the background. It runs one script three times, each time when the test says so.
pub struct Background<'a>(&'a Mount);

impl Background<'_> {
    /// Has the agent leave it there, in a directory outside of the mount; `$mount` in the script is the mount.
    pub fn start<'a>(mount: &'a Mount, agent: &mut Agent, script: &str) -> Background<'a> {
        let outside = mount.outside("").display().to_string();
        mount.sh("", &format!("mkfifo '{outside}/go' '{outside}/done'"));
        let at = mount.at("").display().to_string();
        agent.does(&Order::Background {
            command: format!(
                "cd '{outside}'; mount='{at}'; for _ in 1 2 3; do read -r _ < go; {{ {script}; }} > seen; echo > done; done"
            ),
        });
        Background(mount)
    }

    /// Runs the script once, and returns its output.
    pub fn step(&self) -> String {
        let outside = self.0.outside("").display().to_string();
        self.0.sh(
            "",
            &format!("cd '{outside}'; echo > go; read -r _ < done; cat seen"),
        )
    }
}

/// An order that is being carried out, call by call.
pub struct Steps<'a> {
    agent: &'a mut Agent,
    at: Event,
}

impl Steps<'_> {
    /// Makes one call. Returns whether there was one left to make.
    #[track_caller]
    pub fn step(&mut self) -> bool {
        let more = matches!(self.at, Event::Next { .. });
        if more {
            self.agent.say(&());
            self.at = self.agent.hear();
        }
        more
    }

    /// Makes every call before the next one that begins like this.
    #[track_caller]
    pub fn until(&mut self, call: &str) {
        while !matches!(&self.at, Event::Next { call: next, .. } if next.starts_with(call)) {
            assert!(self.step(), "no {call}: {:?}", self.at);
        }
    }

    /// `kill -9` of the process that makes the calls, which may be a child of the agent.
    #[track_caller]
    pub fn kill(self) {
        let Event::Next { pid, .. } = self.at else {
            panic!("it makes no call any more: {:?}", self.at);
        };
        if pid == self.agent.pid() {
            self.agent.child.0.kill().unwrap();
            self.agent.child.0.wait().unwrap();
        } else {
            let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            rustix::process::kill_process(pid, Signal::KILL).unwrap();
            let done = self.agent.hear();
            assert!(matches!(done, Event::Done(Err(_))), "{done:?}");
        }
    }

    /// Makes every call that is left, the last of which must show the tool that it cannot go on. Returns why.
    #[track_caller]
    pub fn refused(mut self) -> String {
        while self.step() {}
        match self.at {
            Event::Done(Err(why)) => why,
            at => panic!("{}: {at:?}", self.agent.profile.name),
        }
    }

    /// Makes every call that is left, and answers what came of it.
    #[track_caller]
    pub fn finish(mut self) -> String {
        while self.step() {}
        match self.at {
            Event::Done(Ok(answer)) => answer,
            at => panic!("{}: {at:?}", self.agent.profile.name),
        }
    }
}

/// Leads several agents through their calls, one call each at a time.
#[track_caller]
pub fn in_step(mut all: Vec<Steps<'_>>) -> Vec<String> {
    while all
        .iter_mut()
        .filter_map(|one| one.step().then_some(()))
        .count()
        > 0
    {}
    all.into_iter().map(Steps::finish).collect()
}

pub fn write(path: &str, text: &str) -> Order {
    Order::Write {
        path: path.into(),
        text: text.into(),
    }
}

pub fn edit(path: &str, old: &str, new: &str) -> Order {
    Order::Edit {
        path: path.into(),
        old: old.into(),
        new: new.into(),
    }
}
