//! As a service of systemd with `Type=forking` (README): the steps that systemd takes, in its order.
//!
//! `ExecStart` is `handoff-fs mount`, `ExecStop` is `handoff-fs unmount`. systemd takes for the main process the one that is its
//! own child once `ExecStart` has ended, if there is only one. When that ends in any way it runs `ExecStop`, sends SIGTERM to
//! what is left, waits, and starts again if the main process failed.

use std::fs;

use rustix::process::Signal;

use crate::background::{Mounted, Process};
use crate::harness::sorted;
use crate::sandbox::Sandbox;

fn parent(process: &Process) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').nth(1).unwrap().parse().unwrap()
}

/// spec 8.1a, 8.3b: the service is ready when `mount` has ended, and its main process is the supervisor: of the two
/// processes only the supervisor is a child of the manager.
#[test]
fn the_main_process_is_the_supervisor() {
    let sandbox = Sandbox::new();
    let mounted = Mounted::new(&sandbox);
    let (daemon, supervisor) = mounted.processes();
    assert_eq!(parent(&daemon), supervisor.pid);
    assert_ne!(parent(&supervisor), daemon.pid);
    mounted.unmount();
}

/// spec 8.1a, 8.2e: stopped with somebody in it, it ends by the SIGTERM that follows, and can be started again; after the death
/// of the main process, or of both, it is stopped and started. Nothing is lost.
#[test]
fn stopped_died_and_started_again() {
    let sandbox = Sandbox::new();
    let mounted = Mounted::new(&sandbox);
    let mut written = Vec::new();
    for event in [
        "stop",
        "stop in use",
        "main killed",
        "both killed",
        "daemon killed",
    ] {
        sandbox.sh(&format!("echo '{event}' > m/n.md"));
        written.push(event);
        let (daemon, supervisor) = mounted.processes();
        let mut sitter = sandbox.command("sleep");
        let mut sitter = sitter
            .arg("600")
            .current_dir(mounted.at(""))
            .spawn()
            .unwrap();
        if event != "stop in use" {
            sitter.kill().unwrap();
            sitter.wait().unwrap();
        }
        match event {
            "daemon killed" => {
                daemon.kill();
                mounted.comes_back(&daemon);
                assert!(supervisor.is_running(), "the service goes on");
            }
            "main killed" => supervisor.kill(),
            "both killed" => {
                daemon.signal(Signal::STOP);
                supervisor.kill();
                daemon.kill();
            }
            _ => {}
        }
        // ExecStop; after a death it may find nothing.
        let _ = sandbox.handoff(["unmount", "m"]).output().unwrap();
        assert_eq!(sandbox.mounts().len(), 0, "{event}");
        for process in [&supervisor, &daemon] {
            if process.is_running() {
                process.signal(Signal::TERM);
            }
            process.wait();
        }
        mounted.mount();
        let _ = sitter.kill();
        let _ = sitter.wait();
    }
    let found = sorted(sandbox.take());
    written.sort_unstable();
    assert_eq!(found, written);
    mounted.unmount();
}
