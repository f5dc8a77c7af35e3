//! `#[responders]` on an `impl` block, and `#[responder]` on its methods.

mod check;
mod expand;
mod parse;

use proc_macro2::{Span, TokenStream};
use quote::quote;

pub(crate) use self::expand::{implementation, table};
pub(crate) use self::parse::{Block, written};
use crate::errors::Errors;
use crate::fallback;

/// Keeps the block, and writes `Responder` for each marked method and `ResponderTable`.
pub(crate) fn expand(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let root = parse::options(options, &mut errors);
    let block = match parse::block(item.clone()) {
        Ok(block) => block,
        Err(error) => {
            errors.push(error);
            return errors.choose(TokenStream::new, || item);
        }
    };
    let parsed = parse::parse(root, block, &mut errors);
    check::check(&parsed, &mut errors);
    let item = &parsed.item;
    let written = errors.choose(|| expand::expand(&parsed), || fallback::responders(&parsed));
    quote! {
        #item
        #written
    }
}

/// `#[responder]` where there is no `#[responders]` around it.
pub(crate) fn stray(item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    errors.at_span(
        Span::call_site(),
        "`#[responder]` marks a method of an `impl` block that has `#[responders]` before it",
    );
    errors.choose(TokenStream::new, || item)
}
