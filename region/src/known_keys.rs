//! A copy of the store of keys, as one region process had it last. Connections that are open are
//! watched by it, and it has to do where the store cannot be asked.
//!
//! A key that was revoked is never good again in it unless the store itself says so in an answer
//! that was asked for later: neither by an answer that was long on its way nor by what is learned
//! late.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use amp_proto::{PublicKey, RoleName};
use mesh::ClusterId;
use tokio::sync::{Mutex, watch};

use crate::registry::RegistryError;
use crate::registry::keys::{KeyEntry, Keys};

/// The keys as they were when the store was last asked, with what was learned since.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys {
    copy: watch::Sender<Kept>,
    /// Held from the question to the end of it: of two answers the older one must not come last.
    refreshing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<PublicKey, KeyEntry>,
    /// What was learned since the store was last asked: its answer may be older. As many as there
    /// are keys, at the most.
    learned: HashMap<PublicKey, KeyEntry>,
}

impl KnownKeys {
    /// Takes the store's state over.
    ///
    /// # Errors
    /// Those of [`Keys::list`]; the copy stays as it is.
    ///
    /// # Cancellation
    /// Dropping the future leaves the copy as it is.
    pub(crate) async fn refresh(&self, keys: &dyn Keys) -> Result<(), RegistryError> {
        let _turn = self.refreshing.lock().await;
        self.copy.send_if_modified(|copy| {
            copy.learned.clear();
            false
        });
        let listed = keys.list().await?;
        let mut entries: HashMap<_, _> =
            listed.into_iter().map(|entry| (entry.key, entry)).collect();
        self.copy.send_if_modified(|copy| {
            for learned in copy.learned.values() {
                add(&mut entries, learned);
            }
            let is_other = copy.entries != entries;
            copy.entries = entries;
            is_other
        });
        Ok(())
    }

    /// Takes over what the store was just made to hold, so that nothing of it depends on the next
    /// answer of the store.
    pub(crate) fn learn(&self, entries: &[KeyEntry]) {
        self.copy.send_if_modified(|copy| {
            let mut is_other = false;
            for entry in entries {
                add(&mut copy.learned, entry);
                is_other |= add(&mut copy.entries, entry);
            }
            is_other
        });
    }

    /// The entry of a key, if it has one.
    pub(crate) fn find(&self, key: &PublicKey) -> Option<KeyEntry> {
        self.copy.borrow().entries.get(key).cloned()
    }

    /// Whether a key stands for this cluster, or once did, so that nobody without one may. It stays
    /// so when the key is revoked: its owner must not come back by the secret.
    pub(crate) fn is_bound(&self, cluster: &ClusterId) -> bool {
        self.is_of(RoleName::Cluster, &cluster.to_string())
    }

    /// Tells now, and whenever something changes, which clusters have a key or once had one. Never
    /// comes to an end.
    ///
    /// # Cancellation
    /// Dropping the future only ends the telling.
    pub(crate) async fn tell_bound(&self, tell: impl Fn(HashSet<String>)) {
        let mut copy = self.copy.subscribe();
        loop {
            let bound = {
                let copy = copy.borrow_and_update();
                let of_clusters = copy.entries.values().filter(|it| it.role == RoleName::Cluster);
                of_clusters.map(|entry| entry.ident.clone()).collect()
            };
            tell(bound);
            // The sender lives in `self`, so this never fails.
            let _changed = copy.changed().await;
        }
    }

    /// Whether somebody is known by this identity in this role, now or once.
    pub(crate) fn is_of(&self, role: RoleName, ident: &str) -> bool {
        let copy = self.copy.borrow();
        copy.entries.values().any(|entry| entry.role == role && entry.ident == ident)
    }

    /// Whether a key is known and not good.
    pub(crate) fn is_bad(&self, key: &PublicKey) -> bool {
        self.find(key).is_some_and(|entry| !entry.is_good(SystemTime::now()))
    }

    /// The keys of all region processes, in order.
    pub(crate) fn of_regions(&self) -> Vec<PublicKey> {
        let now = SystemTime::now();
        let copy = self.copy.borrow();
        let of_regions = copy.entries.values().filter(|it| it.role == RoleName::Region);
        let mut keys: Vec<_> = of_regions.filter(|it| it.is_good(now)).map(|it| it.key).collect();
        keys.sort_unstable();
        keys
    }

    /// Waits until one of these keys is not good any more.
    ///
    /// # Cancellation
    /// Dropping the future only ends the waiting.
    pub(crate) async fn until_revoked(&self, keys: [PublicKey; 2]) {
        let mut copy = self.copy.subscribe();
        loop {
            let now = SystemTime::now();
            let wait = {
                let copy = copy.borrow_and_update();
                let entries = || keys.iter().filter_map(|key| copy.entries.get(key));
                if entries().any(|entry| !entry.is_good(now)) {
                    return;
                }
                // A key that was followed by another is good until then.
                let ends = entries().filter_map(|entry| entry.revoked?.duration_since(now).ok());
                ends.min().unwrap_or(Duration::MAX)
            };
            // The sender lives in `self`, so the wait ends with a change or with the time.
            let _changed = tokio::time::timeout(wait, copy.changed()).await;
        }
    }

