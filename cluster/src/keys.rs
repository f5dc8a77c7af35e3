//! The key of a cluster: how it is announced, changed and kept.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amp_proto::{CallError, PublicKey, Region};
use bytes::Bytes;
use mesh::commands::{AnnounceKey, CannotAnnounceKey};
use mesh::{Client, KeyPair};

use crate::controller::{ClientError, ClusterController, Inner};

/// How far a change of the key has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyStep {
    /// The next key pair was made, and no region has heard of it. It has to be kept beside the
    /// present one, for a region may have heard of it when the process dies.
    Announcing,
    /// The next key is the present one from now on.
    Announced,
}

/// Keeps the key pairs of a cluster.
pub(crate) type KeepKeys = Arc<dyn Fn(KeyStep, &KeyPair) -> io::Result<()> + Send + Sync>;

/// The next key pair, and what it takes to change to it.
#[derive(Default)]
pub(crate) struct OwnKeys {
    pub(crate) keep: Option<KeepKeys>,
    next: Mutex<Option<KeyPair>>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
}

/// Why a cluster keeps its key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// The cluster has no key, or was not told how to keep another.
    #[error("the cluster has no key that could be changed")]
    NoKey,
    /// The next key pair cannot be written down.
    #[error("the next key cannot be kept")]
    Keep(#[source] io::Error),
    /// No region is connected.
    #[error(transparent)]
    NoRegion(#[from] ClientError),
    /// The region does not take the next key.
    #[error("the region does not take the next key")]
    Announce(#[source] CallError<CannotAnnounceKey>),
}

impl OwnKeys {
    pub(crate) fn new(keep: Option<KeepKeys>, next: Option<KeyPair>) -> Self {
        Self { keep, next: Mutex::new(next), changing: tokio::sync::Mutex::default() }
    }

    fn next(&self) -> MutexGuard<'_, Option<KeyPair>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for OwnKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnKeys").field("next", &*self.next()).finish_non_exhaustive()
    }
}

impl ClusterController {
    /// The key that this cluster is known by, if it has one.
    #[must_use]
    pub fn key(&self) -> Option<PublicKey> {
        self.inner.process.key()
    }

    /// Makes the cluster a new key, and announces it to a region. Both are good for a while, after
    /// which the old one is revoked. Connections are made anew, one after the other.
    ///
    /// # Errors
    /// [`RotateError`]; the key stays as it is.
    ///
    /// # Cancellation
    /// Dropping the future may leave a next key that a region knows and this cluster does not show;
    /// calling it again goes on with the same one.
    pub async fn rotate_key(&self) -> Result<PublicKey, RotateError> {
        rotate(&self.inner).await
    }
}

pub(crate) async fn rotate(inner: &Arc<Inner>) -> Result<PublicKey, RotateError> {
    let own = &inner.own_keys;
    let Some(keep) = &own.keep else { return Err(RotateError::NoKey) };
    let _changing = own.changing.lock().await;
    if inner.process.key().is_none() {
        return Err(RotateError::NoKey);
    }
    let next = own.next().get_or_insert_with(KeyPair::generate).clone();
    keep(KeyStep::Announcing, &next).map_err(RotateError::Keep)?;
    let controller = ClusterController { inner: Arc::clone(inner) };
    let client = controller.get_client().await?;
    // The key that this region knows; a connection may be older than the last change.
    let present = client.link().peer().key.as_ref().ok_or(RotateError::NoKey)?.own;
    let signature = Bytes::from(next.sign(AnnounceKey::PURPOSE, present.as_bytes()));
    let announced = client.call(AnnounceKey { next: next.public(), signature }).await;
    announced.map_err(RotateError::Announce)?;
    change(inner, &next).map_err(RotateError::Keep)?;
    Ok(next.public())
}

/// Changes to the next key if the present one was revoked and there is one: the last word of a
/// process that died on the way.
pub(crate) fn change_if_there_is_a_next(inner: &Arc<Inner>) -> bool {
    let Some(next) = inner.own_keys.next().clone() else { return false };
    let changed = change(inner, &next);
    if let Err(error) = &changed {
        tracing::error!(%error, "the next key cannot be kept");
    }
    changed.is_ok()
}

fn change(inner: &Arc<Inner>, next: &KeyPair) -> io::Result<()> {
    if let Some(keep) = &inner.own_keys.keep {
        keep(KeyStep::Announced, next)?;
    }
    inner.process.change_key(next);
    *inner.own_keys.next() = None;
    tracing::info!(key = %next.public(), "the cluster has a new key");
    let of = Arc::clone(inner);
    let key = next.public();
    inner.process.lifetime.run_until_stopping(async move { renew_links(&of, key).await });
    Ok(())
}

/// Has every connection made anew on which another key was shown, one after the other, so that
/// there is always one.
async fn renew_links(inner: &Inner, key: PublicKey) {
    for (region, link) in inner.pool.all() {
        if link.peer().key.as_ref().is_none_or(|it| it.own == key) {
            continue;
        }
        Client::<Region>::new(link).leave().await;
        let renewed = inner.pool.wait_for(&region);
        // A region that does not come back is none that has to be waited for.
        let _renewed = tokio::time::timeout(inner.connect_timeout, renewed).await;
    }
}
