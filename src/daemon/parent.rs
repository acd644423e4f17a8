//! The process that has started this one.

use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags};

/// A pidfd of this process's parent, if that is still who it is said to be: the number of a parent cannot have been
/// given to another process.
pub(super) fn open_parent(pid: i32) -> Option<OwnedFd> {
    let expected = Pid::from_raw(pid);
    let is_parent = || expected.is_some() && rustix::process::getppid() == expected;
    if !is_parent() {
        return None;
    }
    let pidfd = rustix::process::pidfd_open(expected?, PidfdFlags::empty()).ok()?;
    is_parent().then_some(pidfd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_known_by_its_number() {
        let parent = rustix::process::getppid().unwrap().as_raw_nonzero().get();
        assert!(open_parent(parent).is_some());
        assert!(open_parent(parent + 1).is_none() && open_parent(0).is_none());
    }
}
