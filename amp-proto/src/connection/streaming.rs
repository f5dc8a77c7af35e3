//! What an exchange does with streams: opens, feeds, and ends them.

use core::task::{Context, Poll};

use crate::command::EncodeFields;
use crate::connection::Moment;
use crate::connection::asks::AskId;
use crate::connection::exchange::{AskRefused, Exchange};
use crate::connection::metadata::{Metadata, STREAM_ANSWER_KEY, STREAM_ASK_KEY, number};
use crate::connection::streams::{SenderId, Side, StreamId, StreamStopped, Taken};
use crate::connection::tag::parse_tag;
use crate::connection::{Ask, Lost};
use crate::error::{EncodeError, PeerMisbehaved};
use crate::wire::{BoxWriter, ReceivedBox};

/// The names of the commands that streams are made of. None of them is ever answered.
mod name {
    pub(super) const ITEM: &[u8] = b"Item";
    pub(super) const END: &[u8] = b"End";
    pub(super) const UNWANTED: &[u8] = b"Unwanted";
}

/// Why an item was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemRefused {
    /// No more can be sent.
    #[error(transparent)]
    Stopped(StreamStopped),
    /// The item does not fit a box. The fault is the caller's, and the stream goes on.
    #[error(transparent)]
    Encode(EncodeError),
}

impl Exchange {
    /// Says how much the peer takes ahead on each stream, in bytes, as it told.
    pub fn set_peer_window(&mut self, bytes: usize) {
        self.peer_window = bytes;
    }

    /// As [`Exchange::ask_encoded`], and opens a stream beside the ask.
    ///
    /// # Errors
    /// As [`Exchange::ask`]; [`AskRefused::TooManyInFlight`] at [`streams_max`] as well.
    ///
    /// [`streams_max`]: crate::Limits::streams_max
    pub fn ask_streaming<F: EncodeFields + ?Sized>(
        &mut self,
        name: &[u8],
        fields: &F,
        deadline: Moment,
        metadata: &Metadata<'_>,
    ) -> Result<(AskId, StreamId), AskRefused> {
        let max = self.limits.streams_max;
        if self.streams.count(Side::Us) >= max {
            return Err(AskRefused::TooManyInFlight { max });
        }
        let metadata = Metadata { stream: true, ..*metadata };
        let ask = self.ask_encoded(name, fields, deadline, &metadata)?;
        let stream = StreamId { asked_by: Side::Us, tag: ask.0 };
        self.streams.open(stream, self.peer_window);
        Ok((ask, stream))
    }

    /// Opens our end of the stream that the peer opened beside its ask. `None` when it has too many
    /// of them, or its tag is none that such a peer uses.
    pub fn accept_stream(&mut self, tag: &[u8]) -> Option<StreamId> {
        let stream = StreamId { asked_by: Side::Peer, tag: parse_tag(tag)? };
        if self.streams.count(Side::Peer) >= self.limits.streams_max
            || self.streams.contains(stream)
        {
            return None;
        }
        self.streams.open(stream, self.peer_window);
        Some(stream)
    }

    /// Waits for credit, and for room for what streams have to say, and writes an item.
    ///
    /// # Errors
    /// [`ItemRefused`]: nothing was written.
    pub fn poll_send(
        &mut self,
        stream: StreamId,
        sender: SenderId,
        item: &dyn EncodeFields,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ItemRefused>> {
        if self.is_bulk_full() {
            // Credit is the peer's word, and may be more than it reads.
            return self
                .streams
                .poll_room(stream, sender, cx)
                .map(|stopped| Err(ItemRefused::Stopped(stopped)));
        }
        match self.streams.poll_ready(stream, sender, cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(stopped)) => Poll::Ready(Err(ItemRefused::Stopped(stopped))),
            Poll::Ready(Ok(())) => {
                let written = self.write_streamed(name::ITEM, stream, item, false);
                let sent = written.map(|bytes| self.streams.sent(stream, bytes));
                Poll::Ready(sent.map_err(ItemRefused::Encode))
            }
        }
    }

