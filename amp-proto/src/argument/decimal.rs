//! Decimal numbers: Twisted's `Decimal`, Python's `decimal.Decimal`.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use super::Argument;
use super::python::{put_text, trimmed_of};
use crate::error::{EncodeError, ValueError, printable};
use crate::schema::ArgumentType;
use crate::wire::Value;

/// A decimal number, kept digit for digit: a sign, a coefficient and a power of ten, or one of
/// infinity and not-a-number.
///
/// It carries decimals between peers and does not calculate. To do so, parse its text into a
/// decimal type of your choice; [`Decimal::to_f64`] is there for those who accept the loss.
///
/// Equality and hash are of the representation: `1.0` is not `1.00`, `0` is not `-0`, and `NaN` is
/// `NaN`.
///
/// # Limits
/// Those of Python's decimals on 64-bit machines: nothing beyond `1E-1999999999999999997` and
/// `9.99…E+999999999999999999`.
///
/// # Examples
/// ```
/// use amp_proto::Decimal;
///
/// let price: Decimal = "12.50".parse()?;
/// assert_eq!(price, Decimal::new(1250, -2));
/// assert_eq!(Decimal::new(1, 2).to_string(), "1E+2");
/// # Ok::<(), amp_proto::ValueError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Decimal {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Magnitude {
    /// Digits without leading zeros; a lone `0` for zero.
    Finite {
        digits: Box<str>,
        exponent: i64,
    },
    Infinity,
    /// The payload are digits without leading zeros, and empty for none.
    NotANumber {
        signaling: bool,
        payload: Box<str>,
    },
}

const EXPECTED: &str = "a decimal number";
/// Python's `MIN_ETINY`: the least power of ten that a last digit may have.
const LAST_DIGIT_MIN: i64 = -1_999_999_999_999_999_997;
/// Python's `MAX_EMAX`: the greatest power of ten that a first digit may have.
const FIRST_DIGIT_MAX: i64 = 999_999_999_999_999_999;

impl Decimal {
    /// `coefficient` × 10<sup>`exponent`</sup>.
    #[must_use]
    pub fn new(coefficient: i128, exponent: i32) -> Self {
        let digits = alloc::format!("{}", coefficient.unsigned_abs()).into();
        let magnitude = Magnitude::Finite { digits, exponent: exponent.into() };
        Self { negative: coefficient < 0, magnitude }
    }

    /// Whether there is a minus sign, which zero, infinity and not-a-number may have as well.
    #[must_use]
    pub fn is_sign_negative(&self) -> bool {
        self.negative
    }

    /// Whether it is neither infinite nor not-a-number.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        matches!(self.magnitude, Magnitude::Finite { .. })
    }

    /// Whether it is not-a-number, signaling or not.
    #[must_use]
    pub fn is_nan(&self) -> bool {
        matches!(self.magnitude, Magnitude::NotANumber { .. })
    }

    /// The digits of the coefficient and the power of ten of the last of them; `None` unless it is
    /// finite.
    #[must_use]
    pub fn digits_and_exponent(&self) -> Option<(&str, i64)> {
        match &self.magnitude {
            Magnitude::Finite { digits, exponent } => Some((digits, *exponent)),
            Magnitude::Infinity | Magnitude::NotANumber { .. } => None,
        }
    }

    /// The nearest binary floating point number, infinite if there is none.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        let magnitude = match &self.magnitude {
            Magnitude::Finite { digits, exponent } => {
                alloc::format!("{digits}e{exponent}").parse().unwrap_or(f64::NAN)
            }
            Magnitude::Infinity => f64::INFINITY,
            Magnitude::NotANumber { .. } => f64::NAN,
        };
        if self.negative { -magnitude } else { magnitude }
    }

    fn read(bytes: &[u8]) -> Result<Self, ValueError> {
        let malformed = || ValueError::malformed(EXPECTED, bytes);
        // Python's `str.strip` takes the separators of ASCII for white space, which `int` does not,
        // and underscores may stand anywhere.
        let text = trimmed_of(bytes, |byte| matches!(byte, b'\t'..=b'\r' | 0x1c..=b' '));
        let text = if text.contains(&b'_') {
            Cow::Owned(text.iter().copied().filter(|byte| *byte != b'_').collect::<Vec<_>>())
        } else {
            Cow::Borrowed(text)
        };
        let text = core::str::from_utf8(&text).map_err(|_| malformed())?;
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, text.get(1..)),
            Some(b'+') => (false, text.get(1..)),
            _ => (false, Some(text)),
        };
        let unsigned = unsigned.unwrap_or_default();
        let magnitude = match read_special(unsigned) {
            Some(special) => special,
            None => {
                let (digits, exponent) = read_finite(unsigned).ok_or_else(malformed)?;
                let exponent = exponent.ok_or_else(|| out_of_range(bytes))?;
                Magnitude::Finite { digits, exponent }
            }
        };
        Ok(Self { negative, magnitude })
    }
}

fn out_of_range(bytes: &[u8]) -> ValueError {
    let range = alloc::format!("1E{LAST_DIGIT_MIN}..1E+{}", FIRST_DIGIT_MAX + 1);
    ValueError::OutOfRange { range, found: printable(bytes) }
}

fn read_special(text: &str) -> Option<Magnitude> {
    if text.eq_ignore_ascii_case("inf") || text.eq_ignore_ascii_case("infinity") {
        return Some(Magnitude::Infinity);
    }
    let (signaling, quiet) = match text.as_bytes() {
        [b's' | b'S', ..] => (true, text.get(1..)?),
        _ => (false, text),
    };
    let (word, payload) = quiet.split_at_checked(3)?;
    let is_nan = word.eq_ignore_ascii_case("nan") && payload.bytes().all(|b| b.is_ascii_digit());
    let payload = payload.trim_start_matches('0').into();
    is_nan.then_some(Magnitude::NotANumber { signaling, payload })
}

