//! Where a box ends, and where its keys and values lie.

use alloc::vec::Vec;

use crate::Limits;
use crate::error::{LooksLike, PeerMisbehaved};

/// The place of one key and its value, counted from the start of the box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    key_at: u32,
    key_bytes: u8,
    value_bytes: u16,
}

impl Span {
    pub(super) fn key_range(self) -> core::ops::Range<usize> {
        let at = widen(self.key_at);
        at..at + usize::from(self.key_bytes)
    }

    pub(super) fn value_range(self) -> core::ops::Range<usize> {
        let at = widen(self.key_at) + usize::from(self.key_bytes) + 2;
        at..at + usize::from(self.value_bytes)
    }
}

#[expect(clippy::as_conversions, reason = "u32 fits usize on every platform that has an allocator")]
const fn widen(number: u32) -> usize {
    number as usize
}

/// What [`Scanner::scan`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scanned {
    /// The box ends after this many bytes.
    Whole {
        /// The box's length in bytes, with its end mark.
        bytes: usize,
    },
    /// The box is not all there. At least this many bytes are needed before looking again is
    /// worth while, counted from the start of the box.
    Partial {
        /// A lower bound of the box's length in bytes.
        bytes_min: usize,
    },
}

/// Walks over the bytes of one box as they arrive.
///
/// Bytes that were walked over once are not walked over again when more arrive, so a box that
/// trickles in costs no more than one that comes at once.
#[derive(Debug, Default)]
pub struct Scanner {
    spans: Vec<Span>,
    at: usize,
}

impl Scanner {
    /// Goes on from where the last call stopped. `bytes` begins at the start of the box and may
    /// reach beyond its end.
    ///
    /// # Errors
    /// [`PeerMisbehaved`] when a key is too long, or the box has more keys or bytes than `limits`
    /// allows. A key length is judged as soon as its two bytes are there.
    pub fn scan(&mut self, bytes: &[u8], limits: &Limits) -> Result<Scanned, PeerMisbehaved> {
        loop {
            // Before a look at what is there: what is wrong must not depend on how much has come.
            let key_at = self.at + 2;
            check_size(key_at, limits)?;
            let Some((key_bytes, rest)) = bytes.get(self.at..).and_then(split_length) else {
                return Ok(Scanned::Partial { bytes_min: key_at });
            };
            if key_bytes == 0 {
                return Ok(Scanned::Whole { bytes: key_at });
            }
            let Ok(key_length) = u8::try_from(key_bytes) else {
                let looks_like = LooksLike::guess(bytes);
                return Err(PeerMisbehaved::KeyTooLong { bytes: key_bytes, looks_like });
            };
            if self.spans.len() == limits.keys_per_box_max {
                return Err(PeerMisbehaved::TooManyKeys { max: limits.keys_per_box_max });
            }
            let value_at = key_at + key_bytes + 2;
            let Some((value_bytes, rest)) = rest.get(key_bytes..).and_then(split_length) else {
                return partial(value_at, limits);
            };
            let end = value_at + value_bytes;
            if rest.len() < value_bytes {
                return partial(end, limits);
            }
            self.spans.push(Span {
                key_at: u32::try_from(key_at)
                    .map_err(|_| PeerMisbehaved::BoxTooLarge { max: limits.box_bytes_max })?,
                key_bytes: key_length,
                value_bytes: u16::try_from(value_bytes).unwrap_or(u16::MAX),
            });
            self.at = end;
        }
    }

    /// The keys and values found so far; all of them once the box is whole.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Forgets the box, to begin with the next.
    pub fn reset(&mut self) {
        self.spans.clear();
        self.at = 0;
    }
}

fn partial(bytes_min: usize, limits: &Limits) -> Result<Scanned, PeerMisbehaved> {
    check_size(bytes_min, limits)?;
    Ok(Scanned::Partial { bytes_min })
}

fn check_size(bytes: usize, limits: &Limits) -> Result<(), PeerMisbehaved> {
    if bytes > limits.box_bytes_max {
        return Err(PeerMisbehaved::BoxTooLarge { max: limits.box_bytes_max });
    }
    Ok(())
}

/// The length that `bytes` begin with, and what stands behind it.
fn split_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    Some((usize::from(u16::from_be_bytes(*length)), rest))
}
