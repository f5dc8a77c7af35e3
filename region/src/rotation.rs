//! How the key of a region process is followed by the next.
//!
//! The store is told first. From then on the next key is a matter of time: it is shown when half of
//! what is left to the present one is over. Only the last change that the store took counts.

use std::time::{Duration, SystemTime};

use amp_proto::Cluster;
use mesh::{Client, KeyPair, PublicKey, chain};
use tokio::sync::{Mutex, watch};

use crate::builder::to_the_millisecond;
use crate::controller::RegionController;
use crate::key_book::full;
use crate::keys::KeysError;
use crate::registry::HEARTBEAT;
use crate::registry::keys::{Enrolment, KeyEntry};

/// The change of the own key.
#[derive(Debug, Default)]
pub(crate) struct Rotation {
    /// One change at a time. The next key, until it is shown.
    changing: Mutex<Option<PublicKey>>,
    /// How many changes the store has taken. Whoever is to show the next key of one ends with the
    /// next.
    taken: watch::Sender<u64>,
}

impl RegionController {
    /// Gives this process another key. Clusters that are connected are told of it at once, and know
    /// both keys for `overlap`. When half of that is over, this process shows the next key, and has
    /// its connections made anew. A cluster that is away until then does not know this process when
    /// it comes back, unless another region process tells it.
    ///
    /// The next key pair has to be kept before this is called: if the process ends at whatever
    /// moment, it is to start with the next key if [`RegionController::find_key`] or
    /// [`Keys::find`](crate::Keys::find) knows it, and with the present one if not.
    ///
    /// A change that is not over yet gives way to this one: its key will not be shown. The time of
    /// the present key is never made longer, only shorter. The key that gives way is of no use from
    /// then on; but if the time of the present one is made shorter, the store lets it stand.
    ///
    /// # Errors
    /// [`KeysError`]. After [`KeysError::Registry`] it is open whether the next key is taken, and
    /// it has to be kept; this process looks until it knows, and then goes on as if the answer had
    /// not been lost. After every other error nothing has changed.
    ///
    /// # Cancellation
    /// Dropping the future leaves open whether the key is changed.
    pub async fn rotate_key(&self, next: KeyPair, overlap: Duration) -> Result<(), KeysError> {
        let inner = &self.inner;
        let mut pending = inner.rotation.changing.lock().await;
        let present = self.key().ok_or(KeysError::NoKey)?;
        let now = to_the_millisecond(SystemTime::now());
        let (known, wanted) = (self.known_end(&present), now + overlap);
        let end = known.map_or(wanted, |known| known.min(wanted));
        let (followed, until) = match *pending {
            // The present key ends as it would have, and the one that gives way ends now.
            Some(unshown) if known == Some(end) => (unshown, now),
            _ => (present, end),
        };
        match inner.book.keys.succeed(&followed, &next.public(), now, until).await {
            Ok(Enrolment::Enrolled) => {}
            Ok(Enrolment::Full) => return Err(full().into()),
            Ok(_) => return Err(KeysError::NotTaken),
            Err(error) => {
                let (of, taken) = (self.clone(), *inner.rotation.taken.borrow());
                inner.process.lifetime.run_until_stopping(of.find_out(present, next, taken));
                return Err(error.into());
            }
        }
        *pending = Some(next.public());
        self.follow_with(present, next, end);
        Ok(())
    }

    /// From when on one of the own keys is not good, as far as is known.
    fn known_end(&self, key: &PublicKey) -> Option<SystemTime> {
        self.inner.book.known_entry(key)?.revoked
    }

