//! The clock of a connection: the runtime's, so that tests can stop and turn it.

use std::time::Duration;

use amp_proto::Moment;
use tokio::time::Instant;

/// Readings of tokio's clock, counted from when this was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(self) -> Moment {
        Moment::since_start(self.start.elapsed())
    }

    /// When that was, or the start if it was before.
    pub(crate) fn moment(self, instant: Instant) -> Moment {
        Moment::since_start(instant.saturating_duration_since(self.start))
    }

    pub(crate) fn instant(self, moment: Moment) -> Instant {
        const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
        let elapsed = moment.since(Moment::START);
        // Nobody waits longer than that, and no clock goes further.
        self.start.checked_add(elapsed).unwrap_or_else(|| self.start + CENTURY)
    }
}
