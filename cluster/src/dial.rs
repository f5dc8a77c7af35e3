//! One attempt to connect to a region process: dial, prove, say who we are, hear who it is.

use std::sync::Arc;
use std::time::Duration;

use amp_proto::{CallError, Never, Region, RoleName};
use mesh::commands::{Ident, Identify, ListRegions, RegionRow, RegisterCluster};
use mesh::{Client, HandshakeError, Handshaking, Link, RegionId};

use crate::builder::RegistrationRefused;
use crate::controller::Inner;

/// How long a TCP connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A region process that we are connected to.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) region: RegionId,
    pub(crate) link: Arc<Link>,
    /// The region processes that it knows; `None` from a stock region.
    pub(crate) others: Option<Vec<RegionRow>>,
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    #[error("cannot connect within {} s", CONNECT_TIMEOUT.as_secs())]
    ConnectTimedOut,
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
    #[error("the region does not say who it is: {0}")]
    Identify(CallError<Never>),
    #[error("the region does not take the registration: {0}")]
    Register(CallError<Never>),
    #[error("{0}")]
    Refused(#[from] RegistrationRefused),
}

impl DialError {
    /// Whether trying again soon is of no use.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Handshake(error) => error.is_refusal(),
            Self::Refused(_) => true,
            Self::Connect(_) | Self::ConnectTimedOut | Self::Identify(_) | Self::Register(_) => {
                false
            }
        }
    }
}

/// Connects to the region process at one address.
pub(crate) async fn dial(inner: &Arc<Inner>, address: &str) -> Result<Reached, DialError> {
    let settings = &inner.settings;
    let connecting = settings.transport.connect(address);
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
    let stream = stream.map_err(|_| DialError::ConnectTimedOut)?.map_err(DialError::Connect)?;
    let limits = Arc::new(settings.limits.clone());
    let handshaking = Handshaking::new(stream, RoleName::Region, address.to_owned(), limits);
    let open = handshaking.authenticate(&inner.secret).await?;
    let (link, driving) = open.drive(Arc::clone(&inner.responders));
    inner.keep(Arc::clone(&link), driving);
    let introduced = introduce(inner, &link).await;
    if introduced.is_err() {
        link.close(amp_proto::Lost::ClosedHere);
    }
    introduced
}

/// Says who we are, hears who the region is, and registers.
async fn introduce(inner: &Arc<Inner>, link: &Arc<Link>) -> Result<Reached, DialError> {
    let timeout = inner.settings.limits.handshake_timeout;
    let client = Client::<Region>::new(Arc::clone(link)).within(timeout);
    let asked = tokio::time::Instant::now();
    let Ident { ident, name, version } =
        client.call(Identify).await.map_err(DialError::Identify)?;
    link.set_round_trip(asked.elapsed());
    let registered = client
        .call(RegisterCluster {
            uuid: inner.ident.ident.clone(),
            name: inner.ident.name.clone().unwrap_or_default(),
            version: inner.ident.version.clone().unwrap_or_default(),
        })
        .await;
    match registered {
        // A stock region knows us by our answer to its own `Identify`, or by what comes next.
        Ok(_) | Err(CallError::Unhandled { .. }) => {}
        Err(error) => return Err(DialError::Register(error)),
    }
    if let Some(register) = &inner.settings.registration {
        register(client.clone()).await?;
    }
    let others = match client.call(ListRegions).await {
        Ok(listed) => Some(listed.regions),
        Err(CallError::Unhandled { .. }) => None,
        Err(error) => return Err(DialError::Register(error)),
    };
    let _first = link.admit(&ident, name, version);
    Ok(Reached { region: ident.into(), link: Arc::clone(link), others })
}
