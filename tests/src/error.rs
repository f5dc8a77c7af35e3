//! What can go wrong with a mesh before the test has begun.

use std::fmt;
use std::time::Duration;

/// Why there is no mesh, or not all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeshError {
    /// A region process did not start. The fault is in its settings, or in this machine.
    #[error("region-{index} did not start")]
    Region {
        /// Which one.
        index: usize,
        /// Its own reason.
        #[source]
        error: region::StartError,
    },
    /// A cluster did not start. The fault is in its settings.
    #[error("cluster-{index} did not start")]
    Cluster {
        /// Which one.
        index: usize,
        /// Its own reason.
        #[source]
        error: cluster::StartError,
    },
    /// Everything runs, and not everything is connected.
    #[error(transparent)]
    NotSettled(#[from] NotSettled),
}

/// Not every running cluster is connected to every running region process, and was not within the
/// time that was waited. The transcript and the log say what became of each attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct NotSettled {
    /// How long was waited.
    pub waited: Duration,
    /// The links that are missing, as indices of a region process and a cluster.
    pub missing: Vec<(usize, usize)>,
}

impl fmt::Display for NotSettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not connected within {} ms:", self.waited.as_millis())?;
        for (index, (region, cluster)) in self.missing.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma} region-{region} and cluster-{cluster}")?;
        }
        Ok(())
    }
}
