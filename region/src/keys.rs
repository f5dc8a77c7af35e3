//! What operators do with keys, through any region process.

use std::time::{Duration, SystemTime};

use amp_proto::RoleName;
use mesh::{InviteToken, PublicKey};

use crate::builder::to_the_millisecond;
use crate::controller::RegionController;
use crate::registry::RegistryError;
use crate::registry::keys::{Invite, KeyEntry};

/// Why something about keys could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// This region process has no key, so nobody can be invited to it.
    #[error("this region process has no key of its own")]
    NoKey,
    /// The key of this region process was revoked: no cluster believes it, and nobody can join
    /// through it. Stop it, and start it with another key.
    #[error("the key {key} of this region process was revoked: start it with another")]
    Revoked {
        /// The key.
        key: PublicKey,
    },
    /// The keys cannot be looked up.
    #[error("the keys cannot be looked up")]
    Registry(#[from] RegistryError),
    /// The next key is known already, the present one is not good any more, or as many keys of this
    /// process are good as one may have. Nothing has changed.
    #[error(
        "the next key is not taken: it is known, the present one is not good, or too many follow \
         it already: wait until the time of the last change is over"
    )]
    NotTaken,
}

impl RegionController {
    /// The key that this process is known by, if it has one.
    #[must_use]
    pub fn key(&self) -> Option<PublicKey> {
        self.inner.process.key()
    }

    /// Invites a cluster: whoever comes with the token within that time is enrolled with the key
    /// that it shows. The token is good once, and is nowhere to be found afterwards.
    ///
    /// # Errors
    /// [`KeysError`].
    ///
    /// # Cancellation
    /// Dropping the future may leave an invite that nobody has the token of.
    pub async fn invite(&self, valid_for: Duration) -> Result<InviteToken, KeysError> {
        let inner = &self.inner;
        let now = to_the_millisecond(SystemTime::now());
        // Any process will do, the own one first; also one that has just come, of which this one
        // has not been told yet.
        let own = self.key().ok_or(KeysError::NoKey)?;
        let known = inner.book.keys.list().await?;
        if !known.iter().any(|entry| entry.key == own && entry.is_good(now)) {
            return Err(KeysError::Revoked { key: own });
        }
        let others = known.into_iter().filter(|entry| {
            entry.role == RoleName::Region && entry.is_good(now) && entry.key != own
        });
        let keys = std::iter::once(own).chain(others.map(|entry| entry.key)).collect();
        let mut addresses = inner.entry.addresses.clone();
        for region in inner.known.borrow().iter().filter(|region| region.id != inner.entry.id) {
            addresses.extend(region.addresses.iter().cloned());
        }
        let token = InviteToken::generate(keys, addresses);
        let invite = Invite { id: token.id, hash: token.secret.hash(), expires: now + valid_for };
        inner.book.keys.invite(&invite, now).await?;
        Ok(token)
    }

    /// Every key that is known, sorted by role and name; also those that were revoked.
    ///
    /// # Errors
    /// [`KeysError::Registry`].
    ///
    /// # Cancellation
    /// Dropping the future changes nothing.
    pub async fn keys(&self) -> Result<Vec<KeyEntry>, KeysError> {
        Ok(self.inner.book.keys.list().await?)
    }

    /// So many of the keys that are known, sorted by the keys themselves: those that come after
    /// that one, or the first. There are no more if there are fewer.
    ///
    /// # Errors
    /// [`KeysError::Registry`].
    ///
    /// # Cancellation
    /// Dropping the future changes nothing.
    pub async fn keys_after(
        &self,
        after: Option<&PublicKey>,
        max: usize,
    ) -> Result<Vec<KeyEntry>, KeysError> {
        Ok(self.inner.book.keys.list_after(after, max).await?)
    }

    /// Whose a key is, if it is known. It may be revoked.
    ///
    /// # Errors
    /// [`KeysError::Registry`].
    ///
    /// # Cancellation
    /// Dropping the future changes nothing.
    pub async fn find_key(&self, key: &PublicKey) -> Result<Option<KeyEntry>, KeysError> {
        Ok(self.inner.book.keys.find(key).await?)
    }

    /// Revokes a key, and whatever other key its owner has. Connections that are open end at once
    /// here, and within a second at the other region processes, whatever the clocks of any of them
    /// say. Gives the keys that were good until now, by this process's clock: none if there were
    /// none.
    ///
    /// # Errors
    /// [`KeysError::Registry`].
    ///
    /// # Cancellation
    /// Dropping the future leaves open whether they are revoked.
    pub async fn revoke(&self, key: &PublicKey) -> Result<Vec<KeyEntry>, KeysError> {
        let now = to_the_millisecond(SystemTime::now());
        let mut revoked = self.inner.book.keys.revoke(key, now).await?;
        self.inner.book.learn(&revoked);
        // Others are revoked for whoever has another clock; by this one their end was over.
        revoked.retain(|entry| entry.revoked.is_none_or(|end| end >= now));
        for KeyEntry { key, role, name, .. } in &revoked {
            tracing::warn!(%key, %role, name, "a key was revoked");
        }
        Ok(revoked)
    }
}
