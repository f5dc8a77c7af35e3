//! What is peculiar to a registry in a file.

use std::error::Error as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use region::{Registry as _, RegistryError, SqliteRegistry};
use tempfile::TempDir;

use crate::{TestResult, link, region};

fn version_of(path: &Path) -> rusqlite::Result<i64> {
    rusqlite::Connection::open(path)?.query_row("PRAGMA user_version", [], |row| row.get(0))
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
    let known = version_of(&path)?;
    rusqlite::Connection::open(&path)?.pragma_update(None, "user_version", known + 1)?;
    match SqliteRegistry::open(&path).await {
        Err(RegistryError::TooNew { found, known: knows }) => {
            assert_eq!((found, knows), (known + 1, known));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(version_of(&path)?, known + 1);
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
async fn what_was_written_before_the_machine_was_started_is_dead() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.sqlite");
    let registry = SqliteRegistry::open(&path).await.unwrap();
    let a = region("a");
    registry.announce(&a).await.unwrap();
    registry.record_links(&a.id, &[link(&a, 0)], &[]).await.unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute("UPDATE regions SET boot = 'another', seen_ms = seen_ms + 3600000", []).unwrap();
    assert_eq!(registry.regions().await.unwrap(), []);
    assert_eq!(registry.links().await.unwrap(), []);
    assert!(registry.announce(&a).await.unwrap(), "it is new again");
    assert_eq!(registry.regions().await.unwrap(), [a]);
    assert_eq!(registry.links().await.unwrap(), []);
}

#[tokio::test]
async fn files_of_earlier_versions_are_brought_up_to_date() -> TestResult {
    let of_every_version: [(i64, &[u8]); 2] = [
        (1, include_bytes!("fixtures/version-1.sqlite")),
        (2, include_bytes!("fixtures/version-2.sqlite")),
    ];
    for (version, made) in of_every_version {
        let directory = TempDir::new()?;
        let path = directory.path().join("registry.sqlite");
        std::fs::write(&path, made)?;
        assert_eq!(version_of(&path)?, version);
        let registry = SqliteRegistry::open(&path).await?;
        // Who is in it was heard before this machine was started.
        assert_eq!(registry.regions().await?, []);
        assert_eq!(registry.links().await?, []);
        let a = region("a");
        assert!(registry.announce(&a).await?);
        assert!(registry.record_links(&a.id, &[link(&a, 0)], &[]).await?);
        assert_eq!(registry.regions().await?, std::slice::from_ref(&a));
        assert_eq!(registry.links().await?, [link(&a, 0)]);
        assert_eq!(version_of(&path)?, 2);
    }
    Ok(())
}

#[tokio::test]
async fn what_a_registry_writes_is_for_its_user_alone() {
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/er/registry.sqlite");
    let registry = SqliteRegistry::open(&path).await.unwrap();
    registry.announce(&region("a")).await.unwrap();
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
async fn whoever_announces_itself_in_a_file_that_was_removed_or_replaced_is_told() -> TestResult {
    let directory = TempDir::new()?;
    let path = directory.path().join("registry.sqlite");
    let registry = SqliteRegistry::open(&path).await?;
    registry.announce(&region("north")).await?;
    std::fs::remove_file(&path)?;
    for _ in 0..2 {
        let told = registry.announce(&region("north")).await.unwrap_err();
        let why = told.source().expect("it says why").to_string();
        assert!(why.contains("removed or replaced") && why.contains("restart"), "{why}");
        // Another process makes a fresh one, which nobody spoils.
        let fresh = SqliteRegistry::open(&path).await?;
        fresh.announce(&region("south")).await?;
        registry.withdraw(&region("north").id).await.unwrap_err();
        assert_eq!(fresh.regions().await?, [region("south")]);
    }
    Ok(())
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
