//! A registry within one process, for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use mesh::{ClusterId, RegionId};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{EXPIRY, LinkEntry, RegionEntry, Registry, RegistryError};

/// Shared by its clones, gone with the last of them.
#[derive(Clone, Debug)]
pub struct MemoryRegistry {
    entries: Arc<Mutex<Entries>>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Entries {
    regions: BTreeMap<RegionId, (RegionEntry, Instant)>,
    links: BTreeMap<(RegionId, ClusterId), LinkEntry>,
}

impl MemoryRegistry {
    /// A registry without entries.
    #[must_use]
    pub fn new() -> Self {
        Self { entries: Arc::default(), changes: watch::Sender::new(0) }
    }

    /// The entries, without those that have expired.
    fn live(&self) -> MutexGuard<'_, Entries> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.regions.retain(|_, (_, seen)| seen.elapsed() < EXPIRY);
        let Entries { regions, links } = &mut *entries;
        links.retain(|(region, _), _| regions.contains_key(region));
        entries
    }

    fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }
}

impl Default for MemoryRegistry {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Registry for MemoryRegistry {
    async fn announce(&self, region: &RegionEntry) -> Result<(), RegistryError> {
        let (before, after) = {
            let before = self.entries.lock().unwrap_or_else(PoisonError::into_inner).regions.len();
            let mut entries = self.live();
            // An older entry for the same addresses is of a process that died without a word.
            entries
                .regions
                .retain(|id, (entry, _)| *id == region.id || entry.addresses != region.addresses);
            let known = (region.clone(), Instant::now());
            let replaced = entries.regions.insert(region.id.clone(), known);
            let same = replaced.is_some_and(|(entry, _)| entry == *region);
            (before, if same { entries.regions.len() } else { usize::MAX })
        };
        if before != after {
            self.changed();
        }
        Ok(())
    }

    async fn withdraw(&self, region: &RegionId) -> Result<(), RegistryError> {
        let removed = self.live().regions.remove(region);
        if removed.is_some() {
            self.changed();
        }
        Ok(())
    }

    async fn record_links(
        &self,
        region: &RegionId,
        opened: &[LinkEntry],
        lost: &[ClusterId],
    ) -> Result<(), RegistryError> {
        let mut entries = self.live();
        for cluster in lost {
            entries.links.remove(&(region.clone(), *cluster));
        }
        for link in opened {
            entries.links.insert((region.clone(), link.cluster), link.clone());
        }
        Ok(())
    }

    async fn regions(&self) -> Result<Vec<RegionEntry>, RegistryError> {
        let mut regions: Vec<_> =
            self.live().regions.values().map(|(entry, _)| entry.clone()).collect();
        regions.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(regions)
    }

    async fn links(&self) -> Result<Vec<LinkEntry>, RegistryError> {
        let mut links: Vec<_> = self.live().links.values().cloned().collect();
        links.sort_by(|a, b| (&a.cluster_name, &a.region).cmp(&(&b.cluster_name, &b.region)));
        Ok(links)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
