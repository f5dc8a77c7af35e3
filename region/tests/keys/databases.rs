//! What is peculiar to keys in PostgreSQL.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use postgres_harness::Database;
use region::registry::keys::{INVITES_MAX, KEYS_MAX};
use region::{Enrolment, Keys, PostgresKeys, PostgresRegistry, RegistryError};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::kinds::{InPostgres, Kind as _};
use crate::{TestResult, assert_told, at, count, entry, invite, settled};

/// What each version left behind.
const FIXTURES: [(i64, &str); 3] = [
    (1, include_str!("../registries/fixtures/version-1.postgres.sql")),
    (2, include_str!("../registries/fixtures/version-2.postgres.sql")),
    (3, include_str!("../registries/fixtures/version-3.postgres.sql")),
];

async fn database() -> Database {
    InPostgres::new().await.0
}

async fn open(database: &Database) -> Result<PostgresKeys, RegistryError> {
    PostgresKeys::open(database.url().parse()?).await
}

#[tokio::test]
async fn databases_of_every_version_have_room_for_keys() -> TestResult {
    for (version, made) in FIXTURES {
        let database = database().await;
        database.execute(&format!("SET ROLE {}; {made}", database.name)).await?;
        let keys = open(&database).await?;
        assert_eq!(database.number("SELECT version FROM ampmesh_schema").await?, 3);
        let known = keys.list().await?;
        assert_eq!(known.len(), if version == 1 { 0 } else { 4 });
        let (invite, token) = invite();
        keys.invite(&invite, at(0)).await?;
        let entry = entry("north", 1);
        let joined = keys.join(token.id, &token.secret.hash(), &entry).await?;
        assert_eq!(joined, Enrolment::Enrolled);
        assert_eq!(keys.revoke(&entry.key, at(2)).await?.len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn what_an_earlier_version_revoked_stays_revoked_whatever_its_clock_was() -> TestResult {
    let database = database().await;
    let [_, (_, made), _] = FIXTURES;
    database.execute(&format!("SET ROLE {}; {made}", database.name)).await?;
    // By a process whose clock was a year ahead; and another that was followed by the next now.
    let future = "UPDATE ampmesh_keys
        SET revoked_ms = 1000 * (extract(epoch FROM clock_timestamp())::bigint + 31536000)
        WHERE revoked_ms IS NOT NULL";
    database.execute(future).await?;
    let known = open(&database).await?.list().await?;
    let told: Vec<_> = known.iter().map(|it| (it.name.as_str(), it.is_revoked)).collect();
    let expected = [("rack-7", true), ("rack-8", false), ("rack-8", false), ("north", false)];
    assert_eq!(told, expected);
    Ok(())
}

#[tokio::test]
async fn what_an_earlier_process_wrote_is_read() -> TestResult {
    for (version, made) in &FIXTURES[1..] {
        let database = database().await;
        database.execute(&format!("SET ROLE {}; {made}", database.name)).await?;
        let mut known = open(&database).await?.list().await?;
        crate::files::assert_is_of_three_owners(&known);
        if *version == 3 {
            let followed = &known[1];
            assert!(!followed.is_revoked, "only its end is set: {followed:?}");
        }
        known.dedup_by_key(|entry| entry.ident.clone());
        assert_eq!(known.len(), 3, "three owners");
    }
    Ok(())
}

#[tokio::test]
async fn who_drops_the_tables_of_the_registry_keeps_the_keys() -> TestResult {
    let database = database().await;
    let keys = open(&database).await?;
    let first = entry("north", 0);
    keys.enrol(&first).await?;
    drop(keys);
    database.execute("DROP TABLE ampmesh_links, ampmesh_regions, ampmesh_schema").await?;
    drop(PostgresRegistry::open(database.url().parse()?).await?);
    assert_eq!(open(&database).await?.list().await?, [first]);
    Ok(())
}

#[tokio::test]
async fn keys_and_invites_outlive_the_process_and_a_secret_is_not_kept() -> TestResult {
    let database = database().await;
    let (first, (invite, token)) = (entry("north", 0), invite());
    let before = open(&database).await?;
    before.enrol(&first).await?;
    before.invite(&invite, at(0)).await?;
    drop(before);
    let after = open(&database).await?;
    assert_eq!(after.list().await?, [first]);
    let mut secret = String::new();
    for byte in token.secret.as_bytes() {
        write!(secret, "{byte:02x}")?;
    }
    let tables = ["ampmesh_keys", "ampmesh_invites", "ampmesh_key_changes"];
    for table in tables {
        let with_secret =
            format!("SELECT count(*) FROM {table} AS it WHERE it::text ILIKE '%{secret}%'");
        assert_eq!(database.number(&with_secret).await?, 0, "{table}");
    }
    let joined = after.join(token.id, &token.secret.hash(), &entry("south", 1)).await?;
    assert_eq!(joined, Enrolment::Enrolled);
    Ok(())
}

#[tokio::test]
async fn one_invite_lets_one_in_whatever_isolation_the_database_has() -> TestResult {
    for isolation in ["repeatable read", "serializable"] {
        let database = database().await;
        let Database { name, .. } = &database;
        database
            .execute(&format!(
                "ALTER ROLE {name} SET default_transaction_isolation = '{isolation}'"
            ))
            .await?;
        let processes = [open(&database).await?, open(&database).await?];
        let (invite, token) = invite();
        processes[0].invite(&invite, at(0)).await?;
        let mut crowd = JoinSet::new();
        for number in 0..12 {
            let (keys, token) = (processes[number % 2].clone(), token.clone());
            crowd.spawn(async move {
                let entry = entry(&format!("cluster-{number}"), 1);
                keys.join(token.id, &token.secret.hash(), &entry).await
            });
        }
        let outcomes = crowd.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
        assert_eq!(count(&outcomes, Enrolment::Enrolled), 1, "{outcomes:?}");
        assert_eq!(count(&outcomes, Enrolment::InviteUsed), 11, "{outcomes:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_change_that_nobody_was_told_of_is_found() -> TestResult {
    let database = database().await;
    let (keys, first) = (open(&database).await?, entry("north", 0));
    keys.enrol(&first).await?;
    let keys: Arc<dyn Keys> = Arc::new(keys);
    let mut told = settled(&keys).await;
    let unheard = "UPDATE ampmesh_keys SET revoked_ms = since_ms;
                   UPDATE ampmesh_key_changes SET times = times + 1";
    database.execute(unheard).await?;
    assert_told(&mut told).await?;
    assert!(!keys.find(&first.key).await?.unwrap().is_good(at(1)));
    Ok(())
}

#[tokio::test]
async fn whoever_was_cut_off_looks_again_when_it_is_back() -> TestResult {
    let database = database().await;
    let (keys, first) = (open(&database).await?, entry("north", 0));
    keys.enrol(&first).await?;
    let keys: Arc<dyn Keys> = Arc::new(keys);
    let mut told = settled(&keys).await;
    // Neither told nor counted, as after a server was replaced.
    database
        .execute(
            "UPDATE ampmesh_keys SET revoked_ms = since_ms;
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await?;
    // Told as soon as the connection is lost, and again when there is another.
    let found = loop {
        assert_told(&mut told).await?;
        if let Ok(found) = keys.find(&first.key).await {
            break found;
        }
    };
    assert!(!found.unwrap().is_good(at(1)));
    // And news come as before.
    let mut told = settled(&keys).await;
    open(&database).await?.enrol(&entry("south", 1)).await?;
    assert_told(&mut told).await?;
    assert_eq!(keys.list().await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_change_waits_for_the_one_before_and_is_refused_if_that_takes_too_long() -> TestResult {
    let database = database().await;
    let (keys, first) = (open(&database).await?, entry("north", 0));
    keys.enrol(&first).await?;
    // Somebody holds the lock.
    let holding = database.clone();
    let mut holder = JoinSet::new();
    holder.spawn(async move {
        let lock = i64::from_be_bytes(*b"ampmkeys");
        holding.execute(&format!("SELECT pg_advisory_lock({lock}), pg_sleep(60)")).await
    });
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'
                   AND datname = current_database()";
    let held = async {
        while database.number(waiting).await? == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        TestResult::Ok(())
    };
    timeout(Duration::from_secs(5), held).await??;
    let refused = keys.revoke(&first.key, at(1)).await.unwrap_err();
    let is_told = matches!(refused, RegistryError::Database(_) | RegistryError::TooSlow { .. });
    assert!(is_told, "{refused:?}");
    // Whoever only asks does not wait.
    assert_eq!(keys.find(&first.key).await?, Some(first.clone()));
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE wait_event = 'PgSleep' AND datname = current_database()";
    database.execute(end).await?;
    assert!(holder.join_next().await.unwrap()?.is_err());
    assert_eq!(keys.revoke(&first.key, at(1)).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_full_database_takes_no_more_and_goes_on() -> TestResult {
    let database = database().await;
    let (keys, first) = (open(&database).await?, entry("north", 0));
    keys.enrol(&first).await?;
    let filler = format!(
        "INSERT INTO ampmesh_keys
             SELECT 'filler ' || n, 'cluster', n, '', 0, NULL, false
             FROM generate_series(2, {KEYS_MAX}) n;
         INSERT INTO ampmesh_invites
             SELECT 'filler ' || n, '', {far}, NULL FROM generate_series(1, {INVITES_MAX}) n",
        far = i64::MAX
    );
    database.execute(&filler).await?;
    assert_eq!(keys.enrol(&entry("south", 1)).await?, Enrolment::Full);
    let next = keys.succeed(&first.key, &crate::key(), at(1), at(2)).await?;
    assert_eq!(next, Enrolment::Full);
    let (invite, _) = invite();
    let refused = keys.invite(&invite, at(1)).await.unwrap_err();
    assert!(matches!(refused, RegistryError::TooMany { what: "invites", .. }), "{refused:?}");
    assert_eq!(keys.revoke(&first.key, at(3)).await?.len(), 1, "revoking needs no room");
    Ok(())
}

#[tokio::test]
async fn the_rights_that_the_book_lists_are_enough() -> TestResult {
    let database = database().await;
    let (name, [_, _, (_, made)]) = (&database.name, FIXTURES);
    database.execute(&format!("ALTER DATABASE {name} OWNER TO postgres; {made}")).await?;
    database.execute(&format!("GRANT SELECT ON ampmesh_schema TO {name}")).await?;
    let refused = open(&database).await?.list().await.unwrap_err();
    assert!(matches!(refused, RegistryError::Forbidden { .. }), "{refused:?}");
    let granted = format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ampmesh_keys, ampmesh_invites TO {name};
         GRANT SELECT, INSERT, UPDATE ON ampmesh_key_changes TO {name};"
    );
    database.execute(&granted).await?;
    let keys = open(&database).await?;
    let (first, (invite, token)) = (entry("north", 0), invite());
    keys.invite(&invite, at(0)).await?;
    let joined = keys.join(token.id, &token.secret.hash(), &first).await?;
    assert_eq!(joined, Enrolment::Enrolled);
    keys.succeed(&first.key, &crate::key(), at(1), at(2)).await?;
    assert_eq!(keys.revoke(&first.key, at(1)).await?.len(), 2);
    Ok(())
}
