//! `#[derive(CommandError)]`.

mod check;
mod expand;
mod parse;

use proc_macro2::TokenStream;
use syn::DeriveInput;

pub(crate) use self::parse::ErrorEnum;
use crate::errors::Errors;
use crate::fallback;

/// Writes `CommandError`.
pub(crate) fn derive(input: TokenStream) -> TokenStream {
    let input = match syn::parse2::<DeriveInput>(input) {
        Ok(input) => input,
        Err(error) => return error.into_compile_error(),
    };
    let mut errors = Errors::default();
    let parsed = parse::parse(&input, &mut errors);
    check::check(&parsed, &mut errors);
    errors.choose(|| expand::expand(&parsed), || fallback::command_error(&parsed))
}
