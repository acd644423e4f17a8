//! Names that the kernel may use without asking.
//!
//! This file and `ops/readdirplus.rs` serve one row of the benchmark, "`ls -l` of 10,000". Without them the kernel looks up
//! every name at every use, because one name means different files to different callers, and `ls -l` of a large root takes
//! ten times as long. [`DentryCache::changed`], which every change of a name calls, then does nothing.
//!
//! The listing (READDIRPLUS) hands out names and attributes that the kernel may use for [`TTL`]. When a name changes, one
//! message makes the kernel look up every name again. The message takes no lock in the kernel and waits for no process, so the
//! daemon sends it under the state lock, after the change and before the answer to the request that caused the change.
//!
//! The message reaches directories too: at its next use the kernel would detach a mount on a directory, and getcwd(2)
//! in it would fail for a moment. So names are handed out, and the message is sent, only while the kernel knows no directory
//! but the root.
//!
//! The kernel takes a directory for outdated if the directory's LOOKUP began before the last message: at the next use, what
//! is mounted there is detached. So if a LOOKUP of a directory may have begun before, the daemon answers it with ESTALE once,
//! and the kernel begins the LOOKUP again.
//!
//! A listing whose answer is on its way while a name changes may bring that name back. The daemon sends the message once more
//! when the next request on the same handle tells that the answer has arrived. Until then stat(2) may find the old name, for
//! [`TTL`] at most; every other request about the name comes here.

use std::collections::HashMap;
use std::fmt::Debug;
use std::io;
use std::time::{Duration, Instant};

use crate::fs::ids::Handle;

/// How long the kernel may use a name, and the attributes that came with it. `ls -l` needs a few milliseconds.
pub const TTL: Duration = Duration::from_millis(100);

/// The kernel counts in ticks of up to 10 ms, and rounds up.
const ROUNDING: Duration = Duration::from_millis(20);

/// A LOOKUP that comes longer than this after a message has begun after the message.
const RECENT: Duration = Duration::from_secs(1);

/// The way to the kernel.
pub trait Kernel: Debug + Send {
    /// Makes the kernel look up every name of this mount at its next use. Must not wait for anything.
    ///
    /// # Errors
    ///
    /// The kernel does not know how, or the mount has ended.
    fn look_up_all_names(&self) -> io::Result<()>;
}

/// Which names the kernel may use without asking.
#[derive(Debug, Default)]
pub struct DentryCache {
    /// Without a way to the kernel no name is handed out.
    kernel: Option<Box<dyn Kernel>>,
    /// How many directories the kernel knows besides the root.
    directories: usize,
    /// The listings whose last answer had names and may be on its way, and whether a name has changed since.
    on_the_way: HashMap<Handle, bool>,
    /// When the last name that has arrived at the kernel expires.
    expires: Option<Instant>,
    /// When the last message was sent.
    sent: Option<Instant>,
    /// The threads that were made to look a directory up again, and when.
    asked_again: Vec<(u32, Instant)>,
}

impl DentryCache {
    /// Gives or takes the way to the kernel. Names are handed out only while there is one.
    pub fn connect(&mut self, kernel: Option<Box<dyn Kernel>>) {
        self.kernel = kernel;
    }

    /// May names be handed out?
    pub fn is_usable(&self) -> bool {
        let mut asked_again = self.asked_again.iter();
        self.kernel.is_some()
            && self.directories == 0
            && asked_again.all(|(_, at)| at.elapsed() >= RECENT)
    }

    /// May the kernel use any name without asking?
    pub fn may_hold_names(&self) -> bool {
        !self.on_the_way.is_empty() || self.expires.is_some_and(|at| Instant::now() < at)
    }

    /// The answer to a listing hands out names, and is on its way.
    pub fn handed_out(&mut self, listing: Handle) {
        self.on_the_way.insert(listing, false);
    }

    /// The next request on a listing has come, so its last answer has arrived.
    pub fn arrived(&mut self, listing: Handle) {
        if let Some(changed) = self.on_the_way.remove(&listing) {
            self.expires = Some(Instant::now() + TTL + ROUNDING);
            if changed {
                self.changed();
            }
        }
    }

