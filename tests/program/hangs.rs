//! No client hangs: a killed daemon dies, and a daemon that does not die is cut off (spec 8.3b, 8.3d).

use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::Signal;

use crate::background::{Mounted, until, wait_until};
use crate::harness::KillOnDrop;
use crate::sandbox::Sandbox;
use crate::torture;
use crate::users::run;

/// After a kill there is a working mount within this time, or whatever hangs in the mount is cut off and the test fails.
const BOUND: Duration = Duration::from_secs(30);

/// The script of each client, until the file `stop` is there. `$1` is the number of the client.
const CLIENT: &str = r#"
while ! test -e stop; do
    echo text > m/c$1.md
    ls -l m > /dev/null
    cat m/pending.md > /dev/null
    for f in m/*_c$1*_done.md; do rm -f "$f"; break; done
    echo >> rounds$1
done
"#;

/// spec 8.3b, 8.3d: four clients write, list with `ls -l`, read and remove. After every `kill -9` of the daemon there is a
/// working mount, and no client hangs.
#[test]
fn clients_that_list_and_remove_outlive_every_kill() {
    let kills = torture::count(20, 200);
    let mut random = torture::random();
    let mut sandbox = Sandbox::new();
    sandbox.allow(Duration::from_secs(120 + 10 * kills));
    fs::create_dir(sandbox.path("m")).unwrap();
    // So many that the kernel caches their names.
    for i in 0..300 {
        let name = format!("m/2026-01-02_03{:02}{:02}_old_done.md", i / 60, i % 60);
        fs::write(sandbox.path(name), "old\n").unwrap();
    }
    let mounted = Mounted::new(&sandbox);
    let mut clients = Vec::new();
    for number in ["1", "2", "3", "4"] {
        let mut bash = sandbox.command("bash");
        bash.args(["-c", CLIENT, "client", number])
            .stderr(Stdio::null());
        clients.push(KillOnDrop(bash.spawn().unwrap()));
    }
    let mut slowest = Duration::ZERO;
    for i in 0..kills {
        // Now and then a daemon lives long enough not to have died early: else its supervisor gives up.
        let pause = if i % 10 == 9 {
            1100
        } else {
            random.u64(0..400)
        };
        thread::sleep(Duration::from_millis(pause));
        let watchdog = sandbox.watch(BOUND);
        let (daemon, _) = mounted.processes();
        let start = Instant::now();
        daemon.kill();
        mounted.comes_back(&daemon);
        // The listing must only end; names may be removed meanwhile.
        sandbox.sh("ls -l m > /dev/null 2>&1 || true");
        slowest = slowest.max(start.elapsed());
        assert!(start.elapsed() < BOUND, "kill {i}");
        drop(watchdog);
    }
    let watchdog = sandbox.watch(BOUND);
    fs::write(sandbox.path("stop"), "").unwrap();
    for client in &mut clients {
        client.0.wait().unwrap();
    }
    drop(watchdog);
    for number in 1..=4 {
        let rounds = fs::read(sandbox.path(format!("rounds{number}"))).unwrap();
        assert!(rounds.len() > 1, "client {number} did nothing");
    }
    torture::figure(
        "kills",
        format_args!(
            "{kills} beside clients that list and remove: usable again after {} ms (longest)",
            slowest.as_millis()
        ),
    );
    mounted.unmount();
}

/// An open that waits for its turn and is interrupted is no error: the log says nothing of it.
#[test]
fn an_interrupted_open_is_no_error() {
    let sandbox = Sandbox::new();
    let mounted = Mounted::new(&sandbox);
    sandbox.sh("echo text > m/x.md");
    let mut holder = fs::File::open(mounted.at("pending.md")).unwrap();
    holder.read_exact(&mut [0; 4]).unwrap();
    let mut reader = sandbox.command("cat").arg("m/pending.md").spawn().unwrap();
    let channel = format!("/proc/{}/wchan", reader.id());
    until("the reader waits for an answer", || {
        let waits = fs::read_to_string(&channel)
            .unwrap()
            .contains("request_wait_answer");
        waits.then_some(())
    });
    reader.kill().unwrap();
    reader.wait().unwrap();
    drop(holder);
    mounted.unmount();
    let log = mounted.log();
    assert!(!log.contains(" ERROR "), "{log}");
}

/// A disk of its own over a directory; frozen, whoever writes to it sleeps and cannot be killed.
struct Disk {
    directory: PathBuf,
    /// The root of the disk, which is reached through this descriptor when the mount is over it.
    root: fs::File,
    is_frozen: bool,
}

impl Disk {
    fn over(directory: &Path, image: &Path) -> Disk {
        fs::File::create(image).unwrap().set_len(16 << 20).unwrap();
        run(Command::new("mkfs.ext4").arg("-q").arg(image));
        run(Command::new("mount")
            .args(["-o", "loop"])
            .args([image, directory]));
        Disk {
            directory: directory.to_owned(),
            root: fs::File::open(directory).unwrap(),
            is_frozen: false,
        }
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.root.as_raw_fd())
    }

    fn freeze(&mut self) {
        run(Command::new("fsfreeze").arg("--freeze").arg(self.path()));
        self.is_frozen = true;
    }

    fn thaw(&mut self) {
        if std::mem::take(&mut self.is_frozen) {
            run(Command::new("fsfreeze").arg("--unfreeze").arg(self.path()));
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.thaw();
        let _ = rustix::mount::unmount(&self.directory, UnmountFlags::DETACH);
    }
}

/// The kernel's list of connections, mounted for as long as this lives if it was not.
struct Connections(bool);

const CONNECTIONS: &str = "/sys/fs/fuse/connections";

impl Connections {
    fn mounted() -> Connections {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let is_there = table.contains(&format!(" {CONNECTIONS} "));
        if !is_there {
            let none = MountFlags::empty();
            rustix::mount::mount("fusectl", CONNECTIONS, "fusectl", none, None).unwrap();
        }
        Connections(!is_there)
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        if self.0 {
            let _ = rustix::mount::unmount(CONNECTIONS, UnmountFlags::DETACH);
        }
    }
}

/// The states of a process's threads, as `/proc` names them.
fn states(pid: i32) -> Vec<char> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let stats = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok());
    stats
        .filter_map(|stat| stat.rsplit(')').next()?.trim().chars().next())
        .collect()
}

/// spec 8.3b, 8.3d: a daemon that does not end when told to is killed by its supervisor. A daemon that does not die
/// either, because a thread waits for a disk, is cut off from the kernel, so that its clients get an error.
#[test]
fn a_daemon_that_does_not_end_is_cut_off() {
    if !rustix::process::geteuid().is_root() {
        // Freezing a disk is root's.
        return;
    }
    let _connections = Connections::mounted();
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("m")).unwrap();
    let mut disk = Disk::over(&sandbox.path("m"), &sandbox.path("image"));
    let mounted = Mounted::new(&sandbox);
    let (daemon, supervisor) = mounted.processes();
    disk.freeze();
    let mut writer = sandbox.command("bash");
    let mut writer = writer.args(["-c", "echo x > m/x.md"]).spawn().unwrap();
    wait_until("a thread of the daemon waits for the disk", || {
        states(daemon.pid).contains(&'D')
    });
    daemon.signal(Signal::STOP);
    supervisor.signal(Signal::TERM);
    let ended = until("the writer is cut off", || writer.try_wait().unwrap());
    assert!(!ended.success());
    assert!(daemon.is_running(), "it has not waited for the disk");
    disk.thaw();
    daemon.wait();
    supervisor.wait();
    let log = mounted.log();
    for said in ["it is killed", "its connection was cut"] {
        assert!(log.contains(said), "{log}");
    }
    drop(mounted);
}
