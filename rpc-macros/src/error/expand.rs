//! Writes `CommandError`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Fields, Ident, LitStr};

use super::parse::{Code, ErrorEnum, Variant};

/// A variant that was found to be in order.
struct Declared<'a> {
    ident: &'a Ident,
    code: &'a LitStr,
    fatal: bool,
    described: bool,
}

/// The whole of `CommandError`.
pub(super) fn expand(input: &ErrorEnum<'_>) -> TokenStream {
    let ErrorEnum { root, ident, .. } = input;
    let variants = input.variants.iter().filter_map(declared).collect::<Vec<_>>();
    let schemas = variants.iter().map(
        |Declared { code, fatal, .. }| quote!(#root::ErrorSchema { code: #code, fatal: #fatal }),
    );
    let codes = schemas.clone();
    let patterns = variants.iter().map(|Declared { ident, described, .. }| {
        if *described { quote!(Self::#ident(_)) } else { quote!(Self::#ident) }
    });
    let from_codes = variants.iter().map(|Declared { ident, code, described, .. }| {
        let value = described.then(|| quote!((::core::convert::Into::into(description))));
        quote!(#code => ::core::option::Option::Some(Self::#ident #value))
    });
    let wire_description = wire_description(input, &variants);
    // A name that is never used would be a warning in the user's crate.
    let any_described = variants.iter().any(|variant| variant.described);
    let description = if any_described { quote!(description) } else { quote!(_) };
    quote! {
        #[automatically_derived]
        impl #root::CommandError for #ident {
            const CODES: &'static [#root::ErrorSchema] = &[#(#codes),*];

            fn code(&self) -> #root::ErrorSchema {
                match *self {
                    #(#patterns => #schemas,)*
                }
            }

            #wire_description

            fn from_code(
                code: &::core::primitive::str,
                #description: &::core::primitive::str,
            ) -> ::core::option::Option<Self> {
                match code {
                    #(#from_codes,)*
                    _ => ::core::option::Option::None,
                }
            }
        }
    }
}

/// Errors with a `String` send it as it is; the others send what they display, which is what the
/// trait does by itself.
fn wire_description(input: &ErrorEnum<'_>, variants: &[Declared<'_>]) -> Option<TokenStream> {
    let root = &input.root;
    let (described, plain): (Vec<_>, Vec<_>) =
        variants.iter().partition(|variant| variant.described);
    let described = described.iter().map(|variant| variant.ident).collect::<Vec<_>>();
    if described.is_empty() {
        return None;
    }
    let plain = plain.iter().map(|variant| variant.ident).collect::<Vec<_>>();
    let displayed = (!plain.is_empty())
        .then(|| quote!(#(Self::#plain)|* => #root::__private::ToString::to_string(self),));
    Some(quote! {
        fn wire_description(&self) -> #root::__private::String {
            match self {
                #(Self::#described(description))|* => ::core::clone::Clone::clone(description),
                #displayed
            }
        }
    })
}

fn declared<'a>(variant: &'a Variant<'a>) -> Option<Declared<'a>> {
    let Code::Given { code, fatal } = &variant.code else {
        return None;
    };
    let described = matches!(variant.fields, Fields::Unnamed(_));
    Some(Declared { ident: variant.ident, code, fatal: *fatal, described })
}
