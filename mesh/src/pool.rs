//! The open connections of a process, by the identity of the peer.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError};

use rand::seq::IndexedRandom as _;
use tokio::sync::watch;

use crate::client::Others;
use crate::connection::Link;
use crate::sync::{Mutex, MutexGuard};

/// Connections by peer. A peer may have several for a moment: a new one is used at once, the old
/// one until it is found dead.
#[derive(Debug)]
pub struct Pool<K> {
    links: Mutex<HashMap<K, Vec<Arc<Link>>>>,
    /// Counts changes, for those who wait for one.
    changed: watch::Sender<u64>,
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> Pool<K> {
    /// A pool without connections.
    #[must_use]
    pub fn new() -> Self {
        Self { links: Mutex::new(HashMap::new()), changed: watch::Sender::new(0) }
    }

    /// Adds a connection to `peer`.
    pub fn insert(&self, peer: K, link: Arc<Link>) {
        self.links().entry(peer).or_default().push(link);
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// Takes a connection out, if it is there.
    pub fn remove(&self, peer: &K, link: &Arc<Link>) {
        let mut links = self.links();
        let Some(of_peer) = links.get_mut(peer) else { return };
        of_peer.retain(|other| !Arc::ptr_eq(other, link));
        if of_peer.is_empty() {
            links.remove(peer);
        }
        drop(links);
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// The newest open connection to `peer`.
    #[must_use]
    pub fn get(&self, peer: &K) -> Option<Arc<Link>> {
        self.links().get(peer).and_then(|links| open(links)).map(Arc::clone)
    }

    /// As [`Pool::get`], and waits until there is one.
    ///
    /// # Cancellation
    /// Dropping the future only ends the waiting.
    pub async fn wait_for(&self, peer: &K) -> Arc<Link> {
        self.wait_until(|pool| pool.get(peer)).await
    }

    /// Waits until `found` finds something, looking again after every change.
    ///
    /// # Cancellation
    /// Dropping the future only ends the waiting.
    pub async fn wait_until<T>(&self, found: impl Fn(&Self) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            if let Some(found) = found(self) {
                return found;
            }
            // The sender lives in `self`, so this never fails.
            let _changed = changed.changed().await;
        }
    }

    /// Changes whenever a connection is added or taken out.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The newest open connection to each peer, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<(K, Arc<Link>)> {
        let links = self.links();
        let open = links.iter().filter_map(|(peer, links)| Some((peer, open(links)?)));
        open.map(|(peer, link)| (peer.clone(), Arc::clone(link))).collect()
    }

    /// The open connections for which `are` holds.
    #[must_use]
    pub fn those(&self, are: impl Fn(&K, &Link) -> bool) -> Vec<(K, Arc<Link>)> {
        let links = self.links();
        let each =
            links.iter().flat_map(|(peer, links)| links.iter().map(move |link| (peer, link)));
        let those = each.filter(|(peer, link)| link.is_open() && are(peer, link));
        those.map(|(peer, link)| (peer.clone(), Arc::clone(link))).collect()
    }

    /// The open connections to each peer that has more than one, the oldest first.
    #[must_use]
    pub fn several(&self) -> Vec<(K, Vec<Arc<Link>>)> {
        let links = self.links();
        let open = |links: &[Arc<Link>]| -> Vec<Arc<Link>> {
            links.iter().filter(|link| link.is_open()).map(Arc::clone).collect()
        };
        let several = links.iter().filter(|(_, links)| links.len() > 1);
        let several = several.map(|(peer, links)| (peer.clone(), open(links)));
        several.filter(|(_, links)| links.len() > 1).collect()
    }

    /// An open connection to a random peer.
    #[must_use]
    pub fn random(&self) -> Option<Arc<Link>> {
        self.random_but(None)
    }

    fn random_but(&self, but: Option<&Arc<Link>>) -> Option<Arc<Link>> {
        let links = self.links();
        let is_other = |link: &&Arc<Link>| but.is_none_or(|but| !Arc::ptr_eq(link, but));
        let candidates: Vec<_> = links.values().filter_map(|links| open(links)).collect();
        let others: Vec<_> = candidates.into_iter().filter(is_other).collect();
        others.choose(&mut rand::rng()).map(|link| Arc::clone(link))
    }

    fn links(&self) -> MutexGuard<'_, HashMap<K, Vec<Arc<Link>>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> Default for Pool<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> Others for Pool<K> {
    fn other_than(&self, lost: &Arc<Link>) -> Option<Arc<Link>> {
        self.random_but(Some(lost))
    }
}

fn open(links: &[Arc<Link>]) -> Option<&Arc<Link>> {
    links.iter().rev().find(|link| link.is_open())
}
