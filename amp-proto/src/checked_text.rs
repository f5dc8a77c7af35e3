//! Bytes as text that people copy: keys and tokens.
//!
//! A word that says what it is, then base 32 in small letters (RFC 4648, without padding) of the
//! bytes and three bytes of checksum (CRC-24 of RFC 4880, over the word as well, its bits turned
//! round). A double click selects all of it, it survives shells and e-mail, and a letter that was
//! lost or mistyped is noticed. Capital letters are read, too. Nothing here is secret by itself:
//! whoever writes a secret this way has to look after the text.

use alloc::string::String;
use alloc::vec::Vec;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const CHECKSUM_BYTES: usize = 3;

/// Writes `bytes` as text that begins with `word`.
#[must_use]
pub fn write(word: &str, bytes: &[u8]) -> String {
    let checksum = checksum(word, bytes);
    let mut text = String::with_capacity(word.len() + (bytes.len() + CHECKSUM_BYTES) * 8 / 5 + 1);
    text.push_str(word);
    let (mut held, mut bits) = (0_u32, 0_u32);
    for byte in bytes.iter().chain(&checksum) {
        held = (held << 8 | u32::from(*byte)) & 0xfff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(letter(held >> bits));
        }
    }
    if bits > 0 {
        text.push(letter(held << (5 - bits)));
    }
    text
}

/// Reads what [`write()`] wrote, or nothing: another word, a letter too few, a wrong one.
#[must_use]
pub fn read(word: &str, text: &str) -> Option<Vec<u8>> {
    let (found, letters) = text.split_at_checked(word.len())?;
    if !found.eq_ignore_ascii_case(word) {
        return None;
    }
    let mut bytes = Vec::with_capacity(letters.len() * 5 / 8);
    let (mut held, mut bits) = (0_u32, 0_u32);
    for letter in letters.bytes() {
        held = (held << 5 | value(letter)?) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).ok()?);
        }
    }
    // What is left over is less than a letter, and says nothing.
    if bits >= 5 || held & ((1 << bits) - 1) != 0 {
        return None;
    }
    let checked = bytes.split_off(bytes.len().checked_sub(CHECKSUM_BYTES)?);
    (checked == checksum(word, &bytes)).then_some(bytes)
}

fn letter(value: u32) -> char {
    let index = usize::try_from(value & 31).unwrap_or_default();
    ALPHABET.get(index).copied().map_or('a', char::from)
}

fn value(letter: u8) -> Option<u32> {
    match letter.to_ascii_lowercase() {
        small @ b'a'..=b'z' => Some(u32::from(small - b'a')),
        digit @ b'2'..=b'7' => Some(u32::from(digit - b'2') + 26),
        _ => None,
    }
}

fn checksum(word: &str, bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    const POLYNOMIAL: u32 = 0x0186_4cfb;
    let mut crc = 0x00b7_04ce_u32;
    for byte in word.as_bytes().iter().chain(bytes) {
        crc ^= u32::from(*byte) << 16;
        // Without a branch: what is checked may be a private key.
        for _ in 0..8 {
            let carried = (crc >> 23) & 1;
            crc = (crc << 1) ^ (POLYNOMIAL * carried);
        }
    }
    // Without this, a checksum that ends in a zero byte could lose that byte unnoticed: the rest
    // would be whole as well, one byte shorter.
    let [_, high, middle, low] = (!crc).to_be_bytes();
    [high, middle, low]
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_the_specification() {
        // The check value of CRC-24/OPENPGP, its bits turned round.
        assert_eq!(checksum("1234", b"56789"), [!0x21, !0xcf, !0x02]);
    }

    #[test]
    fn a_text_that_was_cut_short_is_noticed() {
        for number in 0..4096_u32 {
            let text = write("amp1", &number.to_be_bytes());
            for length in 0..text.len() {
                assert_eq!(read("amp1", &text[..length]), None, "{length} letters of {text}");
            }
        }
    }

    #[test]
    fn what_was_written_for_something_else_is_not_read() {
        let text = write("amp1", b"some bytes");
        assert_eq!(read("amp1", &text).unwrap(), b"some bytes");
        assert_eq!(read("amp1", &text.to_uppercase()).unwrap(), b"some bytes");
        assert_eq!(read("ampjoin1", &text), None);
        assert_eq!(read("amp1", ""), None);
        assert_eq!(read("amp1", "amp1"), None);
        assert_eq!(read("amp1", &format!("{text} ")), None);
        assert_eq!(read("amp1", &text.replace('a', "ä")), None);
    }

    proptest! {
        #[test]
        fn text_brings_the_bytes_back(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(read("amp1", &write("amp1", &bytes)), Some(bytes));
        }

        #[test]
        fn a_letter_that_is_wrong_or_missing_is_noticed(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            place in any::<prop::sample::Index>(),
            other in 0..32_u32,
        ) {
            let text = write("amp1", &bytes);
            let place = 4 + place.index(text.len() - 4);
            let mut wrong = text.clone();
            wrong.replace_range(place..=place, &letter(other).to_string());
            prop_assert!(wrong == text || read("amp1", &wrong).is_none());
            let mut short = text.clone();
            short.remove(place);
            prop_assert!(read("amp1", &short).is_none());
        }
    }
}
