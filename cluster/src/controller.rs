//! A running cluster process, as the application holds it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use amp_proto::Region;
use mesh::{BackoffSettings, Client, ClusterId, Memory, MemoryPressure, Pool, Process, RegionId};
use tokio::sync::watch;

use crate::builder::{ClusterBuilder, Registration};
use crate::keys::OwnKeys;
use crate::responders::Told;

/// A running cluster process. Cheap to clone; it runs until [`ClusterController::shutdown`].
///
/// Dropping the controller, and all clones of it, does not end it: only
/// [`shutdown`](Self::shutdown), [`abort`](Self::abort) and the end of the runtime do.
///
/// # Examples
/// ```
/// use cluster::{ClusterController, Secret};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = ClusterController::builder()
///     .name("stockholm")
///     .region("127.0.0.1:5250")
///     .secret(Secret::generate())
///     .start()
///     .await?;
/// assert!(cluster.get_all_clients().is_empty()); // nobody has been found yet
/// cluster.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ClusterController {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) process: Process,
    pub(crate) id: ClusterId,
    /// The addresses of the settings.
    pub(crate) regions: Vec<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) backoff: BackoffSettings,
    pub(crate) registration: Option<Registration>,
    pub(crate) told: watch::Receiver<Told>,
    pub(crate) pool: Arc<Pool<RegionId>>,
    pub(crate) own_keys: OwnKeys,
    /// Where region processes were last told to be.
    pub(crate) whereabouts: watch::Sender<Vec<String>>,
}

/// Why there is no client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No region process is connected, and none was within the time that was waited. The log says
    /// what became of each attempt.
    #[error("no connection to any region within {} ms", .waited.as_millis())]
    NoConnections {
        /// How long was waited.
        waited: Duration,
    },
}

impl ClusterController {
    /// Settings to start from.
    #[must_use]
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::new()
    }

    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// The identity of this cluster.
    #[must_use]
    pub fn uuid(&self) -> ClusterId {
        self.inner.id
    }

    /// Its name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inner.process.name()
    }

    /// A client for a random region process. Waits for one to be connected, if it has to, for the
    /// [`client_wait`](ClusterBuilder::client_wait) of the settings.
    ///
    /// A call through it goes to another region process when the first is gone before the call was
    /// sent.
    ///
    /// # Errors
    /// [`ClientError::NoConnections`].
    ///
    /// # Cancellation
    /// Dropping the future only ends the waiting.
    pub async fn get_client(&self) -> Result<Client<Region>, ClientError> {
        let pool = self.pool();
        let waited = self.inner.process.client_wait;
        let link = match pool.random() {
            Some(link) => link,
            None => tokio::time::timeout(waited, pool.wait_until(Pool::random))
                .await
                .map_err(|_| ClientError::NoConnections { waited })?,
        };
        Ok(Client::with_others(link, Arc::clone(pool)))
    }

    /// One client for each region process that is connected now, in no order.
    #[must_use]
    pub fn get_all_clients(&self) -> Vec<Client<Region>> {
        self.pool().all().into_iter().map(|(_, link)| Client::new(link)).collect()
    }

    /// The connections by region process.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool<RegionId>> {
        &self.inner.pool
    }

    /// Where all region processes are, as one of them last told: the addresses of each together,
    /// the best first. Empty until one has. To be kept by whoever wants to begin there the next
    /// time, when those of the settings may be gone.
    ///
    /// # Limits
    /// 4,096 addresses; further ones are left out.
    #[must_use]
    pub fn region_addresses(&self) -> watch::Receiver<Vec<String>> {
        self.inner.whereabouts.subscribe()
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

    /// Leaves the mesh in good order: tells the regions, lets what is under way finish, and closes.
    /// Takes no longer than the [`drain_timeout`](ClusterBuilder::drain_timeout) of the settings.
    ///
    /// Every task that the cluster runs is ended by this, [services](ClusterBuilder::service) too.
    /// So a service may call it, and its own future is then dropped where it waits, as it would be
    /// by anyone's call; the rest goes on without it. A responder that waits for it is itself under
    /// way, and holds the end up until the drain time-out drops it.
    ///
    /// # Cancellation
    /// Dropping the future only ends the waiting: the cluster goes on to its end. Calling it again
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

impl fmt::Debug for ClusterController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterController")
            .field("uuid", &self.uuid())
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
