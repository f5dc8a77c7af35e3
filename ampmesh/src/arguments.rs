//! The arguments of a call, from what was typed to encoded fields.

use std::io::{self, Read as _};

use amp_proto::RoleName;
use amp_proto::dynamic::{
    ArgumentProblem, FieldDescription, encode_json, nearest, parse_argument_text,
};
use serde_json::{Map, Value};

use crate::operator::EncodedFields;
use crate::twice::key_given_twice;

/// Arguments of at most this many bytes are read from stdin.
const STDIN_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What was typed is not what the command takes. Nothing was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ArgumentsError {
    /// The target does not answer such a command.
    #[error("{target} does not answer `{command}`{}", suggestion(.meant.as_ref()))]
    NoSuchCommand {
        /// Who was to be asked.
        target: String,
        /// The command that was given.
        command: String,
        /// One that looks like it.
        meant: Option<String>,
    },
    /// The target does not answer such a command, but the other side of the mesh does.
    #[error("{target} does not answer `{command}`; {}", advice(*.side, .command))]
    OtherSide {
        /// Who was to be asked.
        target: String,
        /// The command that was given.
        command: String,
        /// Who answers it.
        side: RoleName,
    },
    /// The argument looks like JSON, or was read from stdin, and is none.
    #[error("the arguments are not JSON")]
    NotJson(#[source] serde_json::Error),
    /// The JSON is no object.
    #[error("the arguments are not a JSON object: write {{\"key\": value, …}}")]
    NotAnObject,
    /// There is more on stdin than is read from it.
    #[error("the arguments on stdin are longer than {STDIN_BYTES_MAX} bytes")]
    TooLong,
    /// Stdin cannot be read.
    #[error("cannot read the arguments from stdin")]
    Stdin(#[source] io::Error),
    /// A word is neither JSON nor key=value.
    #[error("`{word}` is not KEY=VALUE")]
    NotAPair {
        /// The word.
        word: String,
    },
    /// A key was given twice.
    #[error("argument `{field}`: it is given twice")]
    Twice {
        /// The key.
        field: String,
    },
    /// One argument is not as the command describes it.
    #[error(transparent)]
    Problem(#[from] ArgumentProblem),
}

fn suggestion(meant: Option<&String>) -> String {
    meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"))
}

fn advice(side: RoleName, command: &str) -> String {
    match side {
        RoleName::Region => format!("regions answer it: `ampmesh call region {command} …`"),
        RoleName::Cluster => format!("clusters answer it: `ampmesh call any {command} …`"),
    }
}

impl ArgumentsError {
    /// `target` answers none of that name, only `known`.
    pub(crate) fn no_such_command<'a>(
        target: &str,
        command: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let meant = nearest(command, known).map(str::to_owned);
        Self::NoSuchCommand { target: target.to_owned(), command: command.to_owned(), meant }
    }
}

/// What was typed after the command's name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Typed {
    /// A JSON object.
    Object(Map<String, Value>),
    /// Words of the form key=value.
    Pairs(Vec<(String, String)>),
}

impl Typed {
    /// Understands the words, and reads stdin if they say so.
    ///
    /// # Errors
    /// [`ArgumentsError`].
    pub(crate) fn read(words: &[String]) -> Result<Self, ArgumentsError> {
        match words {
            [word] if word == "-" => object(&stdin()?),
            [word] if word.trim_start().starts_with(['{', '[']) => object(word),
            words => pairs(words),
        }
    }

    /// Encodes the arguments of a command whose fields are described.
    ///
    /// # Errors
    /// [`ArgumentsError::Problem`], which names the field.
    pub(crate) fn encode(
        &self,
        fields: &[FieldDescription],
    ) -> Result<EncodedFields, ArgumentsError> {
        let encoded = match self {
            Self::Object(object) => encode_json(fields, object),
            Self::Pairs(pairs) => encode_json(fields, &described(pairs, fields)?),
        };
        let mut encoded = encoded?;
        encoded.sort();
        Ok(encoded)
    }
}

fn stdin() -> Result<String, ArgumentsError> {
    let (mut limited, mut bytes) = (io::stdin().lock().take(STDIN_BYTES_MAX + 1), Vec::new());
    limited.read_to_end(&mut bytes).map_err(ArgumentsError::Stdin)?;
    if limited.limit() == 0 {
        return Err(ArgumentsError::TooLong);
    }
    let no_text = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    String::from_utf8(bytes).map_err(|error| ArgumentsError::Stdin(no_text(error)))
}

fn object(text: &str) -> Result<Typed, ArgumentsError> {
    let Value::Object(object) = serde_json::from_str(text).map_err(ArgumentsError::NotJson)? else {
        return Err(ArgumentsError::NotAnObject);
    };
    match key_given_twice(text) {
        Some(field) => Err(ArgumentsError::Twice { field }),
        None => Ok(Typed::Object(object)),
    }
}

fn pairs(words: &[String]) -> Result<Typed, ArgumentsError> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for word in words {
        let pair = word.split_once('=').filter(|(key, _)| !key.is_empty());
        let (key, value) = pair.ok_or_else(|| ArgumentsError::NotAPair { word: word.clone() })?;
        if pairs.iter().any(|(given, _)| given == key) {
            return Err(ArgumentsError::Twice { field: key.to_owned() });
        }
        pairs.push((key.to_owned(), value.to_owned()));
    }
    Ok(Typed::Pairs(pairs))
}

