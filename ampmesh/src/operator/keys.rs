//! Keys and invites, as a region process's operator deals with them.

use std::cmp::Reverse;
use std::time::{Duration, SystemTime};

use amp_proto::responders;
use amp_proto::{AnsweredBy, Arguments, CallError, Command, CommandError, PublicKey, Region};
use mesh::{KeyPair, chain};
use region::{KeyEntry, KeysError, RegionController};
use tokio::sync::Mutex;

use super::client::{Operator, OperatorError, PATIENCE};
use super::desk::page;
use crate::keys::{KeyFile, KeyFileError};

/// How many keys are looked up for one page. Fixed: as many as it has room for, if their names are
/// short.
const PAGE_KEYS_MAX: usize = 512;

/// Makes an invite.
#[derive(Clone, Debug, Command)]
#[command(answered_by = Region, response = Invitation, errors = KeysRefused)]
struct MakeInvite {
    /// How long it is good, in milliseconds.
    valid_ms: u64,
}

/// An invite.
#[derive(Clone, Arguments)]
struct Invitation {
    /// The token. It is a secret.
    token: String,
}

impl std::fmt::Debug for Invitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Invitation(…)")
    }
}

/// Lists the keys that are known, a page at a time.
#[derive(Clone, Debug, Command)]
#[command(answered_by = Region, response = KeyPage, errors = KeysRefused)]
struct ReportKeys {
    /// Where the page before ended: its last key.
    after: Option<PublicKey>,
}

/// A page of keys.
#[derive(Clone, Debug, Arguments)]
struct KeyPage {
    /// The keys, sorted by themselves.
    keys: Vec<ReportedKey>,
    /// Whether there are more.
    more: bool,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub(crate) struct ReportedKey {
    /// The key.
    pub(crate) key: PublicKey,
    /// `region` or `cluster`.
    pub(crate) role: String,
    /// Its owner's identity: a cluster's uuid.
    pub(crate) ident: String,
    /// Its owner's name.
    pub(crate) name: String,
    /// How long it has been known, in milliseconds.
    pub(crate) known_ms: u64,
    /// Whether it is accepted now.
    pub(crate) is_good: bool,
    /// Whether somebody revoked it, and not only another took its place.
    pub(crate) is_revoked: bool,
    /// If it is accepted only for a while: how long, in milliseconds.
    pub(crate) ends_in_ms: Option<u64>,
}

/// Revokes a key, and whatever other key its owner has.
#[derive(Clone, Debug, Command)]
#[command(answered_by = Region, response = KeysRevoked, errors = KeysRefused)]
struct RevokeKey {
    /// The key.
    key: PublicKey,
}

/// Keys that were good until now.
#[derive(Clone, Debug, Arguments)]
struct KeysRevoked {
    /// The keys.
    keys: Vec<PublicKey>,
}

/// Gives the region process itself another key.
#[derive(Clone, Debug, Command)]
#[command(answered_by = Region, response = RegionKeyRotated, errors = KeysRefused)]
struct RotateRegionKey {
    /// How long both keys are good, in milliseconds.
    overlap_ms: u64,
}

/// The region process will have another key.
#[derive(Clone, Debug, Arguments)]
struct RegionKeyRotated {
    /// The next key.
    next: PublicKey,
}

/// Why nothing was done about keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, CommandError)]
enum KeysRefused {
    #[error("{0}")]
    #[code("KEYS_REFUSED")]
    Refused(String),
}

impl From<KeysError> for KeysRefused {
    fn from(error: KeysError) -> Self {
        Self::Refused(chain(&error).to_string())
    }
}

impl From<KeyFileError> for KeysRefused {
    fn from(error: KeyFileError) -> Self {
        Self::Refused(chain(&error).to_string())
    }
}

/// Answers for one region process.
#[derive(Debug)]
pub(super) struct KeyDesk {
    region: RegionController,
    own: KeyFile,
    /// One change of the own key at a time.
    changing: Mutex<()>,
}

impl KeyDesk {
    pub(super) fn new(region: RegionController, own: KeyFile) -> Self {
        Self { region, own, changing: Mutex::default() }
    }
}

#[responders]
impl KeyDesk {
    #[responder]
    async fn make_invite(&self, it: MakeInvite) -> Result<Invitation, KeysRefused> {
        let token = self.region.invite(Duration::from_millis(it.valid_ms)).await?;
        Ok(Invitation { token: token.to_text().to_string() })
    }

    #[responder]
    async fn report_keys(&self, it: ReportKeys) -> Result<KeyPage, KeysRefused> {
        let found = self.region.keys_after(it.after.as_ref(), PAGE_KEYS_MAX).await?;
        let now = SystemTime::now();
        let (keys, is_cut) = page(&found, 0, |entry| reported(entry, now));
        Ok(KeyPage { keys, more: is_cut || found.len() == PAGE_KEYS_MAX })
    }

    #[responder]
    async fn revoke_key(&self, it: RevokeKey) -> Result<KeysRevoked, KeysRefused> {
        let revoked = self.region.revoke(&it.key).await?;
        Ok(KeysRevoked { keys: revoked.into_iter().map(|entry| entry.key).collect() })
    }

