//! Lists: `ListOf` as elements with their lengths before them, `AmpList` as boxes in a row.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Argument, ListItem};
use crate::Limits;
use crate::command::Arguments;
use crate::error::{DecodeError, EncodeError, ValueError};
use crate::schema::ArgumentType;
use crate::wire::{Fields, Scanned, Scanner, Value, put_prefixed, write_box};

impl<T: ListItem> Argument for Vec<T> {
    const TYPE: ArgumentType = T::LIST_TYPE;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        T::encode_list(self, out)
    }

    fn bytes_hint(&self) -> usize {
        self.len() * size_of::<T>()
    }

    fn decode(value: Value<'_>) -> Result<Self, ValueError> {
        T::decode_list(value)
    }
}

/// `ListOf`: every element with its length in two bytes before it.
pub(super) fn encode_elements<T: Argument>(
    items: &[T],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    for item in items {
        put_prefixed(out, |out| item.encode(out), |bytes| EncodeError::ElementTooLong { bytes })?;
    }
    Ok(())
}

/// The other way.
pub(super) fn decode_elements<T: Argument>(value: Value<'_>) -> Result<Vec<T>, ValueError> {
    elements(value).map(|element| T::decode(element?)).collect()
}

/// The elements of a `ListOf`. A list that ends inside an element is an error, where Twisted
/// silently drops the rest.
pub(crate) fn elements(value: Value<'_>) -> impl Iterator<Item = Result<Value<'_>, ValueError>> {
    let mut rest = value.bytes();
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let split = rest.split_first_chunk::<2>().and_then(|(length, tail)| {
            tail.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        });
        // Nothing comes after what was cut short.
        let (element, tail) =
            split.map_or((None, &[][..]), |(element, tail)| (Some(element), tail));
        rest = tail;
        Some(element.map(|element| value.part(element)).ok_or(ValueError::Truncated))
    })
}

/// `AmpList`: one box after the other. The body of `ListItem::encode_list` that
/// `#[derive(Arguments)]` writes.
///
/// # Errors
/// As [`ListItem::encode_list`].
pub fn encode_boxes<T: Arguments>(items: &[T], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let limits = Limits::default();
    items.iter().try_for_each(|item| write_box(out, &[], &limits, |writer| item.encode(writer)))
}

/// The other way.
///
/// # Errors
/// As [`ListItem::decode_list`], and [`ValueError::Truncated`].
pub fn decode_boxes<T: Arguments>(value: Value<'_>) -> Result<Vec<T>, ValueError> {
    decode_each_box(value, T::decode)
}

/// What `decode` makes of every box of an `AmpList`. A list that ends inside a box is an error,
/// where Twisted silently drops the rest.
pub(crate) fn decode_each_box<T>(
    value: Value<'_>,
    decode: impl Fn(&Fields<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, ValueError> {
    let limits = Limits::default();
    let mut scanner = Scanner::default();
    let mut items = Vec::new();
    let mut rest = value.bytes();
    while !rest.is_empty() {
        let scanned = scanner
            .scan(rest, &limits)
            .map_err(|_| ValueError::malformed("a list of boxes", rest))?;
        let Scanned::Whole { bytes } = scanned else {
            return Err(ValueError::Truncated);
        };
        let fields = Fields::nested(value.part(rest), scanner.spans());
        items.push(decode(&fields).map_err(nested)?);
        scanner.reset();
        rest = rest.get(bytes..).unwrap_or_default();
    }
    Ok(items)
}

fn nested(error: DecodeError) -> ValueError {
    let DecodeError { key, reason } = error;
    ValueError::Nested { key, reason: Box::new(reason) }
}
