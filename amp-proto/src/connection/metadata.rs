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
        // Compared as a whole, and not byte by byte as patterns are.
        if key == DEADLINE_KEY {
            self.deadline = number(value).map(Duration::from_millis);
        } else if key == TRACE_KEY && value.len() <= TRACE_BYTES_MAX {
            self.trace = Some(value);
        } else if key == ONCE_KEY {
            self.once = Some(value);
        } else if key == PART_KEY {
            self.part = Some(value);
        } else if key == STREAM_KEY {
            self.stream = true;
        } else if key == STREAM_ASK_KEY {
            self.of_ask = Some(value);
        } else if key == STREAM_ANSWER_KEY {
            self.of_answer = Some(value);
        }
    }

    /// Puts what belongs to an ask as a whole, behind `_ask` and `_command`.
    #[inline(always)]
    pub(super) fn put_of_ask(&self, out: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
        if let Some(left) = self.deadline {
            out.put_reserved(DEADLINE_KEY, Milliseconds::of(left).as_bytes())?;
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
    let add = |number: u64, digit: &u8| {
        let digit = digit.wrapping_sub(b'0');
        let number = number.checked_mul(10).filter(|_| digit <= 9)?;
        number.checked_add(u64::from(digit))
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

/// Decimal digits of a number of milliseconds, without an allocation.
#[derive(Debug)]
struct Milliseconds {
    digits: [u8; 20],
    from: usize,
}

impl Milliseconds {
    /// Rounds down, so that no hop ever waits longer than the one before it.
    fn of(duration: Duration) -> Self {
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
        Self { digits, from }
    }

    fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.from..).unwrap_or_default()
    }
}
