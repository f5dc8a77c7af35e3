//! Names that cross the wire: which ones can, and which are taken.

use syn::Ident;
use syn::ext::IdentExt;

/// Why a name cannot be a key, or nothing.
pub(crate) fn key_mistake(key: &str) -> Option<String> {
    const RESERVED: [&str; 6] =
        ["_ask", "_answer", "_command", "_error", "_error_code", "_error_description"];
    if let Some(mistake) = name_mistake(key, "key") {
        return Some(mistake);
    }
    if RESERVED.contains(&key) {
        return Some(format!("`{key}` is one of AMP's own keys"));
    }
    key.starts_with('_').then(|| {
        format!("`{key}` begins with `_`, and such keys are kept for the protocol's own use")
    })
}

/// Whether `key` is what the second or a later part of a long value of `first` stands under.
pub(crate) fn is_part_of(key: &str, first: &str) -> bool {
    let number = key.strip_prefix(first).and_then(|rest| rest.strip_prefix('.'));
    number.is_some_and(|digits| {
        let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
        is_number && !digits.is_empty() && !digits.starts_with('0') && digits != "1"
    })
}

/// Why a name cannot be a command's name, or nothing.
pub(crate) fn command_mistake(name: &str) -> Option<String> {
    name_mistake(name, "command's name")
}

/// Why a code cannot stand for a declared error, or nothing.
pub(crate) fn code_mistake(code: &str) -> Option<String> {
    const TAKEN: [(&str, &str); 8] = [
        ("UNKNOWN", "an error that is not declared"),
        ("UNHANDLED", "a command that nobody answers"),
        ("OVERLOADED", "a command that was not begun, because too many are running"),
        ("CANCELLED", "a command that nobody waits for any more"),
        ("DEADLINE_EXCEEDED", "a command that took longer than the caller waits"),
        ("STREAM_NEEDED", "a command that is called with a stream, and was not"),
        ("ONCE_EXPIRED", "a call whose id is older than what is remembered"),
        ("ONCE_REUSED", "a call whose id belongs to another one"),
    ];
    let taken = TAKEN.iter().find(|(taken, _)| *taken == code);
    let taken =
        taken.map(|(code, meaning)| format!("the code `{code}` is taken: it stands for {meaning}"));
    name_mistake(code, "code").or(taken)
}

/// The words of a variant's name in lower case, for a name on the wire to suggest.
pub(crate) fn words(ident: &Ident, between: &str) -> String {
    let mut words = String::new();
    for letter in ident.unraw().to_string().chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push_str(between);
        }
        words.extend(letter.to_lowercase());
    }
    words
}

fn name_mistake(name: &str, what: &str) -> Option<String> {
    const BYTES_MAX: usize = 255;
    if name.is_empty() {
        return Some(format!("a {what} cannot be empty"));
    }
    if !name.is_ascii() {
        return Some(format!("a {what} is written in ASCII, and `{name}` is not"));
    }
    let bytes = name.len();
    (bytes > BYTES_MAX)
        .then(|| format!("a {what} has at most {BYTES_MAX} bytes, and this one has {bytes}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_long_value_goes_on_under_is_no_key_of_another() {
        for key in ["a.2", "a.10", "a.3141"] {
            assert!(is_part_of(key, "a"), "{key}");
        }
        for key in ["a", "a.", "a.1", "a.02", "a.b", "a.2b", "b.2", "ab.2", "a.2.2", "a.-2"] {
            assert!(!is_part_of(key, "a"), "{key}");
        }
    }
}
