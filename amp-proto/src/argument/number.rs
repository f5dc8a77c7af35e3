//! Integers in decimal: Twisted's `Integer`.
//!
//! Written as Python writes them, and read as leniently as Python's `int` reads them: white space
//! around, a plus sign, leading zeros and single underscores between digits do no harm.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt::Display;

use num_bigint::BigInt;

use super::Argument;
use super::python::{put_text, trimmed, without_underscores};
use crate::error::{EncodeError, ValueError, printable};
use crate::schema::ArgumentType;
use crate::wire::{VALUE_BYTES_MAX, Value};

const EXPECTED: &str = "an integer";

/// What every integer type but `u8` says. `u8` adds what a list of it is.
macro_rules! integer {
    ($int:ty, $magnitude:expr $(, $list:item)*) => {
        impl Argument for $int {
            #[expect(
                clippy::as_conversions,
                reason = "no integer's bounds are outside these, and `From` is not const"
            )]
            const TYPE: ArgumentType =
                ArgumentType::IntegerWithin { min: Self::MIN as i128, max: Self::MAX as u128 };

            $($list)*

            fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                #[allow(unused_comparisons, reason = "half of these types have no sign")]
                if *self < 0 {
                    out.push(b'-');
                }
                put_digits($magnitude(*self), out);
                Ok(())
            }

            fn decode(value: Value<'_>) -> Result<Self, ValueError> {
                let bytes = value.bytes();
                let plain = plain(bytes).and_then(|number| Self::try_from(number).ok());
                plain.map_or_else(|| lenient(bytes, Self::MIN, Self::MAX), Ok)
            }
        }
    };
}

integer!(i8, Self::unsigned_abs);
integer!(i16, Self::unsigned_abs);
integer!(i32, Self::unsigned_abs);
integer!(i64, Self::unsigned_abs);
integer!(i128, Self::unsigned_abs);
integer!(isize, Self::unsigned_abs);
integer!(u16, core::convert::identity);
integer!(u32, core::convert::identity);
integer!(u64, core::convert::identity);
integer!(u128, core::convert::identity);
integer!(usize, core::convert::identity);
integer!(
    u8,
    core::convert::identity,
    const LIST_TYPE: ArgumentType = ArgumentType::Bytes;,
    fn encode_list(items: &[Self], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(items);
        Ok(())
    },
    fn decode_list(value: Value<'_>) -> Result<Vec<Self>, ValueError> {
        Ok(value.bytes().to_vec())
    }
);

/// An integer of any size, as long as its digits fit one value.
///
/// # Limits
/// 65,535 bytes, also where it stands inside a compressed value: the time that conversion takes
/// grows with the square of the digits.
impl Argument for BigInt {
    const TYPE: ArgumentType = ArgumentType::Integer;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_text(out, format_args!("{self}"));
        Ok(())
    }

    fn decode(value: Value<'_>) -> Result<Self, ValueError> {
        let bytes = value.bytes();
        if let Some(number) = plain(bytes) {
            return Ok(number.into());
        }
        let malformed = || ValueError::malformed(EXPECTED, bytes);
        if bytes.len() > VALUE_BYTES_MAX {
            return Err(malformed());
        }
        let (negative, digits) = signed_digits(bytes).ok_or_else(malformed)?;
        let magnitude = Self::parse_bytes(&digits, 10).ok_or_else(malformed)?;
        Ok(if negative { -magnitude } else { magnitude })
    }
}

/// A small number such as a part of a date, as leniently read as any other.
pub(super) fn small(bytes: &[u8]) -> Option<i32> {
    match plain(bytes) {
        Some(number) => number.try_into().ok(),
        None => lenient(bytes, i32::MIN, i32::MAX).ok(),
    }
}

/// Reads what nearly every integer on the wire is: an optional minus sign and a few digits.
fn plain(bytes: &[u8]) -> Option<i64> {
    /// Any number of so many digits fits an `i64`.
    const DIGITS_MAX: usize = 18;

    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    let mut number = 0_i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + i64::from(digit);
    }
    Some(if negative { -number } else { number })
}

