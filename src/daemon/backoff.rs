//! How often a supervisor mounts again, and when it gives up (spec 8.3b).

use std::time::Duration;

/// A daemon that lived shorter than this died early: perhaps every daemon here dies.
pub(super) const EARLY: Duration = Duration::from_secs(1);

/// After so many early deaths in a row, each next start waits for [`PAUSE`].
const EARLY_AT_ONCE: u32 = 25;

/// After so many early deaths in a row the supervisor gives up.
pub(super) const MOST_EARLY: u32 = 50;

/// Short enough that there is a mount again within a second.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// After so many failed starts in a row the supervisor gives up. The first pause is [`PAUSE`], and each next one is twice as
/// long: 6.3 s in all.
pub(super) const MOST_FAILED: u32 = 7;

/// What the supervisor does, for `--help`.
#[must_use]
pub fn supervision() -> String {
    format!(
        "In the background a second process, the supervisor, mounts again when the daemon has died. It gives up, says why in \
         the log, and leaves the plain directory, after {MOST_EARLY} daemons in a row that died within {} s each, or after \
         {MOST_FAILED} in a row that could not mount.",
        EARLY.as_secs()
    )
}

/// Counts the failures in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    early_deaths: u32,
    failed_starts: u32,
}

impl Backoff {
    /// A daemon has died after serving for so long. Returns the pause before the next start, or none to give up.
    pub(super) fn died(&mut self, lived: Duration) -> Option<Duration> {
        self.failed_starts = 0;
        self.early_deaths = match lived < EARLY {
            true => self.early_deaths + 1,
            false => 0,
        };
        match self.early_deaths {
            0..=EARLY_AT_ONCE => Some(Duration::ZERO),
            MOST_EARLY.. => None,
            _ => Some(PAUSE),
        }
    }

    /// A daemon could not be started. Returns the same.
    pub(super) fn start_failed(&mut self) -> Option<Duration> {
        self.failed_starts += 1;
        (self.failed_starts < MOST_FAILED).then(|| PAUSE * (1 << (self.failed_starts - 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// spec 8.3b: a daemon that dies after a while is replaced at once, however often.
    #[test]
    fn late_deaths_are_no_failures() {
        let mut backoff = Backoff::default();
        for _ in 0..1000 {
            assert_eq!(backoff.died(EARLY), Some(Duration::ZERO));
        }
    }

    /// spec 8.3b: within a second there is a mount again, until there have been too many deaths in a row.
    #[test]
    fn early_deaths_are_replaced_until_there_are_too_many() {
        let mut backoff = Backoff::default();
        for n in 1..MOST_EARLY {
            let pause = backoff.died(Duration::ZERO).unwrap();
            assert_eq!(pause.is_zero(), n <= EARLY_AT_ONCE, "{n}");
            assert!(pause <= PAUSE);
        }
        assert_eq!(backoff.died(Duration::ZERO), None);
        assert_eq!(backoff.died(EARLY), Some(Duration::ZERO));
        assert_eq!(backoff.died(Duration::ZERO), Some(Duration::ZERO));
    }

    /// spec 8.3b
    #[test]
    fn failed_starts_have_longer_and_longer_pauses() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = std::iter::from_fn(|| backoff.start_failed()).collect();
        assert_eq!(pauses.len(), 6);
        assert!(pauses.windows(2).all(|two| two[1] == two[0] * 2));
        assert_eq!(pauses.iter().sum::<Duration>(), Duration::from_millis(6300));
        // A daemon that has served was a successful start.
        assert!(backoff.died(Duration::ZERO).is_some());
        assert_eq!(backoff.start_failed(), Some(PAUSE));
    }
}
