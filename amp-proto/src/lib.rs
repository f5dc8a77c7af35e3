//! AMP, the asynchronous messaging protocol of Twisted, without a socket, a clock or a thread.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod amp_box;
mod argument;
mod call_error;
#[cfg(feature = "codec")]
mod codec;
mod command;
mod connection;
#[cfg(feature = "json")]
pub mod dynamic;
mod error;
mod limits;
mod peer;
mod responder;
mod role;
mod schema;
#[cfg(test)]
mod tests;
mod wire;

pub use crate::amp_box::AmpBox;
pub use crate::argument::{AbsolutePath, Argument, DateTime, Decimal, ListItem, Parameter};
#[cfg(feature = "json")]
pub use crate::argument::{Compressed, Json};
pub use crate::call_error::{CallError, response_of, stopped_as};
#[cfg(feature = "codec")]
pub use crate::codec::{BoxCodec, CodecError};
pub use crate::command::{
    Afterwards, AnsweredBy, Arguments, Command, CommandError, EncodeFields, Failure, Never, NoAnswer,
    PassedError,
};
pub use crate::connection::{
    Ask, AskEvent, AskId, AskRefused, AskResult, AskStopped, Connection, Exchange, Inbound, Incoming, Lost,
    Moment,
};
pub use crate::error::{DecodeError, EncodeError, LooksLike, PeerMisbehaved, ValueError};
pub use crate::limits::Limits;
pub use crate::peer::{Authentication, FarEnd, Peer};
pub use crate::responder::{
    Answered, Entry, Outcome, Refusal, Reply, Responder, ResponderTable, Responders, TwoResponders,
};
pub use crate::role::{Cluster, Region, Role, RoleName};
pub use crate::schema::{ArgumentType, CommandSchema, ErrorSchema, FieldSchema};
pub use crate::wire::{
    BoxWriter, Fields, KEY_BYTES_MAX, ReceivedBox, Scanned, Scanner, Span, VALUE_BYTES_MAX, Value,
    write_box,
};
#[cfg(feature = "derive")]
pub use rpc_macros::{Arguments, Choice, Command, CommandError, responder, responders};

/// What the macros of `rpc-macros` write code against. Not for people.
#[doc(hidden)]
pub mod __private {
    pub use crate::argument::{decode_boxes, encode_boxes};
    pub use crate::command::{error_codes, response_fields};
    pub use crate::responder::{Answer, respond};
    pub use alloc::string::{String, ToString};
    pub use alloc::sync::Arc;
    pub use alloc::vec::Vec;
}
