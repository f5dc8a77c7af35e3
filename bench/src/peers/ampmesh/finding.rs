//! How long it takes a region process to find one cluster among many, and to list all.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mesh::ClusterId;
use region::RegionController;
use tokio::time::sleep;

use super::{RegionHub, Total, small};
use crate::figures::Figures;
use crate::scenarios::TOTAL;
use crate::scenarios::broadcast::{Hub as _, members_come};
use crate::scenarios::meter::{count, percentile};
use crate::usage::cpu_of;

/// Steps from one cluster to the next that is asked for: a prime, so that all have their turn, and
/// none that the one before has brought into a cache.
const STRIDE: usize = 7_919;
/// How long everything is left alone before it is measured.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// How many are found between two looks at the time.
const AT_ONCE: usize = 64;
/// How many times all of them are listed, and asked, at the least.
const COUNTED_MIN: usize = 3;

/// Waits for so many clusters; then calls those that are found, asks all at once, finds without a
/// call, and lists all, each for a quarter of the time.
///
/// # Errors
/// When clusters do not come, are not found, or do not answer.
pub(super) async fn measure(
    seconds: f64,
    members: usize,
    pids: &[u32],
    region: RegionController,
) -> Result<Figures> {
    let mut hub = RegionHub(region.clone());
    members_come(&mut hub, members).await?;
    // The last of them are not done with everything that follows the first call.
    sleep(SETTLED_AFTER).await;
    let clusters: Vec<_> = region.pool().all().into_iter().map(|(cluster, _)| cluster).collect();
    let mut turn = Turn::new(&clusters);
    let quarter = Duration::from_secs_f64(seconds / 4.0);

    let (mut times, cpu_before, started) = (Vec::new(), cpu_of(pids)?, Instant::now());
    while started.elapsed() < quarter {
        let began = Instant::now();
        let client = region.get_client_for(turn.next()?).await?;
        let Total { total } = client.call(small()).await?;
        ensure!(total == TOTAL, "a wrong total");
        times.push(began.elapsed());
    }
    let cpu = cpu_of(pids)? - cpu_before;
    let calls = count(times.len() as u64);
    times.sort_unstable();

    let (mut asked, started) = (Vec::new(), Instant::now());
    while asked.len() < COUNTED_MIN || started.elapsed() < quarter {
        let began = Instant::now();
        let answers = hub.broadcast().await?;
        ensure!(answers == members, "{answers} of {members} answered");
        asked.push(began.elapsed());
    }
    asked.sort_unstable();

    // What follows lets nobody else work meanwhile, so it comes last.
    let (mut found, started) = (0, Instant::now());
    while started.elapsed() < quarter {
        for _ in 0..AT_ONCE {
            let _client = region.get_client_for(turn.next()?).await?;
        }
        found += AT_ONCE as u64;
    }
    let find_ns = nanoseconds(started, found);

    let (mut lists, started) = (0, Instant::now());
    while lists < COUNTED_MIN as u64 || started.elapsed() < quarter {
        ensure!(region.get_all_clients().len() == members, "a cluster is gone");
        lists += 1;
    }
    let list_ns = nanoseconds(started, lists);
    Ok(Figures {
        find_ns,
        list_ns,
        p50_us: percentile(&times, 0.5),
        p99_us: percentile(&times, 0.99),
        server_cpu_us: Some(cpu.as_secs_f64() * 1e6 / calls),
        all_us: percentile(&asked, 0.5),
        ..Figures::default()
    })
}

/// Whose turn it is.
struct Turn<'a> {
    clusters: &'a [ClusterId],
    at: usize,
}

impl<'a> Turn<'a> {
    fn new(clusters: &'a [ClusterId]) -> Self {
        Self { clusters, at: 0 }
    }

    fn next(&mut self) -> Result<ClusterId> {
        self.at = (self.at + STRIDE) % self.clusters.len().max(1);
        self.clusters.get(self.at).copied().context("nobody to be found")
    }
}

/// What each of so many took since then.
fn nanoseconds(started: Instant, many: u64) -> Option<f64> {
    Some(started.elapsed().as_secs_f64() * 1e9 / count(many))
}
