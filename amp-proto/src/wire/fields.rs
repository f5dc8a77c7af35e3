//! A received box, read through the notes of the scanner.

use alloc::vec::Vec;

use bytes::Bytes;
use smallvec::SmallVec;

use super::kept::Kept;
use super::writer::{BoxWriter, Reader, write_box_for};
use super::{Scanner, Span, VALUE_BYTES_MAX, part_key};
use crate::Limits;
use crate::command::EncodeFields;
use crate::error::EncodeError;

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
    // A derived key is known where this is called: inlined, it is compared without a call.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Value<'a>> {
        let of_length = |span: &&Span| span.key_range().len() == key.len();
        let is_it = |span: &&Span| self.bytes.get(span.key_range()) == Some(key);
        let span = self.spans.iter().rev().filter(of_length).find(is_it)?;
        Some(self.value_at(*span))
    }

    #[inline(always)]
    fn value_at(&self, span: Span) -> Value<'a> {
        let Self { bytes, shared, decompressed_bytes_max, .. } = *self;
        let bytes = bytes.get(span.value_range()).unwrap_or_default();
        Value { bytes, shared, decompressed_bytes_max }
    }

    /// The value under `key` with all that goes on under `key.2`, `key.3`, …, if there is one.
    ///
    /// A part is followed by another only if it is as long as a value can be. What is put together
    /// is no larger than the box.
    #[inline(always)]
    #[must_use]
    pub fn whole(&self, key: &[u8]) -> Option<WholeValue<'a>> {
        let first = self.get(key)?;
        Some(if is_full(first) { self.joined(key, first) } else { WholeValue(Whole::One(first)) })
    }

    /// What `read` makes of the value under `key` with all its parts, if there is one.
    // Hardly any value has a second part: the first is read where it is.
    #[inline(always)]
    pub(crate) fn read_whole<T>(&self, key: &[u8], read: impl Fn(Value<'_>) -> T) -> Option<T> {
        let first = self.get(key)?;
        Some(if is_full(first) { read(self.joined(key, first).value()) } else { read(first) })
    }

    /// The value whose first part this is, which is as long as a part can be.
    #[cold]
    fn joined(&self, key: &[u8], first: Value<'a>) -> WholeValue<'a> {
        let part = |number| self.get(&part_key(key, number));
        let Some(second) = part(2) else { return WholeValue(Whole::One(first)) };
        let mut joined = [first.bytes(), second.bytes()].concat();
        let (mut last, mut number) = (second, 3);
        while let Some(next) = is_full(last).then(|| part(number)).flatten() {
            joined.extend_from_slice(next.bytes());
            (last, number) = (next, number + 1);
        }
        WholeValue(Whole::Joined(joined.into(), first))
    }

    /// Every key and value in the order of arrival, doubles included.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&'a [u8], Value<'a>)> + use<'a> {
        let this = *self;
        self.spans.iter().map(move |span| {
            (this.bytes.get(span.key_range()).unwrap_or_default(), this.value_at(*span))
        })
    }

    /// How many keys there are, doubles included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// How many bytes the box has on the wire.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The same box, on its own, to be kept after the receive buffer has moved on.
    #[must_use]
    pub fn to_received(&self) -> ReceivedBox {
        self.received(self.shared.cloned())
    }

    /// As [`Fields::to_received`], for a box that may have to wait long: unless it is large, it
    /// does not share the buffer that it came in, which may be many times its size.
    #[must_use]
    pub(crate) fn to_compact(self) -> ReceivedBox {
        const COPIED_MAX: usize = 64 * 1024;
        self.received(self.shared.filter(|bytes| bytes.len() > COPIED_MAX).cloned())
    }

    fn received(&self, source: Option<Bytes>) -> ReceivedBox {
        ReceivedBox {
            source: source.map_or_else(|| Kept::copy_of(self.bytes), Kept::Shared),
            spans: Spans::from_slice(self.spans),
            decompressed_bytes_max: self.decompressed_bytes_max,
        }
    }
}

/// Whether a value is as long as one can be, so that it may go on under a further key.
fn is_full(value: Value<'_>) -> bool {
    value.bytes.len() == VALUE_BYTES_MAX
}

/// Where the parts of a kept box lie. Most answers have no more keys than have room in place.
type Spans = SmallVec<[Span; 4]>;

/// A received box that owns its bytes: an answer waiting for its caller, an ask waiting for the
/// end of the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedBox {
    source: Kept,
    spans: Spans,
    decompressed_bytes_max: usize,
}

impl ReceivedBox {
    /// A box as if it had been received: what `fill` writes. For an answer that is given more than
    /// once.
    ///
    /// # Errors
    /// [`EncodeError`] when a key or value does not fit. There is no other limit.
    pub fn written(
        fill: impl FnOnce(&mut BoxWriter<'_>) -> Result<(), EncodeError>,
    ) -> Result<Self, EncodeError> {
        let usual = Limits::default();
        let (box_bytes_max, keys_per_box_max) = (usize::MAX, usize::MAX);
        let unlimited = Limits { box_bytes_max, keys_per_box_max, ..usual };
        let mut wire = Vec::new();
        write_box_for(Reader::KnowsParts, &mut wire, (&unlimited).into(), fill)?;
        let mut scanner = Scanner::default();
        // What was just written can be read.
        let _whole = scanner.scan(&wire, &unlimited);
        let decompressed_bytes_max = unlimited.decompressed_bytes_max;
        Ok(Self {
            source: Kept::Shared(wire.into()),
            spans: Spans::from_slice(scanner.spans()),
            decompressed_bytes_max,
        })
    }

    /// Its keys and values.
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        Fields {
            bytes: self.source.bytes(),
            spans: &self.spans,
            shared: self.source.shared(),
            decompressed_bytes_max: self.decompressed_bytes_max,
        }
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        self.source.bytes().len()
    }
}

/// As it came.
impl EncodeFields for ReceivedBox {
    fn encode_fields(&self, out: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
        self.fields().iter().try_for_each(|(key, value)| {
            out.put(key, |out| {
                out.extend_from_slice(value.bytes());
                Ok(())
            })
        })
    }

    fn bytes_hint(&self) -> usize {
        self.bytes_len()
    }
}

/// A value that may have come in parts.
#[derive(Clone, Debug)]
pub struct WholeValue<'a>(Whole<'a>);

#[derive(Clone, Debug)]
enum Whole<'a> {
    One(Value<'a>),
    /// The bytes of all parts, and the first of them for its limits.
    Joined(Bytes, Value<'a>),
}

impl WholeValue<'_> {
    /// The value.
    #[must_use]
    pub fn value(&self) -> Value<'_> {
        match &self.0 {
            Whole::One(value) => *value,
            Whole::Joined(bytes, first) => first.replaced(bytes),
        }
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
