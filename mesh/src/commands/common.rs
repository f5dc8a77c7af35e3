//! What both sides answer.

use amp_proto::{Arguments, Command};
use bytes::Bytes;

/// Proves knowledge of the shared secret: the answer is
/// `HMAC-SHA256(secret, message + salt)`, with a salt of the answering side's choice.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = any, response = Authenticated)]
pub struct Authenticate {
    /// Bytes that the asking side never used before.
    pub message: Bytes,
}

/// The proof that [`Authenticate`] asks for.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub struct Authenticated {
    /// The code, 32 bytes.
    pub digest: Bytes,
    /// Bytes that the answering side never used before.
    pub salt: Bytes,
}

/// Asks to go on in TLS: with the answer the connection becomes TLS, in which the asking side is
/// the client. Answered by processes that were given a certificate only, as the first ask of a
/// connection; `UNHANDLED` otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(name = "StartTLS", answered_by = Region)]
pub struct StartTls;

/// The code by which every ask is refused that comes in the clear before [`StartTls`], where that
/// is required.
pub const TLS_REQUIRED: &str = "TLS_REQUIRED";

/// Asks who the peer is: a cluster's uuid, or the identity of a region process.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = any, response = Ident)]
pub struct Identify;

/// Who a peer is.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub struct Ident {
    /// A cluster's uuid, or the identity of a region process.
    pub ident: String,
    /// A name for people.
    pub name: Option<String>,
    /// The version of the program.
    pub version: Option<String>,
}

/// Asks for a sign of life.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = any)]
pub struct Ping;

/// Says that the asking side is about to leave: make no new asks on this connection.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = any)]
pub struct Leave;

/// Asks what commands the peer answers, a page at a time.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = any, response = Commands)]
pub struct Describe {
    /// Only commands whose names come after this one. Absent: from the beginning.
    pub after: Option<String>,
}

/// A page of what a peer answers.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub struct Commands {
    /// The commands, sorted by name.
    pub commands: Vec<CommandRow>,
    /// Whether there are more after these.
    pub more: bool,
}

/// One command, described.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub struct CommandRow {
    /// The name on the wire.
    pub name: String,
    /// What it does, in a sentence or two.
    pub doc: String,
    /// `region`, `cluster`, or both.
    pub answered_by: Vec<String>,
    /// The arguments in the order of declaration.
    pub arguments: Vec<FieldRow>,
    /// The response's fields in the order of declaration.
    pub response: Vec<FieldRow>,
    /// The codes of its declared errors; those that end the connection have a `!` after them.
    pub errors: Vec<String>,
    /// Whether callers usually wait for an answer.
    pub requires_answer: bool,
}

/// One argument or one field of a response, described.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub struct FieldRow {
    /// The key on the wire.
    pub name: String,
    /// The type, in the notation of the protocol reference: `text`, `integer(0..=255)`,
    /// `list(text)`.
    pub kind: String,
    /// Whether the key may be absent.
    pub optional: bool,
    /// What it means, in a sentence or two.
    pub doc: String,
}
