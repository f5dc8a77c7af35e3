//! A link, as the test sees it.

use std::sync::Arc;

use crate::wire::Gate;

/// All connections between one region process and one cluster, past and future, and the hand of the
/// test on them. Made by [`Mesh::link`](crate::Mesh::link).
#[derive(Clone, Debug)]
pub struct Link {
    gate: Arc<Gate>,
}

impl Link {
    pub(crate) fn new(gate: Arc<Gate>) -> Self {
        Self { gate }
    }

    /// Breaks every connection: both ends see it broken at their next look. New ones fail until
    /// [`Link::heal`].
    pub fn cut(&self) {
        self.gate.cut();
    }

    /// Lets every byte vanish on its way, and every attempt to connect. Both ends see a connection
    /// that is open and silent, until [`Link::heal`].
    pub fn freeze(&self) {
        self.gate.freeze();
    }

    /// Lets new connections through, and what was on its way when the link froze. Connections that
    /// were cut stay broken.
    pub fn heal(&self) {
        self.gate.heal();
    }
}
