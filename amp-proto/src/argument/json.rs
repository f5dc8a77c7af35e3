//! JSON in a value: MAAS's `StructureAsJSON`.

use alloc::string::ToString;
use alloc::vec::Vec;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Argument;
use super::compressed::{deflate, inflate};
use super::float::put_float;
use super::python::put_text;
use crate::error::{EncodeError, ValueError};
use crate::schema::ArgumentType;
use crate::wire::Value;

/// Anything that serde knows, as JSON compressed with zlib.
///
/// The JSON is written as Python's `json.dumps` writes it: a space after every comma and colon,
/// everything outside ASCII as `\uXXXX`, floats with the digits of `repr`. Numbers that are
/// infinite or not a number become `null`, as serde_json has it; Python's words for them are not
/// JSON, and refused.
///
/// The compressed bytes are not always those that zlib itself would choose. Every zlib reads them.
///
/// # Limits
/// A value is refused as soon as it inflates to more than
/// [`Limits::decompressed_bytes_max`](crate::Limits::decompressed_bytes_max), and when it nests
/// deeper than serde_json's 128 levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Json<T>(
    /// The value.
    pub T,
);

impl<T: Serialize + DeserializeOwned> Argument for Json<T> {
    const TYPE: ArgumentType = ArgumentType::Json;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_json(&self.0, out)
    }

    fn decode(value: Value<'_>) -> Result<Self, ValueError> {
        take_json(value).map(Self)
    }
}

/// Appends `json` as it stands on the wire.
pub(crate) fn put_json<T: Serialize>(json: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let compact = serde_json::to_string(json).map_err(|error| EncodeError::Unencodable {
        reason: error.to_string(),
    })?;
    let mut spelled = Vec::with_capacity(compact.len());
    respell(&compact, &mut spelled);
    deflate(&spelled, out);
    Ok(())
}

/// The other way.
pub(crate) fn take_json<T: DeserializeOwned>(value: Value<'_>) -> Result<T, ValueError> {
    let plain = inflate(value)?;
    serde_json::from_slice(&plain).map_err(|_| ValueError::malformed("JSON of its type", &plain))
}

/// Appends JSON, given without white space, as Python would have written it.
///
/// serde_json has hooks for this, but none that can be used without the standard library.
fn respell(compact: &str, out: &mut Vec<u8>) {
    let mut rest = compact;
    while let Some(first) = rest.chars().next() {
        let (token, tail) = match first {
            '"' => split_at(rest, string_length(rest)),
            '-' | '0'..='9' => split_at(rest, number_length(rest)),
            _ => split_at(rest, first.len_utf8()),
        };
        match first {
            '"' => put_ascii(token, out),
            '-' | '0'..='9' => put_number(token, out),
            ',' => out.extend_from_slice(b", "),
            ':' => out.extend_from_slice(b": "),
            _ => out.extend_from_slice(token.as_bytes()),
        }
        rest = tail;
    }
}

fn split_at(text: &str, at: usize) -> (&str, &str) {
    text.split_at_checked(at).unwrap_or((text, ""))
}

/// How far the string at the start of `json` reaches, with its quotation marks.
fn string_length(json: &str) -> usize {
    let mut escaped = false;
    let end = json.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(json.len(), |end| end + 2)
}

fn number_length(json: &str) -> usize {
    let ends = |byte: u8| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    json.bytes().position(ends).unwrap_or(json.len())
}

/// Everything that Python escapes and serde_json does not: DEL, and what is outside ASCII.
fn put_ascii(text: &str, out: &mut Vec<u8>) {
    let mut units = [0; 2];
    for char in text.chars() {
        match u8::try_from(char) {
            Ok(byte @ ..0x7f) => out.push(byte),
            _ => {
                for unit in char.encode_utf16(&mut units) {
                    put_text(out, format_args!("\\u{unit:04x}"));
                }
            }
        }
    }
}

fn put_number(number: &str, out: &mut Vec<u8>) {
    let is_float = number.contains(['.', 'e', 'E']);
    match number.parse::<f64>() {
        Ok(float) if is_float && float.is_finite() => put_float(float, out),
        _ => out.extend_from_slice(number.as_bytes()),
    }
}
