//! The file systems that are measured, each mounted over a directory of its own.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::table::Who;
use crate::{Bench, Result, cleanup};

/// How long a mount or its end may take; mounting over very many files takes a while.
const PATIENCE: Duration = Duration::from_secs(60);

/// The file with the output of the last peer.
const PEERS_LOG: &str = "peers.log";

/// The pids of a handoff-fs.
#[derive(Clone, Copy)]
pub struct Pids {
    pub daemon: u32,
    pub supervisor: u32,
}

pub struct Mounted {
    who: Who,
    /// The mountpoint.
    point: PathBuf,
    program: PathBuf,
    /// A peer, which stays in the foreground.
    child: Option<Child>,
    pids: Option<Pids>,
    /// The time from its start until the mount was usable.
    pub usable_after: Duration,
    /// Removed after the mount has ended.
    _own: Option<TempDir>,
}

impl Mounted {
    /// Mounted over a new, empty directory on tmpfs.
    ///
    /// # Errors
    ///
    /// Mounting fails.
    pub fn fresh(bench: &Bench, who: Who, options: &[&str]) -> Result<Mounted> {
        let own = bench.directory()?;
        let files = own.path().join("files");
        fs::create_dir(&files)?;
        let mut mounted = Mounted::over(bench, who, &files, options)?;
        mounted._own = Some(own);
        Ok(mounted)
    }

    /// Mounted over `files`, which is the mountpoint of handoff-fs; the peers have a mountpoint beside it.
    ///
    /// # Errors
    ///
    /// Mounting fails.
    pub fn over(bench: &Bench, who: Who, files: &Path, options: &[&str]) -> Result<Mounted> {
        let mut point = files.to_owned();
        let mut child = None;
        let mut program = PathBuf::new();
        let start;
        match who {
            Who::Ours | Who::Before => {
                bench.build(who).clone_into(&mut program);
                cleanup::add_mount(&point);
                let log = bench.scratch.join("handoff-fs.log");
                let mut command = Command::new(&program);
                command.arg("mount").arg(&point).arg("--log-file").arg(log);
                command.args(options).stdin(Stdio::null());
                start = Instant::now();
                let status = command.status()?;
                if !status.success() {
                    return Err(format!("{} mount: {status}", program.display()).into());
                }
                fs::metadata(point.join("pending.md"))?;
            }
            Who::Bare | Who::Shell => start = Instant::now(),
            Who::Passthrough | Who::PassthroughUncached | Who::Bindfs | Who::Mergerfs => {
                point = files.with_extension("mount");
                fs::create_dir_all(&point)?;
                cleanup::add_mount(&point);
                let mut command = peer(bench, who, files, &point);
                start = Instant::now();
                let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
                let spawned = spawned.map_err(|error| format!("{}: {error}", who.name()))?;
                cleanup::add_daemon(spawned.id());
                child = Some(spawned);
            }
        }
        let mut mounted = Mounted {
            who,
            point,
            program,
            child,
            pids: None,
            usable_after: start.elapsed(),
            _own: None,
        };
        if mounted.child.is_some() {
            mounted.wait_for_peer(files).map_err(|error| {
                let said = fs::read_to_string(bench.scratch.join(PEERS_LOG)).unwrap_or_default();
                format!("{error}; {}", said.trim())
            })?;
            mounted.usable_after = start.elapsed();
        }
        if matches!(who, Who::Ours | Who::Before) {
            let status = mounted.status()?;
            let pid = |value: &Value| {
                let pid = value["pid"]
                    .as_u64()
                    .and_then(|pid| u32::try_from(pid).ok());
                pid.ok_or("handoff-fs status names no pid")
            };
            let pids = Pids {
                daemon: pid(&status)?,
                supervisor: pid(&status["supervisor"])?,
            };
            cleanup::add_daemon(pids.supervisor);
            cleanup::add_daemon(pids.daemon);
            mounted.pids = Some(pids);
        }
        Ok(mounted)
    }

