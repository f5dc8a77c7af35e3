//! Boxes on the wire: where one begins and ends, and where its keys and values lie.
//!
//! A box is any number of key/value pairs and then a key of length zero:
//!
//! ```text
//! (key length u16be 1..=255, key, value length u16be, value)*  00 00
//! ```
//!
//! Nothing is copied here. [`Scanner`] walks over bytes as they arrive and notes the place of
//! every key and value; [`Fields`] reads a box through those notes; [`BoxWriter`] lays one down
//! at the end of a buffer. "Not enough bytes yet" is an ordinary answer, never an error.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::Limits;
use crate::error::{EncodeError, LooksLike, PeerMisbehaved};

/// The longest key, in bytes: the first byte of a key's length is always zero.
pub const KEY_BYTES_MAX: usize = 255;
/// The longest value, in bytes: what the two-byte length can say.
pub const VALUE_BYTES_MAX: usize = 65_535;

/// The place of one key and its value, counted from the start of the box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    key_at: u32,
    key_bytes: u8,
    value_bytes: u16,
}

impl Span {
    fn key_range(self) -> core::ops::Range<usize> {
        let at = widen(self.key_at);
        at..at + usize::from(self.key_bytes)
    }

    fn value_range(self) -> core::ops::Range<usize> {
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
            let Some(key_bytes) = length_at(bytes, self.at) else {
                return partial(self.at + 2, limits);
            };
            if key_bytes == 0 {
                let end = self.at + 2;
                check_size(end, limits)?;
                return Ok(Scanned::Whole { bytes: end });
            }
            let Ok(key_length) = u8::try_from(key_bytes) else {
                let looks_like = LooksLike::guess(bytes);
                return Err(PeerMisbehaved::KeyTooLong { bytes: key_bytes, looks_like });
            };
            if self.spans.len() == limits.keys_per_box_max {
                return Err(PeerMisbehaved::TooManyKeys { max: limits.keys_per_box_max });
            }
            let value_length_at = self.at + 2 + key_bytes;
            let Some(value_bytes) = length_at(bytes, value_length_at) else {
                return partial(value_length_at + 2, limits);
            };
            let end = value_length_at + 2 + value_bytes;
            if end > bytes.len() {
                return partial(end, limits);
            }
            check_size(end, limits)?;
            self.spans.push(Span {
                key_at: u32::try_from(self.at + 2)
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

fn length_at(bytes: &[u8], at: usize) -> Option<usize> {
    let pair = bytes.get(at..at + 2)?;
    Some(usize::from(u16::from_be_bytes([*pair.first()?, *pair.get(1)?])))
}

/// A received box, read in place.
///
/// The last of several values under one key is the one that counts, as in Twisted.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
    shared: Option<&'a Bytes>,
    decompressed_bytes_max: usize,
}

impl<'a> Fields<'a> {
    /// The box at the start of `source`, whose places were noted in `spans`. Large values share
    /// `source`.
    #[must_use]
    pub fn new(source: &'a Bytes, spans: &'a [Span], limits: &Limits) -> Self {
        Self { shared: Some(source), ..Self::in_place(source, spans, limits) }
    }

    /// The box at the start of `bytes`, a buffer that will be used again: values are copied out.
    #[must_use]
    pub fn in_place(bytes: &'a [u8], spans: &'a [Span], limits: &Limits) -> Self {
        let decompressed_bytes_max = limits.decompressed_bytes_max;
        Self { bytes, spans, shared: None, decompressed_bytes_max }
    }

    /// A box inside a value, under the same limits as the box it came from.
    pub(crate) fn nested(value: Value<'a>, spans: &'a [Span]) -> Self {
        let Value { bytes, shared, decompressed_bytes_max } = value;
        Self { bytes, spans, shared, decompressed_bytes_max }
    }

    /// The value under `key`, if there is one.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Value<'a>> {
        self.iter().rev().find_map(|(name, value)| (name == key).then_some(value))
    }

    /// Every key and value in the order of arrival, doubles included.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&'a [u8], Value<'a>)> + use<'a> {
        let Self { bytes, shared, decompressed_bytes_max, .. } = *self;
        self.spans.iter().map(move |span| {
            let key = bytes.get(span.key_range()).unwrap_or_default();
            let bytes = bytes.get(span.value_range()).unwrap_or_default();
            (key, Value { bytes, shared, decompressed_bytes_max })
        })
    }

    /// How many keys there are, doubles included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The same box, on its own, to be kept after the receive buffer has moved on.
    #[must_use]
    pub fn to_received(&self) -> ReceivedBox {
        ReceivedBox {
            source: self.shared.cloned().unwrap_or_else(|| Bytes::copy_from_slice(self.bytes)),
            spans: self.spans.into(),
            decompressed_bytes_max: self.decompressed_bytes_max,
        }
    }
}

/// A received box that owns its bytes: an answer waiting for its caller, an ask waiting for the
/// end of the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedBox {
    source: Bytes,
    spans: Box<[Span]>,
    decompressed_bytes_max: usize,
}

impl ReceivedBox {
    /// Its keys and values.
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        Fields {
            bytes: &self.source,
            spans: &self.spans,
            shared: Some(&self.source),
            decompressed_bytes_max: self.decompressed_bytes_max,
        }
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        self.source.len()
    }
}

