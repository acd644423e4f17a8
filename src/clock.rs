//! The only source of time of the filesystem's logic, so that tests can set the time.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, FixedOffset, Local, LocalResult, TimeDelta, TimeZone, Utc};
use parking_lot::Mutex;

use crate::names::Stamp;

/// A source of time.
pub trait Clock: Send + Sync {
    /// The wall-clock time now.
    fn now(&self) -> SystemTime;

    /// The monotonic time now, which goes on evenly when the wall clock is set.
    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

/// The machine's clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// The machine's clock, shifted by an offset that a test sets.
#[derive(Debug, Default, Clone)]
pub struct ShiftedClock {
    forward: Arc<Mutex<Duration>>,
    back: Arc<Mutex<Duration>>,
}

impl ShiftedClock {
    /// Moves the time forward.
    pub fn advance(&self, by: Duration) {
        *self.forward.lock() += by;
    }

    /// Moves the wall clock back, as if it were set.
    pub fn retreat(&self, by: Duration) {
        *self.back.lock() += by;
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> SystemTime {
        SystemClock.now() + *self.forward.lock() - *self.back.lock()
    }

    fn monotonic(&self) -> Instant {
        Instant::now() + *self.forward.lock()
    }
}

/// The time zone of stamps and headers (spec 3.2, 6.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Zone {
    /// The machine's local time.
    Local,
    /// `--utc`.
    Utc,
}

impl Zone {
    /// The date and time of day in this zone.
    pub fn at(self, time: SystemTime) -> DateTime<FixedOffset> {
        match self {
            Zone::Local => calendar(time).with_timezone(&Local).fixed_offset(),
            Zone::Utc => calendar(time).fixed_offset(),
        }
    }

    /// The time at which the clocks of this zone showed the stamp. If they showed it twice, because they were put back, the
    /// earlier time.
    pub fn time(self, stamp: Stamp) -> SystemTime {
        let shown = stamp.time();
        let local = match self {
            Zone::Utc => LocalResult::None,
            Zone::Local => match Local.from_local_datetime(&shown) {
                // The clocks skipped this time when they were put forward.
                LocalResult::None => Local.from_local_datetime(&(shown + TimeDelta::hours(1))),
                found => found,
            },
        };
        match local.earliest() {
            Some(time) => time.into(),
            None => shown.and_utc().into(),
        }
    }

    /// The stamp of a handoff created at `time`.
    pub fn stamp(self, time: SystemTime) -> Stamp {
        Stamp::new(self.at(time).naive_local())
    }
}

/// A point in time in UTC. A time that no calendar holds, as an mtime may, becomes the nearest one whose year has four
/// digits in every zone (spec 7.2b).
pub fn calendar(time: SystemTime) -> DateTime<Utc> {
    let first = SystemTime::UNIX_EPOCH - Duration::from_secs(62_167_132_800);
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_214_400);
    time.clamp(first, last).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> SystemTime {
        let distance = Duration::from_secs(seconds.unsigned_abs());
        match seconds < 0 {
            true => SystemTime::UNIX_EPOCH - distance,
            false => SystemTime::UNIX_EPOCH + distance,
        }
    }

    /// spec 7.2b: whatever an mtime may hold can be shown.
    #[test]
    fn times_that_no_calendar_holds() {
        for (seconds, shown) in [
            (i64::MAX, "9999-12-31"),
            (1_764_330_000_000_000_000, "9999-12-31"),
            (1_764_330_000, "2025-11-28"),
            (-62_135_596_800, "0001-01-01"),
            (-(1 << 60), "0000-01-02"),
            (i64::MIN, "0000-01-02"),
        ] {
            let time = calendar(at(seconds));
            assert_eq!(time.format("%Y-%m-%d").to_string(), shown);
            for zone in [Zone::Local, Zone::Utc] {
                let stamp = zone.stamp(at(seconds));
                assert_eq!(zone.stamp(zone.time(stamp)), stamp);
            }
        }
    }

    /// spec 3.5b: a stamp is of the zone that it was written in.
    #[test]
    fn a_stamp_is_a_time() {
        let now = at(1_764_330_000);
        for zone in [Zone::Local, Zone::Utc] {
            assert_eq!(zone.time(zone.stamp(now)), now);
        }
    }
}
