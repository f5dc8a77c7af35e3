//! Where the keys of the mesh are written down: whose they are, since when, and until when.
//!
//! Unlike the rest of the registry this outlives its processes, and has to be kept.

mod memory;
pub(super) mod rules;
mod sqlite;

use std::fmt;
use std::time::{Duration, SystemTime};

use amp_proto::RoleName;
use async_trait::async_trait;
use mesh::{InviteHash, InviteId, PublicKey};
use tokio::sync::watch;

pub use memory::MemoryKeys;
pub use sqlite::SqliteKeys;

use super::RegistryError;
pub use super::postgres::PostgresKeys;

/// How many good keys an identity has at most: the present one, the next one, and one more for a
/// next one that was lost on the way.
pub const KEYS_PER_IDENT_MAX: usize = 3;
/// How many keys a store holds, those that were revoked included. Every region process has all of
/// them in memory; some tens of megabytes.
pub const KEYS_MAX: usize = 100_000;
/// How many invites a store holds, those that were used included.
pub const INVITES_MAX: usize = 100_000;
/// How long invites and the keys that were followed by others are kept when they are of no use any
/// more, so that whoever comes with one can be told what became of it.
pub const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// A key, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// The key.
    pub key: PublicKey,
    /// What its owner is.
    pub role: RoleName,
    /// Who its owner is: a cluster's uuid, or for a region an identity of its own.
    pub ident: String,
    /// A name for people.
    pub name: String,
    /// When it was enrolled, by the wall clock, to the millisecond.
    pub since: SystemTime,
    /// Whether it was revoked: it is not accepted from then on, whatever any clock says.
    pub is_revoked: bool,
    /// From when on it is not accepted, by the wall clock, to the millisecond: the end that was set
    /// when its owner announced the next one, or for a key that was revoked when that was, by the
    /// clock of the process that was told. Absent: no end is set.
    pub revoked: Option<SystemTime>,
}

/// An invite, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// Which one it is.
    pub id: InviteId,
    /// The hash of its secret; the secret itself is nowhere.
    pub hash: InviteHash,
    /// From when on it is of no use, by the wall clock, to the millisecond.
    pub expires: SystemTime,
}

/// What came of a key that was to be enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Enrolment {
    /// It is enrolled.
    Enrolled,
    /// It was known before, or was revoked. Nothing has changed.
    KeyTaken,
    /// Another key stands for the identity. Nothing has changed.
    IdentTaken,
    /// There is no such invite, or its secret is another. Nothing has changed.
    NoSuchInvite,
    /// The invite was used before. Nothing has changed.
    InviteUsed,
    /// The invite has expired. Nothing has changed.
    InviteExpired,
    /// The present key is not good, or others follow it already. Nothing has changed.
    Superseded,
    /// The store has [`KEYS_MAX`] keys. Nothing has changed.
    Full,
}

/// What region processes know of keys.
///
/// Every operation is done as a whole or not at all, whoever else is at it at the same time.
#[async_trait]
pub trait Keys: fmt::Debug + Send + Sync + 'static {
    /// Enrols a key without an invite: that of a region process, or one that an operator names.
    ///
    /// # Errors
    /// [`RegistryError`].
    ///
    /// # Cancellation
    /// Dropping the future leaves open whether it is enrolled.
    async fn enrol(&self, entry: &KeyEntry) -> Result<Enrolment, RegistryError>;

    /// The entry of a key, if it has one. It may be revoked.
    ///
    /// # Errors
    /// [`RegistryError`].
    ///
    /// # Cancellation
    /// Dropping the future changes nothing.
    async fn find(&self, key: &PublicKey) -> Result<Option<KeyEntry>, RegistryError>;

    /// Every key, sorted by role, name, identity and age.
    ///
    /// # Errors
    /// [`RegistryError`].
    ///
    /// # Cancellation
    /// Dropping the future changes nothing.
    async fn list(&self) -> Result<Vec<KeyEntry>, RegistryError>;

    /// So many keys, sorted by the keys themselves: those that come after that one, or the first.
    /// There are no more if there are fewer.
    ///
    /// # Errors
    /// [`RegistryError`].
    ///
    /// # Cancellation
    /// Dropping the future changes nothing.
    async fn list_after(
        &self,
        after: Option<&PublicKey>,
        max: usize,
    ) -> Result<Vec<KeyEntry>, RegistryError>;

    /// Revokes a key, and every other key of the same owner: whoever stole one may have announced
    /// the next. It does not depend on any clock: those whose end was set are revoked as well, for
    /// another process may think that they are still good. Gives those that were not revoked until
    /// now; `now` is noted with them.
    ///
    /// # Errors
    /// [`RegistryError`].
    ///
    /// # Cancellation
    /// Dropping the future leaves open whether they are revoked.
    async fn revoke(
        &self,
        key: &PublicKey,
        now: SystemTime,
    ) -> Result<Vec<KeyEntry>, RegistryError>;

    /// Writes an invite down, and forgets those that have been of no use for [`KEPT_FOR`].
    ///
    /// # Errors
    /// [`RegistryError`]; it is [`RegistryError::TooMany`] if there are [`INVITES_MAX`].
    ///
    /// # Cancellation
    /// Dropping the future leaves open whether it is written.
    async fn invite(&self, invite: &Invite, now: SystemTime) -> Result<(), RegistryError>;

    /// Enrols a key by an invite, which is of no use from then on. An invite lets one key in,
    /// however many come with it at once.
    ///
    /// # Errors
    /// [`RegistryError`].
    ///
    /// # Cancellation
    /// Dropping the future leaves open whether it is enrolled.
    async fn join(
        &self,
        invite: InviteId,
        hash: &InviteHash,
        entry: &KeyEntry,
    ) -> Result<Enrolment, RegistryError>;

    /// Enrols the key that follows `present`, for the same owner from `now` on, and revokes
    /// `present` from `until` on.
    ///
    /// # Errors
    /// [`RegistryError`].
    ///
    /// # Cancellation
    /// Dropping the future leaves open whether it is done, all of it or nothing.
    async fn succeed(
        &self,
        present: &PublicKey,
        next: &PublicKey,
        now: SystemTime,
        until: SystemTime,
    ) -> Result<Enrolment, RegistryError>;

    /// Changes whenever [`Keys::list`] may give another answer than before, whichever process
    /// changed it, within a second; also when it cannot be asked any more.
    fn changes(&self) -> watch::Receiver<u64>;
}

impl KeyEntry {
    /// Whether the key is accepted at this moment.
    #[must_use]
    pub fn is_good(&self, now: SystemTime) -> bool {
        !self.is_revoked && self.revoked.is_none_or(|revoked| now < revoked)
    }

    /// The same key after it was revoked at `now`.
    fn into_revoked(self, now: SystemTime) -> Self {
        let revoked = self.revoked.map_or(now, |end| end.min(now));
        Self { is_revoked: true, revoked: Some(revoked), ..self }
    }

    fn is_of_same_owner(&self, other: &Self) -> bool {
        (self.role, &self.ident) == (other.role, &other.ident)
    }
}
