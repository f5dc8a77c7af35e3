//! The other end of a connection, as a responder sees it.

use alloc::string::String;
use alloc::sync::Arc;
use core::any::Any;
use core::fmt;

use crate::connection::StreamId;
use crate::streaming::{StreamEnd, StreamHost};
use crate::{PublicKey, RoleName};

/// Who asks. Cheap to clone.
///
/// What it tells can change while the connection lives: a cluster has no identity before it is
/// admitted.
#[derive(Clone)]
pub struct Peer {
    view: Arc<dyn PeerView>,
    /// Of the ask that is being answered.
    stream: Option<StreamEnd>,
}

/// What a transport knows about the other end of a connection. Implemented once, by the mesh; tests
/// of responders use [`Peer::unknown`].
pub trait PeerView: Send + Sync + 'static {
    /// The peer's role, once it is known.
    fn role(&self) -> Option<RoleName>;

    /// The identity under which the peer was admitted: a cluster's or region process's uuid.
    fn ident(&self) -> Option<String>;

    /// Where it is, as text for people: `192.0.2.7:51324`.
    fn address(&self) -> String;

    /// How it proved who it is.
    fn authentication(&self) -> Authentication;

    /// The key whose possession it proved, if that is how. Default: none.
    fn key(&self) -> Option<PublicKey> {
        None
    }

    /// Whether nobody on the way can read what goes over the connection. Default: `false`.
    fn is_encrypted(&self) -> bool {
        false
    }

    /// The transport's own view, for its extension traits.
    fn as_any(&self) -> &dyn Any;
}

/// How a peer proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authentication {
    /// It did not: a test, or a connection that was accepted without a handshake.
    Nothing,
    /// It knows the shared secret.
    SharedSecret,
    /// It came through a socket that only this user can open.
    LocalSocket,
    /// It has the private key to the public key under which it is known.
    Key,
}

impl Peer {
    /// A peer over the given view of it.
    #[must_use]
    pub fn new(view: Arc<dyn PeerView>) -> Self {
        Self { view, stream: None }
    }

    /// The same peer, as the one who opened this stream.
    #[must_use]
    pub fn with_stream(&self, host: Arc<dyn StreamHost>, id: StreamId) -> Self {
        Self { view: Arc::clone(&self.view), stream: Some(StreamEnd::new(host, id)) }
    }

    pub(crate) fn stream(&self) -> Option<&StreamEnd> {
        self.stream.as_ref()
    }

    /// A peer that nothing is known about, for unit tests of responders.
    #[must_use]
    pub fn unknown() -> Self {
        Self::new(Arc::new(Unknown))
    }

    /// The peer's role, once it is known.
    #[must_use]
    pub fn role(&self) -> Option<RoleName> {
        self.view.role()
    }

    /// The identity under which the peer was admitted, or `None` before that.
    #[must_use]
    pub fn ident(&self) -> Option<String> {
        self.view.ident()
    }

    /// Where the peer is, as text for people.
    #[must_use]
    pub fn address(&self) -> String {
        self.view.address()
    }

    /// How the peer proved who it is.
    #[must_use]
    pub fn authentication(&self) -> Authentication {
        self.view.authentication()
    }

    /// The key by which the peer is known. Only after [`Authentication::Key`].
    #[must_use]
    pub fn key(&self) -> Option<PublicKey> {
        self.view.key()
    }

    /// Whether nobody on the way can read what goes over the connection: it is TLS, from its first
    /// byte or since `StartTLS`. `false` for a socket that only this user can open.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.view.is_encrypted()
    }

    /// The transport's own view, for its extension traits.
    #[must_use]
    pub fn view(&self) -> &dyn Any {
        self.view.as_any()
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("role", &self.role())
            .field("ident", &self.ident())
            .field("address", &self.address())
            .field("authentication", &self.authentication())
            .field("key", &self.key())
            .field("is_encrypted", &self.is_encrypted())
            .finish()
    }
}

struct Unknown;

impl PeerView for Unknown {
    fn role(&self) -> Option<RoleName> {
        None
    }

    fn ident(&self) -> Option<String> {
        None
    }

    fn address(&self) -> String {
        "unknown".into()
    }

    fn authentication(&self) -> Authentication {
        Authentication::Nothing
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
