//! What region processes share: the registry, and the keys beside it.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use region::{
    Enrolment, Keys, PostgresKeys, PostgresRegistry, Registry, SqliteKeys, SqliteRegistry,
};

use crate::config::{ConfigError, RegistryPlace};
use crate::private;

/// The keys of a machine, in the directory of its registry. They outlive the registry, which may be
/// deleted, so they have a file of their own.
const FILE: &str = "keys.sqlite";
/// Stands beside that file once a database has its keys.
const MOVED: &str = "keys.moved";

/// A registry, and the keys that go with it.
pub(crate) struct Stores {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) keys: Arc<dyn Keys>,
}

impl Stores {
    /// Opens both.
    ///
    /// # Errors
    /// A [`region::RegistryError`], with what could not be opened; [`ConfigError::KeysMoved`].
    ///
    /// # Cancellation
    /// What was made stays.
    pub(crate) async fn open(place: RegistryPlace, data_dir: &Path) -> anyhow::Result<Self> {
        match place {
            RegistryPlace::Sqlite(path) => {
                // What was revoked since then is good in the file.
                let moved = path.with_file_name(MOVED);
                if moved.exists() {
                    return Err(ConfigError::KeysMoved { moved }.into());
                }
                let registry = SqliteRegistry::open(&path).await;
                let told = || format!("cannot open the registry {}", path.display());
                let registry = Arc::new(registry.with_context(told)?);
                let path = path.with_file_name(FILE);
                let keys = SqliteKeys::open(&path).await;
                let told = || format!("cannot open the keys {}", path.display());
                Ok(Self { registry, keys: Arc::new(keys.with_context(told)?) })
            }
            RegistryPlace::Postgres(settings) => {
                let registry = PostgresRegistry::open(settings.clone()).await;
                let registry = Arc::new(registry.context("cannot open the registry")?);
                let keys = PostgresKeys::open(settings).await;
                let keys = keys.context("cannot open the keys")?;
                let brought = bring_along(data_dir, &keys).await;
                brought.context("cannot bring the keys of this machine along")?;
                Ok(Self { registry, keys: Arc::new(keys) })
            }
        }
    }
}

/// Enrols in a database, once, the keys that this machine has had for itself until now: else every
/// cluster would have to join anew. Who is in the database already, or was revoked there, stays as
/// he is.
async fn bring_along(data_dir: &Path, keys: &PostgresKeys) -> anyhow::Result<()> {
    let (file, moved) = (data_dir.join(FILE), data_dir.join(MOVED));
    if moved.exists() || !file.exists() {
        return Ok(());
    }
    let now = SystemTime::now();
    let mut known = SqliteKeys::open(&file).await?.list().await?;
    known.retain(|entry| entry.is_good(now));
    // Of two keys of one owner the younger is the one that it goes on with.
    known.sort_by_key(|entry| std::cmp::Reverse(entry.since));
    let mut enrolled = 0;
    for entry in &known {
        match keys.enrol(entry).await? {
            Enrolment::Enrolled => enrolled += 1,
            Enrolment::KeyTaken | Enrolment::IdentTaken => {}
            refused => anyhow::bail!("{} is not taken: {refused:?}", entry.key),
        }
    }
    let of = file.display();
    tracing::info!(%of, enrolled, "the keys of this machine are in the database now");
    let told = || "The keys in keys.sqlite are in the database now.\n".to_owned();
    private::write_new_file(&moved, told)?;
    Ok(())
}
