//! Keys in a SQLite file, for any number of region processes on one machine.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use amp_proto::RoleName;
use async_trait::async_trait;
use mesh::{InviteHash, InviteId, PublicKey, chain};
use rusqlite::{
    Connection, ErrorCode, OptionalExtension as _, Row, Transaction, TransactionBehavior, params,
};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Enrolment, Invite, KEPT_FOR, KEYS_PER_IDENT_MAX, KeyEntry, Keys};
use crate::registry::RegistryError;

/// How often a process looks for what other processes changed. Fixed: a revoked key is to be
/// refused everywhere well within a second, and a look reads one number that is in memory.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a process waits for another's transaction, which takes milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The versions of the schema, oldest first: each entry brings a database from the version before.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE keys (
        key TEXT PRIMARY KEY,
        role TEXT NOT NULL,
        ident TEXT NOT NULL,
        name TEXT NOT NULL,
        since_ms INTEGER NOT NULL,
        revoked_ms INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX keys_by_owner ON keys (role, ident);
    CREATE TABLE invites (
        id TEXT PRIMARY KEY,
        hash BLOB NOT NULL,
        expires_ms INTEGER NOT NULL,
        used_ms INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE key_changes (times INTEGER NOT NULL) STRICT;
    INSERT INTO key_changes VALUES (0);
    "];

const COLUMNS: &str = "key, role, ident, name, since_ms, revoked_ms";

/// Keys in a file that several processes open. The file has to be kept: whoever it does not know is
/// not let in.
#[derive(Clone, Debug)]
pub struct SqliteKeys {
    database: Arc<Mutex<Connection>>,
    changes: watch::Sender<u64>,
    _looking: Arc<JoinSet<()>>,
}

impl SqliteKeys {
    /// Opens the file, and makes it and its directory if they are missing, both for this user
    /// alone. A file that exists keeps its mode.
    ///
    /// # Errors
    /// [`RegistryError`] when the file cannot be had, or is of a newer version.
    ///
    /// # Cancellation
    /// Dropping the future does not keep the file from being made and brought up to date; it is
    /// then closed.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, RegistryError> {
        let path = path.as_ref().to_owned();
        let opened = tokio::task::spawn_blocking(move || open(&path)).await;
        let database = Arc::new(Mutex::new(opened.map_err(|_| RegistryError::Closing)??));
        let changes = watch::Sender::new(0);
        let mut looking = JoinSet::new();
        looking.spawn(look(Arc::clone(&database), changes.clone()));
        Ok(Self { database, changes, _looking: Arc::new(looking) })
    }

    /// Does all of the work in one transaction, and tells whoever watches if it changed a key: what
    /// strangers try in vain must cost nobody else anything.
    async fn change<T: Send + 'static>(
        &self,
        has_changed: fn(&T) -> bool,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let changed = on_database(&self.database, move |database| {
            let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let worked = work(&transaction)?;
            if has_changed(&worked) {
                transaction.execute("UPDATE key_changes SET times = times + 1", [])?;
            }
            transaction.commit()?;
            Ok(worked)
        });
        let worked = changed.await?;
        if has_changed(&worked) {
            self.changes.send_modify(|changes| *changes += 1);
        }
        Ok(worked)
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
    worked.await.map_err(|_| RegistryError::Closing)?.map_err(of_database)
}

/// Tells of changes, whichever process made them.
async fn look(database: Arc<Mutex<Connection>>, changes: watch::Sender<u64>) {
    let mut known = None;
    let mut every = tokio::time::interval(LOOK_EVERY);
    loop {
        every.tick().await;
        let times = |database: &mut Connection| {
            let mut select = database.prepare_cached("SELECT times FROM key_changes")?;
            select.query_row([], |row| row.get::<_, i64>(0))
        };
        match on_database(&database, times).await {
            Ok(times) if known != Some(times) => {
                known = Some(times);
                changes.send_modify(|changes| *changes += 1);
            }
            Ok(_) => {}
            Err(RegistryError::Closing) => return,
            Err(error) => tracing::debug!(error = %chain(&error), "the keys could not be read"),
        }
    }
}

fn open(path: &Path) -> Result<Connection, RegistryError> {
    if let Some(directory) = path.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| RegistryError::Directory { path: directory.to_owned(), error })?;
    }
    let made = make_private(path);
    let path = made.map_err(|error| RegistryError::File { path: path.to_owned(), error })?;
    let mut database = Connection::open(path).map_err(of_database)?;
    let found = migrate(&mut database).map_err(of_database)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(RegistryError::TooNew { found, known });
    }
    Ok(database)
}

