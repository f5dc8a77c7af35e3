//! Writes `Arguments` and `ListItem`.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{Generics, Ident, parse_quote};

use super::parse::{Field, Struct};

/// `Arguments` and `ListItem`.
pub(super) fn expand(input: &Struct<'_>) -> TokenStream {
    let Struct { root, ident, .. } = input;
    let arguments = expand_arguments(input);
    let generics = bounded(input);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    quote! {
        #arguments

        #[automatically_derived]
        impl #impl_generics #root::ListItem for #ident #type_generics #where_clause {
            const LIST_TYPE: #root::ArgumentType =
                #root::ArgumentType::Boxes(<Self as #root::Arguments>::FIELDS);

            fn encode_list(
                items: &[Self],
                out: &mut #root::__private::Vec<u8>,
            ) -> ::core::result::Result<(), #root::EncodeError> {
                #root::__private::encode_boxes(items, out)
            }

            fn decode_list(
                value: #root::Value<'_>,
            ) -> ::core::result::Result<#root::__private::Vec<Self>, #root::ValueError> {
                #root::__private::decode_boxes(value)
            }
        }
    }
}

/// `Arguments` alone.
pub(crate) fn expand_arguments(input: &Struct<'_>) -> TokenStream {
    let Struct { root, ident, .. } = input;
    let fields = input.fields();
    let generics = bounded(input);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let schemas = fields.iter().map(|field| schema(input, field));
    let puts = in_wire_order(fields).into_iter().map(|field| {
        let Field { ident, ty, .. } = field;
        let key = field.key();
        quote!(<#ty as #root::Parameter>::put(&self.#ident, #key, out)?;)
    });
    let hints = fields.iter().map(|field| {
        let Field { ident, ty, .. } = field;
        quote!(<#ty as #root::Parameter>::bytes_hint(&self.#ident))
    });
    let takes = fields.iter().map(|field| {
        let Field { ident, ty, .. } = field;
        let key = field.key();
        quote!(#ident: <#ty as #root::Parameter>::take(#key, fields)?)
    });
    // A name that is never used would be a warning in the user's crate.
    let out = if fields.is_empty() { quote!(_) } else { quote!(out) };
    let source = if fields.is_empty() { quote!(_) } else { quote!(fields) };
    quote! {
        #[automatically_derived]
        impl #impl_generics #root::Arguments for #ident #type_generics #where_clause {
            const FIELDS: &'static [#root::FieldSchema] = &[#(#schemas),*];

            fn encode(
                &self,
                #out: &mut #root::BoxWriter<'_>,
            ) -> ::core::result::Result<(), #root::EncodeError> {
                #(#puts)*
                ::core::result::Result::Ok(())
            }

            fn bytes_hint(&self) -> ::core::primitive::usize {
                0 #(+ #hints)*
            }

            fn decode(
                #source: &#root::Fields<'_>,
            ) -> ::core::result::Result<Self, #root::DecodeError> {
                ::core::result::Result::Ok(Self { #(#takes),* })
            }
        }
    }
}

fn schema(input: &Struct<'_>, field: &Field<'_>) -> TokenStream {
    let root = &input.root;
    let Field { ty, doc, .. } = field;
    let key = field.key();
    quote! {
        #root::FieldSchema {
            name: #key,
            doc: #doc,
            kind: <#ty as #root::Parameter>::TYPE,
            optional: <#ty as #root::Parameter>::OPTIONAL,
        }
    }
}

/// Every AMP sender writes keys in ascending order of their bytes.
fn in_wire_order<'a, 'b>(fields: &'b [Field<'a>]) -> Vec<&'b Field<'a>> {
    let mut sorted = fields.iter().collect::<Vec<_>>();
    sorted.sort_by_key(|field| field.key().into_bytes());
    sorted
}

/// The generics of the struct, with what its parameters have to be for the struct to travel.
///
/// Only types that name a parameter are bounded: a bound on any other would hold or fail for good,
/// and is checked where the type is used.
fn bounded(input: &Struct<'_>) -> Generics {
    let root = &input.root;
    let mut generics = input.generics.clone();
    let params = generics.type_params().map(|param| param.ident.clone()).collect::<Vec<_>>();
    if params.is_empty() {
        return generics;
    }
    let where_clause = generics.make_where_clause();
    for param in &params {
        where_clause.predicates.push(parse_quote!(#param: ::core::marker::Send + 'static));
    }
    for Field { ty, .. } in input.fields() {
        if names_one_of(ty.to_token_stream(), &params) {
            where_clause.predicates.push(parse_quote!(#ty: #root::Parameter));
        }
    }
    generics
}

fn names_one_of(tokens: TokenStream, params: &[Ident]) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => names_one_of(group.stream(), params),
        TokenTree::Ident(ident) => params.contains(&ident),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}
