//! From settings to a running cluster process.

use std::sync::Arc;
use std::time::Duration;

use amp_proto::{Cluster, CommandSchema, Limits, Region, ResponderTable, Role as _, UnusableLimit};
use futures_util::future::BoxFuture;
use mesh::commands::Ident;
use mesh::{
    Answering, AnsweringError, BackoffSettings, Client, ClusterId, Common, Pool, RegionId, Secret,
    TcpTransport, Transport,
};
use tokio::sync::mpsc;

use crate::controller::ClusterController;
use crate::finder;
use crate::responders::MeshResponders;

pub(crate) type Service = Box<dyn FnOnce(ClusterController) -> BoxFuture<'static, ()> + Send>;
pub(crate) type Registration = Arc<
    dyn Fn(Client<Region>) -> BoxFuture<'static, Result<(), RegistrationRefused>> + Send + Sync,
>;

/// Settings of a cluster process. Made by [`ClusterController::builder`].
pub struct ClusterBuilder {
    secret: Option<Secret>,
    settings: Settings,
    answering: Answering,
    services: Vec<Service>,
}

/// What the controller goes by while it runs.
pub(crate) struct Settings {
    pub(crate) id: ClusterId,
    pub(crate) name: Option<String>,
    pub(crate) version: String,
    pub(crate) regions: Vec<String>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) limits: Limits,
    pub(crate) backoff: BackoffSettings,
    pub(crate) registration: Option<Registration>,
    pub(crate) client_wait: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) pool: Arc<Pool<RegionId>>,
}

/// Why a cluster process did not start. The fault is in its settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No secret was given. Without one nobody could prove that they belong.
    #[error("no shared secret was given")]
    NoSecret,
    /// No address of a region process was given.
    #[error("no region address was given")]
    NoRegions,
    /// An address of a region process has no port.
    #[error("the region address `{address}` has no port: write `{address}:5250`")]
    NoPort {
        /// The address.
        address: String,
    },
    /// With one of the limits nothing could work.
    #[error(transparent)]
    Limits(#[from] UnusableLimit),
    /// The responders do not fit a cluster or the vocabulary.
    #[error(transparent)]
    Answering(#[from] AnsweringError),
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
            secret: None,
            settings: Settings {
                id: ClusterId::random(),
                name: None,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                regions: Vec::new(),
                transport: Arc::new(TcpTransport::new()),
                limits: Limits::default(),
                backoff: BackoffSettings::default(),
                registration: None,
                client_wait: Duration::from_secs(10),
                drain_timeout: Duration::from_secs(10),
                pool: Arc::new(Pool::new()),
            },
            answering: Answering::new(),
            services: Vec::new(),
        }
    }

    /// The identity of the cluster, the same at every start. Default: a new one.
    #[must_use]
    pub fn uuid(mut self, uuid: impl Into<ClusterId>) -> Self {
        self.settings.id = uuid.into();
        self
    }

    /// The name for people. Default: the uuid.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = Some(name.into());
        self
    }

    /// The version that regions are told. Default: this crate's.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.settings.version = version.into();
        self
    }

    /// Adds the address of a region process, such as `region.example:5250`. One is enough: the
    /// others are learnt from it. More are for the day when that one is down.
    #[must_use]
    pub fn region(mut self, address: impl Into<String>) -> Self {
        self.settings.regions.push(address.into());
        self
    }

    /// Adds several addresses.
    #[must_use]
    pub fn regions<A: Into<String>>(mut self, addresses: impl IntoIterator<Item = A>) -> Self {
        self.settings.regions.extend(addresses.into_iter().map(Into::into));
        self
    }

    /// The shared secret. There is no default.
    #[must_use]
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Where streams come from. Default: TCP.
    #[must_use]
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.settings.transport = transport;
        self
    }

    /// What a connection will hold at most.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// How long to wait between attempts to connect.
    #[must_use]
    pub fn backoff(mut self, backoff: BackoffSettings) -> Self {
        self.settings.backoff = backoff;
        self
    }

    /// How long [`ClusterController::get_client`] waits for a region. Default 10 s.
    #[must_use]
    pub fn client_wait(mut self, wait: Duration) -> Self {
        self.settings.client_wait = wait;
        self
    }

    /// How long [`ClusterController::shutdown`] waits for what is under way. Default 10 s.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.settings.drain_timeout = timeout;
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
        self.settings.registration = Some(Arc::new(move |region| Box::pin(register(region))));
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
        self.answering.add(responder);
        self
    }

    /// Commands of the application. [`ClusterBuilder::start`] refuses to start when a cluster
    /// should answer one of them and no responder does.
    #[must_use]
    pub fn vocabulary(
        mut self,
        commands: impl IntoIterator<Item = &'static CommandSchema>,
    ) -> Self {
        self.answering.require(commands);
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
        self.services.push(Box::new(move |controller| Box::pin(service(controller))));
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
    pub async fn start(mut self) -> Result<ClusterController, StartError> {
        let secret = self.secret.take().ok_or(StartError::NoSecret)?;
        if self.settings.regions.is_empty() {
            return Err(StartError::NoRegions);
        }
        if let Some(address) = self.settings.regions.iter().find(|address| !has_port(address)) {
            return Err(StartError::NoPort { address: address.clone() });
        }
        self.settings.limits.check()?;
        let id = self.settings.id;
        let ident = Ident {
            ident: id.to_string(),
            name: Some(self.settings.name.clone().unwrap_or_else(|| id.to_string())),
            version: Some(self.settings.version.clone()),
        };
        let common = Arc::new(Common::new(Cluster::NAME, ident.clone(), Some(secret.clone())));
        let (told, regions_told) = mpsc::channel(finder::TOLD_MAX);
        self.answering.add(Arc::clone(&common));
        self.answering.add(Arc::new(MeshResponders::new(told)));
        let responders = self.answering.finish(Cluster::NAME)?;
        common.describe_as(responders.schemas().collect());

        let controller = ClusterController::new(self.settings, secret, ident, responders);
        finder::start(&controller, regions_told, self.services);
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
            .field("id", &self.settings.id)
            .field("regions", &self.settings.regions)
            .finish_non_exhaustive()
    }
}
