//! Region processes that find each other through PostgreSQL, and what becomes of the mesh when it
//! is gone. Over loopback TCP, in real time.

mod keys;

use std::sync::Arc;
use std::time::Duration;

use mesh_harness::{Logs, Mesh, MeshError, TestResult};
use postgres_harness::{Database, Postgres};
use region::{PostgresRegistry, Registry, RegistryError, StartError};
use tokio::time::{Instant, timeout};

use crate::desk::{Desk, Sum, Total};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(9);

async fn registry(database: &Database) -> Result<PostgresRegistry, RegistryError> {
    PostgresRegistry::open(database.url().parse()?).await
}

/// A mesh of two region processes, each with a connection of its own to the database, and the
/// connection of a third that is yet to come.
async fn mesh(database: &Database) -> TestResult<(Mesh, PostgresRegistry)> {
    let third = registry(database).await?;
    let registries = [registry(database).await?, registry(database).await?, third.clone()];
    let registries = registries.map(|registry| -> Arc<dyn Registry> { Arc::new(registry) });
    let mesh = Mesh::builder().regions(2).clusters(2).cluster_responders(|_| Desk::default());
    let mesh = mesh
        .configure_regions(move |index, region| region.registry(Arc::clone(&registries[index])));
    Ok((mesh.over_tcp().start().await?, third))
}

/// Calls every cluster from every region process.
async fn call_everybody(mesh: &Mesh) -> TestResult {
    for region in mesh.regions() {
        for cluster in mesh.clusters() {
            let client = region.get_client_for(cluster.uuid()).await?;
            assert_eq!(client.call(Sum { a: 1, b: 1 }).await?, Total { total: 2 });
        }
    }
    Ok(())
}

/// Waits until the registry lists so many region processes and links.
async fn until_listed(registry: &PostgresRegistry, regions: usize, links: usize) -> TestResult {
    let listed = async {
        loop {
            let now = (registry.regions().await, registry.links().await);
            if matches!(&now, (Ok(r), Ok(l)) if (r.len(), l.len()) == (regions, links)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    Ok(timeout(PATIENCE, listed).await?)
}

#[tokio::test]
async fn a_cluster_hears_of_a_third_region_process_within_a_second() -> TestResult {
    let database = Postgres::shared().await?.database().await?;
    let (mesh, _third) = mesh(&database).await?;
    call_everybody(&mesh).await?;
    let began = Instant::now();
    let third = mesh.add_region().await?;
    for cluster in mesh.clusters() {
        let controller = cluster.controller();
        timeout(PATIENCE, controller.pool().wait_for(&third.id())).await?;
    }
    let elapsed = began.elapsed();
    println!("connected to the third after {} ms", elapsed.as_millis());
    assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
    until_listed(&registry(&database).await?, 3, 6).await?;

    third.stop().await;
    assert_eq!(registry(&database).await?.regions().await?.len(), 2, "it has left");
    Ok(())
}

#[tokio::test]
async fn a_region_process_that_dies_without_a_word_is_gone_within_ten_seconds() -> TestResult {
    let database = Postgres::shared().await?.database().await?;
    let (mesh, _third) = mesh(&database).await?;
    let outside = registry(&database).await?;
    until_listed(&outside, 2, 4).await?;
    let mut changes = outside.changes();
    changes.mark_unchanged();
    let began = Instant::now();
    mesh.region(1).crash().await;
    timeout(PATIENCE, changes.changed()).await??;
    let elapsed = began.elapsed();
    println!("gone after {} ms", elapsed.as_millis());
    assert!(elapsed < Duration::from_secs(8), "{elapsed:?}");
    until_listed(&outside, 1, 2).await?;
    assert_eq!(outside.regions().await?[0].id, mesh.region(0).id());
    Ok(())
}

/// What holds while the database is gone, however it went.
async fn lives_on(mesh: &Mesh, outside: &PostgresRegistry) -> TestResult {
    for _ in 0..5 {
        call_everybody(mesh).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // A cluster that comes back finds everybody: who was known is known.
    mesh.cluster(0).restart().await?;
    mesh.settled().await?;
    call_everybody(mesh).await?;
    let error = outside.regions().await.unwrap_err();
    let is_told =
        matches!(error, RegistryError::Unreachable { .. } | RegistryError::TooSlow { .. });
    assert!(is_told, "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_mesh_lives_on_while_the_database_is_stopped() -> TestResult {
    let logs = Logs::capture();
    let server = Postgres::own().await?;
    let database = server.database().await?;
    let (mesh, third) = mesh(&database).await?;
    let outside = registry(&database).await?;
    until_listed(&outside, 2, 4).await?;
    let known = outside.regions().await?;

    server.stop().await?;
    lives_on(&mesh, &outside).await?;
    server.start().await?;
    until_listed(&outside, 2, 4).await?;
    assert_eq!(outside.regions().await?, known, "all is as before");
    until_listed(&third, 2, 4).await?;
    let third = mesh.add_region().await?;
    mesh.settled().await?;
    until_listed(&outside, 3, 6).await?;
    assert!(outside.regions().await?.iter().any(|region| region.id == third.id()));
    assert_eq!(logs.lines_with("a connection ended").len(), 2, "of the restarted cluster");
    assert!(!logs.text().contains(&database.password), "no password in any line");
    Ok(())
}

#[tokio::test]
async fn a_mesh_lives_on_while_the_database_stands_still() -> TestResult {
    let server = Postgres::own().await?;
    let database = server.database().await?;
    let (mesh, _third) = mesh(&database).await?;
    let outside = registry(&database).await?;
    until_listed(&outside, 2, 4).await?;
    let known = outside.regions().await?;

    server.freeze()?;
    let went_on = lives_on(&mesh, &outside).await;
    server.thaw()?;
    went_on?;
    until_listed(&outside, 2, 4).await?;
    assert_eq!(outside.regions().await?, known, "all is as before");
    call_everybody(&mesh).await?;
    Ok(())
}

#[tokio::test]
async fn region_processes_with_a_wrong_password_do_not_start_and_say_why() -> TestResult {
    let database = Postgres::shared().await?.database().await?;
    for wrong in ["wrong", "also-wrong"] {
        let opened = PostgresRegistry::open(database.url_with(wrong).parse()?).await;
        let error = opened.unwrap_err();
        assert!(matches!(error, RegistryError::Refused { .. }), "{error:?}");
    }
    // One whose password is changed while it runs keeps its connection, and does not get a new one.
    let late = registry(&database).await?;
    let name = &database.name;
    database
        .execute(&format!(
            "ALTER ROLE {name} PASSWORD 'another';
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{name}'"
        ))
        .await?;
    let is_refused = async {
        while !matches!(late.regions().await, Err(RegistryError::Refused { .. })) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, is_refused).await?;
    let shared: Arc<dyn Registry> = Arc::new(late);
    let refused = Mesh::builder().registry(shared).start().await.unwrap_err();
    let MeshError::Region { error: StartError::Registry(error), .. } = refused else {
        panic!("{refused:?}")
    };
    assert!(matches!(error, RegistryError::Refused { .. }), "{error:?}");
    Ok(())
}
