//! A mesh with a registry that is shared, and with one that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use mesh::{ClusterId, RegionId};
use mesh_harness::{Logs, Mesh, MeshError, TestResult};
use region::registry::{EXPIRY, HEARTBEAT};
use region::{LinkEntry, MemoryRegistry, RegionEntry, Registry, RegistryError, SqliteRegistry};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::desk::{Desk, Sum, Total};

#[tokio::test]
async fn a_mesh_finds_itself_through_a_file() -> TestResult {
    let directory = TempDir::new()?;
    let mut registries: Vec<Arc<dyn Registry>> = Vec::new();
    for _ in 0..3 {
        let path = directory.path().join("registry.sqlite");
        registries.push(Arc::new(SqliteRegistry::open(path).await?));
    }
    let mesh = Mesh::builder().regions(3).clusters(3).cluster_responders(|_| Desk::default());
    let mesh = mesh
        .configure_regions(move |index, region| region.registry(Arc::clone(&registries[index])));
    let mesh = mesh.over_tcp().start().await?;
    let client = mesh.region(2).get_client_for(Mesh::uuid_of(0)).await?;
    assert_eq!(client.call(Sum { a: 1, b: 1 }).await?, Total { total: 2 });

    // Another process reads in the file what each of them wrote.
    let path = directory.path().join("registry.sqlite");
    let outside = SqliteRegistry::open(path).await?;
    let complete = async {
        while outside.links().await?.len() < 9 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok::<_, RegistryError>(())
    };
    tokio::time::timeout(Duration::from_secs(5), complete).await??;
    assert_eq!(outside.regions().await?.len(), 3);
    mesh.region(1).stop().await;
    assert_eq!(outside.regions().await?.len(), 2);
    assert!(outside.links().await?.iter().all(|link| link.region != mesh.region(1).id()));
    Ok(())
}

/// A registry that fails whenever the test says so.
#[derive(Debug, Default)]
struct Moody {
    registry: MemoryRegistry,
    fails: AtomicBool,
}

impl Moody {
    fn check(&self) -> Result<&MemoryRegistry, RegistryError> {
        if self.fails.load(Ordering::SeqCst) {
            Err(RegistryError::Closing)
        } else {
            Ok(&self.registry)
        }
    }
}

#[async_trait]
impl Registry for Moody {
    async fn announce(&self, region: &RegionEntry) -> Result<bool, RegistryError> {
        self.check()?.announce(region).await
    }

    async fn withdraw(&self, region: &RegionId) -> Result<(), RegistryError> {
        self.check()?.withdraw(region).await
    }

    async fn record_links(
        &self,
        region: &RegionId,
        opened: &[LinkEntry],
        lost: &[ClusterId],
    ) -> Result<bool, RegistryError> {
        self.check()?.record_links(region, opened, lost).await
    }

    async fn regions(&self) -> Result<Vec<RegionEntry>, RegistryError> {
        self.check()?.regions().await
    }

    async fn links(&self) -> Result<Vec<LinkEntry>, RegistryError> {
        self.check()?.links().await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.registry.changes()
    }
}

#[tokio::test(start_paused = true)]
async fn a_mesh_lives_on_while_its_registry_fails() -> TestResult {
    let logs = Logs::capture();
    let registry = Arc::new(Moody::default());
    let shared = Arc::clone(&registry);
    let mesh = Mesh::builder().regions(2).clusters(2).cluster_responders(|_| Desk::default());
    let mesh = mesh.registry(shared).start().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;

    registry.fails.store(true, Ordering::SeqCst);
    tokio::time::sleep(EXPIRY * 3).await;
    for region in mesh.regions() {
        for client in region.get_all_clients() {
            assert_eq!(client.call(Sum { a: 1, b: 1 }).await?, Total { total: 2 });
        }
        assert!(matches!(region.controller().report().await, Err(RegistryError::Closing)));
    }
    // Who was known is known: a cluster that comes back finds both.
    mesh.cluster(0).restart().await?;
    mesh.settled().await?;
    assert_eq!(logs.lines_with("the registry fails").len(), 2, "once for each region process");

    registry.fails.store(false, Ordering::SeqCst);
    mesh.add_region().await?;
    mesh.settled().await?;
    // Everybody has announced itself again by the second heartbeat from here.
    tokio::time::sleep(HEARTBEAT * 2).await;
    let report = mesh.region(0).controller().report().await?;
    assert_eq!((report.regions.len(), report.links.len()), (3, 6));

    registry.fails.store(true, Ordering::SeqCst);
    let refused = mesh.add_region().await.unwrap_err();
    assert!(matches!(refused, MeshError::Region { index: 3, .. }), "{refused:?}");
    mesh.region(1).stop().await;
    Ok(())
}
