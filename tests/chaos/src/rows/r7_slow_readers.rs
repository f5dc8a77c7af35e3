//! R7: peers that stop reading while much is published to them.

use std::time::Duration;

use anyhow::ensure;
use async_trait::async_trait;
use mesh::{Limits, Secret};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::floods::raw::{RawPeer, box_of};
use crate::processes::{Process, output};
use crate::row::{Figures, Form, Row, Run};
use crate::rows::{minutes, r23_memory};

pub(crate) struct SlowReaders;

const WITHIN: Duration = Duration::from_secs(30);
/// What is published to all slow readers together.
const PUBLISHED_PER_S: u64 = 50_000_000;
const ITEM_BYTES: u64 = 8_000;
/// What a healthy peer takes: items of 8,000 bytes, so many in a second.
const HEALTHY_ITEMS_PER_S: u64 = 250;
const HEALTHY: usize = 2;
/// How long the healthy ones are watched, alone and beside the others.
const WATCHED_S: usize = 10;
/// What the operating system may hold for a reader that reads no more.
const SYSTEM_BYTES: u64 = 512 * 1024;
const MIB: u64 = 1024 * 1024;
/// What the region may have.
const LIMIT_BYTES: u64 = 512 * MIB;

impl SlowReaders {
    const fn readers(form: Form) -> u64 {
        match form {
            Form::Short => 100,
            Form::Long => 1000,
        }
    }
}

#[async_trait]
impl Row for SlowReaders {
    fn number(&self) -> &'static str {
        "R7"
    }

    fn property(&self) -> &'static str {
        "peers that stop reading harm nobody"
    }

    fn target(&self, form: Form) -> &'static str {
        match form {
            Form::Short => {
                "512 MiB, 100 peers, 50 MB/s: memory ≤ 1 MiB each + 64 MiB, cut 10 s after they \
                 took nothing more, healthy peers keep ≥ 90 %"
            }
            Form::Long => {
                "512 MiB, 1,000 peers, 50 MB/s: memory ≤ 1 MiB each + 64 MiB, cut 10 s after they \
                 took nothing more, healthy peers keep ≥ 90 %"
            }
        }
    }

    fn time_limit(&self, _: Form) -> Duration {
        minutes(5)
    }

    async fn run(&self, run: Run) -> anyhow::Result<Figures> {
        output("ip", &["link", "set", "lo", "up"]).await?;
        let secret = Secret::generate();
        let hex = secret.to_hex();
        // What it says of them is much, and not what is looked for.
        let folder = tempfile::tempdir()?;
        let region = Process::of_ours(&["flood", "region", "--secret", &hex])?;
        let (region, group, how) = r23_memory::within(region, LIMIT_BYTES);
        let log = folder.path().join("region.log");
        let mut region = region.variable("CHAOS_LOG", "info").log(&log).start()?;
        let address = region.line("address", WITHIN).await?;
        let mut healthy = Vec::new();
        for _ in 0..HEALTHY {
            healthy.push(subscriber(&hex, &address).await?);
        }
        let mut alone = Vec::new();
        for _ in 0..WATCHED_S {
            alone.push(taken(&mut healthy).await?);
        }
        let readers = Self::readers(run.form);
        let before = region.resident_bytes()?;
        let mut peers = Vec::new();
        for _ in 0..readers {
            let mut peer = RawPeer::connect(address.parse()?).await?;
            peer.admit(&secret).await?;
            peers.push(peer);
        }
        let (all, begun) = (HEALTHY + peers.len(), Instant::now());
        while clusters(&mut region).await? < all {
            ensure!(begun.elapsed() < WITHIN, "not all of {all} are connected");
            sleep(Duration::from_millis(10)).await;
        }
        let begun = Instant::now();
        for peer in &mut peers {
            subscribe(peer, PUBLISHED_PER_S / readers).await?;
        }
        let Watched { most, beside, cut } = watch(&mut region, &mut healthy, begun).await?;
        let peers = peers.len();
        let mut figures = Figures::default();
        figures.say(how);
        let grown = most.saturating_sub(before);
        let cap = u64::try_from(Limits::default().outbound_bytes_max)?;
        figures.check(
            grown <= readers * cap + 64 * MIB,
            format!("{readers} readers: {} MiB more at the most", grown / MIB),
        );
        // Every one takes what the operating system holds for it before it takes nothing more.
        let fill = Duration::from_secs(SYSTEM_BYTES * readers / PUBLISHED_PER_S);
        let stalled_max = Limits::default().outbound_stalled_max;
        figures.check(
            cut <= stalled_max + fill + Duration::from_secs(2),
            format!("all cut {:.1} s after they stopped reading", cut.as_secs_f64()),
        );
        let told = std::fs::read_to_string(&log)?;
        let stalled =
            told.lines().filter(|line| line.contains("the peer has read nothing for 10 s"));
        let stalled = stalled.count();
        // The operating system may tell of it sooner.
        figures.say(format!("{stalled} of {peers} by the mesh's own clock"));
        let (alone, beside) = (mean(&alone), mean(&beside));
        figures.check(
            beside >= 0.9 * alone,
            format!("healthy peers took {:.2} and then {:.2} MB/s", alone / 1e6, beside / 1e6),
        );
        if let Some(group) = group {
            let killed = group.killed()?;
            figures.check(killed == 0, format!("{killed} killed by the kernel"));
            drop(region);
            group.remove().await?;
        }
        Ok(figures)
    }
}

