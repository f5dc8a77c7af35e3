//! What is written after a mistake: implementations without content, so that the mistake is the
//! only thing that the compiler talks about. None of this ever runs.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Generics, Type, parse_quote};

use crate::arguments::Struct;
use crate::choice::ChoiceEnum;
use crate::command::Declaration;
use crate::error::ErrorEnum;
use crate::responders::{Block, implementation, table, written};

/// In place of `#[derive(Arguments)]`.
pub(crate) fn arguments_in_lists(input: &Struct<'_>) -> TokenStream {
    let Struct { root, ident, generics, .. } = input;
    let arguments = arguments(input);
    let generics = long_lived(generics, &quote!(Self: ::core::marker::Send));
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    quote! {
        #arguments

        impl #impl_generics #root::ListItem for #ident #type_generics #where_clause {
            const LIST_TYPE: #root::ArgumentType = #root::ArgumentType::Boxes(&[]);

            fn encode_list(
                _: &[Self],
                _: &mut #root::__private::Vec<u8>,
            ) -> ::core::result::Result<(), #root::EncodeError> {
                ::core::unreachable!()
            }

            fn decode_list(
                _: #root::Value<'_>,
            ) -> ::core::result::Result<#root::__private::Vec<Self>, #root::ValueError> {
                ::core::unreachable!()
            }
        }
    }
}

fn arguments(input: &Struct<'_>) -> TokenStream {
    let Struct { root, ident, generics, .. } = input;
    let generics = long_lived(generics, &quote!(Self: ::core::marker::Send));
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    quote! {
        impl #impl_generics #root::Arguments for #ident #type_generics #where_clause {
            const FIELDS: &'static [#root::FieldSchema] = &[];

            fn encode(
                &self,
                _: &mut #root::BoxWriter<'_>,
            ) -> ::core::result::Result<(), #root::EncodeError> {
                ::core::unreachable!()
            }

            fn decode(
                _: &#root::Fields<'_>,
            ) -> ::core::result::Result<Self, #root::DecodeError> {
                ::core::unreachable!()
            }
        }
    }
}

/// In place of `#[derive(Command)]`. It is answered by everyone, and its outcome is what the
/// declaration says, as far as it was understood.
pub(crate) fn command(input: &Struct<'_>, declaration: &Declaration) -> TokenStream {
    let Struct { root, ident, generics, .. } = input;
    let generics = long_lived(generics, &quote!(Self: ::core::marker::Send));
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let arguments = arguments(input);
    let (response, errors) = declaration.outcome(root);
    let streaming = declaration.streams(root).map(|(takes, gives)| {
        quote! {
            impl #impl_generics #root::Streaming for #ident #type_generics #where_clause {
                type Takes = #takes;
                type Gives = #gives;
            }
        }
    });
    quote! {
        #arguments

        impl #impl_generics #root::Command for #ident #type_generics #where_clause {
            type Response = #response;
            type Error = #errors;
            const NAME: &'static str = "";
            const SCHEMA: #root::CommandSchema = #root::CommandSchema {
                name: "",
                doc: "",
                answered_by: &[],
                arguments: &[],
                response: &[],
                takes: ::core::option::Option::None,
                gives: ::core::option::Option::None,
                errors: &[],
                requires_answer: true,
            };
        }

        impl #impl_generics #root::AnsweredBy<#root::Region> for #ident #type_generics
        #where_clause {}

        impl #impl_generics #root::AnsweredBy<#root::Cluster> for #ident #type_generics
        #where_clause {}

        impl #impl_generics #root::NoAnswer for #ident #type_generics #where_clause {}

        #streaming
    }
}

/// In place of `#[derive(CommandError)]`.
pub(crate) fn command_error(input: &ErrorEnum<'_>) -> TokenStream {
    let ErrorEnum { root, ident, generics, .. } = input;
    let bounds = quote!(Self: ::core::error::Error + ::core::marker::Send);
    let generics = long_lived(generics, &bounds);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    quote! {
        impl #impl_generics #root::CommandError for #ident #type_generics #where_clause {
            const CODES: &'static [#root::ErrorSchema] = &[];

            fn code(&self) -> #root::ErrorSchema {
                ::core::unreachable!()
            }

            fn from_code(
                _: &::core::primitive::str,
                _: &::core::primitive::str,
            ) -> ::core::option::Option<Self> {
                ::core::unreachable!()
            }
        }
    }
}

/// In place of `#[derive(Choice)]`.
pub(crate) fn choice(input: &ChoiceEnum<'_>) -> TokenStream {
    let ChoiceEnum { root, ident, generics, .. } = input;
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    quote! {
        impl #impl_generics #root::Argument for #ident #type_generics #where_clause {
            const TYPE: #root::ArgumentType = #root::ArgumentType::Choice(&[]);

            fn encode(
                &self,
                _: &mut #root::__private::Vec<u8>,
            ) -> ::core::result::Result<(), #root::EncodeError> {
                ::core::unreachable!()
            }

            fn decode(
                _: #root::Value<'_>,
            ) -> ::core::result::Result<Self, #root::ValueError> {
                ::core::unreachable!()
            }
        }
    }
}

/// In place of what `#[responders]` writes: every command that a marked method takes has its
/// responder, whether or not the method is in order.
pub(crate) fn responders(block: &Block) -> TokenStream {
    if block.item.trait_.is_some() || block.item.generics.lifetimes().next().is_some() {
        return TokenStream::new();
    }
    let bounds = quote!(Self: ::core::marker::Send + ::core::marker::Sync);
    let generics = long_lived(&block.item.generics, &bounds);
    let body = quote!(::core::unreachable!());
    let mut seen = Vec::new();
    let responders = block.methods.iter().filter_map(|method| {
        let command = match method.command()? {
            Type::Reference(ty) => &ty.elem,
            command => command,
        };
        let text = written(command);
        if seen.contains(&text) {
            return None;
        }
        seen.push(text);
        Some(implementation(block, &generics, method, command, &quote!(_), &body))
    });
    let responders = responders.collect::<TokenStream>();
    let table = table(block, &generics, core::iter::empty());
    quote! {
        #responders
        #table
    }
}

/// The generics of a type that may be refused for having any, with bounds that let the traits be
/// implemented all the same.
fn long_lived(generics: &Generics, bounds: &TokenStream) -> Generics {
    let mut generics = generics.clone();
    if generics.params.is_empty() {
        return generics;
    }
    let lifetimes = generics.lifetimes().map(|param| param.lifetime.clone()).collect::<Vec<_>>();
    let where_clause = generics.make_where_clause();
    for lifetime in lifetimes {
        where_clause.predicates.push(parse_quote!(#lifetime: 'static));
    }
    where_clause.predicates.push(parse_quote!(#bounds + 'static));
    generics
}
