//! The processes: a region process, and cluster processes that are connected to it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, bail};
use cluster::ClusterController;
use mesh::{ClusterId, KeyPair, Limits, Listen, Memory, MemoryBudget, Secret};
use region::RegionController;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;
use tracing_subscriber::EnvFilter;
use uuid::Uuid;

use super::keeping::{self, Keeping};
use super::load::{Load, Source, ToCluster};
use super::slow::{Attacked, attack};
use super::{Add, Answers, Subscribe};

/// A process of the rows about floods.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Node {
    /// A region process. It says `address HOST:PORT`.
    Region {
        #[arg(long)]
        secret: String,
        /// How long calls that are made once are remembered, in seconds.
        #[arg(long, default_value_t = 120)]
        once_s: u64,
        /// How much memory it may have, in bytes, where the system says something else.
        #[arg(long)]
        memory_budget: Option<u64>,
    },
    /// A cluster process. It says `connected`.
    Cluster {
        #[arg(long)]
        secret: String,
        #[arg(long)]
        region: SocketAddr,
        #[arg(long)]
        uuid: Uuid,
        #[arg(long, default_value_t = 120)]
        once_s: u64,
    },
    /// Somebody who begins connections and does not go on, each time they are told to `attack`. It
    /// says `ready`, and `attacked CLOSED STILL_OPEN SLOWEST_MS`.
    Slow {
        #[arg(long)]
        secret: String,
        #[arg(long)]
        region: SocketAddr,
        /// How many connections of each kind.
        #[arg(long)]
        of_each: usize,
    },
}

/// How often a cluster process comes and goes, where that is asked for.
const COME_AND_GO: Duration = Duration::from_secs(1);

impl Node {
    /// Runs it until its stdin ends. It is told what to do line by line.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let filter =
            EnvFilter::try_from_env("CHAOS_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
        let log = tracing_subscriber::fmt().with_env_filter(filter);
        log.with_ansi(false).with_writer(std::io::stderr).init();
        let lines = BufReader::new(tokio::io::stdin()).lines();
        let answers = Arc::new(Answers::default());
        match self {
            Self::Region { secret, once_s, memory_budget } => {
                let region = RegionController::builder()
                    .listen(Listen::loopback())
                    .secret(Secret::from_hex(&secret)?)
                    .key_pair(KeyPair::generate())
                    .limits(limits(once_s))
                    .memory_budget(memory_budget.map_or(MemoryBudget::Allowed, MemoryBudget::Bytes))
                    .responders_arc(Arc::clone(&answers))
                    .start()
                    .await?;
                say(&format!("address {}", region.address()))?;
                region_told(lines, &region, &answers).await
            }
            Self::Cluster { secret, region, uuid, once_s } => {
                let secret = Secret::from_hex(&secret)?;
                let start = |uuid: Uuid| {
                    ClusterController::builder()
                        .uuid(ClusterId(uuid))
                        .region(region.to_string())
                        .secret(secret.clone())
                        .limits(limits(once_s))
                };
                let cluster = start(uuid).responders_arc(Arc::clone(&answers)).start().await?;
                let _client = cluster.get_client().await?;
                say("connected")?;
                let others = || start(Uuid::new_v4()).responders(Answers::default()).start();
                cluster_told(lines, &cluster, &answers, others).await
            }
            Self::Slow { secret, region, of_each } => {
                slow_told(lines, region, &Secret::from_hex(&secret)?, of_each).await
            }
        }
    }
}

fn limits(once_s: u64) -> Limits {
    Limits { once_window: Duration::from_secs(once_s), ..Limits::default() }
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

async fn slow_told(
    mut lines: Lines<BufReader<Stdin>>,
    region: SocketAddr,
    secret: &Secret,
    of_each: usize,
) -> anyhow::Result<()> {
    say("ready")?;
    while let Some(line) = lines.next_line().await? {
        match line.as_str() {
            "attack" => {
                let Attacked { closed, still_open, slowest } =
                    attack(region, secret, of_each).await?;
                say(&format!("attacked {closed} {still_open} {}", slowest.as_millis()))?;
            }
            _ => bail!("nobody knows `{line}` here"),
        }
    }
    Ok(())
}

async fn region_told(
    mut lines: Lines<BufReader<Stdin>>,
    region: &RegionController,
    answers: &Answers,
) -> anyhow::Result<()> {
    let load = Arc::new(Load::default());
    while let Some(line) = lines.next_line().await? {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["load", uuid] => load.begin(&ToCluster(region.clone(), ClusterId(uuid.parse()?))),
            ["stop"] => {
                load.end().await;
                say("stopped")?;
            }
            ["count"] => count(&load, answers)?,
            ["let-go"] => {
                let _before = answers.let_go.send_replace(true);
            }
            ["memory"] => {
                let Memory { resident_bytes, budget_bytes, pressure, .. } = region.memory();
                let [resident, budget] =
                    [resident_bytes, budget_bytes].map(Option::unwrap_or_default);
                say(&format!("memory {resident} {budget} {pressure:?}"))?;
            }
            ["clusters"] => say(&format!("clusters {}", region.get_all_clients().len()))?,
            _ => bail!("nobody knows `{line}` here"),
        }
    }
    Ok(())
}

