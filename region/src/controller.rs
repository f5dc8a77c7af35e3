//! A running region process, as the application holds it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use amp_proto::{Cluster, Responders};
use mesh::{Client, ClusterId, Memory, MemoryPressure, Pool, Process, RegionId};
use tokio::sync::{Notify, watch};

use crate::admission::Admission;
use crate::builder::RegionBuilder;
use crate::handshakes::HandshakesMax;
use crate::key_book::KeyBook;
use crate::registry::{RegionEntry, Registry, RegistryError};
use crate::report::MeshReport;
use crate::rotation::Rotation;
use crate::sparing::Sparing;

/// A running region process. Cheap to clone; it runs until [`RegionController::shutdown`].
///
/// Dropping the controller, and all clones of it, does not end it: only
/// [`shutdown`](Self::shutdown), [`abort`](Self::abort) and the end of the runtime do.
///
/// # Examples
/// ```
/// use region::{ClusterId, Listen, RegionController, Secret};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let region = RegionController::builder()
///     .listen(Listen::loopback())
///     .secret(Secret::generate())
///     .start()
///     .await?;
/// assert!(region.get_all_clients().is_empty());
/// region.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RegionController {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) process: Process,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) admission: Admission,
    pub(crate) handshakes_max: HandshakesMax,
    pub(crate) connections_max: usize,
    pub(crate) pool: Arc<Pool<ClusterId>>,
    pub(crate) book: Arc<KeyBook>,
    /// Where it listens.
    pub(crate) address: String,
    /// What is announced of it.
    pub(crate) entry: RegionEntry,
    /// The region processes that the registry last told of.
    pub(crate) known: Arc<watch::Sender<Vec<RegionEntry>>>,
    /// Told when the registry has lost what was written down here.
    pub(crate) forgotten: Notify,
    /// The change of the own key.
    pub(crate) rotation: Rotation,
    /// Spares the log what strangers cause.
    pub(crate) strangers: Sparing,
}

/// Why there is no client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The cluster is not connected, and was not within the time that was waited for it. It may be
    /// down, unreachable, or refused: its own log says.
    #[error("no connection to the cluster {cluster} within {} ms", .waited.as_millis())]
    NoConnections {
        /// The cluster.
        cluster: ClusterId,
        /// How long was waited for it.
        waited: Duration,
    },
}

impl RegionController {
    /// Settings to start from.
    #[must_use]
    pub fn builder() -> RegionBuilder {
        RegionBuilder::new()
    }

    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// The identity of this process.
    #[must_use]
    pub fn id(&self) -> &RegionId {
        &self.inner.entry.id
    }

    /// Its name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.entry.name
    }

    /// Where it listens: the port is the one that was taken.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.inner.address
    }

    /// Where clusters are told to reach it, the best address first.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.inner.entry.addresses
    }

    /// A client for the cluster with this uuid. Waits for it to connect, if it has to, for the
    /// [`client_wait`](RegionBuilder::client_wait) of the settings.
    ///
    /// # Errors
    /// [`ClientError::NoConnections`].
    ///
    /// # Cancellation
    /// Dropping the future only ends the waiting.
    pub async fn get_client_for(
        &self,
        cluster: impl Into<ClusterId>,
    ) -> Result<Client<Cluster>, ClientError> {
        self.get_client_for_within(cluster, self.inner.process.client_wait).await
    }

    /// As [`RegionController::get_client_for`], waiting no longer than `wait`.
    ///
    /// # Errors
    /// [`ClientError::NoConnections`].
    ///
    /// # Cancellation
    /// Dropping the future only ends the waiting.
    pub async fn get_client_for_within(
        &self,
        cluster: impl Into<ClusterId>,
        wait: Duration,
    ) -> Result<Client<Cluster>, ClientError> {
        let cluster = cluster.into();
        let pool = self.pool();
        if let Some(link) = pool.get(&cluster) {
            return Ok(Client::new(link));
        }
        let link = tokio::time::timeout(wait, pool.wait_for(&cluster)).await;
        link.map(Client::new).map_err(|_| ClientError::NoConnections { cluster, waited: wait })
    }

    /// One client for each cluster that is connected now, in no order.
    #[must_use]
    pub fn get_all_clients(&self) -> Vec<Client<Cluster>> {
        self.pool().all().into_iter().map(|(_, link)| Client::new(link)).collect()
    }

    /// The connections by cluster.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool<ClusterId>> {
        &self.inner.pool
    }

    /// Everything that this process answers.
    #[must_use]
    pub fn responders(&self) -> &Arc<Responders> {
        &self.inner.process.responders
    }

    /// Where region processes find each other.
    #[must_use]
    pub fn registry(&self) -> &Arc<dyn Registry> {
        &self.inner.registry
    }

    /// The region processes as the registry knew them when it could last be asked; at first, this
    /// one alone.
    #[must_use]
    pub fn known_regions(&self) -> Vec<RegionEntry> {
        self.inner.known.borrow().clone()
    }

    /// The whole mesh as the registry knows it.
    ///
    /// # Errors
    /// [`RegistryError`].
    ///
    /// # Cancellation
    /// Dropping the future changes nothing.
    pub async fn report(&self) -> Result<MeshReport, RegistryError> {
        let registry = self.registry();
        Ok(MeshReport { regions: registry.regions().await?, links: registry.links().await? })
    }

    /// What memory the process has, what it may have, and whether that is short.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.inner.process.memory.memory()
    }

    /// Tells when memory runs short, and when there is more again: an application may do without
    /// something meanwhile.
    #[must_use]
    pub fn memory_changes(&self) -> watch::Receiver<MemoryPressure> {
        self.inner.process.memory.changes()
    }

    /// Leaves the mesh in good order: takes itself out of the registry, tells the clusters, lets
    /// what is under way finish, and closes. Takes no longer than the
    /// [`drain_timeout`](RegionBuilder::drain_timeout) of the settings.
    ///
    /// Every task that the region runs is ended by this, [services](RegionBuilder::service) too.
    /// So a service may call it, and its own future is then dropped where it waits, as it would be
    /// by anyone's call; the rest goes on without it. A responder that waits for it is itself under
    /// way, and holds the end up until the drain time-out drops it.
    ///
    /// # Cancellation
    /// Dropping the future only ends the waiting: the region goes on to its end. Calling it again
    /// waits for the same end.
    pub async fn shutdown(&self) {
        self.inner.process.shut_down().await;
    }

    /// Drops everything where it stands: no goodbye to anyone, as in a crash. A service that calls
    /// it is dropped as well.
    ///
    /// # Cancellation
    /// The drop has begun whether the future is polled to its end or not.
    pub async fn abort(&self) {
        self.inner.process.lifetime.abort().await;
    }
}

impl fmt::Debug for RegionController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegionController")
            .field("id", self.id())
            .field("name", &self.name())
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}
