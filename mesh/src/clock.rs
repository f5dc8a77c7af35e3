//! The clock of a connection: the runtime's, so that tests can stop and turn it.

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

    pub(crate) fn instant(self, moment: Moment) -> Instant {
        self.start + moment.since(Moment::START)
    }
}
