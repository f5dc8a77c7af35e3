//! The sending half: our asks and what became of them, our answers, and the bytes of both.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll};

use crate::Limits;
use crate::command::{Command, EncodeFields};
use crate::connection::asks::{AskId, AskResult, AskStopped, Asks};
use crate::connection::metadata::{DEADLINE_KEY, Header, Milliseconds, TRACE_KEY};
use crate::connection::tag::TagText;
use crate::connection::{Incoming, Lost, Metadata, Moment};
use crate::error::{EncodeError, PeerMisbehaved};
use crate::wire::{Fields, write_box};

/// Numbers our asks, holds what is in flight, and gathers the bytes to send.
#[derive(Debug)]
pub struct Exchange {
    limits: Arc<Limits>,
    asks: Asks,
    /// Bytes that wait for the transport to take them.
    out: Vec<u8>,
    /// How many of these are answers to the peer's asks.
    answer_bytes: usize,
    /// Where `out` begins in the stream of all bytes we ever send.
    out_position: u64,
    /// How much of that stream the transport has taken.
    written: u64,
    /// The ask that takes nobody's place.
    ping: Option<AskId>,
    phase: Phase,
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
    /// An emptied buffer above this size is given back to the allocator.
    const KEPT_BYTES_MAX: usize = 16 * 1024;

    /// The exchange of a connection on which nothing has happened yet.
    #[must_use]
    pub fn new(limits: Arc<Limits>) -> Self {
        Self {
            limits,
            asks: Asks::new(),
            out: Vec::new(),
            answer_bytes: 0,
            out_position: 0,
            written: 0,
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
        if self.calls_in_flight() >= max {
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
        let deadline_ms = metadata.deadline.map(Milliseconds::of);
        let mut header = Header::default();
        header.push(b"_ask", text.as_bytes());
        header.push(b"_command", name);
        if let Some(deadline_ms) = &deadline_ms {
            header.push(DEADLINE_KEY, deadline_ms.as_bytes());
        }
        if let Some(trace) = metadata.trace {
            header.push(TRACE_KEY, trace);
        }
        write_box(&mut self.out, header.pairs(), &self.limits, |out| fields.encode_fields(out))
            .map_err(AskRefused::Encode)?;
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
        let before = self.out.len();
        let reserved = [(&b"_answer"[..], tag)];
        write_box(&mut self.out, &reserved, &self.limits, |out| response.encode_fields(out))?;
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
        let before = self.out.len();
        let unlimited = always.then(|| Limits { box_bytes_max: usize::MAX, ..Limits::default() });
        let limits = unlimited.as_ref().unwrap_or(&self.limits);
        write_box(&mut self.out, &reserved, limits, |_| Ok(()))?;
        self.answer_bytes += self.out.len() - before;
        Ok(())
    }

    /// Takes the peer's answer or error to one of our asks.
    ///
    /// # Errors
    /// [`PeerMisbehaved::UnknownTag`] when nothing under that tag is in flight.
    pub fn handle_reply(&mut self, reply: &Incoming<'_>) -> Result<(), PeerMisbehaved> {
        match reply {
            Incoming::Answer { tag, fields } => self.asks.settle(tag, Ok(fields.to_received())),
            Incoming::Error { tag, fields } => self.asks.settle(tag, Err(error_of(fields))),
            Incoming::Ask(_) => Ok(()),
        }
    }

    /// Ends every ask whose deadline has come.
    pub fn handle_timeout(&mut self, now: Moment) {
        self.asks.expire(now);
    }

    /// The transport took `bytes` more of what [`Exchange::swap_outbound`] gave.
    pub fn handle_written(&mut self, bytes: usize) {
        self.written += widen(bytes);
    }

    /// The stream is gone: every ask in flight ends, and what was not sent is dropped. Only the
    /// first reason counts.
    pub fn handle_lost(&mut self, lost: Lost) {
        if !self.is_lost() {
            self.asks.lose(&lost, self.written);
            self.phase = Phase::Lost(lost);
            self.out = Vec::new();
            self.answer_bytes = 0;
        }
    }

    /// The peer sends no more: every ask in flight ends, and no new one is made. Its own asks can
    /// still be answered.
    pub fn handle_peer_done(&mut self, lost: Lost) {
        // What waits to be sent still goes out, with the answers, and the peer may act on it.
        self.asks.lose(&lost, u64::MAX);
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

    /// Swaps the waiting bytes with `spare`, which has to be empty and will be used for the next
    /// ones.
    pub fn swap_outbound(&mut self, spare: &mut Vec<u8>) {
        self.out_position = self.position();
        if spare.capacity() > Self::KEPT_BYTES_MAX {
            *spare = Vec::new();
        }
        core::mem::swap(&mut self.out, spare);
        self.answer_bytes = 0;
    }

    /// How many bytes wait to be taken.
    #[must_use]
    pub fn outbound_bytes(&self) -> usize {
        self.out.len()
    }

    /// How many of these are answers to the peer's asks.
    #[must_use]
    pub fn answer_bytes(&self) -> usize {
        self.answer_bytes
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

    fn check_open(&self) -> Result<(), AskRefused> {
        self.refusing().map_or(Ok(()), |lost| Err(AskRefused::Lost(lost.clone())))
    }

    /// Where the next byte will stand in the stream of all bytes we ever send.
    fn position(&self) -> u64 {
        self.out_position + widen(self.out.len())
    }
}

#[expect(clippy::as_conversions, reason = "usize fits u64 on every platform that Rust supports")]
const fn widen(bytes: usize) -> u64 {
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
