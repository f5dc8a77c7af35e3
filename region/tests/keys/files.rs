//! What is peculiar to keys in a file.

use std::os::unix::fs::PermissionsExt as _;

use region::registry::keys::KEYS_MAX;
use region::{Enrolment, RegistryError, SqliteKeys};

use crate::kinds::{Kind as _, Sqlite};
use crate::{TestResult, at, entry, invite};

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
async fn nothing_is_revoked_in_a_file_that_is_gone() -> TestResult {
    let kind = Sqlite::new().await;
    let (keys, first) = (kind.open().await, entry("north", 0));
    keys.enrol(&first).await?;
    std::fs::rename(kind.path(), kind.path().with_extension("away"))?;
    let refused = keys.revoke(&first.key, at(1)).await;
    assert!(matches!(refused, Err(RegistryError::File { .. })), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused() -> TestResult {
    let kind = Sqlite::new().await;
    drop(kind.open().await);
    rusqlite::Connection::open(kind.path())?.pragma_update(None, "user_version", 9)?;
    let refused = SqliteKeys::open(kind.path()).await;
    assert!(matches!(refused, Err(RegistryError::TooNew { found: 9, known: 1 })), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn a_full_store_takes_no_more_and_goes_on() -> TestResult {
    let kind = Sqlite::new().await;
    let (keys, first) = (kind.open().await, entry("north", 0));
    keys.enrol(&first).await?;
    let filler = format!(
        "WITH RECURSIVE n (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < {KEYS_MAX})
         INSERT INTO keys SELECT 'filler ' || n, 'cluster', n, '', 0, NULL FROM n"
    );
    rusqlite::Connection::open(kind.path())?.execute(&filler, [])?;
    assert_eq!(keys.enrol(&entry("south", 1)).await?, Enrolment::Full);
    let next = keys.succeed(&first.key, &crate::key(), at(1), at(2)).await?;
    assert_eq!(next, Enrolment::Full);
    assert_eq!(keys.revoke(&first.key, at(3)).await?.len(), 1, "revoking needs no room");
    Ok(())
}
