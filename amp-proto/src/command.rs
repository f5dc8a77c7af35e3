//! Commands as types: what is asked, what is answered, what can be refused.

use alloc::boxed::Box;
use alloc::string::{String, ToString};

use crate::error::{DecodeError, EncodeError, OneLine};
use crate::role::Role;
use crate::schema::{CommandSchema, ErrorSchema, FieldSchema};
use crate::wire::{BoxWriter, Fields};

/// The keys and values of a box that a program deals in: the arguments of a command, or its
/// response. Implemented by `#[derive(Arguments)]` and, for the command itself,
/// `#[derive(Command)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of AMP arguments",
    note = "put `#[derive(Arguments)]` on it"
)]
pub trait Arguments: Sized + Send + 'static {
    /// The fields in the order of declaration.
    const FIELDS: &'static [FieldSchema];

    /// Puts every field into the box, in ascending order of their keys.
    ///
    /// # Errors
    /// [`EncodeError`] when a value does not fit.
    fn encode(&self, out: &mut BoxWriter<'_>) -> Result<(), EncodeError>;

    /// About how many bytes the fields take, if it can be told that they are many; zero if it
    /// cannot, or they are few.
    fn bytes_hint(&self) -> usize {
        0
    }

    /// Takes every field from the box. Keys that are not declared are ignored.
    ///
    /// # Errors
    /// [`DecodeError`] for the first field that is missing or malformed.
    fn decode(fields: &Fields<'_>) -> Result<Self, DecodeError>;
}

/// A response without fields.
impl Arguments for () {
    const FIELDS: &'static [FieldSchema] = &[];

    fn encode(&self, _: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
        Ok(())
    }

    fn decode(_: &Fields<'_>) -> Result<Self, DecodeError> {
        Ok(())
    }
}

/// [`Arguments`] whose type is forgotten: a response on its way into a box.
pub trait EncodeFields: Send {
    /// As [`Arguments::encode`].
    ///
    /// # Errors
    /// [`EncodeError`] when a value does not fit.
    fn encode_fields(&self, out: &mut BoxWriter<'_>) -> Result<(), EncodeError>;

    /// As [`Arguments::bytes_hint`].
    fn bytes_hint(&self) -> usize {
        0
    }
}

impl<T: Arguments> EncodeFields for T {
    fn encode_fields(&self, out: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
        self.encode(out)
    }

    fn bytes_hint(&self) -> usize {
        Arguments::bytes_hint(self)
    }
}

impl core::fmt::Debug for dyn EncodeFields {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("EncodeFields")
    }
}

/// Something one side can ask of the other. Implemented by `#[derive(Command)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a command",
    note = "put `#[derive(Command)]` and `#[command(answered_by = …)]` on it"
)]
pub trait Command: Arguments {
    /// What comes back.
    type Response: Arguments;

    /// The errors that responders may answer with. [`Never`] if there are none.
    type Error: CommandError;

    /// The name on the wire.
    const NAME: &'static str;

    /// The whole declaration as a value.
    const SCHEMA: CommandSchema;

    /// What becomes of the connection once the command was answered with a response.
    const AFTERWARDS: Afterwards = Afterwards::GoOn;
}

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Afterwards {
    /// It goes on.
    #[default]
    GoOn,
    /// It is closed when the answer has been sent: Twisted's `QuitBox`.
    Close,
    /// It is no longer AMP: its stream is handed over when the answer has been sent. Twisted's
    /// `ProtocolSwitchCommand`.
    HandOver,
}

/// The fields of `C`'s response, for its schema. A derive that named the type itself would have the
/// compiler complain of it twice.
#[must_use]
pub const fn response_fields<C: Command>() -> &'static [FieldSchema] {
    <C::Response as Arguments>::FIELDS
}

/// The declared errors of `C`, for its schema.
#[must_use]
pub const fn error_codes<C: Command>() -> &'static [ErrorSchema] {
    <C::Error as CommandError>::CODES
}

/// Says that a side of the mesh answers this command. Implemented by `#[derive(Command)]` from
/// `answered_by`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a command that a `{R}` answers",
    label = "asked of a `{R}`",
    note = "its declaration says who answers it: `#[command(answered_by = …)]`"
)]
pub trait AnsweredBy<R: Role>: Command {}

/// A command that is usually sent without waiting for an answer. Implemented by
/// `#[derive(Command)]` for `#[command(no_answer)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` expects an answer and cannot be sent without waiting for it",
    note = "use `call`, or declare it with `#[command(no_answer)]`"
)]
pub trait NoAnswer: Command {}

/// The declared errors of a command. Implemented by `#[derive(CommandError)]`.
///
/// Only a code and a description cross the wire, so a variant holds nothing or one `String`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of declared errors",
    note = "put `#[derive(CommandError)]` on it, or use `amp_proto::Never` for none"
)]
pub trait CommandError: core::error::Error + Sized + Send + 'static {
    /// Every code, in the order of declaration.
    const CODES: &'static [ErrorSchema];

    /// The code of this error, and whether the connection is closed after it.
    fn code(&self) -> ErrorSchema;

    /// The text that crosses the wire beside the code.
    fn wire_description(&self) -> String {
        self.to_string()
    }

    /// The error that `code` stands for, if it is one of these.
    fn from_code(code: &str, description: &str) -> Option<Self>;
}

/// The errors of a command that declares none. It has no values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it has no variants, for ever")]
pub enum Never {}

impl core::fmt::Display for Never {
    fn fmt(&self, _: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {}
    }
}

impl core::error::Error for Never {}

impl CommandError for Never {
    const CODES: &'static [ErrorSchema] = &[];

    fn code(&self) -> ErrorSchema {
        match *self {}
    }

    fn from_code(_: &str, _: &str) -> Option<Self> {
        None
    }
}

/// Why a responder does not answer with a response.
///
/// Most responders return `Result<Response, Error>` with the command's declared errors and never
/// see this type. One whose own work can fail in ways that are none of the caller's business
/// returns `Result<Response, Failure<Error>>` and uses [`Failure::undeclared`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure<E> {
    /// One of the command's declared errors: the caller sees it as it is.
    Declared(E),
    /// Anything else: the caller sees the code `UNKNOWN` and a reference, the log has the rest.
    Undeclared(Box<dyn core::error::Error + Send + Sync>),
    /// An error of another peer, passed on as it came.
    Passed(PassedError),
}

impl<E> Failure<E> {
    /// Keeps `error` from the caller, for `map_err(Failure::undeclared)?`.
    pub fn undeclared(error: impl Into<Box<dyn core::error::Error + Send + Sync>>) -> Self {
        Self::Undeclared(error.into())
    }
}

impl<E: CommandError> From<E> for Failure<E> {
    fn from(error: E) -> Self {
        Self::Declared(error)
    }
}

/// An error that is handed on without knowing its declaration: Twisted's `RemoteAmpError`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", OneLine(.code), OneLine(.description))]
pub struct PassedError {
    /// The code on the wire.
    pub code: String,
    /// The text beside it.
    pub description: String,
    /// Whether the connection is closed after it.
    pub fatal: bool,
}