/// The digits of `12.5e-3`, and their exponent unless it is beyond all bounds.
fn read_finite(text: &str) -> Option<(Box<str>, Option<i64>)> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, read_exponent(exponent)?),
        None => (text, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut digits = String::with_capacity(number.len());
    digits.push_str(whole);
    digits.push_str(fraction);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = match digits.trim_start_matches('0') {
        "" => "0",
        significant => significant,
    };
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let last_digit = exponent.saturating_sub(length(fraction));
    let first_digit = last_digit.saturating_add(length(significant) - 1);
    let within = last_digit >= LAST_DIGIT_MIN && first_digit <= FIRST_DIGIT_MAX;
    Some((significant.into(), within.then_some(last_digit)))
}

/// An exponent with or without a sign; one that no `i64` holds becomes the nearest that one does.
fn read_exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let magnitude = digits.parse().unwrap_or(i64::MAX);
    Some(if negative { -magnitude } else { magnitude })
}

impl fmt::Display for Decimal {
    /// As Python's `str` writes it, and as it stands on the wire: `0.1`, `1E+2`, `NaN123`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negative {
            f.write_str("-")?;
        }
        match &self.magnitude {
            Magnitude::Finite { digits, exponent } => fmt_finite(digits, *exponent, f),
            Magnitude::Infinity => f.write_str("Infinity"),
            Magnitude::NotANumber { signaling, payload } => {
                write!(f, "{}NaN{payload}", if *signaling { "s" } else { "" })
            }
        }
    }
}

/// Without an exponent if the coefficient is not larger than the number and there are at most five
/// zeros after the point; otherwise with one digit before the point.
fn fmt_finite(digits: &str, exponent: i64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    /// The position of the point, counted from the first digit, down to which there is no exponent.
    const POINT_MIN: i64 = -5;

    let point = exponent.saturating_add(i64::try_from(digits.len()).unwrap_or(i64::MAX));
    if exponent > 0 || point < POINT_MIN {
        let (first, rest) = digits.split_at_checked(1).unwrap_or((digits, ""));
        let dot = if rest.is_empty() { "" } else { "." };
        return write!(f, "{first}{dot}{rest}E{:+}", point - 1);
    }
    let Ok(whole) = usize::try_from(point) else {
        let zeros = "00000".get(..usize::try_from(-point).unwrap_or_default());
        return write!(f, "0.{}{digits}", zeros.unwrap_or_default());
    };
    match digits.split_at_checked(whole) {
        Some(("", fraction)) => write!(f, "0.{fraction}"),
        Some((whole, "")) => f.write_str(whole),
        Some((whole, fraction)) => write!(f, "{whole}.{fraction}"),
        None => f.write_str(digits),
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decimal({self})")
    }
}

impl FromStr for Decimal {
    type Err = ValueError;

    /// Reads what Python's `decimal.Decimal` reads, in ASCII.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::read(text.as_bytes())
    }
}

impl From<i64> for Decimal {
    fn from(number: i64) -> Self {
        Self::new(number.into(), 0)
    }
}

impl From<u64> for Decimal {
    fn from(number: u64) -> Self {
        Self::new(number.into(), 0)
    }
}

impl Argument for Decimal {
    const TYPE: ArgumentType = ArgumentType::Decimal;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_text(out, format_args!("{self}"));
        Ok(())
    }

    fn decode(value: Value<'_>) -> Result<Self, ValueError> {
        Self::read(value.bytes())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_decimal_is_made_of_an_integer_and_a_power_of_ten() {
        assert_eq!(Decimal::new(-1250, -2).to_string(), "-12.50");
        assert_eq!(Decimal::new(0, 3).to_string(), "0E+3");
        assert_eq!(Decimal::from(u64::MAX).to_string(), "18446744073709551615");
        assert_eq!(
            Decimal::new(i128::MIN, i32::MIN).to_string().parse(),
            Ok(Decimal::new(i128::MIN, i32::MIN))
        );
    }

    #[test]
    fn a_decimal_shows_its_parts() {
        let it: Decimal = "-0012.50e-3".parse().unwrap();
        assert_eq!(it.digits_and_exponent(), Some(("1250", -5)));
        assert!(it.is_sign_negative() && it.is_finite() && !it.is_nan());
        let it: Decimal = "-sNaN7".parse().unwrap();
        assert_eq!(it.digits_and_exponent(), None);
        assert!(it.is_sign_negative() && !it.is_finite() && it.is_nan());
    }

    #[test]
    fn a_decimal_has_a_nearest_float() {
        let float = |text: &str| text.parse::<Decimal>().unwrap().to_f64();
        assert_eq!(float("-0.1"), -0.1);
        assert_eq!(float("1E+999999999999999999"), f64::INFINITY);
        assert_eq!(float("1E-1999999999999999997"), 0.0);
        assert_eq!(float("-Infinity"), f64::NEG_INFINITY);
        assert!(float("sNaN5").is_nan());
    }

    #[test]
    fn equality_is_of_the_representation() {
        let decimal = |text: &str| text.parse::<Decimal>().unwrap();
        assert_ne!(decimal("1.0"), decimal("1.00"));
        assert_ne!(decimal("0"), decimal("-0"));
        assert_eq!(decimal("nan"), decimal("NaN"));
    }
}
