//! From settings to a running cluster process.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use amp_proto::{Cluster, CommandSchema, Limits, Region, ResponderTable, Role as _};
use futures_util::future::BoxFuture;
use mesh::{
    BackoffSettings, Client, ClusterId, KeyPair, MemoryBudget, Pins, Pool, ProcessSettings, Secret,
    Services, SettingsError, Transport, X509Identity,
};
use tokio::sync::watch;

use crate::controller::{ClusterController, Inner};
use crate::finder;
use crate::keys::{KeepKeys, KeyStep, OwnKeys};
use crate::responders::{MeshResponders, Told};

pub(crate) type Registration = Arc<
    dyn Fn(Client<Region>) -> BoxFuture<'static, Result<(), RegistrationRefused>> + Send + Sync,
>;

/// Settings of a cluster process. Made by [`ClusterController::builder`].
pub struct ClusterBuilder {
    process: ProcessSettings,
    id: ClusterId,
    regions: Vec<String>,
    connect_timeout: Duration,
    backoff: BackoffSettings,
    registration: Option<Registration>,
    keep_keys: Option<KeepKeys>,
    next_key_pair: Option<KeyPair>,
    services: Services<ClusterController>,
}

/// Why a cluster process did not start. The fault is in its settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The settings are not complete, or do not fit each other.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// No address of a region process was given.
    #[error("no region address was given")]
    NoRegions,
    /// An address of a region process has no port.
    #[error("the region address `{address}` has no port: write `{address}:5250`")]
    NoPort {
        /// The address.
        address: String,
    },
}

/// A region did not accept the application's own registration. The connection is closed, and tried
/// again after a longer while.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the region refused the registration: {reason}")]
pub struct RegistrationRefused {
    /// The region's words.
    pub reason: String,
}

impl ClusterBuilder {
    pub(crate) fn new() -> Self {
        Self {
            process: ProcessSettings::default(),
            id: ClusterId::random(),
            regions: Vec::new(),
            connect_timeout: Duration::from_secs(3),
            backoff: BackoffSettings::default(),
            registration: None,
            keep_keys: None,
            next_key_pair: None,
            services: Services::new(),
        }
    }

    /// The identity of the cluster, the same at every start. Default: a new one.
    #[must_use]
    pub fn uuid(mut self, uuid: impl Into<ClusterId>) -> Self {
        self.id = uuid.into();
        self
    }

