//! Region processes and clusters, as the test holds them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use amp_proto::{Cluster, Region};
use cluster::ClusterController;
use mesh::{Client, ClusterId, Listen, RegionId};
use region::{RegionController, StartError};

use crate::error::MeshError;
use crate::mesh::{Mesh, Shared};
use crate::wire::Owner;

/// A handle to one region process of a [`Mesh`]. It stays good over [`RegionProcess::restart`].
#[derive(Clone)]
pub struct RegionProcess {
    mesh: Arc<Shared>,
    index: usize,
}

/// A handle to one cluster of a [`Mesh`]. It stays good over [`ClusterProcess::restart`].
#[derive(Clone)]
pub struct ClusterProcess {
    mesh: Arc<Shared>,
    index: usize,
}

impl RegionProcess {
    pub(crate) fn new(mesh: Arc<Shared>, index: usize) -> Self {
        Self { mesh, index }
    }

    /// Its place in the order of starting.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its controller, or the last one it had.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "the mesh made this handle, and keeps its slots")]
    pub fn controller(&self) -> RegionController {
        self.mesh.regions()[self.index].controller.clone()
    }

    /// Its identity, another one after every start.
    #[must_use]
    pub fn id(&self) -> RegionId {
        self.controller().id().clone()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> String {
        self.controller().address().to_owned()
    }

    /// As [`RegionController::get_client_for`].
    ///
    /// # Errors
    /// [`region::ClientError`].
    ///
    /// # Cancellation
    /// Dropping the future only ends the waiting.
    pub async fn get_client_for(
        &self,
        cluster: impl Into<ClusterId>,
    ) -> Result<Client<Cluster>, region::ClientError> {
        self.controller().get_client_for(cluster).await
    }

    /// As [`RegionController::get_all_clients`].
    #[must_use]
    pub fn get_all_clients(&self) -> Vec<Client<Cluster>> {
        self.controller().get_all_clients()
    }

    /// Drops the process where it stands. The operating system closes its streams; it says goodbye
    /// to nobody, and its entry in the registry stays until it expires.
    ///
    /// # Cancellation
    /// The crash has begun whether the future is polled to its end or not.
    pub async fn crash(&self) {
        let controller = self.set_running(false);
        controller.abort().await;
    }

    /// Shuts it down in good order.
    ///
    /// # Cancellation
    /// Dropping the future only ends the waiting.
    pub async fn stop(&self) {
        let controller = self.set_running(false);
        controller.shutdown().await;
    }

    /// Holds its links, as if the whole process stood still: it neither accepts nor reads nor
    /// writes, and its connections stay open. Only its own clock goes on.
    pub fn pause(&self) {
        self.mesh.board.set_paused(Owner::Region(self.index), true);
    }

    /// Ends [`RegionProcess::pause`].
    pub fn resume(&self) {
        self.mesh.board.set_paused(Owner::Region(self.index), false);
    }

    /// Starts it again: under a new identity, as processes do, and at the same address unless
    /// somebody took it meanwhile. One that still runs is crashed first. Does not wait for the
    /// clusters.
    ///
    /// # Errors
    /// [`MeshError::Region`].
    ///
    /// # Cancellation
    /// Dropping the future leaves it crashed.
    pub async fn restart(&self) -> Result<(), MeshError> {
        self.crash().await;
        let again = self.mesh.start_region(self.index, listen_at(&self.address())).await;
        let controller = match again {
            Err(MeshError::Region { error: StartError::Listen(_), .. }) => {
                self.mesh.start_region(self.index, Listen::loopback()).await?
            }
            started => started?,
        };
        if let Some(slot) = self.mesh.regions().get_mut(self.index) {
            slot.controller = controller;
            slot.running = true;
        }
        Ok(())
    }

    fn set_running(&self, running: bool) -> RegionController {
        if let Some(slot) = self.mesh.regions().get_mut(self.index) {
            slot.running = running;
        }
        self.controller()
    }
}

impl ClusterProcess {
    pub(crate) fn new(mesh: Arc<Shared>, index: usize) -> Self {
        Self { mesh, index }
    }

    /// Its place in the order of starting.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its identity, the same after every start.
    #[must_use]
    pub fn uuid(&self) -> ClusterId {
        Mesh::uuid_of(self.index)
    }

    /// Its controller, or the last one it had.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "the mesh made this handle, and keeps its slots")]
    pub fn controller(&self) -> ClusterController {
        self.mesh.clusters()[self.index].controller.clone()
    }

    /// As [`ClusterController::get_client`].
    ///
    /// # Errors
    /// [`cluster::ClientError`].
    ///
    /// # Cancellation
    /// Dropping the future only ends the waiting.
    pub async fn get_client(&self) -> Result<Client<Region>, cluster::ClientError> {
        self.controller().get_client().await
    }

    /// As [`ClusterController::get_all_clients`].
    #[must_use]
    pub fn get_all_clients(&self) -> Vec<Client<Region>> {
        self.controller().get_all_clients()
    }

    /// Drops the process where it stands. The operating system closes its streams; it says goodbye
    /// to nobody.
    ///
    /// # Cancellation
    /// The crash has begun whether the future is polled to its end or not.
    pub async fn crash(&self) {
        let controller = self.set_running(false);
        controller.abort().await;
    }

    /// Shuts it down in good order.
    ///
    /// # Cancellation
    /// Dropping the future only ends the waiting.
    pub async fn stop(&self) {
        let controller = self.set_running(false);
        controller.shutdown().await;
    }

    /// Holds its links, as if the whole process stood still: it neither dials nor reads nor writes,
    /// and its connections stay open. Only its own clock goes on.
    pub fn pause(&self) {
        self.mesh.board.set_paused(Owner::Cluster(self.index), true);
    }

    /// Ends [`ClusterProcess::pause`].
    pub fn resume(&self) {
        self.mesh.board.set_paused(Owner::Cluster(self.index), false);
    }

    /// Starts it again, under the same identity. One that still runs is crashed first. Does not
    /// wait for it to find the region processes.
    ///
    /// # Errors
    /// [`MeshError::Cluster`].
    ///
    /// # Cancellation
    /// Dropping the future leaves it crashed.
    pub async fn restart(&self) -> Result<(), MeshError> {
        self.crash().await;
        let controller = self.mesh.start_cluster(self.index).await?;
        if let Some(slot) = self.mesh.clusters().get_mut(self.index) {
            slot.controller = controller;
            slot.running = true;
        }
        Ok(())
    }

    fn set_running(&self, running: bool) -> ClusterController {
        if let Some(slot) = self.mesh.clusters().get_mut(self.index) {
            slot.running = running;
        }
        self.controller()
    }
}

/// Where to listen to be found at `address` again.
fn listen_at(address: &str) -> Listen {
    if let Ok(address) = address.parse::<SocketAddr>() {
        return Listen::from(address);
    }
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let port: u16 = port.unwrap_or_default();
    Listen { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), ports: port..=port }
}

impl fmt::Debug for RegionProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RegionProcess").field(&self.index).finish()
    }
}

impl fmt::Debug for ClusterProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClusterProcess").field(&self.index).finish()
    }
}
