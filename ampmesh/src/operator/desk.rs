//! The region process's side: answers the commands of the operator.

use std::time::{Duration, SystemTime};

use amp_proto::{Argument as _, CallError, Never, PassedError, responders};
use mesh::chain;
use region::{LinkEntry, MeshReport, RegionController, RegionEntry};
use tokio::time::{Instant, timeout};

use super::ask::as_waited;
use super::commands::{
    ConnectionPage, PingCluster, Pinged, RegionPage, ReportConnections, ReportRegions,
    ReportedConnection, ReportedRegion,
};
use super::encoded;
use super::problem::{Problem, ProblemKind, ReportedProblem};
use super::relay::{RelayCommand, Relayed};
use crate::text::span;

/// How long the registry may take to answer. Fixed: half of the time that an operator waits for a
/// region process that was asked for by its name.
const REGISTRY_WAIT: Duration = Duration::from_millis(500);

/// Answers for one region process.
#[derive(Debug)]
pub(super) struct Desk {
    region: RegionController,
}

impl Desk {
    pub(super) fn new(region: RegionController) -> Self {
        Self { region }
    }

    /// The mesh as the registry has it; without one, what this process knows of it, and why.
    async fn report(&self) -> (MeshReport, Option<String>) {
        let why = match timeout(REGISTRY_WAIT, self.region.report()).await {
            Ok(Ok(report)) => return (report, None),
            Ok(Err(error)) => chain(&error).to_string(),
            Err(_) => format!("no answer in {}", span(REGISTRY_WAIT)),
        };
        tracing::debug!(error = why, "no report of the registry");
        let report = MeshReport { regions: self.region.known_regions(), links: Vec::new() };
        (report, Some(bounded(&why)))
    }

    /// Every connection of the mesh: this process's own as they are now, the others' as the
    /// registry has them, if it can be asked, or why it cannot.
    async fn links(&self) -> (Vec<LinkEntry>, Option<String>) {
        let (MeshReport { mut links, .. }, registry_error) = self.report().await;
        links.retain(|link| link.region != *self.region.id());
        for client in self.region.get_all_clients() {
            let Some(Ok(cluster)) = client.ident().map(|it| it.parse()) else { continue };
            links.push(LinkEntry {
                region: self.region.id().clone(),
                cluster,
                cluster_name: client.name(),
                cluster_version: client.version(),
                address: client.address().to_owned(),
                round_trip: client.round_trip(),
                since: client.link().since(),
            });
        }
        links.sort_by(|a, b| {
            (&a.cluster_name, a.cluster, &a.region).cmp(&(&b.cluster_name, b.cluster, &b.region))
        });
        (links, registry_error)
    }

    /// A client to the cluster, waited for as long as `connect_ms`.
    async fn client(
        &self,
        cluster: &str,
        connect_ms: u64,
    ) -> Result<region::Client<amp_proto::Cluster>, Problem> {
        let not_connected = |why: String| {
            let description = format!("cluster {cluster} is not connected: {why}");
            Problem::before_sending(ProblemKind::NotConnected, description)
        };
        let uuid: uuid::Uuid = cluster.parse().map_err(|_| not_connected("no uuid".to_owned()))?;
        let patience = Duration::from_millis(connect_ms);
        match timeout(patience, self.region.get_client_for(uuid)).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error)) => Err(not_connected(chain(&error).to_string())),
            Err(_) => Err(not_connected(format!("waited for {connect_ms} ms"))),
        }
    }

    async fn relay(&self, it: &RelayCommand) -> Result<Relayed, Problem> {
        let (begun, patience) = (Instant::now(), Duration::from_millis(it.timeout_ms));
        let client = self.client(&it.cluster, it.connect_ms).await?;
        let client = client.within(patience.saturating_sub(begun.elapsed()));
        let start = Instant::now();
        let received = client.call_encoded(&it.command, &it.arguments).await;
        let took = start.elapsed();
        let received =
            received.map_err(|error| Problem::from(as_waited(error, patience)).after(took))?;
        Ok(Relayed {
            response: encoded::of_response(&received.fields()),
            problem: Vec::new(),
            round_trip_us: microseconds(took),
        })
    }

    async fn ping(&self, it: &PingCluster) -> Result<Duration, Problem> {
        let (begun, patience) = (Instant::now(), Duration::from_millis(it.timeout_ms));
        let client = self.client(&it.cluster, it.connect_ms).await?;
        let client = client.within(patience.saturating_sub(begun.elapsed()));
        let pinged = client.ping().await;
        pinged.map_err(|error: CallError<Never>| {
            let error = as_waited(error, patience);
            Problem::from(error.map_declared(|never| -> PassedError { match never {} }))
        })
    }
}

