//! The derives and attributes of `amp-proto`.
//!
//! Use them through that crate's re-exports, where their documentation and examples are. Data is
//! derived, behaviour is a trait, and the attribute on an `impl` block only builds a table: what
//! is written here could be written by hand, and a block without its attributes is still your code.
//!
//! Every macro goes through the same three steps, each in a file of its own: `parse` reads what is
//! written and remembers where, `check` judges it, `expand` writes the code. Mistakes are collected
//! and reported together; after a mistake `fallback` writes implementations without content, so
//! that the rest of the program does not complain about the missing ones.

mod arguments;
mod attributes;
mod choice;
mod command;
mod docs;
mod error;
mod errors;
mod fallback;
#[cfg(test)]
mod golden;
mod responders;
mod wire_name;

use proc_macro::TokenStream;

/// Makes a struct something that can be asked: `Arguments`, `Command`, and `AnsweredBy` for every
/// role that answers it.
#[proc_macro_derive(Command, attributes(command, amp))]
pub fn derive_command(input: TokenStream) -> TokenStream {
    command::derive(input.into()).into()
}

/// Makes a struct a response, or a thing to put into a list: `Arguments` and `ListItem`.
#[proc_macro_derive(Arguments, attributes(amp))]
pub fn derive_arguments(input: TokenStream) -> TokenStream {
    arguments::derive(input.into()).into()
}

/// Gives the variants of an enum their codes on the wire: `CommandError`.
#[proc_macro_derive(CommandError, attributes(code, amp))]
pub fn derive_command_error(input: TokenStream) -> TokenStream {
    error::derive(input.into()).into()
}

/// Makes an enum without fields one of a few words on the wire: `Argument`.
#[proc_macro_derive(Choice, attributes(wire, amp))]
pub fn derive_choice(input: TokenStream) -> TokenStream {
    choice::derive(input.into()).into()
}

/// Writes a `Responder` for every method marked with `#[responder]`, and the `ResponderTable` of
/// the type. The block itself stays as it is.
#[proc_macro_attribute]
pub fn responders(options: TokenStream, block: TokenStream) -> TokenStream {
    responders::expand(options.into(), block.into()).into()
}

/// Marks a method inside a `#[responders]` block. Anywhere else it is a mistake, and says so.
#[proc_macro_attribute]
pub fn responder(_: TokenStream, item: TokenStream) -> TokenStream {
    responders::stray(item.into()).into()
}