/// Pairs as JSON of the types that the fields have. What is not described stays text, to be refused
/// with the others.
fn described(
    pairs: &[(String, String)],
    fields: &[FieldDescription],
) -> Result<Map<String, Value>, ArgumentsError> {
    let value = |(key, text): &(String, String)| {
        let value = match fields.iter().find(|field| field.name == *key) {
            Some(field) => {
                parse_argument_text(&field.kind, text).map_err(|reason| reason.at(key))?
            }
            None => Value::String(text.clone()),
        };
        // Lists and structures are written in JSON.
        let twice =
            if value.is_array() || value.is_object() { key_given_twice(text) } else { None };
        match twice {
            Some(inner) => {
                let dot = if inner.starts_with('[') { "" } else { "." };
                Err(ArgumentsError::Twice { field: format!("{key}{dot}{inner}") })
            }
            None => Ok((key.clone(), value)),
        }
    };
    pairs.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Vec<FieldDescription> {
        let field = |text: &str| text.parse().unwrap();
        vec![
            field("name: text"),
            field("rating: integer(0..=255)"),
            field("tags: list(text)?"),
            field("makers: boxes(since: text)?"),
        ]
    }

    fn encode(words: &[&str]) -> Result<EncodedFields, String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let typed = Typed::read(&words).map_err(|error| error.to_string())?;
        typed.encode(&fields()).map_err(|error| error.to_string())
    }

    #[test]
    fn pairs_and_json_say_the_same() {
        let expected =
            Ok(vec![("name".to_owned(), b"Gouda".to_vec()), ("rating".to_owned(), b"7".to_vec())]);
        assert_eq!(encode(&["rating=7", "name=Gouda"]), expected);
        assert_eq!(encode(&["{\"rating\": 7, \"name\": \"Gouda\"}"]), expected);
    }

    #[test]
    fn a_value_may_hold_an_equals_sign_or_nothing() {
        let encoded = encode(&["name=a=b", "rating=1"]).unwrap();
        assert_eq!(encoded[0].1, b"a=b");
        assert_eq!(encode(&["name=", "rating=1"]).unwrap()[0].1, b"");
    }

    #[test]
    fn lists_are_typed_in_json() {
        let encoded = encode(&["name=x", "rating=1", "tags=[\"a\",\"b\"]"]).unwrap();
        assert_eq!(encoded[2], ("tags".to_owned(), b"\0\x01a\0\x01b".to_vec()));
    }

    #[test]
    fn every_mistake_names_the_field() {
        let mistakes = [
            (vec!["nam=x", "rating=1"], "argument `nam`:"),
            (vec!["name=x"], "argument `rating`:"),
            (vec!["name=x", "rating=seven"], "argument `rating`:"),
            (vec!["name=x", "rating=300"], "argument `rating`:"),
            (vec!["name=x", "name=y"], "argument `name`: it is given twice"),
            (
                vec![r#"{"name": "x", "rating": 1, "name": "y"}"#],
                "argument `name`: it is given twice",
            ),
            (
                vec!["name=x", "rating=1", r#"makers=[{"since": "1", "since": "2"}]"#],
                "argument `makers[0].since`: it is given twice",
            ),
        ];
        for (words, start) in mistakes {
            let error = encode(&words).unwrap_err();
            assert!(error.starts_with(start), "{words:?}: {error}");
        }
        let error = encode(&["nam=x", "name=y", "rating=1"]).unwrap_err();
        assert!(error.contains("did you mean `name`?"), "{error}");
    }

    #[test]
    fn words_without_a_key_are_refused() {
        assert_eq!(encode(&["Gouda"]).unwrap_err(), "`Gouda` is not KEY=VALUE");
        assert_eq!(encode(&["=Gouda"]).unwrap_err(), "`=Gouda` is not KEY=VALUE");
        assert!(encode(&["{"]).unwrap_err().starts_with("the arguments are not JSON"));
        assert!(encode(&["[1]"]).unwrap_err().contains("not a JSON object"));
    }
}
