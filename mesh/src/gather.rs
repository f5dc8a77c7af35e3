//! Asking many peers the same thing.

use amp_proto::{AnsweredBy, CallError, Role};
use futures_util::stream::{self, Stream, StreamExt as _};

use crate::Client;

/// How many calls [`gather`] has under way at once.
pub const GATHER_CONCURRENCY: usize = 64;

/// What one peer made of a command: the client that was asked, and its answer.
pub type Gathered<R, C> = (
    Client<R>,
    Result<<C as amp_proto::Command>::Response, CallError<<C as amp_proto::Command>::Error>>,
);

/// Asks every client to carry out `command`, and gives each answer as it arrives.
///
/// # Limits
/// At most [`GATHER_CONCURRENCY`] calls are under way at once; [`gather_with`] takes another bound.
///
/// # Errors
/// None of its own: every client's failure is an item.
///
/// # Cancellation
/// Dropping the stream forgets the answers that have not come, and makes no further calls.
///
/// # Examples
/// ```
/// # use amp_proto::{Cluster, Command};
/// # use mesh::{Client, gather};
/// use std::pin::pin;
///
/// use futures_util::StreamExt as _;
///
/// # #[derive(Clone, Debug, Command)]
/// # #[command(answered_by = Cluster)]
/// # struct LockCellar;
/// async fn lock_all(cellars: Vec<Client<Cluster>>) {
///     let mut answers = pin!(gather(cellars, LockCellar));
///     while let Some((cellar, answer)) = answers.next().await {
///         println!("{}: {answer:?}", cellar.name());
///     }
/// }
/// ```
pub fn gather<R, C>(
    clients: impl IntoIterator<Item = Client<R>>,
    command: C,
) -> impl Stream<Item = Gathered<R, C>>
where
    R: Role,
    C: AnsweredBy<R> + Clone + Sync,
{
    gather_with(GATHER_CONCURRENCY, clients, command)
}

/// As [`gather`], with at most `concurrency` calls under way at once; at least one.
pub fn gather_with<R, C>(
    concurrency: usize,
    clients: impl IntoIterator<Item = Client<R>>,
    command: C,
) -> impl Stream<Item = Gathered<R, C>>
where
    R: Role,
    C: AnsweredBy<R> + Clone + Sync,
{
    let calls = clients.into_iter().map(move |client| {
        let command = command.clone();
        async move {
            let answer = client.call(command).await;
            (client, answer)
        }
    });
    stream::iter(calls).buffer_unordered(concurrency.max(1))
}