/// Makes the file, if it is missing, for this user alone. One that exists is not opened here:
/// closing it again would let go of the locks that this process holds on it.
fn make_private(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.exists() => Ok(path),
        made => made.map(|_| path),
    }
}

fn migrate(database: &mut Connection) -> rusqlite::Result<i64> {
    database.busy_timeout(BUSY_TIMEOUT)?;
    use_wal(database)?;
    // A key that was revoked stays revoked, whatever happens to the machine in the next moment.
    database.pragma_update(None, "synchronous", "full")?;
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
}

/// Switches a new file to write-ahead logging. SQLite does not wait for other processes here.
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

fn of_database(error: rusqlite::Error) -> RegistryError {
    RegistryError::Database(error.into())
}

/// `None` for a row that this program cannot have written.
fn entry_of(row: &Row<'_>) -> rusqlite::Result<Option<KeyEntry>> {
    let (key, role): (String, String) = (row.get(0)?, row.get(1)?);
    let role = [RoleName::Region, RoleName::Cluster].into_iter().find(|it| it.as_str() == role);
    let (Ok(key), Some(role)) = (key.parse(), role) else { return Ok(None) };
    let revoked: Option<i64> = row.get(5)?;
    Ok(Some(KeyEntry {
        key,
        role,
        ident: row.get(2)?,
        name: row.get(3)?,
        since: from_ms(row.get(4)?),
        revoked: revoked.map(from_ms),
    }))
}

fn find(database: &Connection, key: &PublicKey) -> rusqlite::Result<Option<KeyEntry>> {
    let sql = format!("SELECT {COLUMNS} FROM keys WHERE key = ?1");
    let found = database.prepare_cached(&sql)?.query_row([key.to_string()], entry_of).optional()?;
    Ok(found.flatten())
}

fn insert(database: &Connection, entry: &KeyEntry) -> rusqlite::Result<()> {
    let KeyEntry { key, role, ident, name, since, revoked } = entry;
    let sql = format!("INSERT INTO keys ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
    let revoked_ms = revoked.map(to_ms);
    let row = params![key.to_string(), role.as_str(), ident, name, to_ms(*since), revoked_ms];
    database.execute(&sql, row).map(drop)
}

/// How many good keys the owner of this one has.
fn good_of(database: &Connection, entry: &KeyEntry, now: SystemTime) -> rusqlite::Result<usize> {
    let sql = "SELECT count(*) FROM keys
               WHERE role = ?1 AND ident = ?2 AND (revoked_ms IS NULL OR revoked_ms > ?3)";
    let row = params![entry.role.as_str(), entry.ident, to_ms(now)];
    let good: i64 = database.query_row(sql, row, |row| row.get(0))?;
    Ok(usize::try_from(good).unwrap_or(usize::MAX))
}

fn enrol(database: &Connection, entry: &KeyEntry) -> rusqlite::Result<Enrolment> {
    if find(database, &entry.key)?.is_some() {
        return Ok(Enrolment::KeyTaken);
    }
    if good_of(database, entry, entry.since)? > 0 {
        return Ok(Enrolment::IdentTaken);
    }
    insert(database, entry)?;
    Ok(Enrolment::Enrolled)
}

fn join(
    database: &Connection,
    invite: InviteId,
    hash: &InviteHash,
    entry: &KeyEntry,
) -> rusqlite::Result<Enrolment> {
    let sql = "SELECT hash, expires_ms, used_ms FROM invites WHERE id = ?1";
    let kept = database.query_row(sql, [invite.to_string()], |row| {
        Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<i64>>(2)?))
    });
    let Some((kept, expires_ms, used_ms)) = kept.optional()? else {
        return Ok(Enrolment::NoSuchInvite);
    };
    if InviteHash::from_bytes(kept) != *hash {
        return Ok(Enrolment::NoSuchInvite);
    }
    if used_ms.is_some() {
        return Ok(Enrolment::InviteUsed);
    }
    if to_ms(entry.since) >= expires_ms {
        return Ok(Enrolment::InviteExpired);
    }
    let enrolled = enrol(database, entry)?;
    if enrolled == Enrolment::Enrolled {
        let sql = "UPDATE invites SET used_ms = ?2 WHERE id = ?1";
        database.execute(sql, params![invite.to_string(), to_ms(entry.since)])?;
    }
    Ok(enrolled)
}

