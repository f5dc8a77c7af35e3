//! Who is meant by the TARGET of a command line.

use std::time::Duration;

use amp_proto::RoleName;
use amp_proto::dynamic::nearest;
use uuid::Uuid;

use crate::operator::{Directory, KnownCluster, KnownRegion, Target};
use crate::text::span;

/// There is nobody to ask. The list of `ampmesh ls` shows who is there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TargetError {
    /// Nothing was given.
    #[error(
        "the target is empty: give a cluster's uuid or name, a region process's name, `any`, \
         `all` or `region`"
    )]
    Empty,
    /// Any or all clusters were meant, and none is connected.
    #[error("no cluster is connected")]
    NoClusters,
    /// Nobody is called like that.
    #[error("there is no target `{wanted}`{}", suggestion(.meant.as_ref()))]
    Unknown {
        /// What was given.
        wanted: String,
        /// A name that looks like it.
        meant: Option<String>,
    },
    /// More than one is called like that, or begins so.
    #[error("`{wanted}` can be any of {}; write more of the uuid", .candidates.join(", "))]
    Ambiguous {
        /// What was given.
        wanted: String,
        /// Who could be meant.
        candidates: Vec<String>,
    },
    /// The region process is part of the mesh, but has no socket here.
    #[error("the region process `{name}` does not run with this data directory")]
    Elsewhere {
        /// Its name.
        name: String,
    },
    /// The region process is there and says nothing.
    #[error(
        "the region process `{name}` {}, but did not answer within {}; look whether it is \
         stopped or hangs",
        whereabouts(*.registered), span(*.waited)
    )]
    Silent {
        /// Its name.
        name: String,
        /// How long it was waited for.
        waited: Duration,
        /// Whether the registry is known to know it. If not, its socket is there all the same.
        registered: bool,
    },
}

impl TargetError {
    /// [`TargetError::Silent`].
    pub(crate) fn silent(name: &str, waited: Duration, registered: bool) -> Self {
        Self::Silent { name: name.to_owned(), waited, registered }
    }
}

fn whereabouts(registered: bool) -> &'static str {
    if registered { "is registered" } else { "has its socket in the data directory" }
}

fn suggestion(meant: Option<&String>) -> String {
    meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"))
}

/// How many targets there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// One.
    One,
    /// Any number: `all`.
    All,
}

/// Whether `wanted` stands for one target or for all clusters.
pub(crate) fn extent(wanted: &str) -> Extent {
    if wanted == "all" { Extent::All } else { Extent::One }
}

/// Finds who is meant by `wanted`. `here` is the region process that gave the directory.
///
/// # Errors
/// [`TargetError`].
pub(crate) fn resolve(
    wanted: &str,
    directory: &Directory,
    here: &Target,
) -> Result<Vec<Target>, TargetError> {
    let clusters = &directory.clusters;
    match wanted {
        "region" => Ok(vec![here.clone()]),
        "all" | "any" if clusters.is_empty() => Err(TargetError::NoClusters),
        "all" => Ok(clusters.iter().map(cluster_target).collect()),
        "any" => Ok(any(clusters).map(cluster_target).into_iter().collect()),
        _ => one(named(wanted, directory), wanted, directory).map(|target| vec![target]),
    }
}

fn any(clusters: &[KnownCluster]) -> Option<&KnownCluster> {
    let count = u128::try_from(clusters.len()).ok().filter(|count| *count > 0)?;
    clusters.get(usize::try_from(Uuid::new_v4().as_u128() % count).ok()?)
}

/// Whoever has that name or identity; failing that, clusters whose uuid begins so.
fn named(wanted: &str, directory: &Directory) -> Vec<Target> {
    let typed = wanted.to_ascii_lowercase();
    let clusters = directory.clusters.iter();
    let exact = clusters.filter(|cluster| cluster.name == wanted || cluster.uuid == typed);
    let regions = directory.regions.iter();
    let regions = regions.filter(|region| region.name == wanted || region.id == typed);
    let exact: Vec<Target> = exact.map(cluster_target).chain(regions.map(region_target)).collect();
    if !exact.is_empty() {
        return exact;
    }
    let begins = |cluster: &&KnownCluster| !typed.is_empty() && cluster.uuid.starts_with(&typed);
    directory.clusters.iter().filter(begins).map(cluster_target).collect()
}

fn one(mut found: Vec<Target>, wanted: &str, directory: &Directory) -> Result<Target, TargetError> {
    match found.pop() {
        Some(target) if found.is_empty() => Ok(target),
        Some(last) => {
            found.push(last);
            let candidate = |it: &Target| format!("{} {} ({})", it.role, it.name, it.id);
            let candidates = found.iter().map(candidate).collect();
            Err(TargetError::Ambiguous { wanted: wanted.to_owned(), candidates })
        }
        // A whole uuid needs no directory: the region process waits a moment for its cluster.
        None if wanted.parse::<Uuid>().is_ok() => {
            let id = wanted.to_ascii_lowercase();
            Ok(Target { role: RoleName::Cluster, name: id.clone(), id })
        }
        None => {
            let clusters = directory.clusters.iter().map(|cluster| cluster.name.as_str());
            let regions = directory.regions.iter().map(|region| region.name.as_str());
            let names = clusters.chain(regions).chain(["any", "all", "region"]);
            let meant = nearest(wanted, names).map(str::to_owned);
            Err(TargetError::Unknown { wanted: wanted.to_owned(), meant })
        }
    }
}

