//! Arguments as a person types them.

use num_bigint::BigInt;
use serde_json::Value as Json;

use super::TypeDescription;
use super::from_json::{bytes, read};
use super::problem::{ProblemReason, shown_text};
use super::to_json::{float_to_json, integer_to_json};

/// Makes JSON of the text that stands for an argument on a command line: of `value` in
/// `key=value`.
///
/// Where the type has a string in JSON, the text is that string as it is. Numbers and `true` or
/// `false` are what they look like; lists, boxes and `json` are given as JSON. Bytes are the text
/// itself, or in base64 if the whole text reads `{"base64": "…"}`.
///
/// That the argument fits in every respect is for [`encode_json`](super::encode_json) to say.
///
/// # Errors
/// [`ProblemReason::WrongType`] for what is no number, no boolean or no JSON where the type asks
/// for one. [`ProblemReason::at`] adds the name of the argument.
///
/// # Examples
/// ```
/// use amp_proto::dynamic::{TypeDescription, parse_argument_text};
/// use serde_json::json;
///
/// assert_eq!(parse_argument_text(&TypeDescription::Text, "8")?, json!("8"));
/// assert_eq!(parse_argument_text(&TypeDescription::Integer, "8")?, json!(8));
/// # Ok::<(), amp_proto::dynamic::ProblemReason>(())
/// ```
pub fn parse_argument_text(kind: &TypeDescription, text: &str) -> Result<Json, ProblemReason> {
    use TypeDescription as Kind;

    let wrong = |expected: &str| ProblemReason::WrongType {
        expected: expected.into(),
        found: shown_text(text),
    };
    let json = || serde_json::from_str::<Json>(text).ok();
    match kind {
        Kind::Text
        | Kind::Decimal
        | Kind::DateTime
        | Kind::Path
        | Kind::IpAddress
        | Kind::IpNetwork
        | Kind::Url
        | Kind::Choice(_) => Ok(text.into()),
        Kind::Bytes | Kind::Custom(_) => {
            let in_base64 = json().filter(|json| json.is_object() && bytes(json).is_ok());
            Ok(in_base64.unwrap_or_else(|| text.into()))
        }
        Kind::Integer | Kind::IntegerWithin { .. } => {
            let number = read::<BigInt>(text).map_err(|_| wrong("an integer"))?;
            Ok(integer_to_json(&number))
        }
        Kind::Float => read(text).map(float_to_json).map_err(|_| wrong("a number")),
        Kind::Boolean => match text {
            "true" | "True" => Ok(true.into()),
            "false" | "False" => Ok(false.into()),
            _ => Err(wrong("true or false")),
        },
        Kind::List(_) => {
            json().filter(Json::is_array).ok_or_else(|| wrong("a list in JSON, as [1, 2]"))
        }
        Kind::Boxes(_) => {
            json().filter(Json::is_array).ok_or_else(|| wrong("a list of objects in JSON"))
        }
        Kind::Json => json().ok_or_else(|| wrong("JSON; text has to be in quotation marks")),
        Kind::Compressed(of) | Kind::Large(of) => parse_argument_text(of, text),
    }
}
