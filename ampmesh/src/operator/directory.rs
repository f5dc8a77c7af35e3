//! What the mesh consists of, as a region process reports it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh::commands::Ident;

use super::commands::{ReportedConnection, ReportedRegion};
use super::details::{ReportedDetails, Told, Untold};
use super::find::{ANSWER_MAX, Asked};

/// Everything that is up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directory {
    /// Those that the registry knows, sorted by name.
    pub(crate) regions: Vec<KnownRegion>,
    /// Those that have a socket here and are not in the registry of the process that was asked:
    /// they use another one, or it has forgotten them. Known after [`Directory::mark`].
    pub(crate) unregistered: Vec<Unregistered>,
    /// Sorted by name.
    pub(crate) clusters: Vec<KnownCluster>,
    /// Sorted by the cluster's name, then the region's.
    pub(crate) connections: Vec<Connection>,
    /// Region processes by identity, or by name where it is not known, and why nothing is known of
    /// their connections but what the registry has. Known after [`Directory::detail`].
    pub(crate) untold: BTreeMap<String, Untold>,
    /// Present if the registry could not be asked.
    pub(crate) unasked: Option<Unasked>,
}

/// A registry that could not be asked: the region processes are those that were known last, and of
/// the connections there are only some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unasked {
    /// What is in the way.
    pub(crate) why: String,
    /// The identities of the region processes whose connections are known all the same.
    known_of: BTreeSet<String>,
}

impl Unasked {
    /// Only the connections of the region process with this identity are known.
    pub(crate) fn new(why: String, region_id: &str) -> Self {
        Self { why, known_of: BTreeSet::from([region_id.to_owned()]) }
    }
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

/// A region process that the registry does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unregistered {
    pub(crate) name: String,
    /// Known, as the version is, if it answers.
    pub(crate) id: Option<String>,
    pub(crate) version: Option<String>,
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
    /// What the region process told. Known after [`Directory::detail`], if it told anything.
    pub(crate) details: Option<ReportedDetails>,
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
                details: None,
            });
        }
        let clusters = clusters.into_values().collect();
        let mut directory = Self { regions, clusters, connections: known, ..Self::default() };
        directory.sort();
        directory
    }

    fn sort(&mut self) {
        self.clusters.sort_by(|a, b| (&a.name, &a.uuid).cmp(&(&b.name, &b.uuid)));
        self.connections.sort_by(|a, b| {
            let key = |it: &Connection| {
                (it.cluster_name.clone(), it.cluster_uuid.clone(), it.region_name.clone())
            };
            key(a).cmp(&key(b))
        });
    }

    /// Adds what region processes told of their connections. After [`Directory::mark`].
    ///
    /// Of one that told, the connections are those that it told of, and no others: the registry
    /// hears of them a moment later, and never of those of a process that has another registry.
    pub(crate) fn detail(&mut self, told: Vec<Told>) {
        let mut untold: BTreeMap<String, Untold> = BTreeMap::new();
        let registered = self.regions.iter().map(|it| (&it.id, it.presence));
        let strangers =
            self.unregistered.iter().map(|it| (it.id.as_ref().unwrap_or(&it.name), it.presence));
        for (key, presence) in registered.chain(strangers) {
            let why = match presence {
                Presence::NotAsked => Untold::NotAsked,
                Presence::Answers => Untold::Silent(ANSWER_MAX),
                Presence::Silent(waited) => Untold::Silent(waited),
            };
            untold.insert(key.clone(), why);
        }
        for Told { region_id, region_name, details } in told {
            match details {
                Ok(details) => {
                    untold.remove(&region_id);
                    self.unasked.iter_mut().for_each(|it| {
                        it.known_of.insert(region_id.clone());
                    });
                    self.connections.retain(|it| it.region_id != region_id);
                    let known = details.into_iter().map(|it| told_of(&region_id, &region_name, it));
                    self.connections.extend(known);
                }
                Err(why) => drop(untold.insert(region_id, why)),
            }
        }
        self.untold = untold;
        self.clusters_of_connections();
        self.sort();
    }

    /// Leaves out the clusters that are gone, and adds those that have come.
    fn clusters_of_connections(&mut self) {
        let connected: BTreeMap<&str, &Connection> =
            self.connections.iter().map(|it| (it.cluster_uuid.as_str(), it)).collect();
        self.clusters.retain(|it| connected.contains_key(it.uuid.as_str()));
        let known: BTreeSet<String> = self.clusters.iter().map(|it| it.uuid.clone()).collect();
        let new = connected.into_iter().filter(|(uuid, _)| !known.contains(*uuid));
        let new = new.map(|(uuid, it)| KnownCluster {
            uuid: uuid.to_owned(),
            name: it.cluster_name.clone(),
            version: it.details.as_ref().and_then(|it| it.cluster_version.clone()),
        });
        self.clusters.extend(new);
    }

    /// Notes which region processes answer.
    pub(crate) fn mark(&mut self, asked: Vec<Asked>) {
        let mut silent = Vec::new();
        for it in asked {
            match it {
                Asked::Answers(ident) => {
                    match self.regions.iter_mut().find(|region| region.id == ident.ident) {
                        Some(region) => region.presence = Presence::Answers,
                        None => self.unregistered.push(unregistered(ident)),
                    }
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
                None => self.unregistered.push(Unregistered {
                    name,
                    id: None,
                    version: None,
                    presence: Presence::Silent(waited),
                }),
            }
        }
    }

    /// Whether the connections of this region process are known.
    pub(crate) fn knows_connections_of(&self, region_id: &str) -> bool {
        self.unasked.as_ref().is_none_or(|it| it.known_of.contains(region_id))
    }

    /// If the registry could not be asked: the names of those whose connections are known, and
    /// why.
    pub(crate) fn partial(&self) -> Option<(Vec<&str>, &str)> {
        let unasked = self.unasked.as_ref()?;
        let registered = self.regions.iter().map(|it| (Some(&it.id), &it.name));
        let strangers = self.unregistered.iter().map(|it| (it.id.as_ref(), &it.name));
        let all = registered.chain(strangers);
        let known = all.filter(|(id, _)| id.is_some_and(|id| unasked.known_of.contains(id)));
        Some((known.map(|(_, name)| name.as_str()).collect(), &unasked.why))
    }

    /// How many region processes do not answer.
    pub(crate) fn silent(&self) -> usize {
        let registered = self.regions.iter().map(|it| it.presence);
        let presences = registered.chain(self.unregistered.iter().map(|it| it.presence));
        presences.filter(|presence| matches!(presence, Presence::Silent(_))).count()
    }

    /// The connections of one cluster.
    pub(crate) fn connections_of<'a>(
        &'a self,
        uuid: &'a str,
    ) -> impl Iterator<Item = &'a Connection> + 'a {
        self.connections.iter().filter(move |connection| connection.cluster_uuid == uuid)
    }
}