fn cluster_target(cluster: &KnownCluster) -> Target {
    let KnownCluster { uuid, name, .. } = cluster;
    Target { role: RoleName::Cluster, name: name.clone(), id: uuid.clone() }
}

fn region_target(region: &KnownRegion) -> Target {
    let KnownRegion { id, name, .. } = region;
    Target { role: RoleName::Region, name: name.clone(), id: id.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Presence;

    fn cluster(name: &str, uuid: &str) -> KnownCluster {
        KnownCluster { uuid: uuid.to_owned(), name: name.to_owned(), version: None }
    }

    fn directory() -> Directory {
        let north = KnownRegion {
            id: "r-1".to_owned(),
            name: "north".to_owned(),
            addresses: Vec::new(),
            version: String::new(),
            up: Duration::ZERO,
            presence: Presence::NotAsked,
        };
        let clusters = vec![
            cluster("rack-1", "aa11"),
            cluster("rack-2", "aa22"),
            cluster("twin", "bb"),
            cluster("twin", "cc"),
        ];
        Directory { regions: vec![north], clusters, ..Directory::default() }
    }

    fn found(wanted: &str) -> Result<Vec<String>, TargetError> {
        let here = region_target(&directory().regions[0]);
        let targets = resolve(wanted, &directory(), &here)?;
        Ok(targets.into_iter().map(|target| target.id).collect())
    }

    #[test]
    fn a_cluster_is_found_by_uuid_by_its_start_and_by_name() {
        assert_eq!(found("aa11"), Ok(vec!["aa11".to_owned()]));
        assert_eq!(found("AA2"), Ok(vec!["aa22".to_owned()]));
        assert_eq!(found("rack-1"), Ok(vec!["aa11".to_owned()]));
    }

    #[test]
    fn a_whole_uuid_is_taken_at_its_word() {
        let uuid = "5f0d6a3e-0000-4000-8000-00000000000a";
        assert_eq!(found(&uuid.to_uppercase()), Ok(vec![uuid.to_owned()]));
    }

    #[test]
    fn a_region_is_found_by_name_or_as_the_one_that_answers() {
        assert_eq!(found("north"), Ok(vec!["r-1".to_owned()]));
        assert_eq!(found("region"), Ok(vec!["r-1".to_owned()]));
        assert_eq!(
            found("R-1"),
            Ok(vec!["r-1".to_owned()]),
            "identities are written in lower case"
        );
    }

    #[test]
    fn all_are_all_and_any_is_one() {
        assert_eq!(found("all").unwrap().len(), 4);
        assert_eq!(found("any").unwrap().len(), 1);
        let nobody = Directory { clusters: Vec::new(), ..directory() };
        let here = region_target(&nobody.regions[0]);
        assert_eq!(resolve("any", &nobody, &here), Err(TargetError::NoClusters));
    }

    #[test]
    fn what_fits_several_is_refused_with_their_names() {
        let Err(TargetError::Ambiguous { candidates, .. }) = found("aa") else { panic!() };
        assert_eq!(candidates, ["cluster rack-1 (aa11)", "cluster rack-2 (aa22)"]);
        assert!(matches!(found("twin"), Err(TargetError::Ambiguous { .. })));
    }

    #[test]
    fn an_unknown_target_is_answered_with_one_that_looks_like_it() {
        let error = found("rack-3").unwrap_err();
        assert!(error.to_string().starts_with("there is no target `rack-3`; did you mean `rack-"));
        assert_eq!(found("zzz").unwrap_err().to_string(), "there is no target `zzz`");
        let wanted = "region-3";
        let regions = ["region-1", "region-2"]
            .map(|name| KnownRegion { name: name.to_owned(), ..directory().regions.remove(0) });
        let directory = Directory { regions: regions.into(), ..directory() };
        let here = region_target(&directory.regions[0]);
        let error = resolve(wanted, &directory, &here).unwrap_err();
        assert!(error.to_string().ends_with("did you mean `region-1`?"), "{error}");
    }

    #[test]
    fn a_region_that_says_nothing_is_told_from_one_that_nobody_knows() {
        let error = TargetError::silent("north", Duration::from_secs(1), true);
        assert_eq!(
            error.to_string(),
            "the region process `north` is registered, but did not answer within 1 s; look \
             whether it is stopped or hangs"
        );
        let error = TargetError::silent("north", Duration::from_millis(300), false);
        assert!(error.to_string().contains("`north` has its socket in the data directory, but"));
    }
}
