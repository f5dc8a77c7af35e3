//! From settings to a running region process.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use amp_proto::{CommandSchema, Limits, Region, ResponderTable, Role as _};
use mesh::{
    ClusterId, KeyPair, Listen, MemoryBudget, Pool, ProcessSettings, PublicKey, RegionId, Secret,
    Services, SettingsError, Transport, X509Identity, host_name,
};
use tokio::sync::{Notify, watch};

use crate::admission::{Admission, Admissions};
use crate::controller::{Inner, RegionController};
use crate::handshakes::{Connections, HandshakesMax};
use crate::key_book::{KeyBook, full};
use crate::known_keys::KnownKeys;
use crate::registry::keys::{Enrolment, KeyEntry, Keys, MemoryKeys};
use crate::registry::{MemoryRegistry, RegionEntry, Registry, RegistryError};
use crate::responders::MeshResponders;
use crate::rotation::Rotation;
use crate::serve;
use crate::sparing::Sparing;

/// Settings of a region process. Made by [`RegionController::builder`].
pub struct RegionBuilder {
    process: ProcessSettings,
    id: RegionId,
    listen: Listen,
    advertise: Vec<IpAddr>,
    registry: Arc<dyn Registry>,
    keys: Arc<dyn Keys>,
    known_keys: Arc<KnownKeys>,
    key_overlap: Duration,
    admission: Admission,
    handshakes_max: HandshakesMax,
    connections_max: usize,
    pool: Arc<Pool<ClusterId>>,
    services: Services<RegionController>,
}

/// Why a region process did not start. The fault is in its settings, or in this machine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The settings are not complete, or do not fit each other.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The address or port cannot be had.
    #[error("cannot listen")]
    Listen(#[source] std::io::Error),
    /// An address to advertise is none that anybody could connect to: advertise one that clusters
    /// reach this process by, or none.
    #[error("{ip} cannot be advertised: clusters cannot connect to it")]
    Advertise {
        /// The address.
        ip: IpAddr,
    },
    /// The registry cannot be asked.
    #[error("cannot announce this region process")]
    Registry(#[from] RegistryError),
    /// The keys cannot be looked up.
    #[error("cannot look the keys up")]
    Keys(#[source] RegistryError),
    /// The key of this process was revoked, or is that of a cluster. Make it a new one.
    #[error(
        "the key {key} of this region process was revoked, or is that of a cluster: give it a new \
         key pair"
    )]
    KeyRefused {
        /// The key.
        key: PublicKey,
    },
}

impl RegionBuilder {
    pub(crate) fn new() -> Self {
        Self {
            process: ProcessSettings::default(),
            id: RegionId::random(),
            listen: Listen::default(),
            advertise: Vec::new(),
            registry: Arc::new(MemoryRegistry::new()),
            keys: Arc::new(MemoryKeys::new()),
            known_keys: Arc::default(),
            key_overlap: Duration::from_secs(600),
            admission: Admission::default(),
            handshakes_max: HandshakesMax::default(),
            connections_max: Connections::USUAL_MAX,
            pool: Arc::new(Pool::new()),
            services: Services::new(),
        }
    }

