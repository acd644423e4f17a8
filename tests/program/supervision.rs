//! The mount outlives its daemon, and its supervisor (spec 8.3b).

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal};

use crate::background::{Mounted, Process, until, wait_until, write};
use crate::harness::{errno, list, sorted};
use crate::sandbox::Sandbox;
use crate::users::User;

/// spec 8.3b, 3.8, 4.2a: after `kill -9` there is a working mount again without anybody's help: what was acknowledged is
/// pending, what was open is partial, who has a file open gets an error and does not hang.
#[test]
fn a_killed_daemon_is_replaced() {
    let sandbox = Sandbox::new();
    let mounted = Mounted::new(&sandbox);
    sandbox.sh("echo whole > m/whole.md; mkdir m/q; echo deep > m/q/deep.md");
    let (daemon, supervisor) = mounted.processes();
    let mut draft = File::create(mounted.at("draft.md")).unwrap();
    draft.write_all(b"half\n").unwrap();
    let mut reader = File::open(mounted.at("pending.md")).unwrap();
    reader.read_exact(&mut [0; 10]).unwrap();

    daemon.kill();
    for error in [
        draft.write_all(b"rest\n").unwrap_err(),
        reader.read(&mut [0; 10]).unwrap_err(),
        nix::unistd::close(draft).unwrap_err().into(),
    ] {
        assert!(
            matches!(
                error.raw_os_error(),
                Some(libc::ENOTCONN | libc::ECONNABORTED)
            ),
            "{error}"
        );
    }
    drop(reader);
    let next = mounted.comes_back(&daemon);
    assert!(next.is_running() && supervisor.is_running());
    let names = list(&sandbox.path("m"));
    assert!(
        names.iter().any(|name| name.ends_with("_draft-partial.md")),
        "{names:?}"
    );
    assert_eq!(sorted(sandbox.take()), ["deep", "half", "whole"]);

    let status = mounted.status().unwrap();
    assert_eq!(status["supervisor"]["pid"], supervisor.pid);
    assert_eq!(status["supervisor"]["restarts"], 1);
    let death = status["supervisor"]["last_death"].as_str().unwrap();
    assert!(
        death.contains(&format!("pid {}, ", daemon.pid)) && death.contains("SIGKILL"),
        "{death}"
    );
    let text = sandbox.run(["status", "m"]);
    assert!(
        text.contains(&format!("supervisor pid {}, restarts: 1", supervisor.pid))
            && text.contains("SIGKILL"),
        "{text}"
    );
    let log = mounted.log();
    assert!(
        log.contains("the daemon has died") && log.contains("SIGKILL"),
        "{log}"
    );
    mounted.unmount();
    assert!(!next.is_running() && !supervisor.is_running());
}

