//! What a registry promises, whichever it is.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use mesh::{ClusterId, RegionId};
use mesh_harness::{Logs, Mesh, MeshError, TestResult};
use region::registry::{EXPIRY, HEARTBEAT};
use region::{LinkEntry, MemoryRegistry, RegionEntry, Registry, RegistryError, SqliteRegistry};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::desk::{Desk, Sum, Total};

/// A kind of registry, and the same one for each of its handles.
trait Kind {
    async fn new() -> Self;
    /// What one more process would get.
    async fn open(&self) -> Arc<dyn Registry>;
    /// Lets time pass.
    async fn pass(&self, time: Duration);

    /// Lets so much time pass that nobody was heard for long enough.
    async fn expire(&self) {
        self.pass(EXPIRY).await;
    }
}

struct Memory(MemoryRegistry);

impl Kind for Memory {
    async fn new() -> Self {
        Self(MemoryRegistry::new())
    }

    async fn open(&self) -> Arc<dyn Registry> {
        Arc::new(self.0.clone())
    }

    async fn pass(&self, time: Duration) {
        tokio::time::advance(time).await;
    }
}

struct Sqlite(TempDir);

impl Sqlite {
    fn path(&self) -> PathBuf {
        self.0.path().join("state").join("registry.sqlite")
    }
}

impl Kind for Sqlite {
    async fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    async fn open(&self) -> Arc<dyn Registry> {
        Arc::new(SqliteRegistry::open(self.path()).await.unwrap())
    }

    /// The file knows the wall clock, which no test can turn: the entries are made older instead.
    async fn pass(&self, time: Duration) {
        let database = rusqlite::Connection::open(self.path()).unwrap();
        database.busy_timeout(Duration::from_secs(5)).unwrap();
        let older = i64::try_from(time.as_millis()).unwrap();
        database.execute("UPDATE regions SET seen_ms = seen_ms - ?1", [older]).unwrap();
    }
}

/// Each of these is a test of every kind of registry.
macro_rules! conformance {
    ($($promise:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(start_paused = true)]
            async fn $promise() -> mesh_harness::TestResult {
                super::$promise(<super::Memory as super::Kind>::new().await).await
            })+
        }

        mod sqlite {
            $(#[tokio::test]
            async fn $promise() -> mesh_harness::TestResult {
                super::$promise(<super::Sqlite as super::Kind>::new().await).await
            })+
        }
    };
}

conformance!(
    everybody_sees_who_announces_itself,
    an_announcement_replaces_the_one_before,
    who_listens_where_another_did_takes_its_place,
    who_withdraws_is_gone_with_its_links,
    links_are_written_down_changed_and_struck,
    links_of_an_unknown_region_are_not_kept,
    who_is_new_is_told_so,
    changes_are_told_to_everybody_and_heartbeats_to_nobody,
    who_is_not_heard_is_gone_with_its_links,
    an_end_by_silence_is_told,
    an_end_by_silence_is_told_also_when_somebody_has_looked_before,
    who_is_heard_again_is_back,
    processes_that_share_a_registry_do_not_disturb_each_other,
);

fn moment() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_700_000_000_123)
}

fn region(name: &str) -> RegionEntry {
    RegionEntry {
        id: RegionId::from(format!("id of {name}")),
        name: name.to_owned(),
        addresses: vec![format!("{name}.example:5250"), "[2001:db8::1]:5250".to_owned()],
        version: "1.2.3".to_owned(),
        started: moment(),
    }
}

fn link(region: &RegionEntry, cluster: usize) -> LinkEntry {
    LinkEntry {
        region: region.id.clone(),
        cluster: Mesh::uuid_of(cluster),
        cluster_name: format!("cluster-{cluster}"),
        cluster_version: (cluster > 0).then(|| "1.2.3".to_owned()),
        address: "192.0.2.7:51324".to_owned(),
        round_trip: (cluster > 1).then(|| Duration::from_micros(1234)),
        since: moment(),
    }
}

async fn everybody_sees_who_announces_itself(kind: impl Kind) -> TestResult {
    let (first, second) = (kind.open().await, kind.open().await);
    assert_eq!(second.regions().await?, []);
    first.announce(&region("b")).await?;
    second.announce(&region("a")).await?;
    for registry in [&first, &second, &kind.open().await] {
        assert_eq!(registry.regions().await?, [region("a"), region("b")]);
        assert_eq!(registry.links().await?, []);
    }
    Ok(())
}

async fn an_announcement_replaces_the_one_before(kind: impl Kind) -> TestResult {
    let registry = kind.open().await;
    registry.announce(&region("a")).await?;
    let moved = RegionEntry { addresses: vec!["192.0.2.9:5251".to_owned()], ..region("a") };
    registry.announce(&moved).await?;
    assert_eq!(registry.regions().await?, [moved]);
    Ok(())
}

