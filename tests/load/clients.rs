//! Writers and readers, each a process group of its own that can be killed; and who was killed.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::harness::{Mount, python};

/// After this time, clients that were told to stop count as hanging.
const STOPPING: Duration = Duration::from_secs(60);

/// A kind of client.
#[derive(Clone, Copy)]
pub struct Kind {
    /// The beginning of the names of its clients and sessions.
    pub prefix: &'static str,
    pub role: Role,
    /// The number of clients.
    pub count: usize,
    /// The average pause, in milliseconds.
    pub pause: u32,
    /// Whether the test may kill these clients at any time.
    pub mortal: bool,
}

/// What a client runs.
#[derive(Clone, Copy)]
pub enum Role {
    /// `writer.py` with these kinds of records and so many threads; what decides its session.
    Python(&'static str, usize, Session),
    /// `writer.sh`.
    Shell,
    /// `reader.sh` of this kind.
    Reader(&'static str),
}

/// What the session of a client depends on.
#[derive(Clone, Copy, PartialEq)]
pub enum Session {
    /// A session name of its own.
    Named,
    /// A session name that it shares.
    Shared,
    /// The program is an agent.
    Agent,
    /// A session of the kernel.
    Kernel,
}

struct Client {
    kind: Kind,
    slot: usize,
    generation: usize,
    child: Child,
}

impl Client {
    fn name(&self) -> String {
        name(self.kind, self.slot, self.generation)
    }

    fn signal(&self, signal: Signal) {
        let _ = kill_process_group(Pid::from_child(&self.child), signal);
    }
}

fn name(kind: Kind, slot: usize, generation: usize) -> String {
    format!("{}{slot}-{generation}", kind.prefix)
}

/// The running clients. Dropping this kills them.
pub struct Clients<'a> {
    mount: &'a Mount,
    random: fastrand::Rng,
    running: Vec<Client>,
    /// The names of those that were killed.
    pub killed: HashSet<String>,
    /// Python under the name of an agent.
    agent: TempDir,
}

impl<'a> Clients<'a> {
    /// Starts all of these.
    pub fn start(mount: &'a Mount, kinds: &[Kind], random: fastrand::Rng) -> Clients<'a> {
        fs::create_dir_all(mount.outside("acknowledged")).unwrap();
        let agent = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(python(), agent.path().join("claude")).unwrap();
        for (file, source) in [
            ("writer.py", include_str!("writer.py")),
            ("writer.sh", include_str!("writer.sh")),
            ("reader.sh", include_str!("reader.sh")),
        ] {
            fs::write(agent.path().join(file), source).unwrap();
        }
        let mut clients = Clients {
            mount,
            random,
            running: Vec::new(),
            killed: HashSet::new(),
            agent,
        };
        for kind in kinds {
            for slot in 0..kind.count {
                clients.spawn(*kind, slot, 0);
            }
        }
        clients
    }

    fn spawn(&mut self, kind: Kind, slot: usize, generation: usize) {
        let name = name(kind, slot, generation);
        let seed = self.random.u16(..).to_string();
        let stop = self.mount.outside("stop").display().to_string();
        let pause = kind.pause.to_string();
        let log = self.mount.outside(&format!("acknowledged/{name}"));
        let log = log.display().to_string();
        let file = |name: &str| self.agent.path().join(name).display().to_string();
        let (program, args, session) = match kind.role {
            Role::Python(records, threads, session) => {
                let program = match session {
                    Session::Agent => file("claude"),
                    _ => "python3".into(),
                };
                let (script, threads) = (file("writer.py"), threads.to_string());
                let args = [
                    &*script, &log, &stop, &name, records, &pause, &seed, &threads,
                ];
                (program, args.map(str::to_owned).to_vec(), session)
            }
            Role::Shell => {
                let args =
                    [&*file("writer.sh"), &log, &stop, &name, &pause, &seed].map(str::to_owned);
                ("bash".into(), args.to_vec(), Session::Named)
            }
            Role::Reader(what) => {
                let out = self.mount.outside(&format!("read/{name}"));
                fs::create_dir_all(&out).unwrap();
                let out = out.display().to_string();
                let args =
                    [&*file("reader.sh"), &out, &stop, what, &pause, &seed].map(str::to_owned);
                ("bash".into(), args.to_vec(), Session::Named)
            }
        };
        let mut command = if session == Session::Kernel {
            let mut command = Command::new("setsid");
            command.arg(program);
            command
        } else {
            let mut command = Command::new(program);
            command.process_group(0);
            command
        };
        command.current_dir(self.mount.at("")).args(args);
        match session {
            Session::Named => command.env("HANDOFF_SESSION", format!("{}{slot}", kind.prefix)),
            Session::Shared => {
                command.env("HANDOFF_SESSION", format!("{}{}", kind.prefix, slot % 2))
            }
            // The terminal of the tests would be the session of all clients.
            Session::Kernel if at_a_terminal() => command.env("HANDOFF_SESSION", &name),
            Session::Agent | Session::Kernel => command.env_remove("HANDOFF_SESSION"),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if matches!(kind.role, Role::Python(..)) {
            let errors = fs::File::create(format!("{log}.stderr")).unwrap();
            command.stderr(errors);
        }
        let child = command.spawn().unwrap();
        self.running.push(Client {
            kind,
            slot,
            generation,
            child,
        });
    }

    /// Kills one at random, of those that may be killed, and starts another in its place.
    pub fn kill_one(&mut self) {
        let mortal: Vec<usize> = (0..self.running.len())
            .filter(|i| self.running[*i].kind.mortal)
            .collect();
        let Some(at) = self.random.choice(mortal) else {
            return;
        };
        let mut client = self.running.swap_remove(at);
        self.killed.insert(client.name());
        let signal = if self.random.bool() {
            Signal::KILL
        } else {
            Signal::TERM
        };
        client.signal(signal);
        client.child.wait().unwrap();
        self.spawn(client.kind, client.slot, client.generation + 1);
    }

    /// Lets all come to their end. Returns what still runs after a long time, and is killed then.
    pub fn stop(&mut self) -> Vec<String> {
        fs::write(self.mount.outside("stop"), "").unwrap();
        let deadline = Instant::now() + STOPPING;
        let mut hanging = Vec::new();
        for client in &mut self.running {
            loop {
                match client.child.try_wait().unwrap() {
                    Some(_) => break,
                    None if Instant::now() < deadline => thread::sleep(Duration::from_millis(20)),
                    None => {
                        hanging.push(client.name());
                        client.signal(Signal::KILL);
                        client.child.wait().unwrap();
                        break;
                    }
                }
            }
        }
        self.running.clear();
        hanging
    }
}

impl Drop for Clients<'_> {
    fn drop(&mut self) {
        for client in &mut self.running {
            client.signal(Signal::KILL);
            let _ = client.child.wait();
        }
    }
}

/// The lines of every file in this directory, with the file's name, that do not begin so.
pub fn lines(dir: &Path) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().unwrap().is_file() {
            let file = BufReader::new(fs::File::open(entry.path()).unwrap());
            lines.extend(file.lines().map(|line| (name.clone(), line.unwrap())));
        }
    }
    lines
}

/// Has this process, or one that it descends from, a controlling terminal?
fn at_a_terminal() -> bool {
    let mut pid = std::process::id();
    while pid > 1 {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
            return false;
        };
        // Numbered from the state on, which follows the name; see proc_pid_stat(5).
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        if fields[4] != "0" {
            return true;
        }
        pid = fields[1].parse().unwrap();
    }
    false
}
