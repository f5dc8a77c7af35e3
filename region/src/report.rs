//! The whole mesh at a glance.

use crate::registry::{LinkEntry, RegionEntry};

/// What the registry knows of the mesh at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshReport {
    /// The region processes that are up, sorted by name.
    pub regions: Vec<RegionEntry>,
    /// Their connections, sorted by cluster name.
    pub links: Vec<LinkEntry>,
}
