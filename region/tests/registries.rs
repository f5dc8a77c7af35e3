//! What both kinds of registry promise of entries that come, go, and stand in each other's way.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail as tests do")]

use std::error::Error as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesh::{ClusterId, RegionId};
use region::{LinkEntry, MemoryRegistry, RegionEntry, Registry, SqliteRegistry};

fn region(name: &str, started_s: u64, addresses: &[&str]) -> RegionEntry {
    RegionEntry {
        id: RegionId::from(name.to_owned()),
        name: name.to_owned(),
        addresses: addresses.iter().map(|&address| address.to_owned()).collect(),
        version: "1.2.3".to_owned(),
        started: UNIX_EPOCH + Duration::from_secs(started_s),
    }
}

fn link(region: &RegionEntry) -> LinkEntry {
    LinkEntry {
        region: region.id.clone(),
        cluster: ClusterId::random(),
        cluster_name: "stockholm".to_owned(),
        cluster_version: None,
        address: "192.0.2.7:51324".to_owned(),
        round_trip: None,
        since: SystemTime::UNIX_EPOCH,
    }
}

async fn of_both_kinds(directory: &Path) -> [Arc<dyn Registry>; 2] {
    let in_file = SqliteRegistry::open(directory.join("registry.sqlite")).await.unwrap();
    [Arc::new(MemoryRegistry::new()), Arc::new(in_file)]
}

#[tokio::test]
async fn an_announcement_tells_whether_the_entry_is_new() {
    let directory = tempfile::tempdir().unwrap();
    for registry in of_both_kinds(directory.path()).await {
        let a = region("a", 1, &["a:1"]);
        assert!(registry.announce(&a).await.unwrap());
        assert!(!registry.announce(&a).await.unwrap());
        registry.withdraw(&a.id).await.unwrap();
        assert!(registry.announce(&a).await.unwrap());
    }
}

#[tokio::test]
async fn links_of_a_region_that_is_not_there_are_not_taken_for_written() {
    let directory = tempfile::tempdir().unwrap();
    for registry in of_both_kinds(directory.path()).await {
        let a = region("a", 1, &["a:1"]);
        assert!(!registry.record_links(&a.id, &[link(&a)], &[]).await.unwrap());
        registry.announce(&a).await.unwrap();
        assert_eq!(registry.links().await.unwrap(), []);
        assert!(registry.record_links(&a.id, &[link(&a)], &[]).await.unwrap());
        assert_eq!(registry.links().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn two_that_live_at_the_same_addresses_do_not_drive_each_other_out() {
    let directory = tempfile::tempdir().unwrap();
    for registry in of_both_kinds(directory.path()).await {
        let (older, younger) = (region("a", 1, &["x:1"]), region("b", 2, &["x:1"]));
        registry.announce(&older).await.unwrap();
        registry.announce(&younger).await.unwrap();
        assert_eq!(registry.regions().await.unwrap(), std::slice::from_ref(&younger));
        for round in 0..3 {
            assert_eq!(registry.announce(&older).await.unwrap(), round == 0);
            assert!(!registry.announce(&younger).await.unwrap());
        }
        assert_eq!(registry.regions().await.unwrap(), [older, younger]);
    }
}

#[tokio::test]
async fn those_without_an_address_are_not_in_each_others_way() {
    let directory = tempfile::tempdir().unwrap();
    for registry in of_both_kinds(directory.path()).await {
        let both = [region("a", 1, &[]), region("b", 2, &[])];
        for region in &both {
            registry.announce(region).await.unwrap();
        }
        assert_eq!(registry.regions().await.unwrap(), both);
    }
}

#[tokio::test]
async fn what_was_written_before_the_machine_was_started_is_dead() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.sqlite");
    let registry = SqliteRegistry::open(&path).await.unwrap();
    let a = region("a", 1, &["a:1"]);
    registry.announce(&a).await.unwrap();
    registry.record_links(&a.id, &[link(&a)], &[]).await.unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute("UPDATE regions SET boot = 'another', seen_ms = seen_ms + 3600000", []).unwrap();
    assert_eq!(registry.regions().await.unwrap(), []);
    assert_eq!(registry.links().await.unwrap(), []);
    assert!(registry.announce(&a).await.unwrap(), "it is new again");
    assert_eq!(registry.regions().await.unwrap(), [a]);
    assert_eq!(registry.links().await.unwrap(), []);
}

#[tokio::test]
async fn a_file_of_the_first_version_is_brought_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.sqlite");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(
        "CREATE TABLE regions (
             id TEXT PRIMARY KEY, name TEXT NOT NULL, addresses TEXT NOT NULL,
             version TEXT NOT NULL, started_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL
         ) STRICT, WITHOUT ROWID;
         CREATE TABLE links (
             region TEXT NOT NULL REFERENCES regions (id) ON DELETE CASCADE,
             cluster TEXT NOT NULL, cluster_name TEXT NOT NULL, cluster_version TEXT,
             address TEXT NOT NULL, round_trip_us INTEGER, since_ms INTEGER NOT NULL,
             PRIMARY KEY (region, cluster)
         ) STRICT, WITHOUT ROWID;
         INSERT INTO regions VALUES ('a', 'a', 'a:1', '1', 0, 9000000000000);
         PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(old);
    let registry = SqliteRegistry::open(&path).await.unwrap();
    assert_eq!(registry.regions().await.unwrap(), []);
    let b = region("b", 1, &["b:1"]);
    registry.announce(&b).await.unwrap();
    assert_eq!(registry.regions().await.unwrap(), [b]);
}

#[tokio::test]
async fn what_a_registry_writes_is_for_its_user_alone() {
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/er/registry.sqlite");
    let registry = SqliteRegistry::open(&path).await.unwrap();
    registry.announce(&region("a", 1, &["a:1"])).await.unwrap();
    for ending in ["", "-wal", "-shm"] {
        let file = format!("{}{ending}", path.display());
        assert_eq!(mode(Path::new(&file)), 0o600, "{file}");
    }
    assert_eq!(mode(&directory.path().join("deep")), 0o700);
}

#[tokio::test]
async fn a_registry_that_others_may_read_stays_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.sqlite");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o660)).unwrap();
    SqliteRegistry::open(&path).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
}

#[tokio::test]
async fn a_failing_database_says_why_through_its_source() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.sqlite");
    std::fs::write(&path, "this is no database, and long enough to be sure of it".repeat(20))
        .unwrap();
    let error = SqliteRegistry::open(&path).await.unwrap_err();
    assert_eq!(error.to_string(), "the registry's database failed");
    assert!(error.source().unwrap().is::<rusqlite::Error>(), "{error:?}");
}
