//! Text: Twisted's `Unicode`, strict UTF-8.

use alloc::string::String;
use alloc::vec::Vec;

use super::Argument;
use crate::error::{EncodeError, ValueError};
use crate::schema::ArgumentType;
use crate::wire::Value;

impl Argument for String {
    const TYPE: ArgumentType = ArgumentType::Text;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(self.as_bytes());
        Ok(())
    }

    fn bytes_hint(&self) -> usize {
        self.len()
    }

    fn decode(value: Value<'_>) -> Result<Self, ValueError> {
        let bytes = value.bytes();
        // Copied first, and looked at then: a copy begins where words do, and only then a short
        // text is looked at a word at a time.
        let text = Self::from_utf8(bytes.to_vec());
        text.map_err(|_| ValueError::malformed("UTF-8 text", bytes))
    }
}
