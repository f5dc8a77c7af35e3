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
use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use super::key_rows::{self as rows, entries_of};
use super::limit;
use super::schema::{KEYS, KEYS_LOCK};
use super::session::{Line, Trouble, begin};
use super::settings::PostgresSettings;
use crate::registry::RegistryError;
use crate::registry::keys::rules::{self, Columns};
use crate::registry::keys::{Enrolment, Invite, KEYS_MAX, KeyEntry, Keys};

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
            let transaction = begin(client).await?;
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

fn is_enrolled(outcome: &Enrolment) -> bool {
    *outcome == Enrolment::Enrolled
}

#[async_trait]
impl Keys for PostgresKeys {
    async fn enrol(&self, entry: &KeyEntry) -> Result<Enrolment, RegistryError> {
        self.change(is_enrolled, async |client| rows::enrol(client, entry).await).await
    }

    async fn find(&self, key: &PublicKey) -> Result<Option<KeyEntry>, RegistryError> {
        self.line.ask(async |client| rows::find(client, key).await).await
    }

    async fn list(&self) -> Result<Vec<KeyEntry>, RegistryError> {
        let sql = format!("SELECT {} FROM ampmesh_keys LIMIT $1", Columns::NAMES);
        let mut listed = self
            .line
            .ask(async |client| {
                let most = limit(KEYS_MAX + 1);
                let found = client.query_typed(&sql, &[(&most, Type::INT8)]).await?;
                if found.len() > KEYS_MAX {
                    return Err(Trouble::TooMany { what: "keys", max: KEYS_MAX });
                }
                Ok(entries_of(&found)?)
            })
            .await?;
        rules::sort(&mut listed);
        Ok(listed)
    }

    async fn list_after(
        &self,
        after: Option<&PublicKey>,
        max: usize,
    ) -> Result<Vec<KeyEntry>, RegistryError> {
        self.line.ask(async |client| rows::list_after(client, after, max).await).await
    }

    async fn revoke(
        &self,
        key: &PublicKey,
        now: SystemTime,
    ) -> Result<Vec<KeyEntry>, RegistryError> {
        let is_change = |revoked: &Vec<_>| !revoked.is_empty();
        self.change(is_change, async |client| rows::revoke(client, key, now).await).await
    }

    async fn invite(&self, it: &Invite, now: SystemTime) -> Result<(), RegistryError> {
        self.change(|()| false, async |client| rows::invite(client, it, now).await).await
    }

    async fn join(
        &self,
        invite: InviteId,
        hash: &InviteHash,
        entry: &KeyEntry,
    ) -> Result<Enrolment, RegistryError> {
        // Nobody has to wait for a stranger who guesses.
        let found = self.line.ask(async |client| rows::kept(client, &invite).await).await?;
        if let Err(refused) = rules::admit(found.as_ref(), hash, entry.since) {
            return Ok(refused);
        }
        self.change(is_enrolled, async |client| rows::join(client, &invite, hash, entry).await)
            .await
    }

    async fn succeed(
        &self,
        present: &PublicKey,
        next: &PublicKey,
        now: SystemTime,
        until: SystemTime,
    ) -> Result<Enrolment, RegistryError> {
        let work =
            async |client: &Transaction<'_>| rows::succeed(client, present, next, now, until).await;
        self.change(is_enrolled, work).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
