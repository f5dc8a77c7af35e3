//! A registry in a SQLite file, for any number of region processes on one machine.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use mesh::{ClusterId, RegionId};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row, TransactionBehavior, params};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{EXPIRY, LinkEntry, RegionEntry, Registry, RegistryError};

/// How often a process looks for what other processes changed.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a process waits for another's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The versions of the schema, oldest first: each entry brings a database from the version before.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE regions (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        addresses TEXT NOT NULL,
        version TEXT NOT NULL,
        started_ms INTEGER NOT NULL,
        seen_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE links (
        region TEXT NOT NULL REFERENCES regions (id) ON DELETE CASCADE,
        cluster TEXT NOT NULL,
        cluster_name TEXT NOT NULL,
        cluster_version TEXT,
        address TEXT NOT NULL,
        round_trip_us INTEGER,
        since_ms INTEGER NOT NULL,
        PRIMARY KEY (region, cluster)
    ) STRICT, WITHOUT ROWID;
"];

/// A registry in a file that several processes open.
///
/// The file holds nothing that outlives its processes: it may be deleted while none runs.
#[derive(Clone, Debug)]
pub struct SqliteRegistry {
    database: Arc<Mutex<Connection>>,
    changes: watch::Sender<u64>,
    _looking: Arc<JoinSet<()>>,
}

impl SqliteRegistry {
    /// Opens the registry, and makes the file and its directory if they are missing.
    ///
    /// # Errors
    /// [`RegistryError`] when the file cannot be had, or is of a newer version.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, RegistryError> {
        let path = path.as_ref().to_owned();
        let opened = tokio::task::spawn_blocking(move || open(&path)).await;
        let database = opened.map_err(|_| RegistryError::Closing)??;
        let database = Arc::new(Mutex::new(database));
        let changes = watch::Sender::new(0);
        let mut looking = JoinSet::new();
        looking.spawn(look(Arc::clone(&database), changes.clone()));
        Ok(Self { database, changes, _looking: Arc::new(looking) })
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, RegistryError> {
        on_database(&self.database, work).await
    }
}

async fn on_database<T: Send + 'static>(
    database: &Arc<Mutex<Connection>>,
    work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, RegistryError> {
    let database = Arc::clone(database);
    let worked = tokio::task::spawn_blocking(move || {
        work(&mut database.lock().unwrap_or_else(PoisonError::into_inner))
    });
    worked.await.map_err(|_| RegistryError::Closing)?.map_err(RegistryError::Database)
}

fn open(path: &Path) -> Result<Connection, RegistryError> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)
            .map_err(|error| RegistryError::Directory { path: directory.to_owned(), error })?;
    }
    let mut database = Connection::open(path).map_err(RegistryError::Database)?;
    migrate(&mut database)?;
    Ok(database)
}

fn migrate(database: &mut Connection) -> Result<(), RegistryError> {
    let mut prepare = || -> rusqlite::Result<i64> {
        database.busy_timeout(BUSY_TIMEOUT)?;
        use_wal(database)?;
        database.pragma_update(None, "synchronous", "normal")?;
        database.pragma_update(None, "foreign_keys", true)?;
        // Two processes that start at once must not both migrate.
        let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        for (migration, number) in MIGRATIONS.iter().zip(1_i64..) {
            if number > version {
                transaction.execute_batch(migration)?;
                transaction.pragma_update(None, "user_version", number)?;
            }
        }
        transaction.commit()?;
        Ok(version)
    };
    let found = prepare().map_err(RegistryError::Database)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(RegistryError::TooNew { found, known });
    }
    Ok(())
}

/// Switches a new file to write-ahead logging. SQLite does not wait for other processes here, so two
/// that open a new file at once have to try again.
fn use_wal(database: &Connection) -> rusqlite::Result<()> {
    const AGAIN_AFTER: Duration = Duration::from_millis(5);
    let mut tries_left = BUSY_TIMEOUT.as_millis() / AGAIN_AFTER.as_millis();
    loop {
        match database.pragma_update(None, "journal_mode", "wal") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && tries_left > 0 =>
            {
                tries_left -= 1;
                std::thread::sleep(AGAIN_AFTER);
            }
            done => return done,
        }
    }
}

/// Tells of changes in the set of region processes, whichever process made them, and of those that
/// expire.
async fn look(database: Arc<Mutex<Connection>>, changes: watch::Sender<u64>) {
    let mut known = None;
    let mut every = tokio::time::interval(LOOK_EVERY);
    loop {
        every.tick().await;
        match on_database(&database, |database| live_regions(database)).await {
            Ok(regions) if known.as_ref() != Some(&regions) => {
                known = Some(regions);
                changes.send_modify(|changes| *changes += 1);
            }
            Ok(_) => {}
            Err(RegistryError::Closing) => return,
            Err(error) => tracing::debug!(%error, "the registry could not be read"),
        }
    }
}

