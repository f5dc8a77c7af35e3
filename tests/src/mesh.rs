//! A running mesh.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cluster::ClusterController;
use futures_util::FutureExt as _;
use futures_util::future::select_all;
use mesh::{BoxStream, ClusterId, Listen, MemoryBudget, Secret};
use region::{RegionController, Registry};
use tokio::sync::watch;
use uuid::Uuid;

use crate::builder::{MeshBuilder, Settings};
use crate::error::{MeshError, NotSettled};
use crate::failure::is_failing;
use crate::link::Link;
use crate::process::{ClusterProcess, RegionProcess};
use crate::transcript::{Log, Transcript};
use crate::wire::{Medium, Owner, Switchboard};

/// Region processes and clusters that run in this process, and the wires between them.
///
/// When it is dropped, everything in it is dropped where it stands, whatever handles are left.
pub struct Mesh {
    shared: Arc<Shared>,
}

/// How many lines of the transcript are printed when a test fails.
const PRINTED_MAX: usize = 300;

/// What the mesh and the handles to its parts have in common.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) board: Arc<Switchboard>,
    regions: Mutex<Vec<Slot<RegionController>>>,
    clusters: Mutex<Vec<Slot<ClusterController>>>,
    log: Arc<Log>,
}

/// The place of one process.
pub(crate) struct Slot<C> {
    /// As it was started last.
    pub(crate) controller: C,
    pub(crate) running: bool,
}

impl Mesh {
    /// Settings to start from: one region process and one cluster, in memory.
    #[must_use]
    pub fn builder() -> MeshBuilder {
        MeshBuilder::new()
    }

    pub(crate) fn new(medium: Medium, settings: Settings) -> Self {
        let log = Log::new();
        let board = Switchboard::new(medium, Arc::clone(&log));
        let (regions, clusters) = (Mutex::default(), Mutex::default());
        Self { shared: Arc::new(Shared { settings, board, regions, clusters, log }) }
    }

    /// The identity of the cluster with this index, the same in every mesh.
    #[must_use]
    pub fn uuid_of(cluster: usize) -> ClusterId {
        const FIRST: u128 = 0xc105_7e00_0000_4000_8000_0000_0000_0000;
        let index = u128::try_from(cluster).unwrap_or_default();
        ClusterId(Uuid::from_u128(FIRST + index))
    }

    /// A region process, in the order of starting.
    ///
    /// # Panics
    /// When there are not so many.
    #[must_use]
    #[track_caller]
    pub fn region(&self, index: usize) -> RegionProcess {
        assert!(index < self.shared.regions().len(), "the mesh has no region-{index}");
        RegionProcess::new(Arc::clone(&self.shared), index)
    }

    /// A cluster, in the order of starting.
    ///
    /// # Panics
    /// When there are not so many.
    #[must_use]
    #[track_caller]
    pub fn cluster(&self, index: usize) -> ClusterProcess {
        assert!(index < self.shared.clusters().len(), "the mesh has no cluster-{index}");
        ClusterProcess::new(Arc::clone(&self.shared), index)
    }

    /// Every region process, also those that do not run.
    #[must_use]
    pub fn regions(&self) -> Vec<RegionProcess> {
        let indices = 0..self.shared.regions().len();
        indices.map(|index| RegionProcess::new(Arc::clone(&self.shared), index)).collect()
    }

    /// Every cluster, also those that do not run.
    #[must_use]
    pub fn clusters(&self) -> Vec<ClusterProcess> {
        let indices = 0..self.shared.clusters().len();
        indices.map(|index| ClusterProcess::new(Arc::clone(&self.shared), index)).collect()
    }

    /// The link between a region process and a cluster, by their indices.
    #[must_use]
    pub fn link(&self, region: usize, cluster: usize) -> Link {
        Link::new(self.shared.board.gate(region, cluster))
    }

    /// Starts one more region process. Does not wait for clusters to find it.
    ///
    /// # Errors
    /// [`MeshError::Region`].
    ///
    /// # Cancellation
    /// Dropping the future leaves the mesh as it was.
    pub async fn add_region(&self) -> Result<RegionProcess, MeshError> {
        let index = self.shared.regions().len();
        let controller = self.shared.start_region(index, Listen::loopback()).await?;
        self.shared.regions().push(Slot { controller, running: true });
        Ok(RegionProcess::new(Arc::clone(&self.shared), index))
    }

    /// Starts one more cluster. Does not wait for it to find the region processes.
    ///
    /// # Errors
    /// [`MeshError::Cluster`].
    ///
    /// # Cancellation
    /// Dropping the future leaves the mesh as it was.
    pub async fn add_cluster(&self) -> Result<ClusterProcess, MeshError> {
        let index = self.shared.clusters().len();
        let controller = self.shared.start_cluster(index).await?;
        self.shared.clusters().push(Slot { controller, running: true });
        Ok(ClusterProcess::new(Arc::clone(&self.shared), index))
    }

    /// Waits until every running cluster is connected to every running region process, and nobody
    /// holds on to a connection that was cut.
    ///
    /// # Errors
    /// [`NotSettled`] when it takes longer than the
    /// [`settle_within`](MeshBuilder::settle_within) of the settings.
    ///
    /// # Cancellation
    /// Dropping the future only ends the waiting.
    pub async fn settled(&self) -> Result<(), NotSettled> {
        let waited = self.shared.settings.settle_within;
        let settling = tokio::time::timeout(waited, self.shared.settle());
        settling.await.map_err(|_| NotSettled { waited, missing: self.shared.missing() })
    }

    /// What went over the wires so far.
    #[must_use]
    pub fn transcript(&self) -> Transcript {
        self.shared.log.transcript()
    }

