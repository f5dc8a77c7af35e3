//! The end of a connection when its process stops: in good order, whatever stage it was at.

use std::pin::pin;
use std::sync::Arc;

use amp_proto::{Cluster, Lost};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::connection::{Ended, Link};
use crate::until::{First, until};

/// Drives a connection to its end. When `stopping` is cancelled it leaves in good order: the peer
/// is told, what is in flight may finish, and the connection is closed.
///
/// # Cancellation
/// Dropping the future drops the connection where it stands.
pub(crate) async fn drive_until_stopped<S>(
    link: Arc<Link>,
    driving: impl Future<Output = Ended<S>>,
    stopping: &CancellationToken,
) -> Lost {
    let mut driving = pin!(driving);
    let ended = match until(stopping.cancelled(), &mut driving).await {
        First::Done(ended) => ended,
        First::Ended(()) => {
            // Both sides answer `Leave`, so it does not matter which of them this is.
            let client = Client::<Cluster>::new(link);
            let leaving = Box::pin(async move { client.leave().await });
            tokio::join!(driving, leaving).0
        }
    };
    ended.lost
}
