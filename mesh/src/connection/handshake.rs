//! The handshake: both sides prove at once that they know the shared secret, as MAAS does it.
//!
//! Each side asks `Authenticate` with a challenge, and answers with
//! `HMAC-SHA256(secret, challenge + salt)`. Until the peer's proof is there nothing else is
//! answered; a few asks that come early are held back.

use std::sync::Arc;

use amp_proto::{
    Arguments as _, AskEvent, AskId, AskResult, Authentication, Command, Connection, Limits, Lost,
    Moment, OneLine, Peer, PeerMisbehaved, PublicKey, Responders, RoleName,
};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use super::driver::{Driver, Ended};
use super::link::{Link, PeerInfo, PeerKey};
use super::proof::{challenge, is_challenge_of, judge, proof};
use super::running::Running;
use super::start_tls::of_tls;
use crate::budget::Shedding;
use crate::clock::later;
use crate::commands::Authenticate;
use crate::once::OnceStore;
use crate::peer::LinkPeer;
use crate::secret::Secret;

/// A connection on which nobody is authenticated, and nothing can be asked but for a proof.
#[derive(Debug)]
pub struct Handshaking<S> {
    pub(super) stream: S,
    pub(super) connection: Connection,
    pub(super) peer: PeerInfo,
    pub(super) limits: Arc<Limits>,
    /// When it has to be over.
    pub(super) until: Instant,
    pub(super) held: Vec<AskEvent>,
    pub(super) received_bytes: usize,
    /// Why the peer's proof was none.
    pub(super) failed: Option<HandshakeError>,
}

/// A connection that is ready to be driven.
#[derive(Debug)]
pub struct Open<S> {
    stream: S,
    connection: Connection,
    peer: PeerInfo,
    limits: Arc<Limits>,
    held: Vec<AskEvent>,
    once: Option<Arc<OnceStore>>,
    shedding: Option<Arc<Shedding>>,
}

/// Why a connection was not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer gave a wrong proof: one side has another secret. Retrying soon is no use.
    #[error("the peer does not know the shared secret")]
    WrongSecret,
    /// The peer handed our own kind of challenge back to us: somebody tries to have us answer for
    /// them.
    #[error("the peer sent a challenge of our own side back to us")]
    Reflected,
    /// The peer answered `Authenticate` with an error.
    #[error("the peer refuses to authenticate: {}: {}", OneLine(.code), OneLine(.description))]
    Refused {
        /// The code on the wire.
        code: String,
        /// The peer's words.
        description: String,
    },
    /// The region shows a key that is not known here: it is another region, or somebody stands
    /// between. Retrying soon is no use.
    #[error("the region shows the key {key}, which is not known here")]
    UnknownRegion {
        /// The key that it shows.
        key: PublicKey,
    },
    /// The peer cannot do TLS as it is done here: it has no key or certificate, shows something
    /// else, or none of the authorities stands behind what either side shows.
    #[error("TLS failed: {reason}")]
    Tls {
        /// What is the matter, in the words of the TLS library.
        reason: String,
    },
    /// The peer speaks plain AMP, and that is not accepted here.
    #[error("the peer speaks plain AMP, which is not accepted here")]
    PlainRefused,
    /// StartTLS is required here, and the peer asked something else first, in the clear. It was
    /// told so, and not answered. It has to be made to use StartTLS; or whoever is on the way keeps
    /// it from that.
    #[error("the peer asked `{asked}` in the clear, and StartTLS comes first here")]
    StartTlsRequired {
        /// What it asked, made printable.
        asked: String,
    },
    /// StartTLS is required here, and the peer that was dialled does not do it. Give it a
    /// certificate; or whoever is on the way answers in its place.
    #[error("the peer does not start TLS: {}: {}", OneLine(.code), OneLine(.description))]
    StartTlsRefused {
        /// The code on the wire.
        code: String,
        /// The peer's words.
        description: String,
    },
    /// Bytes in the clear stood behind StartTLS, where TLS has to begin: anybody on the way can
    /// have put them there. They were not read.
    #[error("bytes in the clear came behind StartTLS: somebody on the way may have put them there")]
    ClearBehindStartTls,
    /// The key of the peer is enrolled nowhere: it has to join first.
    #[error("the key {key} is not enrolled")]
    NotEnrolled {
        /// The key.
        key: PublicKey,
    },
    /// The key of the peer was revoked.
    #[error("the key {key} was revoked")]
    KeyRevoked {
        /// The key.
        key: PublicKey,
    },
    /// It cannot be found out whose key it is.
    #[error("whose key {key} is cannot be found out: {reason}")]
    KeyUnclear {
        /// The key.
        key: PublicKey,
        /// What is the matter.
        reason: String,
    },
    /// The peer does not speak AMP as it should.
    #[error(transparent)]
    PeerMisbehaved(PeerMisbehaved),
    /// The stream ended first.
    #[error(transparent)]
    Lost(Lost),
    /// The handshake took too long.
    #[error("the handshake was not over after {} ms", .after.as_millis())]
    TimedOut {
        /// How long it was given.
        after: std::time::Duration,
    },
}

