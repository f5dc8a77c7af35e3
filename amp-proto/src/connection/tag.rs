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
    pub(super) fn of(mut tag: u64) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [b'0'; 16];
        let mut from = digits.len();
        for place in digits.iter_mut().rev() {
            *place = DIGITS.get(self::place(tag, 16)).copied().unwrap_or_default();
            from -= 1;
            tag >>= 4;
            if tag == 0 {
                break;
            }
        }
        Self { digits, from }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.from..).unwrap_or_default()
    }
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
