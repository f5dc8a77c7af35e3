//! `#[derive(Command)]`.

mod check;
mod expand;
mod parse;

use proc_macro2::TokenStream;
use syn::DeriveInput;

pub(crate) use self::parse::Declaration;
use crate::errors::Errors;
use crate::{arguments, fallback};

/// Writes `Arguments`, `Command`, `AnsweredBy` and `NoAnswer`.
pub(crate) fn derive(input: TokenStream) -> TokenStream {
    let input = match syn::parse2::<DeriveInput>(input) {
        Ok(input) => input,
        Err(error) => return error.into_compile_error(),
    };
    let mut errors = Errors::default();
    let fields = arguments::parse(&input, &mut errors);
    let declaration = parse::parse(&input, &mut errors);
    arguments::check(&fields, &mut errors);
    check::check(&fields, &declaration, &mut errors);
    errors.choose(
        || expand::expand(&fields, &declaration),
        || fallback::command(&fields, &declaration),
    )
}
