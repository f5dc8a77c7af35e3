//! From processes to a mesh: every region process connected to every cluster.

use std::path::Path;
use std::time::Duration;

use amp_proto::RoleName;
use anyhow::{Context as _, bail};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout_at};

use super::fleet::{Fleet, Handle};
use super::plan::Member;
use crate::cli::DevArgs;
use crate::operator::{Operator, ProblemKind, Target};
use crate::ready::Ready;
use crate::text::count;

/// How long the mesh may take to be complete.
pub(super) const COMPLETE_MAX: Duration = Duration::from_secs(30);

/// How long a cluster may take to answer a ping.
const PING_PATIENCE: Duration = Duration::from_secs(5);

/// How long a region process that is up may take to say who it is.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// The pause before the same thing is asked again.
const PAUSE: Duration = Duration::from_millis(20);

/// A complete mesh.
pub(super) struct Mesh {
    /// A connection to each region process.
    pub(super) operators: Vec<Operator>,
    /// The clusters.
    pub(super) clusters: Vec<Target>,
    /// The round trip between each region process and each cluster, by region.
    pub(super) round_trips: Vec<Vec<Duration>>,
    /// How many connections the registry knows.
    pub(super) connections: usize,
}

/// Starts the processes, and waits until each region process is connected to each cluster.
///
/// # Errors
/// What is missing after [`COMPLETE_MAX`], or who died.
///
/// # Cancellation
/// Processes that were started go on.
pub(super) async fn start(
    args: &DevArgs,
    data_dir: &Path,
    fleet: &Fleet,
    handles: &mut Vec<Handle>,
) -> anyhow::Result<Mesh> {
    let deadline = Instant::now() + COMPLETE_MAX;
    let regions: Vec<Handle> =
        Member::regions(args).into_iter().map(|member| fleet.start(member)).collect();
    let ready = all_up(&regions, deadline).await;
    handles.extend(regions);
    let mut addresses = Vec::new();
    let mut names = Vec::new();
    for it in ready? {
        if let Ready::Region { address, name, .. } = it {
            addresses.push(address);
            names.push(name);
        }
    }
    let clusters: Vec<Handle> =
        Member::clusters(args, &addresses).into_iter().map(|member| fleet.start(member)).collect();
    let ready = all_up(&clusters, deadline).await;
    handles.extend(clusters);
    let targets: Vec<Target> = ready?.into_iter().filter_map(cluster_target).collect();

    let operators =
        join_all(names.iter().map(|name| Operator::connect_to(data_dir, name, ANSWER_PATIENCE)))
            .await;
    let operators = operators.into_iter().collect::<Result<Vec<_>, _>>()?;
    let round_trips = all_connected(&operators, &targets, deadline).await?;
    let connections = all_registered(&operators, targets.len(), deadline).await?;
    Ok(Mesh { operators, clusters: targets, round_trips, connections })
}

fn cluster_target(ready: Ready) -> Option<Target> {
    match ready {
        Ready::Cluster { name, uuid, .. } => {
            Some(Target { role: RoleName::Cluster, name, id: uuid })
        }
        Ready::Region { .. } => None,
    }
}

async fn all_up(handles: &[Handle], deadline: Instant) -> anyhow::Result<Vec<Ready>> {
    let waiting = handles.iter().map(|handle| async move {
        let name = handle.member.name();
        match timeout_at(deadline, handle.up()).await {
            Ok(Ok(ready)) => Ok(ready),
            Ok(Err(how)) => Err(format!("{name} {how}")),
            Err(_) => Err(format!("{name} did not come up")),
        }
    });
    all_or_missing(join_all(waiting).await)
}

/// Every pair, measured by a ping that waits for the connection.
async fn all_connected(
    operators: &[Operator],
    clusters: &[Target],
    deadline: Instant,
) -> anyhow::Result<Vec<Vec<Duration>>> {
    let rows = operators.iter().map(|operator| {
        join_all(clusters.iter().map(|cluster| connected(operator, cluster, deadline)))
    });
    let rows = join_all(rows).await;
    let width = clusters.len().max(1);
    let times = all_or_missing(rows.into_iter().flatten().collect())?;
    Ok(times.chunks(width).map(<[Duration]>::to_vec).collect())
}

/// Pings until it is answered: a connection that was lost is made again.
async fn connected(
    operator: &Operator,
    cluster: &Target,
    deadline: Instant,
) -> Result<Duration, String> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let problem = match operator.ping(cluster, left.max(PING_PATIENCE)).await {
            Ok(time) => return Ok(time),
            Err(problem) => problem,
        };
        if problem.kind != ProblemKind::Lost || Instant::now() >= deadline {
            let description = problem.description;
            return Err(format!("{} – {}: {description}", operator.name(), cluster.name));
        }
        tracing::debug!(cluster = cluster.name, %problem, "pinging again");
        sleep(PAUSE).await;
    }
}

/// Waits until the registry lists as many connections as there are: it learns of them a moment
/// after they are in use.
async fn all_registered(
    operators: &[Operator],
    clusters: usize,
    deadline: Instant,
) -> anyhow::Result<usize> {
    let expected = operators.len() * clusters;
    let operator = operators.first().context("there is no region process")?;
    loop {
        let listed = operator.directory().await?.connections.len();
        if listed >= expected {
            return Ok(listed);
        }
        if Instant::now() >= deadline {
            bail!("the registry lists {} of {expected}", count(listed, "connection"));
        }
        sleep(PAUSE).await;
    }
}

/// All of it, or an error that lists what is missing.
fn all_or_missing<T>(results: Vec<Result<T, String>>) -> anyhow::Result<Vec<T>> {
    /// More are only counted.
    const SHOWN_MAX: usize = 10;
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(it) => there.push(it),
            Err(what) => missing.push(what),
        }
    }
    if missing.is_empty() {
        return Ok(there);
    }
    let shown = missing.iter().take(SHOWN_MAX).map(|what| format!("\n  {what}"));
    let more = missing.len().saturating_sub(SHOWN_MAX);
    let more = if more == 0 { String::new() } else { format!("\n  and {more} more") };
    bail!("the mesh is not complete:{}{more}", shown.collect::<String>());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_listed_and_much_of_it_counted() {
        let results = (0..12).map(|index| Err::<(), _>(format!("pair {index}"))).collect();
        let text = all_or_missing(results).unwrap_err().to_string();
        assert!(text.starts_with("the mesh is not complete:\n  pair 0\n"), "{text}");
        assert!(text.ends_with("\n  pair 9\n  and 2 more"), "{text}");
    }
}
