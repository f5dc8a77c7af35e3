//! Writes `Command`, `AnsweredBy` and `NoAnswer`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::Type;

use super::parse::{AnsweringRole, Declaration};
use crate::arguments::{Struct, expand_arguments};

/// Everything that makes the struct a command.
pub(super) fn expand(input: &Struct<'_>, declaration: &Declaration) -> TokenStream {
    let Struct { root, ident, .. } = input;
    let arguments = expand_arguments(input);
    let command = expand_command(input, declaration);
    let answered_by = roles(declaration).map(|role| {
        quote! {
            #[automatically_derived]
            impl #root::AnsweredBy<#root::#role> for #ident {}
        }
    });
    let no_answer = declaration.no_answer.map(|()| {
        quote! {
            #[automatically_derived]
            impl #root::NoAnswer for #ident {}
        }
    });
    let streaming = declaration.streams(root).map(|(takes, gives)| {
        quote! {
            #[automatically_derived]
            impl #root::Streaming for #ident {
                type Takes = #takes;
                type Gives = #gives;
            }
        }
    });
    quote! {
        #arguments
        #command
        #(#answered_by)*
        #no_answer
        #streaming
    }
}

fn expand_command(input: &Struct<'_>, declaration: &Declaration) -> TokenStream {
    let Struct { root, ident, .. } = input;
    let Declaration { doc, .. } = declaration;
    let (response, errors) = declaration.outcome(root);
    let name = declaration.name.text();
    let takes = items(root, declaration.takes.as_ref(), "takes_fields");
    let gives = items(root, declaration.gives.as_ref(), "gives_fields");
    let roles = roles(declaration);
    let requires_answer = declaration.no_answer.is_none();
    let afterwards = declaration
        .afterwards
        .as_ref()
        .map(|variant| quote!(const AFTERWARDS: #root::Afterwards = #root::Afterwards::#variant;));
    quote! {
        #[automatically_derived]
        impl #root::Command for #ident {
            type Response = #response;
            type Error = #errors;
            const NAME: &'static str = #name;
            const SCHEMA: #root::CommandSchema = #root::CommandSchema {
                name: <Self as #root::Command>::NAME,
                doc: #doc,
                answered_by: &[#(#root::RoleName::#roles),*],
                arguments: <Self as #root::Arguments>::FIELDS,
                response: #root::__private::response_fields::<Self>(),
                takes: #takes,
                gives: #gives,
                errors: #root::__private::error_codes::<Self>(),
                requires_answer: #requires_answer,
            };
            #afterwards
        }
    }
}

fn roles(declaration: &Declaration) -> impl Iterator<Item = Ident> {
    let roles = declaration.answered_by.iter().flatten();
    roles.map(|AnsweringRole { role, .. }| Ident::new(role.as_str(), Span::call_site()))
}

/// The fields of what flows in a stream, if anything does. `fields` knows them.
fn items(root: &impl ToTokens, ty: Option<&Type>, fields: &str) -> TokenStream {
    let fields = Ident::new(fields, Span::call_site());
    match ty {
        Some(_) => quote!(::core::option::Option::Some(#root::__private::#fields::<Self>())),
        None => quote!(::core::option::Option::None),
    }
}

impl Declaration {
    /// The types of what the command takes and gives in streams, if it has any.
    pub(crate) fn streams(&self, root: &impl ToTokens) -> Option<(TokenStream, TokenStream)> {
        let (takes, gives) = (self.takes.as_ref(), self.gives.as_ref());
        let or_never =
            |ty: Option<&Type>| ty.map_or_else(|| quote!(#root::Never), |ty| quote!(#ty));
        (takes.is_some() || gives.is_some()).then(|| (or_never(takes), or_never(gives)))
    }

    /// The types of the response and of the errors, as given or by default.
    pub(crate) fn outcome(&self, root: &impl ToTokens) -> (TokenStream, TokenStream) {
        let response = self.response.as_ref().map_or_else(|| quote!(()), |ty| quote!(#ty));
        let errors = self.errors.as_ref().map_or_else(|| quote!(#root::Never), |ty| quote!(#ty));
        (response, errors)
    }
}