    /// The name for people. Default: `host:pid=123`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.process.name = Some(name.into());
        self
    }

    /// The version that others are told. Default: this crate's.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.process.version = version.into();
        self
    }

    /// Where to listen. Default: every interface, on the first free port from 5250 to 5299.
    #[must_use]
    pub fn listen(mut self, listen: impl Into<Listen>) -> Self {
        self.listen = listen.into();
        self
    }

    /// The addresses under which clusters reach this process, the best first. Default: found out
    /// from the address that it listens on. An unspecified or multicast one is refused by
    /// [`RegionBuilder::start`].
    #[must_use]
    pub fn advertise(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.advertise = addresses.into_iter().collect();
        self
    }

    /// The key pair that this process is known by. With one, clusters that have a key connect by
    /// TLS. Either this or a secret has to be given.
    #[must_use]
    pub fn key_pair(mut self, pair: KeyPair) -> Self {
        self.process.key_pair = Some(pair);
        self
    }

    /// Where it is written down whose key is whose; to be the same for all processes of a region,
    /// and to be kept. Default: in memory, for a region of one process that does not last.
    #[must_use]
    pub fn keys(mut self, keys: Arc<dyn Keys>) -> Self {
        self.keys = keys;
        self
    }

    /// How long the present key of a cluster is good beside the next one. Default 10 min.
    #[must_use]
    pub fn key_overlap(mut self, overlap: Duration) -> Self {
        self.key_overlap = overlap;
        self
    }

    /// The shared secret. With one, peers may speak plain AMP, which whoever is on the way can read
    /// and change: it is for stock peers on a network that is trusted. There is no default.
    #[must_use]
    pub fn secret(mut self, secret: Secret) -> Self {
        self.process.secret = Some(secret);
        self
    }

    /// A certificate and the authorities that are believed. With them, peers that speak plain AMP
    /// have to ask `StartTLS` before anything else, and go on in TLS 1.3, in which both sides show
    /// a certificate of one of the authorities; then the shared secret is proved as ever, which has
    /// to be given besides. Names in certificates are not looked at. Clusters that have a key come
    /// as ever. Default: none, and `StartTLS` is answered `UNHANDLED`.
    #[must_use]
    pub fn start_tls(mut self, identity: X509Identity) -> Self {
        self.process.start_tls = Some(identity);
        self
    }

    /// Where region processes find each other. Default: a registry of its own, for a region of
    /// one process.
    #[must_use]
    pub fn registry(mut self, registry: Arc<dyn Registry>) -> Self {
        self.registry = registry;
        self
    }

    /// Where streams come from. Default: TCP.
    #[must_use]
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.process.transport = transport;
        self
    }

    /// What a connection will hold at most.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.process.limits = limits;
        self
    }

    /// When an authenticated peer counts as a cluster. Default: when it says who it is.
    #[must_use]
    pub fn admission(mut self, admission: Admission) -> Self {
        self.admission = admission;
        self
    }

    /// The handle through which an application's own registration command admits peers.
    #[must_use]
    pub fn admissions(&self) -> Admissions {
        Admissions::new(&self.pool, &self.known_keys)
    }

    /// How many peers may be proving who they are at once; further ones are turned away. At least
    /// one. Default 4,096.
    #[must_use]
    pub fn handshakes_max(mut self, peers: usize) -> Self {
        self.handshakes_max.all = peers.max(1);
        self
    }

    /// How many of these may come from one address that is not this machine's. At least one.
    /// Default 64: more is for many clusters behind one address.
    #[must_use]
    pub fn handshakes_per_address_max(mut self, peers: usize) -> Self {
        self.handshakes_max.per_address = peers.max(1);
        self
    }

    /// How many connections of peers that have proved who they are may be open at once; further
    /// ones are closed as soon as they have. At least one. Default 10,000. Times
    /// [`Limits::memory_per_connection_max`], this is the most memory that all peers together can
    /// make the process hold, beside what [`RegionBuilder::handshakes_max`] strangers can.
    #[must_use]
    pub fn connections_max(mut self, connections: usize) -> Self {
        self.connections_max = connections.max(1);
        self
    }

    /// How much memory this process may have, by its resident set, in bytes. Above four fifths of
    /// it what peers newly ask is refused, `OVERLOADED`; above nine tenths no more connections are
    /// accepted; both until there is less. Default: what the operating system allows the process.
    /// Elsewhere than on Linux no budget holds.
    #[must_use]
    pub fn memory_budget(mut self, budget: MemoryBudget) -> Self {
        self.process.memory_budget = budget;
        self
    }

    /// How long [`RegionController::get_client_for`] waits for a cluster to appear. Default 10 s.
    #[must_use]
    pub fn client_wait(mut self, wait: Duration) -> Self {
        self.process.client_wait = wait;
        self
    }

    /// How long [`RegionController::shutdown`] waits for what is under way, and how long a peer
    /// that says that it leaves may take to close its connection. Default 10 s.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.process.drain_timeout = timeout;
        self
    }

    /// Adds the commands that `responder` answers.
    #[must_use]
    pub fn responders<S: ResponderTable>(self, responder: S) -> Self {
        self.responders_arc(Arc::new(responder))
    }

    /// As [`RegionBuilder::responders`], for one that is shared.
    #[must_use]
    pub fn responders_arc<S: ResponderTable>(mut self, responder: Arc<S>) -> Self {
        self.process.answering.add(responder);
        self
    }

    /// Commands of the application. [`RegionBuilder::start`] refuses to start when a region should
    /// answer one of them and no responder does.
    #[must_use]
    pub fn vocabulary(
        mut self,
        commands: impl IntoIterator<Item = &'static CommandSchema>,
    ) -> Self {
        self.process.answering.require(commands);
        self
    }

    /// Starts a service beside the mesh, with the controller in hand. It is dropped at its next
    /// await when the region shuts down.
    #[must_use]
    pub fn service<F>(
        mut self,
        service: impl FnOnce(RegionController) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.services.add(service);
        self
    }

    /// Listens, announces the process, and begins to accept clusters.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    ///
    /// # Cancellation
    /// Dropping the future leaves nothing running.
    pub async fn start(self) -> Result<RegionController, StartError> {
        let mut advertised = self.advertise.iter();
        if let Some(&ip) = advertised.find(|ip| ip.is_unspecified() || ip.is_multicast()) {
            return Err(StartError::Advertise { ip });
        }
        let known = Arc::new(watch::Sender::new(Vec::new()));
        let book = Arc::new(KeyBook::new(Arc::clone(&self.keys), Arc::clone(&self.known_keys)));
        let own = MeshResponders::new(
            self.admission,
            self.admissions(),
            Arc::clone(&known),
            Arc::clone(&book),
            self.key_overlap,
        );
        let ident = self.id.to_string();
        let process = self.process.into_process(Region::NAME, ident, default_name, own)?;

        if let Some(key) = process.key() {
            enrol(&book, key, &self.id, process.name()).await?;
        }
        let listener = process.transport.listen(&self.listen).await.map_err(StartError::Listen)?;
        let entry = RegionEntry {
            id: self.id,
            name: process.name().to_owned(),
            addresses: listener.reachable(&self.advertise),
            version: process.ident.version.clone().unwrap_or_default(),
            started: to_the_millisecond(SystemTime::now()),
        };
        known.send_replace(vec![entry.clone()]);
        self.registry.announce(&entry).await?;
        let address = listener.address();
        tracing::info!(name = entry.name, address, "a region listens");
        let controller = RegionController::new(Inner {
            process,
            registry: self.registry,
            admission: self.admission,
            handshakes_max: self.handshakes_max,
            connections_max: self.connections_max,
            pool: self.pool,
            book,
            address,
            entry,
            known,
            forgotten: Notify::new(),
            rotation: Rotation::default(),
            strangers: Sparing::default(),
        });
        serve::start(&controller, self.services, listener);
        Ok(controller)
    }
}

