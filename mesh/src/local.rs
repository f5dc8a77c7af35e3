//! AMP over a stream that only this user can open, without a handshake: an operator's socket, a
//! pipe to a child process.

use std::sync::Arc;

use amp_proto::{Limits, Lost, Responders, Role, RoleName};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::client::Client;
use crate::connection::{Handshaking, Link};

/// Runs a connection to a peer of role `R` over a trusted stream: the client that asks the peer,
/// and the future that drives the connection and answers the peer's asks.
///
/// # Examples
/// ```
/// # use std::sync::Arc;
/// # use amp_proto::{Cluster, Limits, Region, Responders};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (near, far) = tokio::io::duplex(4096);
/// let nobody = Arc::new(Responders::new());
/// let limits = Limits::default();
/// let (client, driving) =
///     mesh::connect_trusted::<Region, _>(near, Arc::clone(&nobody), limits.clone());
/// let (_, answering) = mesh::connect_trusted::<Cluster, _>(far, nobody, limits);
/// tokio::select! {
///     pinged = client.ping() => assert!(pinged.is_ok()),
///     _ = driving => unreachable!(),
///     _ = answering => unreachable!(),
/// }
/// # }
/// ```
pub fn connect_trusted<R, S>(
    stream: S,
    responders: Arc<Responders>,
    limits: Limits,
) -> (Client<R>, impl Future<Output = Lost> + Send)
where
    R: Role,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (link, driving) = run_trusted(stream, R::NAME, "local socket", responders, limits);
    (Client::new(link), driving)
}

/// As [`connect_trusted`], with the role as a value and a name for the logs.
pub fn run_trusted<S>(
    stream: S,
    role: RoleName,
    address: &str,
    responders: Arc<Responders>,
    limits: Limits,
) -> (Arc<Link>, impl Future<Output = Lost> + Send)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshaking = Handshaking::new(stream, role, address.to_owned(), Arc::new(limits));
    let (link, driving) = handshaking.trusted().drive(responders);
    (link, async { driving.await.lost })
}
