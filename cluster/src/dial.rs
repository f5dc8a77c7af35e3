//! One attempt to connect to a region process: dial, prove, say who we are, hear who it is.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use amp_proto::{CallError, Lost, Never, OneLine, Region};
use futures_util::FutureExt as _;
use mesh::commands::{
    Ident, Identify, KEY_REVOKED, ListRegionKeys, ListRegions, NOT_ENROLLED, RegionKeys, RegionRow,
    Regions, RegisterCluster, RegisterClusterError,
};
use mesh::{Client, HandshakeError, Link, RegionId, chain};

use crate::builder::RegistrationRefused;
use crate::controller::Inner;
use crate::responders::learn;

/// A region process that we are connected to.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) region: RegionId,
    pub(crate) link: Arc<Link>,
    /// The region processes that it knows; `None` from a stock region.
    pub(crate) others: Option<Listed>,
}

/// An answer to `ListRegions`.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) regions: Vec<RegionRow>,
    /// How often regions had told of others by themselves when this one was asked.
    pub(crate) told_before: u64,
}

/// What came of trying the addresses of one place.
#[derive(Debug, Default)]
pub(crate) struct Attempt {
    /// Everyone who is now connected, whether looked for or not.
    pub(crate) reached: Vec<Reached>,
    /// Unless the place was reached: each address that was tried, and what went wrong there.
    pub(crate) failures: Vec<(String, DialError)>,
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DialError {
    /// No stream could be opened. Nobody listens at the address, or the way there is broken.
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    /// No stream was open within the `connect_timeout` of the settings. The way is broken, or the
    /// other machine is down.
    #[error("cannot connect within {} ms", .0.as_millis())]
    ConnectTimedOut(Duration),
    /// Whoever answers is a region process, and not the one that was looked for. What others told
    /// of the address is out of date, or true elsewhere only.
    #[error("another region process, {0}, answers there")]
    SomeoneElse(RegionId),
    /// The handshake failed; the error says whose fault it is.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The region did not answer `Identify`. The fault is the region's.
    #[error("the region does not say who it is")]
    Identify(#[source] CallError<Never>),
    /// The region did not admit us, or gave no good answer. Its words say why.
    #[error("the region does not take the registration")]
    Register(#[source] CallError<RegisterClusterError>),
    /// The region answered `ListRegions` with an error. The fault is the region's.
    #[error("the region does not say where the others are")]
    List(#[source] CallError<Never>),
    /// The region answered `ListRegionKeys` with an error. The fault is the region's.
    #[error("the region does not say which keys regions have")]
    Keys(#[source] CallError<Never>),
    /// All that comes after the handshake took longer than the `handshake_timeout` of the limits.
    /// The region is too slow, or the application's own registration is.
    #[error("the registration took longer than {} ms", .0.as_millis())]
    RegisterTimedOut(Duration),
    /// The connection went first. The region restarts, perhaps; to try again is right.
    #[error("the connection was lost before the registration was done")]
    Lost(#[source] Lost),
    /// The application's own registration panicked. That is a bug of the application's.
    #[error("the application's registration panicked")]
    Panicked,
    /// The region does not know our key, or has revoked it. Only a person can mend that.
    #[error("the region refuses our key: {}", OneLine(.description))]
    KeyRefused {
        /// Whether it was known once.
        is_revoked: bool,
        /// The region's words.
        description: String,
    },
    /// The region turned the application's own registration down; only a person can mend that.
    #[error(transparent)]
    Refused(#[from] RegistrationRefused),
}

/// How bad a failure is, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gravity {
    /// Nobody was there, or somebody else.
    Absent,
    /// Somebody was there, and it went wrong.
    Failed,
    /// Trying again soon is of no use.
    Refused,
}

impl DialError {
    pub(crate) fn gravity(&self) -> Gravity {
        match self {
            Self::Connect(_) | Self::ConnectTimedOut(_) | Self::SomeoneElse(_) | Self::Lost(_) => {
                Gravity::Absent
            }
            Self::Handshake(error) if error.is_refusal() => Gravity::Refused,
            Self::Refused(_) | Self::KeyRefused { .. } | Self::Register(CallError::Declared(_)) => {
                Gravity::Refused
            }
            Self::Handshake(_)
            | Self::Identify(_)
            | Self::Register(_)
            | Self::List(_)
            | Self::Keys(_)
            | Self::RegisterTimedOut(_)
            | Self::Panicked => Gravity::Failed,
        }
    }
}

/// Tries the addresses in order until `wanted` is reached, or, if nobody in particular is wanted,
/// anyone.
///
/// # Cancellation
/// Dropping the future closes the connection that is being introduced. Those that have been go on,
/// so the future is dropped only at the end of the process.
pub(crate) async fn dial_any(
    inner: &Arc<Inner>,
    wanted: Option<&RegionId>,
    addresses: &[String],
) -> Attempt {
    let mut attempt = Attempt::default();
    for address in addresses {
        // A panic of the application's must not end more than this attempt.
        let dialling = AssertUnwindSafe(Box::pin(dial(inner, wanted, address))).catch_unwind();
        let error = match dialling.await.unwrap_or(Err(DialError::Panicked)) {
            Ok(reached) if wanted.is_none_or(|wanted| *wanted == reached.region) => {
                attempt.reached.push(reached);
                attempt.failures.clear();
                return attempt;
            }
            // Two machines may have the same private address. Whoever it is, it is a region.
            Ok(reached) => {
                let found = reached.region.clone();
                attempt.reached.push(reached);
                DialError::SomeoneElse(found)
            }
            Err(error) => error,
        };
        attempt.failures.push((address.clone(), error));
    }
    attempt
}

/// Connects to the region process at one address.
async fn dial(
    inner: &Arc<Inner>,
    wanted: Option<&RegionId>,
    address: &str,
) -> Result<Reached, DialError> {
    let process = &inner.process;
    let connecting = process.transport.connect(address);
    let within = inner.connect_timeout;
    let stream = tokio::time::timeout(within, connecting).await;
    let stream =
        stream.map_err(|_| DialError::ConnectTimedOut(within))?.map_err(DialError::Connect)?;
    let open = process.open(stream, address.to_owned()).await?;
    let (link, driving) = process.drive(open);
    let driven = Arc::clone(&link);
    let of = Arc::clone(inner);
    process.lifetime.run_to_its_end(async move {
        let lost = driving.await;
        if of.process.lifetime.is_aborted() {
            return;
        }
        let (region, address) = (driven.name(), &driven.peer().address);
        if let Lost::PeerMisbehaved(error) = &lost {
            let error = chain(error);
            tracing::warn!(region, address, %error, "the peer broke the protocol: disconnected");
        } else {
            tracing::info!(region, address, reason = %chain(&lost), "a connection ended");
        }
    });

    let mut half_open = HalfOpen { link: &link, is_introduced: false };
    let timeout = process.limits.handshake_timeout;
    let introduced = tokio::select! {
        // What the region said before it closed is worth more than that it closed.
        biased;
        introduced = tokio::time::timeout(timeout, introduce(inner, wanted, &link)) => introduced,
        lost = link.closed() => return Err(DialError::Lost(lost)),
    };
    let reached = introduced.map_err(|_| DialError::RegisterTimedOut(timeout))??;
    half_open.is_introduced = true;
    Ok(reached)
}

/// Closes a connection whose introduction comes to no good end, whatever the reason.
struct HalfOpen<'a> {
    link: &'a Link,
    is_introduced: bool,
}

impl Drop for HalfOpen<'_> {
    fn drop(&mut self) {
        if !self.is_introduced {
            self.link.close(Lost::ClosedHere);
        }
    }
}

/// Says who we are, hears who the region is, and registers.
async fn introduce(
    inner: &Arc<Inner>,
    wanted: Option<&RegionId>,
    link: &Arc<Link>,
) -> Result<Reached, DialError> {
    let timeout = inner.process.limits.handshake_timeout;
    let client = Client::<Region>::new(Arc::clone(link)).within(timeout);
    let asked = tokio::time::Instant::now();
    let (negotiated, identified) = tokio::join!(client.negotiate(), client.call(Identify));
    negotiated.map_err(key_refused)?;
    let Ident { ident, name, version } = identified.map_err(key_refused)?;
    link.set_round_trip(asked.elapsed());
    let region = RegionId::from(ident.clone());
    if wanted.is_some_and(|wanted| *wanted != region) && inner.pool.get(&region).is_some() {
        return Err(DialError::SomeoneElse(region));
    }
    let registered = client
        .call(RegisterCluster {
            uuid: inner.id,
            name: inner.process.name().to_owned(),
            version: inner.process.ident.version.clone().unwrap_or_default(),
        })
        .await;
    match registered {
        // A stock region knows us by our answer to its own `Identify`, or by what comes next.
        Ok(_) | Err(CallError::Unhandled { .. }) => {}
        Err(error) => return Err(DialError::Register(error)),
    }
    if let Some(register) = &inner.registration {
        register(client.clone()).await?;
    }
    if let (Some(pins), true) = (inner.process.pins(), link.peer().key.is_some()) {
        let told_before = inner.told.borrow().key_times;
        let RegionKeys { keys } = client.call(ListRegionKeys).await.map_err(DialError::Keys)?;
        // What somebody told since the question was asked may be newer than the answer.
        if inner.told.borrow().key_times == told_before {
            learn(pins, keys);
        }
    }
    let told_before = inner.told.borrow().times;
    let others = match client.call(ListRegions).await {
        Ok(Regions { regions }) => Some(Listed { regions, told_before }),
        Err(CallError::Unhandled { .. }) => None,
        Err(error) => return Err(DialError::List(error)),
    };
    let _first = link.admit(&ident, name, version);
    Ok(Reached { region, link: Arc::clone(link), others })
}

/// Whoever is not let in by its key hears of it in place of the first answer.
fn key_refused(error: CallError<Never>) -> DialError {
    match error {
        CallError::Undeclared { code, description }
            if [KEY_REVOKED, NOT_ENROLLED].contains(&code.as_str()) =>
        {
            DialError::KeyRefused { is_revoked: code == KEY_REVOKED, description }
        }
        error => DialError::Identify(error),
    }
}

#[cfg(test)]
mod tests {
    use mesh::chain;

    use super::*;

    #[test]
    fn a_failure_says_its_own_part_and_the_chain_all() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let lost = CallError::Lost { lost: Lost::ClosedByPeer, maybe_done: true };
        let known = [
            (DialError::Connect(refused), "cannot connect: connection refused"),
            (DialError::Identify(lost), "the region does not say who it is: "),
            (
                DialError::Lost(Lost::ClosedByPeer),
                "the connection was lost before the registration was",
            ),
        ];
        for (error, told) in known {
            let whole = chain(&error).to_string();
            assert!(whole.starts_with(told), "{whole}");
            assert!(whole.len() > error.to_string().len(), "{whole}");
        }
        let refused = DialError::Handshake(HandshakeError::WrongSecret);
        assert_eq!(chain(&refused).to_string(), "the peer does not know the shared secret");
    }
}