/// Sees to it that the own key is known.
async fn enrol(
    book: &KeyBook,
    key: PublicKey,
    id: &RegionId,
    name: &str,
) -> Result<(), StartError> {
    let now = to_the_millisecond(SystemTime::now());
    let entry = KeyEntry {
        key,
        role: Region::NAME,
        ident: id.to_string(),
        name: name.to_owned(),
        since: now,
        is_revoked: false,
        revoked: None,
    };
    match book.keys.enrol(&entry).await.map_err(StartError::Keys)? {
        Enrolment::Enrolled => {}
        Enrolment::Full => return Err(StartError::Keys(full())),
        _ => {
            let found = book.keys.find(&key).await.map_err(StartError::Keys)?;
            let is_ours = |found: &KeyEntry| found.role == Region::NAME && found.is_good(now);
            if !found.as_ref().is_some_and(is_ours) {
                return Err(StartError::KeyRefused { key });
            }
        }
    }
    book.refresh().await.map_err(StartError::Keys)
}

fn default_name() -> String {
    format!("{}:pid={}", host_name(), std::process::id())
}

/// Registries keep milliseconds, and entries are compared.
pub(crate) fn to_the_millisecond(time: SystemTime) -> SystemTime {
    let elapsed = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    UNIX_EPOCH + Duration::from_millis(ms)
}

impl std::fmt::Debug for RegionBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegionBuilder")
            .field("name", &self.process.name)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}