    /// Takes the next item, or `None` when no more will come: the sender said so, or the call is
    /// over.
    pub fn poll_item(
        &mut self,
        stream: StreamId,
        cx: &mut Context<'_>,
    ) -> Poll<Option<ReceivedBox>> {
        match self.streams.poll_take(stream, cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Taken::End) => Poll::Ready(None),
            Poll::Ready(Taken::Item(item, credit)) => {
                if let Some(bytes) = credit {
                    // A number always fits.
                    let _fits = self.write_streamed(Credit::NAME, stream, &Credit(bytes), true);
                }
                Poll::Ready(Some(item))
            }
        }
    }

    /// Says that no more items will be sent.
    pub fn end_items(&mut self, stream: StreamId) {
        if self.streams.end_sending(stream)
            && !self.is_lost()
            && let Ok(bytes) = self.write_streamed(name::END, stream, &(), false)
        {
            self.count_bulk_answer(bytes);
        }
    }

    /// Says that no more items are wanted. Those that are here are dropped.
    pub fn refuse_items(&mut self, stream: StreamId) {
        if self.streams.end_receiving(stream) && !self.is_lost() {
            let _fits = self.write_streamed(name::UNWANTED, stream, &(), true);
        }
    }

    /// Forgets a stream whose call is over or forgotten.
    pub fn close_stream(&mut self, stream: StreamId) {
        self.streams.close(stream);
    }

    /// The peer wants nothing more of its ask `tag`, and whoever answers it is being stopped: its
    /// stream, if it has one, counts no more.
    pub fn give_up_stream(&mut self, tag: &[u8]) {
        if let Some(tag) = parse_tag(tag) {
            self.streams.give_up(StreamId { asked_by: Side::Peer, tag });
        }
    }

    /// The peer wants nothing more of its ask `tag`: its stream, if it has one, is forgotten.
    pub fn cancel_stream(&mut self, tag: &[u8]) {
        if let Some(tag) = parse_tag(tag) {
            self.streams.close(StreamId { asked_by: Side::Peer, tag });
        }
    }

    /// Takes a box that belongs to a stream. Says whether it was one.
    ///
    /// # Errors
    /// [`PeerMisbehaved::OverCredit`].
    pub fn handle_streamed(&mut self, ask: &Ask<'_>) -> Result<bool, PeerMisbehaved> {
        let stream = match (ask.metadata.of_ask, ask.metadata.of_answer) {
            (Some(tag), _) => parse_tag(tag).map(|tag| StreamId { asked_by: Side::Peer, tag }),
            (_, Some(tag)) => parse_tag(tag).map(|tag| StreamId { asked_by: Side::Us, tag }),
            (None, None) => return Ok(false),
        };
        let Some(stream) = stream else { return Ok(true) };
        match ask.command {
            name::ITEM if self.streams.contains(stream) => {
                self.streams.handle_item(stream, ask.fields.to_compact())?;
            }
            Credit::NAME => {
                self.streams.handle_credit(stream, Credit::of(ask).0);
            }
            name::END => self.streams.handle_end(stream),
            name::UNWANTED => self.streams.handle_unwanted(stream),
            _ => {}
        }
        Ok(true)
    }

    /// How many streams are open, whichever side asked.
    #[must_use]
    pub fn streams_open(&self) -> usize {
        self.streams.len()
    }

    /// Why the connection is gone, if it is.
    #[must_use]
    pub fn lost(&self) -> Option<&Lost> {
        self.refusing().filter(|_| self.is_lost())
    }

    fn write_streamed(
        &mut self,
        name: &[u8],
        stream: StreamId,
        fields: &dyn EncodeFields,
        ahead: bool,
    ) -> Result<usize, EncodeError> {
        let tag = stream.tag_text();
        let key = match stream.asked_by {
            Side::Us => STREAM_ASK_KEY,
            Side::Peer => STREAM_ANSWER_KEY,
        };
        let reserved = [(&b"_command"[..], name), (key, tag.as_bytes())];
        if ahead {
            self.write_ahead(&reserved, fields).map(|()| 0)
        } else {
            self.write_bulk(&reserved, fields)
        }
    }
}

/// So many bytes more may be sent, of a stream or of large boxes.
pub(super) struct Credit(pub(super) u64);

impl Credit {
    pub(super) const NAME: &[u8] = b"Credit";

    /// What `ask` gives: nothing, if that is not a number.
    pub(super) fn of(ask: &Ask<'_>) -> Self {
        let bytes = ask.fields.get(b"bytes").map(crate::wire::Value::bytes);
        Self(bytes.and_then(number).unwrap_or_default())
    }
}

impl EncodeFields for Credit {
    fn encode_fields(&self, out: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
        out.put(b"bytes", |out| {
            out.extend_from_slice(alloc::format!("{}", self.0).as_bytes());
            Ok(())
        })
    }
}
