//! Keys in a SQLite file, for any number of region processes on one machine.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use mesh::{InviteHash, InviteId, PublicKey, chain};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::rules::{self, Columns, KeptInvite, Standing, Succession};
use super::{Enrolment, INVITES_MAX, Invite, KEPT_FOR, KeyEntry, Keys};
use crate::registry::sqlite_file::{Layout, SqliteFile};
use crate::registry::{RegistryError, from_ms, to_ms};

/// How often a process looks for what other processes changed. Fixed: a revoked key is to be
/// refused everywhere well within a second, and a look reads one number that is in memory.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A key that was revoked stays revoked, whatever happens to the machine in the next moment.
const LAYOUT: Layout = Layout { migrations: &MIGRATIONS, synchronous: "full" };

/// The versions of the schema, oldest first: each entry brings a database from the version before.
const MIGRATIONS: [&str; 2] = [
    "
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
    ",
    // Until now a key that was revoked had its end like one that was followed by the next. What had
    // ended by this machine's clock counts as revoked; and so does whatever belongs to an owner all
    // of whose keys have an end, for that comes of revoking alone.
    "
    ALTER TABLE keys ADD COLUMN is_revoked INTEGER NOT NULL DEFAULT 0;
    UPDATE keys SET is_revoked = 1 WHERE revoked_ms IS NOT NULL
        AND (revoked_ms <= unixepoch('subsec') * 1000 OR NOT EXISTS (
            SELECT 1 FROM keys AS other
            WHERE other.role = keys.role AND other.ident = keys.ident
                AND other.revoked_ms IS NULL
        ));
    ",
];

