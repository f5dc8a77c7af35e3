//! What every macro writes, as it should be: `golden/*.expanded.rs`.
//!
//! `GOLDEN=overwrite cargo test -p rpc-macros --lib` writes the files anew.

use std::path::Path;
use std::{env, fs};

use proc_macro2::TokenStream;
use syn::{Attribute, Item};

use crate::{arguments, choice, command, error, responders};

#[test]
fn arguments_are_expanded_as_written_down() {
    compare("arguments", arguments::derive);
}

#[test]
fn commands_are_expanded_as_written_down() {
    compare("command", command::derive);
}

#[test]
fn errors_are_expanded_as_written_down() {
    compare("command_error", error::derive);
}

#[test]
fn choices_are_expanded_as_written_down() {
    compare("choice", choice::derive);
}

#[test]
fn responders_are_expanded_as_written_down() {
    compare("responders", |block| responders::expand(TokenStream::new(), block));
}

#[test]
fn a_mistake_is_followed_by_implementations_without_content() {
    compare("fallback", command::derive);
}

#[test]
fn with_another_crate_nothing_names_ours() {
    let written = [
        arguments::derive(quote::quote! {
            #[amp(crate = crate::vendored)]
            struct Rating { stars: u8 }
        }),
        command::derive(quote::quote! {
            #[command(answered_by = any, no_answer)]
            #[amp(crate = crate::vendored)]
            struct Rate { stars: u8 }
        }),
        error::derive(quote::quote! {
            #[amp(crate = crate::vendored)]
            enum RatingError { #[code("TOO_LATE")] TooLate(String), #[code("EARLY")] Early }
        }),
        choice::derive(quote::quote! {
            #[amp(crate = crate::vendored)]
            enum Stars { #[wire("one")] One }
        }),
        responders::expand(
            quote::quote!(crate = crate::vendored),
            quote::quote! {
                impl Critic {
                    #[responder]
                    async fn rate(&self, rate: Rate, peer: &Peer) -> Result<(), Never> { Ok(()) }
                }
            },
        ),
        command::derive(quote::quote! {
            #[amp(crate = crate::vendored)]
            struct Mistaken { _ask: u8 }
        }),
    ];
    for written in written {
        let written = written.to_string();
        assert!(!written.contains("amp_proto"), "{written}");
        assert!(!written.contains(":: std") && !written.contains(":: alloc"), "{written}");
    }
}

/// Expands `golden/{name}.input.rs` and compares with `golden/{name}.expanded.rs`.
fn compare(name: &str, expand: impl FnOnce(TokenStream) -> TokenStream) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/golden");
    let input = fs::read_to_string(folder.join(format!("{name}.input.rs"))).unwrap();
    let expanded = syn::parse2(expand(without_macro(&input))).unwrap();
    let expanded = prettyplease::unparse(&expanded);
    let golden = folder.join(format!("{name}.expanded.rs"));
    if env::var_os("GOLDEN").is_some_and(|wish| wish == "overwrite") {
        fs::write(&golden, &expanded).unwrap();
    }
    let golden = fs::read_to_string(&golden).unwrap_or_default();
    assert_eq!(expanded, golden, "to accept this, set GOLDEN=overwrite");
}

/// The item that the macro sees: the compiler takes the macro's own attribute away.
fn without_macro(input: &str) -> TokenStream {
    let mut item = syn::parse_str::<Item>(input).unwrap();
    let is_macro =
        |attr: &Attribute| ["derive", "responders"].iter().any(|name| attr.path().is_ident(name));
    match &mut item {
        Item::Enum(item) => item.attrs.retain(|attr| !is_macro(attr)),
        Item::Impl(item) => item.attrs.retain(|attr| !is_macro(attr)),
        Item::Struct(item) => item.attrs.retain(|attr| !is_macro(attr)),
        _ => {}
    }
    quote::quote!(#item)
}
