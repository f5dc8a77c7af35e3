//! The keys that a cluster believes to be those of regions.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use amp_proto::PublicKey;
use tokio::sync::watch;

/// The keys of the region processes that are known, shared by its clones. A process that shows
/// another key is not spoken to.
#[derive(Clone)]
pub struct Pins {
    keys: Arc<watch::Sender<BTreeSet<PublicKey>>>,
}

impl Pins {
    /// These keys, and no others.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        Self { keys: Arc::new(watch::Sender::new(keys.into_iter().collect())) }
    }

    /// Whether `key` is one of them.
    #[must_use]
    pub fn contains(&self, key: &PublicKey) -> bool {
        self.keys.borrow().contains(key)
    }

    /// All of them, in order.
    #[must_use]
    pub fn keys(&self) -> Vec<PublicKey> {
        self.keys.borrow().iter().copied().collect()
    }

    /// From now on these keys, and no others.
    pub fn replace(&self, keys: impl IntoIterator<Item = PublicKey>) {
        let keys = keys.into_iter().collect();
        self.keys.send_if_modified(|known| {
            let changed = *known != keys;
            *known = keys;
            changed
        });
    }

    /// Changes whenever the keys do.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<BTreeSet<PublicKey>> {
        self.keys.subscribe()
    }
}

impl fmt::Debug for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys.borrow().iter()).finish()
    }
}
