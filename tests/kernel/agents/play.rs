//! The process that plays an agent.

use std::cell::RefCell;
use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use rustix::fs::Mode;
use serde::de::DeserializeOwned;

use super::calls::Calls;
use super::claude_code::ClaudeCode;
use super::{ALL, Event, Order, Profile, Tools, codex, copilot, in_place, opencode};

/// Whom to play; else this is a run of the tests like any other.
pub const AGENT: &str = "HANDOFF_TEST_AGENT";
/// The link that this program was executed through.
pub const PROGRAM: &str = "HANDOFF_TEST_PROGRAM";
/// The one order of a child process.
const ORDER: &str = "HANDOFF_TEST_ORDER";
/// The arguments that run [`play`] alone.
pub const ARGS: [&str; 3] = ["agents::play::play", "--exact", "--nocapture"];

/// The first panic of an order, in whichever thread.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Not a test but the agents' `main`: see the module above.
#[test]
fn play() {
    let Ok(name) = env::var(AGENT) else {
        return;
    };
    let profile = ALL.into_iter().find(|it| it.name == name).unwrap();
    let order = env::var(ORDER).ok();
    let mut player = Player {
        profile,
        is_child: order.is_some(),
        claude_code: ClaudeCode::new(profile.tools == Tools::OlderClaudeCode),
        calls: Calls::new(Wire::new(), profile.threads),
    };
    // The test is told, and says so if that is not what it expects.
    panic::set_hook(Box::new(|info| {
        let mut first = PANIC.lock().unwrap();
        first.get_or_insert_with(|| info.to_string());
    }));
    match order {
        Some(order) => player.carry_out(serde_json::from_str(&order).unwrap()),
        None => loop {
            let order = player.calls.wire().hear();
            player.carry_out(order);
        },
    }
}

/// The process's end of the socket that leads to the test.
pub struct Wire(RefCell<BufReader<UnixStream>>);

impl Wire {
    fn new() -> Wire {
        let socket = io::stdin().as_fd().try_clone_to_owned().unwrap();
        Wire(RefCell::new(BufReader::new(UnixStream::from(socket))))
    }

    /// Says what comes next, and waits until it may.
    pub fn announce(&self, call: &str) {
        self.say(&Event::Next {
            pid: std::process::id(),
            call: call.to_owned(),
        });
        let () = self.hear();
    }

    fn say(&self, event: &Event) {
        let line = serde_json::to_string(event).unwrap() + "\n";
        let mut wire = self.0.borrow_mut();
        wire.get_mut().write_all(line.as_bytes()).unwrap();
    }

    /// The agent ends when the test says nothing any more.
    fn hear<T: DeserializeOwned>(&self) -> T {
        let mut line = String::new();
        if self.0.borrow_mut().read_line(&mut line).unwrap() == 0 {
            std::process::exit(0);
        }
        serde_json::from_str(&line).unwrap()
    }
}

struct Player {
    profile: &'static Profile,
    is_child: bool,
    claude_code: ClaudeCode,
    calls: Calls,
}

impl Player {
    fn carry_out(&mut self, order: Order) {
        let patches = matches!(
            order,
            Order::Write { .. } | Order::Edit { .. } | Order::Delete { .. }
        );
        let order = match self.profile.tools {
            Tools::Codex | Tools::SandboxedCodex if patches && !self.is_child => {
                Order::Child(Box::new(order))
            }
            _ => order,
        };
        let done = panic::catch_unwind(AssertUnwindSafe(|| match order {
            Order::Child(order) => self.child(&order),
            order => Some(self.answer(order)),
        }));
        let done = match done {
            // The child has said so itself.
            Ok(None) => return,
            Ok(Some(answer)) => Ok(answer),
            Err(_) => Err(PANIC.lock().unwrap().take().unwrap_or_default()),
        };
        self.calls.wire().say(&Event::Done(done));
    }

