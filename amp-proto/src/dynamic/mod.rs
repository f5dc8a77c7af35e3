//! Calls without types: from JSON to a box and back, by a description alone.
//!
//! A peer can describe the commands that it answers. With that, a program that was compiled
//! without them — a shell, a console, a gateway — calls any of them: it reads the description
//! ([`FieldDescription`]), makes arguments of JSON ([`encode_json`]) and JSON of the response
//! ([`decode_json`]). What a person types as `key=value` becomes JSON by [`parse_argument_text`].
//!
//! # JSON
//! | type | JSON |
//! |---|---|
//! | `integer` | a number if it fits 64 bits, otherwise a string; both are taken |
//! | `float` | a number; `"inf"`, `"-inf"` and `"nan"` |
//! | `decimal` | a string, digit for digit; numbers are taken too |
//! | `boolean` | `true`, `false` |
//! | `text`, `path`, `url`, `choice` | a string |
//! | `bytes`, `custom` | a string if they are UTF-8, otherwise `{"base64": "…"}`; both are taken |
//! | `datetime` | a string as in RFC 3339 |
//! | `ip-address`, `ip-network` | a string: `10.0.0.1`, `10.0.0.0/8` |
//! | `list` | an array |
//! | `boxes` | an array of objects |
//! | `json` | itself |
//! | `compressed` | what the type inside it is |
//!
//! An optional field that is absent from the box is absent from the object, and the other way
//! round. `null` stands for absence too, except for the type `json`, where it is a value.
//!
//! # Limits
//! Descriptions come from peers: how deep a type nests is bounded by [`TYPE_DEPTH_MAX`], and so is
//! the recursion here. Types that a program builds itself are its own affair.

mod describe;
mod from_json;
mod parse;
mod problem;
mod suggest;
#[cfg(test)]
mod tests;
mod text;
mod to_json;

pub use self::describe::{FieldDescription, TypeDescription};
pub use self::from_json::encode_json;
pub use self::parse::{NotationError, TYPE_DEPTH_MAX};
pub use self::problem::{ArgumentProblem, ProblemReason};
pub use self::suggest::nearest;
pub use self::text::parse_argument_text;
pub use self::to_json::decode_json;
