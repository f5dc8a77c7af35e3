//! `chaos region` and `chaos cluster`: processes of a mesh, as an application's author would write
//! them, under load of their own.
//!
//! They say `ready PORT ID` on stdout, and do what stdin says: `load` begins the load; `rest` ends
//! it, answered with `rested CALLS`; `links` is answered with `links NUMBER`, `mark` with `marked`.
//! With SIGTERM they leave in good order, and say `drained MILLISECONDS`. With `--watch` they tell
//! of connections: `found ID MILLISECONDS` and `lost ID MILLISECONDS`, by the wall clock.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::Args;
use cluster::ClusterController;
use mesh::{ClusterId, KeyPair, Listen, Pins, Pool, PublicKey, Secret};
use region::{PostgresKeys, PostgresRegistry, RegionController, SqliteKeys, SqliteRegistry};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::database::named_settings;
use crate::ledger::Ledger;
use crate::load::{Kind, Load, Who};
use crate::work::Worker;

/// How long leaving in good order may take.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long calls that are under way may take to end after the load has ended. The longest is a
/// stream whose peer has to be found dead.
pub(crate) const REST_MAX: Duration = Duration::from_secs(60);

/// What both kinds of process are given.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Which life this is: numbers calls, and is never given twice in a run.
    #[arg(long)]
    life: u64,
    /// Where calls are written down. A file that is not there yet.
    #[arg(long)]
    ledger: PathBuf,
    #[arg(long, value_enum, default_value = "storm")]
    kind: Kind,
    #[arg(long, default_value_t = 6)]
    callers: u64,
    /// How long a caller rests between two calls, on average, in milliseconds.
    #[arg(long, default_value_t = 50)]
    pause_ms: u64,
    /// Tells of connections that are found and lost.
    #[arg(long)]
    watch: bool,
    /// The private key.
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// The secret, instead of a key.
    #[arg(long)]
    secret_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RegionArgs {
    #[command(flatten)]
    common: Common,
    #[arg(long)]
    listen: IpAddr,
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// What clusters are told.
    #[arg(long)]
    advertise: IpAddr,
    /// The file of the registry.
    #[arg(long)]
    sqlite: Option<PathBuf>,
    /// The file with whose key is whose.
    #[arg(long)]
    keys: Option<PathBuf>,
    /// The file with the URL of a database, which has both.
    #[arg(long, conflicts_with_all = ["sqlite", "keys"])]
    postgres_url_file: Option<PathBuf>,
    /// Whom it calls.
    #[arg(long, value_delimiter = ',')]
    clusters: Vec<ClusterId>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    common: Common,
    #[arg(long)]
    uuid: ClusterId,
    #[arg(long, value_delimiter = ',')]
    regions: Vec<String>,
    /// The keys of the region processes.
    #[arg(long, value_delimiter = ',')]
    pins: Vec<PublicKey>,
}

/// Runs a region process until it is told to end.
///
/// # Errors
/// Whatever keeps it from starting.
///
/// # Cancellation
/// Everything is dropped where it stands.
pub(crate) async fn region(args: RegionArgs) -> anyhow::Result<()> {
    let RegionArgs { common, listen, port, advertise, sqlite, postgres_url_file, keys, clusters } =
        args;
    let ledger = Arc::new(Ledger::new(&common.ledger).context("the ledger")?);
    let mut builder = RegionController::builder()
        .listen(Listen { ip: listen, ports: port..=port })
        .advertise([advertise])
        .responders(Worker { ledger: Arc::clone(&ledger) })
        .drain_timeout(DRAIN_TIMEOUT);
    if let Some(path) = &common.key_file {
        builder = builder.key_pair(KeyPair::from_file(path)?);
    }
    if let Some(secret) = common.secret()? {
        builder = builder.secret(secret);
    }
    if let Some(path) = sqlite {
        builder = builder.registry(Arc::new(SqliteRegistry::open(path).await?));
    }
    if let Some(path) = keys {
        builder = builder.keys(Arc::new(SqliteKeys::open(path).await?));
    }
    if let Some(path) = postgres_url_file {
        let settings = named_settings(&path)?;
        let keys = PostgresKeys::open(settings.clone()).await?;
        let registry = PostgresRegistry::open(settings).await?;
        builder = builder.keys(Arc::new(keys)).registry(Arc::new(registry));
    }
    let region = builder.start().await?;
    let port = region.address().rsplit(':').next().context("an address without a port")?;
    let ready = format!("ready {port} {}", region.id());
    let pool = Arc::clone(region.pool());
    let who = Who::Region { region: region.clone(), clusters };
    live(common, ledger, who, pool, &ready, async || region.shutdown().await).await
}

