//! How long consumed handoffs are kept (spec 7.1).

use std::time::{Duration, SystemTime};

/// How long consumed handoffs, replaced versions and abandoned scratch files are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Retention(Duration);

impl Retention {
    /// Keeps files for `time`; with zero they expire at once.
    pub fn new(time: Duration) -> Retention {
        Retention(time)
    }

    /// The time itself.
    pub fn duration(self) -> Duration {
        self.0
    }

    /// Whether a file that was consumed at `since` (its mtime) has expired at `now`: its age has reached the retention. A file
    /// with an mtime in the future has not expired, so that a clock that was set back deletes nothing.
    pub fn expired(&self, since: SystemTime, now: SystemTime) -> bool {
        now.duration_since(since).is_ok_and(|age| age >= self.0)
    }
}

impl Default for Retention {
    /// Seven days.
    fn default() -> Retention {
        Retention(Duration::from_secs(7 * 24 * 60 * 60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// spec 7.1a: seven days, on the second
    #[test]
    fn expires_on_the_second() {
        let week = Retention::default();
        let since = at(1_800_000_000);
        assert!(!week.expired(since, at(1_800_000_000 + 604_799)));
        assert!(week.expired(since, at(1_800_000_000 + 604_800)));
        assert!(week.expired(since, at(1_800_000_000 + 604_801)));
    }

    /// spec 7.2a: a clock set back deletes nothing
    #[test]
    fn the_future_is_never_expired() {
        assert!(!Retention::new(Duration::ZERO).expired(at(11), at(10)));
        assert!(Retention::new(Duration::ZERO).expired(at(10), at(10)));
    }

    /// spec 7.1a: `--retention` may be absurd, and mtimes too
    #[test]
    fn no_time_overflows() {
        let forever = Retention::new(Duration::MAX);
        let before_1970 = SystemTime::UNIX_EPOCH - Duration::from_secs(1 << 40);
        assert!(!forever.expired(before_1970, at(1 << 40)));
        assert!(Retention::default().expired(before_1970, at(0)));
    }

    proptest! {
        /// spec 7.1a: a file expires exactly when its age reaches the retention time
        #[test]
        fn expired_exactly_from_its_time_on(since in 0..9u64, keep in 0..9u64, now in 0..27u64) {
            let retention = Retention::new(Duration::from_secs(keep));
            prop_assert_eq!(retention.expired(at(since), at(now)), since + keep <= now);
        }
    }
}
