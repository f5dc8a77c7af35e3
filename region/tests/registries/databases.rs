//! What is peculiar to a registry in PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use postgres_harness::{Database, Postgres};
use region::{PostgresRegistry, PostgresSettings, Registry as _, RegistryError};
use tokio::time::{Instant, timeout};

use crate::{TestResult, assert_told, link, region};

async fn database() -> Database {
    let server = Postgres::shared().await.unwrap_or_else(|error| panic!("{error}"));
    server.database().await.unwrap()
}

async fn open(url: &str) -> Result<PostgresRegistry, RegistryError> {
    PostgresRegistry::open(url.parse()?).await
}

/// The whole error, as the log would have it.
fn words(error: &RegistryError) -> String {
    format!("{} {error:?}", mesh::chain(error))
}

#[tokio::test]
async fn many_processes_may_open_an_empty_database_at_once() -> TestResult {
    let database = database().await;
    let mut opening = tokio::task::JoinSet::new();
    for process in 0..4 {
        let url = database.url();
        opening.spawn(async move {
            // Each proves its password to the server, which is work: on a machine that has
            // something else to do they may not all get through within the time of one.
            let registry = loop {
                match open(&url).await {
                    Err(RegistryError::TooSlow { .. }) => {}
                    opened => break opened?,
                }
            };
            Ok::<_, RegistryError>((registry, region(&format!("region-{process}"))))
        });
    }
    let registries = opening.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    for (registry, own) in &registries {
        assert!(registry.announce(own).await?);
    }
    for (registry, _) in registries {
        assert_eq!(registry.regions().await?.len(), 4);
    }
    assert_eq!(database.number("SELECT version FROM ampmesh_schema").await?, 3);
    Ok(())
}

/// Has all of `work` wait for the lock of whoever migrates or enters, and then begin at once.
async fn in_a_crowd<T: Send + 'static>(
    database: &Database,
    work: Vec<impl Future<Output = Result<T, RegistryError>> + Send + 'static>,
) -> TestResult<Vec<T>> {
    let lock = i64::from_be_bytes(*b"ampmesh\0");
    let holding = database.clone();
    let mut holder = tokio::task::JoinSet::new();
    holder.spawn(async move {
        holding.execute(&format!("SELECT pg_advisory_lock({lock}), pg_sleep(60)")).await
    });
    until(database, "wait_event = 'PgSleep'", 1).await?;
    let crowd = i64::try_from(work.len())?;
    let mut waiting = tokio::task::JoinSet::new();
    for work in work {
        waiting.spawn(work);
    }
    until(database, "wait_event_type = 'Lock' AND wait_event = 'advisory'", crowd).await?;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE wait_event = 'PgSleep' AND datname = current_database()";
    database.execute(end).await?;
    Ok(waiting.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?)
}

/// Waits until so many connections to the database are as it is said.
async fn until(database: &Database, are: &str, count: i64) -> TestResult {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE {are} AND datname = current_database()"
    );
    let reached = async {
        while database.number(&sql).await? < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        TestResult::Ok(())
    };
    timeout(Duration::from_secs(8), reached).await?
}

#[tokio::test]
async fn tables_are_made_once_whatever_isolation_the_database_has() -> TestResult {
    let database = database().await;
    let isolation = "default_transaction_isolation = 'repeatable read'";
    database.execute(&format!("ALTER ROLE {} SET {isolation}", database.name)).await?;
    let url = database.url();
    let opening = |_| {
        let url = url.clone();
        async move { open(&url).await }
    };
    let opened = in_a_crowd(&database, (0..2).map(opening).collect()).await?;
    assert_eq!(opened.len(), 2);
    assert_eq!(database.number("SELECT version FROM ampmesh_schema").await?, 3);
    Ok(())
}