/// Keys in a file that several processes open. The file has to be kept: whoever it does not know is
/// not let in.
#[derive(Clone, Debug)]
pub struct SqliteKeys {
    file: SqliteFile,
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
        let file = SqliteFile::open(path.as_ref(), LAYOUT).await?;
        let changes = watch::Sender::new(0);
        let mut looking = JoinSet::new();
        looking.spawn(look(file.clone(), changes.clone()));
        Ok(Self { file, changes, _looking: Arc::new(looking) })
    }

    /// Does all of the work in one transaction, and tells whoever watches if it changed a key: what
    /// strangers try in vain must cost nobody else anything.
    async fn change<T: Send + 'static>(
        &self,
        has_changed: fn(&T) -> bool,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let changed = self.file.run(move |database| {
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

/// Tells of changes, whichever process made them.
async fn look(file: SqliteFile, changes: watch::Sender<u64>) {
    let mut known = None;
    let mut every = tokio::time::interval(LOOK_EVERY);
    loop {
        every.tick().await;
        let times = |database: &Connection| {
            let mut select = database.prepare_cached("SELECT times FROM key_changes")?;
            select.query_row([], |row| row.get::<_, i64>(0))
        };
        match file.read_in_place(times).await {
            Ok(times) if known != Some(times) => {
                known = Some(times);
                changes.send_modify(|changes| *changes += 1);
            }
            Ok(_) => {}
            Err(RegistryError::Closing) => return,
            Err(error) => {
                tracing::debug!(error = %chain(&error), "the keys could not be read");
                // Whoever follows the keys is to know.
                if known.take().is_some() {
                    changes.send_modify(|changes| *changes += 1);
                }
            }
        }
    }
}

/// `None` for a row that this program cannot have written.
fn entry_of(row: &Row<'_>) -> rusqlite::Result<Option<KeyEntry>> {
    let columns = Columns {
        key: row.get(0)?,
        role: row.get(1)?,
        ident: row.get(2)?,
        name: row.get(3)?,
        since_ms: row.get(4)?,
        revoked_ms: row.get(5)?,
        is_revoked: row.get(6)?,
    };
    Ok(columns.entry())
}

fn find(database: &Connection, key: &PublicKey) -> rusqlite::Result<Option<KeyEntry>> {
    let sql = format!("SELECT {} FROM keys WHERE key = ?1", Columns::NAMES);
    let found = database.prepare_cached(&sql)?.query_row([key.to_string()], entry_of).optional()?;
    Ok(found.flatten())
}

fn write(database: &Connection, entry: &KeyEntry) -> rusqlite::Result<()> {
    let Columns { key, role, ident, name, since_ms, revoked_ms, is_revoked } = Columns::of(entry);
    let names = Columns::NAMES;
    let sql = format!("INSERT OR REPLACE INTO keys ({names}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    let row = params![key, role, ident, name, since_ms, revoked_ms, is_revoked];
    database.prepare_cached(&sql)?.execute(row).map(drop)
}

/// What stands here about a key of the same owner as `entry`.
fn standing(
    database: &Connection,
    key: &PublicKey,
    entry: &KeyEntry,
    now: SystemTime,
) -> rusqlite::Result<Standing> {
    let sql = "SELECT (SELECT count(*) FROM keys WHERE key = ?1),
                   (SELECT count(*) FROM keys WHERE role = ?2 AND ident = ?3
                       AND NOT is_revoked AND (revoked_ms IS NULL OR revoked_ms > ?4)),
                   (SELECT count(*) FROM keys)";
    let row = params![key.to_string(), entry.role.as_str(), entry.ident, to_ms(now)];
    database.prepare_cached(sql)?.query_row(row, |row| {
        let count = |column| row.get::<_, i64>(column).map(usize::try_from);
        Ok(Standing {
            is_known: row.get::<_, i64>(0)? > 0,
            good: count(1)?.unwrap_or(usize::MAX),
            entries: count(2)?.unwrap_or(usize::MAX),
        })
    })
}

fn enrol(database: &Connection, entry: &KeyEntry) -> rusqlite::Result<Enrolment> {
    let outcome = rules::enrol(standing(database, &entry.key, entry, entry.since)?);
    if outcome == Enrolment::Enrolled {
        write(database, entry)?;
    }
    Ok(outcome)
}

/// Writes an invite down. Tells whether there was room.
fn invite(database: &Connection, invite: &Invite, now: SystemTime) -> rusqlite::Result<bool> {
    let Invite { id, hash, expires } = invite;
    database.execute("DELETE FROM invites WHERE expires_ms <= ?1", [to_ms(now - KEPT_FOR)])?;
    let kept: i64 = database.query_row("SELECT count(*) FROM invites", [], |row| row.get(0))?;
    if usize::try_from(kept).unwrap_or(usize::MAX) >= INVITES_MAX {
        return Ok(false);
    }
    let sql = "INSERT INTO invites (id, hash, expires_ms) VALUES (?1, ?2, ?3)";
    database.execute(sql, params![id.to_string(), hash.as_bytes(), to_ms(*expires)])?;
    Ok(true)
}

fn join(
    database: &Connection,
    invite: InviteId,
    hash: &InviteHash,
    entry: &KeyEntry,
) -> rusqlite::Result<Enrolment> {
    let sql = "SELECT hash, expires_ms, used_ms FROM invites WHERE id = ?1";
    let kept = database.query_row(sql, [invite.to_string()], |row| {
        let used_ms: Option<i64> = row.get(2)?;
        Ok(KeptInvite {
            hash: InviteHash::from_bytes(row.get(0)?),
            expires: from_ms(row.get(1)?),
            is_used: used_ms.is_some(),
        })
    });
    if let Err(refused) = rules::admit(kept.optional()?.as_ref(), hash, entry.since) {
        return Ok(refused);
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
    let Some(entry) = find(database, present)? else { return Ok(Enrolment::Superseded) };
    let of_next = standing(database, next, &entry, now)?;
    let Succession { present, next } = match rules::succeed(Some(entry), of_next, next, now, until)
    {
        Ok(succession) => succession,
        Err(refused) => return Ok(refused),
    };
    database.execute(
        "DELETE FROM keys WHERE role = ?1 AND ident = ?2 AND revoked_ms <= ?3",
        params![next.role.as_str(), next.ident, to_ms(now - KEPT_FOR)],
    )?;
    write(database, &present)?;
    write(database, &next)?;
    Ok(Enrolment::Enrolled)
}

fn revoke(
    database: &Connection,
    key: &PublicKey,
    now: SystemTime,
) -> rusqlite::Result<Vec<KeyEntry>> {
    let Some(named) = find(database, key)? else { return Ok(Vec::new()) };
    let sql = format!(
        "UPDATE keys SET is_revoked = 1, revoked_ms = min(coalesce(revoked_ms, ?3), ?3)
         WHERE role = ?1 AND ident = ?2 AND NOT is_revoked
         RETURNING {}",
        Columns::NAMES
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
        self.file.read_in_place(move |database| find(database, &key)).await
    }

    async fn list(&self) -> Result<Vec<KeyEntry>, RegistryError> {
        let listed = self.file.read_in_place(|database| {
            let sql = format!("SELECT {} FROM keys", Columns::NAMES);
            let mut select = database.prepare_cached(&sql)?;
            let rows = select.query_map([], entry_of)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        });
        let mut listed: Vec<_> = listed.await?.into_iter().flatten().collect();
        rules::sort(&mut listed);
        Ok(listed)
    }

    async fn list_after(
        &self,
        after: Option<&PublicKey>,
        max: usize,
    ) -> Result<Vec<KeyEntry>, RegistryError> {
        let after = after.map(ToString::to_string).unwrap_or_default();
        let listed = self.file.read_in_place(move |database| {
            let names = Columns::NAMES;
            let sql = format!("SELECT {names} FROM keys WHERE key > ?1 ORDER BY key");
            let mut select = database.prepare_cached(&sql)?;
            let rows = select.query_map([after], entry_of)?;
            rows.filter_map(Result::transpose).take(max).collect::<rusqlite::Result<Vec<_>>>()
        });
        listed.await
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
        let it = invite.clone();
        if !self.change(|_| false, move |database| self::invite(database, &it, now)).await? {
            return Err(RegistryError::TooMany { what: "invites", max: INVITES_MAX });
        }
        Ok(())
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
