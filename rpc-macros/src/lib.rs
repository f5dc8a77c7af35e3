//! Derives.
use proc_macro::TokenStream;
/// c
#[proc_macro_derive(Command, attributes(command, amp))]
pub fn derive_command(_: TokenStream) -> TokenStream { TokenStream::new() }
/// a
#[proc_macro_derive(Arguments, attributes(amp))]
pub fn derive_arguments(_: TokenStream) -> TokenStream { TokenStream::new() }
/// e
#[proc_macro_derive(CommandError, attributes(code, amp))]
pub fn derive_command_error(_: TokenStream) -> TokenStream { TokenStream::new() }
/// ch
#[proc_macro_derive(Choice, attributes(wire, amp))]
pub fn derive_choice(_: TokenStream) -> TokenStream { TokenStream::new() }
/// r
#[proc_macro_attribute]
pub fn responders(_: TokenStream, item: TokenStream) -> TokenStream { item }
