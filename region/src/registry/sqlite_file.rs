//! SQLite files that several processes of one machine share: opening them, bringing them up to
//! date, and working in them.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::RegistryError;

/// How long a process waits for another's transaction. Fixed: as long as an entry of the registry
/// lives, and a transaction takes milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What a file is to hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The versions of the schema, oldest first: each entry brings a database from the version
    /// before.
    pub(super) migrations: &'static [&'static str],
    /// SQLite's `synchronous`: what becomes of the last changes when the machine loses its power.
    pub(super) synchronous: &'static str,
}

/// An open file, which clones share.
#[derive(Clone, Debug)]
pub(super) struct SqliteFile {
    writing: Arc<Mutex<Connection>>,
    /// Whoever reads does not wait for whoever waits to write.
    reading: Arc<Mutex<Connection>>,
    file: Arc<OpenFile>,
}

impl SqliteFile {
    /// Opens the file, and makes it and its directory if they are missing, both for this user
    /// alone.
    ///
    /// # Errors
    /// [`RegistryError`] when the file cannot be had, or is of a newer version.
    ///
    /// # Cancellation
    /// Dropping the future does not keep the file from being made and brought up to date; it is
    /// then closed.
    pub(super) async fn open(path: &Path, layout: Layout) -> Result<Self, RegistryError> {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || open(&path, layout)).await;
        opened.map_err(|_| RegistryError::Closing)?
    }

    /// Has `work` done on a thread that may wait, for other processes as well. Nothing is written
    /// if the file is not where it was: that would be written down nowhere, and one that took its
    /// place shares the files that SQLite puts beside it, and would be spoilt.
    ///
    /// # Cancellation
    /// Dropping the future does not keep the work from being done.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let (writing, file) = (Arc::clone(&self.writing), Arc::clone(&self.file));
        let worked = tokio::task::spawn_blocking(move || {
            file.check()?;
            let worked = work(&mut writing.lock().unwrap_or_else(PoisonError::into_inner));
            // It may have gone meanwhile, and that says more than what SQLite makes of it.
            worked.map_err(|error| file.check().err().unwrap_or_else(|| of_database(error)))
        });
        worked.await.map_err(|_| RegistryError::Closing)?
    }

    /// Has a question answered by what is written down. It waits for nobody who writes.
    ///
    /// # Cancellation
    /// Dropping the future changes nothing.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let reading = Arc::clone(&self.reading);
        let read = tokio::task::spawn_blocking(move || {
            question(&reading.lock().unwrap_or_else(PoisonError::into_inner))
        });
        read.await.map_err(|_| RegistryError::Closing)?.map_err(of_database)
    }

    /// As [`SqliteFile::read`], unless the file is not where it was: what others write down now is
    /// in another one.
    ///
    /// # Cancellation
    /// Dropping the future changes nothing.
    pub(super) async fn read_in_place<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, RegistryError> {
        self.check().await?;
        self.read(question).await
    }

    /// Finds out whether the file is still where it was: others that open it now would use another
    /// one, and none of the two would know the other.
    ///
    /// # Cancellation
    /// Dropping the future changes nothing.
    pub(super) async fn check(&self) -> Result<(), RegistryError> {
        let file = Arc::clone(&self.file);
        let checked = tokio::task::spawn_blocking(move || file.check()).await;
        checked.map_err(|_| RegistryError::Closing)?
    }
}

fn open(path: &Path, layout: Layout) -> Result<SqliteFile, RegistryError> {
    if let Some(directory) = path.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| RegistryError::Directory { path: directory.to_owned(), error })?;
    }
    let path =
        make_private(path).map_err(|error| RegistryError::File { path: path.to_owned(), error })?;
    let mut database = Connection::open(&path).map_err(of_database)?;
    let found = migrate(&mut database, layout).map_err(of_database)?;
    let known = i64::try_from(layout.migrations.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(RegistryError::TooNew { found, known });
    }
    let reading = reader(&path).map_err(of_database)?;
    Ok(SqliteFile {
        writing: Arc::new(Mutex::new(database)),
        reading: Arc::new(Mutex::new(reading)),
        file: Arc::new(OpenFile::at(path)?),
    })
}

/// One more connection to a file that is there and up to date.
fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let database = Connection::open(path)?;
    database.busy_timeout(BUSY_TIMEOUT)?;
    database.pragma_update(None, "query_only", true)?;
    Ok(database)
}

/// The file that a database was opened from.
#[derive(Debug)]
struct OpenFile {
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

    fn check(&self) -> Result<(), RegistryError> {
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

/// Gives the version that the file had.
fn migrate(database: &mut Connection, layout: Layout) -> rusqlite::Result<i64> {
    database.busy_timeout(BUSY_TIMEOUT)?;
    use_wal(database)?;
    database.pragma_update(None, "synchronous", layout.synchronous)?;
    database.pragma_update(None, "foreign_keys", true)?;
    // Two processes that start at once must not both migrate.
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for (migration, number) in layout.migrations.iter().zip(1_i64..) {
        if number > version {
            transaction.execute_batch(migration)?;
            transaction.pragma_update(None, "user_version", number)?;
        }
    }
    transaction.commit()?;
    Ok(version)
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
