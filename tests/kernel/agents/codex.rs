//! Codex: `apply_patch`, in a child process `codex` of `codex`.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::calls::Calls;

/// The same command in the sandbox: below `bwrap`, and that below another helper. Each is a shell of that name.
pub fn in_sandbox(program: &Path, command: &Command) -> Command {
    let helper = |name: &str| {
        let path = program.with_file_name(name);
        // From the second call on the link exists.
        let _ = symlink("/bin/bash", &path);
        path
    };
    let (outer, bwrap) = (helper("codex-linux-sandbox"), helper("bwrap"));
    // No shell becomes the program that it starts last.
    let starts = ["-c", "\"$@\"; exit $?", "sh"];
    let mut sandboxed = Command::new(&outer);
    sandboxed.args(starts).arg(bwrap).args(starts).arg(&outer);
    sandboxed
        .args(["-c", "(exec -a codex \"$@\"); exit $?", "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdout(Stdio::null());
    sandboxed
}

/// `*** Add File`.
pub fn add(calls: &Calls, f: &Path, text: &str) {
    let there = calls.lstat(f).if_there().is_some();
    // Codex reads the old file to show the change.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    if let Some(old) = calls.open(f, flags).ok_if(there) {
        calls.read_to_end(old);
    }
    replace(calls, f, text);
}

/// `*** Update File`.
pub fn update(calls: &Calls, f: &Path, old: &str, new: &str) {
    assert!(calls.lstat(f).ok().is_file);
    let text = calls.read_all(f);
    assert!(text.contains(old), "Failed to find expected lines");
    replace(calls, f, &text.replacen(old, new, 1));
}

/// `*** Delete File`.
pub fn delete(calls: &Calls, f: &Path) {
    assert!(calls.lstat(f).ok().is_file);
    calls.unlink(f).ok();
    calls.lstat(f).fails(Errno::NOENT);
}

fn replace(calls: &Calls, f: &Path, text: &str) {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    let fd = calls.open(f, flags).ok();
    calls.write(&fd, text).ok();
    calls.close(fd).ok();
}
