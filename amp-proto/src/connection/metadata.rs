//! What rides in an ask beside its arguments, under keys that begin with `_`.
//!
//! A stock peer ignores keys that a command does not declare, so it never notices. These are only
//! written to peers that said they read them.

use core::time::Duration;

use crate::error::EncodeError;
use crate::wire::BoxWriter;

/// The metadata of an ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// How long the caller still waits, from when the ask was written. A duration, not a time of
    /// day, so that clocks need not agree. On the wire under `_deadline_ms`, in whole
    /// milliseconds.
    pub deadline: Option<Duration>,
    /// The trace that the call belongs to, as W3C `traceparent`. On the wire under `_trace`.
    pub trace: Option<&'a [u8]>,
    /// The id of a call that is to be carried out once, sixteen bytes. On the wire under `_once`.
    pub once: Option<&'a [u8]>,
    /// Whether items flow beside the ask. On the wire as an empty `_stream`.
    pub stream: bool,
    /// The number of a large box that this is a piece of, or credit for. On the wire as `_part`.
    pub part: Option<&'a [u8]>,
    /// The tag of an ask of the peer's, whose stream the box is part of. On the wire as
    /// `_stream_ask`.
    pub of_ask: Option<&'a [u8]>,
    /// The tag of an ask of ours, whose stream the box is part of. On the wire as
    /// `_stream_answer`.
    pub of_answer: Option<&'a [u8]>,
}

/// The longest `_trace` that is taken in, in bytes; a longer one is ignored.
const TRACE_BYTES_MAX: usize = 256;

const DEADLINE_KEY: &[u8] = b"_deadline_ms";
const ONCE_KEY: &[u8] = b"_once";
pub(super) const PART_KEY: &[u8] = b"_part";
const STREAM_KEY: &[u8] = b"_stream";
pub(super) const STREAM_ANSWER_KEY: &[u8] = b"_stream_answer";
pub(super) const STREAM_ASK_KEY: &[u8] = b"_stream_ask";
const TRACE_KEY: &[u8] = b"_trace";

impl<'a> Metadata<'a> {
    /// Takes one key of a box in, if it is metadata. What cannot be read is as if it were absent:
    /// metadata is no reason to refuse an ask.
    pub(super) fn take(&mut self, key: &[u8], value: &'a [u8]) {
        // By its length first, and then as a whole: not byte by byte, as patterns are.
        match key.len() {
            5 if key == ONCE_KEY => self.once = Some(value),
            5 if key == PART_KEY => self.part = Some(value),
            6 if key == TRACE_KEY && value.len() <= TRACE_BYTES_MAX => self.trace = Some(value),
            7 if key == STREAM_KEY => self.stream = true,
            11 if key == STREAM_ASK_KEY => self.of_ask = Some(value),
            12 if key == DEADLINE_KEY => self.deadline = number(value).map(Duration::from_millis),
            14 if key == STREAM_ANSWER_KEY => self.of_answer = Some(value),
            _ => {}
        }
    }

    /// Puts what belongs to an ask as a whole, behind `_ask` and `_command`.
    #[inline(always)]
    pub(super) fn put_of_ask(
        &self,
        written: &mut Milliseconds,
        out: &mut BoxWriter<'_>,
    ) -> Result<(), EncodeError> {
        if let Some(left) = self.deadline {
            out.put_reserved(DEADLINE_KEY, written.text_of(left))?;
        }
        if let Some(once) = self.once {
            out.put_reserved(ONCE_KEY, once)?;
        }
        if self.stream {
            out.put_reserved(STREAM_KEY, b"")?;
        }
        if let Some(trace) = self.trace {
            out.put_reserved(TRACE_KEY, trace)?;
        }
        Ok(())
    }
}

/// A number, in decimal digits and nothing else.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    /// Any number of so many digits fits a `u64`.
    const DIGITS_MAX: usize = 19;

    let (first, rest) = digits.split_at(digits.len().min(DIGITS_MAX));
    let mut number = 0;
    for digit in first {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    let add = |number: u64, digit: &u8| {
        let digit = digit.wrapping_sub(b'0');
        let number = number.checked_mul(10).filter(|_| digit <= 9)?;
        number.checked_add(u64::from(digit))
    };
    if digits.is_empty() { None } else { rest.iter().try_fold(number, add) }
}

/// Decimal digits of the number of milliseconds that was written last. Nearly all calls of a
/// connection are given the same time.
#[derive(Debug)]
pub(super) struct Milliseconds {
    duration: Duration,
    digits: [u8; 20],
    from: usize,
}

impl Milliseconds {
    #[inline]
    fn text_of(&mut self, duration: Duration) -> &[u8] {
        if duration != self.duration {
            *self = Self::of(duration);
        }
        self.digits.get(self.from..).unwrap_or_default()
    }

    /// Rounds down, so that no hop ever waits longer than the one before it.
    pub(super) fn of(duration: Duration) -> Self {
        let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let mut digits = [b'0'; 20];
        let mut from = digits.len();
        for place in digits.iter_mut().rev() {
            *place = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            from -= 1;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        Self { duration, digits, from }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn a_number_is_read_however_many_digits_it_has() {
        for read in [0, 7, 30_000, 10_u64.pow(18), 10_u64.pow(19) - 1, 10_u64.pow(19), u64::MAX] {
            assert_eq!(number(format!("{read}").as_bytes()), Some(read));
            assert_eq!(number(format!("{read:040}").as_bytes()), Some(read));
        }
    }

    #[test]
    fn what_is_no_number_or_too_large_is_none() {
        let too_large = u128::from(u64::MAX) + 1;
        let too_large = [format!("{too_large}"), format!("{too_large:040}"), "9".repeat(30)];
        let others = ["", "-1", "+1", " 1", "1 ", "0x1", "1234567890123456789/", "x"];
        for text in too_large.iter().map(|text| &**text).chain(others) {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_time_is_written_anew_when_it_is_another() {
        let mut written = Milliseconds::of(Duration::ZERO);
        for milliseconds in [0, 30_000, 30_000, 7, u64::MAX, 0] {
            let text = written.text_of(Duration::from_millis(milliseconds));
            assert_eq!(text, format!("{milliseconds}").as_bytes());
        }
        // Rounded down.
        assert_eq!(written.text_of(Duration::from_micros(1999)), b"1");
    }
}
