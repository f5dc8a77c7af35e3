//! Values that one key cannot hold, for any peer.

use alloc::vec::Vec;

use super::Argument;
use crate::error::{EncodeError, ValueError};
use crate::schema::ArgumentType;
use crate::wire::{BoxWriter, Value};

/// Another type's encoding, of any length: what one value cannot hold goes on under further keys,
/// `image`, `image.2`, `image.3`, …
///
/// Between two of us every type may be as long as that, and needs no `Large`. A stock peer knows
/// nothing of further keys, and would take the first part for all of it. So a long value is only
/// sent to one where the command says `Large`, and the peer's declaration has to say so as well.
///
/// # Limits
/// [`Limits::box_bytes_max`](crate::Limits::box_bytes_max) and
/// [`Limits::keys_per_box_max`](crate::Limits::keys_per_box_max): the parts are keys of their box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Large<T>(
    /// The value.
    pub T,
);

impl<T: Argument> Argument for Large<T> {
    const TYPE: ArgumentType = ArgumentType::Large(&T::TYPE);

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.0.encode(out)
    }

    fn bytes_hint(&self) -> usize {
        self.0.bytes_hint()
    }

    fn decode(value: Value<'_>) -> Result<Self, ValueError> {
        T::decode(value).map(Self)
    }

    fn put_under(&self, key: &str, out: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
        out.put_in_parts(key.as_bytes(), |out| self.encode(out))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec;

    use super::*;
    use crate::Limits;
    use crate::wire::{Fields, Scanner, write_box};

    fn limits() -> Limits {
        Limits { box_bytes_max: 8 * 1024 * 1024, ..Limits::default() }
    }

    fn read<T>(wire: &[u8], read: impl FnOnce(&Fields<'_>) -> T) -> T {
        let mut scanner = Scanner::default();
        scanner.scan(wire, &limits()).unwrap();
        read(&Fields::in_place(wire, scanner.spans(), &limits()))
    }

    #[test]
    fn a_large_value_stands_under_further_keys_in_ascending_order() {
        let image = Large((0..700_000_u32).map(|at| at.to_be_bytes()[3]).collect::<Vec<u8>>());
        let mut wire = Vec::new();
        write_box(&mut wire, &[(b"_ask", b"1")], &limits(), |out| {
            image.put_under("image", out)?;
            String::from("before the parts").put_under("image-name", out)?;
            String::from("after them").put_under("images", out)
        })
        .unwrap();
        let keys = read(&wire, |fields| {
            let keys = fields.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned());
            keys.collect::<Vec<_>>()
        });
        let expected: Vec<_> = [
            "_ask",
            "image",
            "image-name",
            "image.10",
            "image.11",
            "image.2",
            "image.3",
            "image.4",
            "image.5",
            "image.6",
            "image.7",
            "image.8",
            "image.9",
            "images",
        ]
        .iter()
        .map(|key| String::from(*key))
        .collect();
        assert_eq!(keys, expected);
        assert_eq!(read(&wire, |fields| Large::take_from("image", fields)), Ok(Some(image)));
    }

    #[test]
    fn a_value_of_exactly_one_part_is_whole() {
        for bytes in [0, 65_535, 65_536, 131_070] {
            let value = Large(vec![7_u8; bytes]);
            let mut wire = Vec::new();
            write_box(&mut wire, &[], &limits(), |out| value.put_under("value", out)).unwrap();
            let keys = read(&wire, |fields| fields.len());
            assert_eq!(keys, bytes.div_ceil(65_535).max(1));
            assert_eq!(read(&wire, |fields| Large::take_from("value", fields)), Ok(Some(value)));
        }
    }

    #[test]
    fn a_key_that_has_no_room_for_the_number_of_a_part_takes_no_long_value() {
        let long = Large(vec![7_u8; 65_536]);
        for (bytes, fits) in [(253, true), (254, false), (255, false)] {
            let key = "k".repeat(bytes);
            let mut wire = Vec::new();
            let written = write_box(&mut wire, &[], &limits(), |out| long.put_under(&key, out));
            let expected =
                if fits { Ok(()) } else { Err(EncodeError::KeyLength { bytes: bytes + 2 }) };
            assert_eq!(written, expected);
        }
    }

    #[test]
    fn without_large_a_long_value_is_refused_for_a_reader_that_may_not_know_parts() {
        let refused = write_box(&mut Vec::new(), &[], &limits(), |out| {
            vec![7_u8; 65_536].put_under("value", out)
        });
        let bytes = 65_536;
        assert_eq!(refused, Err(EncodeError::ValueTooLong { key: "value".into(), bytes }));
    }

    #[test]
    fn a_large_box_is_bounded_like_any_other() {
        let value = Large(vec![7_u8; 9 * 1024 * 1024]);
        let refused =
            write_box(&mut Vec::new(), &[], &limits(), |out| value.put_under("value", out));
        assert!(matches!(refused, Err(EncodeError::BoxTooLarge { .. })), "{refused:?}");
    }
}
