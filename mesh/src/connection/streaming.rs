//! Calls with streams: what the caller holds while items flow.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use amp_proto::{
    Arguments, AskId, AskRefused, AskResult, CallError, EncodeFields, ItemRefused, ItemSender,
    Lost, Metadata, ReceivedBox, SenderId, StreamHost, StreamId, Streaming, response_of,
};
use tokio::sync::OwnedSemaphorePermit;

use super::link::Link;
use crate::agreement::Features;
use crate::context::CallContext;

impl StreamHost for Link {
    fn poll_send(
        &self,
        stream: StreamId,
        sender: SenderId,
        item: &dyn EncodeFields,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ItemRefused>> {
        let sent = self.exchange().poll_send(stream, sender, item, cx);
        if sent.is_ready() {
            self.stir();
        }
        sent
    }

    fn poll_item(&self, stream: StreamId, cx: &mut Context<'_>) -> Poll<Option<ReceivedBox>> {
        let item = self.exchange().poll_item(stream, cx);
        if let Poll::Ready(Some(_)) = &item {
            // There may be credit to give.
            self.stir();
        }
        item
    }

    fn end_items(&self, stream: StreamId) {
        self.exchange().end_items(stream);
        self.stir();
    }

    fn refuse_items(&self, stream: StreamId) {
        self.exchange().refuse_items(stream);
        self.stir();
    }

    fn lost(&self) -> Option<Lost> {
        self.exchange().lost().cloned()
    }
}

impl Link {
    /// Makes an ask with a stream beside it, that ends by itself after `time`, if it has any.
    pub(crate) fn open_stream<C: Streaming>(
        self: &Arc<Self>,
        command: &C,
        time: Option<Duration>,
    ) -> Result<StreamingCall<C>, AskRefused> {
        // The peer works on it like on any other ask.
        let turn = self.turn_now()?;
        let trace = self.trace(CallContext::current().trace());
        let metadata = Metadata {
            deadline: time.filter(|_| self.has(Features::DEADLINE)),
            trace: trace.as_deref().map(str::as_bytes),
            ..Metadata::default()
        };
        let deadline = self.clock().now().after(time.unwrap_or(Duration::MAX));
        let name = C::NAME.as_bytes();
        let mut exchange = self.exchange_with_room()?;
        let (ask, stream) = exchange.ask_streaming(name, command, deadline, &metadata)?;
        drop(exchange);
        self.stir();
        let (link, sender) = (Arc::clone(self), SenderId::next());
        let waiting = Some(Waiting { ask, time, _turn: turn });
        Ok(StreamingCall { open: Open { link, waiting, stream, sender }, outcome: None })
    }
}

/// A call under way, beside which items flow. Made by [`Client::stream`](crate::Client::stream).
///
/// Dropped before its outcome, it stops the command at the peer, at its next await.
pub struct StreamingCall<C: Streaming> {
    open: Open,
    /// The response, once it came while somebody asked for an item.
    outcome: Option<C::Response>,
}

/// The ask and its stream. Both are given up with it.
struct Open {
    link: Arc<Link>,
    /// Until there is an outcome.
    waiting: Option<Waiting>,
    stream: StreamId,
    sender: SenderId,
}

struct Waiting {
    ask: AskId,
    time: Option<Duration>,
    _turn: OwnedSemaphorePermit,
}

impl<C: Streaming> StreamingCall<C>
where
    C::Takes: Sync,
{
    /// The end that sends what the command takes, for another task. Dropping it says that there is
    /// no more.
    ///
    /// Made twice, the ends share the stream, and the first that is dropped ends it.
    #[must_use]
    pub fn sender(&self) -> ItemSender<C::Takes> {
        let Open { link, stream, .. } = &self.open;
        let host: Arc<dyn StreamHost> = Arc::<Link>::clone(link);
        ItemSender::new(host, *stream)
    }

    /// Sends one item, once the peer has room for it.
    ///
    /// # Errors
    /// [`ItemRefused`]; the item was not sent. When the call is over, [`StreamingCall::finish`]
    /// says how it ended.
    ///
    /// # Cancellation
    /// Dropping the future before it is done sends nothing.
    pub async fn send(&mut self, item: C::Takes) -> Result<(), ItemRefused> {
        let Open { link, stream, sender, .. } = &self.open;
        std::future::poll_fn(|cx| link.poll_send(*stream, *sender, &item, cx)).await
    }
}

impl<C: Streaming> StreamingCall<C> {
    /// Says that no more items will be sent. The peer may go on.
    pub fn end(&mut self) {
        self.open.link.end_items(self.open.stream);
    }

    /// Waits for the next item; `None` after the last, when the response is there for
    /// [`StreamingCall::finish`].
    ///
    /// # Errors
    /// How the call ended, if not with a response: [`CallError::Declared`] is the responder's own
    /// refusal, [`CallError::Lost`] says why no more can come. [`CallError::Decode`] for an item
    /// that is not what the command declares.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<C::Gives>, CallError<C::Error>> {
        let Open { link, stream, .. } = &self.open;
        let item = std::future::poll_fn(|cx| link.poll_item(*stream, cx)).await;
        match item {
            Some(item) => {
                let item = C::Gives::decode(&item.fields());
                item.map(Some).map_err(CallError::Decode)
            }
            None if self.outcome.is_some() => Ok(None),
            None => {
                self.outcome = Some(self.open.outcome::<C>().await?);
                Ok(None)
            }
        }
    }

    /// Says that no more items will be sent, if that was not said, drops those that were not taken,
    /// and waits for the response.
    ///
    /// # Errors
    /// As [`Client::call`](crate::Client::call).
    ///
    /// # Cancellation
    /// Dropping the future stops the command at the peer.
    pub async fn finish(mut self) -> Result<C::Response, CallError<C::Error>> {
        let Open { link, stream, .. } = &self.open;
        link.end_items(*stream);
        link.refuse_items(*stream);
        match self.outcome.take() {
            Some(response) => Ok(response),
            None => self.open.outcome::<C>().await,
        }
    }
}

impl Open {
    async fn outcome<C: Streaming>(&mut self) -> Result<C::Response, CallError<C::Error>> {
        let over = || CallError::Lost { lost: Lost::ClosedHere, maybe_done: true };
        let Waiting { ask, time, .. } = *self.waiting.as_ref().ok_or_else(over)?;
        let link = &self.link;
        let outcome: AskResult = std::future::poll_fn(|cx| link.poll_ask(ask, cx)).await;
        self.waiting = None;
        // Nothing more comes or goes, so another may be opened in its place.
        link.exchange().close_stream(self.stream);
        response_of::<C>(outcome, time.unwrap_or(link.limits().call_timeout))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.link.exchange().close_stream(self.stream);
        if let Some(Waiting { ask, .. }) = self.waiting {
            self.link.abandon(ask);
        }
    }
}

impl<C: Streaming> fmt::Debug for StreamingCall<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamingCall").field("stream", &self.open.stream).finish_non_exhaustive()
    }
}