fn told_of(region_id: &str, region_name: &str, it: ReportedDetails) -> Connection {
    Connection {
        region_id: region_id.to_owned(),
        region_name: region_name.to_owned(),
        cluster_uuid: it.cluster.clone(),
        cluster_name: it.cluster_name.clone(),
        address: it.address.clone(),
        round_trip: it.round_trip_us.map(Duration::from_micros),
        up: Duration::from_millis(it.up_ms),
        details: Some(it),
    }
}

fn unregistered(ident: Ident) -> Unregistered {
    let Ident { ident: id, name, version } = ident;
    let name = name.unwrap_or_else(|| id.clone());
    Unregistered { name, id: Some(id), version, presence: Presence::Answers }
}

fn known_region(region: ReportedRegion) -> KnownRegion {
    let ReportedRegion { id, name, addresses, version, up_ms } = region;
    let up = Duration::from_millis(up_ms);
    KnownRegion { id, name, addresses, version, up, presence: Presence::NotAsked }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::details::Proof;

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
    fn a_region_is_listed_whether_it_answers_and_is_registered_or_not() {
        let regions = ["north", "south", "west"].map(|name| region(&format!("id-{name}"), name));
        let mut directory = Directory::new(regions.into(), Vec::new());
        let waited = Duration::from_secs(1);
        let silent = |name: &str| Asked::Silent { name: name.to_owned(), waited };
        let answers = |name: &str| {
            let (ident, name, version) = (format!("id-{name}"), Some(name.to_owned()), None);
            Asked::Answers(Ident { ident, name, version })
        };
        directory.mark(vec![answers("north"), silent("east"), answers("arctic"), silent("south")]);
        let presences: Vec<_> = directory.regions.iter().map(|it| it.presence).collect();
        assert_eq!(presences, [Presence::Answers, Presence::Silent(waited), Presence::NotAsked]);
        let others: Vec<_> =
            directory.unregistered.iter().map(|it| (it.name.as_str(), it.presence)).collect();
        assert_eq!(others, [("arctic", Presence::Answers), ("east", Presence::Silent(waited))]);
        assert_eq!(directory.silent(), 2);
    }

    fn told(cluster: &str) -> ReportedDetails {
        ReportedDetails {
            cluster: cluster.to_owned(),
            cluster_name: format!("name of {cluster}"),
            cluster_version: None,
            address: "192.0.2.7:1".to_owned(),
            up_ms: 1,
            round_trip_us: None,
            proof: Proof::Nothing,
            key: None,
            is_encrypted: false,
            calls_to_cluster: 0,
            calls_to_region: 0,
            agreed: Vec::new(),
        }
    }

    #[test]
    fn who_tells_of_its_connections_is_believed_and_who_does_not_is_named_with_the_reason() {
        let regions = ["r1", "r2", "r3", "r4"].map(|id| region(id, &format!("name of {id}")));
        let connections = [("r1", "gone"), ("r2", "a"), ("r3", "a"), ("r4", "a")]
            .map(|(region, cluster)| connection(region, cluster));
        let mut directory = Directory::new(regions.into(), connections.into());
        for (region, presence) in directory.regions.iter_mut().zip([
            Presence::Answers,
            Presence::Answers,
            Presence::Silent(Duration::from_secs(1)),
            Presence::NotAsked,
        ]) {
            region.presence = presence;
        }
        let older = Untold::Failed("unhandled".to_owned());
        let answers = [("r1", Ok(vec![told("new")])), ("r2", Err(older.clone()))];
        directory.detail(
            answers
                .map(|(id, details)| Told {
                    region_id: id.to_owned(),
                    region_name: format!("name of {id}"),
                    details,
                })
                .into(),
        );
        let silent = Untold::Silent(Duration::from_secs(1));
        let expected = [("r2", older), ("r3", silent), ("r4", Untold::NotAsked)];
        assert_eq!(directory.untold, expected.map(|(id, why)| (id.to_owned(), why)).into());
        let known: Vec<_> = directory
            .connections
            .iter()
            .map(|it| (it.region_id.as_str(), it.cluster_uuid.as_str(), it.details.is_some()))
            .collect();
        assert_eq!(
            known,
            [("r2", "a", false), ("r3", "a", false), ("r4", "a", false), ("r1", "new", true)]
        );
        let clusters: Vec<_> = directory.clusters.iter().map(|it| it.uuid.as_str()).collect();
        assert_eq!(clusters, ["a", "new"], "of those that are connected");
    }
}
