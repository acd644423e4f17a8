//! Time comes in here and nowhere else, so that tests own it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, FixedOffset, Local, Utc};
use parking_lot::Mutex;

use crate::names::Stamp;

/// A source of time.
pub trait Clock: Send + Sync {
    /// The wall-clock time now.
    fn now(&self) -> SystemTime;

    /// The monotonic time now: setting the wall clock does not move it.
    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

/// The clock of the machine.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A clock that runs with the machine's, moved by an offset that a test sets.
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

    /// Moves the time back, as a clock that is set does.
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

/// The zone in which stamps and headers are written (spec 3.2, 6.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Zone {
    /// The machine's local time.
    Local,
    /// `--utc`.
    Utc,
}

impl Zone {
    /// A point in time as people of this zone write it.
    pub fn at(self, time: SystemTime) -> DateTime<FixedOffset> {
        match self {
            Zone::Local => DateTime::<Local>::from(time).fixed_offset(),
            Zone::Utc => DateTime::<Utc>::from(time).fixed_offset(),
        }
    }

    /// The stamp of a handoff created at `time`.
    pub fn stamp(self, time: SystemTime) -> Stamp {
        Stamp::new(self.at(time).naive_local())
    }
}

/// The machine's time, for what a caller of utimensat(2) means by «now».
pub fn machine_now() -> SystemTime {
    SystemClock.now()
}
