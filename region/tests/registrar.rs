//! How a region and its registry keep up with each other when the registry is slow or fails.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail as tests do")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use amp_proto::{Cluster, Limits, Never, Region, Role as _, responders};
use async_trait::async_trait;
use cluster::ClusterController;
use mesh::commands::{Ident, RegionsChanged};
use mesh::{
    Answering, ClusterId, Common, Handshaking, MemoryTransport, RegionId, Secret, Transport as _,
};
use region::registry::{EXPIRY, HEARTBEAT};
use region::{
    LinkEntry, Listen, MemoryRegistry, RegionBuilder, RegionController, RegionEntry, Registry,
    RegistryError,
};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;

/// What is the matter with a [`Troubled`] registry.
#[derive(Debug, Default)]
struct Troubles {
    announce_fails: AtomicBool,
    regions_fail: AtomicBool,
    withdraw_hangs: AtomicBool,
    /// Announcements take as long as this says, and are carried out whether waited for or not.
    announce_is_slow: AtomicBool,
}

/// How long a slow announcement takes.
const SLOW: Duration = Duration::from_millis(700);

#[derive(Clone, Debug, Default)]
struct Troubled {
    memory: MemoryRegistry,
    troubles: Arc<Troubles>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

fn fail_if(failing: &AtomicBool) -> Result<(), RegistryError> {
    if failing.load(Ordering::SeqCst) { Err(RegistryError::Closing) } else { Ok(()) }
}

#[async_trait]
impl Registry for Troubled {
    async fn announce(&self, region: &RegionEntry) -> Result<bool, RegistryError> {
        fail_if(&self.troubles.announce_fails)?;
        if !self.troubles.announce_is_slow.load(Ordering::SeqCst) {
            return self.memory.announce(region).await;
        }
        let (memory, region) = (self.memory.clone(), region.clone());
        let (done, waited) = tokio::sync::oneshot::channel();
        self.tasks.lock().await.spawn(async move {
            tokio::time::sleep(SLOW).await;
            let _nobody_waits = done.send(memory.announce(&region).await);
        });
        waited.await.unwrap()
    }

    async fn withdraw(&self, region: &RegionId) -> Result<(), RegistryError> {
        if self.troubles.withdraw_hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.memory.withdraw(region).await
    }

    async fn record_links(
        &self,
        region: &RegionId,
        opened: &[LinkEntry],
        lost: &[ClusterId],
    ) -> Result<bool, RegistryError> {
        self.memory.record_links(region, opened, lost).await
    }

    async fn regions(&self) -> Result<Vec<RegionEntry>, RegistryError> {
        fail_if(&self.troubles.regions_fail)?;
        self.memory.regions().await
    }

    async fn links(&self) -> Result<Vec<LinkEntry>, RegistryError> {
        self.memory.links().await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.memory.changes()
    }
}

struct World {
    transport: MemoryTransport,
    registry: Troubled,
    secret: Secret,
}

impl World {
    fn new() -> Self {
        let (transport, registry) = (MemoryTransport::new(), Troubled::default());
        Self { transport, registry, secret: Secret::generate() }
    }

    fn region(&self) -> RegionBuilder {
        RegionController::builder()
            .transport(Arc::new(self.transport.clone()))
            .registry(Arc::new(self.registry.clone()))
            .listen(Listen::loopback())
            .secret(self.secret.clone())
    }

    async fn cluster_of(&self, region: &RegionController) -> ClusterController {
        let cluster = ClusterController::builder()
            .transport(Arc::new(self.transport.clone()))
            .secret(self.secret.clone())
            .region(region.address())
            .start()
            .await
            .unwrap();
        region.get_client_for(cluster.uuid()).await.unwrap();
        cluster
    }

    fn set(&self, trouble: impl Fn(&Troubles) -> &AtomicBool, on: bool) {
        trouble(&self.registry.troubles).store(on, Ordering::SeqCst);
    }

