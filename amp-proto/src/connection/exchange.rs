//! The sending half: our asks and what became of them, our answers, and the bytes of both.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll};
use core::time::Duration;

use crate::Limits;
use crate::command::{Command, EncodeFields};
use crate::connection::asks::{AskId, AskResult, AskStopped, Asks};
use crate::connection::large::reader_of;
use crate::connection::metadata::Milliseconds;
use crate::connection::parts::Sending;
use crate::connection::streams::{Side, StreamId, Streams};
use crate::connection::tag::{TagText, parse_tag};
use crate::connection::{Incoming, Lost, Metadata, Moment};
use crate::error::{EncodeError, PeerMisbehaved};
use crate::limits::BoxLimits;
use crate::wire::{Fields, write_box, write_box_for};

/// Numbers our asks, holds what is in flight, and gathers the bytes to send.
#[derive(Debug)]
pub struct Exchange {
    pub(super) limits: Arc<Limits>,
    pub(super) asks: Asks,
    pub(super) streams: Streams,
    /// What the peer takes ahead on each stream, in bytes; nothing before it said so.
    pub(super) peer_window: usize,
    /// Bytes that wait for the transport to take them.
    pub(super) out: Vec<u8>,
    /// What streams have to say, in whole boxes. It waits behind `out`, a piece at a time, so that
    /// no call waits for more than a piece.
    pub(super) bulk: VecDeque<Piece>,
    pub(super) bulk_bytes: usize,
    /// What is too large to go in one box. It waits behind everything.
    pub(super) parts: Sending,
    /// The limits of large boxes, if the peer puts them together.
    pub(super) large: Option<BoxLimits>,
    /// How many bytes of `out` the peer's boxes have brought about.
    pub(super) answer_bytes: usize,
    /// The same of `bulk`.
    pub(super) bulk_answer_bytes: usize,
    /// Where `out` begins in the stream of all bytes we ever send.
    pub(super) out_position: u64,
    /// How much of that stream the transport has taken.
    pub(super) written: u64,
    /// The time that was given to an ask last, as it was written.
    written_time: Milliseconds,
    /// The ask that takes nobody's place.
    ping: Option<AskId>,
    phase: Phase,
}

/// Some of what streams have to say.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    /// How many of them end streams of the peer's asks.
    pub(super) answer_bytes: usize,
}

#[derive(Debug)]
enum Phase {
    Open,
    /// No new asks; what runs may finish.
    Leaving(Lost),
    Lost(Lost),
}

/// Why an ask was not sent. It was certainly not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskRefused {
    /// [`Limits::asks_in_flight_max`] asks are in flight. Ask again when one of them has ended.
    #[error("{max} asks are in flight already")]
    TooManyInFlight {
        /// The limit.
        max: usize,
    },
    /// [`Limits::outbound_bytes_max`] bytes of asks wait to be sent. Ask again when the peer has
    /// read some of them.
    #[error("{max} bytes of asks wait to be sent already")]
    NoRoom {
        /// The limit.
        max: usize,
    },
    /// The connection is closed, or about to be.
    #[error(transparent)]
    Lost(Lost),
    /// The command does not fit a box. The fault is the caller's.
    #[error(transparent)]
    Encode(EncodeError),
}

impl Exchange {
    /// The longest error description that is sent, in bytes; the rest is cut off.
    const DESCRIPTION_BYTES_MAX: usize = 4096;
    /// How much of what streams have to say is sent before the calls have their turn again.
    pub(super) const BULK_PIECE_BYTES: usize = 32 * 1024;

    /// The exchange of a connection on which nothing has happened yet.
    #[must_use]
    pub fn new(limits: Arc<Limits>) -> Self {
        let streams = Streams::new(limits.stream_window_bytes);
        Self {
            limits,
            asks: Asks::new(),
            streams,
            peer_window: 0,
            out: Vec::new(),
            bulk: VecDeque::new(),
            bulk_bytes: 0,
            parts: Sending::new(),
            large: None,
            answer_bytes: 0,
            bulk_answer_bytes: 0,
            out_position: 0,
            written: 0,
            written_time: Milliseconds::of(Duration::ZERO),
            ping: None,
            phase: Phase::Open,
        }
    }

    /// Writes an ask, and gives the handle under which its outcome will be.
    ///
    /// # Errors
    /// [`AskRefused`]: nothing was written.
    pub fn ask<C: Command>(&mut self, command: &C, deadline: Moment) -> Result<AskId, AskRefused> {
        self.ask_encoded(C::NAME.as_bytes(), command, deadline, &Metadata::default())
    }

