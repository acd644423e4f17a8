//! Filesystems that show another directory, for a mount to be over.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::UnmountFlags;
use tempfile::TempDir;

use crate::harness::detach;

/// A mounted file system. Drop it after the mount that is over it.
pub struct Layer {
    at: PathBuf,
    _beneath: TempDir,
}

impl Layer {
    /// bindfs with these options.
    pub fn bindfs(at: &Path, options: &[&str]) -> Layer {
        let beneath = tempfile::tempdir().unwrap();
        let mut bindfs = Command::new("bindfs");
        bindfs.args(options).arg(beneath.path()).arg(at);
        Layer::new(at, beneath, &mut bindfs)
    }

    /// encfs.
    pub fn encfs(at: &Path) -> Layer {
        let beneath = tempfile::tempdir().unwrap();
        let mut encfs = Command::new("encfs");
        encfs.args(["--standard", "--extpass=echo secret"]);
        encfs.arg(beneath.path()).arg(at);
        Layer::new(at, beneath, &mut encfs)
    }

    fn new(at: &Path, beneath: TempDir, mount: &mut Command) -> Layer {
        let output = mount.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Layer {
            at: at.to_owned(),
            _beneath: beneath,
        }
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        detach(&self.at, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.at);
    }
}
