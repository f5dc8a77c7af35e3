//! Whose key is whose, as one region process sees it.
//!
//! A new connection is judged by the store itself, so that a key is good everywhere as soon as it
//! is enrolled. Connections that are open are watched by a copy of the store, which follows it
//! within a second: `known_keys`.

use std::collections::HashSet;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use amp_proto::{Cluster, Lost, PublicKey, RoleName};
use mesh::commands::{
    CannotAnnounceKey, CannotJoin, Join, Joined, KEY_REVOKED, KEYS_UNAVAILABLE, NOT_ENROLLED,
    RegionKeysChanged,
};
use mesh::{
    Arrived, Client, ClusterId, HandshakeError, InviteId, InviteSecret, Link, Open, RefusedAsk,
    Repeats, chain,
};

use tokio::time::Instant;

use crate::builder::to_the_millisecond;
use crate::controller::Inner;
use crate::known_keys::KnownKeys;
use crate::registry::keys::{Enrolment, KEYS_MAX, KeyEntry, Keys};
use crate::registry::{HEARTBEAT, RegionEntry, RegistryError};
use crate::serve::may_warn;
use crate::tell::tell;

/// The keys that this process knows.
#[derive(Debug)]
pub(crate) struct KeyBook {
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) known: Arc<KnownKeys>,
}

/// The longest name that a cluster may join with, in bytes.
const NAME_BYTES_MAX: usize = 255;

impl KeyBook {
    pub(crate) fn new(keys: Arc<dyn Keys>, known: Arc<KnownKeys>) -> Self {
        Self { keys, known }
    }

    /// Takes the store's state over.
    pub(crate) async fn refresh(&self) -> Result<(), RegistryError> {
        self.known.refresh(&*self.keys).await
    }

    /// Takes over what the store was just made to hold.
    pub(crate) fn learn(&self, entries: &[KeyEntry]) {
        self.known.learn(entries);
    }

    /// The entry of a key as the store was last seen.
    pub(crate) fn known_entry(&self, key: &PublicKey) -> Option<KeyEntry> {
        self.known.find(key)
    }

    /// The entry of a key, if it has one. While the store cannot be asked, or does not answer until
    /// that time, what was known before has to do. An error of none is that of the time.
    async fn look_up(
        &self,
        key: &PublicKey,
        until: Instant,
    ) -> Result<Option<KeyEntry>, Option<RegistryError>> {
        match tokio::time::timeout_at(until, self.keys.find(key)).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => self.known.find(key).map(Some).ok_or(Some(error)),
            Err(_) => self.known.find(key).map(Some).ok_or(None),
        }
    }

    /// The key that follows a present one. Both are good for the time of `overlap`.
    pub(crate) async fn succeed(
        &self,
        present: PublicKey,
        next: PublicKey,
        overlap: Duration,
    ) -> Result<(), CannotAnnounceKey> {
        let now = to_the_millisecond(SystemTime::now());
        // Whoever follows the store takes it over from there.
        match self.keys.succeed(&present, &next, now, now + overlap).await {
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
        }
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
        self.known.of_regions()
    }
}

