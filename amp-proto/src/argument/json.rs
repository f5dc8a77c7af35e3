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
    let compact = serde_json::to_string(json)
        .map_err(|error| EncodeError::Unencodable { reason: error.to_string() })?;
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

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use serde_json::{Value as Any, json};

    use super::super::properties::{decode, encode};
    use super::*;

    fn spelled(json: &Any) -> String {
        let mut out = Vec::new();
        respell(&json.to_string(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_is_spelled_as_python_spells_it() {
        assert_eq!(spelled(&json!([])), "[]");
        assert_eq!(
            spelled(&json!({"b": [1, -2.0, {}], "a": {"x": null}})),
            r#"{"a": {"x": null}, "b": [1, -2.0, {}]}"#
        );
        assert_eq!(
            spelled(&json!([1e16, 1e-5, 1e300, 2.5e-7, u64::MAX])),
            "[1e+16, 1e-05, 1e+300, 2.5e-07, 18446744073709551615]"
        );
        assert_eq!(
            spelled(&json!("é 😀 \u{7f}\u{1f}\u{8}\n/\"\\")),
            r#""\u00e9 \ud83d\ude00 \u007f\u001f\b\n/\"\\""#
        );
        assert_eq!(spelled(&json!({"a,b:c\\": "\\\", 1:2"})), r#"{"a,b:c\\": "\\\", 1:2"}"#);
    }

    #[test]
    fn structures_are_written_and_read_as_json() {
        #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
        struct Interface {
            name: String,
            mtu: u16,
        }
        let it = Json(Interface { name: "eth0".into(), mtu: 1500 });
        assert_eq!(decode(&encode(&it).unwrap()), Ok(it));
        assert!(decode::<Json<Interface>>(&encode(&Json(json!({"name": 1}))).unwrap()).is_err());
    }

    #[test]
    fn floats_and_surrogate_pairs_arrive_unchanged() {
        for it in [json!(1.2215985217501825e289), json!("😀"), json!(5e-324)] {
            assert_eq!(decode(&encode(&Json(it.clone())).unwrap()), Ok(Json(it)));
        }
    }

    #[test]
    fn json_that_nests_too_deep_is_refused() {
        let mut out = Vec::new();
        deflate("[".repeat(50_000).as_bytes(), &mut out);
        assert!(decode::<Json<Any>>(&out).is_err());
    }
}
