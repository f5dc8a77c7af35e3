//! What holds for every value and for all bytes.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use num_bigint::BigInt;
use proptest::prelude::*;

use super::{AbsolutePath, Argument, DateTime, Decimal};
use crate::error::ValueError;
use crate::wire::Value;
use crate::{EncodeError, Limits};

/// Small enough that tests reach it.
const DECOMPRESSED_BYTES_MAX: usize = 100_000;

pub(super) fn encode<T: Argument>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let mut out = vec![];
    value.encode(&mut out).map(|()| out)
}

pub(super) fn decode<T: Argument>(bytes: &[u8]) -> Result<T, ValueError> {
    let decompressed_bytes_max = DECOMPRESSED_BYTES_MAX;
    let limits = Limits { decompressed_bytes_max, ..Limits::default() };
    T::decode(Value::new(&Bytes::copy_from_slice(bytes), &limits))
}

fn survives<T: Argument + PartialEq + Debug>(value: &T) -> Result<(), TestCaseError> {
    let bytes = encode(value).unwrap();
    prop_assert_eq!(&decode::<T>(&bytes).unwrap(), value);
    Ok(())
}

/// Whatever is read from any bytes can be written, and is read as the same again.
fn settles<T: Argument + Debug>(bytes: &[u8]) {
    let Ok(value) = decode::<T>(bytes) else {
        return;
    };
    let written = encode(&value).unwrap();
    let again = decode::<T>(&written).unwrap();
    assert_eq!(alloc::format!("{value:?}"), alloc::format!("{again:?}"));
}

fn big_int() -> impl Strategy<Value = BigInt> {
    (any::<bool>(), vec_of(any::<u32>(), 20)).prop_map(|(negative, limbs)| {
        let magnitude = BigInt::from(num_bigint::BigUint::new(limbs));
        if negative { -magnitude } else { magnitude }
    })
}

pub(super) fn decimal() -> impl Strategy<Value = Decimal> {
    let finite = (any::<i128>(), prop_oneof![-40..40_i32, any::<i32>()]);
    let special = "[+-]?(0|inf|s?nan[0-9]{0,5})".prop_map(|text| text.parse().unwrap());
    prop_oneof![
        4 => finite.prop_map(|(coefficient, exponent)| Decimal::new(coefficient, exponent)),
        1 => special,
    ]
}

pub(super) fn date_time() -> impl Strategy<Value = DateTime> {
    let day = (1..=9999_i16, 1..=12_i8, 1..=28_i8);
    let time = (0..24_i8, 0..60_i8, 0..60_i8, 0..1_000_000_i32);
    (day, time, -1559..=1559_i16).prop_map(|((year, month, day), time, offset)| {
        let date = jiff::civil::date(year, month, day);
        DateTime::new(date.at(time.0, time.1, time.2, time.3 * 1000), offset).unwrap()
    })
}

fn network() -> impl Strategy<Value = IpNet> {
    (any::<IpAddr>(), 0..=128_u8).prop_map(|(address, bits)| {
        let bits = if address.is_ipv4() { bits / 4 } else { bits };
        IpNet::new(address, bits).unwrap().trunc()
    })
}

fn vec_of<S: Strategy>(item: S, max: usize) -> impl Strategy<Value = Vec<S::Value>> {
    proptest::collection::vec(item, 0..=max)
}

