//! What Python's `int`, `float` and `decimal.Decimal` overlook when they read a number, and the
//! way to write formatted text into a buffer of bytes.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

/// `bytes` without the white space that `int` and `float` overlook at both ends. The vertical
/// tabulator is one of them, unlike in Rust.
pub(super) fn trimmed(bytes: &[u8]) -> &[u8] {
    trimmed_of(bytes, |byte| matches!(byte, b'\t'..=b'\r' | b' '))
}

/// `bytes` without those at both ends that are `blank`.
pub(super) fn trimmed_of(mut bytes: &[u8], blank: impl Fn(u8) -> bool) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && blank(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && blank(*last)
    {
        bytes = rest;
    }
    bytes
}

/// `bytes` without underscores, each of which has to stand between two digits; `None` if one does
/// not.
pub(super) fn without_underscores(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !bytes.contains(&b'_') {
        return Some(Cow::Borrowed(bytes));
    }
    let mut kept = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [byte, tail @ ..] = rest {
        if *byte == b'_' {
            let between_digits = kept.last().is_some_and(u8::is_ascii_digit)
                && tail.first().is_some_and(u8::is_ascii_digit);
            if !between_digits {
                return None;
            }
        } else {
            kept.push(*byte);
        }
        rest = tail;
    }
    Some(Cow::Owned(kept))
}

/// Appends formatted text.
pub(super) fn put_text(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    struct Text<'a>(&'a mut Vec<u8>);

    impl fmt::Write for Text<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }

    // A vector takes everything, and what is formatted here does not fail by itself.
    fmt::write(&mut Text(out), text).unwrap_or_default();
}
