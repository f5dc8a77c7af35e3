//! Writes `Argument`.

use proc_macro2::{Literal, TokenStream};
use quote::quote;
use syn::{Ident, LitStr};

use super::parse::{ChoiceEnum, Word};

/// The whole of `Argument`.
pub(super) fn expand(input: &ChoiceEnum<'_>) -> TokenStream {
    let ChoiceEnum { root, ident, .. } = input;
    let (variants, words) = words(input);
    let bytes = words.iter().map(|word| Literal::byte_string(word.value().as_bytes()));
    let read = bytes.clone();
    let expected = expected(&words);
    quote! {
        #[automatically_derived]
        impl #root::Argument for #ident {
            const TYPE: #root::ArgumentType = #root::ArgumentType::Choice(&[#(#words),*]);

            fn encode(
                &self,
                out: &mut #root::__private::Vec<u8>,
            ) -> ::core::result::Result<(), #root::EncodeError> {
                let word: &[u8] = match *self {
                    #(Self::#variants => #bytes,)*
                };
                out.extend_from_slice(word);
                ::core::result::Result::Ok(())
            }

            fn decode(
                value: #root::Value<'_>,
            ) -> ::core::result::Result<Self, #root::ValueError> {
                match value.bytes() {
                    #(#read => ::core::result::Result::Ok(Self::#variants),)*
                    found => {
                        ::core::result::Result::Err(#root::ValueError::malformed(#expected, found))
                    }
                }
            }
        }
    }
}

/// The variants that were found to be in order, and their words.
fn words<'a>(input: &'a ChoiceEnum<'a>) -> (Vec<&'a Ident>, Vec<&'a LitStr>) {
    let pairs = input.variants.iter().flatten().filter_map(|variant| match &variant.word {
        Word::Given(word) => Some((variant.ident, word)),
        Word::Missing | Word::Unreadable => None,
    });
    pairs.unzip()
}

/// `"on"`, `"on" or "off"`, `"on", "off" or "cycle"`.
fn expected(words: &[&LitStr]) -> String {
    let quoted = words.iter().map(|word| format!("{:?}", word.value())).collect::<Vec<_>>();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
