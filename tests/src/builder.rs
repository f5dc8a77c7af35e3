//! From settings to a running mesh.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use amp_proto::{Limits, ResponderTable};
use cluster::ClusterBuilder;
use mesh::{BackoffSettings, ClusterId, Secret};
use region::{MemoryRegistry, RegionBuilder, Registry};

use crate::error::MeshError;
use crate::mesh::Mesh;
use crate::wire::Medium;

type ConfigureRegion = Box<dyn Fn(usize, RegionBuilder) -> RegionBuilder + Send + Sync>;
type ConfigureCluster = Box<dyn Fn(usize, ClusterBuilder) -> ClusterBuilder + Send + Sync>;

/// Settings of a [`Mesh`]. Made by [`Mesh::builder`].
pub struct MeshBuilder {
    pub(crate) regions: usize,
    pub(crate) clusters: usize,
    pub(crate) medium: Medium,
    pub(crate) settings: Settings,
}

/// What processes are started with, now and later.
pub(crate) struct Settings {
    pub(crate) secret: Secret,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) limits: Limits,
    pub(crate) backoff: BackoffSettings,
    pub(crate) every_region_is_a_seed: bool,
    pub(crate) settle_within: Duration,
    pub(crate) configure_region: Vec<ConfigureRegion>,
    pub(crate) configure_cluster: Vec<ConfigureCluster>,
}

impl MeshBuilder {
    pub(crate) fn new() -> Self {
        Self {
            regions: 1,
            clusters: 1,
            medium: Medium::Memory,
            settings: Settings {
                secret: Secret::generate(),
                registry: Arc::new(MemoryRegistry::new()),
                limits: Limits::default(),
                backoff: BackoffSettings::default(),
                every_region_is_a_seed: false,
                settle_within: Duration::from_secs(8),
                configure_region: Vec::new(),
                configure_cluster: Vec::new(),
            },
        }
    }

    /// How many region processes there are at first. Default 1.
    #[must_use]
    pub fn regions(mut self, count: usize) -> Self {
        self.regions = count;
        self
    }

    /// How many clusters there are at first. Default 1.
    #[must_use]
    pub fn clusters(mut self, count: usize) -> Self {
        self.clusters = count;
        self
    }

    /// What each region process answers, by its index. Asked again when one is restarted.
    #[must_use]
    pub fn region_responders<S: ResponderTable>(
        self,
        responders: impl Fn(usize) -> S + Send + Sync + 'static,
    ) -> Self {
        self.configure_regions(move |index, region| region.responders(responders(index)))
    }

    /// As [`MeshBuilder::region_responders`], for responders that are shared with the test.
    #[must_use]
    pub fn region_responders_arc<S: ResponderTable>(
        self,
        responders: impl Fn(usize) -> Arc<S> + Send + Sync + 'static,
    ) -> Self {
        self.configure_regions(move |index, region| region.responders_arc(responders(index)))
    }

    /// What each cluster answers, by its uuid. Asked again when one is restarted.
    #[must_use]
    pub fn cluster_responders<S: ResponderTable>(
        self,
        responders: impl Fn(ClusterId) -> S + Send + Sync + 'static,
    ) -> Self {
        self.configure_clusters(move |index, cluster| {
            cluster.responders(responders(Mesh::uuid_of(index)))
        })
    }

    /// As [`MeshBuilder::cluster_responders`], for responders that are shared with the test.
    #[must_use]
    pub fn cluster_responders_arc<S: ResponderTable>(
        self,
        responders: impl Fn(ClusterId) -> Arc<S> + Send + Sync + 'static,
    ) -> Self {
        self.configure_clusters(move |index, cluster| {
            cluster.responders_arc(responders(Mesh::uuid_of(index)))
        })
    }

    /// Changes the settings of each region process, given its index. Applied at every start, after
    /// the harness's own.
    #[must_use]
    pub fn configure_regions(
        mut self,
        configure: impl Fn(usize, RegionBuilder) -> RegionBuilder + Send + Sync + 'static,
    ) -> Self {
        self.settings.configure_region.push(Box::new(configure));
        self
    }

    /// Changes the settings of each cluster, given its index. Applied at every start, after the
    /// harness's own.
    #[must_use]
    pub fn configure_clusters(
        mut self,
        configure: impl Fn(usize, ClusterBuilder) -> ClusterBuilder + Send + Sync + 'static,
    ) -> Self {
        self.settings.configure_cluster.push(Box::new(configure));
        self
    }

    /// What every connection will hold at most, on both sides.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// How long clusters wait between attempts to connect.
    #[must_use]
    pub fn backoff(mut self, backoff: BackoffSettings) -> Self {
        self.settings.backoff = backoff;
        self
    }

    /// Where region processes find each other. Default: in memory.
    #[must_use]
    pub fn registry(mut self, registry: Arc<dyn Registry>) -> Self {
        self.settings.registry = registry;
        self
    }

    /// Gives clusters the address of every region process that runs when they start. Default: of
    /// the first of these only, so that they learn of the others.
    #[must_use]
    pub fn every_region_is_a_seed(mut self) -> Self {
        self.settings.every_region_is_a_seed = true;
        self
    }

    /// How long [`MeshBuilder::start`] and [`Mesh::settled`] wait for what is missing. Default
    /// 8 s.
    #[must_use]
    pub fn settle_within(mut self, wait: Duration) -> Self {
        self.settings.settle_within = wait;
        self
    }

    /// Connects over loopback TCP, on ports that the operating system chooses. Not for tests that
    /// pause the time: the operating system's goes on.
    #[must_use]
    pub fn over_tcp(mut self) -> Self {
        self.medium = Medium::Tcp;
        self
    }

    /// Starts the region processes, then the clusters, and waits until each of these is connected
    /// to each of those.
    ///
    /// # Errors
    /// [`MeshError`]; nothing is left running.
    ///
    /// # Cancellation
    /// Dropping the future leaves nothing running.
    pub async fn start(self) -> Result<Mesh, MeshError> {
        let (regions, clusters) = (self.regions, self.clusters);
        let mesh = Mesh::new(self.medium, self.settings);
        for _ in 0..regions {
            mesh.add_region().await?;
        }
        for _ in 0..clusters {
            mesh.add_cluster().await?;
        }
        mesh.settled().await?;
        Ok(mesh)
    }
}

impl fmt::Debug for MeshBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshBuilder")
            .field("regions", &self.regions)
            .field("clusters", &self.clusters)
            .field("medium", &self.medium)
            .finish_non_exhaustive()
    }
}
