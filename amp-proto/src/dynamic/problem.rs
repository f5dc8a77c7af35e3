//! What can be wrong with arguments given as JSON, said to the person who gave them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::Value;

use super::describe::Quoted;
use crate::error::EncodeError;

/// An argument given as JSON or as text does not fit its description. The fault is the caller's,
/// and nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("argument `{field}`: {reason}")]
pub struct ArgumentProblem {
    /// The field, with the way to it: `services[2].name`.
    pub field: String,
    /// What is the matter with it.
    pub reason: ProblemReason,
}

/// Why an argument does not fit its description. [`ArgumentProblem`] adds the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemReason {
    /// The command has no such argument.
    #[error("there is no such argument{}", did_you_mean(.suggestion.as_ref()))]
    Unknown {
        /// The declared name that is spelled most alike, if there is one.
        suggestion: Option<String>,
    },
    /// The argument is required, and not given.
    #[error("it is required, and missing: expected {expected}")]
    Missing {
        /// The type, as people read it.
        expected: String,
    },
    /// It is of another type, or not of the expected form.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// The expected form, in a few words.
        expected: String,
        /// The start of what was found.
        found: String,
    },
    /// It is of the right form but outside the declared bounds.
    #[error("{found} is out of the range {range}")]
    OutOfRange {
        /// The range, as `0..=255`.
        range: String,
        /// The start of what was found.
        found: String,
    },
    /// It is none of the words to choose from.
    #[error(
        "expected one of {}, found {found}{}",
        listed(.words),
        did_you_mean(.suggestion.as_ref())
    )]
    NoSuchChoice {
        /// The words.
        words: Vec<String>,
        /// The start of what was found.
        found: String,
        /// The word that is spelled most alike, if there is one.
        suggestion: Option<String>,
    },
    /// It has no form on the wire, being too long.
    #[error("{0}")]
    DoesNotFit(EncodeError),
}

impl ProblemReason {
    /// Names the field.
    #[must_use]
    pub fn at(self, field: impl Into<String>) -> ArgumentProblem {
        ArgumentProblem { field: field.into(), reason: self }
    }

    /// A problem with the very value that is looked at; the way to it is added on the way out.
    pub(super) fn here(self) -> ArgumentProblem {
        self.at("")
    }

    pub(super) fn wrong_type(expected: &str, found: &Value) -> Self {
        Self::WrongType { expected: expected.into(), found: shown(found) }
    }
}

impl ArgumentProblem {
    /// Puts the way to the field before it.
    pub(super) fn inside(self, outer: &str) -> Self {
        let Self { field, reason } = self;
        let dot = if field.is_empty() || field.starts_with('[') { "" } else { "." };
        Self { field: format!("{outer}{dot}{field}"), reason }
    }
}

fn did_you_mean(suggestion: Option<&String>) -> String {
    suggestion.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

fn listed(words: &[String]) -> String {
    const SHOWN_MAX: usize = 12;
    let shown: Vec<_> = words.iter().take(SHOWN_MAX).map(|word| Quoted(word).to_string()).collect();
    let more = if words.len() > SHOWN_MAX { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// JSON in a few words.
fn shown(json: &Value) -> String {
    match json {
        Value::Null => "null".into(),
        Value::Bool(boolean) => boolean.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => shown_text(text),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// The start of a text, in quotation marks.
pub(super) fn shown_text(text: &str) -> String {
    const SHOWN_MAX: usize = 40;
    let end = text.char_indices().nth(SHOWN_MAX).map(|(end, _)| end);
    match end.and_then(|end| text.get(..end)) {
        Some(start) => format!("{start:?}… ({} bytes)", text.len()),
        None => format!("{text:?}"),
    }
}
