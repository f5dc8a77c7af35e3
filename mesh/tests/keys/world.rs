//! Region processes and clusters that know each other by key.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use amp_proto::{
    Arguments, Authentication, Cluster, Command, Limits, Lost, Never, Peer, PublicKey, Region,
    Responders, responders,
};
use cluster::{ClusterBuilder, ClusterController, JoinError, Joining, Membership};
use mesh::{
    BackoffSettings, Client, ClusterId, HandshakeError, InviteToken, KeyPair, Listen, Pins, Secret,
    TcpTransport, Transport as _, connect_by_key,
};
use region::{Keys, MemoryKeys, MemoryRegistry, RegionBuilder, RegionController, Registry};
use tokio::task::JoinSet;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// Asks who is asking.
#[derive(Clone, Debug, Command)]
#[command(answered_by = any, response = You)]
pub(crate) struct WhoAmI;

/// What a responder knows of whoever asks.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub(crate) struct You {
    pub(crate) role: String,
    pub(crate) ident: Option<String>,
    pub(crate) key: Option<PublicKey>,
    pub(crate) by_key: bool,
}

/// Asks to wait for ever.
#[derive(Clone, Debug, Command)]
#[command(answered_by = any)]
pub(crate) struct Wait;

/// Counts what was carried out.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    pub(crate) asked: AtomicUsize,
}

#[responders]
impl Desk {
    #[responder]
    async fn who_am_i(&self, _: WhoAmI, peer: &Peer) -> Result<You, Never> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(You {
            role: peer.role().unwrap().to_string(),
            ident: peer.ident(),
            key: peer.key(),
            by_key: peer.authentication() == Authentication::Key,
        })
    }

    #[responder]
    async fn wait(&self, _: Wait) -> Result<(), Never> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }
}

/// What the processes of one mesh share.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) keys: Arc<dyn Keys>,
    registry: Arc<dyn Registry>,
    pub(crate) desk: Arc<Desk>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            keys: Arc::new(MemoryKeys::new()),
            registry: Arc::new(MemoryRegistry::new()),
            desk: Arc::default(),
        }
    }

    pub(crate) fn region_builder(&self) -> RegionBuilder {
        RegionController::builder()
            .listen(Listen::loopback())
            .key_pair(KeyPair::generate())
            .keys(Arc::clone(&self.keys))
            .registry(Arc::clone(&self.registry))
            .responders_arc(Arc::clone(&self.desk))
    }

    pub(crate) async fn region(&self) -> RegionController {
        self.region_builder().start().await.unwrap()
    }

    pub(crate) fn cluster_builder(&self, me: &Member) -> ClusterBuilder {
        ClusterController::builder()
            .uuid(me.uuid)
            .name("north")
            .key_pair(me.pair.clone())
            .region_keys(Pins::new(me.membership.keys.iter().copied()))
            .regions(me.membership.addresses.iter().cloned())
            .backoff(quickly())
            .responders_arc(Arc::clone(&self.desk))
    }

    pub(crate) async fn cluster(&self, me: &Member) -> ClusterController {
        self.cluster_builder(me).start().await.unwrap()
    }
}

/// Tests wait for what comes of an attempt, not for the next one.
pub(crate) fn quickly() -> BackoffSettings {
    let (first, max) = (Duration::from_millis(10), Duration::from_millis(50));
    BackoffSettings { first, max, ..BackoffSettings::default() }
}

/// A cluster that has joined, and does not run yet.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) uuid: ClusterId,
    pub(crate) pair: KeyPair,
    pub(crate) membership: Membership,
}

pub(crate) async fn join(token: &InviteToken) -> Result<Member, JoinError> {
    let (uuid, pair) = (ClusterId::random(), KeyPair::generate());
    let membership = Joining::new(token.clone(), pair.clone(), uuid, "north").join().await?;
    Ok(Member { uuid, pair, membership })
}

/// A cluster that has joined this region.
pub(crate) async fn member(region: &RegionController) -> Member {
    join(&region.invite(HOUR).await.unwrap()).await.unwrap()
}

/// A client on a bare connection, which is driven for as long as this is held.
#[derive(Debug)]
pub(crate) struct Dialled {
    client: Client<Region>,
    _driving: JoinSet<Lost>,
}

impl std::ops::Deref for Dialled {
    type Target = Client<Region>;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

/// A client on a bare connection, by this key, to a region that is believed.
pub(crate) async fn dial(
    region: &RegionController,
    pair: &KeyPair,
) -> Result<Dialled, HandshakeError> {
    dial_believing(region, pair, region.key().unwrap()).await
}

pub(crate) async fn dial_believing(
    region: &RegionController,
    pair: &KeyPair,
    believed: PublicKey,
) -> Result<Dialled, HandshakeError> {
    let stream = TcpTransport::new().connect(region.address()).await.unwrap();
    let limits = Arc::new(Limits::default());
    let address = region.address().to_owned();
    let open = connect_by_key(stream, address, pair, Pins::new([believed]), limits).await?;
    let (link, driving) = open.drive(Arc::new(Responders::new()));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { driving.await.lost });
    let client = Client::new(link).within(Duration::from_secs(5));
    Ok(Dialled { client, _driving: tasks })
}

/// The client of a cluster, once it is there.
pub(crate) async fn client_for(region: &RegionController, uuid: ClusterId) -> Client<Cluster> {
    region.get_client_for(uuid).await.unwrap()
}

pub(crate) fn secret() -> Secret {
    Secret::from_hex("00112233445566778899aabbccddeeff").unwrap()
}
