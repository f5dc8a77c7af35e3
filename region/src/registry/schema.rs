//! Opening the registry's file, and bringing it up to date.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::RegistryError;

/// How long a process waits for another's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The versions of the schema, oldest first: each entry brings a database from the version before.
const MIGRATIONS: [&str; 2] = [
    "
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
    ",
    // `seen_ms` is by the lease clock from here on, which counts from the start of the machine.
    "
    DELETE FROM regions;
    ALTER TABLE regions ADD COLUMN boot TEXT NOT NULL DEFAULT '';
    ",
];

/// Opens the file, and makes it and its directory if they are missing.
pub(super) fn open(path: &Path) -> Result<Connection, RegistryError> {
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

/// Switches a new file to write-ahead logging. SQLite does not wait for other processes here, so
/// two that open a new file at once have to try again.
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