proptest! {
    #[test]
    fn small_integers_survive(it: (u8, u16, u32, u64, i8, i16, i32, i64)) {
        survives(&it.0)?;
        survives(&it.1)?;
        survives(&it.2)?;
        survives(&it.3)?;
        survives(&it.4)?;
        survives(&it.5)?;
        survives(&it.6)?;
        survives(&it.7)?;
    }

    #[test]
    fn large_integers_survive(it: (u128, i128, usize, isize), big in big_int()) {
        survives(&it.0)?;
        survives(&it.1)?;
        survives(&it.2)?;
        survives(&it.3)?;
        survives(&big)?;
    }

    #[test]
    fn integers_are_written_as_rust_displays_them(small: i64, large: i128) {
        prop_assert_eq!(encode(&small).unwrap(), alloc::format!("{small}").into_bytes());
        prop_assert_eq!(encode(&large).unwrap(), alloc::format!("{large}").into_bytes());
    }

    #[test]
    fn bytes_and_text_survive(bytes: Vec<u8>, array: [u8; 16], text: String) {
        survives(&bytes)?;
        survives(&Bytes::from(bytes))?;
        survives(&array)?;
        survives(&text)?;
    }

    #[test]
    fn booleans_and_floats_survive(boolean: bool, float in proptest::num::f64::ANY) {
        survives(&boolean)?;
        let found: f64 = decode(&encode(&float).unwrap()).unwrap();
        let same = found.to_bits() == float.to_bits() || (found.is_nan() && float.is_nan());
        prop_assert!(same, "{float} became {found}");
    }

    #[test]
    fn decimals_survive(it in decimal()) {
        survives(&it)?;
    }

    #[test]
    fn dates_survive(it in date_time()) {
        survives(&it)?;
        prop_assert_eq!(encode(&it).unwrap().len(), 32);
        prop_assert_eq!(alloc::format!("{it}").parse(), Ok(it));
        if let Ok(zoned) = jiff::Zoned::try_from(it) {
            prop_assert_eq!(DateTime::try_from(&zoned), Ok(it));
        }
    }

    #[test]
    fn addresses_and_networks_survive(v4: Ipv4Addr, v6: Ipv6Addr, network in network()) {
        survives(&v4)?;
        survives(&v6)?;
        survives(&IpAddr::from(v4))?;
        survives(&IpAddr::from(v6))?;
        survives(&network)?;
        match network {
            IpNet::V4(network) => survives(&network)?,
            IpNet::V6(network) => survives(&network)?,
        }
    }

    #[test]
    fn paths_survive(path in "(/|[A-Za-z]:[/\\\\]|\\\\\\\\)[^\\x00]*") {
        survives(&AbsolutePath::new(path).unwrap())?;
    }

    #[test]
    fn lists_survive(
        numbers in vec_of(any::<i64>(), 9),
        texts in vec_of(any::<String>(), 9),
        blobs in vec_of(any::<Vec<u8>>(), 9),
        nested in vec_of(vec_of(vec_of(any::<u16>(), 3), 3), 3),
    ) {
        survives(&numbers)?;
        survives(&texts)?;
        survives(&blobs)?;
        survives(&nested)?;
    }

    #[test]
    fn no_bytes_do_any_harm(bytes in hostile()) {
        settles::<u8>(&bytes);
        settles::<i8>(&bytes);
        settles::<u16>(&bytes);
        settles::<i16>(&bytes);
        settles::<u32>(&bytes);
        settles::<i32>(&bytes);
        settles::<u64>(&bytes);
        settles::<i64>(&bytes);
        settles::<u128>(&bytes);
        settles::<i128>(&bytes);
        settles::<usize>(&bytes);
        settles::<isize>(&bytes);
        settles::<BigInt>(&bytes);
        settles::<Vec<u8>>(&bytes);
        settles::<Bytes>(&bytes);
        settles::<[u8; 4]>(&bytes);
        settles::<String>(&bytes);
        settles::<bool>(&bytes);
        settles::<f64>(&bytes);
        settles::<Decimal>(&bytes);
        settles::<DateTime>(&bytes);
        settles::<AbsolutePath>(&bytes);
        settles::<IpAddr>(&bytes);
        settles::<Ipv4Addr>(&bytes);
        settles::<Ipv6Addr>(&bytes);
        settles::<IpNet>(&bytes);
        settles::<Ipv4Net>(&bytes);
        settles::<Ipv6Net>(&bytes);
        settles::<Vec<i64>>(&bytes);
        settles::<Vec<Vec<Vec<u8>>>>(&bytes);
        #[cfg(feature = "url")]
        settles::<url::Url>(&bytes);
        #[cfg(feature = "json")]
        settles::<crate::Json<serde_json::Value>>(&bytes);
        #[cfg(feature = "json")]
        settles::<crate::Compressed<Vec<String>>>(&bytes);
    }
}

/// Bytes at random, and such as come close to numbers, dates, lists and URLs.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec_of(any::<u8>(), 60),
        "[ _+-]{0,2}[0-9_.eE+-]{0,50}[ _]?".prop_map(String::into_bytes),
        "[+-]?(s?nan|inf|infinity|True|False)[0-9]{0,3}".prop_map(String::into_bytes),
        "[0-9 +-]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9 _]{2}.[0-9]{6}[+-][0-9]{2}:[0-9]{2}"
            .prop_map(String::into_bytes),
        vec_of((0..2_u8, 0..5_u8, vec_of(any::<u8>(), 4)), 9).prop_map(|elements| {
            elements
                .into_iter()
                .flat_map(|(high, low, rest)| [vec![high, low], rest].concat())
                .collect()
        }),
        "(https?|mailto)://?[a-zß@:/.0-9\\[\\]%-]{0,30}".prop_map(String::into_bytes),
        vec_of(any::<u8>(), 60).prop_map(|bytes| deflated(&bytes)),
        "[\\[\\]{}\",:0-9a-z\\\\]{0,40}".prop_map(|json| deflated(json.as_bytes())),
    ]
}

#[cfg(feature = "json")]
fn deflated(plain: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    super::compressed::deflate(plain, &mut out);
    out
}

#[cfg(not(feature = "json"))]
fn deflated(plain: &[u8]) -> Vec<u8> {
    plain.to_vec()
}

#[cfg(feature = "json")]
mod with_json {
    use serde_json::Value;

    use super::*;
    use crate::{Compressed, Json};

    fn json() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            proptest::num::f64::NORMAL.prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        scalar
            .prop_recursive(4, 32, 5, |inner| {
                let object = proptest::collection::btree_map(any::<String>(), inner.clone(), 0..5);
                prop_oneof![
                    vec_of(inner, 5).prop_map(Value::from),
                    object.prop_map(|object| object.into_iter().collect()),
                ]
            })
            .boxed()
    }

    proptest! {
        #[test]
        fn json_survives_in_ascii(it in json()) {
            survives(&Json(it.clone()))?;
            let bytes = encode(&Json(it)).unwrap();
            prop_assert!(miniz_oxide::inflate::decompress_to_vec_zlib(&bytes).unwrap().is_ascii());
        }

        #[test]
        fn compressed_values_survive(texts in vec_of(any::<String>(), 20)) {
            survives(&Compressed(texts.concat()))?;
            survives(&Compressed(texts))?;
        }
    }
}