    /// Waits until the keys of the region processes are others than these, and gives them.
    ///
    /// # Cancellation
    /// Dropping the future only ends the waiting.
    pub(crate) async fn until_others(&self, than: &[PublicKey]) -> Vec<PublicKey> {
        let mut copy = self.copy.subscribe();
        loop {
            copy.mark_unchanged();
            let keys = self.of_regions();
            if keys != than {
                return keys;
            }
            // A key that was followed by another ceases to be good without anybody's doing.
            let _changed = tokio::time::timeout(self.until_next_end(), copy.changed()).await;
        }
    }

    /// How long until the next key of a region ceases to be good that is to.
    fn until_next_end(&self) -> Duration {
        let now = SystemTime::now();
        let copy = self.copy.borrow();
        let of_regions = copy.entries.values().filter(|entry| entry.role == RoleName::Region);
        let ends = of_regions.filter_map(|entry| entry.revoked?.duration_since(now).ok());
        ends.min().unwrap_or(Duration::MAX)
    }
}

/// Adds an entry to those that are known, and tells whether anything is other than before. Of two
/// entries of one key nobody knows which is older; but nothing makes a key good again, or good for
/// longer.
fn add(known: &mut HashMap<PublicKey, KeyEntry>, entry: &KeyEntry) -> bool {
    let Some(before) = known.get_mut(&entry.key) else {
        known.insert(entry.key, entry.clone());
        return true;
    };
    let is_revoked = before.is_revoked || entry.is_revoked;
    let revoked = before.revoked.into_iter().chain(entry.revoked).min();
    let after = KeyEntry { is_revoked, revoked, ..entry.clone() };
    let is_other = *before != after;
    *before = after;
    is_other
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::Poll;

    use mesh::KeyPair;

    use super::*;
    use crate::held::Held;

    fn entry(role: RoleName) -> KeyEntry {
        KeyEntry {
            key: KeyPair::generate().public(),
            role,
            ident: "north".to_owned(),
            name: "north".to_owned(),
            since: SystemTime::UNIX_EPOCH,
            is_revoked: false,
            revoked: None,
        }
    }

    /// What a future gives as far as it gets without waiting.
    async fn at_once<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        std::future::poll_fn(|cx| {
            Poll::Ready(match future.as_mut().poll(cx) {
                Poll::Ready(done) => Some(done),
                Poll::Pending => None,
            })
        })
        .await
    }

    async fn enrolled() -> (KnownKeys, Held, PublicKey) {
        let (known, keys, entry) = (KnownKeys::default(), Held::new(), entry(RoleName::Cluster));
        keys.enrol(&entry).await.unwrap();
        known.refresh(&keys).await.unwrap();
        (known, keys, entry.key)
    }

    #[tokio::test]
    async fn an_answer_from_before_a_key_was_revoked_does_not_bring_it_back() {
        let (known, keys, key) = enrolled().await;
        let release = keys.hold_list();
        let mut refreshing = pin!(known.refresh(&keys));
        assert!(at_once(refreshing.as_mut()).await.is_none());
        known.learn(&keys.revoke(&key, SystemTime::now()).await.unwrap());
        release.send(()).unwrap();
        refreshing.await.unwrap();
        assert!(known.find(&key).unwrap().is_revoked);
    }

    #[tokio::test]
    async fn of_two_answers_the_older_one_does_not_come_last() {
        let (known, keys, key) = enrolled().await;
        let release = keys.hold_list();
        let mut older = pin!(known.refresh(&keys));
        assert!(at_once(older.as_mut()).await.is_none());
        // Another process revokes it.
        keys.revoke(&key, SystemTime::now()).await.unwrap();
        let mut newer = pin!(known.refresh(&keys));
        let overtook = at_once(newer.as_mut()).await;
        release.send(()).unwrap();
        older.await.unwrap();
        match overtook {
            Some(refreshed) => refreshed.unwrap(),
            None => newer.await.unwrap(),
        }
        assert!(known.find(&key).unwrap().is_revoked);
    }

    #[tokio::test]
    async fn what_is_learned_late_makes_no_key_good_again() {
        let (known, keys, key) = enrolled().await;
        let before = known.find(&key).unwrap();
        keys.revoke(&key, SystemTime::now()).await.unwrap();
        known.refresh(&keys).await.unwrap();
        known.learn(&[before]);
        assert!(known.find(&key).unwrap().is_revoked);
    }

    #[tokio::test]
    async fn only_keys_of_regions_are_news_to_clusters() {
        let (known, region) = (KnownKeys::default(), entry(RoleName::Region));
        known.learn(std::slice::from_ref(&region));
        let of_regions = [region.key];
        let mut others = pin!(known.until_others(&of_regions));
        assert!(at_once(others.as_mut()).await.is_none());
        known.learn(&[entry(RoleName::Cluster)]);
        assert!(at_once(others.as_mut()).await.is_none());
        let next = entry(RoleName::Region);
        known.learn(std::slice::from_ref(&next));
        let mut expected = vec![region.key, next.key];
        expected.sort_unstable();
        assert_eq!(at_once(others).await, Some(expected));
    }
}
