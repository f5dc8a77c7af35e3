//! From settings to a running region process.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use amp_proto::{CommandSchema, Limits, Region, ResponderTable, Role as _, UnusableLimit};
use futures_util::future::BoxFuture;
use mesh::commands::Ident;
use mesh::{
    Answering, AnsweringError, ClusterId, Common, Listen, Pool, RegionId, Secret, TcpTransport,
    Transport, host_name,
};
use tokio::sync::watch;

use crate::admission::{Admission, Admissions};
use crate::controller::{RegionController, Running};
use crate::registry::{MemoryRegistry, RegionEntry, Registry, RegistryError};
use crate::responders::MeshResponders;
use crate::serve;

pub(crate) type Service = Box<dyn FnOnce(RegionController) -> BoxFuture<'static, ()> + Send>;

/// Settings of a region process. Made by [`RegionController::builder`].
pub struct RegionBuilder {
    id: RegionId,
    name: Option<String>,
    version: String,
    listen: Listen,
    advertise: Vec<IpAddr>,
    secret: Option<Secret>,
    transport: Arc<dyn Transport>,
    settings: Settings,
    answering: Answering,
    services: Vec<Service>,
}

/// What the controller goes by while it runs.
pub(crate) struct Settings {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) limits: Limits,
    pub(crate) admission: Admission,
    pub(crate) client_wait: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) pool: Arc<Pool<ClusterId>>,
}

/// Why a region process did not start. The fault is in its settings, or in this machine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No secret was given. Without one nobody could prove that they belong.
    #[error("no shared secret was given")]
    NoSecret,
    /// The responders do not fit a region or the vocabulary.
    #[error(transparent)]
    Answering(#[from] AnsweringError),
    /// With one of the limits nothing could work.
    #[error(transparent)]
    Limits(#[from] UnusableLimit),
    /// The address or port cannot be had.
    #[error("cannot listen")]
    Listen(#[source] std::io::Error),
    /// The registry cannot be asked.
    #[error("cannot announce this region process")]
    Registry(#[from] RegistryError),
}

impl RegionBuilder {
    pub(crate) fn new() -> Self {
        Self {
            id: RegionId::random(),
            name: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            listen: Listen::default(),
            advertise: Vec::new(),
            secret: None,
            transport: Arc::new(TcpTransport::new()),
            settings: Settings {
                registry: Arc::new(MemoryRegistry::new()),
                limits: Limits::default(),
                admission: Admission::default(),
                client_wait: Duration::from_secs(10),
                drain_timeout: Duration::from_secs(10),
                pool: Arc::new(Pool::new()),
            },
            answering: Answering::new(),
            services: Vec::new(),
        }
    }

    /// The name for people. Default: `host:pid=123`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The version that others are told. Default: this crate's.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Where to listen. Default: every interface, on the first free port from 5250 to 5299.
    #[must_use]
    pub fn listen(mut self, listen: impl Into<Listen>) -> Self {
        self.listen = listen.into();
        self
    }

    /// The addresses under which clusters reach this process, the best first. Default: found out
    /// from the address that it listens on.
    #[must_use]
    pub fn advertise(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.advertise = addresses.into_iter().collect();
        self
    }

    /// The shared secret. There is no default.
    #[must_use]
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Where region processes find each other. Default: a registry of its own, for a region of
    /// one process.
    #[must_use]
    pub fn registry(mut self, registry: Arc<dyn Registry>) -> Self {
        self.settings.registry = registry;
        self
    }

    /// Where streams come from. Default: TCP.
    #[must_use]
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = transport;
        self
    }

    /// What a connection will hold at most.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// When an authenticated peer counts as a cluster. Default: when it says who it is.
    #[must_use]
    pub fn admission(mut self, admission: Admission) -> Self {
        self.settings.admission = admission;
        self
    }

    /// The handle through which an application's own registration command admits peers.
    #[must_use]
    pub fn admissions(&self) -> Admissions {
        Admissions::new(&self.settings.pool)
    }

    /// How long [`RegionController::get_client_for`] waits for a cluster to appear. Default 10 s.
    #[must_use]
    pub fn client_wait(mut self, wait: Duration) -> Self {
        self.settings.client_wait = wait;
        self
    }

    /// How long [`RegionController::shutdown`] waits for what is under way. Default 10 s.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.settings.drain_timeout = timeout;
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
        self.answering.add(responder);
        self
    }

    /// Commands of the application. [`RegionBuilder::start`] refuses to start when a region should
    /// answer one of them and no responder does.
    #[must_use]
    pub fn vocabulary(
        mut self,
        commands: impl IntoIterator<Item = &'static CommandSchema>,
    ) -> Self {
        self.answering.require(commands);
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
        self.services.push(Box::new(move |controller| Box::pin(service(controller))));
        self
    }

    /// Listens, announces the process, and begins to accept clusters.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    ///
    /// # Cancellation
    /// Dropping the future leaves nothing running.
    pub async fn start(mut self) -> Result<RegionController, StartError> {
        let secret = self.secret.take().ok_or(StartError::NoSecret)?;
        self.settings.limits.check()?;
        let name = self.name.take().unwrap_or_else(default_name);
        let ident = Ident {
            ident: self.id.to_string(),
            name: Some(name.clone()),
            version: Some(self.version.clone()),
        };
        let common = Arc::new(Common::new(Region::NAME, ident, Some(secret.clone())));
        let known = Arc::new(watch::Sender::new(Vec::new()));
        let (admission, admissions) = (self.settings.admission, self.admissions());
        self.answering.add(Arc::clone(&common));
        self.answering.add(Arc::new(MeshResponders::new(
            admission,
            admissions,
            Arc::clone(&known),
        )));
        let responders = self.answering.finish(Region::NAME)?;
        common.describe_as(responders.schemas().collect());

        let listener = self.transport.listen(&self.listen).await.map_err(StartError::Listen)?;
        let entry = RegionEntry {
            id: self.id,
            name,
            addresses: listener.reachable(&self.advertise),
            version: self.version,
            started: to_the_millisecond(SystemTime::now()),
        };
        known.send_replace(vec![entry.clone()]);
        self.settings.registry.announce(&entry).await?;
        tracing::info!(name = entry.name, address = listener.address(), "a region listens");
        let running = Running { entry, secret, responders: Arc::new(responders), known };
        let controller = RegionController::new(self.settings, running, listener.address());
        serve::start(&controller, self.services, listener);
        Ok(controller)
    }
}

fn default_name() -> String {
    format!("{}:pid={}", host_name(), std::process::id())
}

/// Registries keep milliseconds, and entries are compared.
fn to_the_millisecond(time: SystemTime) -> SystemTime {
    let elapsed = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    UNIX_EPOCH + Duration::from_millis(ms)
}

impl std::fmt::Debug for RegionBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegionBuilder")
            .field("name", &self.name)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}
