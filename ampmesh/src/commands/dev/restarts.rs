//! How often a process may be started again.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Deaths within [`Restarts::WITHIN`] after which a process is given up.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    deaths: VecDeque<Instant>,
}

impl Restarts {
    /// How many deaths are borne.
    const DEATHS_MAX: usize = 5;
    /// Within what time.
    const WITHIN: Duration = Duration::from_secs(60);

    /// Counts a death. Gives how long to wait before the next start, or nothing when there is to be
    /// none.
    pub(super) fn after_death(&mut self, now: Instant) -> Option<Duration> {
        self.deaths.retain(|death| now.duration_since(*death) < Self::WITHIN);
        self.deaths.push_back(now);
        match self.deaths.len() {
            1 => Some(Duration::ZERO),
            deaths if deaths <= Self::DEATHS_MAX => {
                // 50, 100, 200, 400 ms: what dies at birth does not keep the machine busy.
                let doublings = u32::try_from(deaths).unwrap_or(u32::MAX).saturating_sub(2);
                Some(Duration::from_millis(50) * 2_u32.saturating_pow(doublings))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_sixth_death_within_a_minute_is_the_last() {
        let mut restarts = Restarts::default();
        let waits: Vec<_> = (0..6).map(|_| restarts.after_death(Instant::now())).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(waits, [ms(0), ms(50), ms(100), ms(200), ms(400), None]);
    }

    #[tokio::test(start_paused = true)]
    async fn deaths_are_forgotten_after_a_minute() {
        let mut restarts = Restarts::default();
        for _ in 0..100 {
            assert_eq!(restarts.after_death(Instant::now()), Some(Duration::ZERO));
            tokio::time::advance(Restarts::WITHIN).await;
        }
    }
}
