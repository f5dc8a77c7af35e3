//! What goes wrong in the same way over and over, and how often the log has to hear of it.

use std::time::Duration;

use tokio::time::Instant;

/// How long after a line the next one says that nothing has changed. Fixed: it is for people who
/// look at a log now and then.
const REMIND_AFTER: Duration = Duration::from_secs(300);

/// A row of failures of one kind of attempt. The first is news, and so is one that fails in another
/// way than the one before; of the others only one every five minutes is.
#[derive(Debug, Default)]
pub struct Repeats {
    told: Option<Told>,
    failures: u64,
}

#[derive(Debug)]
struct Told {
    failure: String,
    at: Instant,
}

impl Repeats {
    /// Nothing has failed so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// It failed. Says whether that is news.
    #[must_use]
    pub fn failed(&mut self, failure: String) -> bool {
        self.failures += 1;
        if self.has_told(&failure) {
            return false;
        }
        self.told = Some(Told { failure, at: Instant::now() });
        true
    }

    /// It failed, and something else told of that: it is no news.
    pub fn failed_silently(&mut self) {
        self.failures += 1;
    }

    /// Whether this failure was news here less than five minutes ago, and nothing else was since.
    #[must_use]
    pub fn has_told(&self, failure: &str) -> bool {
        let told = self.told.as_ref();
        told.is_some_and(|told| told.failure == failure && told.at.elapsed() < REMIND_AFTER)
    }

    /// How often it has failed since it last worked.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// It worked. Says how often it failed before, if it did and that was news.
    pub fn worked(&mut self) -> Option<u64> {
        let failures = std::mem::take(&mut self.failures);
        self.told.take().map(|_| failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_failure_is_news_once_and_then_every_five_minutes() {
        let mut repeats = Repeats::new();
        let mut news = Vec::new();
        for second in 0..700_u64 {
            if repeats.failed("nobody there".to_owned()) {
                news.push(second);
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(news, [0, 300, 600]);
        assert_eq!(repeats.worked(), Some(700));
        assert_eq!(repeats.worked(), None);
        assert!(repeats.failed("nobody there".to_owned()), "it is news again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_something_else_told_of_is_counted_and_no_more() {
        let mut repeats = Repeats::new();
        repeats.failed_silently();
        assert!(!repeats.has_told("nobody there"));
        assert_eq!((repeats.failures(), repeats.worked()), (1, None));
        assert_eq!(repeats.failures(), 0, "it worked since");
    }

    #[tokio::test(start_paused = true)]
    async fn to_fail_in_another_way_is_news() {
        let mut repeats = Repeats::new();
        let failures = ["nobody there", "nobody there", "refused", "refused", "nobody there"];
        let news = failures.map(|failure| repeats.failed(failure.to_owned()));
        assert_eq!(news, [true, false, true, false, true]);
        assert_eq!(repeats.failures(), 5);
    }
}
