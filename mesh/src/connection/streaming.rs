//! Calls with streams: what the caller holds while items flow.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::line::Turn;
use super::link::Link;
use crate::agreement::Features;
use crate::context::CallContext;
use amp_proto::{
    Arguments, AskId, AskRefused, AskResult, AskStopped, CallError, EncodeFields, ItemRefused,
    ItemSender, Lost, Metadata, ReceivedBox, SenderId, StreamHost, StreamId, Streaming,
    response_of,
};

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
        let waiting = Some(Waiting { ask, _turn: turn });
        let timeout = time.unwrap_or(self.limits().call_timeout);
        let open = Open { link, waiting, outcome: None, timeout, stream, sender };
        Ok(StreamingCall { open, command: PhantomData })
    }
}

/// A call under way, beside which items flow. Made by [`Client::stream`](crate::Client::stream).
///
/// Dropped before its outcome, it stops the command at the peer, at its next await.
pub struct StreamingCall<C: Streaming> {
    open: Open,
    command: PhantomData<fn() -> C>,
}

/// The ask and its stream. Both are given up with it.
struct Open {
    link: Arc<Link>,
    /// Until there is an outcome.
    waiting: Option<Waiting>,
    /// The outcome, once it came while somebody asked for an item.
    outcome: Option<AskResult>,
    /// How long the call was waited for, if it ends for that.
    timeout: Duration,
    stream: StreamId,
    sender: SenderId,
}

struct Waiting {
    ask: AskId,
    _turn: Turn<Arc<Link>>,
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
    /// How the call ended, if not with a response, and the same again if it is asked again:
    /// [`CallError::Declared`] is the responder's own refusal, [`CallError::Lost`] says why no more
    /// can come. [`CallError::Decode`] for an item
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
            None => match self.open.outcome().await {
                Ok(_) => Ok(None),
                Err(stopped) => {
                    let stopped = Err(stopped.clone());
                    response_of::<C>(stopped, self.open.timeout).map(|_| None)
                }
            },
        }
    }

    /// Says that no more items will be sent, if that was not said, and that no more are wanted,
    /// drops those that were not taken, and waits for the response. The responder's
    /// [`ItemSender::send`] fails from then on, and it is for the responder to answer all the same.
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
        let outcome = self.open.outcome().await.clone();
        response_of::<C>(outcome, self.open.timeout)
    }
}

impl Open {
    /// Waits for the outcome of the call, if it is not there yet.
    async fn outcome(&mut self) -> &AskResult {
        if let Some(Waiting { ask, .. }) = self.waiting {
            let link = &self.link;
            let outcome = std::future::poll_fn(|cx| link.poll_ask(ask, cx)).await;
            self.waiting = None;
            // Nothing more comes or goes, so another may be opened in its place.
            link.exchange().close_stream(self.stream);
            self.outcome = Some(outcome);
        }
        let lost = || Err(AskStopped::Lost { lost: Lost::ClosedHere, sent: true });
        self.outcome.get_or_insert_with(lost)
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
