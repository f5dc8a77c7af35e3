//! Joining: how the key of a cluster becomes known.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use amp_proto::{CallError, Limits, PublicKey, Region, Responders, RoleName};
use bytes::Bytes;
use mesh::commands::{CannotJoin, Join, Joined, Ping};
use mesh::{
    Client, ClusterId, HandshakeError, InviteToken, KeyPair, Pins, TcpTransport, Transport,
    connect_by_key,
};

/// A cluster that is to join a region.
#[derive(Debug)]
pub struct Joining {
    /// What it was given.
    pub token: InviteToken,
    /// The key that it is to be known by.
    pub key_pair: KeyPair,
    /// The identity that the key is to stand for.
    pub uuid: ClusterId,
    /// A name for people.
    pub name: String,
    /// Where streams come from. Default: TCP.
    pub transport: Arc<dyn Transport>,
    /// How long it may take to open a stream. Default 3 s.
    pub connect_timeout: Duration,
    /// What the connection holds at most, and how long the region may take to answer:
    /// [`Limits::handshake_timeout`].
    pub limits: Limits,
}

/// What a cluster knows that has joined. It has to be kept: nobody else is believed to be a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The keys of the region processes.
    pub keys: Vec<PublicKey>,
    /// Where they are.
    pub addresses: Vec<String>,
}

/// How [`Joining::enrol`] went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Enrolled {
    /// What has to be kept.
    pub membership: Membership,
    /// Whether the key was enrolled already: the region did not look at the token this time.
    pub had_joined: bool,
}

/// Why a cluster has not joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// Nobody answers at the addresses of the token.
    #[error("cannot connect to {address}")]
    Connect {
        /// The last address that was tried.
        address: String,
        /// Why there.
        #[source]
        error: io::Error,
    },
    /// The connection was lost, or nothing more came, before the region had shown its key. It may
    /// have too much to do; or something is in the way. Trying again may help.
    #[error("the connection to {address} did not come about")]
    Interrupted {
        /// The address.
        address: String,
        /// What happened to it.
        #[source]
        error: HandshakeError,
    },
    /// Whoever answers is not the region that the token is from, or does not behave like it.
    #[error("{address} is not to be trusted with the token")]
    Handshake {
        /// The address.
        address: String,
        /// Why.
        #[source]
        error: HandshakeError,
    },
    /// The region refuses, or does not answer.
    #[error("the region at {address} does not let us in")]
    Refused {
        /// The address.
        address: String,
        /// Why.
        #[source]
        error: CallError<CannotJoin>,
    },
}

impl Joining {
    /// A cluster that joins over TCP.
    #[must_use]
    pub fn new(
        token: InviteToken,
        key_pair: KeyPair,
        uuid: ClusterId,
        name: impl Into<String>,
    ) -> Self {
        Self {
            token,
            key_pair,
            uuid,
            name: name.into(),
            transport: Arc::new(TcpTransport::new()),
            connect_timeout: Duration::from_secs(3),
            limits: Limits::default(),
        }
    }

    /// Shows the token to the region: the secret in it is sent to nobody but the owner of a key
    /// that stands in the token. Addresses are tried in order, until one answers, and has its keys
    /// at hand. If the answer is lost, it can be tried again with the same key pair.
    ///
    /// # Errors
    /// [`JoinError`].
    ///
    /// # Cancellation
    /// Dropping the future leaves open whether the cluster has joined.
    pub async fn join(&self) -> Result<Membership, JoinError> {
        Ok(self.enrol().await?.membership)
    }

    /// As [`Joining::join`], and tells whether the key was enrolled before.
    ///
    /// # Errors
    /// [`JoinError`].
    ///
    /// # Cancellation
    /// As [`Joining::join`].
    pub async fn enrol(&self) -> Result<Enrolled, JoinError> {
        let mut failed = None;
        for address in &self.token.addresses {
            match Box::pin(self.join_at(address)).await {
                Ok((Joined { keys, mut addresses }, had_joined)) => {
                    // The region may be behind an address that it does not know itself.
                    if !addresses.contains(address) {
                        addresses.insert(0, address.clone());
                    }
                    let membership = Membership { keys, addresses };
                    return Ok(Enrolled { membership, had_joined });
                }
                // Another process may have a way to the keys.
                Err(
                    error @ JoinError::Refused {
                        error: CallError::Declared(CannotJoin::Unavailable),
                        ..
                    },
                ) => failed = Some(error),
                Err(error @ JoinError::Refused { error: CallError::Declared(_), .. }) => {
                    return Err(error);
                }
                // What says more than that nobody was there is worth more.
                Err(error @ JoinError::Connect { .. }) => failed = failed.or(Some(error)),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| JoinError::Connect {
            address: String::new(),
            error: io::ErrorKind::AddrNotAvailable.into(),
        }))
    }

    async fn join_at(&self, address: &str) -> Result<(Joined, bool), JoinError> {
        let connecting =
            tokio::time::timeout(self.connect_timeout, self.transport.connect(address)).await;
        let stream = connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream =
            stream.map_err(|error| JoinError::Connect { address: address.to_owned(), error })?;
        let limits = Arc::new(self.limits.clone());
        let pins = Pins::new(self.token.keys.iter().copied());
        let opened = connect_by_key(stream, address.to_owned(), &self.key_pair, pins, limits).await;
        let open = opened.map_err(|error| {
            let address = address.to_owned();
            match error {
                HandshakeError::Lost(_) | HandshakeError::TimedOut { .. } => {
                    JoinError::Interrupted { address, error }
                }
                error => JoinError::Handshake { address, error },
            }
        })?;
        debug_assert_eq!(open.peer().role, RoleName::Region);
        let (link, driving) = open.drive(Arc::new(Responders::new()));
        let client = Client::<Region>::new(link).within(self.limits.handshake_timeout);
        let join = Join {
            invite: Bytes::copy_from_slice(&self.token.id.0),
            secret: Bytes::copy_from_slice(self.token.secret.as_bytes()),
            uuid: self.uuid.to_string(),
            name: self.name.clone(),
        };
        let (answer, _ended) = tokio::join!(
            async {
                let answer = client.call(join).await;
                // The connection of a cluster that was enrolled before is left open by the region,
                // which closes that of one whose ask to join it has just answered.
                let had_joined = answer.is_ok() && client.call(Ping).await.is_ok();
                client.leave().await;
                answer.map(|joined| (joined, had_joined))
            },
            driving
        );
        answer.map_err(|error| JoinError::Refused { address: address.to_owned(), error })
    }
}