impl HandshakeError {
    /// Whether trying again soon is of no use: a person has to mend the configuration first.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::WrongSecret
                | Self::Reflected
                | Self::Refused { .. }
                | Self::UnknownRegion { .. }
                | Self::PlainRefused
                | Self::StartTlsRequired { .. }
                | Self::StartTlsRefused { .. }
        )
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Handshaking<S> {
    /// Begins on a fresh stream to a peer of the given role.
    #[must_use]
    pub fn new(stream: S, role: RoleName, address: String, limits: Arc<Limits>) -> Self {
        let until = later(Instant::now(), limits.handshake_timeout);
        Self {
            stream,
            connection: Connection::new(Arc::clone(&limits)),
            peer: PeerInfo {
                role,
                address,
                authentication: Authentication::Nothing,
                key: None,
                is_encrypted: false,
            },
            limits,
            until,
            held: Vec::new(),
            received_bytes: 0,
            failed: None,
        }
    }

    /// For a handshake that began before there was anything to be read: when it has to be over.
    #[must_use]
    pub(crate) fn until(mut self, until: Instant) -> Self {
        self.until = until;
        self
    }

    /// When it has to be over.
    pub(crate) fn ends(&self) -> Instant {
        self.until
    }

    /// Opens the connection without a handshake. Only for streams that nobody else can reach, such
    /// as a socket in a directory of this user.
    #[must_use]
    pub fn trusted(mut self) -> Open<S> {
        self.peer.authentication = Authentication::LocalSocket;
        self.open()
    }

    /// Opens the connection to a peer that has shown by TLS whose key it has: there is nothing left
    /// to prove.
    #[must_use]
    pub fn known_by_key(mut self, key: PeerKey) -> Open<S> {
        self.peer.authentication = Authentication::Key;
        self.peer.key = Some(Box::new(key));
        self.peer.is_encrypted = true;
        self.open()
    }

    /// Proves that we know `secret` and has the peer prove it.
    ///
    /// # Limits
    /// [`Limits::handshake_timeout`] from [`Handshaking::new`] on, [`Limits::handshake_bytes_max`],
    /// [`Limits::handshake_asks_max`].
    ///
    /// # Errors
    /// [`HandshakeError`]; the stream is closed.
    ///
    /// # Cancellation
    /// Dropping the future closes the stream.
    pub async fn authenticate(mut self, secret: &Secret) -> Result<Open<S>, HandshakeError> {
        let after = self.limits.handshake_timeout;
        let proved = timeout_at(self.until, self.exchange_proofs(secret)).await;
        let proved = proved.unwrap_or_else(|_| {
            // A proof that was wrong says more than that nothing came after it.
            Err(self.failed.take().unwrap_or(HandshakeError::TimedOut { after }))
        });
        match proved {
            Ok(()) => {
                self.peer.authentication = Authentication::SharedSecret;
                Ok(self.open())
            }
            Err(error) => {
                // The peer may be waiting for a last answer; whether it takes it is its affair.
                let _closed =
                    tokio::time::timeout(std::time::Duration::from_secs(1), self.stream.shutdown())
                        .await;
                Err(error)
            }
        }
    }

    fn open(self) -> Open<S> {
        let Self { stream, connection, peer, limits, held, .. } = self;
        Open { stream, connection, peer, limits, held, once: None, shedding: None }
    }

    async fn exchange_proofs(&mut self, secret: &Secret) -> Result<(), HandshakeError> {
        let own_role = match self.peer.role {
            RoleName::Region => RoleName::Cluster,
            RoleName::Cluster => RoleName::Region,
        };
        let challenge = challenge(secret, own_role);
        let deadline = Moment::START.after(self.limits.handshake_timeout);
        let ask = Authenticate { message: Bytes::copy_from_slice(&challenge) };
        let asked = self.connection.ask(&ask, deadline);
        let mut asked = Some(asked.map_err(|_| HandshakeError::Lost(Lost::ClosedHere))?);
        let (mut proved, mut answered) = (false, false);
        loop {
            loop {
                let event = self.poll_event()?;
                // What stands before the event in the stream has been dealt with.
                if let Some(outcome) = self.poll_asked(&mut asked) {
                    match judge(outcome, &challenge, secret) {
                        Ok(()) => proved = true,
                        Err(error) => self.failed = Some(error),
                    }
                }
                let Some(event) = event else { break };
                if event.command == Authenticate::NAME.as_bytes() {
                    self.prove(&event, secret, own_role)?;
                    answered = true;
                } else {
                    self.hold(event, proved)?;
                }
            }
            self.flush().await?;
            if proved {
                return Ok(());
            }
            // Let the peer find out by itself that the secrets differ.
            if answered && let Some(error) = self.failed.take() {
                return Err(error);
            }
            match self.read().await {
                Err(HandshakeError::Lost(lost)) => {
                    return Err(self.failed.take().unwrap_or(HandshakeError::Lost(lost)));
                }
                read => read?,
            }
        }
    }

    pub(super) fn poll_event(&mut self) -> Result<Option<AskEvent>, HandshakeError> {
        self.connection.poll_event().map_err(HandshakeError::PeerMisbehaved)
    }

    pub(super) fn poll_asked(&mut self, asked: &mut Option<AskId>) -> Option<AskResult> {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let id = (*asked)?;
        match self.connection.poll_ask(id, &mut cx) {
            std::task::Poll::Ready(outcome) => {
                *asked = None;
                Some(outcome)
            }
            std::task::Poll::Pending => None,
        }
    }

    fn prove(
        &mut self,
        event: &AskEvent,
        secret: &Secret,
        own_role: RoleName,
    ) -> Result<(), HandshakeError> {
        let AskEvent { tag, received, .. } = event;
        match Authenticate::decode(&received.fields()) {
            Ok(Authenticate { message }) => {
                if is_challenge_of(&message, secret, own_role) {
                    return Err(HandshakeError::Reflected);
                }
                let proof = proof(secret, &message);
                if self.connection.answer(tag.as_deref(), &proof).is_err() {
                    self.connection.refuse(tag.as_deref(), "UNKNOWN", "Unknown Error");
                }
            }
            Err(error) => {
                let description = format!("Unknown Error: {error}");
                self.connection.refuse(tag.as_deref(), "UNKNOWN", &description);
            }
        }
        Ok(())
    }

    /// Keeps an ask until the connection is open. What follows the proof in the same read is no
    /// stranger's any more.
    fn hold(&mut self, event: AskEvent, proved: bool) -> Result<(), HandshakeError> {
        let max = self.limits.handshake_asks_max;
        if !proved && self.held.len() >= max {
            let misbehaved = PeerMisbehaved::TooEager { what: "asks", max };
            return Err(HandshakeError::PeerMisbehaved(misbehaved));
        }
        self.held.push(event);
        Ok(())
    }

    pub(super) async fn flush(&mut self) -> Result<(), HandshakeError> {
        if let Some(bytes) = self.connection.poll_transmit() {
            self.stream.write_all(&bytes).await.map_err(|error| of_tls(&error))?;
            self.stream.flush().await.map_err(|error| of_tls(&error))?;
        }
        Ok(())
    }

    pub(super) async fn read(&mut self) -> Result<(), HandshakeError> {
        let mut bytes = [0; 1024];
        let read = self.stream.read(&mut bytes).await.map_err(|error| of_tls(&error))?;
        if read == 0 {
            return Err(HandshakeError::Lost(Lost::ClosedByPeer));
        }
        self.received_bytes += read;
        let max = self.limits.handshake_bytes_max;
        if self.received_bytes > max {
            let misbehaved = PeerMisbehaved::TooEager { what: "bytes", max };
            return Err(HandshakeError::PeerMisbehaved(misbehaved));
        }
        self.connection.handle_bytes(bytes.get(..read).unwrap_or_default());
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Open<S> {
    /// Has calls that are made once remembered there. Without it they are refused.
    #[must_use]
    pub fn remembering(mut self, once: Arc<OnceStore>) -> Self {
        self.once = Some(once);
        self
    }

    /// Has asks refused while the process is short of memory. Without it they never are.
    #[must_use]
    pub(crate) fn shedding(mut self, shedding: Arc<Shedding>) -> Self {
        self.shedding = Some(shedding);
        self
    }

    /// Gives the link, through which clients ask, and the future that drives the connection to its
    /// end and answers with `responders`. Nothing happens unless it is polled.
    pub fn drive(
        self,
        responders: Arc<Responders>,
    ) -> (Arc<Link>, impl Future<Output = Ended<S>> + Send + Unpin) {
        let Self { stream, connection, peer, limits, held, once, shedding } = self;
        let (inbound, exchange) = connection.into_parts();
        let link = Link::new(exchange, peer, limits);
        let peer = Peer::new(Arc::new(LinkPeer::new(&link)));
        let running = Running::new(responders, peer, once, shedding);
        let mut driver = Box::new(Driver::new(stream, inbound, Arc::clone(&link), running));
        // In boxes: a future that awaits another has room for it twice, and there are many of them
        // around this one, for as long as the connection lasts.
        let driving = Box::pin(async move {
            for ask in &held {
                driver.answer_held(ask);
            }
            drop(held);
            driver.run().await
        });
        (link, driving)
    }

    /// What is known of the peer.
    #[must_use]
    pub fn peer(&self) -> &PeerInfo {
        &self.peer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret::from_hex("00112233445566778899aabbccddeeff").unwrap()
    }

    async fn meet(theirs: Secret) -> [Result<Authentication, HandshakeError>; 2] {
        let (near, far) = tokio::io::duplex(4096);
        let limits = Arc::new(Limits::default());
        let region =
            Handshaking::new(far, RoleName::Cluster, "cluster".to_owned(), Arc::clone(&limits));
        let cluster = Handshaking::new(near, RoleName::Region, "region".to_owned(), limits);
        let ours = secret();
        let met = tokio::join!(region.authenticate(&ours), cluster.authenticate(&theirs));
        let how = |open: Open<_>| open.peer().authentication;
        [met.0.map(how), met.1.map(how)]
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_share_a_secret_open_a_connection() {
        assert_eq!(meet(secret()).await, [const { Ok(Authentication::SharedSecret) }; 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn with_different_secrets_both_sides_find_out_and_say_so() {
        assert_eq!(meet(Secret::generate()).await, [const { Err(HandshakeError::WrongSecret) }; 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_says_nothing_is_given_five_seconds() {
        let (_silent, far) = tokio::io::duplex(4096);
        let limits = Arc::new(Limits::default());
        let region = Handshaking::new(far, RoleName::Cluster, "silent".to_owned(), limits);
        let started = Instant::now();
        let refused = region.authenticate(&secret()).await.unwrap_err();
        assert_eq!(refused, HandshakeError::TimedOut { after: std::time::Duration::from_secs(5) });
        assert!(started.elapsed() < std::time::Duration::from_secs(7));
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_challenge_is_not_answered_for_somebody_else() {
        let (mut thief, far) = tokio::io::duplex(4096);
        let limits = Arc::new(Limits::default());
        let region = Handshaking::new(far, RoleName::Cluster, "thief".to_owned(), limits);
        let ours = secret();
        let stealing = async {
            // The region's ask, sent back to it as it is.
            let mut ask = [0; 256];
            let bytes = thief.read(&mut ask).await.unwrap();
            thief.write_all(&ask[..bytes]).await.unwrap();
        };
        let (refused, ()) = tokio::join!(region.authenticate(&ours), stealing);
        assert_eq!(refused.unwrap_err(), HandshakeError::Reflected);
    }
}
