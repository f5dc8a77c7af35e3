//! A registry within one process, for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use mesh::{ClusterId, RegionId};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{EXPIRY, LinkEntry, RegionEntry, Registry, RegistryError, sort_links, sort_regions};

/// Shared by its clones, gone with the last of them.
#[derive(Clone, Debug)]
pub struct MemoryRegistry {
    entries: Arc<Mutex<Entries>>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Entries {
    regions: BTreeMap<RegionId, (RegionEntry, Instant)>,
    /// In boxes: a tree keeps room for half as many again.
    links: BTreeMap<(RegionId, ClusterId), Box<LinkEntry>>,
}

impl MemoryRegistry {
    /// A registry without entries.
    #[must_use]
    pub fn new() -> Self {
        Self { entries: Arc::default(), changes: watch::Sender::new(0) }
    }

    /// The entries, without those that have expired. Whoever finds some tells of it, for nobody
    /// else will find them.
    fn live(&self) -> MutexGuard<'_, Entries> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let Entries { regions, links } = &mut *entries;
        let known = regions.len();
        regions.retain(|_, (_, seen)| seen.elapsed() < EXPIRY);
        links.retain(|(region, _), _| regions.contains_key(region));
        if regions.len() < known {
            self.changed();
        }
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
    async fn announce(&self, region: &RegionEntry) -> Result<bool, RegistryError> {
        let mut entries = self.live();
        let known = entries.regions.len();
        let is_new = !entries.regions.contains_key(&region.id);
        if is_new && !region.addresses.is_empty() {
            // An older entry for the same addresses is of a process that died without a word. If
            // it lives after all, it comes back, and does not drive out the younger one.
            entries.regions.retain(|_, (entry, _)| {
                entry.addresses != region.addresses || entry.started > region.started
            });
        }
        let displaced = entries.regions.len() < known;
        let before = entries.regions.insert(region.id.clone(), (region.clone(), Instant::now()));
        if displaced || before.is_none_or(|(entry, _)| entry != *region) {
            self.changed();
        }
        Ok(is_new)
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
    ) -> Result<bool, RegistryError> {
        let mut entries = self.live();
        if !entries.regions.contains_key(region) {
            return Ok(false);
        }
        for cluster in lost {
            entries.links.remove(&(region.clone(), *cluster));
        }
        for link in opened {
            entries.links.insert((region.clone(), link.cluster), Box::new(link.clone()));
        }
        Ok(true)
    }

    async fn regions(&self) -> Result<Vec<RegionEntry>, RegistryError> {
        let mut regions: Vec<_> =
            self.live().regions.values().map(|(entry, _)| entry.clone()).collect();
        sort_regions(&mut regions);
        Ok(regions)
    }

    async fn links(&self) -> Result<Vec<LinkEntry>, RegistryError> {
        let mut links: Vec<_> =
            self.live().links.values().map(|link| LinkEntry::clone(link)).collect();
        sort_links(&mut links);
        Ok(links)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
