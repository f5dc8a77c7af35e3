//! Arguments from JSON.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ipnet::IpNet;
use num_bigint::BigInt;
use serde_json::{Map, Value as Json};

use super::problem::{ArgumentProblem, ProblemReason, shown_text};
use super::suggest::nearest;
use super::{FieldDescription, TypeDescription};
use crate::argument::{deflate, put_json};
use crate::error::{EncodeError, ValueError};
use crate::wire::Value;
use crate::{AbsolutePath, AmpBox, Argument, DateTime, Decimal, Limits};

const INTEGER: &str = "an integer";
const FLOAT: &str = "a number, \"inf\", \"-inf\" or \"nan\"";
const DECIMAL: &str = "a decimal number, as a string";
const BOOLEAN: &str = "true or false";
const TEXT: &str = "text";
const BYTES: &str = "text, or bytes as {\"base64\": \"…\"}";
const DATE_TIME: &str = "a date and time with its offset, as \"2012-01-23T12:34:56Z\"";
const PATH: &str = "an absolute path";
const IP_ADDRESS: &str = "an IP address, as \"10.0.0.1\"";
const IP_NETWORK: &str = "an IP network, as \"10.0.0.0/8\"";
pub(super) const URL: &str = "an absolute URL in ASCII";
const LIST: &str = "a list";
const BOXES: &str = "a list of objects";
const OBJECT: &str = "an object";

/// Makes a command's arguments from a JSON object: every key with the bytes of its value, in the
/// order of the wire.
///
/// See the [module](super) for the form that each type has in JSON.
///
/// # Limits
/// None for a value: one of more than 65,535 bytes is refused when it is sent to a peer that does
/// not put it together again. Elements of lists end there.
///
/// # Errors
/// [`ArgumentProblem`] for a field that is not declared, or for the first that is missing or does
/// not fit its type.
///
/// # Examples
/// ```
/// use amp_proto::dynamic::{FieldDescription, encode_json};
///
/// let name: FieldDescription = "name: text".parse()?;
/// let fields = [name, "age: integer(0..=255)?".parse()?];
/// let json = serde_json::json!({"name": "Idiazabal", "age": 8});
/// let arguments = encode_json(&fields, json.as_object().unwrap())?;
/// assert_eq!(arguments, [("age".into(), b"8".to_vec()), ("name".into(), b"Idiazabal".to_vec())]);
///
/// let json = serde_json::json!({"nmae": "Idiazabal"});
/// let problem = encode_json(&fields, json.as_object().unwrap()).unwrap_err();
/// assert_eq!(
///     problem.to_string(),
///     "argument `nmae`: there is no such argument; did you mean `name`?"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn encode_json(
    fields: &[FieldDescription],
    json: &Map<String, Json>,
) -> Result<Vec<(String, Vec<u8>)>, ArgumentProblem> {
    let is_declared = |name: &&String| fields.iter().any(|field| field.name == **name);
    if let Some(name) = json.keys().find(|name| !is_declared(name)) {
        let suggestion = nearest(name, fields.iter().map(|field| field.name.as_str()));
        let suggestion = suggestion.map(String::from);
        return Err(ProblemReason::Unknown { suggestion }.at(name));
    }
    let mut entries = Vec::new();
    for field in fields {
        let FieldDescription { name, kind, optional, .. } = field;
        let given = json.get(name).filter(|given| !(*optional && is_absence(kind, given)));
        let Some(given) = given else {
            if *optional {
                continue;
            }
            return Err(ProblemReason::Missing { expected: format!("{kind:#}") }.at(name));
        };
        let mut out = Vec::new();
        encode(kind, given, &mut out).map_err(|problem| problem.inside(name))?;
        entries.push((name.clone(), out));
    }
    entries.sort();
    Ok(entries)
}

/// Whether `null` says that nothing is given.
fn is_absence(kind: &TypeDescription, given: &Json) -> bool {
    given.is_null() && !matches!(kind, TypeDescription::Json)
}

fn encode(kind: &TypeDescription, json: &Json, out: &mut Vec<u8>) -> Result<(), ArgumentProblem> {
    use TypeDescription as Kind;

    match kind {
        Kind::Integer => put(&integer(json)?, out),
        Kind::IntegerWithin { min, max } => put(&integer_within(json, *min, *max)?, out),
        Kind::Bytes | Kind::Custom(_) => put(&bytes(json)?, out),
        Kind::Text => put_text(text(json, TEXT)?, out),
        Kind::Boolean => put(&json.as_bool().ok_or_else(|| wrong(BOOLEAN, json))?, out),
        Kind::Float => put(&float(json)?, out),
        Kind::Decimal => put(&decimal(json)?, out),
        Kind::DateTime => put(&parsed::<DateTime>(json, DATE_TIME)?, out),
        Kind::List(of) => list(of, json, out),
        Kind::Boxes(fields) => boxes(fields, json, out),
        Kind::Path => put(&parsed::<AbsolutePath>(json, PATH)?, out),
        Kind::Json => put_json(json, out).map_err(does_not_fit),
        Kind::Compressed(of) => {
            let mut plain = Vec::new();
            encode(of, json, &mut plain)?;
            deflate(&plain, out);
            Ok(())
        }
        Kind::Large(of) => encode(of, json, out),
        Kind::IpAddress => put(&parsed::<IpAddr>(json, IP_ADDRESS)?, out),
        Kind::IpNetwork => put(&parsed::<IpNet>(json, IP_NETWORK)?, out),
        Kind::Url => put_text(url(json)?, out),
        Kind::Choice(words) => put_text(choice(words, json)?, out),
    }
}

