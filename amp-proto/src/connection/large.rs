//! What an exchange does with asks and answers that are too large to go in one piece.

use alloc::vec::Vec;

use crate::Limits;
use crate::command::EncodeFields;
use crate::connection::asks::AskId;
use crate::connection::exchange::{AskRefused, Exchange, widen};
use crate::connection::metadata::{Metadata, PART_KEY, number};
use crate::connection::parts::{Assembled, Assembly};
use crate::connection::streaming::Credit;
use crate::connection::{Ask, Incoming, Moment};
use crate::error::{EncodeError, PeerMisbehaved};
use crate::limits::BoxLimits;
use crate::wire::{BoxWriter, Reader, VALUE_BYTES_MAX, Value, write_box, write_box_for};

/// The name of a piece on the wire, and what may stand in it.
const PART: &[u8] = b"Part";
const LAST_KEY: &[u8] = b"_last";
const GIVEN_UP_KEY: &[u8] = b"_given_up";
/// Bytes that stand around a piece in its box, at the most.
const AROUND: usize = 128;

/// The fields of a large ask or answer, encoded without a connection at hand, so that nobody has to
/// wait for it meanwhile.
#[derive(Debug)]
pub struct LargeBody(Vec<u8>);

impl LargeBody {
    /// Encodes `fields`.
    ///
    /// # Errors
    /// [`EncodeError`] when a value does not fit, or all are more than `bytes_max`.
    pub fn encode<F: EncodeFields + ?Sized>(
        fields: &F,
        bytes_max: usize,
    ) -> Result<Self, EncodeError> {
        let mut body = Vec::with_capacity(fields.bytes_hint().min(bytes_max));
        let fill = |out: &mut BoxWriter<'_>| fields.encode_fields(out);
        let limits = large_boxes(&Limits::default(), bytes_max);
        write_box_for(Reader::KnowsParts, &mut body, limits, fill)?;
        Ok(Self(body))
    }
}

/// The limits of boxes of up to `bytes_max`.
fn large_boxes(limits: &Limits, bytes_max: usize) -> BoxLimits {
    let parts = bytes_max / VALUE_BYTES_MAX + 1;
    BoxLimits { bytes_max, keys_max: limits.keys_per_box_max.saturating_add(parts) }
}

/// Who will read what is written now, and the limits of it.
#[inline]
pub(super) fn reader_of(large: Option<BoxLimits>, limits: &Limits) -> (Reader, BoxLimits) {
    large.map_or_else(|| (Reader::AnyPeer, limits.into()), |large| (Reader::KnowsParts, large))
}

impl Exchange {
    /// An ask or answer with values longer than this, in bytes, goes in pieces, which are about as
    /// long. What is longer only by what stands around its values goes as it is.
    pub const PART_BYTES: usize = 32 * 1024;

    /// The limits of boxes that come in pieces, of a connection with these limits.
    #[must_use]
    pub fn large_limits(limits: &Limits) -> Limits {
        let BoxLimits { bytes_max, keys_max } = large_boxes(limits, limits.large_bytes_max);
        Limits { box_bytes_max: bytes_max, keys_per_box_max: keys_max, ..limits.clone() }
    }

    /// Sends what is large in pieces from now on: the peer puts up to `bytes_max` together, and
    /// takes `window_bytes` ahead.
    pub fn set_large(&mut self, bytes_max: usize, window_bytes: usize) {
        self.large = Some(large_boxes(&self.limits, bytes_max));
        self.parts.give_credit(u64::try_from(window_bytes).unwrap_or(u64::MAX));
    }

    /// As [`Exchange::ask_encoded`], for fields that were encoded beforehand.
    ///
    /// # Errors
    /// As [`Exchange::ask`].
    pub fn ask_large(
        &mut self,
        name: &[u8],
        body: LargeBody,
        deadline: Moment,
        metadata: &Metadata<'_>,
    ) -> Result<AskId, AskRefused> {
        let before = self.out.len();
        let ask = self.ask_encoded(name, &(), deadline, metadata)?;
        if let Err(too_large) = self.send_body(before, body, Some(ask.0)) {
            self.asks.discard(ask);
            return Err(AskRefused::Encode(too_large));
        }
        // It is not sent before its last piece is.
        self.asks.set_position(ask.0, u64::MAX);
        Ok(ask)
    }

    /// As [`Exchange::answer`], for fields that were encoded beforehand.
    ///
    /// # Errors
    /// As [`Exchange::answer`].
    pub fn answer_large(&mut self, tag: &[u8], body: LargeBody) -> Result<(), EncodeError> {
        if self.is_lost() {
            return Ok(());
        }
        if let Some(stream) = self.stream_of_peer(tag) {
            // Behind its items, as one box.
            let mut whole = Vec::new();
            write_box(&mut whole, &[(b"_answer", tag)], &self.limits, |_| Ok(()))?;
            whole.truncate(whole.len().saturating_sub(2));
            let LargeBody(mut body) = body;
            whole.append(&mut body);
            let (bytes, max) = (whole.len(), self.limits.box_bytes_max);
            if bytes > max {
                return Err(EncodeError::BoxTooLarge { bytes, max });
            }
            self.push_bulk_answer(whole);
            self.streams.close(stream);
            return Ok(());
        }
        let (before, answers) = (self.out.len(), self.answer_bytes);
        self.answer(tag, &())?;
        self.answer_bytes = answers;
        self.send_body(before, body, None)
    }

    /// How long a piece is: it has to fit a box of the peer's, with what stands around it.
    fn part_bytes(&self) -> usize {
        Self::PART_BYTES.min(self.limits.box_bytes_max.saturating_sub(AROUND)).max(1)
    }

