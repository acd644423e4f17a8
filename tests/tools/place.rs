//! Where a case runs: in a mount, or in a plain directory that shows what the tool does where nothing is special.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::harness::Mount;
use crate::installed::PYTHON;

/// Types at a program in a pseudo-terminal.
const TERMINAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tools/terminal.py");

/// A directory to run scripts in, with a directory of the script's own that is elsewhere.
pub struct Place {
    dir: PathBuf,
    /// `$out` of the script: outside of the mount.
    pub out: PathBuf,
    session: String,
}

impl Place {
    /// The mount itself, as one session.
    pub fn mounted(mount: &Mount, session: &str) -> Place {
        Place::new(mount.at(""), mount.outside("mounted"), session)
    }

    /// A plain directory.
    pub fn plain(mount: &Mount) -> Place {
        let dir = mount.outside("plain");
        fs::create_dir_all(&dir).unwrap();
        Place::new(dir, mount.outside("beside"), "plain")
    }

    fn new(dir: PathBuf, out: PathBuf, session: &str) -> Place {
        fs::create_dir_all(&out).unwrap();
        let session = session.to_owned();
        Place { dir, out, session }
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Runs a script; one that hangs is ended, and has then failed.
    pub fn run(&self, script: &str, variables: &[(&str, &Path)]) -> Ran {
        self.start(script, variables).end()
    }

    /// Starts a script, so that another one may run beside it.
    pub fn start(&self, script: &str, variables: &[(&str, &Path)]) -> Running {
        let mut command = Command::new("timeout");
        command
            .args(["-k", "5", "30", "bash", "-ec", script])
            .current_dir(&self.dir)
            .env("HANDOFF_SESSION", &self.session)
            .env("out", &self.out)
            .env("HOME", &self.out)
            .env("TMPDIR", &self.out)
            .env("python", PYTHON)
            .env("terminal", TERMINAL)
            .env("TERM", "xterm")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in variables {
            command.env(name, value);
        }
        Running(command.spawn().unwrap())
    }
}

/// A script that has been started.
pub struct Running(Child);

impl Running {
    /// Waits for it.
    pub fn end(self) -> Ran {
        Ran(self.0.wait_with_output().unwrap())
    }
}

/// The status and the output of a script.
pub struct Ran(Output);

impl Ran {
    /// Whether the script hung.
    pub fn hung(&self) -> bool {
        matches!(self.0.status.code(), Some(124 | 137) | None)
    }

    /// The first difference from the other result, if there is one.
    pub fn differs(&self, plain: &Ran) -> Option<String> {
        let Ran(seen) = self;
        let Ran(plain) = plain;
        if seen.status != plain.status {
            return Some(format!(
                "{}, not {}: {}",
                seen.status,
                plain.status,
                String::from_utf8_lossy(&seen.stderr)
            ));
        }
        if seen.stderr != plain.stderr {
            return Some(format!(
                "says {:?}, not {:?}",
                String::from_utf8_lossy(&seen.stderr),
                String::from_utf8_lossy(&plain.stderr)
            ));
        }
        (seen.stdout != plain.stdout).then(|| {
            let at = seen.stdout.iter().zip(&plain.stdout);
            let at = at.take_while(|(seen, plain)| seen == plain).count();
            let part = |text: &[u8]| {
                let part = &text[at..text.len().min(at + 60)];
                String::from_utf8_lossy(part).into_owned()
            };
            format!(
                "shows {} bytes, not {}; from byte {at} on {:?}, not {:?}",
                seen.stdout.len(),
                plain.stdout.len(),
                part(&seen.stdout),
                part(&plain.stdout)
            )
        })
    }

    /// Whether the script succeeded, or failed if `refused`.
    pub fn ended(&self, refused: bool) -> Result<(), String> {
        let Ran(seen) = self;
        let code = seen.status.code();
        // 127 is the shell's word for a program that is not there, 124 is timeout's.
        let well = match code {
            Some(0) => !refused,
            Some(124 | 126..) | None => false,
            Some(_) => refused,
        };
        if well {
            return Ok(());
        }
        let stderr = String::from_utf8_lossy(&seen.stderr);
        Err(format!("{}: {stderr}", seen.status))
    }
}
