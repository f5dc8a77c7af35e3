//! Keys in PostgreSQL, for region processes on many machines.
//!
//! Whoever changes keys holds a lock until the change is on the disk, so of two who come with one
//! invite at two machines the second finds it used. A change is counted in the same transaction,
//! and told with it. Whoever cannot hear that, because its connection is lost, looks when it is
//! back; and everybody looks at the count every second, which finds a connection that is dead and
//! does not know it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use mesh::{InviteHash, InviteId, PublicKey, chain};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, IsolationLevel, Row, Transaction};

use super::schema::{KEYS, KEYS_LOCK};
use super::session::{Line, Trouble};
use super::settings::PostgresSettings;
use super::{limit, text};
use crate::registry::keys::rules::{self, Columns, KeptInvite, Standing, Succession};
use crate::registry::keys::{Enrolment, INVITES_MAX, Invite, KEPT_FOR, KEYS_MAX, KeyEntry, Keys};
use crate::registry::{RegistryError, from_ms, to_ms};

/// How often a process looks for changes that it was not told of. Fixed: with the time that an
/// operation may take, a dead connection is found within four seconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Keys and invites in a PostgreSQL database, which processes on any number of machines share.
///
/// They have to be kept: whoever the database does not know is not let in. Clones share one
/// connection, which ends with the last of them. While there is none, every operation fails at
/// once, with the reason.
///
/// # Examples
/// ```no_run
/// use std::sync::Arc;
///
/// use region::{
///     PostgresKeys, PostgresRegistry, PostgresSettings, RegionBuilder, RegistryError,
/// };
///
/// async fn on_many_machines(region: RegionBuilder) -> Result<RegionBuilder, RegistryError> {
///     let settings = PostgresSettings::from_file("/etc/ampmesh/registry")?;
///     let keys = PostgresKeys::open(settings.clone()).await?;
///     let registry = PostgresRegistry::open(settings).await?;
///     Ok(region.keys(Arc::new(keys)).registry(Arc::new(registry)))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct PostgresKeys {
    line: Arc<Line>,
    changes: watch::Sender<u64>,
    _tasks: Arc<JoinSet<()>>,
}

impl PostgresKeys {
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
        let (line, mut tasks) = Line::open(settings, KEYS).await?;
        let changes = watch::Sender::new(0);
        tasks.spawn(look(Arc::clone(&line), changes.clone()));
        Ok(Self { line, changes, _tasks: Arc::new(tasks) })
    }

    /// Does all of the work in one transaction, alone among all processes, and tells everybody if
    /// it changed a key: what strangers try in vain must cost nobody else anything.
    async fn change<T>(
        &self,
        has_changed: impl Fn(&T) -> bool,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, Trouble>,
    ) -> Result<T, RegistryError> {
        let worked = self.line.run(async |client| {
            // Each statement has to see what was done before the lock was ours.
            let beginning = client.build_transaction();
            let transaction =
                beginning.isolation_level(IsolationLevel::ReadCommitted).start().await?;
            // A key that was revoked stays revoked, whatever happens to the server next.
            let begin = format!(
                "SET LOCAL synchronous_commit = on; SELECT pg_advisory_xact_lock({KEYS_LOCK})"
            );
            transaction.batch_execute(&begin).await?;
            let worked = work(&transaction).await?;
            if has_changed(&worked) {
                let count = format!(
                    "INSERT INTO ampmesh_key_changes AS it (times) VALUES (1)
                     ON CONFLICT (single) DO UPDATE SET times = it.times + 1;
                     NOTIFY {KEYS}"
                );
                transaction.batch_execute(&count).await?;
            }
            transaction.commit().await?;
            Ok(worked)
        });
        let worked = worked.await?;
        if has_changed(&worked) {
            self.changes.send_modify(|changes| *changes += 1);
        }
        Ok(worked)
    }
}