    fn answer(&mut self, order: Order) -> String {
        match order {
            Order::Write { path, text } => self.write(Path::new(&path), &text),
            Order::Edit { path, old, new } => self.edit(Path::new(&path), &old, &new),
            Order::Delete { path } => codex::delete(&self.calls, Path::new(&path)),
            Order::Read { path } => return self.read(&path),
            Order::Mention { path } => {
                return self.calls.statx(Path::new(&path)).ok().size.to_string();
            }
            Order::Bash { command } => {
                if self.profile.tools == Tools::Copilot {
                    copilot::look_at_named(&self.calls, &command);
                }
                return output(self.shell(&command));
            }
            Order::Background { command } => drop(self.shell(&command).spawn().unwrap()),
            Order::Hook { command } => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(command).stdin(Stdio::null());
                return output(self.as_child_of_agent(shell));
            }
            Order::Umask { mask } => {
                rustix::process::umask(Mode::from(mask));
            }
            Order::Child(_) => unreachable!("a child has none"),
        }
        String::new()
    }

    fn write(&mut self, path: &Path, text: &str) {
        let calls = &self.calls;
        match self.profile.tools {
            Tools::ClaudeCode | Tools::OlderClaudeCode => self.claude_code.write(calls, path, text),
            Tools::Codex | Tools::SandboxedCodex => codex::add(calls, path, text),
            Tools::Opencode => opencode::write(calls, path, text),
            Tools::InPlace | Tools::Aider | Tools::Copilot => in_place::write(calls, path, text),
        }
    }

    fn edit(&mut self, path: &Path, old: &str, new: &str) {
        let calls = &self.calls;
        match self.profile.tools {
            Tools::ClaudeCode | Tools::OlderClaudeCode => {
                self.claude_code.edit(calls, path, old, new);
            }
            Tools::Codex | Tools::SandboxedCodex => codex::update(calls, path, old, new),
            Tools::Opencode => opencode::edit(calls, path, old, new),
            Tools::InPlace | Tools::Aider | Tools::Copilot => in_place::edit(calls, path, old, new),
        }
    }

    fn read(&mut self, path: &str) -> String {
        let calls = &self.calls;
        match self.profile.tools {
            Tools::ClaudeCode | Tools::OlderClaudeCode => {
                self.claude_code.read(calls, Path::new(path))
            }
            // Codex reads files by its shell.
            Tools::Codex | Tools::SandboxedCodex => output(self.shell(&format!("cat '{path}'"))),
            Tools::Opencode => opencode::read(calls, Path::new(path)),
            Tools::Aider => {
                in_place::read(calls, Path::new(path));
                in_place::read(calls, Path::new(path))
            }
            Tools::InPlace | Tools::Copilot => in_place::read(calls, Path::new(path)),
        }
    }

    /// A shell in a kernel session of its own, without a terminal.
    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("setsid");
        shell.args(["bash", "-c", command]).stdin(Stdio::null());
        self.as_child_of_agent(shell)
    }

    fn as_child_of_agent(&self, mut command: Command) -> Command {
        for (name, value) in self.profile.shell {
            let pid = std::process::id().to_string();
            command.env(name, value.replace("$PID", &pid));
        }
        command
    }

    /// Another process of the same program, that talks to the test itself. None: it has said what came of it.
    fn child(&self, order: &Order) -> Option<String> {
        let program = env::var_os(PROGRAM).unwrap();
        let mut command = self.profile.command(&program);
        if self.profile.tools == Tools::SandboxedCodex {
            command = codex::in_sandbox(Path::new(&program), &command);
        }
        let status = command
            .env(ORDER, serde_json::to_string(order).unwrap())
            .status()
            .unwrap();
        assert!(status.success(), "the child process: {status}");
        None
    }
}

impl Profile {
    /// The agent's process, up to its stdin. `program` is a link of the name that it is to have.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(&program);
        command
            .arg0(self.argv[0])
            .args(&self.argv[1..])
            .args(ARGS)
            .env(AGENT, self.name)
            .env(PROGRAM, &program)
            .stdout(Stdio::null());
        command
    }
}

fn output(mut command: Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