    fn wait_for_peer(&mut self, files: &Path) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        let inside = fs::metadata(files)?.dev();
        // The device number of the mount differs from that of the directory below.
        while !fs::metadata(&self.point).is_ok_and(|point| point.dev() != inside) {
            let ended = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().transpose());
            if let Some(status) = ended.transpose()? {
                return Err(format!("it did not mount: {status}").into());
            }
            if Instant::now() > end {
                return Err("it does not mount".to_owned().into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// The backing directory.
    pub fn path(&self) -> &Path {
        &self.point
    }

    /// The pids, of a handoff-fs.
    ///
    /// # Panics
    ///
    /// This is a peer.
    pub fn pids(&self) -> Pids {
        self.pids.expect("only handoff-fs is asked for its pids")
    }

    fn status(&self) -> Result<Value> {
        let mut command = Command::new(&self.program);
        let output = command
            .args(["status", "--json"])
            .arg(&self.point)
            .output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("handoff-fs status: {}", said.trim()).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Waits until so many handoffs are pending, in a handoff-fs: RELEASE arrives after a writer's close(2) has returned.
    ///
    /// # Errors
    ///
    /// The number is not reached.
    pub fn expect_pending(&self, count: usize) -> Result<()> {
        if self.pids.is_none() {
            return Ok(());
        }
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            let status = self.status()?;
            if status["pending"].as_u64() == Some(count as u64) {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(format!("{count} should be pending: {status}").into());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Unmounts, and waits for the daemon's end.
    ///
    /// # Errors
    ///
    /// The daemon does not end.
    pub fn end(mut self) -> Result<()> {
        self.finish()
    }

    fn finish(&mut self) -> Result<()> {
        if matches!(self.who, Who::Bare | Who::Shell) {
            return Ok(());
        }
        let name = self.who.name();
        if cleanup::is_mounted(&self.point) {
            let status = if self.pids.is_some() {
                Command::new(&self.program)
                    .arg("unmount")
                    .arg(&self.point)
                    .status()?
            } else {
                Command::new("fusermount3")
                    .arg("-u")
                    .arg(&self.point)
                    .status()?
            };
            if !status.success() {
                self.force();
                return Err(format!("{name} could not be unmounted: {status}").into());
            }
        }
        let end = Instant::now() + PATIENCE;
        while self.is_running()? {
            if Instant::now() > end {
                self.force();
                return Err(format!("{name} does not end after it was unmounted").into());
            }
            thread::sleep(Duration::from_millis(2));
        }
        self.forget();
        Ok(())
    }

    fn is_running(&mut self) -> Result<bool> {
        if let Some(child) = &mut self.child {
            return Ok(child.try_wait()?.is_none());
        }
        let pids = self
            .pids
            .map_or(vec![], |pids| vec![pids.daemon, pids.supervisor]);
        Ok(pids.iter().any(|pid| {
            // A zombie has no command line.
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
        }))
    }

    fn force(&mut self) {
        if let Some(pids) = self.pids {
            cleanup::kill(pids.supervisor);
            cleanup::kill(pids.daemon);
        }
        cleanup::unmount(&self.point);
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.forget();
    }

    fn forget(&mut self) {
        cleanup::forget_mount(&self.point);
        if let Some(child) = self.child.take() {
            cleanup::forget_daemon(child.id());
        }
        if let Some(pids) = self.pids.take() {
            cleanup::forget_daemon(pids.daemon);
            cleanup::forget_daemon(pids.supervisor);
        }
        self.who = Who::Bare;
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.finish().is_err() {
            self.force();
        }
    }
}

/// The command that mounts a peer with its default options.
fn peer(bench: &Bench, who: Who, files: &Path, point: &Path) -> Command {
    let mut command;
    match who {
        Who::Bindfs => {
            command = Command::new("bindfs");
            // Only root may use allow_other.
            command
                .args(["-f", "--no-allow-other"])
                .arg(files)
                .arg(point);
        }
        Who::Mergerfs => {
            command = Command::new("mergerfs");
            // By default mergerfs creates no files on disks with less than 4 GiB left.
            command
                .args(["-f", "-o", "minfreespace=0"])
                .arg(files)
                .arg(point);
        }
        _ => {
            command = Command::new(&bench.passthrough);
            let mut options = format!("source={}", files.display());
            if who == Who::PassthroughUncached {
                options.push_str(",cache=never");
            }
            command.args(["-f", "-o", &options]).arg(point);
        }
    }
    if let Ok(log) = File::create(bench.scratch.join(PEERS_LOG)) {
        command.stderr(log);
    }
    command
}
