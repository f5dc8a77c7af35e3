//! What region and cluster processes have in common: their settings, and what becomes of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use amp_proto::{
    Command, Limits, Lost, PublicKey, ResponderTable, Responders, RoleName, UnusableLimit,
};
use tokio::time::Instant;

use crate::answering::{Answering, AnsweringError};
use crate::budget::{BudgetTooSmall, MemoryBudget, MemoryWatch, Shedding};
use crate::clock::later;
use crate::commands::Ident;
use crate::common::Common;
use crate::connection::{HandshakeError, Handshaking, Link, Open, PeerKey, RefusedAsk};
use crate::farewell::drive_until_stopped;
use crate::keys::{KeyPair, Peeked, Pins, Tls, TlsError};
use crate::lifetime::Lifetime;
use crate::once::OnceStore;
use crate::secret::Secret;
use crate::transport::{BoxStream, TcpTransport, Transport};
use crate::x509::X509Identity;

/// The settings of a process, whatever its role.
#[derive(Debug)]
pub struct ProcessSettings {
    /// The name for people.
    pub name: Option<String>,
    /// The version that others are told. Default: this crate's.
    pub version: String,
    /// The shared secret, for plain AMP. Either this or a key pair has to be given.
    pub secret: Option<Secret>,
    /// The key pair that the process is known by, for TLS.
    pub key_pair: Option<KeyPair>,
    /// The certificate for plain AMP to go on in TLS, by StartTLS, before anything else is said.
    pub start_tls: Option<X509Identity>,
    /// The keys of the region processes that are known. Only clusters need them.
    pub pins: Pins,
    /// Where streams come from. Default: TCP.
    pub transport: Arc<dyn Transport>,
    /// What a connection will hold at most.
    pub limits: Limits,
    /// How much memory the process may have. Default: what the operating system allows it.
    pub memory_budget: MemoryBudget,
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
    /// Neither a key pair nor a secret was given. Without one nobody could prove that they belong.
    #[error("neither a key pair nor a shared secret was given")]
    NoIdentity,
    /// A cluster was given a key pair and a secret. It proves itself by one of them, and falls back
    /// to no other.
    #[error("a key pair and a shared secret were given, and a cluster has one of them")]
    TwoIdentities,
    /// A certificate for StartTLS was given, and no secret. The certificate protects the way; who
    /// belongs to the mesh is still known by the secret.
    #[error("a certificate for StartTLS was given, and no shared secret beside it")]
    StartTlsWithoutSecret,
    /// With one of the limits nothing could work.
    #[error(transparent)]
    Limits(#[from] UnusableLimit),
    /// So little memory is not enough for any process.
    #[error(transparent)]
    MemoryBudget(#[from] BudgetTooSmall),
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
    /// What memory it has, and whether that is too much.
    pub memory: Arc<MemoryWatch>,
    shedding: Arc<Shedding>,
    once: Arc<OnceStore>,
    secret: Option<Secret>,
    tls: Option<Tls>,
    start_tls: Option<X509Identity>,
    drain_timeout: Duration,
}

/// What became of a stream that arrived.
#[derive(Debug)]
#[non_exhaustive]
pub enum Received {
    /// The peer knows the shared secret.
    Open(Open<BoxStream>),
    /// The peer has a key. Whose it is has to be found out.
    Key(Arrived),
}

/// A peer that has shown by TLS that it has a key, and nothing else.
#[derive(Debug)]
pub struct Arrived {
    handshaking: Handshaking<BoxStream>,
    key: PublicKey,
    own: PublicKey,
}

impl Default for ProcessSettings {
    fn default() -> Self {
        Self {
            name: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            secret: None,
            key_pair: None,
            start_tls: None,
            pins: Pins::new([]),
            transport: Arc::new(TcpTransport::new()),
            limits: Limits::default(),
            memory_budget: MemoryBudget::default(),
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
        let (secret, pair, start_tls) = (self.secret, self.key_pair, self.start_tls);
        match (&secret, &pair, role) {
            (None, None, _) => return Err(SettingsError::NoIdentity),
            (Some(_), Some(_), RoleName::Cluster) => return Err(SettingsError::TwoIdentities),
            (None, Some(_), _) if start_tls.is_some() => {
                return Err(SettingsError::StartTlsWithoutSecret);
            }
            _ => {}
        }
        let tls = pair.map(|pair| Tls::new(&pair, self.pins));
        limits.check()?;
        let memory = Arc::new(MemoryWatch::new(self.memory_budget)?);
        let name = self.name.unwrap_or_else(default_name);
        let ident = Ident { ident, name: Some(name.clone()), version: Some(self.version) };
        let lifetime = Arc::new(Lifetime::new(role, name));
        let common = Common::new(role, ident.clone(), secret.clone())
            .close_left_after(drain_timeout, Arc::clone(&lifetime));
        let common = Arc::new(common);
        let own = Arc::new(own);
        let mut of_mesh = Responders::new();
        of_mesh.add(Arc::clone(&common)).map_err(AnsweringError::from)?;
        of_mesh.add(Arc::clone(&own)).map_err(AnsweringError::from)?;
        let shedding = Arc::new(Shedding::new(Arc::clone(&memory), &of_mesh));
        answering.add(Arc::clone(&common));
        answering.add(own);
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
            memory,
            shedding,
            once,
            secret,
            tls,
            start_tls,
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

    /// The key that the process shows, if it has one.
    #[must_use]
    pub fn key(&self) -> Option<PublicKey> {
        self.tls.as_ref().map(Tls::key)
    }

    /// Shows another key from now on; connections that are open stay as they are. Nothing happens
    /// in a process without a key.
    pub fn change_key(&self, pair: &KeyPair) {
        if let Some(tls) = &self.tls {
            tls.change_key(pair);
        }
    }

    /// The keys of the region processes that are believed, if the process has a key itself.
    #[must_use]
    pub fn pins(&self) -> Option<&Pins> {
        self.tls.as_ref().map(Tls::pins)
    }

    /// Whether peers are accepted that speak plain AMP and know the shared secret; where there is a
    /// certificate for it, after StartTLS.
    #[must_use]
    pub fn accepts_plain(&self) -> bool {
        self.secret.is_some()
    }

    /// Takes a fresh stream to a region through the handshake: by key if this process has one, and
    /// otherwise by the shared secret, within TLS if there is a certificate for StartTLS. There is
    /// no falling back from one to the other.
    ///
    /// # Errors
    /// [`HandshakeError`]; the stream is closed.
    ///
    /// # Cancellation
    /// Dropping the future closes the stream.
    pub async fn open(
        &self,
        stream: BoxStream,
        address: String,
    ) -> Result<Open<BoxStream>, HandshakeError> {
        let Some(tls) = &self.tls else {
            let until = later(Instant::now(), self.limits.handshake_timeout);
            return self.authenticate(stream, RoleName::Region, address, until).await;
        };
        connect(tls, stream, address, Arc::clone(&self.limits)).await
    }

    /// Takes a stream that arrived from a cluster through the handshake. The first byte tells TLS
    /// from plain AMP.
    ///
    /// # Errors
    /// [`HandshakeError`]; the stream is closed.
    ///
    /// # Cancellation
    /// Dropping the future closes the stream.
    pub async fn receive(
        &self,
        stream: BoxStream,
        address: String,
    ) -> Result<Received, HandshakeError> {
        let far = RoleName::Cluster;
        let began = Instant::now();
        let Some(tls) = &self.tls else {
            let until = later(began, self.limits.handshake_timeout);
            return self.authenticate(stream, far, address, until).await.map(Received::Open);
        };
        let mut stream = Peeked::new(stream);
        if self.is_plain(&mut stream).await? {
            // Whoever begins late with StartTLS has less time left; whoever is asked for a proof
            // has all of it.
            let from = if self.start_tls.is_some() { began } else { Instant::now() };
            let until = later(from, self.limits.handshake_timeout);
            let opened = self.authenticate(Box::new(stream), far, address, until).await;
            return opened.map(Received::Open);
        }
        // From the first byte to the last of an ask, whatever has to be looked up between.
        let after = self.limits.handshake_timeout;
        let until = later(began, after);
        let accepting = Box::pin(tls.accept(Box::new(stream)));
        let accepted = tokio::time::timeout_at(until, accepting).await;
        let accepted = accepted.map_err(|_| HandshakeError::TimedOut { after })?;
        let (stream, key, own) = accepted.map_err(of_tls)?;
        let handshaking = Handshaking::new(stream, far, address, Arc::clone(&self.limits));
        let handshaking = handshaking.until(until);
        Ok(Received::Key(Arrived { handshaking, key, own }))
    }

    /// Whether the peer speaks plain AMP. One that says nothing is waiting for us to begin, as
    /// only AMP allows.
    async fn is_plain(&self, stream: &mut Peeked) -> Result<bool, HandshakeError> {
        /// The first byte of a TLS record that holds a handshake. In AMP it is the high byte of a
        /// key's length, and zero.
        const TLS_HANDSHAKE: u8 = 0x16;
        let after = self.limits.handshake_timeout / 2;
        match tokio::time::timeout(after, stream.first()).await {
            Ok(Ok(Some(TLS_HANDSHAKE))) => Ok(false),
            Ok(Ok(None)) => Err(HandshakeError::Lost(Lost::ClosedByPeer)),
            Ok(Err(error)) => Err(HandshakeError::Lost(Lost::Broken { reason: error.to_string() })),
            Ok(Ok(Some(_))) if self.secret.is_none() => Err(HandshakeError::PlainRefused),
            Err(_) if self.secret.is_none() => Err(HandshakeError::TimedOut { after }),
            Ok(Ok(Some(_))) | Err(_) => Ok(true),
        }
    }

    /// Takes a fresh stream to a peer of role `far` through the handshake by the shared secret,
    /// after StartTLS if there is a certificate for it.
    async fn authenticate(
        &self,
        stream: BoxStream,
        far: RoleName,
        address: String,
        until: Instant,
    ) -> Result<Open<BoxStream>, HandshakeError> {
        let secret = self.secret.as_ref().ok_or(HandshakeError::PlainRefused)?;
        let handshaking = Handshaking::new(stream, far, address, Arc::clone(&self.limits));
        let handshaking = handshaking.until(until);
        let handshaking = match (&self.start_tls, far) {
            (None, _) => handshaking,
            // Clusters dial, and whoever dials asks.
            (Some(x509), RoleName::Region) => handshaking.ask_start_tls(x509).await?,
            (Some(x509), RoleName::Cluster) => handshaking.answer_start_tls(x509).await?,
        };
        Box::pin(handshaking.authenticate(secret)).await
    }

    /// Begins to watch over its memory, until it stops.
    pub fn watch_memory(&self) {
        let memory = Arc::clone(&self.memory);
        self.lifetime.run_until_stopping(async move { memory.run().await });
    }

    /// Begins to answer on a connection. The future drives it to its end, in good order when the
    /// process stops, or where it stands when that is aborted, and says why it ended; dropping it
    /// drops the connection where it stands.
    pub fn drive(
        &self,
        open: Open<BoxStream>,
    ) -> (Arc<Link>, impl Future<Output = Lost> + Send + Unpin + use<>) {
        let open = open.remembering(Arc::clone(&self.once)).shedding(Arc::clone(&self.shedding));
        let (link, driving) = open.drive(Arc::clone(&self.responders));
        let (stopping, aborting) =
            (self.lifetime.stopping().clone(), self.lifetime.aborting().clone());
        // In a box, as those who await it would have room for it twice.
        let driving = Box::pin(drive_until_stopped(Arc::clone(&link), driving, stopping, aborting));
        (link, driving)
    }

    /// Leaves the mesh in good order, within the drain time-out of the settings.
    ///
    /// # Cancellation
    /// As [`Lifetime::shut_down`].
    pub async fn shut_down(&self) {
        self.lifetime.shut_down(self.drain_timeout).await;
    }
}

/// Opens a connection to a region by key, outside of any process: to join it.
///
/// # Errors
/// [`HandshakeError`]; the stream is closed.
///
/// # Cancellation
/// Dropping the future closes the stream.
pub async fn connect_by_key(
    stream: BoxStream,
    address: String,
    pair: &KeyPair,
    pins: Pins,
    limits: Arc<Limits>,
) -> Result<Open<BoxStream>, HandshakeError> {
    connect(&Tls::new(pair, pins), stream, address, limits).await
}

async fn connect(
    tls: &Tls,
    stream: BoxStream,
    address: String,
    limits: Arc<Limits>,
) -> Result<Open<BoxStream>, HandshakeError> {
    let after = limits.handshake_timeout;
    let connected = tokio::time::timeout(after, Box::pin(tls.connect(stream))).await;
    let connected = connected.map_err(|_| HandshakeError::TimedOut { after })?;
    let (stream, key, own) = connected.map_err(of_tls)?;
    let handshaking = Handshaking::new(stream, RoleName::Region, address, limits);
    Ok(handshaking.known_by_key(PeerKey { key, ident: None, own }))
}

impl Arrived {
    /// The key.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// When all has to be over: a [`Limits::handshake_timeout`] after the stream arrived. Whose key
    /// it is has to be found out by then.
    #[must_use]
    pub fn until(&self) -> Instant {
        self.handshaking.ends()
    }

    /// The key is that of `ident`.
    #[must_use]
    pub fn known_as(self, ident: String) -> Open<BoxStream> {
        let Self { handshaking, key, own } = self;
        handshaking.known_by_key(PeerKey { key, ident: Some(ident), own })
    }

    /// The key is nobody's: one ask is answered, if it is the right one. See
    /// [`Handshaking::answer_one`].
    ///
    /// # Errors
    /// [`HandshakeError`].
    ///
    /// # Cancellation
    /// Dropping the future closes the stream.
    pub async fn answer_one<C, F>(
        self,
        answer: impl FnOnce(C) -> F,
        refusal: RefusedAsk,
    ) -> Result<(), HandshakeError>
    where
        C: Command,
        F: Future<Output = Result<C::Response, C::Error>>,
    {
        self.handshaking.answer_one(answer, refusal).await
    }
}

fn of_tls(error: TlsError) -> HandshakeError {
    match error {
        TlsError::NotPinned(key) => HandshakeError::UnknownRegion { key },
        TlsError::Failed { reason } => HandshakeError::Tls { reason },
        TlsError::Broken { reason } => HandshakeError::Lost(Lost::Broken { reason }),
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
