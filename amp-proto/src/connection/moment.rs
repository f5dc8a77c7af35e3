//! Time as a value: nothing here reads a clock.

use core::time::Duration;

/// A reading of the clock that the caller keeps, counted from any fixed start, to the nanosecond.
/// It goes 584 years far.
// One number, as every call compares several of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The clock's start.
    pub const START: Self = Self(0);

    /// A reading, as the time since the clock's start. Saturates.
    #[must_use]
    pub const fn since_start(elapsed: Duration) -> Self {
        Self(nanoseconds(elapsed))
    }

    /// This moment, and so much later. Saturates.
    #[must_use]
    pub const fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(wait)))
    }

    /// How long it is from `earlier` to this moment; zero if it is the other way round.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Saturates.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "what is constant cannot use `try_from`, and what would be cut off is not there"
)]
const fn nanoseconds(duration: Duration) -> u64 {
    let nanoseconds = duration.as_nanos();
    if nanoseconds > u64::MAX as u128 { u64::MAX } else { nanoseconds as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Duration = Duration::new(7, 123_456_789);

    #[test]
    fn what_is_added_is_what_lies_between() {
        let later = Moment::since_start(SOME).after(SOME);
        assert_eq!(later.since(Moment::since_start(SOME)), SOME);
        assert_eq!(Moment::since_start(SOME).since(later), Duration::ZERO);
        assert!(Moment::START < Moment::since_start(SOME) && Moment::since_start(SOME) < later);
    }

    #[test]
    fn no_time_is_too_long_to_be_waited_for() {
        let never = Moment::since_start(SOME).after(Duration::MAX);
        assert_eq!(never, never.after(SOME));
        assert!(never > Moment::since_start(Duration::from_secs(500 * 365 * 24 * 3600)));
    }
}