async fn who_listens_where_another_did_takes_its_place(kind: impl Kind) -> TestResult {
    let registry = kind.open().await;
    let crashed = region("a");
    registry.announce(&crashed).await?;
    registry.record_links(&crashed.id, &[link(&crashed, 0)], &[]).await?;
    let mut told = settled(&registry).await;
    let again = RegionEntry { id: RegionId::from("another process"), ..crashed };
    registry.announce(&again).await?;
    assert_told(&mut told).await?;
    assert_eq!(registry.regions().await?, [again]);
    assert_eq!(registry.links().await?, []);
    Ok(())
}

async fn who_withdraws_is_gone_with_its_links(kind: impl Kind) -> TestResult {
    let registry = kind.open().await;
    let (a, b) = (region("a"), region("b"));
    for region in [&a, &b] {
        registry.announce(region).await?;
        registry.record_links(&region.id, &[link(region, 0)], &[]).await?;
    }
    registry.withdraw(&a.id).await?;
    assert_eq!(registry.links().await?, [link(&b, 0)]);
    assert_eq!(registry.regions().await?, [b]);
    // Once more is no more.
    registry.withdraw(&a.id).await?;
    Ok(())
}

async fn links_are_written_down_changed_and_struck(kind: impl Kind) -> TestResult {
    let (here, there) = (kind.open().await, kind.open().await);
    let (a, b) = (region("a"), region("b"));
    here.announce(&a).await?;
    there.announce(&b).await?;
    here.record_links(&a.id, &[link(&a, 2), link(&a, 0)], &[]).await?;
    there.record_links(&b.id, &[link(&b, 0), link(&b, 1)], &[]).await?;
    let expected = [link(&a, 0), link(&b, 0), link(&b, 1), link(&a, 2)];
    assert_eq!(here.links().await?, expected);

    let slower = LinkEntry { round_trip: Some(Duration::from_millis(70)), ..link(&a, 0) };
    let gone: [ClusterId; 2] = [Mesh::uuid_of(2), Mesh::uuid_of(9)];
    here.record_links(&a.id, std::slice::from_ref(&slower), &gone).await?;
    assert_eq!(there.links().await?, [slower, link(&b, 0), link(&b, 1)]);
    Ok(())
}

async fn links_of_an_unknown_region_are_not_kept(kind: impl Kind) -> TestResult {
    let registry = kind.open().await;
    let stranger = region("stranger");
    registry.record_links(&stranger.id, &[link(&stranger, 0)], &[Mesh::uuid_of(1)]).await?;
    assert_eq!(registry.links().await?, []);
    Ok(())
}

async fn who_is_new_is_told_so(kind: impl Kind) -> TestResult {
    let registry = kind.open().await;
    let a = region("a");
    assert!(!registry.record_links(&a.id, &[link(&a, 0)], &[]).await?);
    assert!(registry.announce(&a).await?);
    assert!(registry.record_links(&a.id, &[link(&a, 0)], &[]).await?);
    assert!(!registry.announce(&a).await?);
    kind.expire().await;
    // Whatever it wrote before is gone, and has to be written again.
    assert!(registry.announce(&a).await?);
    assert_eq!(registry.links().await?, []);
    registry.withdraw(&a.id).await?;
    assert!(!registry.record_links(&a.id, &[link(&a, 0)], &[]).await?);
    Ok(())
}

/// Waits for the next change, in any time that a busy machine may need.
async fn assert_told(changes: &mut watch::Receiver<u64>) -> TestResult {
    tokio::time::timeout(Duration::from_secs(5), changes.changed()).await??;
    Ok(())
}

/// A receiver that has seen everything there was up to now.
async fn settled(registry: &Arc<dyn Registry>) -> watch::Receiver<u64> {
    let mut changes = registry.changes();
    while tokio::time::timeout(Duration::from_millis(300), changes.changed()).await.is_ok() {}
    changes
}

async fn changes_are_told_to_everybody_and_heartbeats_to_nobody(kind: impl Kind) -> TestResult {
    let (here, there) = (kind.open().await, kind.open().await);
    let mut told_here = settled(&here).await;
    let mut told_there = settled(&there).await;
    here.announce(&region("a")).await?;
    assert_told(&mut told_here).await?;
    assert_told(&mut told_there).await?;

    let moved = RegionEntry { addresses: Vec::new(), ..region("a") };
    there.announce(&moved).await?;
    assert_told(&mut told_here).await?;
    let quiet = settled(&here).await;
    for _ in 0..5 {
        there.announce(&moved).await?;
        there.record_links(&moved.id, &[link(&moved, 0)], &[]).await?;
    }
    let mut quiet_later = settled(&here).await;
    assert!(!quiet.has_changed()?, "nothing has changed");

    there.withdraw(&moved.id).await?;
    assert_told(&mut quiet_later).await?;
    assert_eq!(here.regions().await?, []);
    Ok(())
}

async fn who_is_not_heard_is_gone_with_its_links(kind: impl Kind) -> TestResult {
    let (here, there) = (kind.open().await, kind.open().await);
    let (a, b) = (region("a"), region("b"));
    here.announce(&a).await?;
    there.announce(&b).await?;
    there.record_links(&b.id, &[link(&b, 0)], &[]).await?;
    kind.expire().await;
    assert_eq!(here.regions().await?, []);
    assert_eq!(here.links().await?, []);
    here.announce(&a).await?;
    assert_eq!(there.regions().await?, [a]);
    assert_eq!(there.links().await?, []);
    Ok(())
}

