//! Time as a value: nothing here reads a clock.

use core::time::Duration;

/// A reading of the clock that the caller keeps, counted from any fixed start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// The clock's start.
    pub const START: Self = Self(Duration::ZERO);

    /// A reading, as the time since the clock's start.
    #[must_use]
    pub const fn since_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// This moment, and so much later. Saturates.
    #[must_use]
    pub const fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(wait))
    }

    /// How long it is from `earlier` to this moment; zero if it is the other way round.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}
