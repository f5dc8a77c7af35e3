//! The driver: the one task that owns a connection's stream.
//!
//! In each turn it reads what is there, deals with every box of it, and writes everything that
//! became ready with as few system calls as it takes. While nothing happens it holds no buffer.

mod clock;
mod large;

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use amp_proto::{Ask, AskEvent, AskId, Assembly, Command as _, Inbound, Incoming, Lost, Moment};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep};
use tokio_util::io::poll_read_buf;

use super::link::Link;
use super::running::Running;
use crate::commands::Cancel;

thread_local! {
    /// What the connection reads into whose turn it is: one buffer for each thread, and none for a
    /// connection that waits.
    static BUFFER: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// A buffer that grew beyond this is not kept: it would be held for as long as the thread lives.
/// Values of 32 KiB are read with one of this size.
const KEPT_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Driver<S> {
    stream: S,
    inbound: Inbound,
    /// Large boxes on their way in.
    assembly: Assembly,
    link: Arc<Link>,
    running: Running,
    /// Bytes that the stream has not taken yet, from `written` on.
    writing: Vec<u8>,
    written: usize,
    /// How many bytes of `writing` are answers to the peer's asks.
    answers_writing: usize,
    /// So many answers wait to be written that the peer gets nothing more done.
    full: bool,
    /// The stream takes nothing more; what it still gives is read.
    broken: Option<Lost>,
    /// Since when the stream has taken nothing although something waits.
    stalled_since: Option<Moment>,
    /// What the clock said last, if it was asked since the driver was woken.
    now: Option<Moment>,
    /// When the peer was last heard, or was seen to read.
    heard: Moment,
    /// When the stream last took something.
    said: Moment,
    /// The sign of life that was asked for, and when.
    ping: Option<(AskId, Moment)>,
    /// The peer sends no more. Its asks are still being answered.
    half_closed_since: Option<Moment>,
    closing_since: Option<Moment>,
    timer: Option<Pin<Box<Sleep>>>,
    timer_at: Moment,
    _lost_on_drop: LostOnDrop,
}

/// A connection's end.
#[derive(Debug)]
pub struct Ended<S> {
    /// Why it ended.
    pub lost: Lost,
    /// After [`Lost::HandedOver`], the stream, and what was received on it and not read as AMP.
    pub handed_over: Option<(S, Bytes)>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    pub(super) fn new(stream: S, inbound: Inbound, link: Arc<Link>, running: Running) -> Self {
        let heard = link.clock().now();
        let lost_on_drop = LostOnDrop(Arc::clone(&link));
        Self {
            stream,
            inbound,
            assembly: Assembly::new(link.limits()),
            link,
            running,
            writing: Vec::new(),
            written: 0,
            answers_writing: 0,
            full: false,
            broken: None,
            stalled_since: None,
            now: None,
            heard,
            said: heard,
            ping: None,
            half_closed_since: None,
            closing_since: None,
            timer: None,
            timer_at: Moment::START,
            _lost_on_drop: lost_on_drop,
        }
    }

    /// Answers an ask that arrived before the connection was open.
    pub(super) fn answer_held(&mut self, held: &AskEvent) {
        let mut cx = Context::from_waker(Waker::noop());
        if let Ok(Incoming::Ask(ask)) = Incoming::of(held.received.fields()) {
            let _waiting = self.running.begin(&self.link, &ask, Instant::now(), &mut cx);
        }
    }

    /// Runs the connection to its end, and tells everyone who waits on it.
    ///
    /// # Cancellation
    /// Dropping the future drops the connection where it stands; whoever waits on it is told.
    pub(super) async fn run(mut self: Box<Self>) -> Ended<S> {
        let lost = std::future::poll_fn(|cx| self.poll(cx)).await;
        self.link.set_lost(&lost);
        if lost == Lost::HandedOver {
            let handed_over = Some((self.stream, self.inbound.into_rest().freeze()));
            return Ended { lost, handed_over };
        }
        // The peer sees an orderly end where there can be one; a broken stream has none.
        let patience = self.link.limits().closing_timeout;
        // In a box, as nothing needs it before.
        let closing = Box::pin(tokio::time::timeout(patience, self.stream.shutdown()));
        let _closed = closing.await;
        Ended { lost, handed_over: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Lost> {
        self.now = None;
        self.link.watch(cx);
        self.running.reap(&self.link, cx);
        self.shed_if_memory_is_short();
        if self.inbound.is_at_rest() {
            self.inbound.lend(BUFFER.take());
        }
        let turned = self.turn(cx);
        self.link.set_answering(self.running.len());
        match turned {
            Ok(()) => {
                let buffer = self.inbound.rest();
                if (1..=KEPT_BYTES_MAX).contains(&buffer.capacity()) {
                    BUFFER.set(buffer);
                }
                Poll::Pending
            }
            Err(lost) => Poll::Ready(lost),
        }
    }

    /// Does all there is to do now.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<(), Lost> {
        let mut is_written = false;
        loop {
            let progress = self.is_reading() && self.read(cx)?;
            let was_reading = self.is_reading();
            if let Some(lost) = &self.broken {
                if progress {
                    continue;
                }
                return Err(lost.clone());
            }
            // Whoever else has something to be sent stirs this up again.
            if progress || !is_written {
                if let Err(lost) = self.write(cx) {
                    // A peer that answered and closed has left its answers behind.
                    self.broken = Some(lost);
                    continue;
                }
                self.check_ended()?;
                is_written = true;
            }
            let resumed = !was_reading && self.is_reading();
            if !progress && !resumed && !self.wait(cx)? {
                return Ok(());
            }
            // What is left of the last read is still to be dealt with, or something became due.
            is_written &= progress && !resumed;
        }
    }

    #[inline]
    fn is_reading(&self) -> bool {
        !self.is_deaf() && self.half_closed_since.is_none() && !self.has_heard_all()
    }

    /// Whether nothing more is read because the connection is being closed. A large answer only
    /// goes out as the peer gives credit for it, so while one waits that is still read, and
    /// everything else dropped.
    #[inline]
    fn has_heard_all(&self) -> bool {
        self.closing_since.is_some() && self.has_no_large_answers()
    }

    #[cold]
    fn has_no_large_answers(&self) -> bool {
        !self.link.exchange().has_large_answers()
    }

    /// Whether nothing more is read until the peer has read what waits for it.
    ///
    /// While answers are due to us we go on reading, for two sides that wait for each other to read
    /// would wait for ever: new asks are refused then, until the refusals are as much again.
    #[inline]
    fn is_deaf(&self) -> bool {
        self.full && self.may_stop_reading()
    }

    #[cold]
    fn may_stop_reading(&self) -> bool {
        let exchange = self.link.exchange();
        let waiting_max = self.link.limits().outbound_bytes_max.saturating_mul(2);
        exchange.calls_in_flight() == 0
            || self.answers_waiting(exchange.answer_bytes()) >= waiting_max
    }

    /// How many bytes wait to be written that the peer's boxes have brought about, with those that
    /// wait in the exchange.
    fn answers_waiting(&self, answer_bytes: usize) -> usize {
        answer_bytes + self.answers_writing
    }

    /// Deals with the boxes that are there, and reads once. Says whether to look again.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Lost> {
        let left = self.inbound.buffered_bytes();
        if left > 0 {
            // What an earlier turn left because too much waited to be written, or closing began.
            self.take_boxes(cx)?;
        }
        // What was taken of it may have brought about something to be sent.
        let took = self.inbound.buffered_bytes() < left;
        if self.is_deaf() || self.has_heard_all() {
            return Ok(took);
        }
        let stream = Pin::new(&mut self.stream);
        match poll_read_buf(stream, cx, self.inbound.room()) {
            Poll::Pending => Ok(took),
            Poll::Ready(Err(error)) => Err(broken(&error)),
            Poll::Ready(Ok(0)) => {
                self.half_closed_since = Some(self.now());
                self.link.set_peer_done();
                Ok(true)
            }
            Poll::Ready(Ok(bytes)) => {
                self.inbound.handle_read(bytes);
                self.now = None;
                self.heard = self.now();
                self.take_boxes(cx)?;
                Ok(true)
            }
        }
    }

    /// Whether so many answers wait for the peer that it must not ask more for now. Our own asks do
    /// not count: those who make them wait for room.
    fn is_full(&self, answer_bytes: usize) -> bool {
        self.answers_waiting(answer_bytes) >= self.link.limits().outbound_bytes_max
    }

    fn take_boxes(&mut self, cx: &mut Context<'_>) -> Result<(), Lost> {
        let (link, came) = (Arc::clone(&self.link), self.link.clock().instant(self.heard));
        // Answers come many at a time, and the exchange is at hand for all of them.
        let mut at_hand = None;
        loop {
            if self.full || self.closing_since.is_some() {
                at_hand = None;
                if self.is_deaf() || self.has_heard_all() {
                    break;
                }
            }
            let Some(fields) = self.inbound.next_box().map_err(Lost::PeerMisbehaved)? else {
                break;
            };
            let incoming = Incoming::of(fields).map_err(Lost::PeerMisbehaved)?;
            if matches!(incoming, Incoming::Ask(_)) {
                at_hand = None;
            }
            if self.closing_since.is_some() && !Assembly::is_credit(&incoming) {
                continue;
            }
            match &incoming {
                Incoming::Ask(ask) if ask.tag.is_none() && is_streamed(&self.link, ask)? => {}
                Incoming::Ask(ask) if ask.tag.is_none() && ask.metadata.part.is_some() => {
                    self.running.took(ask.fields.bytes_len());
                    let assembled = self.assembly.handle(ask).map_err(Lost::PeerMisbehaved)?;
                    self.shed_if_memory_is_short();
                    self.take_assembled(assembled)?;
                }
                Incoming::Ask(ask)
                    if ask.tag.is_none() && ask.command == Cancel::NAME.as_bytes() =>
                {
                    if let Some(tag) = ask.fields.get(b"tag") {
                        self.running.cancel(&self.link, tag.bytes());
                    }
                }
                Incoming::Ask(ask) if self.full => {
                    self.link.set_asked();
                    self.running.refuse_overloaded(&self.link, ask);
                }
                Incoming::Ask(ask) => {
                    self.link.set_asked();
                    let waiting = self.running.begin(&self.link, ask, came, cx);
                    let waiting = waiting.unwrap_or_else(|| self.link.exchange().answer_bytes());
                    self.full = self.is_full(waiting);
                    self.closing_since = self.link.closing().map(|_| self.link.clock().now());
                    if self.closing_since.is_some() {
                        break;
                    }
                }
                reply => {
                    let exchange = at_hand.get_or_insert_with(|| link.exchange());
                    exchange.handle_reply(reply).map_err(Lost::PeerMisbehaved)?;
                }
            }
        }
        Ok(())
    }

    /// Writes until nothing waits or the stream takes no more.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), Lost> {
        let mut newly_written = 0;
        loop {
            {
                let mut exchange = self.link.exchange();
                exchange.handle_written(newly_written);
                if self.written == self.writing.len() {
                    self.writing.clear();
                    self.written = 0;
                    self.answers_writing = exchange.swap_outbound(&mut self.writing);
                }
                self.full = self.is_full(exchange.answer_bytes());
            }
            if newly_written > 0 {
                self.said = self.now();
                if self.stalled_since.take().is_some() {
                    // It reads, so it lives, though what we asked it waits behind all of this.
                    self.heard = self.said;
                }
                self.link.made_room();
            }
            let rest = self.writing.get(self.written..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Err(broken(&io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(bytes)) => {
                    self.written += bytes;
                    newly_written = bytes;
                }
                Poll::Ready(Err(error)) => return Err(broken(&error)),
                Poll::Pending => {
                    let now = self.now();
                    self.stalled_since.get_or_insert(now);
                    break;
                }
            }
        }
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(broken(&error)),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    fn check_ended(&mut self) -> Result<(), Lost> {
        if self.half_closed_since.is_none() && !self.link.is_ending() {
            return Ok(());
        }
        let closing = self.link.closing();
        let nothing_waits = self.written == self.writing.len() && self.link.exchange().is_empty();
        if let Some(lost) = closing {
            let now = self.now();
            let since = *self.closing_since.get_or_insert(now);
            if nothing_waits || now.since(since) >= self.link.limits().closing_timeout {
                return Err(lost);
            }
        }
        if !nothing_waits || self.running.len() > 0 {
            return Ok(());
        }
        if self.half_closed_since.is_some() {
            return Err(Lost::ClosedByPeer);
        }
        match self.link.draining() {
            Some(lost) if self.link.exchange().in_flight() == 0 => Err(lost),
            _ => Ok(()),
        }
    }
}

/// Tells everyone who waits, also when the driver is dropped on the way because its task is.
struct LostOnDrop(Arc<Link>);

impl Drop for LostOnDrop {
    fn drop(&mut self) {
        self.0.set_lost(&Lost::ClosedHere);
    }
}

/// Takes a box that belongs to a stream, if this is one.
fn is_streamed(link: &Link, ask: &Ask<'_>) -> Result<bool, Lost> {
    link.exchange().handle_streamed(ask).map_err(Lost::PeerMisbehaved)
}

fn broken(error: &io::Error) -> Lost {
    Lost::Broken { reason: error.to_string() }
}
