//! Bytes as they are: Twisted's `String`.

use alloc::vec::Vec;

use bytes::Bytes;

use super::Argument;
use crate::error::{EncodeError, ValueError};
use crate::schema::ArgumentType;
use crate::wire::Value;

impl Argument for Bytes {
    const TYPE: ArgumentType = ArgumentType::Bytes;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(self);
        Ok(())
    }

    fn bytes_hint(&self) -> usize {
        self.len()
    }

    fn decode(value: Value<'_>) -> Result<Self, ValueError> {
        Ok(value.to_bytes())
    }
}

impl<const N: usize> Argument for [u8; N] {
    const TYPE: ArgumentType = ArgumentType::Bytes;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(self);
        Ok(())
    }

    fn decode(value: Value<'_>) -> Result<Self, ValueError> {
        let bytes = value.bytes();
        bytes.try_into().map_err(|_| ValueError::malformed("bytes of a fixed length", bytes))
    }
}