fn succeed(
    database: &Connection,
    present: &PublicKey,
    next: &PublicKey,
    now: SystemTime,
    until: SystemTime,
) -> rusqlite::Result<Enrolment> {
    let Some(entry) = find(database, present)?.filter(|entry| entry.is_good(now)) else {
        return Ok(Enrolment::Superseded);
    };
    if good_of(database, &entry, now)? >= KEYS_PER_IDENT_MAX {
        return Ok(Enrolment::Superseded);
    }
    if find(database, next)?.is_some() {
        return Ok(Enrolment::KeyTaken);
    }
    database.execute(
        "DELETE FROM keys WHERE role = ?1 AND ident = ?2 AND revoked_ms <= ?3",
        params![entry.role.as_str(), entry.ident, to_ms(now - KEPT_FOR)],
    )?;
    database.execute(
        "UPDATE keys SET revoked_ms = min(coalesce(revoked_ms, ?2), ?2) WHERE key = ?1",
        params![present.to_string(), to_ms(until)],
    )?;
    insert(database, &KeyEntry { key: *next, since: now, revoked: None, ..entry })?;
    Ok(Enrolment::Enrolled)
}

fn revoke(
    database: &Connection,
    key: &PublicKey,
    now: SystemTime,
) -> rusqlite::Result<Vec<KeyEntry>> {
    let Some(named) = find(database, key)? else { return Ok(Vec::new()) };
    let sql = format!(
        "UPDATE keys SET revoked_ms = ?3
         WHERE role = ?1 AND ident = ?2 AND (revoked_ms IS NULL OR revoked_ms > ?3)
         RETURNING {COLUMNS}"
    );
    let mut update = database.prepare(&sql)?;
    let row = params![named.role.as_str(), named.ident, to_ms(now)];
    let revoked = update.query_map(row, entry_of)?.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(revoked.into_iter().flatten().collect())
}

#[async_trait]
impl Keys for SqliteKeys {
    async fn enrol(&self, entry: &KeyEntry) -> Result<Enrolment, RegistryError> {
        let entry = entry.clone();
        self.change(is_enrolled, move |database| enrol(database, &entry)).await
    }

    async fn find(&self, key: &PublicKey) -> Result<Option<KeyEntry>, RegistryError> {
        let key = *key;
        on_database(&self.database, move |database| find(database, &key)).await
    }

    async fn list(&self) -> Result<Vec<KeyEntry>, RegistryError> {
        let listed = on_database(&self.database, |database| {
            let sql =
                format!("SELECT {COLUMNS} FROM keys ORDER BY role, name, ident, since_ms, key");
            let mut select = database.prepare_cached(&sql)?;
            let rows = select.query_map([], entry_of)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        });
        Ok(listed.await?.into_iter().flatten().collect())
    }

    async fn revoke(
        &self,
        key: &PublicKey,
        now: SystemTime,
    ) -> Result<Vec<KeyEntry>, RegistryError> {
        let key = *key;
        self.change(|it: &Vec<_>| !it.is_empty(), move |database| revoke(database, &key, now)).await
    }

    async fn invite(&self, invite: &Invite, now: SystemTime) -> Result<(), RegistryError> {
        let Invite { id, hash, expires } = invite.clone();
        self.change(
            |()| false,
            move |database| {
                let kept_since_ms = to_ms(now - KEPT_FOR);
                database.execute("DELETE FROM invites WHERE expires_ms <= ?1", [kept_since_ms])?;
                let sql = "INSERT INTO invites (id, hash, expires_ms) VALUES (?1, ?2, ?3)";
                database.execute(sql, params![id.to_string(), hash.as_bytes(), to_ms(expires)])?;
                Ok(())
            },
        )
        .await
    }

    async fn join(
        &self,
        invite: InviteId,
        hash: &InviteHash,
        entry: &KeyEntry,
    ) -> Result<Enrolment, RegistryError> {
        let (hash, entry) = (*hash, entry.clone());
        self.change(is_enrolled, move |database| join(database, invite, &hash, &entry)).await
    }

    async fn succeed(
        &self,
        present: &PublicKey,
        next: &PublicKey,
        now: SystemTime,
        until: SystemTime,
    ) -> Result<Enrolment, RegistryError> {
        let (present, next) = (*present, *next);
        self.change(is_enrolled, move |database| succeed(database, &present, &next, now, until))
            .await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

fn is_enrolled(outcome: &Enrolment) -> bool {
    *outcome == Enrolment::Enrolled
}

fn to_ms(time: SystemTime) -> i64 {
    let elapsed = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

fn from_ms(ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}
