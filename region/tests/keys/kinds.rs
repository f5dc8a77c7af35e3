//! The kinds of store.

use std::path::PathBuf;
use std::sync::Arc;

use postgres_harness::{Database, Postgres};
use region::{Keys, MemoryKeys, PostgresKeys, SqliteKeys};
use tempfile::TempDir;

/// A kind of store, and the same one for each of its handles.
pub(crate) trait Kind {
    async fn new() -> Self;
    /// What one more process would get.
    async fn open(&self) -> Arc<dyn Keys>;
}

pub(crate) struct Memory(MemoryKeys);

impl Kind for Memory {
    async fn new() -> Self {
        Self(MemoryKeys::new())
    }

    async fn open(&self) -> Arc<dyn Keys> {
        Arc::new(self.0.clone())
    }
}

pub(crate) struct Sqlite(TempDir);

impl Sqlite {
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("state").join("keys.sqlite")
    }
}

impl Kind for Sqlite {
    async fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    async fn open(&self) -> Arc<dyn Keys> {
        Arc::new(SqliteKeys::open(self.path()).await.unwrap())
    }
}

pub(crate) struct InPostgres(pub(crate) Database);

impl Kind for InPostgres {
    async fn new() -> Self {
        let server = Postgres::shared().await.unwrap_or_else(|error| panic!("{error}"));
        Self(server.database().await.unwrap())
    }

    async fn open(&self) -> Arc<dyn Keys> {
        Arc::new(PostgresKeys::open(self.0.url().parse().unwrap()).await.unwrap())
    }
}
