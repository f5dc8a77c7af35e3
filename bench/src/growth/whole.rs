//! A whole mesh on one machine: several region processes, and clusters that are connected to each.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mesh::Secret;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use crate::children::Process;
use crate::figures::median;
use crate::job::{End, Far, Job, Mode, Said, Work};
use crate::peers::Peer;
use crate::usage::{cpu_of, memory_of};

/// How long the mesh is left alone, once it is whole, before anything is looked at.
pub(crate) const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// For how long it is watched: in twenty seconds every connection is pinged four times, and its
/// round trip is written down twice.
const WATCHED_FOR: Duration = Duration::from_secs(20);
/// How long a region process may take until it can be connected to.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long the mesh may take to become whole.
const WHOLE_WITHIN: Duration = Duration::from_secs(180);

/// What registries were asked, each second.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Region processes announced themselves.
    pub(crate) announcements: f64,
    /// Connections were written down, those that had changed together.
    pub(crate) writings: f64,
    /// So many in all.
    pub(crate) rows: f64,
    /// Entries were read, beside what a registry reads by itself to find changes.
    pub(crate) readings: f64,
}

impl Asked {
    /// What came since `before`, each second.
    pub(crate) fn since(&self, before: &Self, seconds: f64) -> Self {
        Self {
            announcements: (self.announcements - before.announcements) / seconds,
            writings: (self.writings - before.writings) / seconds,
            rows: (self.rows - before.rows) / seconds,
            readings: (self.readings - before.readings) / seconds,
        }
    }

    fn and(&self, other: &Self) -> Self {
        Self {
            announcements: self.announcements + other.announcements,
            writings: self.writings + other.writings,
            rows: self.rows + other.rows,
            readings: self.readings + other.readings,
        }
    }
}

/// What a whole mesh costs while nobody calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Whole {
    pub(crate) regions: usize,
    pub(crate) clusters: usize,
    /// From the start of the clusters until each was connected to each region, in seconds.
    pub(crate) whole_s: f64,
    /// Memory of a region process before the clusters came, in bytes: the median.
    pub(crate) region_alone_bytes: f64,
    /// Memory of a region process, in bytes: the median.
    pub(crate) region_bytes: f64,
    /// Memory of a cluster, in bytes: they share a process.
    pub(crate) cluster_bytes: f64,
    /// Time on a processor of a region process, in percent of one: the median.
    pub(crate) region_percent: f64,
    /// Time on a processor of all clusters, in percent of one.
    pub(crate) clusters_percent: f64,
    /// By all region processes.
    pub(crate) asked: Asked,
}

/// # Errors
/// When a process fails, or the mesh does not become whole in time.
///
/// # Cancellation
/// Dropping the future kills all processes.
pub(super) async fn measure(regions: usize, clusters: usize) -> Result<Whole> {
    let folder = tempfile::tempdir().context("no folder for the registry")?;
    let registry = folder.path().join("registry.sqlite").display().to_string();
    let shared =
        Far { address: registry, credentials: vec![Secret::generate().to_hex()], ..Far::default() };
    let job = Job {
        peer: Peer::Ampmesh,
        end: End::Listen,
        mode: Mode::Single,
        work: Work::Whole { regions, clusters },
        seconds: WATCHED_FOR.as_secs_f64(),
        far: Some(shared),
    };
    let (mut listening, mut first) = (Vec::new(), None);
    for _ in 0..regions {
        let mut region = Process::start(&job, None).await?;
        let said = timeout(READY_WITHIN, region.said()).await.context("a region is not ready")?;
        let Said::Ready(far) = said? else { bail!("a region is measured before it is ready") };
        let pids = far.pids.clone();
        first.get_or_insert(far);
        listening.push((region, pids));
    }
    let region_alone_bytes = middle(&listening, memory_of)?;
    let connecting = Job { end: End::Connect, far: first, ..job };
    let mut connector = Process::start(&connecting, None).await?;
    let started = Instant::now();
    let becoming = async {
        for (region, _pids) in &mut listening {
            let Said::Whole = region.said().await? else { bail!("a region is not whole") };
        }
        Ok(())
    };
    let becoming = timeout(WHOLE_WITHIN, becoming);
    tokio::select! {
        whole = becoming => whole.context("the mesh does not become whole")??,
        said = connector.said() => bail!("the clusters ended: {:?}", said?),
    }
    let whole_s = started.elapsed().as_secs_f64();

    sleep(SETTLED_AFTER).await;
    let own = [connector.pid()?];
    let before = processor_times(&listening)?;
    let (own_before, started) = (cpu_of(&own)?, Instant::now());
    sleep(WATCHED_FOR).await;
    let (elapsed, own_after) = (started.elapsed().as_secs_f64(), cpu_of(&own)?);
    let after = processor_times(&listening)?;
    let percent =
        |before: Duration, after: Duration| (after - before).as_secs_f64() / elapsed * 100.0;
    let percents = before.iter().zip(&after).map(|(before, after)| percent(*before, *after));
    let region_percent = median(percents.collect()).context("no regions")?;
    let region_bytes = middle(&listening, memory_of)?;
    #[expect(clippy::cast_precision_loss, reason = "nobody starts 2^52 clusters")]
    let cluster_bytes = memory_of(&own)? / clusters as f64;
    let mut asked = Asked::default();
    for (region, _pids) in &mut listening {
        let said = timeout(READY_WITHIN, region.said()).await.context("a region says nothing")?;
        let Said::Asked(of_region) = said? else { bail!("a region is measured twice") };
        asked = asked.and(&of_region);
    }
    connector.end().await?;
    for (region, _pids) in listening {
        region.end().await?;
    }
    let clusters_percent = percent(own_before, own_after);
    Ok(Whole {
        regions,
        clusters,
        whole_s,
        region_alone_bytes,
        region_bytes,
        cluster_bytes,
        region_percent,
        clusters_percent,
        asked,
    })
}

/// The median of all region processes.
fn middle(listening: &[(Process, Vec<u32>)], of: impl Fn(&[u32]) -> Result<f64>) -> Result<f64> {
    let values = listening.iter().map(|(_, pids)| of(pids)).collect::<Result<_>>()?;
    median(values).context("no regions")
}

fn processor_times(listening: &[(Process, Vec<u32>)]) -> Result<Vec<Duration>> {
    listening.iter().map(|(_, pids)| cpu_of(pids)).collect()
}
