//! The bytes of a box that is kept.

use bytes::Bytes;

/// A box of no more bytes than this lies in place. An answer of an integer or two does, or of a
/// short text, and nothing has to be allocated for it.
const SMALL_BYTES_MAX: usize = 46;

/// The bytes of a box that is kept, wherever they lie.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    /// In place: the first `length` of these.
    Small { length: u8, bytes: [u8; SMALL_BYTES_MAX] },
    /// On their own, or within what was received.
    Shared(Bytes),
}

impl Kept {
    /// Copies `bytes`.
    #[inline]
    pub(super) fn copy_of(bytes: &[u8]) -> Self {
        let mut small = [0; SMALL_BYTES_MAX];
        match (small.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(bytes);
                Self::Small { length, bytes: small }
            }
            _ => Self::Shared(Bytes::copy_from_slice(bytes)),
        }
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Small { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Shared(bytes) => bytes,
        }
    }

    /// What large values can share.
    #[inline]
    pub(super) fn shared(&self) -> Option<&Bytes> {
        match self {
            Self::Small { .. } => None,
            Self::Shared(bytes) => Some(bytes),
        }
    }
}

/// Where they lie makes no difference.
impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Kept {}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn bytes_are_the_same_wherever_they_lie() {
        for length in [0, 1, SMALL_BYTES_MAX - 1, SMALL_BYTES_MAX, SMALL_BYTES_MAX + 1, 300] {
            let bytes = vec![7; length];
            let (copied, shared) = (Kept::copy_of(&bytes), Kept::Shared(bytes.clone().into()));
            assert_eq!(copied, shared);
            assert_eq!(copied.bytes(), bytes);
            assert_eq!(copied.shared().is_none(), length <= SMALL_BYTES_MAX);
        }
    }
}