/// Follows the store, and says when this process can be of no more use to anybody with a key.
pub(crate) async fn follow(inner: Arc<Inner>) {
    let mut changes = inner.book.keys.changes();
    let mut following = Repeats::new();
    let mut told = None;
    loop {
        changes.borrow_and_update();
        let again_after = match inner.book.refresh().await {
            Ok(()) => {
                if let Some(failures) = following.worked() {
                    tracing::info!(failures, "the keys can be looked up again");
                }
                if let Some(key) =
                    own_bad_key(&inner).filter(|key| told.replace(*key) != Some(*key))
                {
                    tracing::error!(%key, "the key of this process was revoked: it needs another");
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

/// Ends the connections of clusters that have a key by now, or once had one, and are there by the
/// secret alone: the key stands for the cluster, and whoever knows the secret may be anybody.
pub(crate) async fn end_those_without(inner: Arc<Inner>) {
    let end = |bound: HashSet<String>| {
        let is_claimed = |cluster: &ClusterId, link: &Link| {
            link.peer().key.is_none() && bound.contains(&cluster.to_string())
        };
        for (cluster, link) in inner.pool.those(is_claimed) {
            let (peer, cluster) = (&link.peer().address, cluster.to_string());
            tracing::warn!(peer, cluster, "a connection was ended: its cluster has a key");
            link.close(Lost::ClosedHere);
        }
    };
    inner.book.known.tell_bound(end).await;
}

/// Tells every cluster that is known by a key when the keys of regions change.
pub(crate) async fn tell_clusters(inner: Arc<Inner>) {
    let known = &inner.book.known;
    let mut keys = known.until_others(&known.of_regions()).await;
    loop {
        let telling = async {
            let links = inner.pool.all().into_iter().map(|(_, link)| link);
            let by_key = links.filter(|link| link.peer().key.is_some());
            let everyone = by_key.map(Client::<Cluster>::new).collect();
            tell(everyone, RegionKeysChanged { keys: keys.clone() }).await;
            pending().await
        };
        // Only others begin it anew: what clusters do with their keys keeps the news from nobody.
        // Some have heard of these by then, so what they were before is news as well.
        let others = tokio::select! {
            others = known.until_others(&keys) => others,
            never = telling => never,
        };
        keys = others;
    }
}

/// Waits until the key on one end of a connection is not good any more. Nothing if it has none.
///
/// # Cancellation
/// Dropping the future only ends the waiting.
pub(crate) fn until_revoked<'a>(
    inner: &'a Inner,
    link: &Link,
) -> Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>> {
    let key = link.peer().key.as_ref()?;
    Some(Box::pin(inner.book.known.until_revoked([key.key, key.own])))
}

/// Finds out whose key it is that arrived. A key that is nobody's may join, and nothing else.
pub(crate) async fn greet(
    inner: &Arc<Inner>,
    arrived: Arrived,
    from: &str,
) -> Result<Option<Open<mesh::BoxStream>>, HandshakeError> {
    let key = arrived.key();
    let found = match inner.book.look_up(&key, arrived.until()).await {
        Ok(found) => found,
        Err(Some(error)) => return Err(put_off(arrived, &error).await),
        // There is no time left to say so.
        Err(None) => {
            let after = inner.process.limits.handshake_timeout;
            return Err(HandshakeError::TimedOut { after });
        }
    };
    match found {
        Some(entry) if entry.role == RoleName::Cluster && entry.is_good(SystemTime::now()) => {
            // Nobody is to believe this process, as the log has said once.
            Ok(own_bad_key(inner).is_none().then(|| arrived.known_as(entry.ident)))
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
            let join = async |it: Join| {
                let name = it.name.clone();
                let answer = join(inner, key, it).await;
                match &answer {
                    Ok(_) => tracing::info!(peer = from, %key, name, "a cluster has joined"),
                    Err(error) if may_warn(inner) => {
                        tracing::warn!(peer = from, %key, %error, "a cluster may not join");
                    }
                    Err(_) => {}
                }
                joined = answer.is_ok();
                answer
            };
            arrived.answer_one(join, refusal).await?;
            if joined { Ok(None) } else { Err(HandshakeError::NotEnrolled { key }) }
        }
    }
}

/// The key of this process, if it is not good any more.
fn own_bad_key(inner: &Inner) -> Option<PublicKey> {
    inner.process.key().filter(|own| inner.book.known.is_bad(own))
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

async fn join(inner: &Arc<Inner>, key: PublicKey, it: Join) -> Result<Joined, CannotJoin> {
    let book = &inner.book;
    let Join { invite, secret, uuid, name } = it;
    let cluster: ClusterId =
        uuid.parse().map_err(|_| CannotJoin::BadIdentity("the uuid is none".to_owned()))?;
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(CannotJoin::BadIdentity("the name cannot be used".to_owned()));
    }
    // Operators call clusters and region processes alike by their identities.
    let is_region = inner.known.borrow().iter().any(|region| region.id.as_str() == uuid);
    if is_region || book.known.is_of(RoleName::Region, &cluster.to_string()) {
        return Err(CannotJoin::UuidTaken);
    }
    // Nobody believes this process: who joins had better join through another.
    if own_bad_key(inner).is_some() {
        return Err(CannotJoin::Unavailable);
    }
    let id = InviteId(invite[..].try_into().map_err(|_| CannotJoin::NoSuchInvite)?);
    let secret = InviteSecret::from_bytes(&secret).map_err(|_| CannotJoin::NoSuchInvite)?;
    let since = to_the_millisecond(SystemTime::now());
    let (role, ident) = (RoleName::Cluster, cluster.to_string());
    let entry = KeyEntry { key, role, ident, name, since, is_revoked: false, revoked: None };
    let enrolled = book.keys.join(id, &secret.hash(), &entry).await;
    match enrolled.map_err(|error| unavailable(inner, &error))? {
        Enrolment::Enrolled => {}
        Enrolment::KeyTaken => return Err(CannotJoin::KeyTaken),
        Enrolment::IdentTaken => return Err(CannotJoin::UuidTaken),
        Enrolment::InviteUsed => return Err(CannotJoin::Used),
        Enrolment::InviteExpired => return Err(CannotJoin::Expired),
        Enrolment::NoSuchInvite | Enrolment::Superseded => return Err(CannotJoin::NoSuchInvite),
        Enrolment::Full => return Err(unavailable(inner, &full())),
    }
    book.learn(std::slice::from_ref(&entry));
    Ok(joined(book, &inner.known.borrow()))
}

/// What an operator reads when there is no room for another key.
pub(crate) fn full() -> RegistryError {
    RegistryError::TooMany { what: "keys", max: KEYS_MAX }
}

fn unavailable(inner: &Arc<Inner>, error: &RegistryError) -> CannotJoin {
    if may_warn(inner) {
        tracing::error!(error = %chain(error), "the keys cannot be looked up");
    }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use amp_proto::{CallError, Limits, Region, Responders};
    use mesh::commands::{ClusterRegistered, RegisterCluster, RegisterClusterError};
    use mesh::{
        Handshaking, InviteToken, KeyPair, Listen, MemoryTransport, Pins, Secret, Transport as _,
        connect_by_key,
    };
    use tokio::task::JoinSet;

    use super::*;
    use crate::RegionController;
    use crate::held::Held;

    struct World {
        keys: Arc<Held>,
        transport: MemoryTransport,
        secret: Secret,
        region: RegionController,
    }

    impl World {
        async fn new() -> Self {
            let (keys, transport) = (Arc::new(Held::new()), MemoryTransport::new());
            let (own, secret) = (Arc::clone(&keys), Secret::generate());
            let region = RegionController::builder()
                .transport(Arc::new(transport.clone()))
                .listen(Listen::loopback())
                .key_pair(KeyPair::generate())
                .keys(own)
                .secret(secret.clone())
                .start()
                .await
                .unwrap();
            Self { keys, transport, secret, region }
        }

        /// A client by a key of its own, and what drives it.
        async fn dial(&self, pair: &KeyPair) -> (Client<Region>, JoinSet<()>) {
            let address = self.region.address().to_owned();
            let stream = self.transport.connect(&address).await.unwrap();
            let (pins, limits) = (Pins::new(self.region.key()), Arc::new(Limits::default()));
            let open = connect_by_key(stream, address, pair, pins, limits).await.unwrap();
            let (link, driving) = open.drive(Arc::new(Responders::new()));
            let mut tasks = JoinSet::new();
            tasks.spawn(async move { drop(driving.await) });
            (Client::new(link), tasks)
        }

        /// A client by the secret, that claims to be `uuid`, and what drives it.
        async fn claim(
            &self,
            uuid: ClusterId,
        ) -> (Result<ClusterRegistered, CallError<RegisterClusterError>>, Arc<Link>, JoinSet<()>)
        {
            let address = self.region.address().to_owned();
            let stream = self.transport.connect(&address).await.unwrap();
            let limits = Arc::new(Limits::default());
            let handshaking = Handshaking::new(stream, RoleName::Region, address, limits);
            let open = handshaking.authenticate(&self.secret).await.unwrap();
            let (link, driving) = open.drive(Arc::new(Responders::new()));
            let mut tasks = JoinSet::new();
            tasks.spawn(async move { drop(driving.await) });
            let (name, version) = ("claims".to_owned(), "1".to_owned());
            let client = Client::<Region>::new(Arc::clone(&link));
            let answer = client.call(RegisterCluster { uuid, name, version }).await;
            (answer, link, tasks)
        }

        async fn join(&self, token: &InviteToken) -> Result<Joined, CallError<CannotJoin>> {
            self.join_as(&KeyPair::generate(), token).await
        }

        async fn join_as(
            &self,
            pair: &KeyPair,
            token: &InviteToken,
        ) -> Result<Joined, CallError<CannotJoin>> {
            let (client, _driving) = self.dial(pair).await;
            let it = Join {
                invite: token.id.0.to_vec().into(),
                secret: token.secret.as_bytes().to_vec().into(),
                uuid: ClusterId::random().to_string(),
                name: "north".to_owned(),
            };
            client.call(it).await
        }
    }

    /// Counts the lines of the log that an operator sees.
    struct Lines(Arc<AtomicUsize>);

    impl tracing::Subscriber for Lines {
        fn enabled(&self, line: &tracing::Metadata<'_>) -> bool {
            *line.level() <= tracing::Level::WARN
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, _: &tracing::Event<'_>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }

        fn enter(&self, _: &tracing::span::Id) {}

        fn exit(&self, _: &tracing::span::Id) {}
    }

    fn unwritten() -> InviteToken {
        InviteToken::generate(vec![KeyPair::generate().public()], vec!["memory:1".to_owned()])
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_who_try_invites_do_not_flood_the_log() {
        let (world, lines) = (World::new().await, Arc::new(AtomicUsize::new(0)));
        let _logging = tracing::subscriber::set_default(Lines(Arc::clone(&lines)));
        for _ in 0..40 {
            let refused = world.join(&unwritten()).await;
            assert!(refused.is_err(), "{refused:?}");
        }
        // The clock stands still: it is all within one second.
        let written = lines.load(Ordering::SeqCst);
        assert!((1..=10).contains(&written), "{written} lines");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_joins_without_the_store_being_listed_for_it() {
        let world = World::new().await;
        let mut tokens = Vec::new();
        for _ in 0..3 {
            tokens.push(world.region.invite(Duration::from_secs(60)).await.unwrap());
        }
        // The one who follows the store is kept from it.
        let held = world.keys.hold_list();
        let before = world.keys.listed.load(Ordering::SeqCst);
        for token in tokens {
            world.join(&token).await.unwrap();
        }
        let listed = world.keys.listed.load(Ordering::SeqCst) - before;
        assert!(listed <= 1, "{listed} times");
        drop(held);
        assert_eq!(world.keys.list().await.unwrap().len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_that_ever_had_a_key_is_there_by_the_secret_no_more() {
        let (world, key, uuid) = (World::new().await, KeyPair::generate(), ClusterId::random());
        let (admitted, link, _driving) = world.claim(uuid).await;
        assert!(admitted.unwrap().admitted);
        let (others, other_link, _other_driving) = world.claim(ClusterId::random()).await;
        assert!(others.unwrap().admitted);
        let entry = KeyEntry {
            key: key.public(),
            role: RoleName::Cluster,
            ident: uuid.to_string(),
            name: "north".to_owned(),
            since: SystemTime::now(),
            is_revoked: false,
            revoked: None,
        };
        // Another process enrols it.
        world.keys.enrol(&entry).await.unwrap();
        link.closed().await;
        assert_eq!(world.region.get_all_clients().len(), 1);
        let refused = |answer| matches!(answer, Err(CallError::Declared(_)));
        assert!(refused(world.claim(uuid).await.0));
        world.keys.revoke(&key.public(), SystemTime::now()).await.unwrap();
        world.region.inner.book.known.until_revoked([key.public(); 2]).await;
        assert!(refused(world.claim(uuid).await.0), "a revoked key lets nobody in by the secret");
        assert!(other_link.is_open(), "whom it does not concern is left alone");
    }

    /// How long a stranger's connection lives who says nothing after TLS, from when it was made.
    async fn lives(world: &World, silent_first: Duration) -> Duration {
        let address = world.region.address().to_owned();
        let stream = world.transport.connect(&address).await.unwrap();
        let began = Instant::now();
        tokio::time::sleep(silent_first).await;
        let (pins, limits) = (Pins::new(world.region.key()), Arc::new(Limits::default()));
        let open = connect_by_key(stream, address, &KeyPair::generate(), pins, limits).await;
        let (_link, driving) = open.unwrap().drive(Arc::new(Responders::new()));
        drop(driving.await);
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_has_one_time_for_all_that_it_does_before_it_is_known() {
        let world = World::new().await;
        let limit = Limits::default().handshake_timeout;
        let slack = Duration::from_millis(5);
        for silent_first in [Duration::ZERO, limit * 2 / 5] {
            let lived = lives(&world, silent_first).await;
            assert!(lived >= limit && lived <= limit + slack, "{lived:?} of {limit:?}");
        }
        // Also if the store is what takes the time.
        world.keys.hold_finds();
        let lived = lives(&world, limit * 2 / 5).await;
        assert!(lived >= limit && lived <= limit + slack, "{lived:?} of {limit:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_was_known_is_let_in_when_the_store_takes_all_of_the_time() {
        let world = World::new().await;
        let token = world.region.invite(Duration::from_secs(60)).await.unwrap();
        let pair = KeyPair::generate();
        world.join_as(&pair, &token).await.unwrap();
        world.keys.hold_finds();
        let (client, _driving) = world.dial(&pair).await;
        client.ping().await.unwrap();
        let (client, _driving) = world.dial(&KeyPair::generate()).await;
        assert!(client.ping().await.is_err());
    }
}
