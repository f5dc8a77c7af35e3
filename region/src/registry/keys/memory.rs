//! Keys within one process, for tests.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use mesh::{InviteHash, InviteId, PublicKey};
use tokio::sync::watch;

use super::rules::{self, KeptInvite, Standing, Succession};
use super::{Enrolment, INVITES_MAX, Invite, KEPT_FOR, KeyEntry, Keys};
use crate::registry::RegistryError;

/// Shared by its clones, gone with the last of them.
#[derive(Clone, Debug)]
pub struct MemoryKeys {
    book: Arc<Mutex<Book>>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Book {
    keys: BTreeMap<PublicKey, KeyEntry>,
    invites: BTreeMap<InviteId, KeptInvite>,
}

impl MemoryKeys {
    /// No keys at all.
    #[must_use]
    pub fn new() -> Self {
        Self { book: Arc::default(), changes: watch::Sender::new(0) }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }
}

impl Default for MemoryKeys {
    fn default() -> Self {
        Self::new()
    }
}

impl Book {
    /// What stands here about a key of the same owner as `entry`.
    fn standing(&self, key: &PublicKey, entry: &KeyEntry, now: SystemTime) -> Standing {
        let is_good = |it: &&KeyEntry| it.is_of_same_owner(entry) && it.is_good(now);
        Standing {
            is_known: self.keys.contains_key(key),
            good: self.keys.values().filter(is_good).count(),
            entries: self.keys.len(),
        }
    }

    fn enrol(&mut self, entry: &KeyEntry) -> Enrolment {
        let outcome = rules::enrol(self.standing(&entry.key, entry, entry.since));
        if outcome == Enrolment::Enrolled {
            self.keys.insert(entry.key, entry.clone());
        }
        outcome
    }
}

#[async_trait]
impl Keys for MemoryKeys {
    async fn enrol(&self, entry: &KeyEntry) -> Result<Enrolment, RegistryError> {
        let enrolled = self.book().enrol(entry);
        if enrolled == Enrolment::Enrolled {
            self.changed();
        }
        Ok(enrolled)
    }

    async fn find(&self, key: &PublicKey) -> Result<Option<KeyEntry>, RegistryError> {
        Ok(self.book().keys.get(key).cloned())
    }

    async fn list(&self) -> Result<Vec<KeyEntry>, RegistryError> {
        let mut keys: Vec<_> = self.book().keys.values().cloned().collect();
        rules::sort(&mut keys);
        Ok(keys)
    }

    async fn list_after(
        &self,
        after: Option<&PublicKey>,
        max: usize,
    ) -> Result<Vec<KeyEntry>, RegistryError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let book = self.book();
        let rest = book.keys.range::<PublicKey, _>((from, Bound::Unbounded));
        Ok(rest.take(max).map(|(_, entry)| entry.clone()).collect())
    }

    async fn revoke(
        &self,
        key: &PublicKey,
        now: SystemTime,
    ) -> Result<Vec<KeyEntry>, RegistryError> {
        let mut revoked = Vec::new();
        let mut book = self.book();
        let Some(named) = book.keys.get(key).cloned() else { return Ok(revoked) };
        for entry in book.keys.values_mut() {
            if entry.is_of_same_owner(&named) && !entry.is_revoked {
                *entry = entry.clone().into_revoked(now);
                revoked.push(entry.clone());
            }
        }
        drop(book);
        if !revoked.is_empty() {
            self.changed();
        }
        Ok(revoked)
    }

    async fn invite(&self, invite: &Invite, now: SystemTime) -> Result<(), RegistryError> {
        let mut book = self.book();
        book.invites.retain(|_, kept| now < kept.expires + KEPT_FOR);
        if book.invites.len() >= INVITES_MAX {
            return Err(RegistryError::TooMany { what: "invites", max: INVITES_MAX });
        }
        let Invite { id, hash, expires } = invite.clone();
        book.invites.insert(id, KeptInvite { hash, expires, is_used: false });
        Ok(())
    }

    async fn join(
        &self,
        invite: InviteId,
        hash: &InviteHash,
        entry: &KeyEntry,
    ) -> Result<Enrolment, RegistryError> {
        let mut book = self.book();
        if let Err(refused) = rules::admit(book.invites.get(&invite), hash, entry.since) {
            return Ok(refused);
        }
        let enrolled = book.enrol(entry);
        if enrolled == Enrolment::Enrolled
            && let Some(kept) = book.invites.get_mut(&invite)
        {
            kept.is_used = true;
            self.changed();
        }
        Ok(enrolled)
    }

    async fn succeed(
        &self,
        present: &PublicKey,
        next: &PublicKey,
        now: SystemTime,
        until: SystemTime,
    ) -> Result<Enrolment, RegistryError> {
        let mut book = self.book();
        let Some(entry) = book.keys.get(present).cloned() else {
            return Ok(Enrolment::Superseded);
        };
        let of_next = book.standing(next, &entry, now);
        let Succession { present, next } =
            match rules::succeed(Some(entry), of_next, next, now, until) {
                Ok(succession) => succession,
                Err(refused) => return Ok(refused),
            };
        book.keys.retain(|_, it| {
            let is_kept = it.revoked.is_none_or(|revoked| now < revoked + KEPT_FOR);
            is_kept || !it.is_of_same_owner(&next)
        });
        book.keys.extend([present, next].map(|entry| (entry.key, entry)));
        drop(book);
        self.changed();
        Ok(Enrolment::Enrolled)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
