//! Whose key is whose, as one region process sees it.
//!
//! A new connection is judged by the store itself, so that a key is good everywhere as soon as it
//! is enrolled. Connections that are open are watched by a copy of the store, which follows it
//! within a second.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use amp_proto::{Cluster, PublicKey, RoleName};
use mesh::commands::{
    CannotAnnounceKey, CannotJoin, Join, Joined, KEY_REVOKED, KEYS_UNAVAILABLE, NOT_ENROLLED,
    RegionKeysChanged,
};
use mesh::{
    Arrived, Client, ClusterId, HandshakeError, InviteId, InviteSecret, Link, Open, RefusedAsk,
    Repeats, chain,
};
use tokio::sync::watch;

use crate::builder::to_the_millisecond;
use crate::controller::Inner;
use crate::registry::keys::{Enrolment, KEYS_MAX, KeyEntry, Keys};
use crate::registry::{HEARTBEAT, RegionEntry, RegistryError};
use crate::tell::tell;

/// The keys as they were when the store was last asked.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys(watch::Sender<HashMap<PublicKey, KeyEntry>>);

/// The keys that this process knows.
#[derive(Debug)]
pub(crate) struct KeyBook {
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) known: Arc<KnownKeys>,
}

/// The longest name that a cluster may join with, in bytes.
const NAME_BYTES_MAX: usize = 255;

impl KnownKeys {
    /// Whether some key stands for this cluster, so that nobody else may.
    pub(crate) fn is_bound(&self, cluster: &ClusterId) -> bool {
        let (ident, now) = (cluster.to_string(), SystemTime::now());
        let known = self.0.borrow();
        let mut entries = known.values();
        entries.any(|entry| {
            entry.role == RoleName::Cluster && entry.ident == ident && entry.is_good(now)
        })
    }
}

impl KeyBook {
    pub(crate) fn new(keys: Arc<dyn Keys>, known: Arc<KnownKeys>) -> Self {
        Self { keys, known }
    }

    /// Takes the store's state over.
    pub(crate) async fn refresh(&self) -> Result<(), RegistryError> {
        let listed = self.keys.list().await?;
        let known: HashMap<_, _> = listed.into_iter().map(|entry| (entry.key, entry)).collect();
        self.known.0.send_if_modified(|before| {
            let changed = *before != known;
            *before = known;
            changed
        });
        Ok(())
    }

    /// Takes over what the store was just made to hold, so that nothing of it depends on the next
    /// answer of the store.
    pub(crate) fn learn(&self, entries: &[KeyEntry]) {
        self.known.0.send_modify(|known| {
            known.extend(entries.iter().map(|entry| (entry.key, entry.clone())));
        });
    }

    /// The entry of a key as the store was last seen.
    pub(crate) fn known_entry(&self, key: &PublicKey) -> Option<KeyEntry> {
        self.known.0.borrow().get(key).cloned()
    }

    /// The entry of a key, if it has one. While the store cannot be asked, what was known before
    /// has to do.
    async fn look_up(&self, key: &PublicKey) -> Result<Option<KeyEntry>, RegistryError> {
        match self.keys.find(key).await {
            Ok(found) => Ok(found),
            Err(error) => match self.known.0.borrow().get(key) {
                Some(entry) => Ok(Some(entry.clone())),
                None => Err(error),
            },
        }
    }

    /// Waits until a key is not good any more.
    async fn until_revoked(&self, key: &PublicKey) {
        let mut known = self.known.0.subscribe();
        loop {
            let entry = known.borrow_and_update().get(key).cloned();
            let now = SystemTime::now();
            let wait = match entry.and_then(|entry| entry.revoked) {
                Some(revoked) if revoked <= now => return,
                Some(revoked) => revoked.duration_since(now).unwrap_or_default(),
                None => Duration::MAX,
            };
            // The sender lives in `self`, so the wait ends with a change or with the time.
            let _changed = tokio::time::timeout(wait, known.changed()).await;
        }
    }

    /// How long until the next key of a region ceases to be good that is to.
    fn until_next_end(&self) -> Duration {
        let now = SystemTime::now();
        let known = self.known.0.borrow();
        let of_regions = known.values().filter(|entry| entry.role == RoleName::Region);
        let ends = of_regions.filter_map(|entry| entry.revoked?.duration_since(now).ok());
        ends.min().unwrap_or(Duration::MAX)
    }

