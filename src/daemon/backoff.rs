//! When a supervisor mounts again, and when the supervisor gives up (spec 8.3b).

use std::time::Duration;

/// A daemon that lived shorter than this died early. Perhaps each next one will, too.
const EARLY: Duration = Duration::from_secs(1);

/// After this many early deaths in a row, each next start waits for [`PAUSE`].
const EARLY_AT_ONCE: u32 = 25;

/// After this many early deaths in a row the supervisor gives up.
const MOST_EARLY: u32 = 50;

/// Short enough that the directory is mounted again within a second.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// After this many failed starts in a row the supervisor gives up. The first pause is [`PAUSE`], and each next one is twice as
/// long: 6.3 s in all.
const MOST_FAILED: u32 = 7;

/// Describes the supervisor, for `--help`.
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
    /// Returns the pause before the next start, after a daemon that lived for `lived` has died.
    ///
    /// # Errors
    /// The reason to give up.
    pub(super) fn died(&mut self, lived: Duration) -> Result<Duration, String> {
        self.failed_starts = 0;
        self.early_deaths = match lived < EARLY {
            true => self.early_deaths + 1,
            false => 0,
        };
        match self.early_deaths {
            0..=EARLY_AT_ONCE => Ok(Duration::ZERO),
            MOST_EARLY.. => {
                let early = EARLY.as_secs();
                Err(format!(
                    "{MOST_EARLY} daemons in a row died within {early} s"
                ))
            }
            _ => Ok(PAUSE),
        }
    }

    /// Returns the pause before the next start, after a daemon could not be started.
    ///
    /// # Errors
    /// The reason to give up.
    pub(super) fn start_failed(&mut self) -> Result<Duration, String> {
        self.failed_starts += 1;
        match self.failed_starts {
            MOST_FAILED.. => Err(format!("{MOST_FAILED} starts in a row failed")),
            n => Ok(PAUSE * (1 << (n - 1))),
        }
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
            assert_eq!(backoff.died(EARLY), Ok(Duration::ZERO));
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
        let reason = backoff.died(Duration::ZERO).unwrap_err();
        assert_eq!(reason, "50 daemons in a row died within 1 s");
        assert_eq!(backoff.died(EARLY), Ok(Duration::ZERO));
        assert_eq!(backoff.died(Duration::ZERO), Ok(Duration::ZERO));
    }

    /// spec 8.3b
    #[test]
    fn failed_starts_have_longer_and_longer_pauses() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = std::iter::from_fn(|| backoff.start_failed().ok()).collect();
        assert_eq!(pauses.len(), 6);
        assert!(pauses.windows(2).all(|two| two[1] == two[0] * 2));
        assert_eq!(pauses.iter().sum::<Duration>(), Duration::from_millis(6300));
        // A daemon that has served was a successful start.
        assert!(backoff.died(Duration::ZERO).is_ok());
        assert_eq!(backoff.start_failed(), Ok(PAUSE));
    }
}
