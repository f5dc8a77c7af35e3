//! Binary floating point: Twisted's `Float`.
//!
//! Written digit for digit as Python's `repr` writes a `float`, and read as leniently as Python's
//! `float` reads one.

use alloc::vec::Vec;

use super::Argument;
use super::python::{put_text, trimmed, without_underscores};
use crate::error::{EncodeError, ValueError};
use crate::schema::ArgumentType;
use crate::wire::Value;

impl Argument for f64 {
    const TYPE: ArgumentType = ArgumentType::Float;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_float(*self, out);
        Ok(())
    }

    fn decode(value: Value<'_>) -> Result<Self, ValueError> {
        let bytes = value.bytes();
        read(bytes).ok_or_else(|| ValueError::malformed("a number", bytes))
    }
}

/// Appends what Python's `repr` writes: the fewest digits that read back as the same number, with
/// an exponent below `1e-04` and from `1e+16` on.
pub(super) fn put_float(float: f64, out: &mut Vec<u8>) {
    if float.is_nan() {
        return out.extend_from_slice(b"nan");
    }
    let start = out.len();
    // Rust's notation for debugging has the same digits but for ties, the same bounds for the
    // exponent, and writes that as `e16` and `e-5`.
    put_text(out, format_args!("{float:?}"));
    let written = out.get_mut(start..).unwrap_or_default();
    let exponent_at = written.iter().position(|byte| *byte == b'e').unwrap_or(written.len());
    let (mantissa, exponent) = written.split_at_mut(exponent_at);
    break_tie(float, mantissa);
    let exponent = exponent.split_first().and_then(|(_, digits)| core::str::from_utf8(digits).ok());
    let exponent = exponent.and_then(|digits| digits.parse::<i16>().ok());
    if let Some(exponent) = exponent {
        out.truncate(start + exponent_at);
        put_text(out, format_args!("e{exponent:+03}"));
    }
}

/// Where two numbers with the fewest digits are equally near, Rust writes the larger, Python the
/// one whose last digit is even: `2.9802322387695312e-08` is two to the power of −25.
fn break_tie(float: f64, mantissa: &mut [u8]) {
    /// With fewer digits, the next number of so many digits is too far off to be another spelling
    /// of a `f64`.
    const DIGITS_MIN: usize = 16;

    let digits = mantissa.iter().filter(|byte| byte.is_ascii_digit());
    let digits = digits.skip_while(|digit| **digit == b'0').count();
    if digits < DIGITS_MIN {
        return;
    }
    let exact = alloc::format!("{float:.*e}", digits - 1);
    let is_same = exact.parse::<f64>() == Ok(float);
    let exact_mantissa = exact.bytes().take_while(|byte| *byte != b'e');
    if let (Some(last), Some(exact_last), true) =
        (mantissa.last_mut(), exact_mantissa.last(), is_same)
    {
        *last = exact_last;
    }
}

/// Reads what Python's `float` reads. Beyond that, Rust and Python agree on what a number is, and
/// both read too large a one as infinity.
fn read(bytes: &[u8]) -> Option<f64> {
    let digits = without_underscores(trimmed(bytes))?;
    core::str::from_utf8(&digits).ok()?.parse().ok()
}
