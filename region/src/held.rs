//! For tests: keys whose answers come when the test says so.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use mesh::{InviteHash, InviteId, PublicKey};
use tokio::sync::{oneshot, watch};

use crate::registry::RegistryError;
use crate::registry::keys::{Enrolment, Invite, KeyEntry, Keys, MemoryKeys};

#[derive(Debug)]
pub(crate) struct Held {
    keys: MemoryKeys,
    lists: Mutex<VecDeque<oneshot::Receiver<()>>>,
    are_finds_held: AtomicBool,
    /// How many times all keys were asked for.
    pub(crate) listed: AtomicUsize,
}

impl Held {
    pub(crate) fn new() -> Self {
        Self {
            keys: MemoryKeys::new(),
            lists: Mutex::default(),
            are_finds_held: AtomicBool::new(false),
            listed: AtomicUsize::new(0),
        }
    }

    /// Holds the next answer of `list` back, which is of the time when it was asked.
    pub(crate) fn hold_list(&self) -> oneshot::Sender<()> {
        let (release, held) = oneshot::channel();
        self.lists.lock().unwrap().push_back(held);
        release
    }

    /// Never answers `find` again.
    pub(crate) fn hold_finds(&self) {
        self.are_finds_held.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Keys for Held {
    async fn enrol(&self, entry: &KeyEntry) -> Result<Enrolment, RegistryError> {
        self.keys.enrol(entry).await
    }

    async fn find(&self, key: &PublicKey) -> Result<Option<KeyEntry>, RegistryError> {
        if self.are_finds_held.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.keys.find(key).await
    }

    async fn list(&self) -> Result<Vec<KeyEntry>, RegistryError> {
        self.listed.fetch_add(1, Ordering::SeqCst);
        let listed = self.keys.list().await;
        let held = self.lists.lock().unwrap().pop_front();
        if let Some(held) = held {
            let _released = held.await;
        }
        listed
    }

    async fn list_after(
        &self,
        after: Option<&PublicKey>,
        max: usize,
    ) -> Result<Vec<KeyEntry>, RegistryError> {
        self.keys.list_after(after, max).await
    }

    async fn revoke(
        &self,
        key: &PublicKey,
        now: SystemTime,
    ) -> Result<Vec<KeyEntry>, RegistryError> {
        self.keys.revoke(key, now).await
    }

    async fn invite(&self, invite: &Invite, now: SystemTime) -> Result<(), RegistryError> {
        self.keys.invite(invite, now).await
    }

    async fn join(
        &self,
        invite: InviteId,
        hash: &InviteHash,
        entry: &KeyEntry,
    ) -> Result<Enrolment, RegistryError> {
        self.keys.join(invite, hash, entry).await
    }

    async fn succeed(
        &self,
        present: &PublicKey,
        next: &PublicKey,
        now: SystemTime,
        until: SystemTime,
    ) -> Result<Enrolment, RegistryError> {
        self.keys.succeed(present, next, now, until).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.keys.changes()
    }
}
