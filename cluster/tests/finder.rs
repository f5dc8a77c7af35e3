//! Which regions a cluster finds, whatever they say of themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail as tests do")]

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cluster::{ClusterBuilder, ClusterController, Limits, RegionId};
use mesh::{BoxStream, Listen, Listener, Lost, MemoryTransport, Secret, Transport};
use region::{MemoryRegistry, RegionController};

/// A network in memory whose regions advertise what the test says, and whose dials are counted.
#[derive(Clone, Debug, Default)]
struct Network {
    memory: MemoryTransport,
    dials: Arc<Mutex<HashMap<String, usize>>>,
    advertised: Vec<String>,
}

#[async_trait]
impl Transport for Network {
    async fn connect(&self, address: &str) -> io::Result<BoxStream> {
        *self.dials.lock().unwrap().entry(address.to_owned()).or_default() += 1;
        self.memory.connect(address).await
    }

    async fn listen(&self, listen: &Listen) -> io::Result<Box<dyn Listener>> {
        let listener = self.memory.listen(listen).await?;
        Ok(Box::new(Advertising { listener, advertised: self.advertised.clone() }))
    }
}

struct Advertising {
    listener: Box<dyn Listener>,
    advertised: Vec<String>,
}

#[async_trait]
impl Listener for Advertising {
    async fn accept(&mut self) -> io::Result<(BoxStream, String)> {
        self.listener.accept().await
    }

    fn address(&self) -> String {
        self.listener.address()
    }

    fn reachable(&self, ips: &[IpAddr]) -> Vec<String> {
        if self.advertised.is_empty() {
            return self.listener.reachable(ips);
        }
        self.advertised.clone()
    }
}

struct World {
    network: Network,
    registry: MemoryRegistry,
    secret: Secret,
}

impl World {
    fn new() -> Self {
        let (network, registry) = (Network::default(), MemoryRegistry::new());
        Self { network, registry, secret: Secret::generate() }
    }

    /// Regions get the addresses `memory:1`, `memory:2`, … in the order of starting.
    async fn region(&self, advertised: &[&str]) -> RegionController {
        let advertised = advertised.iter().map(|&address| address.to_owned()).collect();
        RegionController::builder()
            .transport(Arc::new(Network { advertised, ..self.network.clone() }))
            .registry(Arc::new(self.registry.clone()))
            .listen(Listen::loopback())
            .secret(self.secret.clone())
            .start()
            .await
            .unwrap()
    }

    fn cluster(&self, seeds: &[&str]) -> ClusterBuilder {
        ClusterController::builder()
            .transport(Arc::new(self.network.clone()))
            .secret(self.secret.clone())
            .regions(seeds.iter().copied())
    }

    fn dials_of(&self, address: &str) -> usize {
        self.network.dials.lock().unwrap().get(address).copied().unwrap_or_default()
    }
}

async fn assert_finds(cluster: &ClusterController, region: &RegionId) -> Arc<mesh::Link> {
    let found = cluster.pool().wait_for(region);
    tokio::time::timeout(Duration::from_secs(20), found).await.expect("the region is found")
}

#[tokio::test(start_paused = true)]
async fn a_region_that_advertises_what_cannot_be_reached_is_found_again_at_its_seed() {
    let world = World::new();
    let (a, b) = (world.region(&[]).await, world.region(&["memory:nowhere"]).await);
    let cluster = world.cluster(&["memory:1", "memory:2"]).start().await.unwrap();
    assert_finds(&cluster, a.id()).await;
    for _ in 0..5 {
        let link = assert_finds(&cluster, b.id()).await;
        link.close(Lost::ClosedHere);
        link.closed().await;
    }
    assert_finds(&cluster, b.id()).await;
}

#[tokio::test(start_paused = true)]
async fn a_region_is_looked_for_further_when_another_answers_at_its_first_address() {
    let world = World::new();
    let (a, b) = (world.region(&[]).await, world.region(&["memory:1", "memory:2"]).await);
    let cluster = world.cluster(&["memory:1"]).start().await.unwrap();
    assert_finds(&cluster, a.id()).await;
    assert_finds(&cluster, b.id()).await;
    assert_eq!(cluster.pool().all().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_region_is_looked_for_further_when_a_stranger_refuses_at_its_first_address() {
    let world = World::new();
    let a = world.region(&[]).await;
    let strange = World { network: world.network.clone(), ..World::new() };
    let _refuses = strange.region(&[]).await;
    let b = world.region(&["memory:2", "memory:3"]).await;
    let cluster = world.cluster(&["memory:1"]).start().await.unwrap();
    assert_finds(&cluster, a.id()).await;
    assert_finds(&cluster, b.id()).await;
}

#[tokio::test(start_paused = true)]
async fn a_region_that_is_nowhere_is_dialled_ever_less() {
    let world = World::new();
    let a = world.region(&[]).await;
    // Both of its addresses are somebody else's.
    let _b = world.region(&["memory:1", "memory:1"]).await;
    let cluster = world.cluster(&["memory:1"]).start().await.unwrap();
    let link = assert_finds(&cluster, a.id()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(cluster.pool().all().len(), 1);
    assert!(link.is_open(), "the right connection is left alone");
    let dials = world.dials_of("memory:1");
    assert!((10..=200).contains(&dials), "{dials}");
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_panics_is_tried_again() {
    let world = World::new();
    let region = world.region(&[]).await;
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let cluster = world.cluster(&["memory:1"]).registration(move |_| {
        let tried = counted.fetch_add(1, Ordering::SeqCst);
        assert!(tried > 1, "not yet");
        async { Ok(()) }
    });
    let cluster = cluster.start().await.unwrap();
    assert_finds(&cluster, region.id()).await;
    assert_eq!(tries.load(Ordering::SeqCst), 3);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(region.get_all_clients().len(), 1, "nothing half-introduced is left");
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_never_ends_is_given_up_and_tried_again() {
    let world = World::new();
    let region = world.region(&[]).await;
    let tries = Arc::new(AtomicUsize::new(0));
    let (given_up, counted) = (Arc::new(Mutex::new(None)), Arc::clone(&tries));
    let first = Arc::clone(&given_up);
    let limits = Limits { handshake_timeout: Duration::from_secs(3), ..Limits::default() };
    let cluster = world.cluster(&["memory:1"]).limits(limits).registration(move |client| {
        let tried = counted.fetch_add(1, Ordering::SeqCst);
        if tried == 0 {
            *first.lock().unwrap() = Some(client);
        }
        async move { if tried == 0 { std::future::pending().await } else { Ok(()) } }
    });
    let cluster = cluster.start().await.unwrap();
    assert_finds(&cluster, region.id()).await;
    let client = given_up.lock().unwrap().take().unwrap();
    let refused = client.call(mesh::commands::Identify).await;
    assert!(matches!(refused, Err(mesh::CallError::Lost { .. })), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_region_that_drops_whom_it_takes_is_dialled_ever_less() {
    let world = World::new();
    let region = world.region(&[]).await;
    let cluster = world.cluster(&["memory:1"]).start().await.unwrap();
    let dropping = async {
        loop {
            let link = cluster.pool().wait_for(region.id()).await;
            link.close(Lost::ClosedHere);
            link.closed().await;
        }
    };
    let over = tokio::time::timeout(Duration::from_secs(60), dropping).await;
    assert!(over.is_err());
    let dials = world.dials_of("memory:1");
    assert!((10..=200).contains(&dials), "{dials}");
}
