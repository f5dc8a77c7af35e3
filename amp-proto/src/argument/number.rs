//! Integers in decimal, as Twisted writes them, and as leniently read.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::Argument;
use crate::error::{EncodeError, ValueError};
use crate::schema::ArgumentType;
use crate::wire::Value;

macro_rules! integer {
    ($($int:ty),*) => {$(
        impl Argument for $int {
            const TYPE: ArgumentType = ArgumentType::Integer;
            fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                out.extend_from_slice(self.to_string().as_bytes());
                Ok(())
            }
            fn decode(value: Value<'_>) -> Result<Self, ValueError> {
                core::str::from_utf8(value.bytes()).ok().and_then(|text| text.parse().ok())
                    .ok_or_else(|| ValueError::malformed("an integer", value.bytes()))
            }
        }
    )*};
}
integer!(u8, i64);