/// The bytes of one value, and the buffer they lie in.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    bytes: &'a [u8],
    shared: Option<&'a Bytes>,
    decompressed_bytes_max: usize,
}

impl<'a> Value<'a> {
    /// Values up to this size are copied even when the buffer could be shared: a small value must
    /// not keep a large buffer alive.
    const COPIED_BYTES_MAX: usize = 1024;

    /// A value that lies in a buffer of its own.
    #[must_use]
    pub fn new(source: &'a Bytes, limits: &Limits) -> Self {
        let decompressed_bytes_max = limits.decompressed_bytes_max;
        Self { bytes: source, shared: Some(source), decompressed_bytes_max }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes as a value of their own: large ones share the receive buffer where they can,
    /// small ones are copied.
    #[must_use]
    pub fn to_bytes(self) -> Bytes {
        match self.shared {
            Some(shared) if self.bytes.len() > Self::COPIED_BYTES_MAX => {
                shared.slice_ref(self.bytes)
            }
            _ => Bytes::copy_from_slice(self.bytes),
        }
    }

    /// A part of this value, such as an element of a list. `bytes` must lie inside it.
    #[must_use]
    pub fn part(self, bytes: &'a [u8]) -> Self {
        Self { bytes, ..self }
    }

    /// The same limits over other bytes, such as what this value decompressed to.
    #[must_use]
    pub fn replaced<'b>(self, source: &'b Bytes) -> Value<'b> {
        let decompressed_bytes_max = self.decompressed_bytes_max;
        Value { bytes: source, shared: Some(source), decompressed_bytes_max }
    }

    /// How many bytes this value may decompress to.
    #[must_use]
    pub fn decompressed_bytes_max(self) -> usize {
        self.decompressed_bytes_max
    }
}

/// Lays one box down at the end of `out`: what `fill` puts into it, merged with the `reserved` keys
/// (sorted by key) at their places.
///
/// # Errors
/// [`EncodeError`] when a key or value does not fit, the box is over `limits`, or `fill` fails.
/// `out` is then as it was before.
pub fn write_box(
    out: &mut Vec<u8>,
    reserved: &[(&[u8], &[u8])],
    limits: &Limits,
    fill: impl FnOnce(&mut BoxWriter<'_>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    let mut writer = BoxWriter { out, reserved, start, keys: 0 };
    let written = fill(&mut writer).and_then(|()| writer.finish(limits));
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Where a command or a response puts its keys and values; made by [`write_box`].
///
/// Keys have to come in ascending order, as every AMP sender writes them; the derives know the
/// order at compile time.
#[derive(Debug)]
pub struct BoxWriter<'a> {
    out: &'a mut Vec<u8>,
    reserved: &'a [(&'a [u8], &'a [u8])],
    start: usize,
    keys: usize,
}

impl BoxWriter<'_> {
    /// Puts one key, and the value that `encode` appends.
    ///
    /// # Errors
    /// [`EncodeError`] when the key's or the value's length does not fit, or from `encode`.
    pub fn put(
        &mut self,
        key: &[u8],
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        while let Some(((reserved, value), rest)) = self.reserved.split_first() {
            if *reserved > key {
                break;
            }
            self.reserved = rest;
            self.put_pair(reserved, |out| {
                out.extend_from_slice(value);
                Ok(())
            })?;
        }
        self.put_pair(key, encode)
    }

    fn put_pair(
        &mut self,
        key: &[u8],
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let key_bytes = u8::try_from(key.len()).ok().filter(|bytes| *bytes > 0);
        let key_bytes = key_bytes.ok_or(EncodeError::KeyLength { bytes: key.len() })?;
        self.keys += 1;
        self.out.extend_from_slice(&[0, key_bytes]);
        self.out.extend_from_slice(key);
        put_prefixed(self.out, encode, |bytes| EncodeError::ValueTooLong {
            key: String::from_utf8_lossy(key).into_owned(),
            bytes,
        })
    }

    fn finish(mut self, limits: &Limits) -> Result<(), EncodeError> {
        for (key, value) in core::mem::take(&mut self.reserved) {
            self.put_pair(key, |out| {
                out.extend_from_slice(value);
                Ok(())
            })?;
        }
        self.out.extend_from_slice(&[0, 0]);
        let bytes = self.out.len() - self.start;
        if self.keys > limits.keys_per_box_max {
            return Err(EncodeError::TooManyKeys { max: limits.keys_per_box_max });
        }
        if bytes > limits.box_bytes_max {
            return Err(EncodeError::BoxTooLarge { bytes, max: limits.box_bytes_max });
        }
        Ok(())
    }
}

/// Appends what `encode` appends, with its length in two bytes before it.
///
/// # Errors
/// From `encode`, or `too_long` with the length that two bytes cannot say. What was appended stays;
/// the caller gives up the whole box.
pub(crate) fn put_prefixed(
    out: &mut Vec<u8>,
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    too_long: impl FnOnce(usize) -> EncodeError,
) -> Result<(), EncodeError> {
    let length_at = out.len();
    out.extend_from_slice(&[0, 0]);
    encode(out)?;
    let bytes = out.len() - length_at - 2;
    let length = u16::try_from(bytes).map_err(|_| too_long(bytes))?;
    if let Some(place) = out.get_mut(length_at..length_at + 2) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}