    /// The name for people. Default: the uuid.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.process.name = Some(name.into());
        self
    }

    /// The version that regions are told. Default: this crate's.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.process.version = version.into();
        self
    }

    /// Adds the address of a region process, such as `region.example:5250`. One is enough: the
    /// others are learnt from it. More are for the day when that one is down.
    #[must_use]
    pub fn region(mut self, address: impl Into<String>) -> Self {
        self.regions.push(address.into());
        self
    }

    /// Adds several addresses.
    #[must_use]
    pub fn regions<A: Into<String>>(mut self, addresses: impl IntoIterator<Item = A>) -> Self {
        self.regions.extend(addresses.into_iter().map(Into::into));
        self
    }

    /// The key pair that this cluster is known by. With one it speaks TLS, to regions whose keys
    /// it knows, and nothing else. Either this or a secret has to be given, and not both.
    #[must_use]
    pub fn key_pair(mut self, pair: KeyPair) -> Self {
        self.process.key_pair = Some(pair);
        self
    }

    /// The keys of the region processes, as they were learnt when joining. Regions tell of changes;
    /// whoever wants to know keeps a clone.
    #[must_use]
    pub fn region_keys(mut self, pins: Pins) -> Self {
        self.process.pins = pins;
        self
    }

    /// Has regions renew the key of this cluster, and anybody else through
    /// [`ClusterController::rotate_key`]. `keep` is given the next key pair twice: before any
    /// region has heard of it, and when one has taken it. It writes it down in a place of its own
    /// first, and then in the place of the present one. If it fails, the key stays as it is.
    #[must_use]
    pub fn keep_keys(
        mut self,
        keep: impl Fn(KeyStep, &KeyPair) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.keep_keys = Some(Arc::new(keep));
        self
    }

    /// The next key pair that was kept by a process which died while it changed its key. It is
    /// used when the present one turns out to be revoked.
    #[must_use]
    pub fn next_key_pair(mut self, pair: KeyPair) -> Self {
        self.next_key_pair = Some(pair);
        self
    }

    /// The shared secret, for plain AMP, which whoever is on the way can read and change. There is
    /// no default.
    #[must_use]
    pub fn secret(mut self, secret: Secret) -> Self {
        self.process.secret = Some(secret);
        self
    }

    /// A certificate and the authorities that are believed. With them, a region is asked
    /// `StartTLS` before anything else, and what follows goes on in TLS 1.3, in which both sides
    /// show a certificate of one of the authorities; then the shared secret is proved as ever,
    /// which has to be given besides. Names in certificates are not looked at. A region that does
    /// not do it is left. Default: none, and everything is said in the clear.
    #[must_use]
    pub fn start_tls(mut self, identity: X509Identity) -> Self {
        self.process.start_tls = Some(identity);
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

    /// How long it may take to open a stream to an address, with looking its name up and trying
    /// what the name stands for. Default 3 s. What comes after is the
    /// [`handshake_timeout`](Limits::handshake_timeout)'s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long to wait between attempts to connect.
    #[must_use]
    pub fn backoff(mut self, backoff: BackoffSettings) -> Self {
        self.backoff = backoff;
        self
    }

    /// How much memory this process may have, by its resident set, in bytes. Above four fifths of
    /// it what peers newly ask is refused, `OVERLOADED`, until there is less. Default: what the
    /// operating system allows the process. Elsewhere than on Linux no budget holds.
    #[must_use]
    pub fn memory_budget(mut self, budget: MemoryBudget) -> Self {
        self.process.memory_budget = budget;
        self
    }

    /// How long [`ClusterController::get_client`] waits for a region. Default 10 s.
    #[must_use]
    pub fn client_wait(mut self, wait: Duration) -> Self {
        self.process.client_wait = wait;
        self
    }

    /// How long [`ClusterController::shutdown`] waits for what is under way, and how long a peer
    /// that says that it leaves may take to close its connection. Default 10 s.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.process.drain_timeout = timeout;
        self
    }

    /// Registers with every region in the application's own way, on each new connection before
    /// `get_client` gives it out. For regions that admit clusters by a command of their own, as
    /// MAAS does with `RegisterRackController`. It has to be done within the
    /// [`handshake_timeout`](Limits::handshake_timeout) of the limits, or the attempt has failed.
    #[must_use]
    pub fn registration<F>(
        mut self,
        register: impl Fn(Client<Region>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), RegistrationRefused>> + Send + 'static,
    {
        self.registration = Some(Arc::new(move |region| Box::pin(register(region))));
        self
    }

    /// Adds the commands that `responder` answers.
    #[must_use]
    pub fn responders<S: ResponderTable>(self, responder: S) -> Self {
        self.responders_arc(Arc::new(responder))
    }

    /// As [`ClusterBuilder::responders`], for one that is shared.
    #[must_use]
    pub fn responders_arc<S: ResponderTable>(mut self, responder: Arc<S>) -> Self {
        self.process.answering.add(responder);
        self
    }

    /// Commands of the application. [`ClusterBuilder::start`] refuses to start when a cluster
    /// should answer one of them and no responder does.
    #[must_use]
    pub fn vocabulary(
        mut self,
        commands: impl IntoIterator<Item = &'static CommandSchema>,
    ) -> Self {
        self.process.answering.require(commands);
        self
    }

    /// Starts a service beside the mesh, with the controller in hand. It is dropped at its next
    /// await when the cluster shuts down.
    #[must_use]
    pub fn service<F>(
        mut self,
        service: impl FnOnce(ClusterController) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.services.add(service);
        self
    }

    /// Begins to look for region processes. Does not wait until one is found:
    /// [`ClusterController::get_client`] does.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    ///
    /// # Cancellation
    /// Dropping the future leaves nothing running.
    #[expect(clippy::unused_async, reason = "starting is an async step on both sides of the mesh")]
    pub async fn start(self) -> Result<ClusterController, StartError> {
        let Self { process, id, regions, connect_timeout, backoff, registration, services, .. } =
            self;
        if regions.is_empty() {
            return Err(StartError::NoRegions);
        }
        if let Some(address) = regions.iter().find(|address| !has_port(address)) {
            return Err(StartError::NoPort { address: address.clone() });
        }
        let (tell, told) = watch::channel(Told::default());
        let answering_for = Arc::new(OnceLock::new());
        let own = MeshResponders::new(tell, process.pins.clone(), Arc::clone(&answering_for));
        let ident = id.to_string();
        let process = process.into_process(Cluster::NAME, ident.clone(), || ident, own)?;
        let pool = Arc::new(Pool::new());
        let controller = ClusterController::new(Inner {
            process,
            id,
            regions,
            connect_timeout,
            backoff,
            registration,
            told,
            pool,
            own_keys: OwnKeys::new(self.keep_keys, self.next_key_pair),
            whereabouts: watch::Sender::default(),
        });
        answering_for.get_or_init(|| Arc::downgrade(&controller.inner));
        finder::start(&controller, services);
        Ok(controller)
    }
}

/// Whether an address ends in a port: `host:5250`, `[::1]:5250`.
fn has_port(address: &str) -> bool {
    let port = address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    port.is_some_and(|port| port.is_ok())
}

impl std::fmt::Debug for ClusterBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterBuilder")
            .field("id", &self.id)
            .field("regions", &self.regions)
            .finish_non_exhaustive()
    }
}
