//! A running cluster process, as the application holds it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use amp_proto::{Region, Responders};
use mesh::commands::Ident;
use mesh::{
    BoxStream, Client, ClusterId, Ended, Link, Pool, RegionId, Secret, drive_until_stopped,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::builder::{ClusterBuilder, Settings};

/// A running cluster process. Cheap to clone; it runs until [`ClusterController::shutdown`].
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
    pub(crate) settings: Settings,
    pub(crate) secret: Secret,
    pub(crate) ident: Ident,
    pub(crate) responders: Arc<Responders>,
    pub(crate) tasks: TaskTracker,
    /// No new connections; what is under way may finish.
    pub(crate) stopping: CancellationToken,
    /// Everything is dropped where it stands.
    pub(crate) aborting: CancellationToken,
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

    pub(crate) fn new(
        settings: Settings,
        secret: Secret,
        ident: Ident,
        responders: Responders,
    ) -> Self {
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        let (responders, aborting) = (Arc::new(responders), CancellationToken::new());
        let inner = Inner { settings, secret, ident, responders, tasks, stopping, aborting };
        Self { inner: Arc::new(inner) }
    }

    /// The identity of this cluster.
    #[must_use]
    pub fn uuid(&self) -> ClusterId {
        self.inner.settings.id
    }

    /// Its name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inner.ident.name.as_deref().unwrap_or_default()
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
        let waited = self.inner.settings.client_wait;
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
        &self.inner.settings.pool
    }

    /// Leaves the mesh in good order: tells the regions, lets what is under way finish, and closes.
    /// Takes no longer than the [`drain_timeout`](ClusterBuilder::drain_timeout) of the settings.
    ///
    /// # Cancellation
    /// Dropping the future leaves the cluster half shut down; calling it again goes on.
    pub async fn shutdown(&self) {
        let Inner { settings, tasks, stopping, aborting, .. } = &*self.inner;
        stopping.cancel();
        let deadline = tokio::time::Instant::now() + settings.drain_timeout;
        tasks.close();
        if tokio::time::timeout_at(deadline, tasks.wait()).await.is_err() {
            tracing::warn!("not everything finished in time; the rest is dropped");
        }
        aborting.cancel();
        tasks.wait().await;
        tracing::info!(name = self.name(), "the cluster has left");
    }

    /// Drops everything where it stands: no goodbye to anyone, as in a crash.
    ///
    /// # Cancellation
    /// The drop has begun whether the future is polled to its end or not.
    pub async fn abort(&self) {
        self.inner.aborting.cancel();
        self.inner.stopping.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

impl Inner {
    /// Runs a connection until it ends, in good order when the cluster stops.
    pub(crate) fn keep(
        self: &Arc<Self>,
        link: Arc<Link>,
        driving: impl Future<Output = Ended<BoxStream>> + Send + 'static,
    ) {
        let (aborting, stopping) = (self.aborting.clone(), self.stopping.clone());
        self.tasks.spawn(async move {
            let running = drive_until_stopped(Arc::clone(&link), driving, &stopping);
            if let Some(lost) = aborting.run_until_cancelled(running).await {
                let address = &link.peer().address;
                tracing::info!(region = link.name(), address, reason = %lost, "a connection ended");
            }
        });
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
