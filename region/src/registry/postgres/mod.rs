//! A registry in PostgreSQL, for region processes on many machines, and the keys beside it.
//!
//! Each process has one connection, on which it announces itself and listens for what the others
//! announce, and one for the keys. `session` keeps there being one: a database that is lost is
//! tried again without end, and meanwhile every operation fails at once, with the reason.
//! `sightings` judges who is alive, by the database's clock and by what was seen; no machine's own
//! clock is compared with another's. `schema` has the tables, `key_rows` what is done with those of
//! the keys.

mod failure;
mod key_rows;
mod keys;
mod password;
mod schema;
mod session;
mod settings;
mod sightings;
mod tls;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mesh::{ClusterId, RegionId, chain};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, GenericClient, Row};

pub use self::keys::PostgresKeys;
use self::schema::{LOCK, REGIONS as CHANNEL};
use self::session::{Line, Trouble, begin};
pub use self::settings::{PostgresSettings, PostgresSettingsError};
use self::sightings::Sightings;
pub use self::tls::RootsError;
use super::{
    LinkEntry, RegionEntry, Registry, RegistryError, from_ms, from_us, sort_links, to_ms, to_us,
};

/// How often a process looks for those that have expired, and for news that it was not told. Fixed:
/// with the time that an entry lives it makes six seconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many region processes are read, those that were heard last first. Fixed: as many as a
/// cluster keeps in mind.
const REGIONS_MAX: usize = 4096;
/// How many links are read. Fixed: a hundred region processes with a thousand clusters each; some
/// tens of megabytes.
const LINKS_MAX: usize = 100_000;

/// A registry in a PostgreSQL database, which processes on any number of machines share.
///
/// Nothing in the database outlives its processes: its tables may be dropped while none runs.
/// Clones share one connection, which ends with the last of them.
///
/// # Examples
/// ```no_run
/// use std::sync::{Arc, Mutex, PoisonError};
///
/// use region::{PostgresRegistry, PostgresSettings, RegionBuilder, RegistryError};
///
/// async fn on_many_machines(region: RegionBuilder) -> Result<RegionBuilder, RegistryError> {
///     let settings = PostgresSettings::from_file("/etc/ampmesh/registry")?;
///     Ok(region.registry(Arc::new(PostgresRegistry::open(settings).await?)))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct PostgresRegistry {
    shared: Arc<Shared>,
    _tasks: Arc<JoinSet<()>>,
}

impl PostgresRegistry {
    /// Connects to the database, and makes its tables or brings them up to date. A connection that
    /// is lost later is made again.
    ///
    /// # Limits
    /// 3 s for each server to connect to, and 20 s to bring the tables up to date.
    ///
    /// # Errors
    /// [`RegistryError`] when there is no connection, the user may not do what is needed, or the
    /// tables are of a newer version.
    ///
    /// # Cancellation
    /// Dropping the future leaves no connection. The tables may have been made.
    pub async fn open(settings: PostgresSettings) -> Result<Self, RegistryError> {
        let (line, mut tasks) = Line::open(settings, CHANNEL).await?;
        let shared = Arc::new(Shared {
            line,
            sightings: Mutex::new(Sightings::default()),
            changes: watch::Sender::new(0),
        });
        tasks.spawn(look(Arc::clone(&shared)));
        Ok(Self { shared, _tasks: Arc::new(tasks) })
    }

    async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, Trouble>,
    ) -> Result<T, RegistryError> {
        self.shared.line.run(work).await
    }
}

/// What a registry and its task share.
#[derive(Debug)]
struct Shared {
    line: Arc<Line>,
    sightings: Mutex<Sightings>,
    /// Another number whenever the region processes have changed.
    changes: watch::Sender<u64>,
}

impl Shared {
    /// Who is alive. If it is not who was alive at the last look, everybody is told. To be called
    /// by one at a time, as operations are.
    async fn alive(&self, client: &Client) -> Result<Vec<RegionEntry>, Trouble> {
        let rows = client
            .query_typed(
                "SELECT id, name, addresses, version, started_ms, beats,
                     (extract(epoch FROM clock_timestamp() - seen) * 1000)::bigint
                 FROM ampmesh_regions ORDER BY seen DESC LIMIT $1",
                &[(&limit(REGIONS_MAX), Type::INT8)],
            )
            .await?;
        let rows = rows.iter().map(row_of).collect::<Result<Vec<_>, _>>()?;
        let (alive, is_news) = {
            let mut sightings = self.sightings.lock().unwrap_or_else(PoisonError::into_inner);
            sightings.reconnected(self.line.reconnected());
            sightings.look(rows)
        };
        if is_news {
            self.changes.send_modify(|changes| *changes += 1);
        }
        Ok(alive)
    }
}

/// Looks when another process says that the region processes have changed, and for those that
/// expire.
async fn look(shared: Arc<Shared>) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        shared.line.news(&mut every).await;
        let looked = shared.line.run(async |client| shared.alive(client).await).await;
        if let Err(error) = looked {
            tracing::debug!(error = %chain(&error), "the registry could not be read");
        }
    }
}

