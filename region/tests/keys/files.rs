//! What is peculiar to keys in a file.

use std::os::unix::fs::PermissionsExt as _;

use region::registry::keys::KEYS_MAX;
use region::{Enrolment, KeyEntry, Keys as _, RegistryError, SqliteKeys};

use crate::kinds::{Kind as _, Sqlite};
use crate::{TestResult, assert_told, at, entry, invite, settled};

#[tokio::test]
async fn the_file_is_for_this_user_alone() -> TestResult {
    let kind = Sqlite::new().await;
    kind.open().await.enrol(&entry("north", 0)).await?;
    let mode = std::fs::metadata(kind.path())?.permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    Ok(())
}

#[tokio::test]
async fn keys_and_invites_outlive_the_process() -> TestResult {
    let kind = Sqlite::new().await;
    let (first, (invite, token)) = (entry("north", 0), invite());
    let before = kind.open().await;
    before.enrol(&first).await?;
    before.invite(&invite, at(0)).await?;
    drop(before);
    let after = kind.open().await;
    assert_eq!(after.list().await?, [first]);
    let joined = after.join(token.id, &token.secret.hash(), &entry("south", 1)).await?;
    assert_eq!(joined, Enrolment::Enrolled);
    let bytes = std::fs::read(kind.path())?;
    let secret = token.secret.as_bytes();
    assert!(!bytes.windows(secret.len()).any(|window| window == secret), "only a hash is kept");
    Ok(())
}

