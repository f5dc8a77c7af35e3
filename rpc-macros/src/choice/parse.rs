//! Reads an enum and the words of its variants.

use syn::{Attribute, Data, DeriveInput, Fields, Generics, Ident, LitStr, Meta, Path};

use crate::attributes;
use crate::errors::Errors;

/// An enum whose variants are words on the wire.
pub(crate) struct ChoiceEnum<'a> {
    pub(crate) root: Path,
    pub(crate) ident: &'a Ident,
    pub(crate) generics: &'a Generics,
    /// `None` if it is no enum at all, which is reported already.
    pub(super) variants: Option<Vec<Variant<'a>>>,
}

/// One of the words.
pub(super) struct Variant<'a> {
    pub(super) ident: &'a Ident,
    pub(super) fields: &'a Fields,
    pub(super) word: Word,
}

/// What `#[wire(…)]` says.
pub(super) enum Word {
    Given(LitStr),
    /// Not a word of it.
    Missing,
    /// Something that was reported already.
    Unreadable,
}

/// Reads the input of the derive.
pub(super) fn parse<'a>(input: &'a DeriveInput, errors: &mut Errors) -> ChoiceEnum<'a> {
    const NEEDS: &str = "a choice is one of a few words, which are the variants of an enum";
    let DeriveInput { attrs, ident, generics, data, .. } = input;
    let root = attributes::root(attrs, errors);
    let mut variants = None;
    match data {
        Data::Enum(data) => {
            let read = data.variants.iter().map(|variant| {
                let syn::Variant { attrs, ident, fields, .. } = variant;
                Variant { ident, fields, word: read_word(attrs, errors) }
            });
            variants = Some(read.collect());
        }
        Data::Struct(data) => errors.at(data.struct_token, NEEDS),
        Data::Union(data) => errors.at(data.union_token, NEEDS),
    }
    ChoiceEnum { root, ident, generics, variants }
}

fn read_word(attrs: &[Attribute], errors: &mut Errors) -> Word {
    let mut attrs = attrs.iter().filter(|attr| attr.path().is_ident("wire"));
    let Some(attr) = attrs.next() else {
        return Word::Missing;
    };
    for second in attrs {
        errors.at(second, "a variant has one word, and this is the second");
    }
    let Meta::List(_) = &attr.meta else {
        errors.at(attr, "write `#[wire(\"word\")]`");
        return Word::Unreadable;
    };
    errors.keep(attr.parse_args::<LitStr>()).map_or(Word::Unreadable, Word::Given)
}
