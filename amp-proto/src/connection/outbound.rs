//! What waits to be sent, and how the transport takes it: calls and answers first, of what streams
//! say a piece at a time, and what is large behind everything.

use alloc::vec::Vec;

use super::exchange::{Exchange, Piece, widen};
use super::parts::AT_ONCE_MAX;
use crate::Limits;

impl Exchange {
    /// An emptied buffer above this size is given back to the allocator when no ask is in flight.
    const KEPT_BYTES_MAX: usize = 16 * 1024;

    /// Swaps the waiting bytes with `spare`, which has to be empty and will be used for the next
    /// ones. Says how many of those that it gives counted as [`Exchange::answer_bytes`].
    pub fn swap_outbound(&mut self, spare: &mut Vec<u8>) -> usize {
        if self.asks.in_flight() == 0 {
            give_back_above(Self::KEPT_BYTES_MAX, spare);
            give_back_above(Self::KEPT_BYTES_MAX, &mut self.out);
        }
        if self.outbound_bytes() == 0 && !self.parts.is_ready() {
            return 0;
        }
        let start = self.out_position;
        self.out_position = self.position();
        core::mem::swap(&mut self.out, spare);
        let answers_before = self.answer_bytes();
        self.answer_bytes = 0;
        let (mut taken, was_full) = (0, self.is_bulk_full());
        while taken < Self::BULK_PIECE_BYTES
            && let Some(Piece { bytes: piece, answer_bytes }) = self.bulk.pop_front()
        {
            taken += piece.len();
            self.bulk_answer_bytes -= answer_bytes;
            if spare.is_empty() { *spare = piece } else { spare.extend_from_slice(&piece) }
        }
        self.bulk_bytes -= taken;
        if was_full && !self.is_bulk_full() {
            self.streams.made_room();
        }
        taken += self.cut_parts(spare, start, Self::BULK_PIECE_BYTES.saturating_sub(taken));
        self.out_position += widen(taken);
        answers_before - self.answer_bytes()
    }

    /// How much room is kept for bytes that may be written, in bytes, while none wait.
    #[must_use]
    pub fn spare_bytes(&self) -> usize {
        if self.out.is_empty() { self.out.capacity() } else { 0 }
    }

    /// Gives that room back to the allocator.
    pub fn give_back(&mut self) {
        give_back_above(0, &mut self.out);
    }

    /// Whether another answer may be written; one that `is_large` goes in pieces. Without room it
    /// has to wait until the peer has read some of what waits for it, or taken some of what is
    /// large.
    #[must_use]
    pub fn has_room_for_answer(&self, is_large: bool) -> bool {
        let Limits { outbound_bytes_max, .. } = *self.limits;
        // What nobody knew to be large until it was written counts as well.
        let large_max = self.limits.large_at_once_bytes_max();
        let (large, count) = (self.parts.waiting_bytes(), self.parts.len());
        let has_large_room = if is_large {
            count < AT_ONCE_MAX || large < outbound_bytes_max
        } else {
            large < large_max
        };
        has_large_room && self.answer_bytes() < outbound_bytes_max
    }

    /// Whether streams have said so much that was not taken that they have to wait.
    pub(super) fn is_bulk_full(&self) -> bool {
        self.bulk_bytes >= self.limits.outbound_bytes_max
    }

    /// How many bytes wait to be taken.
    #[must_use]
    pub fn outbound_bytes(&self) -> usize {
        self.out.len() + self.bulk_bytes
    }

    /// Whether nothing waits, be it to be taken or for the peer to take more of what is large.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outbound_bytes() == 0 && self.large_bytes() == 0
    }

    /// How many bytes of large boxes wait.
    #[must_use]
    pub fn large_bytes(&self) -> usize {
        self.parts.waiting_bytes()
    }

    /// How many of these are no part of a stream.
    #[must_use]
    pub fn calls_bytes(&self) -> usize {
        self.out.len()
    }

    /// How many of [`Exchange::outbound_bytes`] the peer's boxes have brought about: answers,
    /// refusals, credit.
    #[must_use]
    pub fn answer_bytes(&self) -> usize {
        self.answer_bytes + self.bulk_answer_bytes
    }

    /// The transport took `bytes` more of what [`Exchange::swap_outbound`] gave.
    pub fn handle_written(&mut self, bytes: usize) {
        self.written += widen(bytes);
    }
}

/// Gives an empty buffer back to the allocator if it has room for more than `bytes`.
fn give_back_above(bytes: usize, buffer: &mut Vec<u8>) {
    if buffer.is_empty() && buffer.capacity() > bytes {
        *buffer = Vec::new();
    }
}
