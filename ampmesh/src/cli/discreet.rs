//! What is said of a command line that cannot be understood, without the tokens in it: whoever
//! pastes one twice, or in two lines, may be looked at, and has a log.

use std::error::Error as _;
use std::ffi::OsString;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue};

use super::Cli;

/// How tokens begin.
const TOKEN: &str = "ampjoin";
/// What is longer may be a part of a token.
const LETTERS_MAX: usize = 24;
const WITHHELD: &str = "…";

/// Takes out of an error what may be a token or a part of one. `words` is the command line: if it
/// has a token in it, nothing of it is shown that is no option.
pub(super) fn withhold(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let has_token = words.iter().any(|word| word.to_string_lossy().contains(TOKEN));
    let may_be_token = |text: &str| {
        let is_name = text.starts_with(['-', '<', '[']);
        text.contains(TOKEN) || !is_name && (has_token || text.chars().count() > LETTERS_MAX)
    };
    let replaced: Vec<_> = error
        .context()
        .filter(|(kind, _)| is_given(*kind))
        .filter_map(|(kind, value)| Some((kind, without(value, may_be_token)?)))
        .collect();
    if replaced.is_empty() {
        return error;
    }
    if repeats_value(&error) {
        error = without_reason(&error);
    }
    for (kind, value) in replaced {
        error.insert(kind, value);
    }
    // Advice repeats what it is about.
    error.insert(ContextKind::Suggested, ContextValue::None);
    error
}

/// Whether the reason for refusing a value has a word in it that is also in the value.
fn repeats_value(error: &clap::Error) -> bool {
    /// Fewer tell nothing.
    const LETTERS_MIN: usize = 4;
    let (Some(ContextValue::String(value)), Some(reason)) =
        (error.get(ContextKind::InvalidValue), error.source())
    else {
        return false;
    };
    let reason = reason.to_string();
    let words = reason.split(|letter: char| !letter.is_alphanumeric());
    words.filter(|word| word.len() >= LETTERS_MIN).any(|word| value.contains(word))
}

/// The error without what the parser of a value says of it, which may repeat parts of the value.
fn without_reason(error: &clap::Error) -> clap::Error {
    let mut bare = clap::Error::new(error.kind()).with_cmd(&Cli::command());
    for (kind, value) in error.context() {
        bare.insert(kind, value.clone());
    }
    bare
}

/// Whether it is something that was given, and not what would have been right.
fn is_given(kind: ContextKind) -> bool {
    matches!(
        kind,
        ContextKind::InvalidSubcommand
            | ContextKind::InvalidArg
            | ContextKind::InvalidValue
            | ContextKind::PriorArg
            | ContextKind::TrailingArg
    )
}

/// The value with everything withheld that has to be, if there is such a thing.
fn without(value: &ContextValue, has_to_be: impl Fn(&str) -> bool) -> Option<ContextValue> {
    let withheld = |text: &String| if has_to_be(text) { WITHHELD.to_owned() } else { text.clone() };
    match value {
        ContextValue::String(text) if has_to_be(text) => {
            Some(ContextValue::String(WITHHELD.to_owned()))
        }
        ContextValue::Strings(texts) if texts.iter().any(|text| has_to_be(text)) => {
            Some(ContextValue::Strings(texts.iter().map(withheld).collect()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const FIRST: &str = "ampjoin1qpvb5aaaabbbbccccddddeeeeffff";
    const SECOND: &str = "gggghhhhiiiijjjjkkkkllllmmmmnnnn";

    fn said(line: &str) -> String {
        let words: Vec<_> = line.split(' ').map(OsString::from).collect();
        parse(&words).unwrap_err().to_string()
    }

    #[test]
    fn no_part_of_a_token_is_repeated_wherever_it_stands() {
        for line in [
            format!("ampmesh join --data-dir k9 {FIRST}{SECOND} {FIRST}{SECOND}"),
            format!("ampmesh join {FIRST} {SECOND}"),
            format!("ampmesh join {FIRST} short"),
            format!("ampmesh join {FIRST} --uuid {SECOND}"),
            format!("ampmesh join {FIRST} --token={SECOND}"),
            format!("ampmesh join --{FIRST}"),
            format!("ampmesh join --{FIRST}={SECOND}"),
            format!("ampmesh join -K{FIRST}{SECOND}"),
            format!("ampmesh join --json={FIRST} x"),
            format!("ampmesh invite {FIRST}{SECOND}"),
            format!("ampmesh invite {SECOND}"),
            format!("ampmesh invite --expires {FIRST}"),
            format!("ampmesh {FIRST}"),
            format!("ampmesh {SECOND}"),
            format!("ampmesh join {FIRST} --name -{SECOND}"),
            format!("ampmesh --log-format {SECOND} join {FIRST}"),
            format!("ampmesh completions {SECOND}"),
        ] {
            let said = said(&line);
            for part in ["qpvb5", "aaaa", "gggg", "hhhh", "nnnn", "short"] {
                assert!(!said.contains(part), "{line}: {said}");
            }
        }
    }

    #[test]
    fn options_and_short_values_are_named_as_before() {
        let unknown = said("ampmesh region --start-tls-certificate-fil /c");
        assert!(unknown.contains("'--start-tls-certificate-fil' found"), "{unknown}");
        assert!(unknown.contains("'--start-tls-certificate-file'"), "{unknown}");
        assert!(said("ampmesh invite --expires soon").contains("'soon' for '--expires <TIME>'"));
        let long = said(&format!("ampmesh join t --name {}", "x".repeat(70)));
        assert!(long.contains("'…' for '--name <NAME>': a name is 1 to 63 letters"), "{long}");
        assert!(said("ampmesh lss").contains("unrecognized subcommand 'lss'"));
        assert!(said("ampmesh invite ampjoin1x").contains("unexpected argument '…' found"));
    }
}
