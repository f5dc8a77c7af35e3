//! How long to wait before trying again.

use std::time::Duration;

use rand::RngExt as _;

/// Exponential back-off with full jitter: a random wait between nothing and a ceiling that doubles
/// with every failure, so that many who failed at once do not come back at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    ceiling: Duration,
    refused_ceiling: Duration,
    settings: BackoffSettings,
}

/// The bounds of a [`Backoff`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackoffSettings {
    /// The ceiling after the first failure. Default 100 ms.
    pub first: Duration,
    /// No ceiling is above this. Default 4 s, so that a region that comes back has everyone within
    /// five.
    pub max: Duration,
    /// The least wait after a refusal, which only a person can mend. Default 5 s.
    pub refused_min: Duration,
    /// No ceiling after a refusal is above this. Default 60 s.
    pub refused_max: Duration,
}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            max: Duration::from_secs(4),
            refused_min: Duration::from_secs(5),
            refused_max: Duration::from_secs(60),
        }
    }
}

impl Backoff {
    /// A back-off before its first failure.
    #[must_use]
    pub fn new(settings: BackoffSettings) -> Self {
        Self { ceiling: settings.first, refused_ceiling: settings.refused_min * 2, settings }
    }

    /// The wait after a failure that may pass by itself.
    pub fn after_failure(&mut self) -> Duration {
        let ceiling = self.ceiling;
        self.ceiling = (ceiling * 2).min(self.settings.max);
        between(Duration::ZERO, ceiling)
    }

    /// The wait after a refusal: never less than
    /// [`refused_min`](BackoffSettings::refused_min).
    pub fn after_refusal(&mut self) -> Duration {
        let ceiling = self.refused_ceiling;
        self.refused_ceiling = (ceiling * 2).min(self.settings.refused_max);
        between(self.settings.refused_min, ceiling)
    }

    /// It worked: the next failure is a first one.
    pub fn reset(&mut self) {
        *self = Self::new(self.settings.clone());
    }
}

fn between(least: Duration, most: Duration) -> Duration {
    if most <= least {
        return least;
    }
    rand::rng().random_range(least..=most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_below_a_ceiling_that_doubles_up_to_its_maximum() {
        let mut backoff = Backoff::new(BackoffSettings::default());
        let mut ceiling = Duration::from_millis(100);
        for _ in 0..20 {
            assert!(backoff.after_failure() <= ceiling);
            ceiling = (ceiling * 2).min(Duration::from_secs(4));
        }
        assert_eq!(backoff.ceiling, Duration::from_secs(4));
    }

    #[test]
    fn a_refusal_is_never_retried_soon() {
        let mut backoff = Backoff::new(BackoffSettings::default());
        for _ in 0..20 {
            let wait = backoff.after_refusal();
            assert!(wait >= Duration::from_secs(5) && wait <= Duration::from_secs(60));
        }
    }

    #[test]
    fn success_begins_again() {
        let mut backoff = Backoff::new(BackoffSettings::default());
        for _ in 0..20 {
            backoff.after_failure();
        }
        backoff.reset();
        assert!(backoff.after_failure() <= Duration::from_millis(100));
    }
}
