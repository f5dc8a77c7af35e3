//! The end of a connection when its process stops: in good order, whatever stage it was at.

use std::sync::Arc;

use amp_proto::{Cluster, Lost};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::connection::{Ended, Link};
use crate::until::{First, until};

/// Drives a connection to its end. When `stopping` is cancelled it leaves in good order: the peer
/// is told, what is in flight may finish, and the connection is closed. When `aborting` is
/// cancelled as well, the connection is dropped where it stands.
///
/// # Cancellation
/// Dropping the future drops the connection where it stands.
pub(crate) async fn drive_until_stopped<S>(
    link: Arc<Link>,
    mut driving: impl Future<Output = Ended<S>> + Unpin,
    stopping: CancellationToken,
    aborting: CancellationToken,
) -> Lost {
    let farewell = match until(stopping.cancelled_owned(), &mut driving).await {
        First::Done(ended) => return ended.lost,
        // In a box: what it takes to leave is not kept for as long as the connection lasts.
        First::Ended(()) => Box::pin(until(aborting.cancelled_owned(), async move {
            // Both sides answer `Leave`, so it does not matter which of them this is.
            let client = Client::<Cluster>::new(link);
            tokio::join!(driving, client.leave()).0
        })),
    };
    match farewell.await {
        First::Done(ended) => ended.lost,
        First::Ended(()) => Lost::ClosedHere,
    }
}
