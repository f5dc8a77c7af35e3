//! What region and cluster processes have in common: their settings, and what becomes of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use amp_proto::{Limits, Lost, ResponderTable, Responders, RoleName, UnusableLimit};

use crate::answering::{Answering, AnsweringError};
use crate::commands::Ident;
use crate::common::Common;
use crate::connection::{HandshakeError, Handshaking, Link, Open};
use crate::farewell::drive_until_stopped;
use crate::lifetime::Lifetime;
use crate::once::OnceStore;
use crate::secret::Secret;
use crate::transport::{BoxStream, TcpTransport, Transport};

/// The settings of a process, whatever its role.
#[derive(Debug)]
pub struct ProcessSettings {
    /// The name for people.
    pub name: Option<String>,
    /// The version that others are told. Default: this crate's.
    pub version: String,
    /// The shared secret. It has to be given.
    pub secret: Option<Secret>,
    /// Where streams come from. Default: TCP.
    pub transport: Arc<dyn Transport>,
    /// What a connection will hold at most.
    pub limits: Limits,
    /// How long to wait for a client. Default 10 s.
    pub client_wait: Duration,
    /// How long what is under way may take to finish when the process stops, and how long a peer
    /// that says that it leaves may stay with nothing under way. Default 10 s.
    pub drain_timeout: Duration,
    /// What the application answers.
    pub answering: Answering,
}

/// Why a process cannot start with these settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// No secret was given. Without one nobody could prove that they belong.
    #[error("no shared secret was given")]
    NoSecret,
    /// With one of the limits nothing could work.
    #[error(transparent)]
    Limits(#[from] UnusableLimit),
    /// The responders do not fit the role or the vocabulary.
    #[error(transparent)]
    Answering(#[from] AnsweringError),
}

/// A process of the mesh, as its controller holds it: who it is, how it proves that, what it
/// answers, and how long it lives.
pub struct Process {
    /// Who it is, as it tells others.
    pub ident: Ident,
    /// Everything that it answers.
    pub responders: Arc<Responders>,
    /// Where its streams come from.
    pub transport: Arc<dyn Transport>,
    /// What each of its connections holds at most.
    pub limits: Arc<Limits>,
    /// How long to wait for a client.
    pub client_wait: Duration,
    /// Its tasks, and its end.
    pub lifetime: Arc<Lifetime>,
    once: Arc<OnceStore>,
    secret: Secret,
    drain_timeout: Duration,
}

impl Default for ProcessSettings {
    fn default() -> Self {
        Self {
            name: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            secret: None,
            transport: Arc::new(TcpTransport::new()),
            limits: Limits::default(),
            client_wait: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
            answering: Answering::new(),
        }
    }
}

impl ProcessSettings {
    /// The process of this role and identity, with the name that it has unless the settings say
    /// another. It answers what the application does, what its role does, which is `own`, and what
    /// every process does. Nothing runs yet.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn into_process<S: ResponderTable>(
        self,
        role: RoleName,
        ident: String,
        default_name: impl FnOnce() -> String,
        own: S,
    ) -> Result<Process, SettingsError> {
        let Self { transport, limits, client_wait, drain_timeout, mut answering, .. } = self;
        let secret = self.secret.ok_or(SettingsError::NoSecret)?;
        limits.check()?;
        let name = self.name.unwrap_or_else(default_name);
        let ident = Ident { ident, name: Some(name.clone()), version: Some(self.version) };
        let lifetime = Arc::new(Lifetime::new(role, name));
        let common = Common::new(role, ident.clone(), Some(secret.clone()))
            .close_left_after(drain_timeout, Arc::clone(&lifetime));
        let common = Arc::new(common);
        answering.add(Arc::clone(&common));
        answering.add(Arc::new(own));
        let responders = answering.finish(role)?;
        common.describe_as(responders.schemas().collect());
        let once = Arc::new(OnceStore::new(&limits, Arc::clone(&lifetime)));
        let (responders, limits) = (Arc::new(responders), Arc::new(limits));
        Ok(Process {
            ident,
            responders,
            transport,
            limits,
            client_wait,
            lifetime,
            once,
            secret,
            drain_timeout,
        })
    }
}

impl Process {
    /// Its name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        self.ident.name.as_deref().unwrap_or_default()
    }

    /// Takes a fresh stream to a peer of role `far` through the handshake.
    ///
    /// # Errors
    /// [`HandshakeError`]; the stream is closed.
    ///
    /// # Cancellation
    /// Dropping the future closes the stream.
    pub async fn authenticate(
        &self,
        stream: BoxStream,
        far: RoleName,
        address: String,
    ) -> Result<Open<BoxStream>, HandshakeError> {
        let handshaking = Handshaking::new(stream, far, address, Arc::clone(&self.limits));
        Box::pin(handshaking.authenticate(&self.secret)).await
    }

    /// Begins to answer on a connection. The future drives it to its end, in good order when the
    /// process stops, and says why it ended; dropping it drops the connection where it stands.
    pub fn drive(
        &self,
        open: Open<BoxStream>,
    ) -> (Arc<Link>, impl Future<Output = Lost> + Send + 'static) {
        let open = open.remembering(Arc::clone(&self.once));
        let (link, driving) = open.drive(Arc::clone(&self.responders));
        let (driven, stopping) = (Arc::clone(&link), self.lifetime.stopping().clone());
        (link, async move { drive_until_stopped(driven, driving, &stopping).await })
    }

    /// Leaves the mesh in good order, within the drain time-out of the settings.
    ///
    /// # Cancellation
    /// As [`Lifetime::shut_down`].
    pub async fn shut_down(&self) {
        self.lifetime.shut_down(self.drain_timeout).await;
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("ident", &self.ident)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}
