//! A registry in a SQLite file, for any number of region processes on one machine.

mod lease;
mod schema;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mesh::{ClusterId, RegionId, chain};
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::schema::LAYOUT;
use super::sqlite_file::SqliteFile;
use super::{LinkEntry, RegionEntry, Registry, RegistryError, from_ms, from_us, to_ms, to_us};

/// How often a process looks for what other processes changed. Fixed: news is to come round well
/// within a second, and a look reads a page or two that are in memory.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A registry in a file that several processes open.
///
/// The file holds nothing that outlives its processes: it may be deleted while none runs.
#[derive(Clone, Debug)]
pub struct SqliteRegistry {
    file: SqliteFile,
    changes: watch::Sender<u64>,
    boot: Arc<str>,
    _looking: Arc<JoinSet<()>>,
}

impl SqliteRegistry {
    /// Opens the registry, and makes the file and its directory if they are missing, both for this
    /// user alone. A file that exists keeps its mode, for whoever shares it with other users.
    ///
    /// # Errors
    /// [`RegistryError`] when the file cannot be had, or is of a newer version.
    ///
    /// # Cancellation
    /// Dropping the future does not keep the file from being made and brought up to date; it is
    /// then closed.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, RegistryError> {
        let file = SqliteFile::open(path.as_ref(), LAYOUT).await?;
        let changes = watch::Sender::new(0);
        let mut looking = JoinSet::new();
        let boot: Arc<str> = lease::boot().into();
        looking.spawn(look(file.clone(), Arc::clone(&boot), changes.clone()));
        Ok(Self { file, changes, boot, _looking: Arc::new(looking) })
    }

    /// Writes a region process down, and says whether it is new.
    async fn put(&self, region: &RegionEntry) -> Result<bool, RegistryError> {
        let RegionEntry { id, name, addresses, version, started } = region.clone();
        let (addresses, started_ms) = (addresses.join("\n"), to_ms(started));
        let boot = Arc::clone(&self.boot);
        let done = self.file.run(move |database| {
            let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute(
                "DELETE FROM regions WHERE boot <> ?1 OR seen_ms <= ?2",
                params![&*boot, lease::alive_since_ms()],
            )?;
            let is_new = !is_known(&transaction, &id)?;
            if is_new && !addresses.is_empty() {
                // Two processes of one machine cannot listen at one place, so an older entry for
                // the same addresses is of a process that died without a word. If it lives after
                // all, it comes back, and does not drive out the younger one in its turn.
                transaction.execute(
                    "DELETE FROM regions WHERE addresses = ?1 AND started_ms <= ?2",
                    params![addresses, started_ms],
                )?;
            }
            transaction.execute(
                "INSERT INTO regions (id, name, addresses, version, started_ms, seen_ms, boot)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (id) DO UPDATE SET name = ?2, addresses = ?3, version = ?4,
                     started_ms = ?5, seen_ms = ?6, boot = ?7",
                params![
                    id.as_str(),
                    name,
                    addresses,
                    version,
                    started_ms,
                    lease::now_ms(),
                    &*boot,
                ],
            )?;
            transaction.commit()?;
            Ok(is_new)
        });
        done.await
    }
}

/// Tells of changes in the set of region processes, whichever process made them, and of those that
/// expire.
async fn look(file: SqliteFile, boot: Arc<str>, changes: watch::Sender<u64>) {
    let mut known = None;
    let mut every = tokio::time::interval(LOOK_EVERY);
    loop {
        every.tick().await;
        let boot = Arc::clone(&boot);
        match file.read(move |database| live_regions(database, &boot)).await {
            Ok(regions) if known.as_ref() != Some(&regions) => {
                known = Some(regions);
                changes.send_modify(|changes| *changes += 1);
            }
            Ok(_) => {}
            Err(RegistryError::Closing) => return,
            Err(error) => tracing::debug!(error = %chain(&error), "the registry could not be read"),
        }
    }
}

