//! What every cluster process answers, beside what both sides do.

use std::sync::{Arc, OnceLock, Weak};

use amp_proto::{Authentication, Never, Peer, responders};
use mesh::commands::{
    CannotRotateKey, KeyRotated, RegionKeysChanged, RegionRow, RegionsChanged, RotateKey,
};
use mesh::{Pins, chain};
use tokio::sync::watch;

use crate::controller::Inner;
use crate::keys::{RotateError, rotate};

/// What regions told without being asked.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// How often any of them did.
    pub(crate) times: u64,
    /// The regions that the last one told of.
    pub(crate) regions: Vec<RegionRow>,
    /// How often any of them told of the keys of regions.
    pub(crate) key_times: u64,
}

pub(crate) struct MeshResponders {
    told: watch::Sender<Told>,
    pins: Pins,
    /// Whose responders these are; they are made before it is.
    inner: Arc<OnceLock<Weak<Inner>>>,
}

impl MeshResponders {
    pub(crate) fn new(
        told: watch::Sender<Told>,
        pins: Pins,
        inner: Arc<OnceLock<Weak<Inner>>>,
    ) -> Self {
        Self { told, pins, inner }
    }
}

#[responders]
impl MeshResponders {
    #[responder]
    async fn regions_changed(&self, it: RegionsChanged) -> Result<(), Never> {
        self.told.send_modify(|told| {
            told.times += 1;
            told.regions = it.regions;
        });
        Ok(())
    }

    #[responder]
    async fn region_keys_changed(&self, it: RegionKeysChanged, peer: &Peer) -> Result<(), Never> {
        // Who is known by a shared secret alone has no say in whose keys are believed, nor has one
        // whose own key is believed no more.
        if peer.key().is_some_and(|key| self.pins.contains(&key)) {
            self.told.send_if_modified(|told| {
                told.key_times += 1;
                false
            });
            learn(&self.pins, it.keys);
        }
        Ok(())
    }

    #[responder]
    async fn rotate_key(&self, _: RotateKey, peer: &Peer) -> Result<KeyRotated, CannotRotateKey> {
        let inner = self.inner.get().and_then(Weak::upgrade);
        let inner = inner.filter(|_| peer.authentication() == Authentication::Key);
        let inner = inner.ok_or(CannotRotateKey::NoKey)?;
        match rotate(&inner).await {
            Ok(key) => Ok(KeyRotated { key }),
            Err(RotateError::NoKey) => Err(CannotRotateKey::NoKey),
            Err(error) => Err(CannotRotateKey::Failed(chain(&error).to_string())),
        }
    }
}

/// Believes these keys from now on. A list without any is nonsense: nobody could tell of another.
pub(crate) fn learn(pins: &Pins, keys: Vec<amp_proto::PublicKey>) {
    if !keys.is_empty() {
        pins.replace(keys);
    }
}
