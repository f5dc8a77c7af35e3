//! Keys within one process, for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use mesh::{InviteHash, InviteId, PublicKey};
use tokio::sync::watch;

use super::{Enrolment, Invite, KEPT_FOR, KEYS_PER_IDENT_MAX, KeyEntry, Keys};
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
    /// With the moment of their use.
    invites: BTreeMap<InviteId, (Invite, Option<SystemTime>)>,
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
    fn good_of(&self, entry: &KeyEntry, now: SystemTime) -> usize {
        let is_good = |it: &&KeyEntry| it.is_of_same_owner(entry) && it.is_good(now);
        self.keys.values().filter(is_good).count()
    }

    fn enrol(&mut self, entry: &KeyEntry) -> Enrolment {
        if self.keys.contains_key(&entry.key) {
            return Enrolment::KeyTaken;
        }
        if self.good_of(entry, entry.since) > 0 {
            return Enrolment::IdentTaken;
        }
        self.keys.insert(entry.key, entry.clone());
        Enrolment::Enrolled
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
        let order =
            |it: &KeyEntry| (it.role.as_str(), it.name.clone(), it.ident.clone(), it.since, it.key);
        keys.sort_by_key(order);
        Ok(keys)
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
            if entry.is_of_same_owner(&named) && entry.is_good(now) {
                entry.revoked = Some(now);
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
        book.invites.retain(|_, (invite, _)| now < invite.expires + KEPT_FOR);
        book.invites.insert(invite.id, (invite.clone(), None));
        Ok(())
    }

    async fn join(
        &self,
        invite: InviteId,
        hash: &InviteHash,
        entry: &KeyEntry,
    ) -> Result<Enrolment, RegistryError> {
        let mut book = self.book();
        match book.invites.get(&invite) {
            Some((invite, _)) if invite.hash != *hash => return Ok(Enrolment::NoSuchInvite),
            Some((_, Some(_))) => return Ok(Enrolment::InviteUsed),
            Some((invite, _)) if entry.since >= invite.expires => {
                return Ok(Enrolment::InviteExpired);
            }
            Some(_) => {}
            None => return Ok(Enrolment::NoSuchInvite),
        }
        let enrolled = book.enrol(entry);
        if enrolled == Enrolment::Enrolled
            && let Some((_, used)) = book.invites.get_mut(&invite)
        {
            *used = Some(entry.since);
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
        let Some(entry) = book.keys.get(present).filter(|entry| entry.is_good(now)).cloned() else {
            return Ok(Enrolment::Superseded);
        };
        if book.good_of(&entry, now) >= KEYS_PER_IDENT_MAX {
            return Ok(Enrolment::Superseded);
        }
        if book.keys.contains_key(next) {
            return Ok(Enrolment::KeyTaken);
        }
        book.keys.retain(|_, it| {
            let is_kept = it.revoked.is_none_or(|revoked| now < revoked + KEPT_FOR);
            is_kept || !it.is_of_same_owner(&entry)
        });
        let following = KeyEntry { key: *next, since: now, revoked: None, ..entry.clone() };
        let revoked = entry.revoked.map_or(until, |revoked| revoked.min(until));
        book.keys.insert(*next, following);
        book.keys.insert(*present, KeyEntry { revoked: Some(revoked), ..entry });
        drop(book);
        self.changed();
        Ok(Enrolment::Enrolled)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
