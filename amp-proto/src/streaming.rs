//! Streams as types: commands that take items, give items, or both.

use alloc::sync::Arc;
use core::fmt;
use core::future::poll_fn;
use core::marker::PhantomData;
use core::task::{Context, Poll};

use crate::Peer;
use crate::command::{Arguments, Command, EncodeFields, Never};
use crate::connection::{ItemRefused, Lost, SenderId, StreamId, StreamStopped};
use crate::error::{DecodeError, EncodeError, ValueError};
use crate::wire::{BoxWriter, Fields, ReceivedBox};

/// A command whose call carries items beside its arguments and its response. Implemented by
/// `#[derive(Command)]` for `takes = stream …` and `answers = stream …`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no stream",
    note = "declare one: `#[command(answers = stream …)]` or `#[command(takes = stream …)]`"
)]
pub trait Streaming: Command {
    /// What the caller sends. [`Never`] if it sends nothing.
    type Takes: Arguments;

    /// What the responder sends. [`Never`] if it sends nothing.
    type Gives: Arguments;
}

/// The fields of what `C` takes, for its schema.
#[must_use]
pub const fn takes_fields<C: Streaming>() -> &'static [crate::FieldSchema] {
    <C::Takes as Arguments>::FIELDS
}

/// The fields of what `C` gives, for its schema.
#[must_use]
pub const fn gives_fields<C: Streaming>() -> &'static [crate::FieldSchema] {
    <C::Gives as Arguments>::FIELDS
}

/// An item that never comes.
impl Arguments for Never {
    const FIELDS: &'static [crate::FieldSchema] = &[];

    fn encode(&self, _: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
        match *self {}
    }

    fn decode(_: &Fields<'_>) -> Result<Self, DecodeError> {
        Err(ValueError::Missing.at("item"))
    }
}

/// The connection that a stream is part of. Implemented once, by the mesh.
pub trait StreamHost: Send + Sync + 'static {
    /// Waits for credit, and sends an item. Each `sender` is woken for itself.
    ///
    /// # Errors
    /// [`ItemRefused`]: the item was not sent.
    fn poll_send(
        &self,
        stream: StreamId,
        sender: SenderId,
        item: &dyn EncodeFields,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ItemRefused>>;

    /// Takes the next item, or `None` when no more will come.
    fn poll_item(&self, stream: StreamId, cx: &mut Context<'_>) -> Poll<Option<ReceivedBox>>;

    /// Says that no more items will be sent.
    fn end_items(&self, stream: StreamId);

    /// Says that no more items are wanted.
    fn refuse_items(&self, stream: StreamId);

    /// Why the connection is gone, if it is.
    fn lost(&self) -> Option<Lost>;
}

/// One end of a stream.
#[derive(Clone)]
pub(crate) struct StreamEnd {
    host: Arc<dyn StreamHost>,
    id: StreamId,
}

/// The items that the other side of a call sends.
///
/// Reading gives the sender credit to go on: who does not read holds it up, and nobody else.
/// Dropped before the end, it tells the sender to stop.
pub struct Items<T> {
    end: Option<StreamEnd>,
    item: PhantomData<fn() -> T>,
}

/// Why an item could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemsFailed {
    /// The item is not what the command declares. The sender's fault; the next one may be.
    #[error("the item cannot be read")]
    Decode(#[source] DecodeError),
    /// The connection went before the end of the stream.
    #[error("the connection was lost before the end of the stream")]
    Lost(#[source] Lost),
}

impl<T: Arguments> Items<T> {
    /// The items of a stream. For those who carry calls, such as the mesh.
    #[must_use]
    pub fn new(host: Arc<dyn StreamHost>, id: StreamId) -> Self {
        Self { end: Some(StreamEnd { host, id }), item: PhantomData }
    }

    /// Waits for the next item; `None` when the sender has said that there are no more.
    ///
    /// # Errors
    /// [`ItemsFailed`].
    ///
    /// # Cancellation
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<T>, ItemsFailed> {
        let Some(StreamEnd { host, id }) = &self.end else { return Ok(None) };
        let item = poll_fn(|cx| host.poll_item(*id, cx)).await;
        match item {
            Some(item) => T::decode(&item.fields()).map(Some).map_err(ItemsFailed::Decode),
            None => host.lost().map_or(Ok(None), |lost| Err(ItemsFailed::Lost(lost))),
        }
    }
}

impl<T> Drop for Items<T> {
    fn drop(&mut self) {
        if let Some(StreamEnd { host, id }) = &self.end {
            host.refuse_items(*id);
        }
    }
}

/// Sends items to the other side of a call. Dropped, it says that there are no more.
pub struct ItemSender<T> {
    end: Option<StreamEnd>,
    id: SenderId,
    item: PhantomData<fn(T)>,
}

impl<T: Arguments + Sync> ItemSender<T> {
    /// The sending end of a stream. For those who carry calls, such as the mesh.
    #[must_use]
    pub fn new(host: Arc<dyn StreamHost>, id: StreamId) -> Self {
        let end = Some(StreamEnd { host, id });
        Self { end, id: SenderId::next(), item: PhantomData }
    }

    /// Sends one item, once the receiver has room for it.
    ///
    /// # Limits
    /// At most [`stream_window_bytes`](crate::Limits::stream_window_bytes) of the receiver's limits
    /// are under way; an item is one box.
    ///
    /// # Errors
    /// [`ItemRefused`]; the item was not sent. [`ItemRefused::Stopped`] need be no failure of a
    /// responder: its caller wants no more, and may wait for the response.
    ///
    /// # Cancellation
    /// Dropping the future before it is done sends nothing.
    pub async fn send(&mut self, item: T) -> Result<(), ItemRefused> {
        let Some(StreamEnd { host, id }) = &self.end else {
            return Err(ItemRefused::Stopped(StreamStopped::CallOver));
        };
        poll_fn(|cx| host.poll_send(*id, self.id, &item, cx)).await
    }
}

impl<T> Drop for ItemSender<T> {
    fn drop(&mut self) {
        if let Some(StreamEnd { host, id }) = &self.end {
            host.end_items(*id);
        }
    }
}

impl<T> fmt::Debug for Items<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Items").field(&self.end.as_ref().map(|end| end.id)).finish()
    }
}

impl<T> fmt::Debug for ItemSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ItemSender").field(&self.end.as_ref().map(|end| end.id)).finish()
    }
}

/// What a responder can take beside its command, from the ask that it answers.
#[diagnostic::on_unimplemented(
    message = "a responder for `{C}` cannot take `{Self}`",
    note = "it takes `Items<…>` for what the command takes, `ItemSender<…>` for what it answers, \
            and `&Peer`"
)]
pub trait FromAsk<C>: Sized {
    /// Takes it. Without a stream there are no items, and nobody to send any to.
    fn from_ask(peer: &Peer) -> Self;
}

impl<C: Streaming<Takes = T>, T: Arguments> FromAsk<C> for Items<T> {
    fn from_ask(peer: &Peer) -> Self {
        Self { end: peer.stream().cloned(), item: PhantomData }
    }
}

impl<C: Streaming<Gives = T>, T: Arguments> FromAsk<C> for ItemSender<T> {
    fn from_ask(peer: &Peer) -> Self {
        Self { end: peer.stream().cloned(), id: SenderId::next(), item: PhantomData }
    }
}

impl StreamEnd {
    pub(crate) fn new(host: Arc<dyn StreamHost>, id: StreamId) -> Self {
        Self { host, id }
    }
}