/// Tells of changes, whichever process made them.
async fn look(line: Arc<Line>, changes: watch::Sender<u64>) {
    let mut known = None;
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        line.news(&mut every).await;
        // The count of another server, or of a backup, says nothing of what was there before.
        let reconnected = line.reconnected();
        let times = line.ask(async |client| {
            let rows = client.query_typed("SELECT times FROM ampmesh_key_changes", &[]).await?;
            Ok(rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0))?)
        });
        match times.await {
            Ok(times) if known != Some((reconnected, times)) => {
                known = Some((reconnected, times));
                changes.send_modify(|changes| *changes += 1);
            }
            Ok(_) => {}
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

fn entry_of(row: &Row) -> Result<Option<KeyEntry>, tokio_postgres::Error> {
    let columns = Columns {
        key: row.try_get(0)?,
        role: row.try_get(1)?,
        ident: row.try_get(2)?,
        name: row.try_get(3)?,
        since_ms: row.try_get(4)?,
        revoked_ms: row.try_get(5)?,
    };
    Ok(columns.entry())
}

fn entries_of(rows: &[Row]) -> Result<Vec<KeyEntry>, tokio_postgres::Error> {
    let entries = rows.iter().map(entry_of).collect::<Result<Vec<_>, _>>()?;
    Ok(entries.into_iter().flatten().collect())
}

async fn find(client: &impl GenericClient, key: &PublicKey) -> Result<Option<KeyEntry>, Trouble> {
    let sql = format!("SELECT {} FROM ampmesh_keys WHERE key = $1", Columns::NAMES);
    let rows = client.query_typed(&sql, &[(&key.to_string(), Type::TEXT)]).await?;
    Ok(rows.first().map(entry_of).transpose()?.flatten())
}

async fn write(client: &impl GenericClient, entry: &KeyEntry) -> Result<(), Trouble> {
    let Columns { key, role, ident, name, since_ms, revoked_ms } = Columns::of(entry);
    let sql = format!(
        "INSERT INTO ampmesh_keys ({}) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (key) DO UPDATE SET revoked_ms = $6",
        Columns::NAMES
    );
    client
        .execute_typed(
            &sql,
            &[
                (&key, Type::TEXT),
                (&role, Type::TEXT),
                (&text(&ident), Type::TEXT),
                (&text(&name), Type::TEXT),
                (&since_ms, Type::INT8),
                (&revoked_ms, Type::INT8),
            ],
        )
        .await?;
    Ok(())
}

/// What stands here about a key of the same owner as `entry`.
async fn standing(
    client: &impl GenericClient,
    key: &PublicKey,
    entry: &KeyEntry,
    now: SystemTime,
) -> Result<Standing, Trouble> {
    let row = client
        .query_typed(
            "SELECT (SELECT count(*) FROM ampmesh_keys WHERE key = $1),
                 (SELECT count(*) FROM ampmesh_keys WHERE role = $2 AND ident = $3
                     AND (revoked_ms IS NULL OR revoked_ms > $4)),
                 (SELECT count(*) FROM ampmesh_keys)",
            &[
                (&key.to_string(), Type::TEXT),
                (&entry.role.as_str(), Type::TEXT),
                (&text(&entry.ident), Type::TEXT),
                (&to_ms(now), Type::INT8),
            ],
        )
        .await?;
    let count = |column: usize| -> Result<usize, tokio_postgres::Error> {
        let count = row.first().map_or(Ok(0), |row| row.try_get::<_, i64>(column))?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    };
    Ok(Standing { is_known: count(0)? > 0, good: count(1)?, entries: count(2)? })
}

async fn enrol(client: &impl GenericClient, entry: &KeyEntry) -> Result<Enrolment, Trouble> {
    let outcome = rules::enrol(standing(client, &entry.key, entry, entry.since).await?);
    if outcome == Enrolment::Enrolled {
        write(client, entry).await?;
    }
    Ok(outcome)
}

async fn kept(
    client: &impl GenericClient,
    invite: &InviteId,
) -> Result<Option<KeptInvite>, Trouble> {
    let sql = "SELECT hash, expires_ms, used_ms FROM ampmesh_invites WHERE id = $1";
    let rows = client.query_typed(sql, &[(&invite.to_string(), Type::TEXT)]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    // What this program cannot have written is no invite.
    let Ok(hash) = row.try_get::<_, &[u8]>(0)?.try_into() else { return Ok(None) };
    let used_ms: Option<i64> = row.try_get(2)?;
    Ok(Some(KeptInvite {
        hash: InviteHash::from_bytes(hash),
        expires: from_ms(row.try_get(1)?),
        is_used: used_ms.is_some(),
    }))
}

async fn join(
    client: &impl GenericClient,
    invite: &InviteId,
    hash: &InviteHash,
    entry: &KeyEntry,
) -> Result<Enrolment, Trouble> {
    if let Err(refused) = rules::admit(kept(client, invite).await?.as_ref(), hash, entry.since) {
        return Ok(refused);
    }
    let enrolled = enrol(client, entry).await?;
    if enrolled == Enrolment::Enrolled {
        client
            .execute_typed(
                "UPDATE ampmesh_invites SET used_ms = $2 WHERE id = $1",
                &[(&invite.to_string(), Type::TEXT), (&to_ms(entry.since), Type::INT8)],
            )
            .await?;
    }
    Ok(enrolled)
}

async fn succeed(
    client: &impl GenericClient,
    present: &PublicKey,
    next: &PublicKey,
    now: SystemTime,
    until: SystemTime,
) -> Result<Enrolment, Trouble> {
    let Some(entry) = find(client, present).await? else { return Ok(Enrolment::Superseded) };
    let of_next = standing(client, next, &entry, now).await?;
    let Succession { present, next } = match rules::succeed(Some(entry), of_next, next, now, until)
    {
        Ok(succession) => succession,
        Err(refused) => return Ok(refused),
    };
    client
        .execute_typed(
            "DELETE FROM ampmesh_keys WHERE role = $1 AND ident = $2 AND revoked_ms <= $3",
            &[
                (&next.role.as_str(), Type::TEXT),
                (&next.ident, Type::TEXT),
                (&to_ms(now - KEPT_FOR), Type::INT8),
            ],
        )
        .await?;
    write(client, &present).await?;
    write(client, &next).await?;
    Ok(Enrolment::Enrolled)
}

async fn revoke(
    client: &impl GenericClient,
    key: &PublicKey,
    now: SystemTime,
) -> Result<Vec<KeyEntry>, Trouble> {
    let Some(named) = find(client, key).await? else { return Ok(Vec::new()) };
    let sql = format!(
        "UPDATE ampmesh_keys SET revoked_ms = $3
         WHERE role = $1 AND ident = $2 AND (revoked_ms IS NULL OR revoked_ms > $3)
         RETURNING {}",
        Columns::NAMES
    );
    let rows = client
        .query_typed(
            &sql,
            &[
                (&named.role.as_str(), Type::TEXT),
                (&named.ident, Type::TEXT),
                (&to_ms(now), Type::INT8),
            ],
        )
        .await?;
    Ok(entries_of(&rows)?)
}

/// Writes an invite down, and forgets those that are of no use any more.
async fn invite(
    client: &impl GenericClient,
    invite: &Invite,
    now: SystemTime,
) -> Result<(), Trouble> {
    let Invite { id, hash, expires } = invite;
    client
        .execute_typed(
            "DELETE FROM ampmesh_invites WHERE expires_ms <= $1",
            &[(&to_ms(now - KEPT_FOR), Type::INT8)],
        )
        .await?;
    let written = client
        .execute_typed(
            "INSERT INTO ampmesh_invites (id, hash, expires_ms)
             SELECT $1, $2, $3 WHERE (SELECT count(*) FROM ampmesh_invites) < $4",
            &[
                (&id.to_string(), Type::TEXT),
                (&hash.as_bytes().as_slice(), Type::BYTEA),
                (&to_ms(*expires), Type::INT8),
                (&limit(INVITES_MAX), Type::INT8),
            ],
        )
        .await?;
    if written == 0 {
        return Err(Trouble::TooMany { what: "invites", max: INVITES_MAX });
    }
    Ok(())
}

fn is_enrolled(outcome: &Enrolment) -> bool {
    *outcome == Enrolment::Enrolled
}

#[async_trait]
impl Keys for PostgresKeys {
    async fn enrol(&self, entry: &KeyEntry) -> Result<Enrolment, RegistryError> {
        self.change(is_enrolled, async |client| enrol(client, entry).await).await
    }

    async fn find(&self, key: &PublicKey) -> Result<Option<KeyEntry>, RegistryError> {
        self.line.ask(async |client| find(client, key).await).await
    }

    async fn list(&self) -> Result<Vec<KeyEntry>, RegistryError> {
        let sql = format!("SELECT {} FROM ampmesh_keys LIMIT $1", Columns::NAMES);
        let mut listed = self
            .line
            .ask(async |client| {
                let most = limit(KEYS_MAX + 1);
                let rows = client.query_typed(&sql, &[(&most, Type::INT8)]).await?;
                if rows.len() > KEYS_MAX {
                    return Err(Trouble::TooMany { what: "keys", max: KEYS_MAX });
                }
                Ok(entries_of(&rows)?)
            })
            .await?;
        rules::sort(&mut listed);
        Ok(listed)
    }

    async fn revoke(
        &self,
        key: &PublicKey,
        now: SystemTime,
    ) -> Result<Vec<KeyEntry>, RegistryError> {
        let is_change = |revoked: &Vec<_>| !revoked.is_empty();
        self.change(is_change, async |client| revoke(client, key, now).await).await
    }

    async fn invite(&self, it: &Invite, now: SystemTime) -> Result<(), RegistryError> {
        self.change(|()| false, async |client| invite(client, it, now).await).await
    }

    async fn join(
        &self,
        invite: InviteId,
        hash: &InviteHash,
        entry: &KeyEntry,
    ) -> Result<Enrolment, RegistryError> {
        // Nobody has to wait for a stranger who guesses.
        let found = self.line.ask(async |client| kept(client, &invite).await).await?;
        if let Err(refused) = rules::admit(found.as_ref(), hash, entry.since) {
            return Ok(refused);
        }
        self.change(is_enrolled, async |client| join(client, &invite, hash, entry).await).await
    }

    async fn succeed(
        &self,
        present: &PublicKey,
        next: &PublicKey,
        now: SystemTime,
        until: SystemTime,
    ) -> Result<Enrolment, RegistryError> {
        let work =
            async |client: &Transaction<'_>| succeed(client, present, next, now, until).await;
        self.change(is_enrolled, work).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
