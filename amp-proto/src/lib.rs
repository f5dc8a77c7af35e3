//! AMP, the asynchronous messaging protocol of Twisted, without a socket, a clock or a thread.
//!
//! # The protocol in one page
//!
//! Two peers exchange *boxes*: keys and values, each with its length before it. A box with a
//! `_command` key is an *ask*: it names a command, carries its arguments under their names, and a
//! *tag* under `_ask`. The other side answers with a box that carries the tag under `_answer` and
//! the response beside it, or under `_error` with a code and a description. Both sides ask, any
//! number of asks are in flight, and answers come in any order. That is all of it.
//!
//! # The crate in one page
//!
//! - Commands are structs with [`derive@Command`]; their responses are structs with
//!   [`derive@Arguments`], their errors enums with [`derive@CommandError`]. An `impl` block with
//!   [`macro@responders`] answers them. The traits behind these are [`Command`], [`Arguments`],
//!   [`CommandError`] and [`Responder`].
//! - [`Argument`] gives a type its form on the wire; `argument` has one for every type of Twisted.
//! - [`Connection`] is the state machine: asks, tags, deadlines, answers. Its halves [`Inbound`]
//!   and [`Exchange`] are what a driver with sockets is built from; the crate `mesh` has one.
//! - [`AmpBox`], [`Scanner`], [`Fields`] and [`write_box`] are the wire itself.
//! - [`dynamic`] makes calls from descriptions and JSON; `BoxCodec` is the face for
//!   `tokio_util::codec`.
//!
//! Nothing here reads a clock or a socket: time comes in as [`Moment`]s, bytes as slices. The
//! crate is `no_std` and needs an allocator.
//!
//! # Features
//!
//! | feature | gives |
//! |---|---|
//! | `derive` (default) | the derives and attributes |
//! | `json` | `Json`, `Compressed`, and [`dynamic`] |
//! | `codec` | `BoxCodec` |
//! | `url` | `url::Url` as an argument |
#![cfg_attr(not(feature = "json"), allow(rustdoc::broken_intra_doc_links, reason = "`dynamic`"))]
#![cfg_attr(
    not(feature = "derive"),
    allow(rustdoc::broken_intra_doc_links, reason = "the derives")
)]
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod amp_box;
mod argument;
mod call_error;
pub mod checked_text;
#[cfg(feature = "codec")]
mod codec;
mod command;
mod connection;
#[cfg(feature = "json")]
pub mod dynamic;
mod error;
mod limits;
mod memory;
mod peer;
mod public_key;
mod responder;
mod responders;
mod role;
mod schema;
mod streaming;
#[cfg(test)]
mod tests;
mod wire;

pub use crate::amp_box::AmpBox;
pub use crate::argument::{AbsolutePath, Argument, DateTime, Decimal, Large, ListItem, Parameter};
#[cfg(feature = "json")]
pub use crate::argument::{Compressed, Json};
pub use crate::call_error::{CallError, response_of, stopped_as};
#[cfg(feature = "codec")]
pub use crate::codec::{BoxCodec, CodecError};
pub use crate::command::{
    Afterwards, AnsweredBy, Arguments, Command, CommandError, EncodeFields, Failure, Never,
    NoAnswer, PassedError,
};
pub use crate::connection::{
    Ask, AskEvent, AskId, AskRefused, AskResult, AskStopped, Assembled, Assembly, Connection,
    Exchange, Inbound, Incoming, ItemRefused, LargeBody, Lost, Metadata, Moment, SenderId,
    StreamId, StreamStopped,
};
pub use crate::error::{
    DecodeError, EncodeError, Escaped, LooksLike, OneLine, PeerMisbehaved, ValueError,
};
pub use crate::limits::{Limits, UnusableLimit};
pub use crate::memory::MemoryShare;
pub use crate::peer::{Authentication, Peer, PeerView};
pub use crate::public_key::{NotAKey, PublicKey};
pub use crate::responder::{Answered, Entry, Outcome, Refusal, Reply, Responder, ResponderTable};
pub use crate::responders::{Responders, TwoResponders};
pub use crate::role::{Cluster, Region, Role, RoleName};
pub use crate::schema::{ArgumentType, CommandSchema, ErrorSchema, FieldSchema};
pub use crate::streaming::{FromAsk, ItemSender, Items, ItemsFailed, StreamHost, Streaming};
pub use crate::wire::{
    BoxWriter, Fields, KEY_BYTES_MAX, ReceivedBox, Scanned, Scanner, Span, VALUE_BYTES_MAX, Value,
    WholeValue, WrittenFields, write_box,
};
#[cfg(feature = "derive")]
#[doc = include_str!("docs/arguments.md")]
pub use rpc_macros::Arguments;
#[cfg(feature = "derive")]
#[doc = include_str!("docs/choice.md")]
pub use rpc_macros::Choice;
#[cfg(feature = "derive")]
#[doc = include_str!("docs/command.md")]
pub use rpc_macros::Command;
#[cfg(feature = "derive")]
#[doc = include_str!("docs/command_error.md")]
pub use rpc_macros::CommandError;
#[cfg(feature = "derive")]
#[doc = include_str!("docs/responders.md")]
pub use rpc_macros::{responder, responders};

/// What the macros of `rpc-macros` write code against. Not for people.
#[doc(hidden)]
pub mod __private {
    pub use crate::argument::{decode_boxes, encode_boxes};
    pub use crate::command::{error_codes, response_fields};
    pub use crate::responder::{Answer, respond};
    pub use crate::streaming::{gives_fields, takes_fields};
    pub use alloc::string::{String, ToString};
    pub use alloc::sync::Arc;
    pub use alloc::vec::Vec;
}