    /// As [`Exchange::ask`], for a command that is known by its name and fields only, and with
    /// metadata beside them.
    ///
    /// # Errors
    /// As [`Exchange::ask`].
    pub fn ask_encoded<F: EncodeFields + ?Sized>(
        &mut self,
        name: &[u8],
        fields: &F,
        deadline: Moment,
        metadata: &Metadata<'_>,
    ) -> Result<AskId, AskRefused> {
        self.check_open()?;
        let max = self.limits.asks_in_flight_max;
        if self.calls_in_flight().saturating_sub(self.streams.count(Side::Us)) >= max {
            return Err(AskRefused::TooManyInFlight { max });
        }
        self.write_ask(name, fields, deadline, metadata)
    }

    /// Asks for a sign of life, also while all places are taken and while no other new ask is made:
    /// a peer that is busy with all of them, or leaves slowly, is not dead for that. One at a time:
    /// the one before is forgotten.
    ///
    /// # Errors
    /// As [`Exchange::ask`].
    pub fn ping<C: Command>(&mut self, ping: &C, deadline: Moment) -> Result<AskId, AskRefused> {
        if let Phase::Lost(lost) = &self.phase {
            return Err(AskRefused::Lost(lost.clone()));
        }
        let id = self.write_ask(C::NAME.as_bytes(), ping, deadline, &Metadata::default())?;
        if let Some(before) = self.ping.replace(id) {
            self.forget(before);
        }
        Ok(id)
    }

    fn write_ask<F: EncodeFields + ?Sized>(
        &mut self,
        name: &[u8],
        fields: &F,
        deadline: Moment,
        metadata: &Metadata<'_>,
    ) -> Result<AskId, AskRefused> {
        let position = self.position();
        let tag = self.asks.reserve();
        let text = TagText::of(tag);
        let before = self.out.len();
        // Items go ahead of pieces, and would come before the ask that they belong to.
        let large = self.large.filter(|_| !metadata.stream);
        let (reader, limits) = reader_of(large, &self.limits);
        write_box_for(reader, &mut self.out, limits, |out| {
            out.put_reserved(b"_ask", text.as_bytes())?;
            out.put_reserved(b"_command", name)?;
            metadata.put_of_ask(&mut self.written_time, out)?;
            fields.encode_fields(out)
        })
        .map_err(AskRefused::Encode)?;
        let is_large = !metadata.stream && self.send_in_parts_if_large(before, Some(tag));
        // A large one is not sent before its last piece is.
        let position = if is_large { u64::MAX } else { position };
        Ok(self.asks.insert(tag, deadline, position))
    }

    /// Writes a command that wants no answer.
    ///
    /// # Errors
    /// [`AskRefused`]: nothing was written.
    pub fn notify<C: Command>(&mut self, command: &C) -> Result<(), AskRefused> {
        self.check_open()?;
        let reserved = [(&b"_command"[..], C::NAME.as_bytes())];
        write_box(&mut self.out, &reserved, &self.limits, |out| command.encode(out))
            .map_err(AskRefused::Encode)
    }

    /// Writes the answer to the peer's ask `tag`.
    ///
    /// # Errors
    /// [`EncodeError`] when the response does not fit a box; nothing was written.
    pub fn answer(&mut self, tag: &[u8], response: &dyn EncodeFields) -> Result<(), EncodeError> {
        if self.is_lost() {
            return Ok(());
        }
        if let Some(stream) = self.stream_of_peer(tag) {
            // Behind its items.
            let reserved = [(&b"_answer"[..], tag)];
            let bytes = self.write_bulk(&reserved, response)?;
            self.count_bulk_answer(bytes);
            self.streams.close(stream);
            return Ok(());
        }
        let before = self.out.len();
        let (reader, limits) = reader_of(self.large, &self.limits);
        write_box_for(reader, &mut self.out, limits, |out| {
            out.put_reserved(b"_answer", tag)?;
            response.encode_fields(out)
        })?;
        if !self.send_in_parts_if_large(before, None) {
            self.answer_bytes += self.out.len() - before;
        }
        Ok(())
    }

    /// The stream that belongs to the peer's ask `tag`, if one does.
    pub(super) fn stream_of_peer(&self, tag: &[u8]) -> Option<StreamId> {
        if self.streams.is_empty() {
            return None;
        }
        let stream = StreamId { asked_by: Side::Peer, tag: parse_tag(tag)? };
        self.streams.contains(stream).then_some(stream)
    }

