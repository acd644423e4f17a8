//! Small disks in memory.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags};

/// A tmpfs that is mounted over a directory, for root. Drop it after the mount that is over it.
pub struct Tmpfs(PathBuf);

impl Tmpfs {
    /// With these options of tmpfs(5).
    pub fn over(dir: &Path, options: &str) -> Tmpfs {
        let options = CString::new(format!("mode=700,{options}")).unwrap();
        let flags = MountFlags::empty();
        rustix::mount::mount("tmpfs", dir, "tmpfs", flags, options.as_c_str()).unwrap();
        Tmpfs(dir.to_owned())
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
    }
}