    /// Takes over that the store has taken the next key, and shows it in time.
    fn follow_with(&self, present: PublicKey, next: KeyPair, end: SystemTime) {
        let inner = &self.inner;
        tracing::info!(%present, next = %next.public(), "this process will have another key");
        // Nothing of it may depend on the next answer of the store.
        if let Some(entry) = inner.book.known_entry(&present) {
            let since = to_the_millisecond(SystemTime::now());
            let of_next = KeyEntry {
                key: next.public(),
                since,
                is_revoked: false,
                revoked: None,
                ..entry.clone()
            };
            inner.book.learn(&[KeyEntry { revoked: Some(end), ..entry }, of_next]);
        }
        inner.rotation.taken.send_modify(|taken| *taken += 1);
        let mut later = inner.rotation.taken.subscribe();
        let wait = end.duration_since(SystemTime::now()).unwrap_or_default() / 2;
        let of = self.clone();
        inner.process.lifetime.run_until_stopping(async move {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = later.changed() => return,
            }
            // One that is being taken this moment comes first.
            let mut pending = of.inner.rotation.changing.lock().await;
            if !later.has_changed().unwrap_or(true) {
                of.show(&next);
                *pending = None;
            }
        });
    }

    /// Shows another key from now on, and has connections made anew.
    fn show(&self, next: &KeyPair) {
        let (process, key) = (&self.inner.process, next.public());
        process.change_key(next);
        tracing::info!(%key, "this process shows its next key");
        for (_, link) in self.pool().all() {
            if link.peer().key.as_ref().is_some_and(|it| it.own != key) {
                // Whoever is asked to leave comes back, and is shown the next key.
                let client = Client::<Cluster>::new(link);
                process.lifetime.run_until_stopping(async move { client.leave().await });
            }
        }
    }

    /// Looks whether the store has taken a next key, until it can be asked, and goes on with the
    /// key if it has, unless another was taken since.
    async fn find_out(self, present: PublicKey, next: KeyPair, taken: u64) {
        let inner = &self.inner;
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            let mut pending = inner.rotation.changing.lock().await;
            if *inner.rotation.taken.borrow() != taken {
                return;
            }
            let keys = &inner.book.keys;
            let found = match keys.find(&next.public()).await {
                Ok(Some(_)) => keys.find(&present).await,
                found => found,
            };
            match found {
                Ok(Some(KeyEntry { revoked, .. })) => {
                    let end = revoked.unwrap_or_else(SystemTime::now);
                    *pending = Some(next.public());
                    self.follow_with(present, next, end);
                    return;
                }
                Ok(None) => return,
                Err(error) => {
                    let error = chain(&error);
                    tracing::debug!(%error, "it is open which key this process has");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use async_trait::async_trait;
    use mesh::{InviteHash, InviteId, Listen};

    use super::*;
    use crate::registry::RegistryError;
    use crate::registry::keys::{Invite, Keys, MemoryKeys};

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    async fn region(keys: impl Keys) -> (RegionController, PublicKey) {
        let (pair, listen) = (KeyPair::generate(), Listen::loopback());
        let key = pair.public();
        let builder =
            RegionController::builder().listen(listen).key_pair(pair).keys(Arc::new(keys));
        (builder.start().await.unwrap(), key)
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_key_is_shown_when_half_of_the_time_is_over() {
        let (region, first) = region(MemoryKeys::new()).await;
        let next = KeyPair::generate();
        region.rotate_key(next.clone(), HOUR).await.unwrap();
        tokio::time::sleep(29 * MINUTE).await;
        assert_eq!(region.key(), Some(first));
        tokio::time::sleep(2 * MINUTE).await;
        assert_eq!(region.key(), Some(next.public()));
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_changes_the_last_holds_whichever_is_quicker() {
        for (one, other) in [(2 * HOUR, HOUR), (HOUR, 2 * HOUR)] {
            let (region, _) = region(MemoryKeys::new()).await;
            let (slow, last) = (KeyPair::generate(), KeyPair::generate());
            region.rotate_key(slow, one).await.unwrap();
            region.rotate_key(last.clone(), other).await.unwrap();
            // The present key ends with the hour in either case.
            tokio::time::sleep(31 * MINUTE).await;
            assert_eq!(region.key(), Some(last.public()));
            tokio::time::sleep(2 * HOUR).await;
            assert_eq!(region.key(), Some(last.public()), "and it stays so");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_gives_way_is_of_no_use_and_not_in_the_way() {
        let (region, first) = region(MemoryKeys::new()).await;
        let mut last = first;
        for _ in 0..5 {
            let next = KeyPair::generate();
            last = next.public();
            region.rotate_key(next, HOUR).await.unwrap();
        }
        let now = SystemTime::now();
        let good = region.keys().await.unwrap().into_iter().filter(|entry| entry.is_good(now));
        let mut good: Vec<_> = good.map(|entry| entry.key).collect();
        good.sort_unstable();
        let mut expected = [first, last];
        expected.sort_unstable();
        assert_eq!(good, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_is_refused_does_not_undo_the_one_before() {
        let (region, first) = region(MemoryKeys::new()).await;
        let next = KeyPair::generate();
        region.rotate_key(next.clone(), HOUR).await.unwrap();
        let refused = region.rotate_key(next.clone(), HOUR).await;
        assert!(matches!(refused, Err(KeysError::NotTaken)), "{refused:?}");
        assert_eq!(region.key(), Some(first));
        tokio::time::sleep(31 * MINUTE).await;
        assert_eq!(region.key(), Some(next.public()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_whose_answer_was_lost_is_gone_on_with() {
        let keys = Arc::new(Forgetful::default());
        let (region, first) = region(Arc::clone(&keys)).await;
        let next = KeyPair::generate();
        keys.is_gone.store(true, Ordering::SeqCst);
        let open = region.rotate_key(next.clone(), HOUR).await;
        assert!(matches!(open, Err(KeysError::Registry(_))), "{open:?}");
        tokio::time::sleep(10 * MINUTE).await;
        keys.is_gone.store(false, Ordering::SeqCst);
        assert_eq!(region.key(), Some(first));
        tokio::time::sleep(31 * MINUTE).await;
        assert_eq!(region.key(), Some(next.public()));
    }

    /// Does what it is asked for, and while it is gone its answers are lost.
    #[derive(Debug, Default)]
    struct Forgetful {
        keys: MemoryKeys,
        is_gone: AtomicBool,
    }

    impl Forgetful {
        fn answer<T>(&self, answer: Result<T, RegistryError>) -> Result<T, RegistryError> {
            if self.is_gone.load(Ordering::SeqCst) { Err(RegistryError::Closing) } else { answer }
        }
    }

    #[async_trait]
    impl Keys for Arc<Forgetful> {
        async fn enrol(&self, entry: &KeyEntry) -> Result<Enrolment, RegistryError> {
            self.answer(self.keys.enrol(entry).await)
        }

        async fn find(&self, key: &PublicKey) -> Result<Option<KeyEntry>, RegistryError> {
            self.answer(self.keys.find(key).await)
        }

        async fn list(&self) -> Result<Vec<KeyEntry>, RegistryError> {
            self.answer(self.keys.list().await)
        }

        async fn list_after(
            &self,
            after: Option<&PublicKey>,
            max: usize,
        ) -> Result<Vec<KeyEntry>, RegistryError> {
            self.answer(self.keys.list_after(after, max).await)
        }

        async fn revoke(
            &self,
            key: &PublicKey,
            now: SystemTime,
        ) -> Result<Vec<KeyEntry>, RegistryError> {
            self.answer(self.keys.revoke(key, now).await)
        }

        async fn invite(&self, invite: &Invite, now: SystemTime) -> Result<(), RegistryError> {
            self.answer(self.keys.invite(invite, now).await)
        }

        async fn join(
            &self,
            invite: InviteId,
            hash: &InviteHash,
            entry: &KeyEntry,
        ) -> Result<Enrolment, RegistryError> {
            self.answer(self.keys.join(invite, hash, entry).await)
        }

        async fn succeed(
            &self,
            present: &PublicKey,
            next: &PublicKey,
            now: SystemTime,
            until: SystemTime,
        ) -> Result<Enrolment, RegistryError> {
            self.answer(self.keys.succeed(present, next, now, until).await)
        }

        fn changes(&self) -> watch::Receiver<u64> {
            self.keys.changes()
        }
    }
}
