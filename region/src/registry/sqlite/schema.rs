//! Opening the registry's file, and bringing it up to date.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::registry::RegistryError;

/// How long a process waits for another's transaction. Fixed: as long as an entry lives, and a
/// transaction takes milliseconds.
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
pub(super) fn open(path: &Path) -> Result<(Connection, OpenFile), RegistryError> {
    if let Some(directory) = path.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| RegistryError::Directory { path: directory.to_owned(), error })?;
    }
    let path =
        make_private(path).map_err(|error| RegistryError::File { path: path.to_owned(), error })?;
    let mut database = Connection::open(&path).map_err(of_database)?;
    migrate(&mut database)?;
    let file = OpenFile::at(path)?;
    Ok((database, file))
}

/// The file that a database was opened from.
#[derive(Debug)]
pub(super) struct OpenFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl OpenFile {
    fn at(path: PathBuf) -> Result<Self, RegistryError> {
        match std::fs::metadata(&path) {
            Ok(found) => Ok(Self { device: found.dev(), inode: found.ino(), path }),
            Err(error) => Err(RegistryError::File { path, error }),
        }
    }

    /// Finds out whether it is still there.
    pub(super) fn check(&self) -> Result<(), RegistryError> {
        let Self { path, device, inode } = self;
        let found = std::fs::metadata(path).map(|found| (found.dev(), found.ino()));
        if found.is_ok_and(|found| found == (*device, *inode)) {
            return Ok(());
        }
        let words =
            "it was removed or replaced while this process had it open; restart the process";
        Err(RegistryError::File { path: path.clone(), error: io::Error::other(words) })
    }
}

/// Makes the file, if it is missing, for this user alone: SQLite would make it for everyone to
/// read. The files that SQLite puts beside it, `-wal` and `-shm`, get the mode of this one.
///
/// Gives the path to open it by: an absolute one, in which SQLite sees no URI and no `:memory:`.
fn make_private(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        // One that exists is not even opened here: closing it again would let go of the locks that
        // this process holds on it through another connection. A link to nowhere is no file.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.exists() => Ok(path),
        made => made.map(|_| path),
    }
}

fn of_database(error: rusqlite::Error) -> RegistryError {
    RegistryError::Database(error.into())
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
    let found = prepare().map_err(of_database)?;
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