    /// The meaning of a name, or its attributes, have changed: the kernel must not use what it has cached.
    pub fn changed(&mut self) {
        if self.directories > 0 || !self.may_hold_names() {
            return;
        }
        let Some(kernel) = &self.kernel else { return };
        match kernel.look_up_all_names() {
            Ok(()) => {
                self.expires = None;
                self.sent = Some(Instant::now());
                for changed in self.on_the_way.values_mut() {
                    *changed = true;
                }
            }
            Err(error) => {
                log::info!(
                    "the kernel cannot be told to drop cached names ({error}) and caches none from now on, so `ls -l` of \
                     large directories is slower"
                );
                self.kernel = None;
            }
        }
    }

    /// The kernel is about to be told of a directory. Its cached names go first: no message may be sent afterwards.
    pub fn directory_known(&mut self) {
        self.changed();
        self.directories += 1;
    }

    /// Must this thread look up again a directory that the kernel does not know? Not twice: a second ESTALE would reach the
    /// caller.
    pub fn must_look_up_again(&mut self, tid: u32) -> bool {
        self.changed();
        self.asked_again.retain(|(_, at)| at.elapsed() < RECENT);
        let recent = self.sent.is_some_and(|at| at.elapsed() < RECENT);
        let again = recent && self.asked_again.iter().all(|(asked, _)| *asked != tid);
        if again {
            self.asked_again.push((tid, Instant::now()));
        }
        again
    }

    /// The kernel has forgotten a directory.
    pub fn directory_forgotten(&mut self) {
        self.directories = self.directories.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Debug)]
    struct Counter(Arc<AtomicUsize>);

    impl Kernel for Counter {
        fn look_up_all_names(&self) -> io::Result<()> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }

    #[derive(Debug)]
    struct Old;

    impl Kernel for Old {
        fn look_up_all_names(&self) -> io::Result<()> {
            Err(io::Error::from_raw_os_error(libc::EINVAL))
        }
    }

    const LISTING: Handle = Handle(1);

    /// A cache, and how many messages it has sent since that was last asked.
    fn counted() -> (DentryCache, impl Fn() -> usize) {
        let count = Arc::new(AtomicUsize::new(0));
        let cache = DentryCache {
            kernel: Some(Box::new(Counter(count.clone()))),
            ..DentryCache::default()
        };
        (cache, move || count.swap(0, Ordering::Relaxed))
    }

    #[test]
    fn nothing_is_sent_for_nothing() {
        let (mut cache, sent) = counted();
        cache.changed();
        cache.handed_out(LISTING);
        cache.arrived(LISTING);
        assert_eq!(sent(), 0);
        cache.changed();
        assert_eq!(sent(), 1);
        cache.changed();
        assert_eq!(sent(), 0);
        assert!(!cache.may_hold_names());
    }

    #[test]
    fn an_answer_on_its_way_is_overtaken_by_every_change() {
        let (mut cache, sent) = counted();
        cache.handed_out(LISTING);
        cache.changed();
        cache.changed();
        assert_eq!(sent(), 2);
        cache.arrived(LISTING);
        assert_eq!(sent(), 1, "the answer may have brought the old name back");
        cache.arrived(LISTING);
        cache.changed();
        assert_eq!(sent(), 0);
    }

    #[test]
    fn nothing_is_sent_while_a_directory_is_known() {
        let (mut cache, sent) = counted();
        cache.handed_out(LISTING);
        cache.directory_known();
        assert_eq!(sent(), 1);
        assert!(!cache.is_usable());
        cache.changed();
        cache.arrived(LISTING);
        cache.directory_known();
        cache.directory_forgotten();
        cache.changed();
        assert_eq!(sent(), 0);
        cache.directory_forgotten();
        assert!(cache.is_usable());
    }

    #[test]
    fn a_directory_whose_lookup_had_begun_is_looked_up_again_once() {
        let (mut cache, sent) = counted();
        assert!(!cache.must_look_up_again(1));
        cache.handed_out(LISTING);
        assert!(cache.must_look_up_again(1));
        assert_eq!(sent(), 1);
        // Otherwise another message might be sent before the directory is known.
        assert!(!cache.is_usable());
        assert!(!cache.must_look_up_again(1));
        assert!(
            cache.must_look_up_again(2),
            "another thread's LOOKUP may have begun before the message, too"
        );
    }

    #[test]
    fn a_kernel_that_does_not_understand_gets_no_names() {
        let mut cache = DentryCache {
            kernel: Some(Box::new(Old)),
            ..DentryCache::default()
        };
        cache.handed_out(LISTING);
        cache.changed();
        assert!(!cache.is_usable());
    }
}