/// What is seen while the others do not read.
struct Watched {
    /// Bytes of memory of the region, at the most.
    most: u64,
    /// What the healthy ones took, second by second.
    beside: Vec<u64>,
    /// After how long the last of the others was cut.
    cut: Duration,
}

/// Watches until the others are cut, and the healthy ones for as long as they were before.
async fn watch(
    region: &mut Process,
    healthy: &mut [Process],
    begun: Instant,
) -> anyhow::Result<Watched> {
    let (mut most, mut beside, mut cut) = (0, Vec::new(), None);
    loop {
        sleep(Duration::from_millis(100)).await;
        most = most.max(region.resident_bytes()?);
        if begun.elapsed().as_secs() > u64::try_from(beside.len())? {
            beside.push(taken(healthy).await?);
        }
        if cut.is_none() && clusters(region).await? == HEALTHY {
            cut = Some(begun.elapsed());
        }
        match cut {
            Some(cut) if beside.len() >= WATCHED_S => return Ok(Watched { most, beside, cut }),
            _ => ensure!(begun.elapsed() < minutes(2), "they are not cut in two minutes"),
        }
    }
}

fn mean(values: &[u64]) -> f64 {
    let values = values.iter().map(|it| f64::from(u32::try_from(*it).unwrap_or(u32::MAX)));
    let count = values.len();
    values.sum::<f64>() / f64::from(u32::try_from(count.max(1)).unwrap_or(u32::MAX))
}

/// A cluster process that takes what is published.
async fn subscriber(secret: &str, region: &str) -> anyhow::Result<Process> {
    let uuid = Uuid::new_v4().to_string();
    let arguments = ["flood", "cluster", "--secret", secret, "--region", region, "--uuid", &uuid];
    let mut cluster = Process::of_ours(&arguments)?.start()?;
    cluster.line("connected", WITHIN).await?;
    cluster.tell(&format!("subscribe {ITEM_BYTES} {HEALTHY_ITEMS_PER_S}")).await?;
    Ok(cluster)
}

/// What all of them took in the last second, in bytes.
async fn taken(healthy: &mut [Process]) -> anyhow::Result<u64> {
    let mut all = 0;
    for cluster in healthy {
        all += cluster.line("took", WITHIN).await?.parse::<u64>()?;
    }
    Ok(all)
}

async fn clusters(region: &mut Process) -> anyhow::Result<usize> {
    region.tell("clusters").await?;
    Ok(region.line("clusters", WITHIN).await?.parse()?)
}

/// Asks for what is published. The peer gives credit without end, and reads nothing of it.
async fn subscribe(peer: &mut RawPeer, bytes_per_s: u64) -> anyhow::Result<()> {
    let (item_bytes, per_s) = (ITEM_BYTES.to_string(), (bytes_per_s / ITEM_BYTES).to_string());
    let subscribe = box_of(&[
        ("_ask", b"1"),
        ("_command", b"Subscribe"),
        ("_stream", b""),
        ("item_bytes", item_bytes.as_bytes()),
        ("items_per_s", per_s.as_bytes()),
    ]);
    Ok(peer.stream.write_all(&subscribe).await?)
}