#[async_trait]
impl Registry for PostgresRegistry {
    async fn announce(&self, region: &RegionEntry) -> Result<bool, RegistryError> {
        let region = in_text(region);
        self.run(async |client| {
            if is_heartbeat(client, &region).await? {
                return Ok(false);
            }
            enter(client, &region).await
        })
        .await
    }

    async fn withdraw(&self, region: &RegionId) -> Result<(), RegistryError> {
        let id = region.as_str();
        self.run(async |client| {
            client
                .execute_typed(
                    "WITH gone AS (DELETE FROM ampmesh_regions WHERE id = $1 RETURNING id)
                     SELECT pg_notify($2, '') FROM gone",
                    &[(&id, Type::TEXT), (&CHANNEL, Type::TEXT)],
                )
                .await?;
            Ok(())
        })
        .await
    }

    async fn record_links(
        &self,
        region: &RegionId,
        opened: &[LinkEntry],
        lost: &[ClusterId],
    ) -> Result<bool, RegistryError> {
        let (id, columns) = (region.as_str(), Columns::of(opened));
        let lost: Vec<String> = lost.iter().map(ToString::to_string).collect();
        self.run(async |client| {
            let transaction = begin(client).await?;
            // Nobody may take it out meanwhile; it may go on announcing itself.
            let known = "SELECT 1 FROM ampmesh_regions WHERE id = $1 FOR KEY SHARE";
            if transaction.query_typed(known, &[(&id, Type::TEXT)]).await?.is_empty() {
                return Ok(false);
            }
            transaction
                .execute_typed(
                    "DELETE FROM ampmesh_links WHERE region = $1 AND cluster = ANY ($2)",
                    &[(&id, Type::TEXT), (&lost, Type::TEXT_ARRAY)],
                )
                .await?;
            columns.write(&transaction, id).await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    async fn regions(&self) -> Result<Vec<RegionEntry>, RegistryError> {
        self.run(async |client| self.shared.alive(client).await).await
    }

    async fn links(&self) -> Result<Vec<LinkEntry>, RegistryError> {
        self.run(async |client| {
            let alive = self.shared.alive(client).await?;
            let ids: Vec<&str> = alive.iter().map(|region| region.id.as_str()).collect();
            let rows = client
                .query_typed(
                    "SELECT region, cluster, cluster_name, cluster_version, address,
                         round_trip_us, since_ms
                     FROM ampmesh_links WHERE region = ANY ($1) LIMIT $2",
                    &[(&ids, Type::TEXT_ARRAY), (&limit(LINKS_MAX + 1), Type::INT8)],
                )
                .await?;
            if rows.len() > LINKS_MAX {
                return Err(Trouble::TooMany { what: "links", max: LINKS_MAX });
            }
            let links = rows.iter().map(link_of).collect::<Result<Vec<_>, _>>()?;
            let mut links: Vec<_> = links.into_iter().flatten().collect();
            sort_links(&mut links);
            Ok(links)
        })
        .await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }
}

/// Prolongs an entry that is there, is as it should be, and has not expired. Tells whether it did.
async fn is_heartbeat(client: &Client, region: &RegionEntry) -> Result<bool, Trouble> {
    let RegionEntry { id, name, addresses, version, started } = region;
    let prolonged = client
        .execute_typed(
            "UPDATE ampmesh_regions SET seen = clock_timestamp(), beats = beats + 1
             WHERE id = $1 AND name = $2 AND addresses = $3 AND version = $4 AND started_ms = $5
                 AND seen > clock_timestamp() - $6 * interval '1 ms'",
            &[
                (&id.as_str(), Type::TEXT),
                (name, Type::TEXT),
                (addresses, Type::TEXT_ARRAY),
                (version, Type::TEXT),
                (&to_ms(*started), Type::INT8),
                (&expiry_ms(), Type::FLOAT8),
            ],
        )
        .await?;
    Ok(prolonged > 0)
}

/// Writes an entry that is new, or another than before, and tells everybody. Tells whether it is
/// new.
async fn enter(client: &mut Client, region: &RegionEntry) -> Result<bool, Trouble> {
    let RegionEntry { id, name, addresses, version, started } = region;
    let (id, started_ms) = (id.as_str(), to_ms(*started));
    let transaction = begin(client).await?;
    // One after the other: two that listen at the same place must not miss each other.
    transaction.execute_typed("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)]).await?;
    // What has expired is kept for a while: whose entry is gone has left, whose is old may come
    // back. Its own is gone, though, and its links with it.
    transaction
        .execute_typed(
            "DELETE FROM ampmesh_regions
             WHERE id = $1 AND seen <= clock_timestamp() - $2 * interval '1 ms'
                 OR seen < clock_timestamp() - interval '1 hour'",
            &[(&id, Type::TEXT), (&expiry_ms(), Type::FLOAT8)],
        )
        .await?;
    let known = "SELECT 1 FROM ampmesh_regions WHERE id = $1";
    let is_new = transaction.query_typed(known, &[(&id, Type::TEXT)]).await?.is_empty();
    if is_new && !addresses.is_empty() {
        // An older entry for the same addresses is of a process that died without a word. If it
        // lives after all, it comes back, and does not drive out the younger one in its turn.
        transaction
            .execute_typed(
                "DELETE FROM ampmesh_regions WHERE addresses = $1 AND started_ms <= $2",
                &[(addresses, Type::TEXT_ARRAY), (&started_ms, Type::INT8)],
            )
            .await?;
    }
    transaction
        .execute_typed(
            "INSERT INTO ampmesh_regions AS r
                 (id, name, addresses, version, started_ms, seen, beats)
             VALUES ($1, $2, $3, $4, $5, clock_timestamp(), 1)
             ON CONFLICT (id) DO UPDATE SET name = $2, addresses = $3, version = $4,
                 started_ms = $5, seen = clock_timestamp(), beats = r.beats + 1",
            &[
                (&id, Type::TEXT),
                (name, Type::TEXT),
                (addresses, Type::TEXT_ARRAY),
                (version, Type::TEXT),
                (&started_ms, Type::INT8),
            ],
        )
        .await?;
    transaction.execute_typed("SELECT pg_notify($1, '')", &[(&CHANNEL, Type::TEXT)]).await?;
    transaction.commit().await?;
    Ok(is_new)
}

/// Links, column by column: all are written with one statement.
#[derive(Default)]
struct Columns {
    clusters: Vec<String>,
    names: Vec<String>,
    versions: Vec<Option<String>>,
    addresses: Vec<String>,
    round_trips_us: Vec<Option<i64>>,
    since_ms: Vec<i64>,
}

impl Columns {
    fn of(links: &[LinkEntry]) -> Self {
        // A statement cannot write one row twice; the last word counts.
        let links: BTreeMap<_, _> = links.iter().map(|link| (link.cluster, link)).collect();
        let mut columns = Self::default();
        for (cluster, link) in links {
            columns.clusters.push(cluster.to_string());
            columns.names.push(text(&link.cluster_name));
            columns.versions.push(link.cluster_version.as_deref().map(text));
            columns.addresses.push(text(&link.address));
            columns.round_trips_us.push(to_us(link.round_trip));
            columns.since_ms.push(to_ms(link.since));
        }
        columns
    }

    async fn write(&self, client: &impl GenericClient, region: &str) -> Result<(), Trouble> {
        client
            .execute_typed(
                "INSERT INTO ampmesh_links (region, cluster, cluster_name, cluster_version,
                     address, round_trip_us, since_ms)
                 SELECT $1, * FROM unnest($2, $3, $4, $5, $6, $7)
                 ON CONFLICT (region, cluster) DO UPDATE SET
                     cluster_name = excluded.cluster_name,
                     cluster_version = excluded.cluster_version,
                     address = excluded.address,
                     round_trip_us = excluded.round_trip_us,
                     since_ms = excluded.since_ms",
                &[
                    (&region, Type::TEXT),
                    (&self.clusters, Type::TEXT_ARRAY),
                    (&self.names, Type::TEXT_ARRAY),
                    (&self.versions, Type::TEXT_ARRAY),
                    (&self.addresses, Type::TEXT_ARRAY),
                    (&self.round_trips_us, Type::INT8_ARRAY),
                    (&self.since_ms, Type::INT8_ARRAY),
                ],
            )
            .await?;
        Ok(())
    }
}

fn row_of(row: &Row) -> Result<sightings::Row, tokio_postgres::Error> {
    let entry = RegionEntry {
        id: row.try_get::<_, String>(0)?.into(),
        name: row.try_get(1)?,
        addresses: row.try_get(2)?,
        version: row.try_get(3)?,
        started: from_ms(row.try_get(4)?),
    };
    Ok(sightings::Row { entry, beats: row.try_get(5)?, age_ms: row.try_get(6)? })
}

fn link_of(row: &Row) -> Result<Option<LinkEntry>, tokio_postgres::Error> {
    let Ok(cluster) = row.try_get::<_, &str>(1)?.parse() else { return Ok(None) };
    Ok(Some(LinkEntry {
        region: row.try_get::<_, String>(0)?.into(),
        cluster,
        cluster_name: row.try_get(2)?,
        cluster_version: row.try_get(3)?,
        address: row.try_get(4)?,
        round_trip: from_us(row.try_get(5)?),
        since: from_ms(row.try_get(6)?),
    }))
}

/// What PostgreSQL can keep: peers name themselves, and no name is to spoil what is written with
/// it.
fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn in_text(region: &RegionEntry) -> RegionEntry {
    RegionEntry {
        name: text(&region.name),
        addresses: region.addresses.iter().map(|address| text(address)).collect(),
        version: text(&region.version),
        ..region.clone()
    }
}

fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

fn expiry_ms() -> f64 {
    super::EXPIRY.as_secs_f64() * 1000.0
}
