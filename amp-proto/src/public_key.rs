//! The key that a process is known by.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use crate::argument::Argument;
use crate::checked_text;
use crate::error::{EncodeError, ValueError};
use crate::schema::ArgumentType;
use crate::wire::Value;

/// An Ed25519 public key (RFC 8032): who a process is, wherever it is.
///
/// As text, and on the wire, it is `amp1` and 56 letters: see [`checked_text`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey {
    bytes: [u8; 32],
}

/// The text is no public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key is `amp1` and 56 letters and digits; `{text}…` is not, or a letter of it is wrong")]
pub struct NotAKey {
    /// The beginning of the text, 12 letters of it at the most: whoever takes a private key for a
    /// public one has it shown nowhere.
    pub text: String,
}

/// Enough to see which text it is.
const LETTERS_SHOWN: usize = 12;

const WORD: &str = "amp1";

impl NotAKey {
    fn of(text: &str) -> Self {
        Self { text: text.chars().take(LETTERS_SHOWN).collect() }
    }
}

impl PublicKey {
    /// How many bytes a key has.
    pub const BYTES: usize = 32;

    /// The key of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { bytes }
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&checked_text::write(WORD, &self.bytes))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let bytes = checked_text::read(WORD, text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self::from_bytes).ok_or_else(|| NotAKey::of(text))
    }
}

impl Argument for PublicKey {
    const TYPE: ArgumentType = ArgumentType::Text;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(checked_text::write(WORD, &self.bytes).as_bytes());
        Ok(())
    }

    fn decode(value: Value<'_>) -> Result<Self, ValueError> {
        let text = core::str::from_utf8(value.bytes()).ok();
        let key = text.and_then(|text| text.parse().ok());
        key.ok_or_else(|| ValueError::malformed("a public key", value.bytes()))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn a_key_is_sixty_letters_and_survives_being_copied() {
        let key = PublicKey::from_bytes([7; 32]);
        let text = key.to_string();
        assert_eq!(text.len(), 60);
        assert_eq!(text.parse(), Ok(key));
        assert_eq!(text.to_uppercase().parse(), Ok(key));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let text = PublicKey::from_bytes([7; 32]).to_string();
        for wrong in ["", "amp1", &text[1..], &text[..59], &text.replacen('a', "b", 2)] {
            assert_eq!(wrong.parse::<PublicKey>(), Err(NotAKey::of(wrong)));
        }
        let private = checked_text::write("ampkey1", &[7; 32]);
        assert_eq!(private.parse::<PublicKey>().unwrap_err().text, private[..12]);
        let short = checked_text::write(WORD, &[7; 31]);
        assert!(short.parse::<PublicKey>().is_err());
    }
}