    /// Writes a box behind everything that is not part of a stream, and says how long it is.
    pub(super) fn write_bulk(
        &mut self,
        reserved: &[(&[u8], &[u8])],
        fields: &dyn EncodeFields,
    ) -> Result<usize, EncodeError> {
        if self.bulk.back().is_none_or(|last| last.bytes.len() >= Self::BULK_PIECE_BYTES) {
            self.bulk.push_back(Piece::default());
        }
        let Some(Piece { bytes: piece, .. }) = self.bulk.back_mut() else { return Ok(0) };
        let before = piece.len();
        write_box(piece, reserved, &self.limits, |out| fields.encode_fields(out))?;
        let bytes = piece.len() - before;
        self.bulk_bytes += bytes;
        Ok(bytes)
    }

    /// The box that was written last ends a stream of the peer's, or says no more to it.
    pub(super) fn count_bulk_answer(&mut self, bytes: usize) {
        if let Some(piece) = self.bulk.back_mut() {
            piece.answer_bytes += bytes;
            self.bulk_answer_bytes += bytes;
        }
    }

    /// Has the whole box that ends a stream of the peer's sent behind its items.
    pub(super) fn push_bulk_answer(&mut self, whole: Vec<u8>) {
        let bytes = whole.len();
        self.bulk_bytes += bytes;
        match self.bulk.back_mut() {
            Some(last) if last.bytes.len() + bytes <= Self::BULK_PIECE_BYTES => {
                last.bytes.extend_from_slice(&whole);
            }
            _ => self.bulk.push_back(Piece { bytes: whole, answer_bytes: 0 }),
        }
        self.count_bulk_answer(bytes);
    }

    /// Writes a box ahead of every item. It counts as an answer: what the peer sends brings it
    /// about, and a peer that does not read it has to be read no more.
    pub(super) fn write_ahead(
        &mut self,
        reserved: &[(&[u8], &[u8])],
        fields: &dyn EncodeFields,
    ) -> Result<(), EncodeError> {
        let before = self.out.len();
        write_box(&mut self.out, reserved, &self.limits, |out| fields.encode_fields(out))?;
        self.answer_bytes += self.out.len() - before;
        Ok(())
    }

    /// Writes an error as the answer to the peer's ask `tag`. A long description is cut.
    pub fn refuse(&mut self, tag: &[u8], code: &str, description: &str) {
        if self.is_lost() {
            return;
        }
        let cut = description.floor_char_boundary(Self::DESCRIPTION_BYTES_MAX);
        let description = description.get(..cut).unwrap_or_default();
        // The caller has to hear something: what does not fit the limits is said shortly.
        if self.write_refusal(tag, code, description, false).is_err() {
            let _fits = self.write_refusal(tag, "UNKNOWN", "", true);
        }
    }

    fn write_refusal(
        &mut self,
        tag: &[u8],
        code: &str,
        description: &str,
        always: bool,
    ) -> Result<(), EncodeError> {
        let reserved = [
            (&b"_error"[..], tag),
            (b"_error_code", code.as_bytes()),
            (b"_error_description", description.as_bytes()),
        ];
        let unlimited = always.then(|| Limits { box_bytes_max: usize::MAX, ..Limits::default() });
        let limits = unlimited.as_ref().unwrap_or(&self.limits);
        let mut whole = Vec::new();
        write_box(&mut whole, &reserved, limits, |_| Ok(()))?;
        if let Some(stream) = self.stream_of_peer(tag) {
            self.push_bulk_answer(whole);
            self.streams.close(stream);
        } else {
            self.answer_bytes += whole.len();
            self.out.append(&mut whole);
        }
        Ok(())
    }

    /// Takes the peer's answer or error to one of our asks.
    ///
    /// # Errors
    /// [`PeerMisbehaved::UnknownTag`] when nothing under that tag is in flight.
    pub fn handle_reply(&mut self, reply: &Incoming<'_>) -> Result<(), PeerMisbehaved> {
        let tag = match reply {
            Incoming::Answer { tag, fields } => {
                self.asks.settle(tag, || Ok(fields.to_received()))?;
                tag
            }
            Incoming::Error { tag, fields } => {
                self.asks.settle(tag, || Err(error_of(fields)))?;
                tag
            }
            Incoming::Ask(_) => return Ok(()),
        };
        if !self.streams.is_empty()
            && let Some(tag) = parse_tag(tag)
        {
            self.streams.call_over(StreamId { asked_by: Side::Us, tag });
        }
        Ok(())
    }