    #[responder]
    async fn rotate_region_key(
        &self,
        it: RotateRegionKey,
    ) -> Result<RegionKeyRotated, KeysRefused> {
        let not_kept = |error: std::io::Error| {
            KeysRefused::Refused(format!("the next key cannot be kept: {error}"))
        };
        let _changing = self.changing.lock().await;
        // One of before may be the key in use, or will be: an answer was lost. Its file is its only
        // copy.
        if let Some(before) = self.own.next()? {
            let found = self.region.find_key(&before.public()).await?;
            self.own.change_if_enrolled(found.as_ref()).map_err(not_kept)?;
        }
        let (next, overlap) = (KeyPair::generate(), Duration::from_millis(it.overlap_ms));
        // It is written down before anybody hears of it.
        self.own.keep_next(&next).map_err(not_kept)?;
        match self.region.rotate_key(next.clone(), overlap).await {
            Ok(()) => self.own.change().map_err(not_kept)?,
            // It is open whether it is the next key by now, so it stays where it is.
            Err(error @ KeysError::Registry(_)) => return Err(error.into()),
            Err(error) => {
                self.own.forget_next().map_err(not_kept)?;
                return Err(error.into());
            }
        }
        Ok(RegionKeyRotated { next: next.public() })
    }
}

fn reported(entry: &KeyEntry, now: SystemTime) -> ReportedKey {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let is_good = entry.is_good(now);
    let ends = entry.revoked.filter(|_| is_good);
    ReportedKey {
        key: entry.key,
        role: entry.role.to_string(),
        ident: entry.ident.clone(),
        name: entry.name.clone(),
        known_ms: ms(now.duration_since(entry.since).unwrap_or_default()),
        is_good,
        is_revoked: entry.is_revoked,
        ends_in_ms: ends.map(|ends| ms(ends.duration_since(now).unwrap_or_default())),
    }
}

fn order(it: &ReportedKey) -> (&str, &str, &str, Reverse<u64>, PublicKey) {
    (&it.role, &it.name, &it.ident, Reverse(it.known_ms), it.key)
}

impl Operator {
    /// Makes an invite that is good for this long, as a token.
    ///
    /// # Errors
    /// [`OperatorError`].
    ///
    /// # Cancellation
    /// Dropping the future may leave an invite that nobody has the token of.
    pub(crate) async fn invite(&self, valid_for: Duration) -> Result<String, OperatorError> {
        let valid_ms = u64::try_from(valid_for.as_millis()).unwrap_or(u64::MAX);
        Ok(self.ask_about_keys(MakeInvite { valid_ms }).await?.token)
    }

    /// Every key that is known, sorted by role, name, identity and age.
    ///
    /// # Errors
    /// [`OperatorError`].
    ///
    /// # Cancellation
    /// Nothing is left behind.
    pub(crate) async fn keys(&self) -> Result<Vec<ReportedKey>, OperatorError> {
        let mut keys: Vec<ReportedKey> = Vec::new();
        loop {
            let after = keys.last().map(|last| last.key);
            let page = self.ask_about_keys(ReportKeys { after }).await?;
            let progress = !page.keys.is_empty();
            keys.extend(page.keys);
            if !page.more || !progress {
                break;
            }
        }
        keys.sort_by(|a, b| order(a).cmp(&order(b)));
        Ok(keys)
    }

    /// Revokes a key. Gives those that were good until now.
    ///
    /// # Errors
    /// [`OperatorError`].
    ///
    /// # Cancellation
    /// Dropping the future leaves open whether it is revoked.
    pub(crate) async fn revoke(&self, key: PublicKey) -> Result<Vec<PublicKey>, OperatorError> {
        Ok(self.ask_about_keys(RevokeKey { key }).await?.keys)
    }

    /// Gives the region process another key.
    ///
    /// # Errors
    /// [`OperatorError`].
    ///
    /// # Cancellation
    /// Dropping the future leaves open whether it is done.
    pub(crate) async fn rotate_region_key(
        &self,
        overlap: Duration,
    ) -> Result<PublicKey, OperatorError> {
        let overlap_ms = u64::try_from(overlap.as_millis()).unwrap_or(u64::MAX);
        Ok(self.ask_about_keys(RotateRegionKey { overlap_ms }).await?.next)
    }

    async fn ask_about_keys<C>(&self, command: C) -> Result<C::Response, OperatorError>
    where
        C: Command<Error = KeysRefused> + AnsweredBy<Region> + Sync,
    {
        let answer = self.client.clone().within(PATIENCE).call(command).await;
        answer.map_err(|error| match error {
            CallError::Declared(KeysRefused::Refused(reason)) => {
                OperatorError::Refused { name: self.name().to_owned(), reason }
            }
            error => {
                // The other ways to fail are those of every command.
                let reason = chain(&error).to_string();
                OperatorError::NoAnswer { name: self.name().to_owned(), reason }
            }
        })
    }
}