    /// The key that follows a present one. Both are good for the time of `overlap`.
    pub(crate) async fn succeed(
        &self,
        present: PublicKey,
        next: PublicKey,
        overlap: Duration,
    ) -> Result<(), CannotAnnounceKey> {
        let now = to_the_millisecond(SystemTime::now());
        let succeeded = match self.keys.succeed(&present, &next, now, now + overlap).await {
            Ok(Enrolment::Enrolled) => Ok(()),
            // The answer to the first try may have been lost.
            Ok(Enrolment::KeyTaken) => match self.owners(&present, &next).await {
                Ok(Some((of_present, of_next))) if of_present == of_next => Ok(()),
                Ok(_) => Err(CannotAnnounceKey::KeyTaken),
                Err(error) => Err(unavailable_now(&error)),
            },
            Ok(Enrolment::Full) => Err(unavailable_now(&full())),
            Ok(_) => Err(CannotAnnounceKey::Superseded),
            Err(error) => Err(unavailable_now(&error)),
        };
        if succeeded.is_ok() {
            self.refresh().await.map_err(|error| unavailable_now(&error))?;
        }
        succeeded
    }

    async fn owners(
        &self,
        one: &PublicKey,
        other: &PublicKey,
    ) -> Result<Option<(String, String)>, RegistryError> {
        let now = SystemTime::now();
        let (one, other) = (self.keys.find(one).await?, self.keys.find(other).await?);
        let both = one.zip(other.filter(|other| other.is_good(now)));
        Ok(both.map(|(one, other)| (one.ident, other.ident)))
    }

    /// The keys of all region processes, in order.
    pub(crate) fn of_regions(&self) -> Vec<PublicKey> {
        let now = SystemTime::now();
        let known = self.known.0.borrow();
        let good = known.values().filter(|it| it.role == RoleName::Region && it.is_good(now));
        let mut keys: Vec<_> = good.map(|entry| entry.key).collect();
        keys.sort_unstable();
        keys
    }
}

/// Follows the store.
pub(crate) async fn follow(inner: Arc<Inner>) {
    let mut changes = inner.book.keys.changes();
    let mut following = Repeats::new();
    loop {
        changes.borrow_and_update();
        let again_after = match inner.book.refresh().await {
            Ok(()) => {
                if let Some(failures) = following.worked() {
                    tracing::info!(failures, "the keys can be looked up again");
                }
                Duration::MAX
            }
            Err(error) => {
                let error = chain(&error).to_string();
                if following.failed(error.clone()) {
                    tracing::error!(error, "the keys cannot be looked up: none is revoked here");
                }
                HEARTBEAT
            }
        };
        let changed = tokio::time::timeout(again_after, changes.changed()).await;
        if changed.is_ok_and(|changed| changed.is_err()) {
            return;
        }
    }
}

/// Tells every cluster that is known by a key when the keys of regions change.
pub(crate) async fn tell_clusters(inner: Arc<Inner>) {
    let mut known = inner.book.known.0.subscribe();
    let mut told = inner.book.of_regions();
    loop {
        known.borrow_and_update();
        let keys = inner.book.of_regions();
        let telling = async {
            if keys == told {
                std::future::pending().await
            }
            let links = inner.pool.all().into_iter().map(|(_, link)| link);
            let by_key = links.filter(|link| link.peer().key.is_some());
            let everyone = by_key.map(Client::<Cluster>::new).collect();
            tell(everyone, RegionKeysChanged { keys: keys.clone() }).await;
        };
        tokio::select! {
            () = telling => told = keys,
            changed = known.changed() => if changed.is_err() { return },
            // A key that was followed by another ceases to be good without anybody's doing.
            () = tokio::time::sleep(inner.book.until_next_end()) => {}
        }
    }
}

/// Runs a connection for as long as the keys on both ends of it are good. Gives nothing if it was
/// ended because one is not.
pub(crate) async fn while_good<T>(
    inner: &Inner,
    link: &Link,
    driving: impl Future<Output = T>,
) -> Option<T> {
    let Some(key) = &link.peer().key else { return Some(driving.await) };
    let (of_peer, own) =
        (pin!(inner.book.until_revoked(&key.key)), pin!(inner.book.until_revoked(&key.own)));
    tokio::select! {
        // What was done before the key was revoked is none of our business any more.
        biased;
        () = of_peer => None,
        () = own => None,
        ended = driving => Some(ended),
    }
}

