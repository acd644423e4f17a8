//! The limit on file sizes of the shell that mounts (`ulimit -f`) is an error for who writes past it, and for nobody else.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use crate::background::{Mounted, wait_until};
use crate::harness::bodies;
use crate::sandbox::Sandbox;

/// In bytes; bash counts in KiB.
const LIMIT: usize = 64 << 10;

/// Mounts `m` from a shell with that limit.
fn mount(sandbox: &Sandbox, arguments: &str) -> Output {
    let handoff = sandbox.handoff([]);
    let program = PathBuf::from(handoff.get_program());
    let script = format!(
        "ulimit -f {}; exec {} mount {arguments} m",
        LIMIT >> 10,
        program.display()
    );
    sandbox
        .command("bash")
        .args(["-c", &script])
        .output()
        .unwrap()
}

/// A Python program below `m`; returns the number of the error that it ends with.
fn errno(sandbox: &Sandbox, program: &str) -> i32 {
    let program = format!(
        "import os\nos.chdir('m')\ntry:\n {program}\n print(0)\nexcept OSError as error: print(error.errno)"
    );
    let output = sandbox
        .command("/usr/bin/python3")
        .args(["-c", &program])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim()
        .parse()
        .unwrap_or_else(|_| panic!("{program}: {text}"))
}

/// spec 4.9a: past the limit is EFBIG, for every way to get there; what was whole before stays so, and the daemon and its
/// supervisor live on, also when their log cannot grow any more.
#[test]
fn a_write_past_the_limit_is_an_error() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("m")).unwrap();
    let large = "l".repeat(3 * LIMIT);
    fs::write(sandbox.path("m/2026-01-02_030405_large.md"), &large).unwrap();
    fs::write(sandbox.path("log"), "l".repeat(2 * LIMIT)).unwrap();
    let output = mount(&sandbox, "--log-file log");
    assert!(output.status.success(), "{output:?}");
    let mounted = Mounted::again(&sandbox);
    let (daemon, supervisor) = mounted.processes();
    let much = LIMIT + 1;
    let programs = [
        "f = open('w.md', 'wb', 0); [f.write(b'w' * 4096) for _ in range(64)]".to_owned(),
        format!("open('one.md', 'wb', 0).write(b'w' * {much})"),
        format!("open('scratch.tmp', 'wb', 0).write(b'w' * {much})"),
        format!("open('t.md', 'wb', 0).truncate({much})"),
        format!("f = open('f.md', 'wb', 0); os.posix_fallocate(f.fileno(), 0, {much})"),
        // The replaced version is kept as a copy, which is too large.
        "os.truncate('2026-01-02_030405_large.md', 0)".to_owned(),
        "open('2026-01-02_030405_large.md', 'ab', 0).write(b'more')".to_owned(),
    ];
    for program in &programs {
        assert_eq!(errno(&sandbox, program), libc::EFBIG, "{program}");
        assert!(daemon.is_running() && supervisor.is_running(), "{program}");
        sandbox.sh("echo small > m/small.md");
    }
    let pending = bodies(&sandbox.sh("cat m/.peek.md"));
    assert!(pending.contains(&large));
    let small = pending.iter().filter(|body| *body == "small");
    assert_eq!(small.count(), programs.len());
    // Nothing that was cut short looks whole.
    let names = sandbox.sh("ls m");
    assert!(
        names.contains("_w-partial.md") && !names.contains("_w.md"),
        "{names}"
    );

    daemon.kill();
    let next = mounted.comes_back(&daemon);
    assert!(supervisor.is_running() && next.is_running());
    assert_eq!(
        fs::metadata(sandbox.path("log")).unwrap().len(),
        2 * LIMIT as u64
    );
    mounted.unmount();
}

/// spec 4.9a, 8.1e: where the limit is too low to mount at all, that is said.
#[test]
fn a_limit_that_is_too_low_to_mount_is_said() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("m")).unwrap();
    // Their names do not fit into the record of the first mount.
    for i in 0..500 {
        fs::write(sandbox.path(format!("m/{i}{}.md", "n".repeat(200))), "").unwrap();
    }
    let output = mount(&sandbox, "");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("File too large"), "{text}");
    wait_until("nothing is left", || sandbox.mounts().is_empty());
    sandbox.run(["mount", "m"]);
    sandbox.run(["unmount", "m"]);
}
