//! What the mesh consists of, as a region process reports it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::commands::{ReportedConnection, ReportedRegion};
use super::find::Asked;

/// Everything that is up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directory {
    /// Those that the registry knows, sorted by name.
    pub(crate) regions: Vec<KnownRegion>,
    /// The names of processes that the registry has forgotten and that do not answer, each with
    /// how long it was waited for. Known after [`Directory::mark`].
    pub(crate) forgotten: Vec<(String, Duration)>,
    /// Sorted by name.
    pub(crate) clusters: Vec<KnownCluster>,
    /// Sorted by the cluster's name, then the region's.
    pub(crate) connections: Vec<Connection>,
}

/// A region process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownRegion {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) addresses: Vec<String>,
    pub(crate) version: String,
    pub(crate) up: Duration,
    pub(crate) presence: Presence,
}

/// Whether a region process answers an operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Nobody asked: it has no socket in this data directory, or [`Directory::mark`] was not used.
    #[default]
    NotAsked,
    /// It does.
    Answers,
    /// It did not for as long as this.
    Silent(Duration),
}

/// A cluster that is connected to at least one region process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownCluster {
    pub(crate) uuid: String,
    pub(crate) name: String,
    pub(crate) version: Option<String>,
}

/// A region process and a cluster that can call each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) region_id: String,
    /// The identity, if the region process is not listed any more.
    pub(crate) region_name: String,
    pub(crate) cluster_uuid: String,
    pub(crate) cluster_name: String,
    pub(crate) address: String,
    pub(crate) round_trip: Option<Duration>,
    pub(crate) up: Duration,
}

impl Directory {
    pub(super) fn new(regions: Vec<ReportedRegion>, connections: Vec<ReportedConnection>) -> Self {
        let mut regions: Vec<KnownRegion> = regions.into_iter().map(known_region).collect();
        regions.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        let names: BTreeMap<&str, &str> =
            regions.iter().map(|region| (region.id.as_str(), region.name.as_str())).collect();
        let mut clusters: BTreeMap<String, KnownCluster> = BTreeMap::new();
        let mut known: Vec<Connection> = Vec::with_capacity(connections.len());
        for it in connections {
            let region_name = names.get(it.region.as_str()).copied().unwrap_or(&it.region);
            clusters.entry(it.cluster.clone()).or_insert_with(|| KnownCluster {
                uuid: it.cluster.clone(),
                name: it.cluster_name.clone(),
                version: it.cluster_version,
            });
            known.push(Connection {
                region_name: region_name.to_owned(),
                region_id: it.region,
                cluster_uuid: it.cluster,
                cluster_name: it.cluster_name,
                address: it.address,
                round_trip: it.round_trip_us.map(Duration::from_micros),
                up: Duration::from_millis(it.up_ms),
            });
        }
        let mut clusters: Vec<KnownCluster> = clusters.into_values().collect();
        clusters.sort_by(|a, b| (&a.name, &a.uuid).cmp(&(&b.name, &b.uuid)));
        known.sort_by(|a, b| {
            let key = |it: &Connection| {
                (it.cluster_name.clone(), it.cluster_uuid.clone(), it.region_name.clone())
            };
            key(a).cmp(&key(b))
        });
        Self { regions, forgotten: Vec::new(), clusters, connections: known }
    }

    /// Notes which region processes answer.
    pub(crate) fn mark(&mut self, asked: Vec<Asked>) {
        let mut silent = Vec::new();
        for it in asked {
            match it {
                Asked::Answers { id } => {
                    let answering = self.regions.iter_mut().filter(|region| region.id == id);
                    answering.for_each(|region| region.presence = Presence::Answers);
                }
                Asked::Silent { name, waited } => silent.push((name, waited)),
            }
        }
        // The silent do not tell their identity: they are known by the names of their sockets.
        for (name, waited) in silent {
            let mut others = self.regions.iter_mut();
            let is_it = |it: &&mut KnownRegion| it.name == name && it.presence != Presence::Answers;
            match others.find(is_it) {
                Some(region) => region.presence = Presence::Silent(waited),
                None => self.forgotten.push((name, waited)),
            }
        }
    }

    /// How many region processes do not answer.
    pub(crate) fn silent(&self) -> usize {
        let is_silent = |it: &&KnownRegion| matches!(it.presence, Presence::Silent(_));
        self.forgotten.len() + self.regions.iter().filter(is_silent).count()
    }

    /// The connections of one cluster.
    pub(crate) fn connections_of<'a>(
        &'a self,
        uuid: &'a str,
    ) -> impl Iterator<Item = &'a Connection> + 'a {
        self.connections.iter().filter(move |connection| connection.cluster_uuid == uuid)
    }
}

fn known_region(region: ReportedRegion) -> KnownRegion {
    let ReportedRegion { id, name, addresses, version, up_ms } = region;
    let up = Duration::from_millis(up_ms);
    KnownRegion { id, name, addresses, version, up, presence: Presence::NotAsked }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(id: &str, name: &str) -> ReportedRegion {
        ReportedRegion {
            id: id.to_owned(),
            name: name.to_owned(),
            addresses: Vec::new(),
            version: String::new(),
            up_ms: 5,
        }
    }

    fn connection(region: &str, cluster: &str) -> ReportedConnection {
        ReportedConnection {
            region: region.to_owned(),
            cluster: cluster.to_owned(),
            cluster_name: format!("name of {cluster}"),
            cluster_version: None,
            address: "192.0.2.7:1".to_owned(),
            round_trip_us: Some(420),
            up_ms: 1,
        }
    }

    #[test]
    fn clusters_are_listed_once_and_regions_by_name() {
        let connections = vec![connection("r2", "c"), connection("r1", "c"), connection("r1", "b")];
        let directory = Directory::new(vec![region("r1", "north")], connections);
        let clusters: Vec<_> = directory.clusters.iter().map(|it| it.uuid.as_str()).collect();
        assert_eq!(clusters, ["b", "c"]);
        let of_c: Vec<_> =
            directory.connections_of("c").map(|it| it.region_name.as_str()).collect();
        assert_eq!(of_c, ["north", "r2"], "an unknown region is named by its identity");
    }

    #[test]
    fn a_region_that_does_not_answer_is_marked_or_listed_though_the_registry_forgot_it() {
        let regions = ["north", "south", "west"].map(|name| region(&format!("id-{name}"), name));
        let mut directory = Directory::new(regions.into(), Vec::new());
        let waited = Duration::from_secs(1);
        let silent = |name: &str| Asked::Silent { name: name.to_owned(), waited };
        let answers = Asked::Answers { id: "id-north".to_owned() };
        directory.mark(vec![answers, silent("east"), silent("south")]);
        let presences: Vec<_> = directory.regions.iter().map(|it| it.presence).collect();
        assert_eq!(presences, [Presence::Answers, Presence::Silent(waited), Presence::NotAsked]);
        assert_eq!(directory.forgotten, [("east".to_owned(), waited)]);
    }
}