#[tokio::test]
async fn of_two_at_one_place_one_is_left_whatever_isolation_the_database_has() -> TestResult {
    let database = database().await;
    let isolation = "default_transaction_isolation = 'repeatable read'";
    database.execute(&format!("ALTER ROLE {} SET {isolation}", database.name)).await?;
    let registries = [open(&database.url()).await?, open(&database.url()).await?];
    let entering = |(name, registry): (&str, &PostgresRegistry)| {
        let (registry, own) = (registry.clone(), region(name));
        let own = region::RegionEntry { addresses: region("a").addresses, ..own };
        async move {
            // The one that waits may be told that it takes too long, on a busy machine.
            while registry.announce(&own).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(())
        }
    };
    let entering = ["a", "b"].into_iter().zip(&registries).map(entering).collect();
    in_a_crowd(&database, entering).await?;
    assert_eq!(registries[0].regions().await?.len(), 1, "the other was driven out");
    Ok(())
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_and_left_as_it_is() -> TestResult {
    let database = database().await;
    drop(open(&database.url()).await?);
    database.execute("UPDATE ampmesh_schema SET version = 7").await?;
    let error = open(&database.url()).await.unwrap_err();
    assert!(matches!(error, RegistryError::TooNew { found: 7, known: 3 }), "{error:?}");
    assert!(error.to_string().contains("upgrade"), "{error}");
    assert_eq!(database.number("SELECT version FROM ampmesh_schema").await?, 7);
    Ok(())
}

#[tokio::test]
async fn databases_of_every_version_are_read_and_written() -> TestResult {
    let of_every_version = [
        include_str!("fixtures/version-1.postgres.sql"),
        include_str!("fixtures/version-2.postgres.sql"),
        include_str!("fixtures/version-3.postgres.sql"),
    ];
    for made in of_every_version {
        let database = database().await;
        database.execute(&format!("SET ROLE {}; {made}", database.name)).await?;
        let registry = open(&database.url()).await?;
        assert_eq!(database.number("SELECT version FROM ampmesh_schema").await?, 3);
        // Who is in it was heard long ago.
        assert_eq!(registry.regions().await?, []);
        let a = region("a");
        assert!(registry.announce(&a).await?);
        assert!(registry.record_links(&a.id, &[link(&a, 0)], &[]).await?);
        assert_eq!(registry.links().await?, [link(&a, 0)]);
    }
    Ok(())
}

#[tokio::test]
async fn who_is_refused_is_told_why_and_the_password_is_not() -> TestResult {
    let database = database().await;
    let error = open(&database.url_with("geheim-and-wrong")).await.unwrap_err();
    assert!(matches!(error, RegistryError::Refused { .. }), "{error:?}");
    let text = words(&error);
    assert!(text.contains("does not let us in: FATAL: password authentication failed"), "{text}");
    assert!(!text.contains("geheim"), "{text}");

    let none = database.url().replace(&format!("&password={}", database.password), "");
    let error = open(&none).await.unwrap_err();
    assert!(matches!(error, RegistryError::Refused { .. }), "{error:?}");
    assert!(words(&error).contains("password missing"), "{}", words(&error));

    let other = database.url().replace(&format!("/{}?", database.name), "/nowhere?");
    let error = open(&other).await.unwrap_err();
    assert!(matches!(error, RegistryError::Refused { .. }), "{error:?}");
    assert!(words(&error).contains("\"nowhere\" does not exist"), "{}", words(&error));
    Ok(())
}

#[tokio::test]
async fn who_is_not_there_is_told_of_by_place() -> TestResult {
    // Taken, so that nobody else listens there, and not listening.
    let taken = tokio::net::TcpSocket::new_v4()?;
    taken.bind("127.0.0.1:0".parse()?)?;
    let nobody = taken.local_addr()?;
    let error = open(&format!("postgres://ada:geheim@{nobody}/mesh")).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error:?}");
    let expected = format!("no connection to the registry's database at {nobody}/mesh");
    assert!(error.to_string() == expected && !words(&error).contains("geheim"), "{error:?}");

    // Accepts, and says nothing.
    let mute = std::net::TcpListener::bind("127.0.0.1:0")?;
    let url = format!("postgres://ada@{}/mesh", mute.local_addr()?);
    let began = Instant::now();
    let error = open(&url).await.unwrap_err();
    assert!(matches!(error, RegistryError::TooSlow { .. }), "{error:?}");
    // Three seconds are given to each. With as many again, the machine may be a busy one.
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());

    // One that hangs costs its own time, and not that of the next.
    let database = database().await;
    let (directory, port) = database.socket();
    let muted = mute.local_addr()?.port();
    let socket = directory.display().to_string().replace('/', "%2F");
    let Database { name, password, .. } = &database;
    let both = format!("postgres://{name}:{password}@127.0.0.1:{muted},{socket}:{port}/{name}");
    open(&both).await?;
    Ok(())
}

#[tokio::test]
async fn a_user_without_rights_is_told_so() -> TestResult {
    let database = database().await;
    let name = &database.name;
    // As PostgreSQL 15 has it for everybody but the owner of the database.
    database.execute(&format!("ALTER DATABASE {name} OWNER TO postgres")).await?;
    let error = open(&database.url()).await.unwrap_err();
    assert!(matches!(error, RegistryError::Forbidden { .. }), "{error:?}");
    assert!(words(&error).contains("permission denied for schema public"), "{}", words(&error));

    // Tables that somebody else has made can be used with these rights, and no others.
    let made = include_str!("fixtures/version-3.postgres.sql");
    let granted = format!(
        "GRANT SELECT ON ampmesh_schema TO {name};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ampmesh_regions, ampmesh_links TO {name};"
    );
    database.execute(&format!("{made}; {granted}")).await?;
    let registry = open(&database.url()).await?;
    let a = region("a");
    registry.announce(&a).await?;
    assert!(registry.record_links(&a.id, &[link(&a, 0)], &[]).await?);
    registry.withdraw(&a.id).await?;
    Ok(())
}