/// Finds out whose key it is that arrived. A key that is nobody's may join, and nothing else.
pub(crate) async fn greet(
    inner: &Inner,
    arrived: Arrived,
    from: &str,
) -> Result<Option<Open<mesh::BoxStream>>, HandshakeError> {
    let key = arrived.key();
    let found = match inner.book.look_up(&key).await {
        Ok(found) => found,
        Err(error) => return Err(put_off(arrived, &error).await),
    };
    match found {
        Some(entry) if entry.role == RoleName::Cluster && entry.is_good(SystemTime::now()) => {
            Ok(Some(arrived.known_as(entry.ident)))
        }
        Some(_) => {
            let refusal =
                RefusedAsk { code: KEY_REVOKED, description: "this key was revoked".to_owned() };
            let refused = |_: Join| std::future::ready(Err(CannotJoin::KeyTaken));
            arrived.answer_one(refused, refusal).await?;
            Err(HandshakeError::KeyRevoked { key })
        }
        None => {
            let refusal = RefusedAsk {
                code: NOT_ENROLLED,
                description: "this key is not enrolled: join with an invite first".to_owned(),
            };
            let mut joined = false;
            let book = &inner.book;
            let join = async |it: Join| {
                let name = it.name.clone();
                let answer = join(book, &inner.known, key, it).await;
                match &answer {
                    Ok(_) => tracing::info!(peer = from, %key, name, "a cluster has joined"),
                    Err(error) => {
                        tracing::warn!(peer = from, %key, %error, "a cluster may not join")
                    }
                }
                joined = answer.is_ok();
                answer
            };
            arrived.answer_one(join, refusal).await?;
            if joined { Ok(None) } else { Err(HandshakeError::NotEnrolled { key }) }
        }
    }
}

/// Asks whoever has a key that nobody can look up now to come again.
async fn put_off(arrived: Arrived, error: &RegistryError) -> HandshakeError {
    let (key, reason) = (arrived.key(), chain(error).to_string());
    let description = "the region cannot look its keys up now: come again later".to_owned();
    let refusal = RefusedAsk { code: KEYS_UNAVAILABLE, description };
    let unavailable = |_: Join| std::future::ready(Err(CannotJoin::Unavailable));
    match arrived.answer_one(unavailable, refusal).await {
        Ok(()) => HandshakeError::KeyUnclear { key, reason },
        Err(error) => error,
    }
}

async fn join(
    book: &KeyBook,
    regions: &watch::Sender<Vec<RegionEntry>>,
    key: PublicKey,
    it: Join,
) -> Result<Joined, CannotJoin> {
    let Join { invite, secret, uuid, name } = it;
    let cluster: ClusterId =
        uuid.parse().map_err(|_| CannotJoin::BadIdentity("the uuid is none".to_owned()))?;
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(CannotJoin::BadIdentity("the name cannot be used".to_owned()));
    }
    let id = InviteId(invite[..].try_into().map_err(|_| CannotJoin::NoSuchInvite)?);
    let secret = InviteSecret::from_bytes(&secret).map_err(|_| CannotJoin::NoSuchInvite)?;
    let since = to_the_millisecond(SystemTime::now());
    let (role, ident) = (RoleName::Cluster, cluster.to_string());
    let entry = KeyEntry { key, role, ident, name, since, revoked: None };
    let enrolled = book.keys.join(id, &secret.hash(), &entry).await;
    match enrolled.map_err(|error| unavailable(&error))? {
        Enrolment::Enrolled => {}
        Enrolment::KeyTaken => return Err(CannotJoin::KeyTaken),
        Enrolment::IdentTaken => return Err(CannotJoin::UuidTaken),
        Enrolment::InviteUsed => return Err(CannotJoin::Used),
        Enrolment::InviteExpired => return Err(CannotJoin::Expired),
        Enrolment::NoSuchInvite | Enrolment::Superseded => return Err(CannotJoin::NoSuchInvite),
        Enrolment::Full => return Err(unavailable(&full())),
    }
    book.learn(std::slice::from_ref(&entry));
    if let Err(error) = book.refresh().await {
        // It has joined all the same, and the keys of regions seldom change.
        tracing::debug!(error = %chain(&error), "the keys cannot be looked up");
    }
    Ok(joined(book, &regions.borrow()))
}

/// What an operator reads when there is no room for another key.
pub(crate) fn full() -> RegistryError {
    RegistryError::TooMany { what: "keys", max: KEYS_MAX }
}

fn unavailable(error: &RegistryError) -> CannotJoin {
    tracing::error!(error = %chain(error), "the keys cannot be looked up");
    CannotJoin::Unavailable
}

fn unavailable_now(error: &RegistryError) -> CannotAnnounceKey {
    tracing::error!(error = %chain(error), "the keys cannot be looked up");
    CannotAnnounceKey::Unavailable
}

/// What a cluster that has joined has to know.
pub(crate) fn joined(book: &KeyBook, regions: &[RegionEntry]) -> Joined {
    let addresses = regions.iter().flat_map(|region| region.addresses.iter().cloned()).collect();
    Joined { keys: book.of_regions(), addresses }
}
