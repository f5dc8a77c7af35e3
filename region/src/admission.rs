//! Who counts as a cluster of this region, and under which identity.

use std::sync::{Arc, Weak};

use amp_proto::{Authentication, Peer};
use mesh::{ClusterId, Link, PeerExt as _, Pool};

use crate::known_keys::KnownKeys;

/// When an authenticated peer is admitted as a cluster, so that `get_client_for` finds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Admission {
    /// As soon as it says who it is: it answers `Identify` with a uuid, or asks
    /// `RegisterCluster`. Default.
    #[default]
    Identity,
    /// When the application says so, from a responder of its own, through [`Admissions::admit`].
    Application,
}

/// Admits peers from an application's own registration command.
///
/// # Examples
/// ```
/// use amp_proto::{Arguments, Command, CommandError, Peer, Region, responders};
/// use region::{Admissions, ClusterId};
///
/// #[derive(Debug, Command)]
/// #[command(answered_by = Region, response = RackRegistered, errors = CannotRegister)]
/// struct RegisterRackController {
///     hostname: String,
/// }
///
/// #[derive(Debug, Arguments)]
/// struct RackRegistered {
///     system_id: String,
/// }
///
/// #[derive(Debug, thiserror::Error, CommandError)]
/// enum CannotRegister {
///     #[error("{0}")]
///     #[code("CANNOT_REGISTER")]
///     CannotRegister(String),
/// }
///
/// struct Tower {
///     admissions: Admissions,
/// }
///
/// #[responders]
/// impl Tower {
///     #[responder]
///     async fn register(
///         &self,
///         rack: RegisterRackController,
///         peer: &Peer,
///     ) -> Result<RackRegistered, CannotRegister> {
///         let cluster = ClusterId::random();
///         let admitted = self.admissions.admit(peer, cluster, Some(rack.hostname));
///         admitted.map_err(|error| CannotRegister::CannotRegister(error.to_string()))?;
///         Ok(RackRegistered { system_id: cluster.to_string() })
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Admissions {
    pool: Weak<Pool<ClusterId>>,
    keys: Weak<KnownKeys>,
}

/// Why a peer was not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdmissionError {
    /// The connection is gone, or the region shuts down.
    #[error("the connection is gone")]
    Gone,
    /// The peer was admitted under another identity before. One connection has one identity.
    #[error("the peer was admitted as {admitted_as} before")]
    OtherIdentity {
        /// That identity.
        admitted_as: String,
    },
    /// The identity belongs to the owner of a key, or once did, and the peer has another key, or
    /// showed none.
    #[error("{claimed} is the identity of another key")]
    BoundToKey {
        /// The identity.
        claimed: ClusterId,
    },
    /// The peer never proved that it belongs to the mesh.
    #[error("the peer has not proved that it is a cluster")]
    Unauthenticated,
}

impl Admissions {
    pub(crate) fn new(pool: &Arc<Pool<ClusterId>>, keys: &Arc<KnownKeys>) -> Self {
        Self { pool: Arc::downgrade(pool), keys: Arc::downgrade(keys) }
    }

    /// Admits the peer as `cluster`: from now on `get_client_for` finds it. Admitting it again
    /// under the same identity changes nothing.
    ///
    /// # Errors
    /// [`AdmissionError`].
    pub fn admit(
        &self,
        peer: &Peer,
        cluster: ClusterId,
        name: Option<String>,
    ) -> Result<(), AdmissionError> {
        let link = peer.link().ok_or(AdmissionError::Gone)?;
        self.admit_link(&link, cluster, name, None)
    }

    pub(crate) fn admit_link(
        &self,
        link: &Arc<Link>,
        cluster: ClusterId,
        name: Option<String>,
        version: Option<String>,
    ) -> Result<(), AdmissionError> {
        let pool = self.pool.upgrade().ok_or(AdmissionError::Gone)?;
        let keys = self.keys.upgrade().ok_or(AdmissionError::Gone)?;
        let ident = cluster.to_string();
        let (authentication, key) = (link.peer().authentication, &link.peer().key);
        let is_bound_elsewhere = match (authentication, key) {
            (Authentication::Key, Some(key)) => key.ident.as_ref() != Some(&ident),
            (Authentication::SharedSecret, _) => keys.is_bound(&cluster),
            // Whoever comes through a local socket may do much, but is no cluster.
            _ => return Err(AdmissionError::Unauthenticated),
        };
        if is_bound_elsewhere {
            return Err(AdmissionError::BoundToKey { claimed: cluster });
        }
        if link.admit(&ident, name, version) {
            pool.insert(cluster, Arc::clone(link));
            let peer = &link.peer().address;
            tracing::info!(peer, cluster = %cluster, name = link.name(), "a cluster is connected");
            // The key may have come while we admitted it.
            if authentication == Authentication::SharedSecret && keys.is_bound(&cluster) {
                pool.remove(&cluster, link);
                return Err(AdmissionError::BoundToKey { claimed: cluster });
            }
            if link.is_open() {
                return Ok(());
            }
            // It was lost while we admitted it; nobody else will take it out.
            pool.remove(&cluster, link);
            return Err(AdmissionError::Gone);
        }
        match link.ident() {
            Some(admitted_as) if admitted_as != ident => {
                Err(AdmissionError::OtherIdentity { admitted_as: admitted_as.to_owned() })
            }
            _ => Ok(()),
        }
    }
}