    /// Ends every ask whose deadline has come. Gives those that the peer has, or will have, and may
    /// be working on, so that it can be told that nobody waits any more.
    pub fn handle_timeout(&mut self, now: Moment) -> Vec<AskId> {
        if self.parts.waiting_bytes() > 0 {
            self.expire_parts(now);
        }
        let mut expired = self.asks.expire(now);
        expired.retain(|ask| Some(*ask) != self.ping);
        if !self.streams.is_empty() {
            let asks = &self.asks;
            self.streams.over(|tag| !asks.is_waiting(tag));
        }
        expired
    }

    /// The stream is gone: every ask in flight ends, and what was not sent is dropped. Only the
    /// first reason counts.
    pub fn handle_lost(&mut self, lost: Lost) {
        if !self.is_lost() {
            self.asks.lose(&lost, self.written);
            self.streams.lose(&lost);
            self.phase = Phase::Lost(lost);
            self.out = Vec::new();
            self.bulk = VecDeque::new();
            self.bulk_bytes = 0;
            self.parts.clear();
            self.answer_bytes = 0;
            self.bulk_answer_bytes = 0;
        }
    }

    /// The peer sends no more: every ask in flight ends, and no new one is made. Its own asks can
    /// still be answered.
    pub fn handle_peer_done(&mut self, lost: Lost) {
        for ask in self.parts.asks().collect::<Vec<_>>() {
            self.give_up_parts(AskId(ask));
        }
        // What else waits to be sent still goes out, with the answers, and the peer may act on it.
        self.asks.lose(&lost, self.position());
        self.streams.over(|_| true);
        self.leave(lost);
    }

    /// Takes no new asks, for the reason given; those in flight go on, and the peer's are
    /// answered.
    pub fn leave(&mut self, why: Lost) {
        if matches!(self.phase, Phase::Open) {
            self.phase = Phase::Leaving(why);
        }
    }

    /// The outcome of an ask, once it is there. The handle is used up by it.
    pub fn poll_ask(&mut self, id: AskId, cx: &mut Context<'_>) -> Poll<AskResult> {
        let outcome = self.asks.poll(id, cx, self.limits.asks_forgotten_max);
        if outcome.is_ready() && self.ping == Some(id) {
            self.ping = None;
        }
        outcome
    }

    /// Drops all interest in an ask. AMP has no recall: the peer goes on, and its answer is
    /// dropped. Says whether the ask was still without an outcome.
    pub fn forget(&mut self, id: AskId) -> bool {
        if self.give_up_parts(id) {
            self.asks.discard(id);
            return false;
        }
        self.asks.forget(id, self.limits.asks_forgotten_max)
    }

    /// Sends no box of more than this many bytes, because the peer takes none.
    pub fn set_box_bytes_max(&mut self, box_bytes_max: usize) {
        if box_bytes_max < self.limits.box_bytes_max {
            self.limits = Arc::new(Limits { box_bytes_max, ..Limits::clone(&self.limits) });
        }
    }

    /// The earliest moment at which a deadline may have come.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.asks.earliest()
    }

    /// How many of our asks wait for an outcome.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.asks.in_flight()
    }

    /// How many of them somebody made: all but the sign of life.
    #[must_use]
    pub fn calls_in_flight(&self) -> usize {
        self.asks.in_flight().saturating_sub(usize::from(self.ping.is_some()))
    }

    /// Why no new ask can be made, if so.
    #[must_use]
    pub fn refusing(&self) -> Option<&Lost> {
        match &self.phase {
            Phase::Open => None,
            Phase::Leaving(why) | Phase::Lost(why) => Some(why),
        }
    }

    /// Whether the stream is gone.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self.phase, Phase::Lost(_))
    }

    #[inline]
    pub(super) fn check_open(&self) -> Result<(), AskRefused> {
        match &self.phase {
            Phase::Open => Ok(()),
            Phase::Leaving(why) | Phase::Lost(why) => Err(AskRefused::Lost(why.clone())),
        }
    }

    /// Where the next byte will stand in the stream of all bytes we ever send.
    pub(super) fn position(&self) -> u64 {
        self.out_position + widen(self.out.len())
    }
}

#[expect(clippy::as_conversions, reason = "usize fits u64 on every platform that Rust supports")]
pub(super) const fn widen(bytes: usize) -> u64 {
    bytes as u64
}

/// An error box without its code or description still ends the ask that it answers.
fn error_of(fields: &Fields<'_>) -> AskStopped {
    let text = |key: &[u8]| {
        fields.get(key).map(|value| String::from_utf8_lossy(value.bytes()).into_owned())
    };
    AskStopped::Error {
        code: text(b"_error_code").unwrap_or_else(|| "UNKNOWN".into()),
        description: text(b"_error_description").unwrap_or_default(),
    }
}
