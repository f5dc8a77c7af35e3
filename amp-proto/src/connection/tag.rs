//! Tags as they stand on the wire, and as numbers.

/// The low bits of `tag`, for a table whose `length` is a power of two.
#[expect(clippy::as_conversions, reason = "only the low bits count")]
pub(super) const fn place(tag: u64, length: usize) -> usize {
    tag as usize & length.wrapping_sub(1)
}

/// A tag as it stands on the wire: lower-case hexadecimal without leading zeros.
#[derive(Debug)]
pub(super) struct TagText {
    digits: [u8; 16],
    from: usize,
}

impl TagText {
    #[inline]
    pub(super) fn of(tag: u64) -> Self {
        let [high, low] = [tag >> 32, tag & 0xffff_ffff].map(eight_digits);
        let mut digits = [0; 16];
        let (first, last) = digits.split_at_mut(8);
        first.copy_from_slice(&high);
        last.copy_from_slice(&low);
        // Four bits a digit; what is left out of zero is all but its last one.
        let from = place(u64::from((tag | 1).leading_zeros() / 4), 16);
        Self { digits, from }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.from..).unwrap_or_default()
    }
}

/// The eight digits of a number of 32 bits, all of them at once: each has a byte of its own.
#[inline]
const fn eight_digits(number: u64) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const ZEROS: u64 = u64::from_be_bytes([b'0'; 8]);
    let mut spread = (number | number << 16) & 0x0000_ffff_0000_ffff;
    spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    spread = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // One where the digit is a letter: six more than that does not fit four bits.
    let letters = (spread + 6 * EACH) >> 4 & EACH;
    // From `0` to `9` and on to `a` it is 39 further than to the next digit.
    (spread + ZEROS + letters * 39).to_be_bytes()
}

/// The number behind a tag of ours. Only the exact text that was sent is recognised.
pub(super) fn parse_tag(tag: &[u8]) -> Option<u64> {
    if tag.is_empty() || tag.len() > 16 || tag.starts_with(b"0") {
        return None;
    }
    tag.iter().try_fold(0_u64, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use proptest::prelude::*;

    use super::*;

    fn is_hexadecimal(tag: u64) -> bool {
        TagText::of(tag).as_bytes() == format!("{tag:x}").as_bytes()
    }

    #[test]
    fn tags_of_every_length_are_hexadecimal() {
        assert!((0..70_000).all(is_hexadecimal));
        assert!((0..64).all(|bits| is_hexadecimal(1 << bits) && is_hexadecimal(u64::MAX >> bits)));
    }

    proptest! {
        #[test]
        fn a_tag_is_read_as_it_is_written(tag in 1_u64..) {
            prop_assert!(is_hexadecimal(tag));
            prop_assert_eq!(parse_tag(TagText::of(tag).as_bytes()), Some(tag));
        }
    }
}
