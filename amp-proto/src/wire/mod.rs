//! Boxes on the wire: where one begins and ends, and where its keys and values lie.
//!
//! A box is any number of key/value pairs and then a key of length zero:
//!
//! ```text
//! (key length u16be 1..=255, key, value length u16be, value)*  00 00
//! ```
//!
//! Nothing is copied here. [`Scanner`] walks over bytes as they arrive and notes the place of
//! every key and value; [`Fields`] reads a box through those notes; [`BoxWriter`] lays one down
//! at the end of a buffer. "Not enough bytes yet" is an ordinary answer, never an error.

mod fields;
mod kept;
mod scanner;
mod writer;
mod written;

use alloc::format;
use alloc::vec::Vec;

pub use self::fields::{Fields, ReceivedBox, Value, WholeValue};
pub use self::scanner::{Scanned, Scanner, Span};
pub use self::writer::{BoxWriter, write_box};
pub(crate) use self::writer::{Reader, put_prefixed, write_box_for};
pub use self::written::WrittenFields;

/// The longest key, in bytes: the first byte of a key's length is always zero.
pub const KEY_BYTES_MAX: usize = 255;
/// The longest value, in bytes: what the two-byte length can say.
pub const VALUE_BYTES_MAX: usize = 65_535;

/// Where the parts of a long value stand: `hosts`, `hosts.2`, `hosts.3`, …
fn part_key(key: &[u8], number: usize) -> Vec<u8> {
    match number {
        1 => key.to_vec(),
        _ => [key, format!(".{number}").as_bytes()].concat(),
    }
}
