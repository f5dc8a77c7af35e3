//! Asking many peers the same thing.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use amp_proto::{AnsweredBy, CallError, Command, Role, WrittenFields};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, Stream, StreamExt as _};

use crate::Client;

/// How many calls [`gather`] has under way at once.
pub const GATHER_CONCURRENCY: usize = 64;

/// What one peer made of a command: the client that was asked, and its answer.
pub type Gathered<R, C> =
    (Client<R>, Result<<C as Command>::Response, CallError<<C as Command>::Error>>);

/// The answers to a command, as they arrive. Made by [`gather`].
///
/// [`Gathering::next`] is all that it takes; it is a [`Stream`] besides.
pub struct Gathering<R, C: Command> {
    waiting: vec::IntoIter<Client<R>>,
    command: Arc<Asked<C>>,
    concurrency: usize,
    calls: FuturesUnordered<BoxFuture<'static, Gathered<R, C>>>,
}

/// What everybody is asked.
enum Asked<C> {
    /// Encoded once, for everybody.
    Written(WrittenFields),
    /// The command itself: not every reader can read it, or none.
    Command(C),
}

impl<C: Command> Asked<C> {
    fn new(command: C) -> Self {
        WrittenFields::of(&command).map_or(Self::Command(command), Self::Written)
    }
}

/// Asks every client to carry out `command`, and gives each answer as it arrives. The command is
/// encoded once, unless it has a value of more than 65,535 bytes.
///
/// # Limits
/// At most [`GATHER_CONCURRENCY`] calls are under way at once; [`gather_with`] takes another bound.
///
/// # Errors
/// None of its own: every client's failure is an item.
///
/// # Cancellation
/// Nothing is asked before the first answer is waited for. Dropping the stream forgets the answers
/// that have not come, and makes no further calls.
///
/// # Examples
/// ```
/// # use amp_proto::{Cluster, Command};
/// # use mesh::{Client, gather};
/// # #[derive(Clone, Debug, Command)]
/// # #[command(answered_by = Cluster)]
/// # struct LockCellar;
/// async fn lock_all(cellars: Vec<Client<Cluster>>) {
///     let mut answers = gather(cellars, LockCellar);
///     while let Some((cellar, answer)) = answers.next().await {
///         println!("{}: {answer:?}", cellar.name());
///     }
/// }
/// ```
pub fn gather<R, C>(clients: impl IntoIterator<Item = Client<R>>, command: C) -> Gathering<R, C>
where
    R: Role,
    C: AnsweredBy<R> + Sync,
{
    gather_with(GATHER_CONCURRENCY, clients, command)
}

/// As [`gather`], with at most `concurrency` calls under way at once; at least one.
pub fn gather_with<R, C>(
    concurrency: usize,
    clients: impl IntoIterator<Item = Client<R>>,
    command: C,
) -> Gathering<R, C>
where
    R: Role,
    C: AnsweredBy<R> + Sync,
{
    let waiting: Vec<Client<R>> = clients.into_iter().collect();
    Gathering {
        waiting: waiting.into_iter(),
        command: Arc::new(Asked::new(command)),
        concurrency: concurrency.max(1),
        calls: FuturesUnordered::new(),
    }
}

impl<R, C> Gathering<R, C>
where
    R: Role,
    C: AnsweredBy<R> + Sync,
{
    /// The next answer, from whichever peer it comes; `None` after the last.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing: the calls stay under way, and go on when the next answer
    /// is waited for.
    pub async fn next(&mut self) -> Option<Gathered<R, C>> {
        std::future::poll_fn(|cx| self.poll_next_unpin(cx)).await
    }
}

impl<R, C> Stream for Gathering<R, C>
where
    R: Role,
    C: AnsweredBy<R> + Sync,
{
    type Item = Gathered<R, C>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        while this.calls.len() < this.concurrency {
            let Some(client) = this.waiting.next() else { break };
            let command = Arc::clone(&this.command);
            this.calls.push(Box::pin(async move {
                let answer = match &*command {
                    Asked::Written(fields) => client.call_with::<C, _>(fields).await,
                    Asked::Command(command) => client.call_with::<C, _>(command).await,
                };
                (client, answer)
            }));
        }
        this.calls.poll_next_unpin(cx)
    }
}

impl<R, C: Command> fmt::Debug for Gathering<R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathering")
            .field("command", &C::NAME)
            .field("waiting", &self.waiting.len())
            .field("under_way", &self.calls.len())
            .finish_non_exhaustive()
    }
}
