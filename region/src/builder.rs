//! From settings to a running region process.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use amp_proto::{
    CommandSchema, Limits, Region, ResponderTable, Responders, Role as _, RoleName, TwoResponders,
};
use futures_util::future::BoxFuture;
use mesh::commands::Ident;
use mesh::{ClusterId, Common, Listen, Pool, RegionId, Secret, TcpTransport, Transport};

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
    responders: Result<Responders, TwoResponders>,
    vocabulary: Vec<&'static CommandSchema>,
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
    /// Two of the responders answer the same command.
    #[error(transparent)]
    TwoResponders(#[from] TwoResponders),
    /// A responder answers a command that this side never gets.
    #[error("`{command}` is not a command that a region answers")]
    WrongDirection {
        /// The command's name.
        command: &'static str,
    },
    /// A command of the [vocabulary](RegionBuilder::vocabulary) has no responder.
    #[error("`{command}` has no responder")]
    Unanswered {
        /// The command's name.
        command: &'static str,
    },
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
            responders: Ok(Responders::new()),
            vocabulary: Vec::new(),
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
        if let Ok(responders) = &mut self.responders
            && let Err(error) = responders.add(responder)
        {
            self.responders = Err(error);
        }
        self
    }

    /// Commands of the application. [`RegionBuilder::start`] refuses to start when a region should
    /// answer one of them and no responder does.
    #[must_use]
    pub fn vocabulary(
        mut self,
        commands: impl IntoIterator<Item = &'static CommandSchema>,
    ) -> Self {
        self.vocabulary.extend(commands);
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
        let mut responders = std::mem::replace(&mut self.responders, Ok(Responders::new()))?;
        check_directions(&responders, RoleName::Region)?;
        check_answered(&responders, &self.vocabulary)?;

        let listener = self.transport.listen(&self.listen).await.map_err(StartError::Listen)?;
        let entry = RegionEntry {
            id: self.id.clone(),
            name: self.name.take().unwrap_or_else(default_name),
            addresses: listener.reachable(&self.advertise),
            version: self.version.clone(),
            started: to_the_millisecond(SystemTime::now()),
        };
        let ident = Ident {
            ident: entry.id.to_string(),
            name: Some(entry.name.clone()),
            version: Some(entry.version.clone()),
        };
        let common = Arc::new(Common::new(Region::NAME, ident, Some(secret.clone())));
        responders.add(Arc::clone(&common))?;
        let known = Arc::new(tokio::sync::watch::Sender::new(vec![entry.clone()]));
        let admissions = self.admissions();
        let mesh = MeshResponders::new(self.settings.admission, admissions, Arc::clone(&known));
        responders.add(Arc::new(mesh))?;
        common.describe_as(responders.schemas().collect());

        self.settings.registry.announce(&entry).await?;
        tracing::info!(name = entry.name, address = listener.address(), "a region listens");
        let running = Running { entry, secret, responders: Arc::new(responders), known };
        let controller = RegionController::new(self.settings, running, listener.address());
        serve::start(&controller, self.services, listener);
        Ok(controller)
    }
}

fn check_directions(responders: &Responders, role: RoleName) -> Result<(), StartError> {
    let wrong = responders.schemas().find(|schema| !schema.answered_by.contains(&role));
    wrong.map_or(Ok(()), |schema| Err(StartError::WrongDirection { command: schema.name }))
}

fn check_answered(
    responders: &Responders,
    vocabulary: &[&'static CommandSchema],
) -> Result<(), StartError> {
    let is_ours = |schema: &&&CommandSchema| schema.answered_by.contains(&RoleName::Region);
    let is_answered =
        |schema: &CommandSchema| responders.schemas().any(|answered| answered.name == schema.name);
    let gap = vocabulary.iter().filter(is_ours).find(|schema| !is_answered(schema));
    gap.map_or(Ok(()), |schema| Err(StartError::Unanswered { command: schema.name }))
}

fn default_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let host = host.unwrap_or_else(|_| "localhost".to_owned());
    format!("{}:pid={}", host.trim(), std::process::id())
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