fn put<T: Argument>(value: &T, out: &mut Vec<u8>) -> Result<(), ArgumentProblem> {
    value.encode(out).map_err(does_not_fit)
}

fn put_text(text: &str, out: &mut Vec<u8>) -> Result<(), ArgumentProblem> {
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn does_not_fit(error: EncodeError) -> ArgumentProblem {
    ProblemReason::DoesNotFit(error).here()
}

fn wrong(expected: &str, found: &Json) -> ArgumentProblem {
    ProblemReason::wrong_type(expected, found).here()
}

fn text<'a>(json: &'a Json, expected: &str) -> Result<&'a str, ArgumentProblem> {
    json.as_str().ok_or_else(|| wrong(expected, json))
}

fn parsed<T: FromStr>(json: &Json, expected: &str) -> Result<T, ArgumentProblem> {
    text(json, expected)?.parse().map_err(|_| wrong(expected, json))
}

/// What the wire would make of a text.
pub(super) fn read<T: Argument>(text: &str) -> Result<T, ValueError> {
    T::decode(Value::new(&text.as_bytes().to_vec().into(), &Limits::default()))
}

fn integer(json: &Json) -> Result<BigInt, ArgumentProblem> {
    let number = match json {
        Json::Number(number) => {
            number.as_i64().map(BigInt::from).or_else(|| number.as_u64().map(BigInt::from))
        }
        Json::String(text) => read(text).ok(),
        _ => None,
    };
    number.ok_or_else(|| wrong(INTEGER, json))
}

fn integer_within(json: &Json, min: i128, max: u128) -> Result<BigInt, ArgumentProblem> {
    let number = integer(json)?;
    if number >= BigInt::from(min) && number <= BigInt::from(max) {
        return Ok(number);
    }
    let range = format!("{min}..={max}");
    let found = json.as_str().map_or_else(|| format!("{json}"), shown_text);
    Err(ProblemReason::OutOfRange { range, found }.here())
}

fn float(json: &Json) -> Result<f64, ArgumentProblem> {
    let number = match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => read(text).ok(),
        _ => None,
    };
    number.ok_or_else(|| wrong(FLOAT, json))
}

fn decimal(json: &Json) -> Result<Decimal, ArgumentProblem> {
    let number = match json {
        Json::Number(number) => format!("{number}").parse().ok(),
        Json::String(text) => text.parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| wrong(DECIMAL, json))
}

pub(super) fn bytes(json: &Json) -> Result<Vec<u8>, ArgumentProblem> {
    let bytes = match json {
        Json::String(text) => Some(text.as_bytes().to_vec()),
        Json::Object(object) if object.len() == 1 => {
            let text = object.get("base64").and_then(Json::as_str);
            text.and_then(|text| BASE64.decode(text).ok())
        }
        _ => None,
    };
    bytes.ok_or_else(|| wrong(BYTES, json))
}

fn url(json: &Json) -> Result<&str, ArgumentProblem> {
    let text = text(json, URL)?;
    if is_url(text) { Ok(text) } else { Err(wrong(URL, json)) }
}

/// Only that it is one at all is looked at: the peer knows best what it takes.
pub(super) fn is_url(text: &str) -> bool {
    let has_scheme = text.split_once(':').is_some_and(|(scheme, _)| {
        let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        scheme.starts_with(|char: char| char.is_ascii_alphabetic()) && scheme.bytes().all(is_scheme)
    });
    has_scheme && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn choice<'a>(words: &[String], json: &'a Json) -> Result<&'a str, ArgumentProblem> {
    let found = text(json, "a word")?;
    if words.iter().any(|word| word == found) {
        return Ok(found);
    }
    let suggestion = nearest(found, words.iter().map(String::as_str)).map(String::from);
    let found = shown_text(found);
    Err(ProblemReason::NoSuchChoice { words: words.to_vec(), found, suggestion }.here())
}

fn list(of: &TypeDescription, json: &Json, out: &mut Vec<u8>) -> Result<(), ArgumentProblem> {
    let items = json.as_array().ok_or_else(|| wrong(LIST, json))?;
    for (index, item) in items.iter().enumerate() {
        let mut element = Vec::new();
        let inside = |problem: ArgumentProblem| problem.inside(&format!("[{index}]"));
        encode(of, item, &mut element).map_err(inside)?;
        let length = u16::try_from(element.len())
            .map_err(|_| does_not_fit(EncodeError::ElementTooLong { bytes: element.len() }))
            .map_err(inside)?;
        out.extend_from_slice(&length.to_be_bytes());
        out.append(&mut element);
    }
    Ok(())
}

fn boxes(
    fields: &[FieldDescription],
    json: &Json,
    out: &mut Vec<u8>,
) -> Result<(), ArgumentProblem> {
    let items = json.as_array().ok_or_else(|| wrong(BOXES, json))?;
    for (index, item) in items.iter().enumerate() {
        let object = item.as_object().ok_or_else(|| wrong(OBJECT, item));
        object
            .and_then(|object| encode_json(fields, object))
            .and_then(|entries| {
                let it: AmpBox = entries.into_iter().collect();
                it.encode(out, &Limits::default()).map_err(does_not_fit)
            })
            .map_err(|problem| problem.inside(&format!("[{index}]")))?;
    }
    Ok(())
}
