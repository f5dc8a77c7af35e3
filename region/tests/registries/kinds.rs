//! The kinds of registry, and how time passes for each.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use postgres_harness::{Database, Postgres};
use region::registry::EXPIRY;
use region::{MemoryRegistry, PostgresRegistry, Registry, SqliteRegistry};
use tempfile::TempDir;

/// A kind of registry, and the same one for each of its handles.
pub(crate) trait Kind {
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

pub(crate) struct Memory(MemoryRegistry);

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

pub(crate) struct Sqlite(TempDir);

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

    /// The file knows the machine's clock, which no test can turn: the entries are made older
    /// instead.
    async fn pass(&self, time: Duration) {
        let database = rusqlite::Connection::open(self.path()).unwrap();
        database.busy_timeout(Duration::from_secs(5)).unwrap();
        let older = i64::try_from(time.as_millis()).unwrap();
        database.execute("UPDATE regions SET seen_ms = seen_ms - ?1", [older]).unwrap();
    }
}

pub(crate) struct InPostgres(Database);

impl Kind for InPostgres {
    async fn new() -> Self {
        let server = Postgres::shared().await.unwrap_or_else(|error| panic!("{error}"));
        Self(server.database().await.unwrap())
    }

    async fn open(&self) -> Arc<dyn Registry> {
        Arc::new(PostgresRegistry::open(self.0.url().parse().unwrap()).await.unwrap())
    }

    /// The entries know the server's clock, which no test can turn: they are made older instead.
    async fn pass(&self, time: Duration) {
        let time_ms = time.as_millis();
        let older = format!("UPDATE ampmesh_regions SET seen = seen - interval '{time_ms} ms'");
        self.0.execute(&older).await.unwrap();
    }
}