    async fn links(&self) -> usize {
        self.registry.memory.links().await.unwrap().len()
    }
}

#[tokio::test(start_paused = true)]
async fn links_are_written_down_again_after_the_region_has_expired() {
    let world = World::new();
    let region = world.region().start().await.unwrap();
    let _cluster = world.cluster_of(&region).await;
    tokio::time::sleep(HEARTBEAT).await;
    assert_eq!(world.links().await, 1);

    world.set(|troubles| &troubles.announce_fails, true);
    tokio::time::sleep(EXPIRY + HEARTBEAT).await;
    assert_eq!(world.links().await, 0);

    world.set(|troubles| &troubles.announce_fails, false);
    tokio::time::sleep(HEARTBEAT * 2).await;
    assert_eq!(world.links().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_hangs_does_not_hold_up_the_end() {
    let world = World::new();
    let limit = Duration::from_secs(3);
    let region = world.region().drain_timeout(limit).start().await.unwrap();
    world.set(|troubles| &troubles.withdraw_hangs, true);
    let began = tokio::time::Instant::now();
    region.shutdown().await;
    assert!(began.elapsed() <= limit + Duration::from_millis(10), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_announcement_under_way_does_not_bring_a_region_back_that_has_left() {
    let world = World::new();
    let region = world.region().start().await.unwrap();
    world.set(|troubles| &troubles.announce_is_slow, true);
    // In the middle of an announcement.
    tokio::time::sleep(HEARTBEAT + SLOW / 2).await;
    region.shutdown().await;
    assert_eq!(world.registry.memory.regions().await.unwrap(), []);
    tokio::time::sleep(SLOW * 2).await;
    assert_eq!(world.registry.memory.regions().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_region_that_crashes_is_not_taken_out() {
    let world = World::new();
    let region = world.region().start().await.unwrap();
    tokio::time::sleep(HEARTBEAT).await;
    region.abort().await;
    assert_eq!(world.registry.memory.regions().await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn news_that_could_not_be_read_are_read_later() {
    let world = World::new();
    let first = world.region().start().await.unwrap();
    let cluster = world.cluster_of(&first).await;
    tokio::time::sleep(HEARTBEAT).await;

    world.set(|troubles| &troubles.regions_fail, true);
    let second = world.region().start().await.unwrap();
    tokio::time::sleep(HEARTBEAT * 3).await;
    assert!(cluster.pool().get(second.id()).is_none(), "nobody could have told");

    // Nothing changes from here on.
    world.set(|troubles| &troubles.regions_fail, false);
    let found = cluster.pool().wait_for(second.id());
    tokio::time::timeout(HEARTBEAT * 2, found).await.expect("the cluster is told");
}

/// A cluster that takes its time over the first news.
struct Slow {
    news: mpsc::Sender<RegionsChanged>,
    is_awake: AtomicBool,
}

#[responders]
impl Slow {
    #[responder]
    async fn regions_changed(&self, it: RegionsChanged) -> Result<(), Never> {
        if !self.is_awake.swap(true, Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let _told = self.news.send(it).await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_did_not_take_the_news_is_told_again() {
    let world = World::new();
    let limits = Limits { call_timeout: Duration::from_secs(2), ..Limits::default() };
    let first = world.region().limits(limits.clone()).start().await.unwrap();

    let (news, mut told) = mpsc::channel(16);
    let uuid = ClusterId::random();
    let ident = Ident { ident: uuid.to_string(), name: None, version: None };
    let mut answering = Answering::new();
    answering.add(Arc::new(Common::new(Cluster::NAME, ident, Some(world.secret.clone()))));
    answering.add(Arc::new(Slow { news, is_awake: AtomicBool::new(false) }));
    let responders = Arc::new(answering.finish(Cluster::NAME).unwrap());
    let stream = world.transport.connect(first.address()).await.unwrap();
    let handshaking = Handshaking::new(stream, Region::NAME, "region".to_owned(), limits.into());
    let open = handshaking.authenticate(&world.secret).await.unwrap();
    let (_link, driving) = open.drive(responders);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(driving.await) });
    first.get_client_for(uuid).await.unwrap();

    let second = world.region().start().await.unwrap();
    let told = tokio::time::timeout(Duration::from_secs(4), told.recv()).await;
    let regions = told.expect("it is told again").unwrap().regions;
    assert!(regions.iter().any(|region| region.uuid == second.id().as_str()), "{regions:?}");
}
