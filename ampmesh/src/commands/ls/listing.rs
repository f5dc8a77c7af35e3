//! What `ampmesh ls --json` writes.

use std::time::Duration;

use serde::Serialize;

use crate::operator::{
    Connection, Directory, KnownCluster, KnownRegion, Presence, Proof, ReportedAgreement,
    ReportedDetails, Unregistered, Untold,
};
use crate::text::milliseconds;

/// The shape of `--json`.
#[derive(Serialize)]
pub(super) struct Listing<'a> {
    regions: Vec<ListedRegion<'a>>,
    clusters: Vec<ListedCluster<'a>>,
    connections: Vec<ListedConnection<'a>>,
    /// Null if the registry could be asked. If not, there are the connections only of those region
    /// processes that could be.
    registry_error: Option<&'a str>,
}

#[derive(Serialize)]
struct ListedRegion<'a> {
    name: &'a str,
    /// Absent, as the version is, if the process neither answers nor is registered.
    id: Option<&'a str>,
    addresses: &'a [String],
    version: Option<&'a str>,
    uptime_s: Option<f64>,
    registered: bool,
    answer: &'static str,
    waited_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'static str>,
}

#[derive(Serialize)]
struct ListedCluster<'a> {
    name: &'a str,
    uuid: &'a str,
    version: Option<&'a str>,
    connections: usize,
}

#[derive(Serialize)]
struct ListedConnection<'a> {
    region: &'a str,
    region_id: &'a str,
    cluster: &'a str,
    cluster_uuid: &'a str,
    address: &'a str,
    round_trip_ms: Option<f64>,
    uptime_s: f64,
    /// Absent unless they were asked for; null if the region process told nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Option<ListedDetails<'a>>>,
}

#[derive(Serialize)]
struct ListedDetails<'a> {
    transport: &'static str,
    proved_by: Proof,
    key: Option<String>,
    calls_to_cluster: u64,
    calls_to_region: u64,
    agreed: Option<&'a ReportedAgreement>,
}

impl<'a> Listing<'a> {
    /// The whole mesh, with the details of its connections if they were asked for.
    pub(super) fn of(directory: &'a Directory, with_details: bool) -> Self {
        let cluster = |it: &'a KnownCluster| ListedCluster {
            name: &it.name,
            uuid: &it.uuid,
            version: it.version.as_deref(),
            connections: directory.connections_of(&it.uuid).count(),
        };
        let registered = directory.regions.iter().map(listed_region);
        let strangers = directory.unregistered.iter().map(stranger);
        let mut regions: Vec<_> = registered.chain(strangers).collect();
        let mut connections: Vec<_> = directory.connections.iter().map(listed_connection).collect();
        if with_details {
            for it in &mut regions {
                let untold = directory.untold.get(it.id.unwrap_or(it.name));
                it.details = Some(untold.map_or("given", word_for_untold));
            }
            for (listed, it) in connections.iter_mut().zip(&directory.connections) {
                listed.details = Some(it.details.as_ref().map(listed_details));
            }
        }
        let clusters = directory.clusters.iter().map(cluster).collect();
        let registry_error = directory.unasked.as_ref().map(|it| it.why.as_str());
        Self { regions, clusters, connections, registry_error }
    }
}

fn listed_region(it: &KnownRegion) -> ListedRegion<'_> {
    let KnownRegion { name, id, addresses, version, up, presence } = it;
    let (answer, waited) = word_for(*presence);
    ListedRegion {
        name,
        id: Some(id),
        addresses,
        version: Some(version),
        uptime_s: Some(up.as_secs_f64()),
        registered: true,
        answer,
        waited_ms: waited.map(milliseconds),
        details: None,
    }
}

fn stranger(it: &Unregistered) -> ListedRegion<'_> {
    let (answer, waited) = word_for(it.presence);
    ListedRegion {
        name: &it.name,
        id: it.id.as_deref(),
        addresses: &[],
        version: it.version.as_deref(),
        uptime_s: None,
        registered: false,
        answer,
        waited_ms: waited.map(milliseconds),
        details: None,
    }
}

/// The answer in JSON, and how long it was waited for in vain.
fn word_for(presence: Presence) -> (&'static str, Option<Duration>) {
    match presence {
        Presence::NotAsked => ("not-asked", None),
        Presence::Answers => ("yes", None),
        Presence::Silent(waited) => ("none", Some(waited)),
    }
}

fn listed_connection(it: &Connection) -> ListedConnection<'_> {
    ListedConnection {
        region: &it.region_name,
        region_id: &it.region_id,
        cluster: &it.cluster_name,
        cluster_uuid: &it.cluster_uuid,
        address: &it.address,
        round_trip_ms: it.round_trip.map(milliseconds),
        uptime_s: it.up.as_secs_f64(),
        details: None,
    }
}

fn listed_details(it: &ReportedDetails) -> ListedDetails<'_> {
    ListedDetails {
        transport: if it.is_encrypted { "tls" } else { "plain" },
        proved_by: it.proof,
        key: it.key.map(|key| key.to_string()),
        calls_to_cluster: it.calls_to_cluster,
        calls_to_region: it.calls_to_region,
        agreed: it.agreed.first(),
    }
}

/// The same words as for [`Presence`], where they mean the same.
fn word_for_untold(why: &Untold) -> &'static str {
    match why {
        Untold::NotAsked => "not-asked",
        Untold::Silent(_) => "none",
        Untold::Failed(_) => "failed",
    }
}