/// Two were heard, and then only the first.
async fn one_falls_silent(
    kind: &impl Kind,
) -> TestResult<(Arc<dyn Registry>, watch::Receiver<u64>)> {
    let (here, there) = (kind.open().await, kind.open().await);
    here.announce(&region("a")).await?;
    there.announce(&region("b")).await?;
    let told = settled(&here).await;
    kind.pass(EXPIRY * 3 / 5).await;
    here.announce(&region("a")).await?;
    kind.pass(EXPIRY * 3 / 5).await;
    Ok((here, told))
}

async fn an_end_by_silence_is_told(kind: impl Kind) -> TestResult {
    let (here, mut told) = one_falls_silent(&kind).await?;
    here.announce(&region("a")).await?;
    assert_told(&mut told).await?;
    assert_eq!(here.regions().await?, [region("a")]);
    Ok(())
}

async fn an_end_by_silence_is_told_also_when_somebody_has_looked_before(
    kind: impl Kind,
) -> TestResult {
    let (here, mut told) = one_falls_silent(&kind).await?;
    // Looking takes nothing away from those who wait to be told.
    assert_eq!(here.links().await?, []);
    assert_eq!(here.regions().await?, [region("a")]);
    here.announce(&region("a")).await?;
    assert_told(&mut told).await?;
    Ok(())
}

async fn who_is_heard_again_is_back(kind: impl Kind) -> TestResult {
    let registry = kind.open().await;
    let a = region("a");
    registry.announce(&a).await?;
    registry.record_links(&a.id, &[link(&a, 0)], &[]).await?;
    kind.expire().await;
    assert_eq!(registry.regions().await?, []);
    let mut told = settled(&registry).await;
    registry.announce(&a).await?;
    assert_told(&mut told).await?;
    registry.record_links(&a.id, &[link(&a, 0)], &[]).await?;
    assert_eq!(registry.links().await?, [link(&a, 0)]);
    assert_eq!(registry.regions().await?, [a]);
    Ok(())
}

async fn processes_that_share_a_registry_do_not_disturb_each_other(kind: impl Kind) -> TestResult {
    let mut tasks = tokio::task::JoinSet::new();
    for process in 0..8 {
        let registry = kind.open().await;
        tasks.spawn(async move {
            let own = region(&format!("region-{process}"));
            for round in 0..20 {
                registry.announce(&own).await?;
                let cluster = round % 4;
                registry.record_links(&own.id, &[link(&own, cluster)], &[]).await?;
                if round % 7 == 6 {
                    registry.withdraw(&own.id).await?;
                    registry.announce(&own).await?;
                }
                let all = registry.regions().await?;
                assert!(all.contains(&own));
                registry.links().await?;
            }
            registry.record_links(&own.id, &[link(&own, 3)], &[]).await
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let registry = kind.open().await;
    assert_eq!(registry.regions().await?.len(), 8);
    assert!(registry.links().await?.len() >= 8);
    Ok(())
}

#[tokio::test]
async fn many_processes_may_open_a_fresh_file_at_once() -> TestResult {
    for _ in 0..10 {
        let directory = TempDir::new()?;
        let mut opening = tokio::task::JoinSet::new();
        for process in 0..16 {
            let path = directory.path().join("a/b/registry.sqlite");
            opening.spawn(async move {
                let registry = SqliteRegistry::open(path).await?;
                registry.announce(&region(&format!("region-{process:02}"))).await?;
                Ok::<_, RegistryError>(registry)
            });
        }
        let registries = opening.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
        for registry in registries {
            assert_eq!(registry.regions().await?.len(), 16);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused_and_left_as_it_is() -> TestResult {
    let directory = TempDir::new()?;
    let path = directory.path().join("registry.sqlite");
    drop(SqliteRegistry::open(&path).await?);
    let version = |path: &PathBuf| -> rusqlite::Result<i64> {
        rusqlite::Connection::open(path)?.query_row("PRAGMA user_version", [], |row| row.get(0))
    };
    let known = version(&path)?;
    rusqlite::Connection::open(&path)?.pragma_update(None, "user_version", known + 1)?;
    match SqliteRegistry::open(&path).await {
        Err(RegistryError::TooNew { found, known: knows }) => {
            assert_eq!((found, knows), (known + 1, known));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(version(&path)?, known + 1);
    Ok(())
}

#[tokio::test]
async fn what_is_no_database_is_refused() -> TestResult {
    let directory = TempDir::new()?;
    let path = directory.path().join("registry.sqlite");
    std::fs::write(&path, "these are no pages of a database, and quite a few of them".repeat(100))?;
    assert!(matches!(SqliteRegistry::open(&path).await, Err(RegistryError::Database(_))));
    let inside = path.join("registry.sqlite");
    assert!(matches!(SqliteRegistry::open(&inside).await, Err(RegistryError::Directory { .. })));
    Ok(())
}

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
