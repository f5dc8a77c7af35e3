//! One box at the end of a buffer, written key by key.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Fields, Scanner, VALUE_BYTES_MAX, WrittenFields, part_key};
use crate::Limits;
use crate::error::EncodeError;
use crate::limits::BoxLimits;

/// Lays one box down at the end of `out`: the `reserved` keys (sorted by key) and what `fill` puts
/// into it, each at its place.
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
    write_box_for(Reader::AnyPeer, out, limits.into(), |writer| {
        reserved.iter().try_for_each(|(key, value)| writer.put_reserved(key, value))?;
        fill(writer)
    })
}

/// Who reads a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Somebody who may know nothing but AMP: a long value goes on under further keys only where
    /// its type says so.
    AnyPeer,
    /// Somebody who puts every long value together again.
    KnowsParts,
}

/// As [`write_box`], for a known reader. `fill` puts the reserved keys first.
pub(crate) fn write_box_for(
    reader: Reader,
    out: &mut Vec<u8>,
    limits: BoxLimits,
    fill: impl FnOnce(&mut BoxWriter<'_>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let mut unfinished = Unfinished { start: out.len(), out, is_whole: false };
    let start = unfinished.start;
    let out = &mut *unfinished.out;
    let (has_reserved, is_sorted) = (false, true);
    let mut writer = BoxWriter { out, start, keys: 0, reader, has_reserved, is_sorted };
    let written = fill(&mut writer).and_then(|()| writer.finish(limits));
    unfinished.is_whole = written.is_ok();
    written
}

/// Takes a box back that did not come to its end, be it for an error or a panic: half a box would
/// spoil all that comes after it.
struct Unfinished<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    is_whole: bool,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.is_whole {
            self.out.truncate(self.start);
        }
    }
}

/// The keys that say what a box is. They are written by the connection, never by a command.
const RESERVED_KEYS: [&[u8]; 6] =
    [b"_answer", b"_ask", b"_command", b"_error", b"_error_code", b"_error_description"];

/// Where a command or a response puts its keys and values; made by [`write_box`].
///
/// Keys have to come in ascending order, as every AMP sender writes them; the derives know the
/// order at compile time.
#[derive(Debug)]
pub struct BoxWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    keys: usize,
    reader: Reader,
    /// Reserved keys stand before all others.
    has_reserved: bool,
    /// Whether all keys are at their places. They are not when some belong before the reserved
    /// ones, or when a value went on under further keys.
    is_sorted: bool,
}

