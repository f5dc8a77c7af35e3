//! Where region processes may be, and what is to be done about each place.

use std::fmt;

use mesh::{Backoff, RegionId, Repeats};
use tokio::time::Instant;

use crate::controller::Inner;

/// Somewhere a region process may be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// An address of the settings. Whoever answers there is welcome.
    Seed(String),
    /// A region process that others told of. Nobody else will do.
    Known(RegionId),
}

impl Place {
    /// The one region process that is looked for here.
    pub(crate) fn wanted(&self) -> Option<&RegionId> {
        match self {
            Self::Known(region) => Some(region),
            Self::Seed(_) => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seed(address) => f.write_str(address),
            Self::Known(region) => region.fmt(f),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) addresses: Vec<String>,
    pub(crate) backoff: Backoff,
    /// The attempts since somebody was there.
    pub(crate) attempts: Repeats,
    pub(crate) state: State,
    /// Who was there last, at a seed.
    pub(crate) region: Option<RegionId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// To be dialled now.
    Due,
    /// An attempt is under way.
    Dialling,
    /// The wait after a failure or a loss.
    Waiting,
    /// Nothing to do: whoever is there is connected.
    Content,
}

impl Target {
    pub(crate) fn new(inner: &Inner, addresses: Vec<String>) -> Self {
        let backoff = Backoff::new(inner.backoff.clone());
        Self { addresses, backoff, attempts: Repeats::new(), state: State::Due, region: None }
    }

    /// Whoever is looked for here is connected.
    pub(crate) fn reached(&mut self, place: &Place) {
        self.state = State::Content;
        if let Some(failures) = self.attempts.worked() {
            tracing::info!(%place, failures, "a region is there again");
        }
    }

    /// Who has to be connected for this place to need no attempt.
    pub(crate) fn region<'a>(&'a self, place: &'a Place) -> Option<&'a RegionId> {
        place.wanted().or(self.region.as_ref())
    }

    /// Its region process, connected since then, is lost.
    pub(crate) fn lost(&mut self, inner: &Inner, since: Instant) -> std::time::Duration {
        self.state = State::Waiting;
        // Who takes connections only to drop them has not come back, and is not to be run down.
        if since.elapsed() >= inner.backoff.max {
            self.backoff.reset();
        }
        // A crowd that lost the same region must not come back all at once.
        self.backoff.after_failure()
    }
}
