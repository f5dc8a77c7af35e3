//! Values compressed with zlib, and the one place that inflates what a peer sent.

use alloc::vec::Vec;

use bytes::Bytes;
use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_zlib_with_limit};

use super::Argument;
use crate::Limits;
use crate::error::{EncodeError, ValueError};
use crate::schema::{ArgumentType, FieldSchema};
use crate::wire::{BoxWriter, Value};

/// Another type's encoding, compressed with zlib: `Compressed<Vec<Row>>` is MAAS's
/// `CompressedAmpList`.
///
/// The compressed bytes are not always those that zlib itself would choose. Every zlib reads them.
///
/// What one value cannot hold goes on under further keys, as MAAS does it: `hosts`, `hosts.2`,
/// `hosts.3`, …
///
/// # Limits
/// A value is refused as soon as it inflates to more than
/// [`Limits::decompressed_bytes_max`]. Nothing compressed may be inside it, as a few such layers
/// would grow without bound: this is refused by the compiler where it can see it, and on decoding
/// where it cannot.
///
/// ```compile_fail
/// use amp_proto::{Argument, ArgumentType, Compressed};
///
/// const KIND: ArgumentType = <Compressed<Vec<Compressed<String>>> as Argument>::TYPE;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Compressed<T>(
    /// The value.
    pub T,
);

impl<T: Argument> Argument for Compressed<T> {
    const TYPE: ArgumentType = {
        assert!(!holds_compressed(&T::TYPE), "a compressed value holds another compressed value");
        ArgumentType::Compressed(&T::TYPE)
    };

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut plain = Vec::new();
        self.0.encode(&mut plain)?;
        deflate(&plain, out);
        Ok(())
    }

    fn bytes_hint(&self) -> usize {
        self.0.bytes_hint()
    }

    fn decode(value: Value<'_>) -> Result<Self, ValueError> {
        let plain = inflate(value)?.into();
        T::decode(inflated(&plain)).map(Self)
    }

    fn put_under(&self, key: &str, out: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
        out.put_in_parts(key.as_bytes(), |out| self.encode(out))
    }
}

const fn holds_compressed(kind: &ArgumentType) -> bool {
    match kind {
        ArgumentType::Json | ArgumentType::Compressed(_) => true,
        ArgumentType::List(of) | ArgumentType::Large(of) => holds_compressed(of),
        ArgumentType::Boxes(fields) => {
            let mut fields: &[FieldSchema] = fields;
            while let [field, rest @ ..] = fields {
                if holds_compressed(&field.kind) {
                    return true;
                }
                fields = rest;
            }
            false
        }
        _ => false,
    }
}

/// Appends `plain`, compressed at zlib's default level.
pub(crate) fn deflate(plain: &[u8], out: &mut Vec<u8>) {
    const LEVEL: u8 = 6;
    out.append(&mut compress_to_vec_zlib(plain, LEVEL));
}

/// What `value` inflates to.
///
/// Memory grows with what was inflated, at most to twice of that, never with what the stream
/// announces.
pub(crate) fn inflate(value: Value<'_>) -> Result<Vec<u8>, ValueError> {
    let max = value.decompressed_bytes_max();
    decompress_to_vec_zlib_with_limit(value.bytes(), max).map_err(|error| match error.status {
        TINFLStatus::HasMoreOutput => ValueError::DecompressedTooLarge { max },
        _ => ValueError::malformed("a value compressed with zlib", value.bytes()),
    })
}

/// Inflated bytes as a value in which nothing is inflated once more.
pub(crate) fn inflated(plain: &Bytes) -> Value<'_> {
    Value::new(plain, &Limits { decompressed_bytes_max: 0, ..Limits::default() })
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::super::Json;
    use super::super::properties::encode;
    use super::*;
    use crate::wire::{Fields, Scanner, write_box};
    use alloc::string::String;

    fn decode<T: Argument>(bytes: &[u8], decompressed_bytes_max: usize) -> Result<T, ValueError> {
        let limits = Limits { decompressed_bytes_max, ..Limits::default() };
        T::decode(Value::new(&Bytes::copy_from_slice(bytes), &limits))
    }

    #[test]
    fn a_value_that_inflates_beyond_the_limit_is_refused() {
        let bomb = encode(&Compressed(vec![0_u8; 1_000_000])).unwrap();
        assert!(bomb.len() < 2000);
        let inflated = decode::<Compressed<Vec<u8>>>(&bomb, 1_000_000).unwrap();
        assert_eq!(inflated.0.len(), 1_000_000);
        assert_eq!(
            decode::<Compressed<Vec<u8>>>(&bomb, 999_999),
            Err(ValueError::DecompressedTooLarge { max: 999_999 })
        );
    }

    #[test]
    fn what_is_not_zlib_or_cut_short_is_refused() {
        let whole = encode(&Compressed(String::from("snow, snow, snow, snow"))).unwrap();
        assert!(decode::<Compressed<String>>(&whole[..whole.len() - 1], 1000).is_err());
        assert!(decode::<Compressed<String>>(b"", 1000).is_err());
        assert!(decode::<Compressed<String>>(b"snow", 1000).is_err());
        assert!(decode::<Compressed<String>>(&whole, 1000).is_ok());
    }

    #[test]
    fn what_one_value_cannot_hold_goes_on_under_further_keys() {
        let mut noise = 1_u32;
        let noise = core::iter::repeat_with(|| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise.to_be_bytes()[0]
        });
        let sent = Compressed(noise.take(150_000).collect::<Vec<u8>>());
        let mut wire = Vec::new();
        let limits = Limits::default();
        write_box(&mut wire, &[], &limits, |out| sent.put_under("hosts", out)).unwrap();
        let mut scanner = Scanner::default();
        scanner.scan(&wire, &limits).unwrap();
        let fields = Fields::in_place(&wire, scanner.spans(), &limits);
        let keys: Vec<_> = fields.iter().map(|(key, _)| String::from_utf8_lossy(key)).collect();
        assert_eq!(keys, ["hosts", "hosts.2", "hosts.3"]);
        assert_eq!(Compressed::take_from("hosts", &fields), Ok(Some(sent)));
        assert_eq!(Compressed::<Vec<u8>>::take_from("others", &fields), Ok(None));
    }

    /// Compressed, and does not say so.
    #[derive(Debug, PartialEq)]
    struct Sly(Json<u8>);

    impl Argument for Sly {
        const TYPE: ArgumentType = ArgumentType::Custom("sly");

        fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
            self.0.encode(out)
        }

        fn decode(value: Value<'_>) -> Result<Self, ValueError> {
            Json::decode(value).map(Self)
        }
    }

    #[test]
    fn nothing_compressed_inside_something_compressed_is_inflated() {
        let layers = encode(&Compressed(vec![Sly(Json(7))])).unwrap();
        assert_eq!(
            decode::<Compressed<Vec<Sly>>>(&layers, 1000),
            Err(ValueError::DecompressedTooLarge { max: 0 })
        );
    }
}
