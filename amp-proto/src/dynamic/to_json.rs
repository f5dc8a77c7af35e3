//! Responses to JSON.

use alloc::string::{String, ToString};
use core::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ipnet::IpNet;
use num_bigint::BigInt;
use serde_json::{Map, Number, Value as Json, json};

use super::from_json::{URL, is_url};
use super::{FieldDescription, TypeDescription};
use crate::argument::{decode_each_box, elements, inflate, inflated, take_json};
use crate::error::{DecodeError, ValueError, printable};
use crate::wire::{Fields, Value};
use crate::{AbsolutePath, Argument, DateTime, Decimal};

/// Makes a JSON object of a box: the response of a command, or its arguments. Keys that are not
/// declared are ignored.
///
/// See the [module](super) for the form that each type has in JSON.
///
/// # Errors
/// [`DecodeError`] for the first field that is missing or malformed.
pub fn decode_json(
    fields: &[FieldDescription],
    received: &Fields<'_>,
) -> Result<Map<String, Json>, DecodeError> {
    let mut object = Map::new();
    for FieldDescription { name, kind, optional, .. } in fields {
        match received.whole(name.as_bytes()) {
            Some(whole) => {
                let json = decode(kind, whole.value()).map_err(|error| error.at(name))?;
                object.insert(name.clone(), json);
            }
            None if *optional => {}
            None => return Err(ValueError::Missing.at(name)),
        }
    }
    Ok(object)
}

fn decode(kind: &TypeDescription, value: Value<'_>) -> Result<Json, ValueError> {
    use TypeDescription as Kind;

    match kind {
        Kind::Integer => BigInt::decode(value).map(|number| integer_to_json(&number)),
        Kind::IntegerWithin { min, max } => integer_within(value, *min, *max),
        Kind::Bytes | Kind::Custom(_) => Ok(bytes_to_json(value.bytes())),
        Kind::Text => String::decode(value).map(Json::String),
        Kind::Boolean => bool::decode(value).map(Json::Bool),
        Kind::Float => f64::decode(value).map(float_to_json),
        Kind::Decimal => Decimal::decode(value).map(|it| in_words(&it)),
        Kind::DateTime => DateTime::decode(value).map(|it| in_words(&it)),
        Kind::List(of) => {
            elements(value).map(|element| decode(of, element?)).collect::<Result<_, _>>()
        }
        Kind::Boxes(fields) => {
            let objects = decode_each_box(value, |it| decode_json(fields, it).map(Json::Object));
            objects.map(Json::Array)
        }
        Kind::Path => AbsolutePath::decode(value).map(|it| in_words(&it)),
        Kind::Json => take_json(value),
        Kind::Compressed(of) => {
            let plain = inflate(value)?.into();
            decode(of, inflated(&plain))
        }
        Kind::Large(of) => decode(of, value),
        Kind::IpAddress => IpAddr::decode(value).map(|it| in_words(&it)),
        Kind::IpNetwork => IpNet::decode(value).map(|it| in_words(&it)),
        Kind::Url => url(value),
        Kind::Choice(words) => choice(words, value),
    }
}

fn in_words<T: ToString>(it: &T) -> Json {
    Json::String(it.to_string())
}

/// A number if it fits 64 bits, otherwise its digits.
pub(super) fn integer_to_json(number: &BigInt) -> Json {
    if let Ok(number) = i64::try_from(number) {
        return number.into();
    }
    u64::try_from(number).map_or_else(|_| in_words(number), Json::from)
}

fn integer_within(value: Value<'_>, min: i128, max: u128) -> Result<Json, ValueError> {
    let number = BigInt::decode(value)?;
    if number >= BigInt::from(min) && number <= BigInt::from(max) {
        return Ok(integer_to_json(&number));
    }
    let range = alloc::format!("{min}..={max}");
    Err(ValueError::OutOfRange { range, found: printable(value.bytes()) })
}

/// A number if JSON has it, otherwise Python's word for it.
pub(super) fn float_to_json(float: f64) -> Json {
    let word = || match float {
        f64::INFINITY => "inf",
        f64::NEG_INFINITY => "-inf",
        _ => "nan",
    };
    Number::from_f64(float).map_or_else(|| word().into(), Json::Number)
}

fn bytes_to_json(bytes: &[u8]) -> Json {
    match core::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "base64": BASE64.encode(bytes) }),
    }
}

fn url(value: Value<'_>) -> Result<Json, ValueError> {
    let text = String::decode(value)?;
    if is_url(&text) { Ok(text.into()) } else { Err(ValueError::malformed(URL, value.bytes())) }
}

fn choice(words: &[String], value: Value<'_>) -> Result<Json, ValueError> {
    let bytes = value.bytes();
    let word = words.iter().find(|word| word.as_bytes() == bytes);
    let word = word.ok_or_else(|| ValueError::malformed("one of the declared words", bytes))?;
    Ok(word.clone().into())
}
