//! What peers that know more than plain AMP tell each other. Both sides answer all of it; a stock
//! peer answers `UNHANDLED`, and is told nothing more.

use amp_proto::{Arguments, Command};
use bytes::Bytes;

/// The code for an ask without a stream, of a command that is called with one. Nothing was begun.
pub const STREAM_NEEDED: &str = "STREAM_NEEDED";

/// Says what the asking side can do beyond plain AMP, and asks the same. Sent once, right after
/// the handshake.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = any, response = Terms)]
pub struct Negotiate {
    /// The version of the extensions.
    pub version: u16,
    /// The names of the features that the asking side knows.
    pub features: Vec<String>,
    /// The largest box that it takes, in bytes.
    pub box_bytes_max: u64,
    /// How many asks it works on at once for this connection.
    pub asks_in_flight_max: u64,
    /// How much it takes ahead on each stream, in bytes.
    pub stream_window_bytes: u64,
    /// The largest ask or answer in pieces that it puts together, in bytes.
    pub large_bytes_max: u64,
}

/// The answering side's terms, as in [`Negotiate`].
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub struct Terms {
    /// The version of the extensions.
    pub version: u16,
    /// The names of the features that the answering side knows.
    pub features: Vec<String>,
    /// The largest box that it takes, in bytes.
    pub box_bytes_max: u64,
    /// How many asks it works on at once for this connection.
    pub asks_in_flight_max: u64,
    /// How much it takes ahead on each stream, in bytes.
    pub stream_window_bytes: u64,
    /// The largest ask or answer in pieces that it puts together, in bytes.
    pub large_bytes_max: u64,
}

/// Says that nobody waits for the answer to an ask any more. The ask is stopped and answered with
/// the code `CANCELLED`, unless its answer is on its way already.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = any, no_answer)]
pub struct Cancel {
    /// The ask's tag.
    pub tag: Bytes,
}

/// One item of a stream; its fields stand beside. `_stream_ask` or `_stream_answer` says whose
/// stream it is: the tag of an ask of the sending side, or of the receiving one.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = any, no_answer)]
pub struct Item;

/// Lets the peer send so much more: of the stream that `_stream_ask` or `_stream_answer` names, or
/// of large boxes if `_part` is there.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = any, no_answer)]
pub struct Credit {
    /// Bytes of boxes as they stand on the wire; of large boxes, bytes of what is put together.
    pub bytes: u64,
}

/// Says that no more items of a stream will come.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = any, no_answer)]
pub struct End;

/// Says that no more items of a stream are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = any, no_answer)]
pub struct Unwanted;

/// A piece of a large ask or answer. `_part` is the number of what it is a piece of, `_last` is `1`
/// in the last piece, and `_given_up` says that no more of it will come.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = any, no_answer)]
pub struct Part {
    /// The piece.
    pub bytes: Bytes,
}

impl From<Terms> for Negotiate {
    fn from(terms: Terms) -> Self {
        Self {
            version: terms.version,
            features: terms.features,
            box_bytes_max: terms.box_bytes_max,
            asks_in_flight_max: terms.asks_in_flight_max,
            stream_window_bytes: terms.stream_window_bytes,
            large_bytes_max: terms.large_bytes_max,
        }
    }
}

impl From<Negotiate> for Terms {
    fn from(ask: Negotiate) -> Self {
        Self {
            version: ask.version,
            features: ask.features,
            box_bytes_max: ask.box_bytes_max,
            asks_in_flight_max: ask.asks_in_flight_max,
            stream_window_bytes: ask.stream_window_bytes,
            large_bytes_max: ask.large_bytes_max,
        }
    }
}