fn live_regions(database: &Connection) -> rusqlite::Result<Vec<RegionEntry>> {
    let mut select = database.prepare_cached(
        "SELECT id, name, addresses, version, started_ms FROM regions
         WHERE seen_ms > ?1 ORDER BY name, id",
    )?;
    let rows = select.query_map([alive_since()], |row| {
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
    let round_trip_us: Option<i64> = row.get(5)?;
    let round_trip_us = round_trip_us.and_then(|us| u64::try_from(us).ok());
    let Ok(cluster) = cluster.parse() else { return Ok(None) };
    Ok(Some(LinkEntry {
        region: region.into(),
        cluster,
        cluster_name: row.get(2)?,
        cluster_version: row.get(3)?,
        address: row.get(4)?,
        round_trip: round_trip_us.map(Duration::from_micros),
        since: from_ms(row.get(6)?),
    }))
}

#[async_trait]
impl Registry for SqliteRegistry {
    async fn announce(&self, region: &RegionEntry) -> Result<(), RegistryError> {
        let RegionEntry { id, name, addresses, version, started } = region.clone();
        let (addresses, started_ms) = (addresses.join("\n"), to_ms(started));
        self.run(move |database| {
            let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // Two processes of one machine cannot listen at one place, so an older entry for the
            // same addresses is of a process that died without a word.
            transaction.execute(
                "DELETE FROM regions WHERE seen_ms <= ?1 OR (addresses = ?2 AND id <> ?3)",
                params![alive_since(), addresses, id.as_str()],
            )?;
            transaction.execute(
                "INSERT INTO regions VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (id) DO UPDATE SET name = ?2, addresses = ?3, version = ?4,
                     started_ms = ?5, seen_ms = ?6",
                params![
                    id.as_str(),
                    name,
                    addresses,
                    version,
                    started_ms,
                    to_ms(SystemTime::now())
                ],
            )?;
            transaction.commit()
        })
        .await
    }

    async fn withdraw(&self, region: &RegionId) -> Result<(), RegistryError> {
        let region = region.clone();
        self.run(move |database| {
            database.execute("DELETE FROM regions WHERE id = ?1", [region.as_str()]).map(drop)
        })
        .await
    }

    async fn record_links(
        &self,
        region: &RegionId,
        opened: &[LinkEntry],
        lost: &[ClusterId],
    ) -> Result<(), RegistryError> {
        let (region, opened, lost) = (region.clone(), opened.to_vec(), lost.to_vec());
        self.run(move |database| {
            let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let known: Option<i64> = transaction
                .query_row("SELECT 1 FROM regions WHERE id = ?1", [region.as_str()], |row| {
                    row.get(0)
                })
                .optional()?;
            if known.is_none() {
                return Ok(());
            }
            for cluster in lost {
                transaction.execute(
                    "DELETE FROM links WHERE region = ?1 AND cluster = ?2",
                    params![region.as_str(), cluster.to_string()],
                )?;
            }
            for link in opened {
                let round_trip_us = link
                    .round_trip
                    .and_then(|round_trip| i64::try_from(round_trip.as_micros()).ok());
                transaction.execute(
                    "INSERT OR REPLACE INTO links VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![
                        region.as_str(),
                        link.cluster.to_string(),
                        link.cluster_name,
                        link.cluster_version,
                        link.address,
                        round_trip_us,
                        to_ms(link.since),
                    ],
                )?;
            }
            transaction.commit()
        })
        .await
    }

    async fn regions(&self) -> Result<Vec<RegionEntry>, RegistryError> {
        self.run(|database| live_regions(database)).await
    }

    async fn links(&self) -> Result<Vec<LinkEntry>, RegistryError> {
        let links = self.run(|database| {
            let mut select = database.prepare_cached(
                "SELECT region, cluster, cluster_name, cluster_version, links.address,
                     round_trip_us, since_ms
                 FROM links JOIN regions ON regions.id = links.region
                 WHERE seen_ms > ?1 ORDER BY cluster_name, region",
            )?;
            let rows = select.query_map([alive_since()], link_of)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        });
        Ok(links.await?.into_iter().flatten().collect())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// Who was not heard since then, by the wall clock in milliseconds, is gone.
fn alive_since() -> i64 {
    let expiry_ms = i64::try_from(EXPIRY.as_millis()).unwrap_or(i64::MAX);
    to_ms(SystemTime::now()).saturating_sub(expiry_ms)
}

fn to_ms(time: SystemTime) -> i64 {
    let elapsed = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

fn from_ms(ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}
