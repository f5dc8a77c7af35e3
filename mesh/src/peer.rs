//! The peer as responders see it, backed by a live connection.

use std::any::Any;
use std::sync::{Arc, Weak};

use amp_proto::{Authentication, Peer, PeerView, PublicKey, Role, RoleName};

use crate::client::Client;
use crate::connection::{Link, PeerInfo};

/// What a [`Peer`] of this crate's connections is made of.
///
/// It does not keep the connection alive: a responder that outlives it sees the last known facts.
#[derive(Debug)]
pub(crate) struct LinkPeer {
    link: Weak<Link>,
    info: Arc<PeerInfo>,
}

impl LinkPeer {
    pub(crate) fn new(link: &Arc<Link>) -> Self {
        Self { link: Arc::downgrade(link), info: link.peer_kept() }
    }
}

impl PeerView for LinkPeer {
    fn role(&self) -> Option<RoleName> {
        Some(self.info.role)
    }

    fn ident(&self) -> Option<String> {
        let admitted = self.link.upgrade().and_then(|link| link.ident().map(str::to_owned));
        // A key stands for an identity before anybody was admitted.
        admitted.or_else(|| self.info.key.as_ref()?.ident.clone())
    }

    fn address(&self) -> String {
        self.info.address.clone()
    }

    fn authentication(&self) -> Authentication {
        self.info.authentication
    }

    fn key(&self) -> Option<PublicKey> {
        self.info.key.as_ref().map(|key| key.key)
    }

    fn is_encrypted(&self) -> bool {
        self.info.is_encrypted
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What a responder can do with the [`Peer`] that asks, beyond knowing who it is.
pub trait PeerExt {
    /// The connection that the ask came through, while it lives.
    fn link(&self) -> Option<Arc<Link>>;

    /// A client that asks the same peer back, through the same connection. `None` when the
    /// connection is gone or the peer has another role.
    fn client<R: Role>(&self) -> Option<Client<R>>;
}

impl PeerExt for Peer {
    fn link(&self) -> Option<Arc<Link>> {
        self.view().downcast_ref::<LinkPeer>()?.link.upgrade()
    }

    fn client<R: Role>(&self) -> Option<Client<R>> {
        let link = self.link()?;
        (link.peer().role == R::NAME).then(|| Client::new(link))
    }
}
