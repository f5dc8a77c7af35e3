//! Streams: items that flow beside an ask, towards the asker, from it, or both.
//!
//! A stream is part of an ask and lives no longer: the ask opens it, the answer ends it. Whoever
//! receives gives credit, in bytes of boxes as they stand on the wire, and a sender without credit
//! waits. So a slow reader holds up its own sender and nobody else, and what one stream can hold is
//! known beforehand.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll, Waker};

use crate::connection::Lost;
use crate::connection::tag::TagText;
use crate::error::PeerMisbehaved;
use crate::wire::ReceivedBox;

/// The handle of a stream on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    pub(super) asked_by: Side,
    pub(super) tag: u64,
}

impl StreamId {
    pub(super) fn tag_text(self) -> TagText {
        TagText::of(self.tag)
    }
}

/// One of those who send on a stream. Each sends one item at a time, and waits for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderId(u64);

impl SenderId {
    /// One that nobody else in this process has.
    #[must_use]
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Who made the ask that a stream belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Side {
    Us,
    Peer,
}

/// Why no more items can be sent on a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamStopped {
    /// The call that the stream belongs to has its outcome. On the asking side, the outcome says
    /// more.
    #[error("the call that the stream belongs to is over")]
    CallOver,
    /// The receiver wants no more of it.
    #[error("the receiver wants no more items")]
    Unwanted,
    /// The sender said that there are no more.
    #[error("the stream was ended by this side")]
    Ended,
    /// The connection is gone.
    #[error("the connection was lost")]
    Lost(#[source] Lost),
}

/// One stream, as one end sees it.
#[derive(Debug)]
struct Stream {
    /// Bytes that may still be sent. One item may go below zero, so that large ones get through.
    credit: i64,
    sending: Result<(), StreamStopped>,
    /// Those who wait to send: no more than there are senders on this side.
    senders: Vec<(SenderId, Waker)>,
    received: VecDeque<ReceivedBox>,
    /// Bytes that were received and not given back as credit.
    owed: i64,
    /// Of these, bytes that the reader has taken.
    taken: i64,
    receiving: Receiving,
    receiver: Option<Waker>,
    /// The peer wants nothing more of it, and its responder is being stopped.
    given_up: bool,
}

impl Stream {
    fn wait_to_send(&mut self, sender: SenderId, cx: &Context<'_>) {
        match self.senders.iter_mut().find(|(waiting, _)| *waiting == sender) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => self.senders.push((sender, cx.waker().clone())),
        }
    }

