//! One connection as a state machine: bytes in, bytes out, and no other door.
//!
//! Both sides ask and both answer, in any order. A connection has two halves that share no state,
//! so that a driver can read on while callers write:
//!
//! - [`Inbound`] turns received bytes into boxes and says what each is ([`Incoming`]);
//! - [`Exchange`] numbers our asks, holds what is in flight, and gathers the bytes to send.
//!
//! [`Connection`] is both in one, for programs and tests that own a connection alone. Methods
//! named `handle_*` take from the world, `poll_*` give to it. After anything was handled, poll in
//! this order: [`Connection::poll_event`] until there is none, [`Connection::poll_transmit`], and
//! [`Connection::poll_timeout`] for the moment to come back at the latest.

mod asks;
mod exchange;
mod inbound;
mod large;
mod lost;
mod metadata;
mod moment;
mod outbound;
mod parts;
mod streaming;
mod streams;
mod tag;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll};

use bytes::Bytes;

pub use self::asks::{AskId, AskResult, AskStopped};
pub use self::exchange::{AskRefused, Exchange};
pub use self::inbound::{Ask, Inbound, Incoming};
pub use self::large::LargeBody;
pub use self::lost::Lost;
pub use self::metadata::Metadata;
pub use self::moment::Moment;
pub use self::parts::{Assembled, Assembly};
pub use self::streaming::ItemRefused;
pub use self::streams::{SenderId, StreamId, StreamStopped};
use crate::Limits;
use crate::command::{Command, EncodeFields};
use crate::error::{EncodeError, PeerMisbehaved};
use crate::wire::ReceivedBox;

/// Both halves of a connection in one hand.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use std::task::{Context, Poll, Waker};
///
/// use amp_proto::{Cluster, Command, Connection, Limits, Moment};
///
/// #[derive(Debug, PartialEq, Command)]
/// #[command(answered_by = Cluster)]
/// struct Knock;
///
/// let limits = Arc::new(Limits::default());
/// let (mut here, mut there) = (Connection::new(limits.clone()), Connection::new(limits));
///
/// let knock = here.ask(&Knock, Moment::START.after(std::time::Duration::from_secs(30)))?;
/// there.handle_bytes(&here.poll_transmit().unwrap());
/// let ask = there.poll_event()?.unwrap();
/// assert_eq!(&ask.command[..], b"Knock");
/// there.answer(ask.tag.as_deref(), &())?;
///
/// here.handle_bytes(&there.poll_transmit().unwrap());
/// assert!(here.poll_event()?.is_none());
/// let mut context = Context::from_waker(Waker::noop());
/// assert!(matches!(here.poll_ask(knock, &mut context), Poll::Ready(Ok(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Connection {
    inbound: Inbound,
    exchange: Exchange,
}

/// An ask of the peer, with bytes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskEvent {
    /// What the answer has to carry, or `None` if the peer wants no answer.
    pub tag: Option<Bytes>,
    /// The command's name.
    pub command: Bytes,
    /// The whole box.
    pub received: ReceivedBox,
}

impl Connection {
    /// A connection on which nothing has happened yet.
    #[must_use]
    pub fn new(limits: Arc<Limits>) -> Self {
        Self { inbound: Inbound::new(Arc::clone(&limits)), exchange: Exchange::new(limits) }
    }

    /// The two halves, for a driver that reads and writes at once.
    #[must_use]
    pub fn into_parts(self) -> (Inbound, Exchange) {
        (self.inbound, self.exchange)
    }

    /// Asks the peer, and gives the handle under which the answer will be.
    ///
    /// # Errors
    /// As [`Exchange::ask`].
    pub fn ask<C: Command>(&mut self, command: &C, deadline: Moment) -> Result<AskId, AskRefused> {
        self.exchange.ask(command, deadline)
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// As [`Exchange::ping`].
    pub fn ping<C: Command>(&mut self, ping: &C, deadline: Moment) -> Result<AskId, AskRefused> {
        self.exchange.ping(ping, deadline)
    }

    /// Answers an ask of the peer. Without a tag nothing is sent: the peer wants no answer.
    ///
    /// # Errors
    /// [`EncodeError`] when the response does not fit a box; nothing was sent, and the ask should
    /// be [refused](Connection::refuse).
    pub fn answer(
        &mut self,
        tag: Option<&[u8]>,
        response: &dyn EncodeFields,
    ) -> Result<(), EncodeError> {
        tag.map_or(Ok(()), |tag| self.exchange.answer(tag, response))
    }

    /// Answers an ask of the peer with an error.
    pub fn refuse(&mut self, tag: Option<&[u8]>, code: &str, description: &str) {
        if let Some(tag) = tag {
            self.exchange.refuse(tag, code, description);
        }
    }

    /// Takes what came from the peer.
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        self.inbound.room().extend_from_slice(bytes);
    }

    /// Whether bytes were received that stand behind everything that was given out or dealt with.
    /// Whoever changes the protocol at a box asks this before: what is left does not belong to the
    /// next one.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        self.inbound.buffered_bytes() > 0
    }

    /// Ends every ask whose deadline has come. Gives those that the peer may be working on.
    pub fn handle_timeout(&mut self, now: Moment) -> Vec<AskId> {
        self.exchange.handle_timeout(now)
    }

    /// The stream is gone: every ask in flight ends.
    pub fn handle_lost(&mut self, lost: Lost) {
        self.exchange.handle_lost(lost);
    }

    /// The next ask of the peer. Answers are dealt with on the way.
    ///
    /// # Errors
    /// [`PeerMisbehaved`]: the stream cannot be trusted any more. Asks in flight have ended;
    /// close.
    pub fn poll_event(&mut self) -> Result<Option<AskEvent>, PeerMisbehaved> {
        let event = self.next_ask();
        if let Err(misbehaved) = &event {
            self.exchange.handle_lost(Lost::PeerMisbehaved(misbehaved.clone()));
        }
        event
    }

    fn next_ask(&mut self) -> Result<Option<AskEvent>, PeerMisbehaved> {
        while let Some(fields) = self.inbound.next_box()? {
            match Incoming::of(fields)? {
                Incoming::Ask(Ask { tag, command, fields, .. }) => {
                    return Ok(Some(AskEvent {
                        tag: tag.map(Bytes::copy_from_slice),
                        command: Bytes::copy_from_slice(command),
                        received: fields.to_received(),
                    }));
                }
                reply => self.exchange.handle_reply(&reply)?,
            }
        }
        Ok(None)
    }

    /// The outcome of an ask, once it is there. The handle is used up by it.
    pub fn poll_ask(&mut self, id: AskId, cx: &mut Context<'_>) -> Poll<AskResult> {
        self.exchange.poll_ask(id, cx)
    }

    /// The bytes to send now, if there are any.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        self.exchange.swap_outbound(&mut out);
        self.exchange.handle_written(out.len());
        (!out.is_empty()).then_some(out)
    }

    /// The moment at which [`Connection::handle_timeout`] has something to do, at the earliest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.exchange.poll_timeout()
    }
}