async fn cluster_told<F>(
    mut lines: Lines<BufReader<Stdin>>,
    cluster: &ClusterController,
    answers: &Answers,
    another: impl Fn() -> F + Copy + Send + Sync,
) -> anyhow::Result<()>
where
    F: Future<Output = Result<ClusterController, cluster::StartError>> + Send,
{
    let load = Arc::new(Load::default());
    let subscribers = TaskTracker::new();
    let keeping = Arc::new(Keeping::default());
    let (mut coming, mut comings) = (false, 0_u64);
    let mut next = Instant::now();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line?,
            () = tokio::time::sleep_until(next), if coming => {
                come_and_go(&another().await?).await?;
                comings += 1;
                next = Instant::now() + COME_AND_GO;
                continue;
            }
        };
        let Some(line) = line else { return Ok(()) };
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["load"] => {
                load.begin(cluster);
                coming = true;
            }
            ["calls"] => load.begin(cluster),
            ["stop"] => {
                coming = false;
                load.end().await;
                say("stopped")?;
            }
            ["keep", calls, bytes] => {
                keeping.begin(cluster.client().await?, calls.parse()?, bytes.parse()?);
            }
            ["kept"] => say(&keeping.told())?,
            ["try"] => say(&format!("tried {}", keeping::try_one(&cluster.client().await?).await))?,
            ["ping"] => {
                cluster.client().await?.ping().await?;
                say("pong")?;
            }
            ["count"] => count(&load, answers)?,
            ["comings"] => say(&format!("comings {comings}"))?,
            ["measure", seconds] => measure(cluster, seconds.parse()?).await?,
            ["subscribe", item_bytes, items_per_s] => {
                let command = Subscribe {
                    item_bytes: item_bytes.parse()?,
                    items_per_s: items_per_s.parse()?,
                };
                subscribe(cluster.clone(), command, &subscribers).await?;
            }
            _ => bail!("nobody knows `{line}` here"),
        }
    }
}

fn count(load: &Load, answers: &Answers) -> anyhow::Result<()> {
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let calls = load.calls.load(Ordering::Relaxed);
    let (failed, answered) =
        (load.failed.load(Ordering::Relaxed), answers.answered.load(Ordering::Relaxed));
    Ok(say(&format!("count {calls} {failed} {answered} {tasks}"))?)
}

async fn come_and_go(cluster: &ClusterController) -> anyhow::Result<()> {
    let client = cluster.get_client().await?;
    for number in 0..10 {
        let _sum = client.call(Add { left: number, right: 1 }).await?;
    }
    cluster.shutdown().await;
    Ok(())
}

/// Calls one after the other for so long, and says how many calls that were and how long the
/// slowest of a hundred took, in microseconds.
async fn measure(cluster: &ClusterController, seconds: f64) -> anyhow::Result<()> {
    let client = cluster.client().await?;
    let begun = Instant::now();
    let mut times = Vec::new();
    while begun.elapsed().as_secs_f64() < seconds {
        let asked = Instant::now();
        let _sum = client.call(Add { left: 1, right: 2 }).await?;
        times.push(asked.elapsed());
        sleep(Duration::from_millis(1)).await;
    }
    times.sort_unstable();
    let p99 = times.get(times.len() * 99 / 100).context("no calls")?;
    Ok(say(&format!("measured {} {}", times.len(), p99.as_micros()))?)
}

/// Takes what the region publishes, and says once a second how many bytes that were.
async fn subscribe(
    cluster: ClusterController,
    command: Subscribe,
    subscribers: &TaskTracker,
) -> anyhow::Result<()> {
    let client = cluster.client().await?;
    let mut stream = client.stream(command)?;
    subscribers.spawn(async move {
        let (mut since, mut bytes) = (Instant::now(), 0);
        while let Ok(Some(item)) = stream.next().await {
            bytes += item.water.len();
            if since.elapsed() >= Duration::from_secs(1) {
                let per_s = u128::try_from(bytes).unwrap_or(0) * 1000 / since.elapsed().as_millis();
                let _said = say(&format!("took {per_s}"));
                (since, bytes) = (Instant::now(), 0);
            }
        }
    });
    Ok(())
}
