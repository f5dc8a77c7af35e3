//! AMP, as far as two ends need it that know each other: boxes are read in place, and written by
//! hand. The keys and names are those that ampmesh has for the same.

use anyhow::{Result, bail};

use crate::scenarios::TEXTS;

/// What a box has of the keys that are known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found<'a> {
    pub(crate) ask: Option<&'a [u8]>,
    pub(crate) answer: Option<&'a [u8]>,
    pub(crate) command: Option<&'a [u8]>,
    pub(crate) first: &'a [u8],
    pub(crate) second: &'a [u8],
    pub(crate) total: &'a [u8],
    pub(crate) value: &'a [u8],
    /// Bytes of the whole box.
    pub(crate) bytes: usize,
}

/// The box at the beginning of `bytes`, if it is whole.
///
/// # Errors
/// When a key is longer than AMP allows.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Found<'_>>> {
    let mut found = Found::default();
    let mut rest = bytes;
    loop {
        let Some((key, after)) = part(rest) else { return Ok(None) };
        if key.is_empty() {
            found.bytes = bytes.len() - after.len();
            return Ok(Some(found));
        }
        if key.len() > 255 {
            bail!("a key of {} bytes", key.len());
        }
        let Some((value, after)) = part(after) else { return Ok(None) };
        match key {
            b"_ask" => found.ask = Some(value),
            b"_answer" => found.answer = Some(value),
            b"_command" => found.command = Some(value),
            b"first" => found.first = value,
            b"second" => found.second = value,
            b"total" => found.total = value,
            b"value" => found.value = value,
            _ => {}
        }
        rest = after;
    }
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn put(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&[0, u8::try_from(key.len()).unwrap_or(u8::MAX)]);
    out.extend_from_slice(key);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
}

const END: [u8; 2] = [0, 0];

pub(crate) fn put_small(out: &mut Vec<u8>, tag: usize) {
    let [first, second] = TEXTS;
    put(out, b"_ask", Digits::hexadecimal(tag).bytes());
    put(out, b"_command", b"Small");
    put(out, b"first", first.as_bytes());
    put(out, b"second", second.as_bytes());
    out.extend_from_slice(&END);
}

pub(crate) fn put_total(out: &mut Vec<u8>, tag: &[u8], total: usize) {
    put(out, b"_answer", tag);
    put(out, b"total", Digits::decimal(total).bytes());
    out.extend_from_slice(&END);
}

pub(crate) fn put_echo(out: &mut Vec<u8>, tag: usize, value: &[u8]) {
    put(out, b"_ask", Digits::hexadecimal(tag).bytes());
    put(out, b"_command", b"Echo");
    put(out, b"value", value);
    out.extend_from_slice(&END);
}

pub(crate) fn put_echoed(out: &mut Vec<u8>, tag: &[u8], value: &[u8]) {
    put(out, b"_answer", tag);
    put(out, b"value", value);
    out.extend_from_slice(&END);
}

/// Puts the answer to an ask.
///
/// # Errors
/// When nobody knows the command.
pub(crate) fn put_answer(out: &mut Vec<u8>, ask: &Found<'_>) -> Result<()> {
    let Some(tag) = ask.ask else { bail!("an ask without a tag") };
    match ask.command {
        Some(b"Small") => put_total(out, tag, ask.first.len() + ask.second.len()),
        Some(b"Echo") => put_echoed(out, tag, ask.value),
        _ => bail!("an unknown command"),
    }
    Ok(())
}

/// The number that these digits are, of the given base.
pub(crate) fn number(digits: &[u8], base: u32) -> Option<usize> {
    digits.iter().try_fold(0_usize, |number, digit| {
        let digit = char::from(*digit).to_digit(base)?;
        number.checked_mul(usize::try_from(base).ok()?)?.checked_add(usize::try_from(digit).ok()?)
    })
}

/// A number's digits, without an allocation.
struct Digits {
    text: [u8; 20],
    from: usize,
}

impl Digits {
    fn hexadecimal(number: usize) -> Self {
        Self::of(number, 16)
    }

    fn decimal(number: usize) -> Self {
        Self::of(number, 10)
    }

    fn of(mut number: usize, base: usize) -> Self {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        let (mut text, mut from) = ([0; 20], 20);
        loop {
            from -= 1;
            text[from] = DIGITS[number % base];
            number /= base;
            if number == 0 {
                return Self { text, from };
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.text[self.from..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_read() {
        let mut bytes = Vec::new();
        put_small(&mut bytes, 0x1f);
        let found = read(&bytes).unwrap().unwrap();
        assert_eq!((found.ask, found.command), (Some(&b"1f"[..]), Some(&b"Small"[..])));
        assert_eq!(found.bytes, bytes.len());
        let mut answer = Vec::new();
        put_answer(&mut answer, &found).unwrap();
        let found = read(&answer).unwrap().unwrap();
        assert_eq!((found.answer, found.total), (Some(&b"1f"[..]), &b"32"[..]));
    }

    #[test]
    fn a_box_that_is_not_whole_is_waited_for() {
        let mut bytes = Vec::new();
        put_echo(&mut bytes, 7, b"value");
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).unwrap().is_none());
        }
    }

    #[test]
    fn numbers_become_digits_and_numbers_again() {
        for it in [0, 9, 10, 255, 256, 65_535, usize::MAX] {
            assert_eq!(number(Digits::hexadecimal(it).bytes(), 16), Some(it));
            assert_eq!(number(Digits::decimal(it).bytes(), 10), Some(it));
        }
    }
}
