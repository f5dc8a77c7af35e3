//! Reads an enum and the codes of its variants.

use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Data, DeriveInput, Fields, Generics, Ident, LitStr, Meta, Path, Token};

use crate::attributes;
use crate::errors::Errors;

/// An enum whose variants are codes on the wire.
pub(crate) struct ErrorEnum<'a> {
    pub(crate) root: Path,
    pub(crate) ident: &'a Ident,
    pub(crate) generics: &'a Generics,
    pub(super) variants: Vec<Variant<'a>>,
}

/// One declared error.
pub(super) struct Variant<'a> {
    pub(super) ident: &'a Ident,
    pub(super) fields: &'a Fields,
    pub(super) code: Code,
}

/// What `#[code(…)]` says.
pub(super) enum Code {
    Given {
        code: LitStr,
        fatal: bool,
    },
    /// Not a word of it.
    Missing,
    /// Something that was reported already.
    Unreadable,
}

/// Reads the input of the derive.
pub(super) fn parse<'a>(input: &'a DeriveInput, errors: &mut Errors) -> ErrorEnum<'a> {
    const NEEDS: &str = "declared errors are the variants of an enum, each with its code";
    let DeriveInput { attrs, ident, generics, data, .. } = input;
    let root = attributes::root(attrs, errors);
    let mut variants = Vec::new();
    match data {
        Data::Enum(data) => {
            variants.extend(data.variants.iter().map(|variant| {
                let syn::Variant { attrs, ident, fields, .. } = variant;
                Variant { ident, fields, code: read_code(attrs, errors) }
            }));
        }
        Data::Struct(data) => errors.at(data.struct_token, NEEDS),
        Data::Union(data) => errors.at(data.union_token, NEEDS),
    }
    ErrorEnum { root, ident, generics, variants }
}

fn read_code(attrs: &[Attribute], errors: &mut Errors) -> Code {
    const FORM: &str = "write `#[code(\"SOME_CODE\")]`, or `#[code(\"SOME_CODE\", fatal)]`";
    let mut attrs = attrs.iter().filter(|attr| attr.path().is_ident("code"));
    let Some(attr) = attrs.next() else {
        return Code::Missing;
    };
    for second in attrs {
        errors.at(second, "a variant has one code, and this is the second");
    }
    let Meta::List(_) = &attr.meta else {
        errors.at(attr, FORM);
        return Code::Unreadable;
    };
    match errors.keep(attr.parse_args::<Arguments>()) {
        Some(Arguments { code, fatal }) => Code::Given { code, fatal },
        None => Code::Unreadable,
    }
}

/// `"SOME_CODE"` or `"SOME_CODE", fatal`.
struct Arguments {
    code: LitStr,
    fatal: bool,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let code = input.parse()?;
        let mut fatal = false;
        if input.parse::<Option<Token![,]>>()?.is_some() && !input.is_empty() {
            let word = input.parse::<Ident>()?;
            if word != "fatal" {
                return Err(syn::Error::new_spanned(
                    word,
                    "after its code an error can say `fatal`, which closes the connection",
                ));
            }
            fatal = true;
            input.parse::<Option<Token![,]>>()?;
        }
        Ok(Self { code, fatal })
    }
}
