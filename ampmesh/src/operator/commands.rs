//! What a region process answers its operator, and nobody else.

use amp_proto::{Arguments, Command};

/// Lists the region processes of the mesh, a page at a time.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = Region, response = RegionPage)]
pub(super) struct ReportRegions {
    /// How many to leave out at the beginning.
    pub(super) from: u32,
}

/// A page of region processes.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub(super) struct RegionPage {
    /// The region processes, sorted by name.
    pub(super) regions: Vec<ReportedRegion>,
    /// Whether there are more.
    pub(super) more: bool,
}

/// One region process.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub(super) struct ReportedRegion {
    /// Its identity.
    pub(super) id: String,
    /// Its name.
    pub(super) name: String,
    /// Where it listens, the best address first.
    pub(super) addresses: Vec<String>,
    /// The version of its program.
    pub(super) version: String,
    /// How long it has been up, in milliseconds.
    pub(super) up_ms: u64,
}

/// Lists the connections of the mesh, a page at a time.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = Region, response = ConnectionPage)]
pub(super) struct ReportConnections {
    /// How many to leave out at the beginning.
    pub(super) from: u32,
}

/// A page of connections.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub(super) struct ConnectionPage {
    /// The connections, sorted by the cluster's name.
    pub(super) connections: Vec<ReportedConnection>,
    /// Whether there are more.
    pub(super) more: bool,
    /// Why the registry could not be asked, if so: there are those of the answering process alone.
    pub(super) registry_error: Option<String>,
}

/// One connection between a region process and a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub(super) struct ReportedConnection {
    /// The region process's identity.
    pub(super) region: String,
    /// The cluster's uuid.
    pub(super) cluster: String,
    /// The cluster's name.
    pub(super) cluster_name: String,
    /// The version of the cluster's program, if it told.
    pub(super) cluster_version: Option<String>,
    /// Where the region process sees the cluster.
    pub(super) address: String,
    /// The last round trip, in microseconds.
    pub(super) round_trip_us: Option<u64>,
    /// How long the connection has been up, in milliseconds.
    pub(super) up_ms: u64,
}

/// Measures the way to a cluster and back.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = Region, response = Pinged)]
pub(super) struct PingCluster {
    /// The cluster's uuid.
    pub(super) cluster: String,
    /// How long to wait for the cluster to be connected, in milliseconds.
    pub(super) connect_ms: u64,
    /// How long all of it may take, in milliseconds.
    pub(super) timeout_ms: u64,
}

/// How a ping went: the time it took, or a problem.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub(super) struct Pinged {
    /// The round trip, in microseconds.
    pub(super) round_trip_us: Option<u64>,
    /// What went wrong.
    pub(super) problem: Vec<super::problem::ReportedProblem>,
}
