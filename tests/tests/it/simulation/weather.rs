//! The faults of a plan, and a registry that can fail.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use mesh::{ClusterId, RegionId};
use mesh_harness::{Mesh, TestResult};
use region::{LinkEntry, MemoryRegistry, RegionEntry, Registry, RegistryError};
use tokio::sync::watch;

use super::ledger::Who;
use super::plan::{Fault, What};

/// A registry in memory that answers nothing while it is out.
#[derive(Debug, Default)]
pub(super) struct FlakyRegistry {
    inner: MemoryRegistry,
    outages: AtomicUsize,
}

impl FlakyRegistry {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    fn check(&self) -> Result<(), RegistryError> {
        if self.outages.load(Ordering::Relaxed) > 0 {
            return Err(RegistryError::Database("it is out".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Registry for FlakyRegistry {
    async fn announce(&self, region: &RegionEntry) -> Result<bool, RegistryError> {
        self.check()?;
        self.inner.announce(region).await
    }

    async fn withdraw(&self, region: &RegionId) -> Result<(), RegistryError> {
        self.check()?;
        self.inner.withdraw(region).await
    }

    async fn record_links(
        &self,
        region: &RegionId,
        opened: &[LinkEntry],
        lost: &[ClusterId],
    ) -> Result<bool, RegistryError> {
        self.check()?;
        self.inner.record_links(region, opened, lost).await
    }

    async fn regions(&self) -> Result<Vec<RegionEntry>, RegistryError> {
        self.check()?;
        self.inner.regions().await
    }

    async fn links(&self) -> Result<Vec<LinkEntry>, RegistryError> {
        self.check()?;
        self.inner.links().await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes()
    }
}

/// Strikes the processes and links of a mesh.
pub(super) struct Weather<'a> {
    mesh: &'a Mesh,
    registry: Arc<FlakyRegistry>,
    /// What is struck by one fault is left alone by the others until it has healed.
    struck: RefCell<HashSet<Target>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Target {
    Process(Who),
    Link(usize, usize),
    /// The number of processes.
    Size,
}

/// The wall clock, by which ids of calls are made, does not stand still as ours does. An id that
/// was made before a process started has to be older than it by that clock as well, and ids say
/// whole milliseconds.
fn let_a_millisecond_pass() {
    let begun = SystemTime::now();
    while begun.elapsed().is_ok_and(|passed| passed < Duration::from_millis(1)) {
        std::hint::spin_loop();
    }
}

/// No mesh grows beyond this.
const PROCESSES_MAX: usize = 5;

impl<'a> Weather<'a> {
    pub(super) fn new(mesh: &'a Mesh, registry: Arc<FlakyRegistry>) -> Self {
        Self { mesh, registry, struck: RefCell::default() }
    }

    /// Strikes when it is time, and heals. Says whether there was anything to strike.
    pub(super) async fn strike(&self, fault: &Fault) -> TestResult<bool> {
        tokio::time::sleep(fault.at).await;
        let Some(target) = self.target(fault.what) else { return Ok(false) };
        if target.is_some_and(|target| !self.struck.borrow_mut().insert(target)) {
            return Ok(false);
        }
        self.strike_now(fault, target).await?;
        if let Some(target) = target {
            self.struck.borrow_mut().remove(&target);
        }
        Ok(true)
    }

    fn target(&self, what: What) -> Option<Option<Target>> {
        let (regions, clusters) = (self.mesh.regions().len(), self.mesh.clusters().len());
        Some(match what {
            What::CrashRegion(one) | What::StopRegion(one) | What::PauseRegion(one) => {
                Some(Target::Process(Who::Region(one % regions)))
            }
            What::CrashCluster(one) | What::StopCluster(one) | What::PauseCluster(one) => {
                Some(Target::Process(Who::Cluster(one % clusters)))
            }
            What::Cut(one, other) | What::Freeze(one, other) => {
                Some(Target::Link(one % regions, other % clusters))
            }
            What::AddRegion if regions >= PROCESSES_MAX => return None,
            What::AddCluster if clusters >= PROCESSES_MAX => return None,
            What::AddRegion | What::AddCluster => Some(Target::Size),
            What::RegistryOut => None,
        })
    }

    async fn strike_now(&self, fault: &Fault, target: Option<Target>) -> TestResult {
        let lasting = || tokio::time::sleep(fault.lasts);
        match (fault.what, target) {
            (what, Some(Target::Process(Who::Region(index)))) => {
                let region = self.mesh.region(index);
                match what {
                    What::PauseRegion(_) => {
                        region.pause();
                        lasting().await;
                        region.resume();
                        return Ok(());
                    }
                    What::StopRegion(_) => region.stop().await,
                    _ => region.crash().await,
                }
                lasting().await;
                self.registry_is_back().await;
                let_a_millisecond_pass();
                region.restart().await?;
            }
            (what, Some(Target::Process(Who::Cluster(index)))) => {
                let cluster = self.mesh.cluster(index);
                match what {
                    What::PauseCluster(_) => {
                        cluster.pause();
                        lasting().await;
                        cluster.resume();
                        return Ok(());
                    }
                    What::StopCluster(_) => cluster.stop().await,
                    _ => cluster.crash().await,
                }
                lasting().await;
                let_a_millisecond_pass();
                cluster.restart().await?;
            }
            (what, Some(Target::Link(region, cluster))) => {
                let link = self.mesh.link(region, cluster);
                match what {
                    What::Cut(..) => link.cut(),
                    _ => link.freeze(),
                }
                lasting().await;
                link.heal();
            }
            (What::AddRegion, _) => {
                self.registry_is_back().await;
                drop(self.mesh.add_region().await?);
            }
            (What::AddCluster, _) => drop(self.mesh.add_cluster().await?),
            _ => {
                self.registry.outages.fetch_add(1, Ordering::Relaxed);
                lasting().await;
                self.registry.outages.fetch_sub(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Without it no region process starts.
    async fn registry_is_back(&self) {
        while self.registry.check().is_err() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}
