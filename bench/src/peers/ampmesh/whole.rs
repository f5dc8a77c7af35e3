//! One of several region processes, which find each other through a file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use mesh::{ClusterId, Listen, RegionId, Secret};
use region::{LinkEntry, RegionController, RegionEntry, Registry, RegistryError, SqliteRegistry};
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Desk, RegionHub};
use crate::child::say;
use crate::growth::{Asked, SETTLED_AFTER};
use crate::job::{Far, Job, Said};
use crate::scenarios::broadcast::members_come;
use crate::scenarios::meter::count;

/// How many peers of one address may prove themselves at once: all clusters are on this machine.
const HANDSHAKES: usize = 4_096;

/// Listens, says when so many clusters are connected, and later what the registry was asked while
/// nothing happened.
///
/// # Errors
/// When the clusters do not come, or the registry cannot be opened.
pub(super) async fn listen(job: &Job, clusters: usize) -> Result<()> {
    let Far { address: file, credentials, .. } = job.far.as_ref().context("nothing is shared")?;
    let secret = credentials.first().context("no secret")?;
    let registry = Arc::new(Watched::new(SqliteRegistry::open(file).await?));
    let region = RegionController::builder()
        .listen(Listen::loopback())
        .secret(Secret::from_hex(secret)?)
        .registry(Arc::clone(&registry) as Arc<dyn Registry>)
        .handshakes_max(HANDSHAKES)
        .handshakes_per_address_max(HANDSHAKES)
        .responders(Desk)
        .start()
        .await?;
    say(&Said::Ready(Far { credentials: credentials.clone(), ..Far::at(region.address()) }))?;
    members_come(&mut RegionHub(region.clone()), clusters).await?;
    say(&Said::Whole)?;
    sleep(SETTLED_AFTER).await;
    let before = registry.asked();
    sleep(Duration::from_secs_f64(job.seconds)).await;
    say(&Said::Asked(registry.asked().since(&before, job.seconds)))?;
    std::future::pending().await
}

/// Counts what a registry is asked.
#[derive(Debug)]
struct Watched {
    registry: SqliteRegistry,
    announced: AtomicU64,
    written: AtomicU64,
    rows: AtomicU64,
    read: AtomicU64,
}

impl Watched {
    fn new(registry: SqliteRegistry) -> Self {
        let [announced, written, rows, read] = Default::default();
        Self { registry, announced, written, rows, read }
    }

    fn asked(&self) -> Asked {
        let read = |counter: &AtomicU64| count(counter.load(Ordering::Relaxed));
        Asked {
            announcements: read(&self.announced),
            writings: read(&self.written),
            rows: read(&self.rows),
            readings: read(&self.read),
        }
    }
}

fn one_more(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[async_trait]
impl Registry for Watched {
    async fn announce(&self, region: &RegionEntry) -> Result<bool, RegistryError> {
        one_more(&self.announced);
        self.registry.announce(region).await
    }

    async fn withdraw(&self, region: &RegionId) -> Result<(), RegistryError> {
        self.registry.withdraw(region).await
    }

    async fn record_links(
        &self,
        region: &RegionId,
        opened: &[LinkEntry],
        lost: &[ClusterId],
    ) -> Result<bool, RegistryError> {
        one_more(&self.written);
        self.rows.fetch_add((opened.len() + lost.len()) as u64, Ordering::Relaxed);
        self.registry.record_links(region, opened, lost).await
    }

    async fn regions(&self) -> Result<Vec<RegionEntry>, RegistryError> {
        one_more(&self.read);
        self.registry.regions().await
    }

    async fn links(&self) -> Result<Vec<LinkEntry>, RegistryError> {
        one_more(&self.read);
        self.registry.links().await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.registry.changes()
    }
}