    /// Ends the asks that have not gone out as a whole and whose deadline has come. They were
    /// certainly not carried out.
    pub(super) fn expire_parts(&mut self, now: Moment) {
        let late = self.parts.asks().filter(|ask| self.asks.is_late(*ask, now));
        for ask in late.collect::<Vec<_>>() {
            if self.give_up_parts(AskId(ask)) {
                self.asks.expire_unsent(ask);
            }
        }
    }

    /// Makes one large box of the box after `before`, which has no fields, and `body`. If that is
    /// too large, neither is sent.
    fn send_body(
        &mut self,
        before: usize,
        LargeBody(body): LargeBody,
        ask: Option<u64>,
    ) -> Result<(), EncodeError> {
        let mut head = self.out.split_off(before);
        // The end mark stands behind the body.
        head.truncate(head.len().saturating_sub(2));
        let bytes = head.len() + body.len();
        let max = self.large.map_or(self.limits.box_bytes_max, |large| large.bytes_max);
        if bytes > max {
            return Err(EncodeError::BoxTooLarge { bytes, max });
        }
        self.parts.push(head, body, ask);
        Ok(())
    }

    /// Has the box after `before` sent in pieces, if it is large. Nobody knew that it would be.
    #[inline]
    pub(super) fn send_in_parts_if_large(&mut self, before: usize, ask: Option<u64>) -> bool {
        // A box that is no longer than that of a piece would not hold others up less in two.
        let whole_bytes_max = self.part_bytes() + AROUND;
        let is_large = self.large.is_some() && self.out.len() - before > whole_bytes_max;
        if is_large {
            let whole = self.out.split_off(before);
            self.parts.push(Vec::new(), whole, ask);
        }
        is_large
    }

    /// Appends up to about `bytes_max` of pieces to `out`, which goes out next and begins at
    /// `start` of all that we send. Says how many bytes these are.
    pub(super) fn cut_parts(&mut self, out: &mut Vec<u8>, start: u64, bytes_max: usize) -> usize {
        let before = out.len();
        let unlimited = Limits { box_bytes_max: usize::MAX, ..Limits::default() };
        while out.len() - before < bytes_max && self.parts.is_ready() {
            let position = start + widen(out.len());
            let mut finished = None;
            self.parts.cut(self.part_bytes(), |part| {
                finished = part.ask.filter(|_| part.is_last);
                let number = alloc::format!("{}", part.number);
                let reserved = [
                    (&b"_command"[..], PART),
                    (LAST_KEY, if part.is_last { &b"1"[..] } else { b"" }),
                    (PART_KEY, number.as_bytes()),
                ];
                // A piece is shorter than a value may be.
                let _fits = write_box(out, &reserved, &unlimited, |out| {
                    out.put(b"bytes", |out| {
                        out.extend_from_slice(part.bytes);
                        Ok(())
                    })
                });
            });
            if let Some(ask) = finished {
                self.asks.set_position(ask, position);
            }
        }
        out.len() - before
    }

    /// Whether a large answer waits for the peer to take more of it.
    #[must_use]
    pub fn has_large_answers(&self) -> bool {
        self.parts.has_answers()
    }

    /// Gives the peer credit for pieces.
    pub fn give_part_credit(&mut self, bytes: u64) {
        let reserved = [(&b"_command"[..], Credit::NAME), (PART_KEY, b"")];
        // A number always fits.
        let _fits = self.write_ahead(&reserved, &Credit(bytes));
    }

    /// Takes what the peer gives.
    pub fn handle_part_credit(&mut self, bytes: u64) {
        self.parts.give_credit(bytes);
    }

    /// Gives up an ask that has not gone out as a whole. Says whether it was one; then no answer
    /// will come.
    pub(super) fn give_up_parts(&mut self, ask: AskId) -> bool {
        let Some(began) = self.parts.give_up(ask.0) else { return false };
        if let Some(number) = began {
            let number = alloc::format!("{number}");
            let reserved =
                [(&b"_command"[..], PART), (GIVEN_UP_KEY, b""), (PART_KEY, number.as_bytes())];
            let _fits = self.write_ahead(&reserved, &());
        }
        true
    }
}

impl Assembly {
    /// Whether a box is credit for what is large: all that a side reads for that closes, until the
    /// large answers that it still has are out.
    #[must_use]
    pub fn is_credit(incoming: &Incoming<'_>) -> bool {
        let Incoming::Ask(ask) = incoming else { return false };
        ask.tag.is_none() && ask.metadata.part.is_some() && ask.command == Credit::NAME
    }

    /// Takes a box that belongs to a large one: a piece, the news that no more of them come, or
    /// credit for ours. Anything else is left alone.
    ///
    /// # Errors
    /// [`PeerMisbehaved`] when a piece is over the limits or the credit.
    pub fn handle(&mut self, ask: &Ask<'_>) -> Result<Assembled, PeerMisbehaved> {
        if ask.command == Credit::NAME {
            return Ok(Assembled { given: Some(Credit::of(ask).0), ..Assembled::default() });
        }
        let message = ask.metadata.part.and_then(number).filter(|_| ask.command == PART);
        let Some(message) = message else { return Ok(Assembled::default()) };
        let value = |key| ask.fields.get(key).map(Value::bytes);
        if value(GIVEN_UP_KEY).is_some() {
            self.handle_given_up(message);
            return Ok(Assembled::default());
        }
        let is_last = value(LAST_KEY) == Some(b"1");
        self.handle_part(message, value(b"bytes").unwrap_or_default(), is_last)
    }
}