    /// All of them look for themselves whether there is enough for them.
    fn wake_senders(&mut self) {
        self.senders.drain(..).for_each(|(_, waker)| waker.wake());
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Receiving {
    Open,
    /// No more items come; those that are here may be taken.
    Ended,
    /// Nobody wants what comes.
    Unwanted,
}

/// What a receiver finds.
#[derive(Debug)]
pub(super) enum Taken {
    /// An item, and how much credit to give for it and those before it, if it is time to.
    Item(ReceivedBox, Option<u64>),
    /// There are none now, nor will be.
    End,
}

/// Every stream of a connection.
#[derive(Debug)]
pub(super) struct Streams {
    open: BTreeMap<StreamId, Stream>,
    /// What each receiver lets the other side send ahead, in bytes.
    window: i64,
}

impl Streams {
    pub(super) fn new(window_bytes: usize) -> Self {
        let window = i64::try_from(window_bytes).unwrap_or(i64::MAX);
        Self { open: BTreeMap::new(), window }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn contains(&self, id: StreamId) -> bool {
        self.open.contains_key(&id)
    }

    /// How many streams were opened by the asks of one side.
    pub(super) fn count(&self, asked_by: Side) -> usize {
        if self.open.is_empty() {
            return 0;
        }
        let open = self.open.iter().filter(|(_, stream)| !stream.given_up);
        open.filter(|(id, _)| id.asked_by == asked_by).count()
    }

    /// A stream whose responder is being stopped counts no more, and holds nothing. It does not end
    /// before that is done, or the end would look like that of a stream that is whole.
    pub(super) fn give_up(&mut self, id: StreamId) {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.given_up = true;
            stream.received = VecDeque::new();
        }
    }

    /// `credit` is what the other side takes ahead.
    pub(super) fn open(&mut self, id: StreamId, credit: usize) {
        let stream = Stream {
            credit: i64::try_from(credit).unwrap_or(i64::MAX),
            sending: Ok(()),
            senders: Vec::new(),
            received: VecDeque::new(),
            owed: 0,
            taken: 0,
            receiving: Receiving::Open,
            receiver: None,
            given_up: false,
        };
        self.open.insert(id, stream);
    }

    /// Whether an item can be sent now.
    pub(super) fn poll_ready(
        &mut self,
        id: StreamId,
        sender: SenderId,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), StreamStopped>> {
        let Some(stream) = self.open.get_mut(&id) else {
            return Poll::Ready(Err(StreamStopped::CallOver));
        };
        if let Err(stopped) = &stream.sending {
            return Poll::Ready(Err(stopped.clone()));
        }
        if stream.credit > 0 {
            return Poll::Ready(Ok(()));
        }
        stream.wait_to_send(sender, cx);
        Poll::Pending
    }

    /// Waits until there is room for an item, unless none can be sent any more.
    pub(super) fn poll_room(
        &mut self,
        id: StreamId,
        sender: SenderId,
        cx: &mut Context<'_>,
    ) -> Poll<StreamStopped> {
        match self.open.get_mut(&id) {
            None => Poll::Ready(StreamStopped::CallOver),
            Some(Stream { sending: Err(stopped), .. }) => Poll::Ready(stopped.clone()),
            Some(stream) => {
                stream.wait_to_send(sender, cx);
                Poll::Pending
            }
        }
    }

    /// There is room again.
    pub(super) fn made_room(&mut self) {
        self.open.values_mut().for_each(Stream::wake_senders);
    }

    pub(super) fn sent(&mut self, id: StreamId, bytes: usize) {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.credit -= cost(bytes);
        }
    }

    /// Nothing more will be sent. Says whether the other side has to be told.
    pub(super) fn end_sending(&mut self, id: StreamId) -> bool {
        let Some(stream) = self.open.get_mut(&id) else { return false };
        let was_open = stream.sending.is_ok();
        if was_open {
            stream.sending = Err(StreamStopped::Ended);
            stream.wake_senders();
        }
        was_open
    }

    /// Takes the next item that was received.
    pub(super) fn poll_take(&mut self, id: StreamId, cx: &mut Context<'_>) -> Poll<Taken> {
        let Some(stream) = self.open.get_mut(&id) else { return Poll::Ready(Taken::End) };
        let Some(item) = stream.received.pop_front() else {
            if stream.receiving == Receiving::Open || stream.given_up {
                register(&mut stream.receiver, cx);
                return Poll::Pending;
            }
            return Poll::Ready(Taken::End);
        };
        stream.taken += cost(item.bytes_len());
        let is_worth_it = stream.receiving == Receiving::Open && stream.taken >= self.window / 2;
        let credit = if is_worth_it {
            stream.owed -= stream.taken;
            u64::try_from(core::mem::take(&mut stream.taken)).ok()
        } else {
            None
        };
        Poll::Ready(Taken::Item(item, credit))
    }

    /// Nobody takes any more. Says whether the other side has to be told.
    pub(super) fn end_receiving(&mut self, id: StreamId) -> bool {
        let Some(stream) = self.open.get_mut(&id) else { return false };
        stream.received = VecDeque::new();
        let was_open = stream.receiving == Receiving::Open;
        if was_open {
            stream.receiving = Receiving::Unwanted;
        }
        was_open
    }

    /// An item came. One for a stream that is no more was on its way when that ended.
    pub(super) fn handle_item(
        &mut self,
        id: StreamId,
        item: ReceivedBox,
    ) -> Result<(), PeerMisbehaved> {
        let window = self.window;
        let Some(stream) = self.open.get_mut(&id) else { return Ok(()) };
        if stream.owed >= window {
            return Err(PeerMisbehaved::OverCredit);
        }
        stream.owed += cost(item.bytes_len());
        if stream.receiving == Receiving::Open && !stream.given_up {
            stream.received.push_back(item);
            wake(&mut stream.receiver);
        }
        Ok(())
    }

    pub(super) fn handle_credit(&mut self, id: StreamId, bytes: u64) {
        let Some(stream) = self.open.get_mut(&id) else { return };
        stream.credit = stream.credit.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX));
        stream.wake_senders();
    }

    /// The other side sends no more.
    pub(super) fn handle_end(&mut self, id: StreamId) {
        let Some(stream) = self.open.get_mut(&id) else { return };
        if stream.receiving == Receiving::Open {
            stream.receiving = Receiving::Ended;
        }
        wake(&mut stream.receiver);
    }

    /// The other side wants no more.
    pub(super) fn handle_unwanted(&mut self, id: StreamId) {
        self.stop(id, &StreamStopped::Unwanted);
    }

    /// The ask has its outcome: nothing more comes or goes, and what came may be taken.
    pub(super) fn call_over(&mut self, id: StreamId) {
        self.stop(id, &StreamStopped::CallOver);
        self.handle_end(id);
    }

    fn stop(&mut self, id: StreamId, why: &StreamStopped) {
        let Some(stream) = self.open.get_mut(&id) else { return };
        if stream.sending.is_ok() {
            stream.sending = Err(why.clone());
        }
        stream.wake_senders();
    }

    /// Forgets a stream. Whoever still waits on it is told.
    pub(super) fn close(&mut self, id: StreamId) {
        self.call_over(id);
        self.open.remove(&id);
    }

    /// Every stream whose ask `is_over` says so of.
    pub(super) fn over(&mut self, is_over: impl Fn(u64) -> bool) {
        let ours = self.open.iter().filter(|(id, _)| id.asked_by == Side::Us);
        let over: Vec<_> = ours.filter(|(id, _)| is_over(id.tag)).map(|(id, _)| *id).collect();
        for id in over {
            self.call_over(id);
        }
    }

    /// The connection is gone.
    pub(super) fn lose(&mut self, lost: &Lost) {
        for stream in self.open.values_mut() {
            if stream.sending.is_ok() {
                stream.sending = Err(StreamStopped::Lost(lost.clone()));
            }
            if stream.receiving == Receiving::Open {
                stream.receiving = Receiving::Ended;
            }
            stream.wake_senders();
            wake(&mut stream.receiver);
        }
    }
}

/// What a small item costs. Whoever holds it holds more than its bytes, and it takes its time to be
/// read however short it is.
const ITEM_COST_MIN: usize = 256;

/// What an item of so many bytes, as a box on the wire, costs of the receiver's window.
fn cost(bytes: usize) -> i64 {
    i64::try_from(bytes.max(ITEM_COST_MIN)).unwrap_or(i64::MAX)
}

fn register(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

fn wake(place: &mut Option<Waker>) {
    if let Some(waker) = place.take() {
        waker.wake();
    }
}