#[tokio::test]
async fn tls_is_used_as_sslmode_says_and_with_a_known_server_only() -> TestResult {
    let database = database().await;
    let authority = database.authority();
    let trusting = |mode: &str| {
        let url = database.url_over_tcp();
        format!("{url}?sslmode={mode}&sslrootcert={}", authority.display())
    };
    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                     WHERE ssl AND version = 'TLSv1.3' AND datname = current_database()";
    for (mode, expected) in [("disable", 0), ("require", 1), ("verify-full", 1)] {
        let registry = open(&trusting(mode)).await?;
        registry.announce(&region("a")).await?;
        assert_eq!(database.number(encrypted).await?, expected, "{mode}");
    }
    // An authority that has nothing to do with the server.
    let unknown = format!("{}?sslmode=verify-full", database.url_over_tcp());
    let of_system: Result<PostgresSettings, _> = unknown.parse();
    if let Ok(settings) = of_system {
        let error = PostgresRegistry::open(settings).await.unwrap_err();
        assert!(matches!(error, RegistryError::Unencrypted { .. }), "{error:?}");
        assert!(words(&error).contains("UnknownIssuer"), "{}", words(&error));
    }
    // The right server by another name than its certificate has.
    let elsewhere = trusting("verify-full").replace("@localhost:", "@127.0.0.1:");
    let error = open(&elsewhere).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unencrypted { .. }), "{error:?}");
    assert!(words(&error).contains("NotValidForName"), "{}", words(&error));
    Ok(())
}

#[tokio::test]
async fn more_than_anybody_can_use_is_not_read() -> TestResult {
    let database = database().await;
    let registry = open(&database.url()).await?;
    let a = region("a");
    registry.announce(&a).await?;
    database
        .execute(&format!(
            "ALTER TABLE ampmesh_links DROP CONSTRAINT ampmesh_links_region_fkey;
             INSERT INTO ampmesh_links SELECT '{}', n, 'x', NULL, 'x', NULL, 0
             FROM generate_series(1, 100001) n;
             UPDATE ampmesh_regions SET seen = clock_timestamp()",
            a.id
        ))
        .await?;
    // A machine that has more to do does not get through so many within the time of a statement.
    let is_told = async {
        loop {
            match registry.links().await.unwrap_err() {
                RegistryError::TooMany { max, .. } => return max,
                RegistryError::TooSlow { .. } | RegistryError::Database(_) => {
                    // It must not expire meanwhile.
                    let _heard = registry.announce(&a).await;
                }
                error => panic!("{error:?}"),
            }
        }
    };
    assert_eq!(timeout(Duration::from_secs(20), is_told).await?, 100_000);
    assert!(!registry.announce(&a).await?, "and nothing else is the worse for it");
    Ok(())
}

#[tokio::test]
async fn tables_that_vanish_are_made_again() -> TestResult {
    let database = database().await;
    let registry = open(&database.url()).await?;
    let a = region("a");
    registry.announce(&a).await?;
    database.execute("DROP TABLE ampmesh_links, ampmesh_regions, ampmesh_schema").await?;
    until_it_works(&registry).await?;
    assert_eq!(registry.regions().await?, [a]);
    Ok(())
}

/// Announces `a` until it is taken.
async fn until_it_works(registry: &PostgresRegistry) -> TestResult {
    let works = async {
        while registry.announce(&region("a")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    Ok(timeout(Duration::from_secs(8), works).await?)
}

#[tokio::test]
async fn a_connection_that_is_cut_is_made_again_and_nobody_seems_dead() -> TestResult {
    let database = database().await;
    let (here, there) = (open(&database.url()).await?, open(&database.url()).await?);
    let b = region::RegionEntry { addresses: Vec::new(), ..region("b") };
    there.announce(&b).await?;
    here.announce(&region("a")).await?;
    assert_eq!(here.regions().await?.len(), 2);
    // Nothing is heard of the other while the database is gone, and its entry goes, too.
    database
        .execute(
            "DELETE FROM ampmesh_regions;
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await?;
    until_it_works(&here).await?;
    assert_eq!(here.regions().await?, [region("a"), b.clone()]);
    // And news come as before.
    let mut told = here.changes();
    told.mark_unchanged();
    let c = region::RegionEntry { addresses: Vec::new(), ..region("c") };
    let third = Arc::new(open(&database.url()).await?);
    third.announce(&c).await?;
    assert_told(&mut told).await?;
    assert_eq!(here.regions().await?, [region("a"), b, c]);
    Ok(())
}
