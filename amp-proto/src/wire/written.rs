//! Fields that are encoded once, for any number of boxes.

use alloc::vec::Vec;

use super::writer::{BoxWriter, Reader, write_box_for};
use crate::command::EncodeFields;
use crate::error::EncodeError;
use crate::limits::BoxLimits;

/// The fields of a command or a response as they stand on the wire, for any reader. Into each
/// further box they are copied.
#[derive(Debug)]
pub struct WrittenFields {
    /// Keys and values in ascending order, without the end of a box.
    pub(super) entries: Vec<u8>,
    /// How many keys.
    pub(super) keys: usize,
    bytes_hint: usize,
}

impl WrittenFields {
    /// Encodes `fields`.
    ///
    /// # Limits
    /// None. Those of a box are looked at when one is made of them.
    ///
    /// # Errors
    /// [`EncodeError`] when a key or a value does not fit a box for every reader. One who puts long
    /// values together may be able to read them all the same.
    pub fn of<F: EncodeFields + ?Sized>(fields: &F) -> Result<Self, EncodeError> {
        let bytes_hint = fields.bytes_hint();
        let (mut entries, mut keys) = (Vec::with_capacity(bytes_hint), 0);
        let unlimited = BoxLimits { bytes_max: usize::MAX, keys_max: usize::MAX };
        write_box_for(Reader::AnyPeer, &mut entries, unlimited, |out| {
            fields.encode_fields(out)?;
            keys = out.keys();
            Ok(())
        })?;
        entries.truncate(entries.len().saturating_sub(END.len()));
        Ok(Self { entries, keys, bytes_hint })
    }

    /// The first byte of the first key.
    pub(super) fn first_byte(&self) -> Option<&u8> {
        // Behind the key's length.
        self.entries.get(2)
    }
}

/// What a box ends with.
const END: [u8; 2] = [0, 0];

impl EncodeFields for WrittenFields {
    fn encode_fields(&self, out: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
        out.put_written(self);
        Ok(())
    }

    fn bytes_hint(&self) -> usize {
        self.bytes_hint
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::Limits;
    use crate::wire::write_box;

    /// Fields with these keys, the first of which is spread over two.
    struct Keys(&'static [&'static [u8]]);

    impl EncodeFields for Keys {
        fn encode_fields(&self, out: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
            self.0.iter().enumerate().try_for_each(|(index, key)| {
                out.put_in_parts(key, |out| {
                    out.resize(out.len() + if index == 0 { 70_000 } else { 3 }, b'x');
                    Ok(())
                })
            })
        }
    }

    #[test]
    fn a_box_of_written_fields_is_the_box_of_the_fields() {
        let cases: [&[&[u8]]; 6] = [
            &[],
            &[b"a"],
            &[b"a", b"b"],
            // These belong before what is reserved.
            &[b"A", b"_a", b"a"],
            &[b"_asks", b"z"],
            &[b"_command2"],
        ];
        let limits = Limits::default();
        let reserved: [(&[u8], &[u8]); 2] = [(b"_ask", b"1"), (b"_command", b"Say")];
        for keys in cases {
            let written = WrittenFields::of(&Keys(keys)).unwrap();
            for reserved in [&reserved[..], &[]] {
                let (mut whole, mut of_written) = (vec![], vec![]);
                write_box(&mut whole, reserved, &limits, |out| Keys(keys).encode_fields(out))
                    .unwrap();
                write_box(&mut of_written, reserved, &limits, |out| written.encode_fields(out))
                    .unwrap();
                assert_eq!(of_written, whole, "{keys:?}");
            }
        }
    }

    #[test]
    fn the_limits_are_those_of_each_box() {
        let written = WrittenFields::of(&Keys(&[b"a", b"b"])).unwrap();
        let refused = |limits: &Limits| {
            write_box(&mut vec![], &[], limits, |out| written.encode_fields(out)).err()
        };
        assert_eq!(refused(&Limits::default()), None);
        let few = Limits { keys_per_box_max: 2, ..Limits::default() };
        assert_eq!(refused(&few), Some(EncodeError::TooManyKeys { max: 2 }));
        let small = Limits { box_bytes_max: 70_000, ..Limits::default() };
        assert!(matches!(refused(&small), Some(EncodeError::BoxTooLarge { max: 70_000, .. })));
    }

    #[test]
    fn what_only_some_readers_can_read_is_refused() {
        struct Long;
        impl EncodeFields for Long {
            fn encode_fields(&self, out: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
                out.put(b"a", |out| {
                    out.resize(out.len() + 65_536, b'x');
                    Ok(())
                })
            }
        }
        let refused = WrittenFields::of(&Long).unwrap_err();
        assert!(matches!(refused, EncodeError::ValueTooLong { bytes: 65_536, .. }), "{refused:?}");
    }
}
