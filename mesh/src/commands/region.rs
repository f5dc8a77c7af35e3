//! What regions answer.

use amp_proto::{Arguments, Command};

/// A cluster presents itself, right after the handshake.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = Region, response = ClusterRegistered)]
pub struct RegisterCluster {
    /// The cluster's uuid.
    pub uuid: String,
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
