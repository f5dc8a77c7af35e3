//! What regions answer.

use amp_proto::{Arguments, Command, CommandError};

use crate::ids::ClusterId;

/// A cluster presents itself, right after the handshake.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = Region, response = ClusterRegistered, errors = RegisterClusterError)]
pub struct RegisterCluster {
    /// The cluster's uuid.
    pub uuid: ClusterId,
    /// A name for people.
    pub name: String,
    /// The version of its program.
    pub version: String,
}

/// The region took note of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub struct ClusterRegistered {
    /// Whether `get_client_for` finds the cluster from now on. If not, the application's own
    /// registration command has to come first.
    pub admitted: bool,
}

/// Why a region does not take a cluster that presents itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, CommandError)]
#[non_exhaustive]
pub enum RegisterClusterError {
    /// The connection belongs to another identity already, or cannot have one. The fault is the
    /// cluster's; the region's words say which.
    #[error("not admitted: {0}")]
    #[code("NOT_ADMITTED")]
    NotAdmitted(String),
}

/// Asks for the region processes of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = Region, response = Regions)]
pub struct ListRegions;

/// The region processes of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub struct Regions {
    /// Every one that is up.
    pub regions: Vec<RegionRow>,
}

/// One region process.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub struct RegionRow {
    /// Its identity.
    pub uuid: String,
    /// A name for people.
    pub name: String,
    /// Where it listens, the best address first: `192.0.2.1:5250`, `[2001:db8::1]:5250`.
    pub addresses: Vec<String>,
}
