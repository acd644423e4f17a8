//! Programs that do one step at a time, so that a test decides what happens in which order; and what is kept below.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::harness::{Mount, files, python, sorted};

/// Python's own loop of lines: what is an expression is answered as text, an error by its name.
const LOOP: &str = r"
import errno, json, os, sys, threading
for line in sys.stdin:
    source = json.loads(line)
    try:
        try:
            answer = ['value', str(eval(compile(source, 'test', 'eval')))]
        except SyntaxError:
            exec(compile(source, 'test', 'exec'))
            answer = ['value', '']
    except OSError as error:
        answer = ['errno', errno.errorcode[error.errno]]
    except BaseException as error:
        answer = ['error', repr(error)]
    print(json.dumps(answer), flush=True)
";

/// See [`python`].
static PYTHON: LazyLock<PathBuf> = LazyLock::new(python);

/// A program under another name, which is all that a mount sees of it.
pub struct Disguise(TempDir);

impl Disguise {
    pub fn bash(name: &str) -> Disguise {
        Disguise::of(Path::new("/bin/bash"), name)
    }

    pub fn of(program: &Path, name: &str) -> Disguise {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(program, dir.path().join(name)).unwrap();
        Disguise(dir)
    }

    /// The path to execute.
    pub fn path(&self) -> PathBuf {
        fs::read_dir(self.0.path())
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path()
    }
}

/// A process in the mount that runs one piece of Python at a time, as the test says.
pub struct Actor {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    _disguise: Disguise,
}

impl Actor {
    /// A program that is known for nothing, in this session.
    pub fn new(mount: &Mount, session: &str) -> Actor {
        Actor::called(mount, session, "python3")
    }

    /// A program of that name, in this session.
    pub fn called(mount: &Mount, session: &str, name: &str) -> Actor {
        let disguise = Disguise::of(&PYTHON, name);
        let command = mount.command(session, disguise.path());
        Actor::start(command, disguise)
    }

    /// An agent of that name; its session follows from its process.
    pub fn agent(mount: &Mount, name: &str) -> Actor {
        let disguise = Disguise::of(&PYTHON, name);
        let mut command = mount.command("", disguise.path());
        command.env_remove("HANDOFF_SESSION");
        Actor::start(command, disguise)
    }

    /// A program that is known for nothing, with this working directory; its session is its own.
    pub fn alone(dir: &Path) -> Actor {
        let disguise = Disguise::of(&PYTHON, "python3");
        let mut command = Command::new("setsid");
        command
            .arg(disguise.path())
            .current_dir(dir)
            .env_remove("HANDOFF_SESSION");
        Actor::start(command, disguise)
    }

    fn start(mut command: Command, disguise: Disguise) -> Actor {
        let mut child = command
            .args(["-c", LOOP])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Actor {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            _disguise: disguise,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs one piece of Python, and answers what an expression gives.
    pub fn run(&mut self, source: &str) -> String {
        match self.ask(source) {
            (kind, answer) if kind == "value" => answer,
            (_, answer) => panic!("{source}: {answer}"),
        }
    }

    /// Runs one piece of Python that must fail in a system call; returns the error's name.
    pub fn fails(&mut self, source: &str) -> String {
        match self.ask(source) {
            (kind, answer) if kind == "errno" => answer,
            (_, answer) => panic!("{source}: {answer:?} and no error of the system"),
        }
    }

    /// Runs one piece of Python, and answers what came of it: `value`, `errno` or `error`, and that.
    pub fn ask(&mut self, source: &str) -> (String, String) {
        self.begin(source);
        self.end()
    }

    /// Begins one piece of Python, and does not wait for it.
    pub fn begin(&mut self, source: &str) {
        let input = self.input.as_mut().unwrap();
        let line = serde_json::to_string(source).unwrap();
        writeln!(input, "{line}").unwrap();
    }

    /// Waits for what was begun; returns what came of it, as [`Actor::ask`] does.
    pub fn end(&mut self) -> (String, String) {
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    /// Waits for a piece of Python that was begun and must succeed; returns what an expression gives.
    #[track_caller]
    pub fn finish(&mut self) -> String {
        match self.end() {
            (kind, answer) if kind == "value" => answer,
            (_, answer) => panic!("{answer}"),
        }
    }

    /// Kills the process with its files open.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

/// The contents of the kept versions, sorted.
pub fn replaced(mount: &Mount) -> Vec<String> {
    let versions = files(&mount.below(".handoff-fs/replaced")).into_iter();
    sorted(versions.map(|path| fs::read_to_string(path).unwrap()))
}
