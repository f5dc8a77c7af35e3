//! Which enums can be a choice.

use syn::Fields;

use super::parse::{ChoiceEnum, Variant, Word};
use crate::errors::Errors;
use crate::wire_name;

/// Finds everything that keeps the enum from being a choice.
pub(super) fn check(input: &ChoiceEnum<'_>, errors: &mut Errors) {
    for param in &input.generics.params {
        errors.at(param, "a choice is one of a few words, and they have no parameters");
    }
    let Some(variants) = &input.variants else {
        return;
    };
    if variants.is_empty() {
        errors.at(input.ident, "a choice needs at least one variant to choose");
    }
    for (index, variant) in variants.iter().enumerate() {
        check_word(variant, variants.get(..index).unwrap_or_default(), errors);
        if !matches!(variant.fields, Fields::Unit) {
            errors.at(variant.fields, "only a word crosses the wire, so a variant holds nothing");
        }
    }
}

fn check_word(variant: &Variant<'_>, earlier: &[Variant<'_>], errors: &mut Errors) {
    let ident = variant.ident;
    let word = match &variant.word {
        Word::Given(word) => word,
        Word::Unreadable => return,
        Word::Missing => {
            let guess = wire_name::words(ident, "-");
            errors.at(
                ident,
                format_args!(
                    "`{ident}` needs the word that it is on the wire, such as \
                     `#[wire(\"{guess}\")]`"
                ),
            );
            return;
        }
    };
    let text = word.value();
    if text.is_empty() {
        errors.at(word, "a word cannot be empty; a field that may be missing is an `Option`");
    } else if let Some(double) =
        earlier.iter().find(|earlier| earlier.text().as_ref() == Some(&text))
    {
        errors.at(word, format_args!("the word `{text}` belongs to `{}` already", double.ident));
    }
}

impl Variant<'_> {
    fn text(&self) -> Option<String> {
        match &self.word {
            Word::Given(word) => Some(word.value()),
            Word::Missing | Word::Unreadable => None,
        }
    }
}