fn live_regions(database: &Connection, boot: &str) -> rusqlite::Result<Vec<RegionEntry>> {
    let mut select = database.prepare_cached(
        "SELECT id, name, addresses, version, started_ms FROM regions
         WHERE boot = ?1 AND seen_ms > ?2 ORDER BY name, id",
    )?;
    let rows = select.query_map(params![boot, lease::alive_since_ms()], |row| {
        let id: String = row.get(0)?;
        let addresses: String = row.get(2)?;
        Ok(RegionEntry {
            id: id.into(),
            name: row.get(1)?,
            addresses: addresses.lines().map(str::to_owned).collect(),
            version: row.get(3)?,
            started: from_ms(row.get(4)?),
        })
    })?;
    rows.collect()
}

fn link_of(row: &Row<'_>) -> rusqlite::Result<Option<LinkEntry>> {
    let region: String = row.get(0)?;
    let cluster: String = row.get(1)?;
    let Ok(cluster) = cluster.parse() else { return Ok(None) };
    Ok(Some(LinkEntry {
        region: region.into(),
        cluster,
        cluster_name: row.get(2)?,
        cluster_version: row.get(3)?,
        address: row.get(4)?,
        round_trip: from_us(row.get(5)?),
        since: from_ms(row.get(6)?),
    }))
}

#[async_trait]
impl Registry for SqliteRegistry {
    async fn announce(&self, region: &RegionEntry) -> Result<bool, RegistryError> {
        let is_new = self.put(region).await?;
        self.file.check().await?;
        Ok(is_new)
    }

    async fn withdraw(&self, region: &RegionId) -> Result<(), RegistryError> {
        let region = region.clone();
        let done = self.file.run(move |database| {
            database.execute("DELETE FROM regions WHERE id = ?1", [region.as_str()]).map(drop)
        });
        done.await
    }

    async fn record_links(
        &self,
        region: &RegionId,
        opened: &[LinkEntry],
        lost: &[ClusterId],
    ) -> Result<bool, RegistryError> {
        let (region, opened, lost) = (region.clone(), opened.to_vec(), lost.to_vec());
        let done = self.file.run(move |database| {
            let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if !is_known(&transaction, &region)? {
                return Ok(false);
            }
            for cluster in lost {
                transaction.execute(
                    "DELETE FROM links WHERE region = ?1 AND cluster = ?2",
                    params![region.as_str(), cluster.to_string()],
                )?;
            }
            for link in opened {
                transaction.execute(
                    "INSERT OR REPLACE INTO links VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![
                        region.as_str(),
                        link.cluster.to_string(),
                        link.cluster_name,
                        link.cluster_version,
                        link.address,
                        to_us(link.round_trip),
                        to_ms(link.since),
                    ],
                )?;
            }
            transaction.commit()?;
            Ok(true)
        });
        done.await
    }

    async fn regions(&self) -> Result<Vec<RegionEntry>, RegistryError> {
        let boot = Arc::clone(&self.boot);
        self.file.read(move |database| live_regions(database, &boot)).await
    }

    async fn links(&self) -> Result<Vec<LinkEntry>, RegistryError> {
        let boot = Arc::clone(&self.boot);
        let links = self.file.read(move |database| {
            let mut select = database.prepare_cached(
                "SELECT region, cluster, cluster_name, cluster_version, links.address,
                     round_trip_us, since_ms
                 FROM links JOIN regions ON regions.id = links.region
                 WHERE boot = ?1 AND seen_ms > ?2 ORDER BY cluster_name, region",
            )?;
            let rows = select.query_map(params![&*boot, lease::alive_since_ms()], link_of)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        });
        Ok(links.await?.into_iter().flatten().collect())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

fn is_known(database: &Connection, region: &RegionId) -> rusqlite::Result<bool> {
    let mut select = database.prepare_cached("SELECT 1 FROM regions WHERE id = ?1")?;
    let found = select.query_row([region.as_str()], |_| Ok(())).optional()?;
    Ok(found.is_some())
}