/// Reads whatever Python's `int` reads, and finds out what is wrong with the rest.
fn lenient<T>(bytes: &[u8], min: T, max: T) -> Result<T, ValueError>
where
    T: Copy + Display + TryFrom<i128> + TryFrom<u128>,
{
    let (negative, digits) =
        signed_digits(bytes).ok_or_else(|| ValueError::malformed(EXPECTED, bytes))?;
    let magnitude = digits.iter().try_fold(0_u128, |number, digit| {
        number.checked_mul(10)?.checked_add(u128::from(digit.wrapping_sub(b'0')))
    });
    let number = magnitude.and_then(|magnitude| {
        if negative {
            T::try_from(0_i128.checked_sub_unsigned(magnitude)?).ok()
        } else {
            T::try_from(magnitude).ok()
        }
    });
    number.ok_or_else(|| ValueError::OutOfRange {
        range: alloc::format!("{min}..={max}"),
        found: printable(bytes),
    })
}

/// Whether there is a minus sign, and the digits after it, of which there is at least one.
fn signed_digits(bytes: &[u8]) -> Option<(bool, Cow<'_, [u8]>)> {
    let (negative, digits) = match trimmed(bytes) {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    let digits = without_underscores(digits)?;
    let are_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    are_digits.then_some((negative, digits))
}

fn put_digits<N: Copy + Display + TryInto<u64>>(magnitude: N, out: &mut Vec<u8>) {
    match magnitude.try_into() {
        Ok(magnitude) => put_small(magnitude, out),
        Err(_) => put_text(out, format_args!("{magnitude}")),
    }
}

fn put_small(mut rest: u64, out: &mut Vec<u8>) {
    /// `u64::MAX` has so many digits.
    const DIGITS_MAX: usize = 20;

    let mut digits = [b'0'; DIGITS_MAX];
    let mut free = DIGITS_MAX;
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(rest % 10).unwrap_or_default();
        free -= 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(free..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::super::properties::{decode, encode};
    use super::*;

    #[test]
    fn a_list_of_u8_is_bytes_as_they_are() {
        assert_eq!(<Vec<u8> as Argument>::TYPE, ArgumentType::Bytes);
        assert_eq!(<Vec<Vec<u8>> as Argument>::TYPE.to_string(), "list(bytes)");
        assert_eq!(encode(&vec![0_u8, 255]), Ok(vec![0, 255]));
        assert_eq!(encode(&vec![vec![7_u8]]), Ok(vec![0, 1, 7]));
    }

    #[test]
    fn a_type_says_its_bounds() {
        assert_eq!(<i8 as Argument>::TYPE.to_string(), "integer(-128..=127)");
        assert_eq!(
            <u128 as Argument>::TYPE,
            ArgumentType::IntegerWithin { min: 0, max: u128::MAX }
        );
        assert_eq!(
            <i128 as Argument>::TYPE,
            ArgumentType::IntegerWithin { min: i128::MIN, max: i128::MAX.unsigned_abs() }
        );
    }

    #[test]
    fn an_integer_too_large_is_told_from_what_is_none() {
        let range = "0..=255".into();
        let found = "\"256\"".into();
        assert_eq!(decode::<u8>(b"256"), Err(ValueError::OutOfRange { range, found }));
        assert_eq!(decode::<u8>(b"0x1"), Err(ValueError::malformed("an integer", b"0x1")));
    }

    #[test]
    fn a_big_integer_has_as_many_digits_as_a_value_has_bytes() {
        let digits = |count| vec![b'7'; count];
        assert_eq!(encode(&decode::<BigInt>(&digits(65_535)).unwrap()), Ok(digits(65_535)));
        assert!(decode::<BigInt>(&digits(65_536)).is_err());
    }
}