/// spec 8.3b: twenty times in a row, while somebody goes on writing: through the mount, into it while it is dead, and into
/// the plain directory between two. Nothing that was acknowledged is lost.
#[test]
fn twenty_kills_in_a_row() {
    let sandbox = Sandbox::new();
    let mounted = Mounted::new(&sandbox);
    let mut written = HashSet::new();
    let mut daemon = mounted.daemon();
    for round in 0..20 {
        let body = format!("before {round}");
        write(&mounted.at("notes.md"), &format!("{body}\n")).unwrap();
        written.insert(body);
        daemon.kill();
        let body = format!("after {round}");
        let name = format!("after-{round}.md");
        until("a write succeeds", || {
            write(&mounted.at(&name), &format!("{body}\n")).ok()
        });
        written.insert(body);
        daemon = mounted.comes_back(&daemon);
    }
    // The last of it is delivered with its RELEASE, for which a reader waits 100 ms; a busy machine may take longer.
    let mut found = HashSet::new();
    for _ in 0..50 {
        found.extend(sandbox.take());
        if found.is_superset(&written) {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    let lost: Vec<_> = written.difference(&found).collect();
    assert!(
        lost.is_empty(),
        "lost: {lost:?}; {}",
        sandbox.sh("ls -lt m; grep -r . m; cat .local/state/handoff-fs/*.log")
    );
    assert_eq!(mounted.status().unwrap()["supervisor"]["restarts"], 20);
    mounted.unmount();
}

/// spec 8.3b, 3.7a: while no daemon can be started nothing is mounted, what is written lands in the plain directory, and is
/// adopted when it can be mounted again.
#[test]
fn written_while_nothing_is_mounted() {
    let sandbox = Sandbox::new();
    let mounted = Mounted::new(&sandbox);
    sandbox.sh("echo before > m/before.md");
    let daemon = mounted.daemon();
    let mend = mounted.spoil();
    daemon.kill();
    wait_until("the dead mount is cleared", || sandbox.mounts().is_empty());
    sandbox.sh("echo between > m/between.md");
    assert!(mounted.below.join("between.md").exists());
    mend();
    mounted.comes_back(&daemon);
    assert_eq!(sorted(sandbox.take()), ["before", "between"]);
    mounted.unmount();
}

/// spec 8.3b: after repeated failures to mount it gives up, with the reason in the log; no process and no dead mount is left,
/// and the directory is a plain one. The next `mount` is as ever.
#[test]
fn gives_up_when_no_daemon_can_start() {
    let sandbox = Sandbox::new();
    let mounted = Mounted::new(&sandbox);
    sandbox.sh("echo before > m/before.md");
    let (daemon, supervisor) = mounted.processes();
    let mend = mounted.spoil();
    daemon.kill();
    supervisor.wait();
    assert_eq!(sandbox.mounts().len(), 0);
    let log = mounted.log();
    assert!(
        log.contains("giving up: 7 starts in a row failed")
            && log.contains("damaged; remove that one file"),
        "{log}"
    );
    sandbox.sh("echo plain > m/plain.md");
    assert_eq!(sandbox.sh("cat m/plain.md"), "plain\n");
    mend();
    mounted.mount();
    assert_eq!(sorted(sandbox.take()), ["before", "plain"]);
    mounted.unmount();
}

/// spec 8.3b: the same when each daemon dies right after it has mounted.
#[test]
fn gives_up_when_every_daemon_dies() {
    let sandbox = Sandbox::new();
    let mounted = Mounted::new(&sandbox);
    sandbox.sh("echo before > m/before.md");
    let supervisor = mounted.supervisor();
    let mut kills = 0;
    while supervisor.is_running() {
        // The mount may be dead or unmounted at this moment.
        let text = fs::read_to_string(mounted.at(".status.json")).unwrap_or_default();
        let status = serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default();
        if let Some(pid) = status["pid"]
            .as_i64()
            .and_then(|pid| i32::try_from(pid).ok())
        {
            let pid = Pid::from_raw(pid).unwrap();
            if let Ok(pidfd) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
                let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
                kills += 1;
            }
        }
        assert!(kills < 1000, "it goes on and on");
    }
    assert!(kills >= 50, "{kills}");
    assert_eq!(sandbox.mounts().len(), 0);
    let log = mounted.log();
    assert!(
        log.contains("giving up: 50 daemons in a row died within 1 s"),
        "{log}"
    );
    assert!(sandbox.sh("cat m/*_before.md").contains("before"));
    mounted.mount();
    assert_eq!(sandbox.take(), ["before"]);
    mounted.unmount();
}

/// spec 8.3b: when the supervisor is killed the mount goes on, with a new supervisor, which is as good.
#[test]
fn a_killed_supervisor_is_replaced() {
    let sandbox = Sandbox::new();
    let mounted = Mounted::new(&sandbox);
    let mut daemon = mounted.daemon();
    for round in 1..=3 {
        for _ in 0..2 {
            let supervisor = mounted.supervisor();
            let open = File::open(mounted.at("pending.md")).unwrap();
            supervisor.kill();
            let status = mounted.awaits(|status| {
                let pid = &status["supervisor"]["pid"];
                pid.is_u64() && *pid != supervisor.pid
            });
            assert_eq!(status["pid"], daemon.pid, "the same daemon serves");
            open.metadata().unwrap();
        }
        sandbox.sh("echo x > m/x.md");
        daemon.kill();
        daemon = mounted.comes_back(&daemon);
        assert_eq!(mounted.status().unwrap()["supervisor"]["restarts"], round);
    }
    assert_eq!(sandbox.take().len(), 3);
    assert!(mounted.log().contains("the supervisor has died"));
    let supervisor = mounted.supervisor();
    supervisor.kill();
    let other = mounted.awaits(|status| status["supervisor"]["pid"].is_u64());
    let other = Process::new(&other["supervisor"]["pid"]);
    mounted.unmount();
    assert!(!daemon.is_running() && !other.is_running());
}

/// spec 8.3b, 8.2b: when both are killed at once, `mount` clears the dead mount and mounts again.
#[test]
fn both_are_killed() {
    let sandbox = Sandbox::new();
    let mounted = Mounted::new(&sandbox);
    sandbox.sh("echo x > m/x.md");
    let (daemon, supervisor) = mounted.processes();
    // Neither is to see the other's end.
    daemon.signal(Signal::STOP);
    supervisor.kill();
    daemon.kill();
    assert_eq!(errno(fs::metadata(sandbox.path("m"))), libc::ENOTCONN);
    mounted.mount();
    assert_eq!(sandbox.mounts().len(), 1);
    assert_eq!(sandbox.take(), ["x"]);
    mounted.unmount();
}

/// spec 8.2e, 8.3b: after any way of ending, nothing mounts the directory again, and no process is left.
#[test]
fn ended_is_ended() {
    let sandbox = Sandbox::new();
    for end in [
        "unmount",
        "fusermount3",
        "umount -l",
        "daemon",
        "supervisor",
    ] {
        for signal in [Signal::TERM, Signal::INT] {
            let mounted = Mounted::new(&sandbox);
            sandbox.sh("echo x > m/x.md");
            let (daemon, supervisor) = mounted.processes();
            match end {
                "unmount" => mounted.unmount(),
                "fusermount3" => drop(sandbox.sh("fusermount3 -u m")),
                "umount -l" => drop(sandbox.sh("umount -l m")),
                "daemon" => daemon.signal(signal),
                _ => supervisor.signal(signal),
            }
            daemon.wait();
            supervisor.wait();
            assert_eq!(sandbox.mounts().len(), 0, "{end}");
            let log = mounted.log();
            assert!(!log.contains("has died"), "{end}: {log}");
        }
    }
}

/// spec 8.2e, 8.3b: the mount is ended with a file open, lazily, and then its daemon is killed: nothing mounts the
/// directory again.
#[test]
fn killed_while_it_ends() {
    let sandbox = Sandbox::new();
    let mounted = Mounted::new(&sandbox);
    let (daemon, supervisor) = mounted.processes();
    let open = File::create(mounted.at("open.md")).unwrap();
    sandbox.run(["unmount", "m"]);
    assert!(daemon.is_running() && supervisor.is_running());
    daemon.kill();
    supervisor.wait();
    assert_eq!(sandbox.mounts().len(), 0);
    drop(open);
}

/// spec 8.3b, 8.1d: the supervisor ends as its daemon did: with 0 when a signal was passed on, with 1 when a second one did not
/// wait for open files.
#[test]
fn the_supervisors_end() {
    let sandbox = Sandbox::new();
    for (signals, code) in [(1, 0), (2, 1)] {
        let _ = fs::create_dir(sandbox.path("m"));
        let mut command = sandbox.handoff(["mount", "--supervise", "--report-ready", "--"]);
        command.arg(sandbox.path("m")).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        assert!(line.starts_with("ready "), "{line}");
        let open = (signals == 2).then(|| File::create(sandbox.path("m/open.md")).unwrap());
        for _ in 0..signals {
            rustix::process::kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
            wait_until("it is unmounted", || sandbox.mounts().is_empty());
        }
        assert_eq!(child.wait().unwrap().code(), Some(code));
        drop(open);
    }
}

/// spec 8.1b, 8.3b: `unmount` also ends a supervisor that has no daemon just then.
#[test]
fn unmounted_between_two_daemons() {
    let sandbox = Sandbox::new();
    let mounted = Mounted::new(&sandbox);
    let (daemon, supervisor) = mounted.processes();
    let mend = mounted.spoil();
    daemon.kill();
    wait_until("the dead mount is cleared", || sandbox.mounts().is_empty());
    mounted.unmount();
    assert!(!supervisor.is_running());
    mend();
    // At any other moment.
    for _ in 0..10 {
        mounted.mount();
        let (daemon, supervisor) = mounted.processes();
        daemon.kill();
        mounted.unmount();
        supervisor.wait();
        assert_eq!(sandbox.mounts().len(), 0);
    }
}

/// spec 8.2c, 8.3b: a `mount` that comes just when the supervisor mounts again: whichever is first, there is one mount, one
/// daemon and one supervisor.
#[test]
fn mounted_between_two_daemons() {
    let sandbox = Sandbox::new();
    let mounted = Mounted::new(&sandbox);
    sandbox.sh("echo x > m/x.md");
    for _ in 0..10 {
        let (daemon, supervisor) = mounted.processes();
        daemon.kill();
        let second = sandbox.handoff(["mount", "m"]).output().unwrap();
        let next = mounted.comes_back(&daemon);
        if second.status.success() {
            supervisor.wait();
            assert_ne!(mounted.supervisor().pid, supervisor.pid);
        } else {
            let text = String::from_utf8_lossy(&second.stderr);
            assert!(text.contains("already"), "{text}");
            assert_eq!(mounted.supervisor().pid, supervisor.pid);
        }
        assert!(next.is_running());
    }
    assert_eq!(sandbox.take(), ["x"]);
    mounted.unmount();
}

/// spec 8.1a, 8.3b: in the foreground it is the service manager's: no supervisor, and a killed one stays dead.
#[test]
fn the_foreground_is_not_supervised() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.mount();
    let status = sandbox.status("m");
    assert!(status["supervisor"].is_null(), "{status}");
    daemon.kill();
    assert_eq!(errno(fs::metadata(sandbox.path("m"))), libc::ENOTCONN);
    // As a service manager does.
    sandbox.mount().stop();
}

/// spec 8.3b, 8.2a: the same without root, through the setuid helper.
#[test]
fn without_root() {
    let user = User::new();
    let mut sandbox = Sandbox::new();
    sandbox.become_user(user.uid);
    sandbox.run(["mount", "m"]);
    sandbox.sh("echo x > m/x.md");
    let mounted = Mounted::again(&sandbox);
    let (daemon, supervisor) = mounted.processes();
    daemon.kill();
    mounted.comes_back(&daemon);
    assert_eq!(mounted.supervisor().pid, supervisor.pid);
    assert_eq!(sandbox.take(), ["x"]);
    mounted.unmount();
    assert!(!supervisor.is_running());
}