#[tokio::test]
async fn whoever_reads_does_not_wait_for_whoever_waits_to_write() -> TestResult {
    let kind = Sqlite::new().await;
    let (keys, first) = (kind.open().await, entry("north", 0));
    keys.enrol(&first).await?;
    // Another process writes.
    let other = rusqlite::Connection::open(kind.path())?;
    other.execute_batch("BEGIN IMMEDIATE")?;
    let mut writing = tokio::task::JoinSet::new();
    let (here, second) = (std::sync::Arc::clone(&keys), entry("south", 1));
    writing.spawn(async move { here.enrol(&second).await });
    for _ in 0..20 {
        assert_eq!(keys.find(&first.key).await?.as_ref(), Some(&first));
        assert_eq!(keys.list().await?, std::slice::from_ref(&first));
    }
    assert!(writing.try_join_next().is_none(), "it waits");
    other.execute_batch("COMMIT")?;
    assert_eq!(writing.join_next().await.unwrap()??, Enrolment::Enrolled);
    assert_eq!(keys.list().await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn whoever_reads_a_file_that_was_replaced_is_told() -> TestResult {
    let kind = Sqlite::new().await;
    let (keys, first) = (kind.open().await, entry("north", 0));
    keys.enrol(&first).await?;
    let mut told = settled(&keys).await;
    std::fs::rename(kind.path(), kind.path().with_extension("away"))?;
    // Another process makes a fresh one, in which it is not.
    assert_eq!(kind.open().await.list().await?, []);
    assert_told(&mut told).await?;
    let (listed, found) = (keys.list().await, keys.find(&first.key).await);
    assert!(matches!(listed, Err(RegistryError::File { .. })), "{listed:?}");
    assert!(matches!(found, Err(RegistryError::File { .. })), "{found:?}");
    Ok(())
}

#[tokio::test]
async fn nothing_is_revoked_in_a_file_that_is_gone() -> TestResult {
    let kind = Sqlite::new().await;
    let (keys, first) = (kind.open().await, entry("north", 0));
    keys.enrol(&first).await?;
    std::fs::rename(kind.path(), kind.path().with_extension("away"))?;
    let refused = keys.revoke(&first.key, at(1)).await;
    assert!(matches!(refused, Err(RegistryError::File { .. })), "{refused:?}");
    Ok(())
}

/// One key that was revoked, one that was followed by the next, and that one; and the region's.
pub(crate) fn assert_is_of_three_owners(known: &[KeyEntry]) {
    let told: Vec<_> = known
        .iter()
        .map(|entry| {
            let is_ended = entry.revoked.is_some();
            (entry.role.as_str(), entry.name.as_str(), entry.is_revoked, is_ended)
        })
        .collect();
    let [(.., of_followed, _)] = told[1..2] else { panic!("{told:?}") };
    let expected = [
        ("cluster", "rack-7", true, true),
        // In what an earlier version left behind it is revoked once its end is over.
        ("cluster", "rack-8", of_followed, true),
        ("cluster", "rack-8", false, false),
        ("region", "north", false, false),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn files_of_every_version_are_brought_up_to_date() -> TestResult {
    let of_every_version: [(i64, &[u8]); 2] = [
        (1, include_bytes!("../registries/fixtures/keys-version-1.sqlite")),
        (2, include_bytes!("../registries/fixtures/keys-version-2.sqlite")),
    ];
    for (version, made) in of_every_version {
        let kind = Sqlite::new().await;
        std::fs::create_dir_all(kind.path().parent().unwrap())?;
        std::fs::write(kind.path(), made)?;
        let number = |path: &std::path::Path| {
            let file = rusqlite::Connection::open(path)?;
            file.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
        };
        assert_eq!(number(&kind.path())?, version);
        let keys = SqliteKeys::open(kind.path()).await?;
        assert_eq!(number(&kind.path())?, 2);
        assert_is_of_three_owners(&keys.list().await?);
        let first = entry("north", 0);
        assert_eq!(keys.enrol(&first).await?, Enrolment::Enrolled);
        assert_eq!(keys.revoke(&first.key, at(1)).await?.len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn what_an_earlier_version_revoked_stays_revoked_whatever_its_clock_was() -> TestResult {
    let kind = Sqlite::new().await;
    std::fs::create_dir_all(kind.path().parent().unwrap())?;
    std::fs::write(kind.path(), include_bytes!("../registries/fixtures/keys-version-1.sqlite"))?;
    // By a process whose clock was a year ahead; and another that was followed by the next now.
    let future = "UPDATE keys SET revoked_ms = 1000 * (unixepoch() + 31536000)
                  WHERE revoked_ms IS NOT NULL";
    rusqlite::Connection::open(kind.path())?.execute(future, [])?;
    let known = kind.open().await.list().await?;
    let told: Vec<_> = known.iter().map(|it| (it.name.as_str(), it.is_revoked)).collect();
    let expected = [("rack-7", true), ("rack-8", false), ("rack-8", false), ("north", false)];
    assert_eq!(told, expected);
    Ok(())
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused() -> TestResult {
    let kind = Sqlite::new().await;
    drop(kind.open().await);
    rusqlite::Connection::open(kind.path())?.pragma_update(None, "user_version", 9)?;
    let refused = SqliteKeys::open(kind.path()).await;
    assert!(matches!(refused, Err(RegistryError::TooNew { found: 9, known: 2 })), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn a_full_store_takes_no_more_and_goes_on() -> TestResult {
    let kind = Sqlite::new().await;
    let (keys, first) = (kind.open().await, entry("north", 0));
    keys.enrol(&first).await?;
    let filler = format!(
        "WITH RECURSIVE n (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < {KEYS_MAX})
         INSERT INTO keys SELECT 'filler ' || n, 'cluster', n, '', 0, NULL, 0 FROM n"
    );
    rusqlite::Connection::open(kind.path())?.execute(&filler, [])?;
    assert_eq!(keys.enrol(&entry("south", 1)).await?, Enrolment::Full);
    let next = keys.succeed(&first.key, &crate::key(), at(1), at(2)).await?;
    assert_eq!(next, Enrolment::Full);
    assert_eq!(keys.revoke(&first.key, at(3)).await?.len(), 1, "revoking needs no room");
    Ok(())
}
