//! What clusters answer.

use amp_proto::Command;

use super::RegionRow;

/// A region tells a cluster which region processes there are, whenever that changes.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = Cluster)]
pub struct RegionsChanged {
    /// Every one that is up.
    pub regions: Vec<RegionRow>,
}