    /// What every process of this mesh knows and nobody else.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.shared.settings.secret
    }

    /// Where the region processes find each other.
    #[must_use]
    pub fn registry(&self) -> &Arc<dyn Registry> {
        &self.shared.settings.registry
    }

    /// Opens a stream to a region process, as a stranger would: nothing is proved on it, and it
    /// belongs to no link.
    ///
    /// # Errors
    /// When nobody listens there now.
    ///
    /// # Panics
    /// When there is no such region process.
    ///
    /// # Cancellation
    /// Dropping the future leaves nothing open.
    pub async fn dial(&self, region: usize) -> io::Result<BoxStream> {
        let address = self.region(region).address();
        self.shared.board.dial(&address).await
    }
}

impl Shared {
    pub(crate) fn regions(&self) -> MutexGuard<'_, Vec<Slot<RegionController>>> {
        self.regions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn clusters(&self) -> MutexGuard<'_, Vec<Slot<ClusterController>>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the region process with this index, for the first time or again.
    ///
    /// # Errors
    /// [`MeshError::Region`].
    ///
    /// # Cancellation
    /// Dropping the future leaves nothing running.
    pub(crate) async fn start_region(
        &self,
        index: usize,
        listen: Listen,
    ) -> Result<RegionController, MeshError> {
        let Settings { secret, registry, limits, configure_region, .. } = &self.settings;
        let builder = RegionController::builder()
            .name(format!("region-{index}"))
            .listen(listen)
            .secret(secret.clone())
            // Many of them share this process and its memory.
            .memory_budget(MemoryBudget::Unlimited)
            .registry(Arc::clone(registry))
            .limits(limits.clone())
            .transport(self.board.wires_of(Owner::Region(index)));
        let configured = configure_region.iter().fold(builder, |it, then| then(index, it));
        configured.start().await.map_err(|error| MeshError::Region { index, error })
    }

    /// Starts the cluster with this index, for the first time or again.
    ///
    /// # Errors
    /// [`MeshError::Cluster`].
    ///
    /// # Cancellation
    /// Dropping the future leaves nothing running.
    pub(crate) async fn start_cluster(&self, index: usize) -> Result<ClusterController, MeshError> {
        let Settings { secret, limits, backoff, configure_cluster, .. } = &self.settings;
        let builder = ClusterController::builder()
            .uuid(Mesh::uuid_of(index))
            .name(format!("cluster-{index}"))
            .regions(self.seeds())
            .memory_budget(MemoryBudget::Unlimited)
            .secret(secret.clone())
            .limits(limits.clone())
            .backoff(backoff.clone())
            .transport(self.board.wires_of(Owner::Cluster(index)));
        let configured = configure_cluster.iter().fold(builder, |it, then| then(index, it));
        configured.start().await.map_err(|error| MeshError::Cluster { index, error })
    }

    fn seeds(&self) -> Vec<String> {
        let most = if self.settings.every_region_is_a_seed { usize::MAX } else { 1 };
        let regions = self.regions();
        // A list of addresses says nothing of who is up just now.
        let is_any_up = regions.iter().any(|slot| slot.running);
        let those = regions.iter().filter(|slot| slot.running || !is_any_up);
        those.take(most).map(|slot| slot.controller.address().to_owned()).collect()
    }

    async fn settle(&self) {
        loop {
            let mut changes = self.changes();
            if self.missing().is_empty() {
                return;
            }
            let any = changes.iter_mut().map(|changes| Box::pin(changes.changed()));
            let _changed = select_all(any).await;
        }
    }

    /// Tells of everything that makes a difference to [`Shared::missing`].
    fn changes(&self) -> Vec<watch::Receiver<u64>> {
        let mut changes = vec![self.board.changes()];
        changes.extend(running(&self.regions()).iter().map(|(_, it)| it.pool().changes()));
        changes.extend(running(&self.clusters()).iter().map(|(_, it)| it.pool().changes()));
        changes
    }

    /// The links that should be there and are not.
    fn missing(&self) -> Vec<(usize, usize)> {
        let (regions, clusters) = (running(&self.regions()), running(&self.clusters()));
        let mut missing = Vec::new();
        for (region, region_controller) in &regions {
            for (cluster, cluster_controller) in &clusters {
                let is_connected =
                    region_controller.pool().get(&cluster_controller.uuid()).is_some()
                        && cluster_controller.pool().get(region_controller.id()).is_some();
                if !is_connected || !self.board.gate(*region, *cluster).is_clean() {
                    missing.push((*region, *cluster));
                }
            }
        }
        missing
    }
}

fn running<C: Clone>(slots: &[Slot<C>]) -> Vec<(usize, C)> {
    let slots = slots.iter().enumerate().filter(|(_, slot)| slot.running);
    slots.map(|(index, slot)| (index, slot.controller.clone())).collect()
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mesh")
            .field("regions", &self.shared.regions().len())
            .field("clusters", &self.shared.clusters().len())
            .finish_non_exhaustive()
    }
}

impl Drop for Mesh {
    #[expect(
        clippy::print_stderr,
        reason = "whoever reads a failed test wants to read this as well"
    )]
    fn drop(&mut self) {
        // One poll begins to drop everything; nobody has to wait for the end of it.
        for (_, cluster) in running(&self.shared.clusters()) {
            let _begun = cluster.abort().now_or_never();
        }
        for (_, region) in running(&self.shared.regions()) {
            let _begun = region.abort().now_or_never();
        }
        if is_failing() {
            let transcript = self.transcript().last(PRINTED_MAX);
            eprintln!("---- the transcript of the mesh ----\n{transcript}");
        }
    }
}
