//! Users of this machine besides the one who runs the tests.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where administrators find their programs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A user of this machine for as long as the test runs.
pub struct User {
    pub name: String,
    pub uid: u32,
}

impl User {
    pub fn new() -> User {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let name = format!("hfs{}-{number}", std::process::id());
        run(Command::new("useradd").args(["--no-create-home", "--user-group", &name]));
        let uid = run(Command::new("id").args(["-u", &name]));
        User {
            uid: uid.trim().parse().unwrap(),
            name,
        }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let mut userdel = Command::new("userdel");
        let _ = userdel
            .args(["--force", &self.name])
            .env("PATH", PATH)
            .output();
    }
}

/// Runs a program of the administrator's; panics unless it succeeds. Returns its output.
pub fn run(command: &mut Command) -> String {
    let output = command.env("PATH", PATH).output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}
