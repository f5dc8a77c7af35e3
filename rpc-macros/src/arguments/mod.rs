//! `#[derive(Arguments)]`, and the half of `#[derive(Command)]` that is about fields.

mod check;
mod expand;
mod parse;

use proc_macro2::TokenStream;
use syn::DeriveInput;

pub(crate) use self::check::check;
pub(crate) use self::expand::expand_arguments;
pub(crate) use self::parse::{Shape, Struct, parse};
use crate::errors::Errors;
use crate::fallback;

/// Writes `Arguments` and `ListItem`.
pub(crate) fn derive(input: TokenStream) -> TokenStream {
    let input = match syn::parse2::<DeriveInput>(input) {
        Ok(input) => input,
        Err(error) => return error.into_compile_error(),
    };
    let mut errors = Errors::default();
    let parsed = parse(&input, &mut errors);
    check(&parsed, &mut errors);
    errors.choose(|| expand::expand(&parsed), || fallback::arguments_in_lists(&parsed))
}
