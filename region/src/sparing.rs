//! Lines of the log that strangers can cause: a few are written, the others are counted.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many lines are written in one [`PERIOD`]. Fixed: enough to see what is going on, and few
/// enough for any disk.
const LINES_MAX: u32 = 10;
/// How long lines are counted together.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);

/// Decides which lines are written.
#[derive(Debug, Default)]
pub(crate) struct Sparing {
    count: Mutex<Count>,
}

#[derive(Debug, Default)]
struct Count {
    since: Option<Instant>,
    written: u32,
    left_out: u64,
}

/// What is to be done with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Write it.
    Write,
    /// Leave it out, and see that [`Sparing::left_out`] is asked after a [`PERIOD`].
    LeaveOutFirst,
    /// Leave it out: somebody sees to that already.
    LeaveOut,
}

impl Sparing {
    pub(crate) fn line(&self) -> Line {
        let mut count = self.count();
        if count.since.is_none_or(|since| since.elapsed() >= PERIOD) {
            count.since = Some(Instant::now());
            count.written = 0;
        }
        if count.written < LINES_MAX {
            count.written += 1;
            return Line::Write;
        }
        count.left_out += 1;
        if count.left_out == 1 { Line::LeaveOutFirst } else { Line::LeaveOut }
    }

    /// How many lines were left out since this was asked last.
    pub(crate) fn left_out(&self) -> u64 {
        std::mem::take(&mut self.count().left_out)
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_lines_a_second_are_written_and_the_others_counted() {
        let sparing = Sparing::default();
        for _ in 0..3 {
            let lines: Vec<Line> = (0..30).map(|_| sparing.line()).collect();
            assert!(lines[..10].iter().all(|line| *line == Line::Write));
            assert_eq!(lines[10], Line::LeaveOutFirst);
            assert!(lines[11..].iter().all(|line| *line == Line::LeaveOut));
            assert_eq!(sparing.left_out(), 20);
            tokio::time::advance(PERIOD).await;
        }
        assert_eq!(sparing.left_out(), 0);
    }
}