impl BoxWriter<'_> {
    /// Puts one key, and the value that `encode` appends.
    ///
    /// # Errors
    /// [`EncodeError`] when the key is one of AMP's own, the key's or the value's length does not
    /// fit, or from `encode`.
    // A derived key is known where this is called: inlined, all that is done with it is constant.
    #[inline(always)]
    pub fn put(
        &mut self,
        key: &[u8],
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        if key.first() == Some(&b'_') && RESERVED_KEYS.contains(&key) {
            return Err(reserved_key(key));
        }
        self.put_any(key, encode)
    }

    /// As [`BoxWriter::put`], but what one value cannot hold goes on under `key.2`, `key.3`, … for
    /// any reader.
    ///
    /// # Errors
    /// As [`BoxWriter::put`].
    pub fn put_in_parts(
        &mut self,
        key: &[u8],
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let reader = core::mem::replace(&mut self.reader, Reader::KnowsParts);
        let keys = self.keys;
        let written = self.put(key, encode);
        self.reader = reader;
        // Any reader wants further keys at their places.
        self.is_sorted &= self.keys == keys + 1 || reader == Reader::KnowsParts;
        written
    }

    /// Puts all of what was written before.
    pub(super) fn put_written(&mut self, written: &WrittenFields) {
        if self.has_reserved && written.first_byte().is_some_and(|first| *first <= b'_') {
            self.is_sorted = false;
        }
        self.keys += written.keys;
        self.out.extend_from_slice(&written.entries);
    }

    /// How many keys there are so far.
    pub(super) fn keys(&self) -> usize {
        self.keys
    }

    /// As [`BoxWriter::put`], for those who write whole boxes.
    #[inline(always)]
    pub(crate) fn put_any(
        &mut self,
        key: &[u8],
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        // All that is reserved begins so; hardly any other key does, or with what comes before.
        if self.has_reserved && key.first() <= Some(&b'_') {
            self.is_sorted = false;
        }
        self.put_pair(key, encode)
    }

    /// Puts one of the keys that say what a box is. They come first, in ascending order.
    #[inline(always)]
    pub(crate) fn put_reserved(&mut self, key: &[u8], value: &[u8]) -> Result<(), EncodeError> {
        self.has_reserved = true;
        self.put_pair(key, |out| {
            out.extend_from_slice(value);
            Ok(())
        })
    }

    #[inline(always)]
    fn put_pair(
        &mut self,
        key: &[u8],
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let key_bytes = match u8::try_from(key.len()) {
            Ok(key_bytes) if key_bytes > 0 => key_bytes,
            _ => return Err(EncodeError::KeyLength { bytes: key.len() }),
        };
        self.keys += 1;
        put_head(self.out, key, key_bytes);
        let value_at = self.out.len();
        encode(self.out)?;
        let bytes = self.out.len() - value_at;
        match u16::try_from(bytes) {
            Ok(length) => {
                set_length(self.out, value_at - 2, length);
                Ok(())
            }
            Err(_) => self.put_long(key, value_at),
        }
    }

    /// Spreads the value from `value_at` on, the last thing written, over several keys, if the
    /// reader can put it together again.
    #[cold]
    fn put_long(&mut self, key: &[u8], value_at: usize) -> Result<(), EncodeError> {
        if self.reader == Reader::KnowsParts {
            return self.put_parts(key, value_at - 2);
        }
        let bytes = self.out.len() - value_at;
        let key = String::from_utf8_lossy(key).into_owned();
        Err(EncodeError::ValueTooLong { key, bytes })
    }

    /// Spreads the value after `length_at`, the last thing written, over several keys.
    fn put_parts(&mut self, key: &[u8], length_at: usize) -> Result<(), EncodeError> {
        let value = self.out.split_off(length_at + 2);
        for (number, part) in (1_usize..).zip(value.chunks(VALUE_BYTES_MAX)) {
            if number > 1 {
                let key = part_key(key, number);
                let key_bytes = u8::try_from(key.len());
                let key_bytes =
                    key_bytes.map_err(|_| EncodeError::KeyLength { bytes: key.len() })?;
                self.keys += 1;
                self.out.extend_from_slice(&[0, key_bytes]);
                self.out.extend_from_slice(&key);
                self.out.extend_from_slice(&[0, 0]);
            }
            let length_at = self.out.len() - 2;
            set_length(self.out, length_at, u16::try_from(part.len()).unwrap_or(u16::MAX));
            self.out.extend_from_slice(part);
        }
        Ok(())
    }

    /// Puts every key at its place.
    fn sort(&mut self) {
        let whole = self.out.split_off(self.start);
        let mut scanner = Scanner::default();
        let unlimited =
            Limits { box_bytes_max: usize::MAX, keys_per_box_max: usize::MAX, ..Limits::default() };
        // What was just written can be read.
        let _whole = scanner.scan(&whole, &unlimited);
        let mut entries: Vec<_> =
            Fields::in_place(&whole, scanner.spans(), &unlimited).iter().collect();
        entries.sort_by_key(|(key, _)| *key);
        for (key, value) in entries {
            let length = u16::try_from(value.bytes().len()).unwrap_or(u16::MAX);
            let key_bytes = u8::try_from(key.len()).unwrap_or(u8::MAX);
            self.out.extend_from_slice(&[0, key_bytes]);
            self.out.extend_from_slice(key);
            self.out.extend_from_slice(&length.to_be_bytes());
            self.out.extend_from_slice(value.bytes());
        }
        self.out.extend_from_slice(&[0, 0]);
    }

    #[inline]
    fn finish(&mut self, limits: BoxLimits) -> Result<(), EncodeError> {
        self.out.extend_from_slice(&[0, 0]);
        if !self.is_sorted {
            self.sort();
        }
        let bytes = self.out.len() - self.start;
        if self.keys > limits.keys_max {
            return Err(EncodeError::TooManyKeys { max: limits.keys_max });
        }
        if bytes > limits.bytes_max {
            return Err(EncodeError::BoxTooLarge { bytes, max: limits.bytes_max });
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
    set_length(out, length_at, length);
    Ok(())
}

/// Appends a key with its length, and a place for that of its value.
#[inline(always)]
fn put_head(out: &mut Vec<u8>, key: &[u8], key_bytes: u8) {
    /// Longer keys are rare.
    const AT_ONCE_MAX: usize = 32;

    // Laid out first, and appended at once: of a key that is known where this is inlined, that is
    // a constant.
    let mut head = [0; AT_ONCE_MAX + 4];
    let [_, length, rest @ ..] = &mut head;
    *length = key_bytes;
    match rest.get_mut(..key.len()) {
        Some(place) if key.len() <= AT_ONCE_MAX => {
            place.copy_from_slice(key);
            out.extend_from_slice(head.get(..key.len() + 4).unwrap_or_default());
        }
        _ => {
            out.extend_from_slice(&[0, key_bytes]);
            out.extend_from_slice(key);
            out.extend_from_slice(&[0, 0]);
        }
    }
}

#[cold]
fn reserved_key(key: &[u8]) -> EncodeError {
    EncodeError::ReservedKey { key: String::from_utf8_lossy(key).into_owned() }
}

#[inline(always)]
fn set_length(out: &mut [u8], length_at: usize, length: u16) {
    if let Some(place) = out.get_mut(length_at..length_at + 2) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}