#[responders]
impl Desk {
    #[responder]
    async fn report_regions(&self, it: ReportRegions) -> Result<RegionPage, Never> {
        let now = SystemTime::now();
        let (MeshReport { regions, .. }, _) = self.report().await;
        let (regions, more) = page(&regions, it.from, |region| reported_region(region, now));
        Ok(RegionPage { regions, more })
    }

    #[responder]
    async fn report_connections(&self, it: ReportConnections) -> Result<ConnectionPage, Never> {
        let now = SystemTime::now();
        let (links, registry_error) = self.links().await;
        let (connections, more) = page(&links, it.from, |link| reported_connection(link, now));
        Ok(ConnectionPage { connections, more, registry_error })
    }

    #[responder]
    async fn relay_command(&self, it: RelayCommand) -> Result<Relayed, Never> {
        Ok(self.relay(&it).await.unwrap_or_else(|problem| Relayed {
            response: Vec::new(),
            round_trip_us: problem.round_trip.map_or(0, microseconds),
            problem: vec![ReportedProblem::from(problem)],
        }))
    }

    #[responder]
    async fn ping_cluster(&self, it: PingCluster) -> Result<Pinged, Never> {
        Ok(match self.ping(&it).await {
            Ok(time) => Pinged { round_trip_us: Some(microseconds(time)), problem: Vec::new() },
            Err(problem) => {
                Pinged { round_trip_us: None, problem: vec![ReportedProblem::from(problem)] }
            }
        })
    }
}

/// The entries from the given one on that fit one value, and whether there are more.
pub(super) fn page<T, Row>(entries: &[T], from: u32, row_of: impl Fn(&T) -> Row) -> (Vec<Row>, bool)
where
    Vec<Row>: amp_proto::Argument,
{
    /// AMP carries 65,535 bytes in a value.
    const BYTES_MAX: usize = 48 * 1024;
    let rest = usize::try_from(from).ok().and_then(|from| entries.get(from..));
    let rest = rest.unwrap_or_default();
    let mut rows = Vec::new();
    let mut bytes = 0;
    for entry in rest {
        let mut encoded = Vec::new();
        let row = vec![row_of(entry)];
        let fits = row.encode(&mut encoded).is_ok();
        bytes += encoded.len();
        if fits && bytes > BYTES_MAX && !rows.is_empty() {
            return (rows, true);
        }
        rows.extend(row);
    }
    (rows, false)
}

/// A peer's own words are bounded before they are passed on.
pub(super) fn bounded(text: &str) -> String {
    const LETTERS_MAX: usize = 255;
    text.chars().take(LETTERS_MAX).collect()
}

fn reported_region(region: &RegionEntry, now: SystemTime) -> ReportedRegion {
    const ADDRESSES_MAX: usize = 32;
    let addresses = region.addresses.iter().take(ADDRESSES_MAX);
    ReportedRegion {
        id: bounded(region.id.as_str()),
        name: bounded(&region.name),
        addresses: addresses.map(|address| bounded(address)).collect(),
        version: bounded(&region.version),
        up_ms: milliseconds_since(region.started, now),
    }
}

fn reported_connection(link: &LinkEntry, now: SystemTime) -> ReportedConnection {
    ReportedConnection {
        region: bounded(link.region.as_str()),
        cluster: link.cluster.to_string(),
        cluster_name: bounded(&link.cluster_name),
        cluster_version: link.cluster_version.as_deref().map(bounded),
        address: bounded(&link.address),
        round_trip_us: link.round_trip.map(microseconds),
        up_ms: milliseconds_since(link.since, now),
    }
}

pub(super) fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn milliseconds_since(start: SystemTime, now: SystemTime) -> u64 {
    let elapsed = now.duration_since(start).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: usize) -> RegionEntry {
        RegionEntry {
            id: region::RegionId::from(format!("{index}")),
            name: "x".repeat(1000),
            addresses: vec!["y".repeat(200); 40],
            version: "0.1.0".to_owned(),
            started: SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn pages_fit_a_value_and_together_hold_everything() {
        let entries: Vec<RegionEntry> = (0..100).map(entry).collect();
        let mut ids = Vec::new();
        loop {
            let from = u32::try_from(ids.len()).unwrap();
            let (rows, more) =
                page(&entries, from, |it| reported_region(it, SystemTime::UNIX_EPOCH));
            let mut encoded = Vec::new();
            rows.encode(&mut encoded).unwrap();
            assert!(encoded.len() <= amp_proto::VALUE_BYTES_MAX);
            ids.extend(rows.into_iter().map(|row| row.id));
            if !more {
                break;
            }
        }
        assert_eq!(ids, (0..100).map(|index| index.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn beyond_the_end_there_is_an_empty_page() {
        let entries = [entry(0)];
        let (rows, more) = page(&entries, 7, |it| reported_region(it, SystemTime::UNIX_EPOCH));
        assert_eq!((rows.len(), more), (0, false));
    }
}
