//! `True` and `False`: Twisted's `Boolean`.

use alloc::vec::Vec;

use super::Argument;
use crate::error::{EncodeError, ValueError};
use crate::schema::ArgumentType;
use crate::wire::Value;

impl Argument for bool {
    const TYPE: ArgumentType = ArgumentType::Boolean;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let word: &[u8] = if *self { b"True" } else { b"False" };
        out.extend_from_slice(word);
        Ok(())
    }

    fn decode(value: Value<'_>) -> Result<Self, ValueError> {
        match value.bytes() {
            b"True" => Ok(true),
            b"False" => Ok(false),
            other => Err(ValueError::malformed("True or False", other)),
        }
    }
}