/// Runs a cluster process until it is told to end.
///
/// # Errors
/// Whatever keeps it from starting.
///
/// # Cancellation
/// Everything is dropped where it stands.
pub(crate) async fn cluster(args: ClusterArgs) -> anyhow::Result<()> {
    let ClusterArgs { common, uuid, regions, pins } = args;
    let ledger = Arc::new(Ledger::new(&common.ledger).context("the ledger")?);
    let mut builder = ClusterController::builder()
        .uuid(uuid)
        .regions(regions)
        .responders(Worker { ledger: Arc::clone(&ledger) })
        .drain_timeout(DRAIN_TIMEOUT);
    if let Some(path) = &common.key_file {
        builder = builder.key_pair(KeyPair::from_file(path)?).region_keys(Pins::new(pins));
    }
    if let Some(secret) = common.secret()? {
        builder = builder.secret(secret);
    }
    let cluster = builder.start().await?;
    let ready = format!("ready 0 {uuid}");
    let pool = Arc::clone(cluster.pool());
    let who = Who::Cluster(cluster.clone());
    live(common, ledger, who, pool, &ready, async || cluster.shutdown().await).await
}

impl Common {
    fn secret(&self) -> anyhow::Result<Option<Secret>> {
        let read = |path: &PathBuf| Secret::from_file(Path::new(path));
        Ok(self.secret_file.as_ref().map(read).transpose()?)
    }
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Does what stdin says, until the process is told to end.
async fn live<K>(
    common: Common,
    ledger: Arc<Ledger>,
    who: Who,
    pool: Arc<Pool<K>>,
    ready: &str,
    shut_down: impl AsyncFn(),
) -> anyhow::Result<()>
where
    K: Clone + Eq + std::hash::Hash + Ord + ToString + Send + Sync + 'static,
{
    let mut told_to_end = signal(SignalKind::terminate())?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let (rest, others) = (CancellationToken::new(), TaskTracker::new());
    if common.watch {
        others.spawn(watch_pool(Arc::clone(&pool), pool.changes()));
    }
    let load = Arc::new(Load {
        who,
        kind: common.kind,
        ledger,
        life: common.life,
        callers: common.callers,
        pause: Duration::from_millis(common.pause_ms),
        made: AtomicU64::new(0),
    });
    let mut callers = TaskTracker::new();
    callers.close();
    say(ready)?;
    loop {
        tokio::select! {
            line = lines.next_line() => match line?.as_deref() {
                Some("load") => callers = load.start(&rest),
                Some("rest") => {
                    rest.cancel();
                    timeout(REST_MAX, callers.wait()).await.context("calls do not end")?;
                    say(&format!("rested {}", load.made.load(Ordering::Relaxed)))?;
                }
                Some("mark") => say("marked")?,
                Some("links") => say(&format!("links {}", pool.all().len()))?,
                Some(other) => anyhow::bail!("what is `{other}`?"),
                // Nobody is left to tell it anything.
                None => return Ok(()),
            },
            _ = told_to_end.recv() => {
                rest.cancel();
                let begun = Instant::now();
                shut_down().await;
                let took = begun.elapsed();
                timeout(REST_MAX, callers.wait()).await.context("calls do not end")?;
                return Ok(say(&format!("drained {}", took.as_millis()))?);
            }
        }
    }
}

async fn watch_pool<K>(pool: Arc<Pool<K>>, mut changes: watch::Receiver<u64>)
where
    K: Clone + Eq + std::hash::Hash + Ord + ToString + Send + Sync + 'static,
{
    let mut known = BTreeSet::new();
    loop {
        changes.borrow_and_update();
        let now: BTreeSet<String> = pool.all().into_iter().map(|(it, _)| it.to_string()).collect();
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let found = now.difference(&known).map(|peer| format!("found {peer} {at}"));
        let lost = known.difference(&now).map(|peer| format!("lost {peer} {at}"));
        if found.chain(lost).any(|line| say(&line).is_err()) {
            return;
        }
        known = now;
        if changes.changed().await.is_err() {
            return;
        }
    }
}
