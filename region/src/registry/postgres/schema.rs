//! The tables, and how they are brought up to date.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, GenericClient};

use super::session::begin;

/// The channel on which processes tell each other that the region processes have changed.
pub(super) const REGIONS: &str = "ampmesh_regions";

/// The channel on which processes tell each other that keys have changed.
pub(super) const KEYS: &str = "ampmesh_keys";

/// Who migrates holds this lock, and who enters a new region process. An arbitrary number, the
/// bytes of "ampmesh\0".
pub(super) const LOCK: i64 = 0x616d_706d_6573_6800;

/// Who changes keys holds this lock. The bytes of "ampmkeys".
pub(super) const KEYS_LOCK: i64 = 0x616d_706d_6b65_7973;

/// The versions of the schema, oldest first: each entry brings a database from the version before.
///
/// `seen` is by the database's own clock. The tables are small and change all the time: room is
/// left in each page, so that a heartbeat touches nothing else.
///
/// Who drops the tables of the registry, as one may, keeps the keys: they are only made where they
/// are missing.
const MIGRATIONS: [&str; 3] = [
    "
    CREATE TABLE ampmesh_regions (
        id text PRIMARY KEY,
        name text NOT NULL,
        addresses text[] NOT NULL,
        version text NOT NULL,
        started_ms bigint NOT NULL,
        seen timestamptz NOT NULL,
        beats bigint NOT NULL
    ) WITH (fillfactor = 50);
    CREATE TABLE ampmesh_links (
        region text NOT NULL REFERENCES ampmesh_regions (id) ON DELETE CASCADE,
        cluster text NOT NULL,
        cluster_name text NOT NULL,
        cluster_version text,
        address text NOT NULL,
        round_trip_us bigint,
        since_ms bigint NOT NULL,
        PRIMARY KEY (region, cluster)
    ) WITH (fillfactor = 80);
    ",
    "
    CREATE TABLE IF NOT EXISTS ampmesh_keys (
        key text PRIMARY KEY,
        role text NOT NULL,
        ident text NOT NULL,
        name text NOT NULL,
        since_ms bigint NOT NULL,
        revoked_ms bigint
    );
    CREATE INDEX IF NOT EXISTS ampmesh_keys_by_owner ON ampmesh_keys (role, ident);
    CREATE TABLE IF NOT EXISTS ampmesh_invites (
        id text PRIMARY KEY,
        hash bytea NOT NULL,
        expires_ms bigint NOT NULL,
        used_ms bigint
    );
    CREATE TABLE IF NOT EXISTS ampmesh_key_changes (
        single boolean PRIMARY KEY DEFAULT true CHECK (single),
        times bigint NOT NULL
    );
    INSERT INTO ampmesh_key_changes (times) VALUES (0) ON CONFLICT DO NOTHING;
    ",
    // Until now a key that was revoked had its end like one that was followed by the next. What had
    // ended by the server's clock counts as revoked; and so does whatever belongs to an owner all
    // of whose keys have an end, for that comes of revoking alone.
    "
    ALTER TABLE ampmesh_keys ADD COLUMN IF NOT EXISTS is_revoked boolean NOT NULL DEFAULT false;
    UPDATE ampmesh_keys AS it SET is_revoked = true WHERE revoked_ms IS NOT NULL
        AND (revoked_ms <= extract(epoch FROM clock_timestamp()) * 1000 OR NOT EXISTS (
            SELECT 1 FROM ampmesh_keys AS other
            WHERE other.role = it.role AND other.ident = it.ident AND other.revoked_ms IS NULL
        ));
    ",
];

/// The newest version that this program knows.
pub(super) fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Brings the database up to date, unless it is, and gives the version that it had: one that is
/// higher than [`known`] is left as it is.
///
/// Nothing has to be granted for a database that is up to date but the use of its tables.
pub(super) async fn migrate(client: &mut Client) -> Result<i64, Error> {
    let found = version(client).await?;
    if found >= known() {
        return Ok(found);
    }
    let transaction = begin(client).await?;
    // Two processes that start at once must not both migrate.
    transaction.execute_typed("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)]).await?;
    // What another process has made meanwhile is only seen by a statement that uses the table.
    transaction
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS ampmesh_schema (
                 single boolean PRIMARY KEY DEFAULT true CHECK (single),
                 version bigint NOT NULL
             )",
        )
        .await?;
    let found = version_in_table(&transaction).await?;
    if found >= known() {
        return Ok(found);
    }
    for (migration, number) in MIGRATIONS.iter().zip(1_i64..) {
        if number > found {
            transaction.batch_execute(migration).await?;
        }
    }
    transaction
        .execute_typed(
            "INSERT INTO ampmesh_schema (version) VALUES ($1)
             ON CONFLICT (single) DO UPDATE SET version = $1",
            &[(&known(), Type::INT8)],
        )
        .await?;
    transaction.commit().await?;
    Ok(found)
}

/// The version of the database; 0 before the first.
async fn version(client: &impl GenericClient) -> Result<i64, Error> {
    let exists = "SELECT to_regclass('ampmesh_schema') IS NOT NULL";
    let exists = client.query_typed(exists, &[]).await?;
    if !exists.first().map_or(Ok(false), |row| row.try_get(0))? {
        return Ok(0);
    }
    version_in_table(client).await
}

async fn version_in_table(client: &impl GenericClient) -> Result<i64, Error> {
    let rows = client.query_typed("SELECT version FROM ampmesh_schema", &[]).await?;
    rows.first().map_or(Ok(0), |row| row.try_get(0))
}
